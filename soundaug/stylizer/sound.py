"""Sound from text and sound from sound: a stylizer's images of any length, and what they sound like."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice

import numpy as np
from PIL import Image

from soundaug.images import riffusion
from soundaug.images.sound import sound_of
from soundaug.images.source import source_of
from soundaug.running.errors import StudyError
from soundaug.running.threads import side_by_side
from soundaug.stylizer.model import StylizerModel
from soundaug.stylizer.pipeline import Sampling, Wish, autoencoded, check_wish, image_to_images, text_to_images
from soundaug.stylizer.windows import Windows, joined, max_value_of, windows_of, windows_of_magnitudes, with_parameters


@dataclass(frozen=True)
class Styled:
    """A sound float32 [C, n], full scale +-1, it may pass it, and the image it was made from, with Riffusion's EXIF."""

    waveforms: np.ndarray
    sample_rate: int
    image: Image.Image


def text_to_sounds(
    model: StylizerModel, wishes: Sequence[Wish], sampling: Sampling, seconds: float | None = None
) -> list[Styled]:
    """A sound of each wish, of a window's length or as long as said, in one image; loud as the music usually was."""
    width = model.form.width if seconds is None else model.form.columns_of(seconds)
    images = text_to_images(model, wishes, sampling, width)
    loud = [with_parameters(image, model.form, model.form.max_value) for image in images]
    return _styled(loud, [wish.seed for wish in wishes], sampling)


def sound_to_sound(
    model: StylizerModel,
    waveforms: np.ndarray,
    wish: Wish,
    sampling: Sampling,
    strength: float,
    mask: Image.Image | None = None,
) -> Styled:
    """The sound of waveforms float32 [C, n] at the model's rate, restyled in overlapping windows that are cross-faded.

    As long and, window by window, as loud as it was; every window starts from the same noise. Sound that is shorter
    than a window is padded with silence and cut again. Silent windows stay silent, and the model is not asked. Where
    ``mask``, stretched to the whole spectrogram, is black the image is kept.
    """
    return sounds_to_sounds(model, [waveforms], [wish], sampling, strength, mask)[0]


def sounds_to_sounds(
    model: StylizerModel,
    sources: Sequence[np.ndarray],
    wishes: Sequence[Wish],
    sampling: Sampling,
    strength: float,
    mask: Image.Image | None = None,
) -> list[Styled]:
    """`sound_to_sound` of several sounds [C, n], a wish each, with the windows of all of them in common batches."""
    cut = [windows_of(waveforms, model.form, sampling.overlap) for waveforms in sources]
    made = []
    for waveforms, styled in zip(sources, _restyled(model, cut, wishes, sampling, strength, mask), strict=True):
        samples = styled.waveforms[:, : waveforms.shape[1]]
        missing = waveforms.shape[1] - samples.shape[1]  # what is left over after the last whole column
        made.append(replace(styled, waveforms=np.pad(samples, ((0, 0), (0, missing)))))
    return made


def original(model: StylizerModel, waveforms: np.ndarray) -> Styled:
    """A sound [C, n] at the model's rate as it is, with its image as the model's images are."""
    image = joined(windows_of(waveforms, model.form, 0.0), model.form)
    return Styled(waveforms, model.form.params.sample_rate, image)


def reconstructed(
    model: StylizerModel, sources: Sequence[np.ndarray], sampling: Sampling, seeds: Sequence[int]
) -> list[Styled]:
    """Sounds [C, n] through images and autoencoder alone, nothing restyled; a seed of the first phases each."""
    cut = [windows_of(waveforms, model.form, sampling.overlap) for waveforms in sources]
    images = [image for windows in cut for image in windows.images]
    made = iter(zip(autoencoded(model, images, sampling), images, strict=True))
    whole = []
    for windows in cut:
        own = [
            with_parameters(image, model.form, max_value_of(old)) for image, old in islice(made, len(windows.images))
        ]
        whole.append(joined(replace(windows, images=own), model.form))
    return _styled(whole, seeds, sampling)


def image_to_sound(
    model: StylizerModel,
    image: Image.Image,
    wish: Wish,
    sampling: Sampling,
    strength: float,
    mask: Image.Image | None = None,
) -> Styled:
    """`sound_to_sound` of a spectrogram image, such as a seed image; StudyError unless with the model's parameters."""
    magnitudes, params = riffusion.from_image(image)
    if params != model.form.params:
        wrong = [
            f"{name} {value} (wanted {wanted})"
            for name, value in asdict(params).items()
            if value != (wanted := getattr(model.form.params, name))
        ]
        raise StudyError(f"{source_of(image)}: found {', '.join(wrong)}, as the model's images have")
    windows = windows_of_magnitudes(magnitudes, model.form, sampling.overlap)
    return _restyled(model, [windows], [wish], sampling, strength, mask)[0]


def _restyled(
    model: StylizerModel,
    sources: Sequence[Windows],
    wishes: Sequence[Wish],
    sampling: Sampling,
    strength: float,
    mask: Image.Image | None,
) -> list[Styled]:
    """The windows of every source restyled but for the silent ones, and cross-faded."""
    for wish in wishes:
        check_wish(model, wish)
    images = [list(windows.images) for windows in sources]
    chosen = [(n, i) for n, found in enumerate(images) for i, image in enumerate(found) if max_value_of(image) > 0]
    masks = None if mask is None else [_masks(mask, windows, model.form.width) for windows in sources]
    restyled = image_to_images(
        model,
        [images[n][i] for n, i in chosen],
        [wishes[n] for n, _ in chosen],
        sampling,
        strength,
        None if masks is None else [masks[n][i] for n, i in chosen],
    )
    for (n, i), image in zip(chosen, restyled, strict=True):
        images[n][i] = with_parameters(image, model.form, max_value_of(images[n][i]))
    whole = [joined(replace(windows, images=found), model.form) for windows, found in zip(sources, images, strict=True)]
    return _styled(whole, [wish.seed for wish in wishes], sampling)


def _styled(images: Sequence[Image.Image], seeds: Sequence[int], sampling: Sampling) -> list[Styled]:
    def styled(one: tuple[Image.Image, int]) -> Styled:
        image, seed = one
        sound = sound_of(image, seed, sampling.iterations)
        return Styled(sound.waveforms, sound.sample_rate, image)

    return list(side_by_side(styled, list(zip(images, seeds, strict=True)), "phases"))


def _masks(mask: Image.Image, windows: Windows, width: int) -> list[Image.Image]:
    """The mask's part of every window; padding is made anew."""
    height = windows.images[0].height
    stretched = mask.convert("L").resize((windows.columns, height), Image.Resampling.NEAREST)
    whole = Image.new("L", (windows.starts[-1] + width, height), 255)
    whole.paste(stretched, (0, 0))
    return [whole.crop((start, 0, start + width, height)) for start in windows.starts]
