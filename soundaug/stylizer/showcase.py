"""What a stylizer can do, made, judged and written: every style from text, and tunes restyled by strength."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from soundaug.images.files import save_image
from soundaug.params import Stylize
from soundaug.sound.excerpts import write_sound
from soundaug.stylizer.assessment import ORIGINAL, TEXT, Row
from soundaug.stylizer.chroma import chroma_of, chroma_similarity, similarity_to_others
from soundaug.stylizer.model import StylizerModel
from soundaug.stylizer.pipeline import Sampling, Wish
from soundaug.stylizer.sound import Styled, original, reconstructed, sounds_to_sounds, text_to_sounds
from soundaug.stylizer.style import StyleClassifier
from soundaug.stylizer.tunes import Restyling, Tune


class Showcase:
    """Sounds of one model, judged by one classifier and written below ``folder`` as FLAC, their images beside them."""

    def __init__(
        self, folder: Path, model: StylizerModel, judge: StyleClassifier, settings: Stylize, seed: int
    ) -> None:
        self.folder = folder
        self.model = model
        self.judge = judge
        self.settings = settings
        self.seed = seed
        self.sampling = Sampling(
            sampler=settings.sampler,
            steps=settings.steps,
            guidance=settings.guidance,
            batch_size=settings.batch_size,
            overlap=settings.overlap,
            iterations=settings.iterations,
            precision=settings.precision,
        )

    def from_text(self, prompts: Sequence[tuple[str, str]]) -> list[Row]:
        """A sound of a window's length of every (style, prompt), each from a noise of its own."""
        wishes = [self._wish(prompt, number) for number, (_, prompt) in enumerate(prompts)]
        made = text_to_sounds(self.model, wishes, self.sampling)
        rows = []
        for (style, prompt), wish, styled in zip(prompts, wishes, made, strict=True):
            file = self._write(f"{TEXT}/{_slug(prompt)}_seed{wish.seed}", styled)
            rows.append(Row(TEXT, file, prompt, style, self._heard(styled), wish.seed))
        return rows

    def restyled(self, kind: str, wanted: Sequence[Restyling]) -> list[Row]:
        """Every one of ``wanted`` at every strength, each from a noise of its own; ``kind`` is the rows'."""
        wishes = [self._wish(one.prompt, number) for number, one in enumerate(wanted)]
        sources = [one.tune.waveform[None] for one in wanted]
        rows = []
        for strength in self.settings.strengths:
            made = sounds_to_sounds(self.model, sources, wishes, self.sampling, strength)
            for one, wish, styled in zip(wanted, wishes, made, strict=True):
                folder = "/".join(dict.fromkeys((kind, one.tune.name)))
                file = self._write(f"{folder}/{_slug(one.prompt)}_{strength:g}", styled)
                alike = self._similarities(styled, one.tune)
                heard = self._heard(styled)
                rows.append(Row(kind, file, one.prompt, one.style, heard, wish.seed, one.tune.name, strength, *alike))
        return rows

    def original(self, tune: Tune) -> Row:
        """The ``tune`` as it is, with its image."""
        styled = original(self.model, tune.waveform[None])
        file = self._write(f"{ORIGINAL}/{tune.name}", styled)
        return Row(ORIGINAL, file, None, None, self._heard(styled), source=tune.name)

    def ceiling(self, tunes: Sequence[Tune]) -> dict[str, float]:
        """What ``tunes`` lose without any restyling, by the autoencoder, the image's bands and its lost phases."""
        sources = [tune.waveform[None] for tune in tunes]
        made = reconstructed(self.model, sources, self.sampling, [self.seed + number for number in range(len(tunes))])
        right = [self._heard(styled) == tune.style for styled, tune in zip(made, tunes, strict=True)]
        alike = [self._similarities(styled, tune)[0] for styled, tune in zip(made, tunes, strict=True)]
        return {
            "reconstruction_style_accuracy": round(float(np.mean(right)), 6),
            "reconstruction_chroma_similarity": round(float(np.mean(alike)), 6),
        }

    def _wish(self, prompt: str, number: int) -> Wish:
        return Wish(prompt, self.seed + number, self.settings.negative_prompt)

    def _heard(self, styled: Styled) -> str:
        return self.judge.style_of(styled.waveforms.mean(axis=0), styled.sample_rate)

    def _similarities(self, styled: Styled, tune: Tune) -> tuple[float, float | None]:
        """Chroma similarity to the tune, and to other tunes."""
        chroma = chroma_of(styled.waveforms.mean(axis=0), styled.sample_rate)
        others = similarity_to_others(chroma, tune.others)
        return round(chroma_similarity(chroma, tune.chroma), 6), None if others is None else round(others, 6)

    def _write(self, name: str, styled: Styled) -> str:
        """Write sound and image; returns the sound's file."""
        (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_sound(self.folder / f"{name}.flac", styled.waveforms, styled.sample_rate)
        save_image(styled.image, self.folder / f"{name}.png")
        return f"{name}.flac"


def _slug(prompt: str) -> str:
    """A prompt as part of a file's name."""
    return re.sub(r"\W+", "_", prompt).strip("_")[:60]
