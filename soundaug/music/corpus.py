"""The music on disk: every composition in every style as FLAC with a table of captions, and the prelude by Bach."""

import csv
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from tqdm import tqdm

from soundaug.music import bach
from soundaug.music.captions import captions_of
from soundaug.music.composition import Composition, compose
from soundaug.music.effects import Waveform, levelled, room
from soundaug.music.score import Score
from soundaug.music.styles import STYLES
from soundaug.music.synthesiser import play
from soundaug.params import Music
from soundaug.running.errors import StudyError
from soundaug.running.foreign import reading
from soundaug.running.outputs import write_csv
from soundaug.sound.audio import to_pcm16, write_flac

PIECES = "pieces.csv"
BACH = "bach.flac"
SPLITS = ("train", "held_out")
CAPTION_SEPARATOR = " | "
RING_SECONDS = 1.0  # kept after a piece's last beat
BACH_RING_SECONDS = 2.0


@dataclass(frozen=True)
class MusicPiece:
    """One composition in one style: a row of the table."""

    file: str  # relative to the table's folder
    piece: str  # the composition, the same in every style
    style: str
    captions: tuple[str, ...]  # the first is the style's plain name
    key: str
    tempo: int  # beats a minute
    seconds: float
    seed: int
    split: str  # train | held_out: by composition, so that no tune is in both


def play_corpus(folder: Path, settings: Music, seed: int, n_jobs: int = -1) -> list[MusicPiece]:
    """Write ``folder``/<style>/<piece>.flac, 16-bit mono, and the table; returns its rows, by style and piece.

    A file depends on (seed, split, piece, style) and on the tempi, bars and rate: not on ``n_jobs``, nor on how many
    others there are.
    """
    folder = folder.resolve()  # workers may have been started in another folder
    counts = dict(zip(SPLITS, (settings.pieces, settings.held_out_pieces), strict=True))
    tasks = [(style, split, n) for style in settings.styles for split in SPLITS for n in range(counts[split])]
    with Parallel(n_jobs=n_jobs, return_as="generator", batch_size=4) as parallel:
        made = parallel(delayed(_play_piece)(folder, settings, seed, *task) for task in tasks)
        rows = list(tqdm(made, desc="music", total=len(tasks), unit="piece", disable=None))
    cells = [[CAPTION_SEPARATOR.join(cell) if isinstance(cell, tuple) else cell for cell in astuple(r)] for r in rows]
    write_csv(folder / PIECES, [field.name for field in fields(MusicPiece)], cells)
    return rows


def play_bach(folder: Path, settings: Music, seed: int) -> float:
    """Write ``folder``/bach.flac: the first ``settings.bach_bars`` bars on a piano; returns its seconds."""
    score = bach.prelude(settings.bach_bars)
    waveform = play(score, settings.sample_rate, BACH_RING_SECONDS)
    waveform = room(waveform, settings.sample_rate, np.random.default_rng(seed), rt60_seconds=0.8, wet=0.12)
    write_flac(folder / BACH, to_pcm16(levelled(waveform)), settings.sample_rate)
    return len(waveform) / settings.sample_rate


def composition_of(settings: Music, seed: int, split: str, number: int) -> Composition:
    """A split's composition with this number, from 0."""
    rng = np.random.default_rng([seed, SPLITS.index(split), number])
    return compose(rng, settings.bars, (settings.tempo[0], settings.tempo[1]))


def arranged(composition: Composition, style: str, rng: np.random.Generator) -> Score:
    """The composition's score in a style."""
    return Score(composition.tempo, composition.beats, STYLES[style].arrange(composition, rng))


def recorded(composition: Composition, style: str, sample_rate: int, rng: np.random.Generator) -> Waveform:
    """The composition played in a style, with the style's effects, at one level: float32 [samples], mono."""
    dry = play(arranged(composition, style, rng), sample_rate, RING_SECONDS)
    return levelled(STYLES[style].record(levelled(dry), sample_rate, composition.tempo, rng))


def read_pieces(path: Path) -> list[MusicPiece]:
    """The table that `play_corpus` wrote; StudyError when it is missing or is no such table."""
    if not path.is_file():
        raise StudyError(f"{path}: not there, wanted the table made by fetch_music (dvc repro makes it)")
    wanted = [field.name for field in fields(MusicPiece)]
    with (
        reading(path, "no table of pieces", "what fetch_music writes"),
        path.open(newline="", encoding="utf-8") as file,
    ):
        reader = csv.DictReader(file)
        if reader.fieldnames != wanted:
            raise StudyError(f"{path}: found the columns {reader.fieldnames}, wanted {wanted}")
        return [
            MusicPiece(
                file=row["file"],
                piece=row["piece"],
                style=row["style"],
                captions=tuple(row["captions"].split(CAPTION_SEPARATOR)),
                key=row["key"],
                tempo=int(row["tempo"]),
                seconds=float(row["seconds"]),
                seed=int(row["seed"]),
                split=row["split"],
            )
            for row in reader
        ]


def _play_piece(folder: Path, settings: Music, seed: int, style: str, split: str, number: int) -> MusicPiece:
    composition = composition_of(settings, seed, split, number)
    rng = np.random.default_rng([seed, SPLITS.index(split), number, list(STYLES).index(style)])
    waveform = recorded(composition, style, settings.sample_rate, rng)
    piece = f"{split}{number:04d}"
    write_flac(folder / style / f"{piece}.flac", to_pcm16(waveform), settings.sample_rate)
    return MusicPiece(
        file=f"{style}/{piece}.flac",
        piece=piece,
        style=style,
        captions=tuple(captions_of(composition, style, settings.captions, rng)),
        key=composition.key,
        tempo=composition.tempo,
        seconds=round(len(waveform) / settings.sample_rate, 3),
        seed=seed,
        split=split,
    )
