"""A stylizer as a folder: diffusers' StableDiffusionPipeline, and what its images are beside it."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from soundaug.diffusion.model import GROUP_CHANNELS, HEAD_CHANNELS, place
from soundaug.params import Stylizer
from soundaug.running.device import choose_device
from soundaug.running.errors import StudyError
from soundaug.running.hub import local_or_fetched
from soundaug.running.outputs import read_json, whole
from soundaug.stylizer.windows import FORMAT_FILE, ImageFormat

INDEX = "model_index.json"
FILES = (INDEX, FORMAT_FILE, *("*/*.json", "tokenizer/*.txt", "*/*.safetensors"))  # of a model on the hub: no pickles
PARAM = "stylize.model"


@dataclass(frozen=True)
class StylizerModel:
    """Stable Diffusion's parts, ready for inference, and the format of the images they make."""

    pipeline: StableDiffusionPipeline
    form: ImageFormat

    @property
    def latent_factor(self) -> int:
        """How many times smaller than the images the latents are."""
        return int(2 ** (len(self.pipeline.vae.config.block_out_channels) - 1))


def build_text_encoder(settings: Stylizer, tokenizer: CLIPTokenizer, seed: int) -> CLIPTextModel:
    """A fresh CLIP text encoder (Radford et al. 2021) for the tokens of ``tokenizer``."""
    text = settings.text
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=text.width,
        intermediate_size=4 * text.width,
        projection_dim=text.width,
        num_hidden_layers=text.layers,
        num_attention_heads=text.heads,
        max_position_embeddings=text.max_tokens,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIPTextModel(config)


def build_text_unet(settings: Stylizer, latent_shape: tuple[int, int, int], seed: int) -> UNet2DConditionModel:
    """A fresh U-Net of latents [C, H, W] whose lowest levels attend to the text's hidden states.

    The whole text also scales and shifts every residual block, beside the timestep, as in DeepFloyd IF: a style is
    everywhere in an image.
    """
    channels, height, _ = latent_shape
    levels = len(settings.channels)
    attends = [level >= levels - settings.attention_levels for level in range(levels)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet2DConditionModel(
            sample_size=height,
            in_channels=channels,
            out_channels=channels,
            block_out_channels=tuple(settings.channels),
            layers_per_block=settings.layers_per_block,
            down_block_types=tuple("CrossAttnDownBlock2D" if attend else "DownBlock2D" for attend in attends),
            up_block_types=tuple("CrossAttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)),
            cross_attention_dim=settings.text.width,
            addition_embed_type="text",
            addition_embed_type_num_heads=settings.text.heads,
            resnet_time_scale_shift="scale_shift",
            attention_head_dim=tuple(max(1, width // HEAD_CHANNELS) for width in settings.channels),  # diffusers: heads
            norm_num_groups=max(1, math.gcd(*settings.channels) // GROUP_CHANNELS),
        )


def save_stylizer(
    folder: Path,
    tokenizer: CLIPTokenizer,
    text_encoder: CLIPTextModel,
    autoencoder: AutoencoderKL,
    unet: UNet2DConditionModel,
    scheduler: DDIMScheduler,
    form: ImageFormat,
) -> None:
    """Write the folder that `StableDiffusionPipeline.from_pretrained` reads, safetensors only, and spectrogram.json."""
    pipeline = StableDiffusionPipeline(
        vae=autoencoder.cpu(),
        text_encoder=text_encoder.cpu(),
        tokenizer=tokenizer,
        unet=unet.cpu(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    with whole(folder) as partial, silent():
        pipeline.save_pretrained(partial, safe_serialization=True)
        form.save(partial)


def load_stylizer(name: str | Path, param: str = PARAM) -> StylizerModel:
    """The model in a folder or of a hub name: any Stable Diffusion; Riffusion's images without spectrogram.json.

    Sampled with DDIM, whichever scheduler it was saved with. Safetensors only. Raises StudyError, one line that names
    ``param``, when it is not there, is not whole or does not fit its images.
    """
    folder = local_or_fetched(str(name), FILES, param)
    if not (folder / INDEX).is_file():
        raise StudyError(f"{param}: found no {INDEX} in {folder}, wanted a folder of Stable Diffusion")
    index = read_json(folder / INDEX)
    found = index.get("_class_name") if isinstance(index, dict) else None
    if found not in ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"):
        raise StudyError(f"{folder / INDEX}: found the class {found!r}, wanted StableDiffusionPipeline")
    for part in ("vae", "unet", "text_encoder"):
        if not any((folder / part).glob("*.safetensors")):
            raise StudyError(f"{folder / part}: found no weights, wanted safetensors (pickles are not read)")
    words = folder / "tokenizer"
    if not ((words / "tokenizer.json").is_file() or all((words / n).is_file() for n in ("vocab.json", "merges.txt"))):
        raise StudyError(f"{words}: found no vocabulary, wanted tokenizer.json, or vocab.json and merges.txt")
    form = ImageFormat.load(folder)
    try:
        with silent():
            pipeline = StableDiffusionPipeline.from_pretrained(
                folder,
                safety_checker=None,
                feature_extractor=None,
                requires_safety_checker=False,
                use_safetensors=True,
                local_files_only=True,
                dtype=torch.float32,
            )
            pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, clip_sample=False)
    except (
        AttributeError,
        LookupError,
        OSError,
        RuntimeError,
        SafetensorError,
        TypeError,
        ValueError,
    ) as error:
        line = " ".join(str(error).split())
        raise StudyError(f"{folder}: found no whole Stable Diffusion ({line:.200}), wanted one") from None
    size = pipeline.unet.config.sample_size  # a default that nothing here asks for
    if not isinstance(size, int):  # diffusers' image to image compares it with a number
        pipeline.unet.register_to_config(sample_size=max(size) if size else 64)
    pipeline.set_progress_bar_config(disable=True)
    device = choose_device()
    pipeline.to(device)
    for network in (pipeline.vae, pipeline.unet):
        network.eval()
        place(network, device)
    pipeline.text_encoder.eval()
    model = StylizerModel(pipeline, form)
    multiple = max(8, model.latent_factor)
    for side, size in (("num_frequencies", form.params.num_frequencies), ("width", form.width)):
        if size % multiple:
            raise StudyError(f"{folder / FORMAT_FILE}: {side}: found {size}, wanted a multiple of {multiple}")
    return model


@contextmanager
def silent() -> Iterator[None]:
    """The libraries' own warnings and bars off: what matters is told as an error."""
    levels = diffusers_logging.get_verbosity(), transformers_logging.get_verbosity()
    diffusers_logging.set_verbosity(diffusers_logging.CRITICAL)
    transformers_logging.set_verbosity(transformers_logging.CRITICAL)
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        diffusers_logging.set_verbosity(levels[0])
        transformers_logging.set_verbosity(levels[1])
        diffusers_logging.enable_progress_bar()
        transformers_logging.enable_progress_bar()
