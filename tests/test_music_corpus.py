"""The music on disk: every style sounds as its name says, tunes are shared, and the same seed gives the same bytes."""

import hashlib
from collections import Counter
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from soundaug.music import BACH, PIECES, STYLES, MusicPiece, play_bach, play_corpus, read_pieces
from soundaug.music.bach import prelude
from soundaug.music.corpus import BACH_RING_SECONDS, RING_SECONDS, arranged, composition_of, recorded
from soundaug.music.effects import PEAK_LIMIT, Waveform, root_mean_square
from soundaug.music.score import Part, Score, pitch_class_counts
from soundaug.music.styles import LO_FI_CUTOFF_HZ
from soundaug.music.synthesiser import play
from soundaug.params import Music
from soundaug.running.errors import StudyError

RATE = 22050
WORDS = {style: style.replace("_", " ") for style in STYLES}


def settings(**changes: object) -> Music:
    values = {
        "sample_rate": RATE,
        "styles": list(STYLES),
        "pieces": 2,
        "held_out_pieces": 1,
        "bars": 3,
        "tempo": [100.0, 132.0],
        "captions": 4,
        "bach_bars": 4,
    }
    return Music.model_validate(values | changes)


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.rglob("*.flac")
    }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[MusicPiece]]:
    folder = tmp_path_factory.mktemp("music")
    return folder, play_corpus(folder, settings(), seed=3, n_jobs=1)


def waveform_of(corpus: tuple[Path, list[MusicPiece]], style: str, piece: str = "train0000") -> Waveform:
    return np.asarray(soundfile.read(corpus[0] / style / f"{piece}.flac", dtype="float32")[0])


def score_of(style: str, number: int = 0) -> Score:
    return arranged(composition_of(settings(), 3, "train", number), style, np.random.default_rng(0))


def power_above(waveform: Waveform, hz: float) -> float:
    power = np.abs(np.fft.rfft(waveform)) ** 2
    return float(power[np.fft.rfftfreq(len(waveform), 1 / RATE) > hz].sum() / power.sum())


def chroma(waveform: Waveform) -> np.ndarray:
    """Pitch classes [12, T], the mean of each frame taken off."""
    power = librosa.feature.chroma_stft(y=waveform, sr=RATE, n_fft=8192, hop_length=2048, tuning=0.0)
    return np.asarray(power - power.mean(axis=0))


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    n = min(one.shape[1], other.shape[1])
    return float(np.corrcoef(one[:, :n].ravel(), other[:, :n].ravel())[0, 1])


# Files and table


def test_every_composition_in_every_style(corpus: tuple[Path, list[MusicPiece]]) -> None:
    folder, rows = corpus
    assert len(STYLES) == 8
    assert Counter(row.style for row in rows) == dict.fromkeys(STYLES, 3)
    assert {row.file for row in rows} == set(hashes(folder))
    assert read_pieces(folder / PIECES) == rows
    assert (folder / PIECES).read_text().splitlines()[0] == "file,piece,style,captions,key,tempo,seconds,seed,split"


def test_styles_share_keys_tempi_and_split_and_the_split_is_by_composition(
    corpus: tuple[Path, list[MusicPiece]],
) -> None:
    shared: dict[str, set[tuple[str, int, float, str]]] = {}
    for row in corpus[1]:
        shared.setdefault(row.piece, set()).add((row.key, row.tempo, row.seconds, row.split))
    assert all(len(traits) == 1 for traits in shared.values())
    splits = {split: {row.piece for row in corpus[1] if row.split == split} for split in ("train", "held_out")}
    assert {split: len(pieces) for split, pieces in splits.items()} == {"train": 2, "held_out": 1}
    assert not splits["train"] & splits["held_out"]
    tunes = [
        composition_of(settings(), 3, split, n).melody for split, n in (("train", 0), ("train", 1), ("held_out", 0))
    ]
    assert len(set(tunes)) == 3


