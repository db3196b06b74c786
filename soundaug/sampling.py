"""DDIM (Song et al. 2021) in both directions: noise to images, and images to the noise that gives them back."""

from collections.abc import Iterator

import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler, DDPMScheduler, UNet2DModel
from tqdm import tqdm

from soundaug.device import autocast, choose_device
from soundaug.params import Generate


class Sampler:
    """Runs one generator in batches of one fixed shape, so that no clip's result depends on its neighbours."""

    def __init__(self, unet: UNet2DModel, schedule: DDPMScheduler, settings: Generate) -> None:
        self.device = choose_device()
        self.unet = unet.to(self.device, memory_format=torch.channels_last).eval()
        self.settings = settings
        self.null_class = unet.config.num_class_embeds - 1
        # Both directions visit the same noise levels; `clip_sample` would make the inversion lossy.
        self._decode = DDIMScheduler.from_config(schedule.config, clip_sample=False, set_alpha_to_one=False)
        self._encode = DDIMInverseScheduler.from_config(schedule.config, clip_sample=False, set_alpha_to_one=False)
        self._decode.set_timesteps(settings.steps)
        self._encode.set_timesteps(settings.steps)

    def invert(self, images: torch.Tensor, labels: torch.Tensor, label: str) -> torch.Tensor:
        """The noises [N, C, H, W] of ``images`` [N, C, H, W] of classes ``labels`` [N], without guidance."""
        return self._run(self._encode, images, labels, 1.0, label)

    def decode(
        self, noise: torch.Tensor, labels: torch.Tensor, label: str, guidance: float | None = None
    ) -> torch.Tensor:
        """Images [N, C, H, W] of ``noise`` [N, C, H, W]; ``guidance`` is the settings' unless given."""
        return self._run(self._decode, noise, labels, self.settings.guidance if guidance is None else guidance, label)

    @torch.inference_mode()
    def _run(
        self,
        scheduler: DDIMScheduler | DDIMInverseScheduler,
        start: torch.Tensor,
        labels: torch.Tensor,
        guidance: float,
        label: str,
    ) -> torch.Tensor:
        result = torch.empty_like(start)
        with tqdm(total=len(start), desc=label, disable=None, unit="clip") as bar:
            for part in self._batches(len(start)):
                batch = start[part].to(self.device).contiguous(memory_format=torch.channels_last)
                classes = labels[part].to(self.device)
                for timestep in scheduler.timesteps:
                    output = self._predict(batch, timestep, classes, guidance)
                    batch = scheduler.step(output, timestep, batch).prev_sample
                fresh = len(torch.unique(part))
                result[part[:fresh]] = batch[:fresh].cpu()
                bar.update(fresh)
        return result

    def _predict(
        self, batch: torch.Tensor, timestep: torch.Tensor, classes: torch.Tensor, guidance: float
    ) -> torch.Tensor:
        """The network's output with classifier-free guidance (Ho & Salimans 2022)."""
        with autocast(self.device, self.settings.precision):
            conditional: torch.Tensor = self.unet(batch, timestep, class_labels=classes).sample.float()
            if guidance == 1.0:
                return conditional
            null = torch.full_like(classes, self.null_class)
            unconditional: torch.Tensor = self.unet(batch, timestep, class_labels=null).sample.float()
        return unconditional + guidance * (conditional - unconditional)

    def _batches(self, count: int) -> Iterator[torch.Tensor]:
        """Indices in batches of exactly ``batch_size``: the last one is filled up with its own last index."""
        for start in range(0, count, self.settings.batch_size):
            yield torch.arange(start, start + self.settings.batch_size).clamp(max=count - 1)
