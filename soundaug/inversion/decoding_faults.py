"""What the published study lost between its generated images and sound: half of each clip's time, and its level.

Its images were made with a hop of 256 samples and, most likely, decoded with 512; and an image of audio-diffusion does
not hold how loud its clip was. Both are here only to reproduce the published figure.
"""

import torch

from soundaug.params import Invert


def faulty(log_mels: torch.Tensor, settings: Invert) -> torch.Tensor:
    """Log mels [B, n_mels, T] in dB as ``invert.stretch`` and ``invert.level_db`` leave them."""
    if settings.stretch > 1:
        log_mels = stretched(log_mels, settings.stretch)
    return log_mels if settings.level_db is None else levelled(log_mels, settings.level_db)


def stretched(log_mels: torch.Tensor, factor: float) -> torch.Tensor:
    """Log mels [B, n_mels, T] ``factor`` times as slow, at the same pitch, cut to as many frames.

    As if the frames were heard ``factor`` times as far apart; between two of them the dB are interpolated.
    """
    places = torch.arange(log_mels.shape[-1], dtype=torch.float64) / factor
    before = places.long()
    after = (before + 1).clamp(max=log_mels.shape[-1] - 1)
    return torch.lerp(log_mels[..., before], log_mels[..., after], (places - before).to(log_mels))


def levelled(log_mels: torch.Tensor, level_db: float) -> torch.Tensor:
    """Log mels [B, n_mels, T] in dB, each moved as a whole until its loudest value is ``level_db``."""
    return log_mels + (level_db - log_mels.amax(dim=(1, 2), keepdim=True))