def test_files_are_unclipped_of_one_level_and_last_as_long_as_the_table_says(
    corpus: tuple[Path, list[MusicPiece]],
) -> None:
    for row in corpus[1]:
        info = soundfile.info(corpus[0] / row.file)
        assert (info.samplerate, info.channels, info.subtype, info.format) == (RATE, 1, "PCM_16", "FLAC")
        assert info.duration == pytest.approx(12 * 60 / row.tempo + RING_SECONDS, abs=1e-3)
        assert row.seconds == pytest.approx(info.duration, abs=1e-3)
        waveform = waveform_of(corpus, row.style, row.piece)
        assert np.abs(waveform).max() <= PEAK_LIMIT + 1e-4
        assert -23.0 < 20 * np.log10(root_mean_square(waveform)) < -19.5


def test_captions_name_the_style_and_differ(corpus: tuple[Path, list[MusicPiece]]) -> None:
    for row in corpus[1]:
        assert row.captions[0] == WORDS[row.style]
        assert len(set(row.captions)) == 4
        assert all(WORDS[row.style] in caption.replace("lo-fi", "lo fi") for caption in row.captions)
        others = [word for style, word in WORDS.items() if style != row.style]
        assert not any(word in caption for word in others for caption in row.captions)
    captions = {caption for row in corpus[1] for caption in row.captions}
    assert len(captions) > 40
    assert any("minor" in caption for caption in captions) or any("major" in caption for caption in captions)


def test_same_seed_same_bytes_whatever_the_workers_and_the_number_of_pieces(
    corpus: tuple[Path, list[MusicPiece]], tmp_path: Path
) -> None:
    more = settings(pieces=3, styles=["solo_piano", "lo_fi_beats"])
    play_corpus(tmp_path, more, seed=3, n_jobs=2)
    again = hashes(tmp_path)
    assert len(again) == 8
    shared = {name: digest for name, digest in hashes(corpus[0]).items() if name in again}
    assert len(shared) == 6
    assert shared.items() <= again.items()


def test_another_seed_changes_every_file(corpus: tuple[Path, list[MusicPiece]], tmp_path: Path) -> None:
    play_corpus(tmp_path, settings(styles=["chiptune", "church_organ"], pieces=1), seed=4, n_jobs=1)
    assert not set(hashes(tmp_path).values()) & set(hashes(corpus[0]).values())


# Styles


def test_lo_fi_is_dull_above_its_low_pass_with_noise_and_an_unsteady_pitch(
    corpus: tuple[Path, list[MusicPiece]],
) -> None:
    lo_fi = waveform_of(corpus, "lo_fi_beats")
    dry = play(score_of("lo_fi_beats"), RATE, RING_SECONDS)
    assert power_above(lo_fi, 1.5 * LO_FI_CUTOFF_HZ) < 0.001
    assert power_above(lo_fi, 1.5 * LO_FI_CUTOFF_HZ) < 0.2 * power_above(dry, 1.5 * LO_FI_CUTOFF_HZ)
    assert power_above(waveform_of(corpus, "electric_beats"), 1.5 * LO_FI_CUTOFF_HZ) > 0.003
    # Between notes an old record hisses, a piano is silent.
    quietest = {
        style: np.percentile(np.abs(librosa.stft(waveform_of(corpus, style))[100:300]).mean(axis=0), 2)
        for style in ("lo_fi_beats", "solo_piano")
    }
    assert quietest["lo_fi_beats"] > 5 * quietest["solo_piano"]


