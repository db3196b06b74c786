"""What a stylizer is tried on: prompts of every style, and held-out tunes to restyle."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from soundaug.music import MusicPiece
from soundaug.sound.audio import fit
from soundaug.sound.excerpts import read_sound
from soundaug.stylizer.chroma import chroma_of, chroma_similarity


@dataclass(frozen=True)
class Tune:
    """A mono sound float32 [n], the style it is in, its chroma [12, T] and that of other tunes in that style.

    Either chroma may go on for longer than the sound.
    """

    name: str
    style: str
    waveform: np.ndarray
    chroma: np.ndarray
    others: Sequence[np.ndarray]


@dataclass(frozen=True)
class Restyling:
    """A tune and the prompt that it is restyled by; ``style`` is the one that the prompt names, None for none."""

    tune: Tune
    prompt: str
    style: str | None


class HeldOut:
    """The held-out pieces of the music in ``folder``, mono at ``sample_rate``; StudyError when one cannot be read."""

    def __init__(self, folder: Path, pieces: Sequence[MusicPiece], sample_rate: int) -> None:
        self.styles = list(dict.fromkeys(piece.style for piece in pieces))
        self.names = {piece.style: piece.captions[0] for piece in pieces}  # of the styles, in words
        self._captions: dict[str, list[str]] = {style: [] for style in self.styles}
        self._played: dict[tuple[str, str], np.ndarray] = {}
        self._chroma: dict[tuple[str, str], np.ndarray] = {}
        for piece in pieces:
            if piece.split == "held_out":
                self._captions[piece.style] += piece.captions
                waveform = read_sound(folder / piece.file, sample_rate)[0].mean(axis=0)
                self._played[piece.piece, piece.style] = waveform
                self._chroma[piece.piece, piece.style] = chroma_of(waveform, sample_rate)
        self._tunes = list(dict.fromkeys(name for name, _ in self._played))

    def prompts(self, count: int) -> list[tuple[str, str]]:
        """``count`` (style, prompt) of every style: its plain name, then captions of the pieces, over again."""
        return [
            (style, prompt)
            for style, captions in self._captions.items()
            for prompt in islice(cycle(dict.fromkeys(captions)), count)
        ]

    def chroma_in(self, style: str, but: str | None = None) -> list[np.ndarray]:
        """The chroma of every tune in a style, but of the one of that name."""
        return [self._chroma[name, style] for name in self._tunes if name != but]

    def restylings(self, n_samples: int) -> list[Restyling]:
        """The beginning of every tune to every style, by its plain name: out of each other style in turn."""
        return [
            Restyling(self._tune(name, self._other(target, turn), n_samples), self.names[style], style)
            for turn, name in enumerate(self._tunes)
            for target, style in enumerate(self.styles)
        ]

    def played(self) -> dict[str, float]:
        """Chroma similarity of what `restylings` asks for as the music itself plays it: what there is to reach."""
        found = [
            chroma_similarity(self._chroma[name, style], self._chroma[name, self._other(target, turn)])
            for turn, name in enumerate(self._tunes)
            for target, style in enumerate(self.styles)
        ]
        return {"played_chroma_similarity": round(float(np.mean(found)), 6)}

    def tunes(self, n_samples: int) -> list[Tune]:
        """The beginning of every tune in every style."""
        return [self._tune(name, style, n_samples) for name in self._tunes for style in self.styles]

    def _tune(self, name: str, style: str, n_samples: int) -> Tune:
        waveform, chroma = fit(self._played[name, style], n_samples), self._chroma[name, style]
        return Tune(f"{name}_{style}", style, waveform, chroma, self.chroma_in(style, name))

    def _other(self, target: int, turn: int) -> str:
        """A style other than the one with this number, another one every turn until all have had theirs."""
        return self.styles[(target + 1 + turn % (len(self.styles) - 1)) % len(self.styles)]
