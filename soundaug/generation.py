"""Generated clips: parents inverted once, noises mixed, mixtures decoded; and how well inversion gives a clip back."""

from collections.abc import Sequence

import numpy as np
import torch

from soundaug.diffusion import MelScaling
from soundaug.interpolation import Pair, slerp
from soundaug.sampling import Sampler


def interpolate(
    sampler: Sampler,
    scaling: MelScaling,
    log_mels: torch.Tensor,
    labels: torch.Tensor,
    names: Sequence[str],
    pairs: Sequence[Pair],
) -> tuple[torch.Tensor, dict[str, float]]:
    """The log mels [M, n_mels, T] in dB of ``pairs`` of the clips ``log_mels`` [N, n_mels, T], ``labels``, ``names``.

    Also returns figures of the inversion: ``noise_std`` (1 where it reached the prior) and
    ``reconstruction_rmse_db``, the error of one batch of parents inverted and decoded again without guidance.
    """
    if not pairs:
        return log_mels[:0], {}
    row_of = {name: row for row, name in enumerate(names)}
    parents = sorted({row_of[name] for pair in pairs for name in (pair.parent_a, pair.parent_b)})
    place = {row: index for index, row in enumerate(parents)}
    noise = sampler.invert(scaling.to_image(log_mels[parents]), labels[parents], "invert parents")
    a, b = (
        [place[row_of[name]] for name in side] for side in zip(*((p.parent_a, p.parent_b) for p in pairs), strict=True)
    )
    mixed = slerp(noise[a], noise[b], torch.tensor([pair.alpha for pair in pairs]))
    decoded = sampler.decode(mixed, torch.tensor([pair.class_id for pair in pairs]), "decode clips")

    sample = np.linspace(0, len(parents) - 1, min(len(parents), sampler.settings.batch_size)).astype(int)
    rows = [parents[index] for index in sample]
    again = scaling.to_log_mel(sampler.decode(noise[sample], labels[rows], "decode parents", guidance=1.0))
    kept = scaling.to_log_mel(scaling.to_image(log_mels[rows]))
    quality = {
        "clips": len(pairs),
        "parents": len(parents),
        "noise_std": round(float(noise.std()), 4),
        "reconstruction_rmse_db": round(float((again - kept).square().mean().sqrt()), 4),
    }
    return scaling.to_log_mel(decoded), quality
