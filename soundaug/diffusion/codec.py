"""Log mels to the images a diffusion network learns, and back: as they are, whitened, by the clip, or as latents."""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
import torch.nn.functional as F

from soundaug.params import Features, Generator
from soundaug.running.device import choose_device
from soundaug.running.errors import StudyError
from soundaug.running.foreign import brief, reading
from soundaug.running.outputs import write_json

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, VQModel

MEL_FILE = "mel.json"  # what the network's images are, beside diffusers' own files
SMALLEST_DEVIATION = 1.0  # dB: clips that hardly differ are not blown up
SMALLEST_DETAIL = 0.1  # dB: nor is a whitened channel that hardly differs
AUTOENCODER_FOLDER = "vqvae"  # of a latent codec, beside it; audio-diffusion's name for it

LARGEST = 2**31  # of a number in a configuration
PART = 256  # clips at a time, of many

S = TypeVar("S")


class Codec(Protocol):
    """What turns log mels into what the network learns, and back."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the network's input."""

    def to_image(self, log_mel: torch.Tensor) -> torch.Tensor:
        """dB [B, n_mels, T] to images [B, C, H, W]."""

    def levels(self, log_mel: torch.Tensor) -> torch.Tensor:
        """What `to_image` leaves out of dB [B, n_mels, T]: levels [B] in dB, zeros where nothing is left out."""

    def to_log_mel(self, image: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Images [B, C, H, W] and levels [B] in dB to dB [B, n_mels, T], cut to the features' floor."""

    def frame_mask(self, kept: torch.Tensor) -> torch.Tensor:
        """The elements bool [C, H, W] of an image that hold ``kept`` frames (bool [T]) only; padding counts as kept."""

    def config(self) -> dict[str, Any]:
        """Plain JSON values that `codec_of` reads again."""


@dataclass(frozen=True)
class MelScaling:
    """Log mels in dB to images whose sides the network takes, patches folded into channels; and back.

    An image is the log mel, cut at ``floor_db`` and ``ceiling_db``, less ``mean_db``, over ``deviation_db``: with those
    of the training clips its mean is 0 and its deviation 1, as the noise's.
    """

    n_mels: int
    n_frames: int
    floor_db: float
    ceiling_db: float
    mean_db: float
    deviation_db: float
    patch: int
    multiple: int

    def __post_init__(self) -> None:
        if not self.deviation_db > 0:
            raise StudyError(f"deviation_db: found {self.deviation_db}, wanted more than 0")

    @classmethod
    def of(cls, features: Features, generator: Generator, log_mels: torch.Tensor | None = None) -> "MelScaling":
        """The scaling for a front end, a network and clips [N, n_mels, T] in dB; to [-1, 1] without any clips."""
        floor, ceiling = features.floor_db, features.ceiling_db
        mean, deviation = (floor + ceiling) / 2, (ceiling - floor) / 2
        if log_mels is not None:
            found, deviation = _mean_and_deviation(log_mels, floor, ceiling)
            mean, deviation = round(found, 4), max(round(deviation, 4), SMALLEST_DEVIATION)
        return cls(
            features.n_mels,
            features.n_frames,
            floor,
            ceiling,
            mean,
            deviation,
            1 if generator.space == "latent" else generator.patch,
            generator.multiple,
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the network's input."""
        height, width = (-(-side // self.multiple) * self.multiple for side in (self.n_mels, self.n_frames))
        return self.patch**2, height // self.patch, width // self.patch

    def to_image(self, log_mel: torch.Tensor) -> torch.Tensor:
        """dB [B, n_mels, T] to [B, patch^2, H, W]; padded with the floor."""
        return self.folded(F.pad(log_mel[:, None], self.padding, value=self.floor_db))

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Frames and mel bins beyond a clip's, as torch's ``pad`` takes them."""
        _, height, width = self.image_shape
        return 0, width * self.patch - self.n_frames, 0, height * self.patch - self.n_mels

    def folded(self, padded: torch.Tensor) -> torch.Tensor:
        """dB [B, 1, patch H, patch W], padded, to [B, patch^2, H, W]."""
        if len(padded) == 0:  # which pixel_unshuffle leaves unfolded
            return padded.new_empty((0, *self.image_shape))
        cut = torch.clamp(padded, self.floor_db, self.ceiling_db)
        return F.pixel_unshuffle((cut - self.mean_db) / self.deviation_db, self.patch)

    def levels(self, log_mel: torch.Tensor) -> torch.Tensor:
        """Zeros [B]: the image holds the level itself."""
        return log_mel.new_zeros(len(log_mel))

    def to_log_mel(self, image: torch.Tensor, levels: torch.Tensor | None = None) -> torch.Tensor:
        """[B, patch^2, H, W] to dB [B, n_mels, T], cut to the range; ``levels`` have no say."""
        flat = F.pixel_shuffle(image, self.patch)[:, 0, : self.n_mels, : self.n_frames]
        return torch.clamp(flat * self.deviation_db + self.mean_db, self.floor_db, self.ceiling_db)

    def frame_mask(self, kept: torch.Tensor) -> torch.Tensor:
        """See `Codec`."""
        _, height, width = self.image_shape
        frames = F.pad(kept, (0, width * self.patch - self.n_frames), value=True)
        return F.pixel_unshuffle(frames.expand(1, height * self.patch, -1), self.patch)

    def config(self) -> dict[str, Any]:
        """See `Codec`."""
        return {"codec": "mel", **vars(self)}


class WhitenedScaling:
    """Images of ``scaling`` on the principal axes of its patches, every channel brought to deviation 1 (whitening).

    Of a patch of log mels nearly all variance is its level; what tells noise from tone is a hundredth of it, and drowns
    in white noise long before the level does. White noise on these axes hides both alike. ``mean`` [C, H] is that of
    the training clips' images in every row of patches; ``axes`` [C, C] has the axes as columns, largest ``deviation``
    [C] first. The network sees and makes axes @ diag(deviation) less, and never learns what is linear.
    """

    def __init__(self, scaling: MelScaling, mean: torch.Tensor, axes: torch.Tensor, deviation: torch.Tensor) -> None:
        """Raises StudyError when the arrays are not of the scaling's sizes, or a deviation is not above 0."""
        channels, height, _ = scaling.image_shape
        for name, found, wanted in (
            ("mean", mean, (channels, height)),
            ("axes", axes, (channels, channels)),
            ("deviation", deviation, (channels,)),
        ):
            if tuple(found.shape) != wanted:
                raise StudyError(f"{name}: found {list(found.shape)} numbers, wanted {list(wanted)}")
            if not found.isfinite().all():
                raise StudyError(f"{name}: found numbers that are not finite, wanted finite ones")
        if not (deviation > 0).all():
            raise StudyError(f"deviation: found {float(deviation.min())}, wanted more than 0")
        self.scaling = scaling
        self.mean, self.axes, self.deviation = mean, axes, deviation

    @classmethod
    def of(cls, scaling: MelScaling, log_mels: torch.Tensor) -> "WhitenedScaling":
        """Whitens the images of the training clips ``log_mels`` [N, n_mels, T] in dB, in double precision."""
        channels, height, width = scaling.image_shape
        total, squares = torch.zeros(channels, height, dtype=torch.float64), torch.zeros(channels, channels).double()
        for start in range(0, len(log_mels), PART):
            images = _padded_image(scaling, log_mels[start : start + PART]).double()
            total += images.sum(dim=(0, 3))
            flat = images.transpose(0, 1).flatten(1)
            squares += flat @ flat.T
        columns = len(log_mels) * width
        mean = total / columns
        covariance = squares / (columns * height) - mean @ mean.T / height
        variance, axes = torch.linalg.eigh(covariance)
        largest = axes.gather(0, axes.abs().argmax(dim=0, keepdim=True))
        least = SMALLEST_DETAIL / scaling.deviation_db
        deviation = variance.clamp(min=0).sqrt().clamp(min=least)
        return cls(scaling, mean.float(), (axes * largest.sign()).flip(1).float(), deviation.flip(0).float())

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the network's input."""
        return self.scaling.image_shape

    def to_image(self, log_mel: torch.Tensor) -> torch.Tensor:
        """dB [B, n_mels, T] to [B, C, H, W]; padded with the last frame and the highest band."""
        centred = _padded_image(self.scaling, log_mel) - self.mean[..., None]
        return torch.einsum("ck,bchw->bkhw", self.axes / self.deviation, centred).contiguous()

    def levels(self, log_mel: torch.Tensor) -> torch.Tensor:
        """Zeros [B]: the image holds the level itself."""
        return self.scaling.levels(log_mel)

    def to_log_mel(self, image: torch.Tensor, levels: torch.Tensor | None = None) -> torch.Tensor:
        """[B, C, H, W] to dB [B, n_mels, T], cut to the range; ``levels`` have no say."""
        patches = torch.einsum("ck,bkhw->bchw", self.axes * self.deviation, image) + self.mean[..., None]
        return self.scaling.to_log_mel(patches, levels)

    def frame_mask(self, kept: torch.Tensor) -> torch.Tensor:
        """See `Codec`; every channel holds all frames of a patch."""
        return self.scaling.frame_mask(kept).all(dim=0).expand(self.image_shape)

    def config(self) -> dict[str, Any]:
        """See `Codec`."""
        arrays = {name: getattr(self, name).tolist() for name in ("mean", "axes", "deviation")}
        return {"codec": "whitened", "scaling": self.scaling.config(), **arrays}


def _padded_image(scaling: MelScaling, log_mel: torch.Tensor) -> torch.Tensor:
    """As `MelScaling.to_image`, but padded with what is next to it: an edge would be the largest detail of all."""
    return scaling.folded(F.pad(log_mel[:, None], scaling.padding, mode="replicate"))


@dataclass(frozen=True)
class ClipScaling:
    """audio-diffusion's images: dB below the clip's own maximum, [-top_db, 0] to [-1, 1], one channel, low mels first.

    The original rounds an image to 8-bit grayscale, in both directions; that costs up to top_db / 510 dB and is done
    only when ``quantized``. The original forgets the clip's level, which here goes beside the image, and makes a silent
    clip full scale, which here (nothing above ``floor_db``) is -1 throughout.
    """

    n_mels: int  # the image's height
    n_frames: int
    width: int  # of the image, at least n_frames; what is beyond the clip is padded with -1
    top_db: float
    floor_db: float
    quantized: bool = False

    def __post_init__(self) -> None:
        if self.n_frames > self.width:
            raise StudyError(f"n_frames: found {self.n_frames}, wanted at most the image's width ({self.width})")
        if not self.top_db > 0:
            raise StudyError(f"top_db: found {self.top_db}, wanted more than 0")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the network's input."""
        return 1, self.n_mels, self.width

    def levels(self, log_mel: torch.Tensor) -> torch.Tensor:
        """The maximum [B] of each clip in dB."""
        return log_mel.amax(dim=(1, 2))

    def to_image(self, log_mel: torch.Tensor) -> torch.Tensor:
        """dB [B, n_mels, T] to [B, 1, n_mels, width] in [-1, 1]."""
        loudest = self.levels(log_mel)[:, None, None]
        unit = torch.clamp((log_mel - loudest + self.top_db) / self.top_db, 0, 1)
        if self.quantized:
            unit = torch.floor(unit * 255 + 0.5) / 255
        unit = torch.where(loudest > self.floor_db, unit, 0.0)
        return F.pad(unit * 2 - 1, (0, self.width - self.n_frames), value=-1.0)[:, None]

    def to_log_mel(self, image: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """[B, 1, n_mels, width] and the clips' maxima [B] in dB to dB [B, n_mels, T]."""
        unit = torch.clamp(image[:, 0, :, : self.n_frames] / 2 + 0.5, 0, 1)
        if self.quantized:
            unit = torch.round(unit * 255) / 255
        log_mel = (unit - 1) * self.top_db + levels.to(unit)[:, None, None]
        return torch.clamp(log_mel, min=self.floor_db)

    def frame_mask(self, kept: torch.Tensor) -> torch.Tensor:
        """See `Codec`."""
        return F.pad(kept, (0, self.width - self.n_frames), value=True).expand(self.image_shape)

    def config(self) -> dict[str, Any]:
        """See `Codec`."""
        return {"codec": "clip", **vars(self)}


class LatentCodec:
    """Another codec's images as an autoencoder's latents, times ``scaling_factor``, as in Rombach et al. (2022).

    Latents are the posterior's mean, so the same clip always gives the same latents. The autoencoder is moved to the
    device that computes and frozen; what comes back is where what went in was. Batches all have ``batch_size`` clips
    (the last one is filled up), so that no clip's result depends on its neighbours.
    """

    def __init__(
        self,
        scaling: Codec,
        autoencoder: "AutoencoderKL | VQModel",
        scaling_factor: float,
        batch_size: int = 16,
    ) -> None:
        """Raises StudyError when the autoencoder does not take the images of ``scaling``."""
        self.scaling = scaling
        self.device = choose_device()
        self.autoencoder = autoencoder.to(self.device).eval().requires_grad_(False)
        self.scaling_factor = scaling_factor
        self.batch_size = batch_size
        config = autoencoder.config
        channels, height, width = scaling.image_shape
        self._factor = 2 ** (len(config.block_out_channels) - 1)
        self._latent_channels = int(config.get("vq_embed_dim") or config.latent_channels)
        if (config.in_channels, config.out_channels) != (channels, channels):
            raise StudyError(
                f"autoencoder: found {config.in_channels} channels in and {config.out_channels} out, "
                f"wanted {channels} (images of {channels} x {height} x {width})"
            )
        if height % self._factor or width % self._factor:
            raise StudyError(f"autoencoder: found images of {height} x {width}, wanted multiples of {self._factor}")
        if not (math.isfinite(scaling_factor) and scaling_factor > 0):
            raise StudyError(f"autoencoder: found the scaling factor {scaling_factor}, wanted a number above 0")

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the latents."""
        _, height, width = self.scaling.image_shape
        return self._latent_channels, height // self._factor, width // self._factor

    def levels(self, log_mel: torch.Tensor) -> torch.Tensor:
        """Those [B] of the images in dB."""
        return self.scaling.levels(log_mel)

    def to_image(self, log_mel: torch.Tensor) -> torch.Tensor:
        """dB [B, n_mels, T] to latents [B, C, H, W]."""
        images = self.scaling.to_image(log_mel)
        return self._batched(self._encode, images, self.image_shape) * self.scaling_factor

    def to_log_mel(self, image: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
        """Latents [B, C, H, W] and levels [B] in dB to dB [B, n_mels, T]."""
        images = self._batched(self._decode, image / self.scaling_factor, self.scaling.image_shape)
        return self.scaling.to_log_mel(images, levels)

    def frame_mask(self, kept: torch.Tensor) -> torch.Tensor:
        """See `Codec`; how far the autoencoder sees beyond its own pixels is not taken into account."""
        pixels = self.scaling.frame_mask(kept).all(dim=0)
        _, height, width = self.image_shape
        mask = pixels.reshape(height, self._factor, width, self._factor).all(dim=3).all(dim=1)
        return mask.expand(self.image_shape)

    def config(self) -> dict[str, Any]:
        """See `Codec`; the autoencoder itself is not in it."""
        return {"codec": "latent", "scaling_factor": self.scaling_factor, "scaling": self.scaling.config()}

    def _encode(self, images: torch.Tensor) -> torch.Tensor:
        encoded = self.autoencoder.encode(images)
        latents: torch.Tensor = encoded.latent_dist.mode() if "latent_dist" in encoded else encoded.latents
        return latents

    def _decode(self, latents: torch.Tensor) -> torch.Tensor:
        images: torch.Tensor = self.autoencoder.decode(latents).sample
        return images

    @torch.no_grad()  # and not inference_mode: latents may be trained on
    def _batched(
        self, function: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor, shape: tuple[int, int, int]
    ) -> torch.Tensor:
        outputs = inputs.new_empty((len(inputs), *shape))
        for start in range(0, len(inputs), self.batch_size):
            rows = torch.arange(start, start + self.batch_size).clamp(max=len(inputs) - 1)
            batch = function(inputs[rows].to(self.device))
            fresh = min(self.batch_size, len(inputs) - start)
            outputs[start : start + fresh] = batch[:fresh].to(outputs.device)
        return outputs


def fitted_scaling(settings: Generator, features: Features, log_mels: torch.Tensor) -> MelScaling | WhitenedScaling:
    """What ``generator.space`` asks for, fitted on log mels [N, n_mels, T] in dB; an autoencoder's images among it."""
    scaling = MelScaling.of(features, settings, log_mels)
    return WhitenedScaling.of(scaling, log_mels) if settings.space == "whitened" else scaling


def images_of(codec: Codec, log_mels: torch.Tensor) -> torch.Tensor:
    """dB [N, n_mels, T] to images [N, C, H, W], part by part: as `Codec.to_image`, which takes twice the room."""
    images = torch.empty((len(log_mels), *codec.image_shape))
    for start in range(0, len(log_mels), PART):
        images[start : start + PART] = codec.to_image(log_mels[start : start + PART])
    return images


def _mean_and_deviation(log_mels: torch.Tensor, floor: float, ceiling: float) -> tuple[float, float]:
    """Of all numbers of dB [N, n_mels, T], at least one, cut at both ends: in double precision, part by part."""
    parts = [log_mels[start : start + PART] for start in range(0, len(log_mels), PART)]
    mean = math.fsum(part.clamp(floor, ceiling).double().sum().item() for part in parts) / log_mels.numel()
    squares = math.fsum((part.clamp(floor, ceiling).double() - mean).square().sum().item() for part in parts)
    return mean, math.sqrt(squares / log_mels.numel())


def save_codec(folder: Path, codec: Codec) -> None:
    """Write mel.json, and a latent codec's autoencoder beside it, into ``folder``, for `load_codec`."""
    if isinstance(codec, LatentCodec):
        codec.autoencoder.save_pretrained(folder / AUTOENCODER_FOLDER, safe_serialization=True)
    write_json(folder / MEL_FILE, codec.config())


def load_codec(folder: Path) -> Codec:
    """The codec `save_codec` wrote into ``folder``; StudyError that names the file when it is not one."""
    path = folder / MEL_FILE
    with reading(path, "no JSON", "what the network's images are"):
        config = json.loads(path.read_text(encoding="utf-8"))
    return codec_of(config, folder)


def codec_of(config: Any, folder: Path | None) -> Codec:
    """The codec with this ``config()``; a latent one reads its autoencoder from ``folder``.

    Raises StudyError that names the folder's mel.json when the values are not those of a codec.
    """
    source = str(folder / MEL_FILE) if folder else "codec"
    if not isinstance(config, Mapping):
        raise StudyError(f"{source}: found {type(config).__name__}, wanted a mapping")
    values = {name: value for name, value in config.items() if name != "codec"}
    kind = config.get("codec")
    if kind == "mel":
        return _checked(MelScaling, values, source)
    if kind == "clip":
        return _checked(ClipScaling, values, source)
    if kind == "whitened":
        return _whitened(values, source)
    if kind != "latent":
        raise StudyError(f"{source}: found the codec {brief(kind)}, wanted mel, whitened, clip or latent")
    if set(values) != {"scaling", "scaling_factor"}:
        raise StudyError(
            f"{source}: found {brief(sorted(values))} of a latent codec, wanted scaling and scaling_factor"
        )
    if not _is(values["scaling_factor"], float):
        raise StudyError(f"{source}: scaling_factor: found {brief(values['scaling_factor'])}, wanted a number")
    if folder is None:
        raise StudyError(f"{source}: found a latent codec without a folder, wanted the one that holds its autoencoder")
    # Reading networks imports diffusers, which takes longer than scaling mels ever does.
    from soundaug.diffusion.pretrained import AUTOENCODERS, load_network

    scaling = codec_of(values["scaling"], folder)
    autoencoder = load_network(folder / AUTOENCODER_FOLDER, AUTOENCODERS)
    try:
        return LatentCodec(scaling, autoencoder, float(values["scaling_factor"]))
    except StudyError as error:
        raise StudyError(f"{source}: {error}") from None


def _whitened(values: dict[str, Any], source: str) -> WhitenedScaling:
    """The whitening with these fields; StudyError when they are something else."""
    if set(values) != {"scaling", "mean", "axes", "deviation"}:
        raise StudyError(f"{source}: found {brief(sorted(values))}, wanted axes, deviation, mean and scaling")
    scaling = codec_of(values["scaling"], None)
    if not isinstance(scaling, MelScaling):
        raise StudyError(f"{source}: scaling: found the codec {values['scaling']['codec']}, wanted mel")
    with reading(Path(source), "no whitening", "lists of numbers"):
        arrays = [torch.tensor(values[name], dtype=torch.float32) for name in ("mean", "axes", "deviation")]
    try:
        return WhitenedScaling(scaling, *arrays)
    except StudyError as error:
        raise StudyError(f"{source}: {error}") from None


def _checked(scaling: Callable[..., S], values: dict[str, Any], source: str) -> S:
    """The scaling with these fields; StudyError when one is missing, unknown or of another type."""
    fields = {field.name: field for field in dataclasses.fields(scaling)}  # type: ignore[arg-type]
    wanted = {name for name, field in fields.items() if field.default is dataclasses.MISSING}
    if not wanted <= set(values) <= set(fields):
        raise StudyError(f"{source}: found {brief(sorted(values))}, wanted {sorted(fields)}")
    for name, value in values.items():
        if not _is(value, fields[name].type):
            kinds = {int: "a whole number above 0", float: "a number", bool: "true or false"}
            raise StudyError(f"{source}: {name}: found {brief(value)}, wanted {kinds[fields[name].type]}")  # type: ignore[index]
    try:
        return scaling(**values)
    except StudyError as error:
        raise StudyError(f"{source}: {error}") from None


def _is(value: Any, kind: Any) -> bool:
    """Whether a JSON value is a truth value, a whole number above 0 or a number, neither beyond all sense."""
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and 0 < value <= LARGEST
    return isinstance(value, int | float) and -LARGEST <= value <= LARGEST
