"""The course of a learning rate over a training."""

import math


def schedule_factor(step: int, steps: int, warmup_steps: int) -> float:
    """Linear warm-up to 1, then half a cosine down to 0 at ``steps``; ``step`` counts from 0."""
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return 0.5 * (1 + math.cos(math.pi * (step - warmup_steps) / max(1, steps - warmup_steps)))
