"""Images from text and from images, through diffusers' pipelines: prompts, seeds, interpolation, strength, masks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    SchedulerMixin,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
)
from PIL import Image
from tqdm import tqdm

from soundaug.interpolation import slerp
from soundaug.running.device import autocast, generator_of
from soundaug.running.errors import StudyError
from soundaug.running.threads import side_by_side
from soundaug.stylizer.model import StylizerModel
from soundaug.stylizer.tokenizer import check_prompt

ONE_TOKENIZES = Lock()  # Hugging Face's tokenizers are not to be shared by threads


@dataclass(frozen=True)
class Wish:
    """What is wanted of one image; with a second prompt or seed, the way between both at ``alpha``."""

    prompt: str
    seed: int
    negative_prompt: str = ""
    end_prompt: str | None = None
    end_seed: int | None = None
    alpha: float = 0.0  # 0: the first prompt and seed, 1: the second ones


@dataclass(frozen=True)
class Sampling:
    """How images are sampled (``steps`` from noise, classifier-free ``guidance``, images at once) and sound.

    ``sampler``: ddim, or dpm_solver: DPM-Solver++ 2M (Lu et al. 2022), of which half the steps do.
    """

    sampler: str = "ddim"
    steps: int = 50
    guidance: float = 7.0
    batch_size: int = 4
    overlap: float = 0.25  # of neighbouring windows, a share of the window
    iterations: int = 32  # of Griffin-Lim
    precision: str = "float32"  # of the networks


class NoisedImg2ImgPipeline(StableDiffusionImg2ImgPipeline):  # type: ignore[misc]
    """diffusers' image to image, starting from given latents and a given noise."""

    given_latents: torch.Tensor
    given_noise: torch.Tensor

    def prepare_latents(self, image: Any, timestep: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        """The latents noised up to ``timestep``; diffusers itself would draw both the latents and the noise."""
        noised: torch.Tensor = self.scheduler.add_noise(self.given_latents, self.given_noise, timestep)
        return noised


def text_to_images(model: StylizerModel, wishes: Sequence[Wish], sampling: Sampling, width: int) -> list[Image.Image]:
    """RGB images of ``width`` columns, a multiple of 8, from noise; each wish's seed alone decides its noise.

    Raises StudyError for a prompt that is empty or longer than the tokenizer takes.
    """
    height = model.form.params.num_frequencies
    shape = _latent_shape(model, width)

    def made(part: Sequence[Wish]) -> list[Image.Image]:
        positive, negative = embeddings_of(model, part)
        noise = noises_of(part, shape).to(model.pipeline.device)
        images: list[Image.Image] = _pipeline(StableDiffusionPipeline, model, sampling)(
            prompt_embeds=positive,
            negative_prompt_embeds=negative,
            latents=noise,
            height=height,
            width=width,
            num_inference_steps=sampling.steps,
            guidance_scale=sampling.guidance,
            eta=0.0,
        ).images
        return images

    return _in_batches(model, made, wishes, sampling, "from text")


def image_to_images(
    model: StylizerModel,
    images: Sequence[Image.Image],
    wishes: Sequence[Wish],
    sampling: Sampling,
    strength: float,
    masks: Sequence[Image.Image] | None = None,
) -> list[Image.Image]:
    """RGB images made of ``images``, all of one size, a wish each: noised ``strength`` of the way and denoised again.

    Where a mask, stretched to the image, is black the image is kept, where it is white it is made anew. Raises
    StudyError for a strength that leaves not one of the steps.
    """
    check_strength(strength, sampling.steps)

    def made(rows: Sequence[int]) -> list[Image.Image]:
        pipeline = _pipeline(NoisedImg2ImgPipeline, model, sampling)
        batch = [images[row].convert("RGB") for row in rows]
        part = [wishes[row] for row in rows]
        positive, negative = embeddings_of(model, part)
        pixels = pipeline.image_processor.preprocess(batch).to(model.pipeline.device)
        latents = model.pipeline.vae.encode(pixels).latent_dist.mode() * model.pipeline.vae.config.scaling_factor
        pipeline.given_latents = latents
        pipeline.given_noise = noises_of(part, tuple(latents.shape[1:])).to(model.pipeline.device)
        options: dict[str, Any] = {}
        renewed = None if masks is None else [_renewed(masks[row], batch[0].size) for row in rows]
        if renewed is not None:
            options = {
                "callback_on_step_end": _Keep(pipeline, _latent_masks(renewed, latents)),
                "callback_on_step_end_tensor_inputs": ["latents"],
            }
        restyled: list[Image.Image] = pipeline(
            prompt_embeds=positive,
            negative_prompt_embeds=negative,
            image=batch,
            strength=strength,
            num_inference_steps=sampling.steps,
            guidance_scale=sampling.guidance,
            eta=0.0,
            **options,
        ).images
        if renewed is not None:  # the autoencoder would blur what is kept
            restyled = [
                Image.fromarray(np.where(mask[..., None], np.asarray(new), np.asarray(old)))
                for mask, new, old in zip(renewed, restyled, batch, strict=True)
            ]
        return restyled

    return _in_batches(model, made, range(len(images)), sampling, f"restyled, strength {strength:g}")


def autoencoded(model: StylizerModel, images: Sequence[Image.Image], sampling: Sampling) -> list[Image.Image]:
    """RGB images of ``images``, all of one size, encoded and decoded: what the autoencoder alone makes of them."""
    processor, vae = model.pipeline.image_processor, model.pipeline.vae

    def made(batch: Sequence[Image.Image]) -> list[Image.Image]:
        pixels = processor.preprocess([image.convert("RGB") for image in batch]).to(model.pipeline.device)
        decoded: list[Image.Image] = processor.postprocess(vae.decode(vae.encode(pixels).latent_dist.mode()).sample)
        return decoded

    return _in_batches(model, made, images, sampling, "autoencoded")


def check_strength(strength: float, steps: int) -> None:
    """Raise StudyError for a denoising strength that is not within 0 to 1, or leaves not one of the steps."""
    if not 0 < strength <= 1 or int(steps * strength) < 1:
        raise StudyError(f"strength: found {strength}, wanted {1 / steps:g} (one of {steps} steps) to 1")


def check_wish(model: StylizerModel, wish: Wish) -> None:
    """Raise StudyError for an empty prompt, or a text of more tokens than the model takes. Nothing is cut off."""
    texts = {"prompt": wish.prompt, "end_prompt": wish.end_prompt}
    for name, text in texts.items():
        if text is not None and not text.strip():
            raise StudyError(f"{name}: found an empty text, wanted a style in words")
    for name, text in (texts | {"negative_prompt": wish.negative_prompt}).items():
        check_prompt(model.pipeline.tokenizer, text or "", name)


def embeddings_of(model: StylizerModel, wishes: Sequence[Wish]) -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states [B, L, D] of the wishes' texts, mixed linearly between two prompts, and of their negative ones."""

    def encode(texts: list[str]) -> torch.Tensor:
        states: torch.Tensor = model.pipeline.encode_prompt(texts, model.pipeline.device, 1, False)[0]
        return states

    with ONE_TOKENIZES:
        for wish in wishes:
            check_wish(model, wish)
        start = encode([wish.prompt for wish in wishes])
        end = encode([wish.prompt if wish.end_prompt is None else wish.end_prompt for wish in wishes])
        negative = encode([wish.negative_prompt for wish in wishes])
    alpha = torch.tensor([wish.alpha for wish in wishes], device=start.device).view(-1, 1, 1)
    return torch.lerp(start, end, alpha.expand_as(start)), negative


def noises_of(wishes: Sequence[Wish], shape: tuple[int, ...]) -> torch.Tensor:
    """Noises [B, *shape] of the wishes' seeds, on the sphere between two seeds: the same on every device."""
    start = torch.stack([torch.randn(shape, generator=generator_of(wish.seed)) for wish in wishes])
    seeds = [wish.seed if wish.end_seed is None else wish.end_seed for wish in wishes]
    end = torch.stack([torch.randn(shape, generator=generator_of(seed)) for seed in seeds])
    return slerp(start, end, torch.tensor([wish.alpha for wish in wishes]))


def _pipeline(kind: type[StableDiffusionPipeline], model: StylizerModel, sampling: Sampling) -> Any:
    """The model's parts as another pipeline of diffusers, with the sampler asked for."""
    parts = model.pipeline.components | {"scheduler": _scheduler(model.pipeline.scheduler.config, sampling.sampler)}
    pipeline = kind(**parts, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _scheduler(config: Any, sampler: str) -> SchedulerMixin:
    if sampler == "ddim":
        return DDIMScheduler.from_config(config)
    return DPMSolverMultistepScheduler.from_config(config, algorithm_type="dpmsolver++", solver_order=2)


class _Keep:
    """After each step, what is kept of the image at the noise level that the step came to."""

    def __init__(self, pipeline: NoisedImg2ImgPipeline, masks: torch.Tensor) -> None:
        self.kept, self.noise = pipeline.given_latents, pipeline.given_noise
        self.masks = masks  # 1 where the image is made anew

    def __call__(self, pipeline: Any, step: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        timesteps = pipeline.scheduler.timesteps
        later = timesteps[timesteps < timestep]
        kept = self.kept  # after the last step without noise
        if len(later):
            kept = pipeline.scheduler.add_noise(kept, self.noise, later[:1].expand(len(kept)))
        return {"latents": torch.where(self.masks, tensors["latents"], kept)}


def _renewed(mask: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """Where [H, W] the image is made anew: where the mask, stretched to ``size``, is more white than black."""
    return np.asarray(mask.convert("L").resize(size, Image.Resampling.NEAREST)) > 127


def _latent_masks(renewed: Sequence[np.ndarray], latents: torch.Tensor) -> torch.Tensor:
    """Which latents [B, 1, h, w] are made anew: those with any pixel that is."""
    masks = torch.from_numpy(np.stack(renewed))[:, None].float()
    return torch.nn.functional.adaptive_max_pool2d(masks, latents.shape[-2:]).bool().to(latents.device)


def _latent_shape(model: StylizerModel, width: int) -> tuple[int, int, int]:
    multiple = max(8, model.latent_factor)
    if width < multiple or width % multiple:
        raise StudyError(f"width: found {width}, wanted a multiple of {multiple}")
    height = model.form.params.num_frequencies
    return model.pipeline.unet.config.in_channels, height // model.latent_factor, width // model.latent_factor


def _in_batches(
    model: StylizerModel,
    made: Callable[[Sequence[Any]], list[Image.Image]],
    values: Sequence[Any],
    sampling: Sampling,
    label: str,
) -> list[Image.Image]:
    """An image of every value: a batch after the other on a GPU, side by side on the cores of a processor."""
    size, device = sampling.batch_size, model.pipeline.device
    parts = [list(values[start : start + size]) for start in range(0, len(values), size)]
    for part in parts:
        part += part[-1:] * (size - len(part))  # filled up, so that no result depends on its neighbours

    def work(part: Sequence[Any]) -> list[Image.Image]:
        with torch.no_grad(), autocast(device, sampling.precision):
            return made(part)

    done = (
        side_by_side(work, parts, label, "batch")
        if device.type == "cpu"
        else map(work, tqdm(parts, desc=label, disable=None, unit="batch"))
    )
    return [image for part in done for image in part][: len(values)]