def test_beats_have_drums_on_the_beat_and_guitars_have_none(corpus: tuple[Path, list[MusicPiece]]) -> None:
    drummed = {style for style in STYLES if any(part.is_drum for part in score_of(style).parts)}
    assert drummed == {"electric_beats", "epic_orchestra", "lo_fi_beats", "jazz_trio", "chiptune"}
    tempo = corpus[1][0].tempo
    for style, expected in (("electric_beats", True), ("acoustic_guitar", False)):
        waveform = waveform_of(corpus, style)
        # Claps and hats: energy above 5 kHz, on the second beat of the first bar against the quarter before it.
        power = np.abs(librosa.stft(waveform, n_fft=512, hop_length=128))[116:].sum(axis=0) ** 2
        beat = 60 / tempo * RATE / 128
        on, before = (
            power[round(beat) : round(1.15 * beat)].mean(),
            power[round(0.3 * beat) : round(0.45 * beat)].mean(),
        )
        assert (power.mean() > 20 * np.median(power) or on > 4 * before) == expected


def test_an_orchestra_is_dense_and_an_organ_sustains(corpus: tuple[Path, list[MusicPiece]]) -> None:
    assert len({part.program for part in score_of("epic_orchestra").parts}) >= 7

    def attacks(style: str) -> float:
        return float(librosa.onset.onset_strength(y=waveform_of(corpus, style), sr=RATE).mean())

    assert attacks("church_organ") < attacks("epic_orchestra") < attacks("electric_beats") < attacks("chiptune")


def test_the_tune_stays_when_the_style_changes() -> None:
    songs = [composition_of(settings(), 3, "train", n) for n in (0, 1)]
    found = {
        (style, n): chroma(recorded(song, style, RATE, np.random.default_rng(n)))
        for style in STYLES
        for n, song in enumerate(songs)
    }
    for style in STYLES:
        for other in STYLES:
            if style != other:
                same = np.mean([similarity(found[style, n], found[other, n]) for n in (0, 1)])
                different = np.mean([similarity(found[style, n], found[other, 1 - n]) for n in (0, 1)])
                assert same > different + 0.1, (style, other)


# Bach


def test_bach_sounds_its_chords(tmp_path: Path) -> None:
    seconds = play_bach(tmp_path, settings(bach_bars=11), seed=0)
    waveform, rate = soundfile.read(tmp_path / BACH, dtype="float32")
    assert (rate, len(waveform) / rate) == (RATE, seconds)
    assert seconds == pytest.approx(11 * 4 * 60 / 72 + BACH_RING_SECONDS, abs=1e-3)
    assert seconds > 30
    assert np.abs(waveform).max() <= PEAK_LIMIT + 1e-4
    assert -23.0 < 20 * np.log10(root_mean_square(waveform)) < -19.5
    bars = (0, 1, 2, 10)  # C; D minor on C; G seventh on B; G
    notes = prelude(11).parts[0].notes
    of_bar = [tuple(note for note in notes if note.onset // 4 == bar) for bar in bars]
    counts = [pitch_class_counts([Part(0, part)]) for part in of_bar]
    for index, bar in enumerate(bars):
        heard = waveform[round(bar * 10 / 3 * RATE) : round((bar + 1) * 10 / 3 * RATE)]
        power = librosa.feature.chroma_stft(y=heard, sr=RATE, n_fft=8192, tuning=0.0, norm=None).mean(axis=1)
        likeness = [np.corrcoef(power, count)[0, 1] for count in counts]
        assert np.argmax(likeness) == index
        assert likeness[index] > 0.6
        assert counts[index][int(np.argmax(power))] >= 4
    assert pitch_class_counts(prelude(1).parts)[0] == 6


def test_the_same_bach_twice(tmp_path: Path) -> None:
    for name in ("a", "b"):
        play_bach(tmp_path / name, settings(), seed=1)
    assert (tmp_path / "a" / BACH).read_bytes() == (tmp_path / "b" / BACH).read_bytes()


# Mistakes


def test_a_table_that_is_not_there_or_another(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"none\.csv: not there, wanted the table made by fetch_music"):
        read_pieces(tmp_path / "none.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(StudyError, match=r"other\.csv: found the columns \['a', 'b'\], wanted \['file', 'piece'"):
        read_pieces(tmp_path / "other.csv")
