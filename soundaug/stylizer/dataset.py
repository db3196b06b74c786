"""What a stylizer learns from: spectrogram images of random windows of the music, with the pieces' captions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed

from soundaug.images.riffusion import SpectrogramParams
from soundaug.images.sound import image_of
from soundaug.music import MusicPiece
from soundaug.params import StyleImage
from soundaug.running.errors import StudyError
from soundaug.sound.audio import ClipProblem, fit, read_mono
from soundaug.stylizer.windows import ImageFormat, max_value_of


@dataclass(frozen=True)
class StyleWindows:
    """Windows of pieces: ``pixels`` uint8 [N, H, W] of grey images, and each window's captions.

    ``max_value`` is the median of the images' maxima: what an image without one is taken to have.
    """

    pixels: np.ndarray
    captions: list[tuple[str, ...]]
    styles: list[str]
    max_value: float

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        """The images at ``rows`` (int64 [B]) as Stable Diffusion takes them: RGB float32 [B, 3, H, W] in [-1, 1]."""
        grey = torch.from_numpy(self.pixels[rows.numpy()]).float() / 127.5 - 1
        return grey[:, None].repeat(1, 3, 1, 1)


class WindowParts:
    """Windows cut into ``parts`` along time: for convolutions, more places and pieces a step at the same cost.

    ``windows`` makes the images. A part has all frequencies: what a band sounds like depends on where it is.
    """

    def __init__(self, windows: StyleWindows, parts: int) -> None:
        self.windows = windows
        self.parts = parts
        self.width = windows.pixels.shape[2] // parts

    def __len__(self) -> int:
        return len(self.windows) * self.parts

    def __getitem__(self, rows: torch.Tensor) -> torch.Tensor:
        """The parts at ``rows`` (int64 [B]), those of a window one after another: float32 [B, 3, H, W / parts]."""
        images = self.windows[rows // self.parts]
        starts = (rows % self.parts * self.width).tolist()
        return torch.stack(
            [image[..., start : start + self.width] for image, start in zip(images, starts, strict=True)]
        )


def draw_windows(
    folder: Path, pieces: Sequence[MusicPiece], settings: StyleImage, per_piece: int, seed: int
) -> StyleWindows:
    """``per_piece`` windows from random places of every piece in ``folder``.

    A piece's places depend on the seed and its file's name. A piece that is shorter than a window is padded
    with silence. Raises StudyError for a file that is no audio.
    """
    form = ImageFormat.of(settings, 1.0)

    def images(piece: MusicPiece) -> list[tuple[np.ndarray, float]]:
        try:
            waveform = read_mono(folder / piece.file, settings.sample_rate)
        except ClipProblem as problem:
            raise StudyError(f"{folder / piece.file}: {problem}, wanted audio made by fetch_music") from None
        rng = np.random.default_rng([seed, *piece.file.encode()])
        starts = rng.integers(0, max(0, len(waveform) - form.window_samples) + 1, per_piece)
        return [_image(fit(waveform[start:], form.window_samples), form.params) for start in starts]

    with Parallel(n_jobs=-1, backend="threading") as parallel:
        made = [window for windows in parallel(delayed(images)(piece) for piece in pieces) for window in windows]
    if not made:
        raise StudyError(f"{folder}: found no pieces to draw windows from, wanted one or more")
    repeated = [piece for piece in pieces for _ in range(per_piece)]
    return StyleWindows(
        np.stack([pixels for pixels, _ in made]),
        [piece.captions for piece in repeated],
        [piece.style for piece in repeated],
        float(np.median([max_value for _, max_value in made])),
    )


def _image(waveform: np.ndarray, params: SpectrogramParams) -> tuple[np.ndarray, float]:
    image = image_of(waveform[None], params)
    return np.asarray(image)[..., 0], max_value_of(image)
