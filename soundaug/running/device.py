"""Where the arithmetic runs, in which precision, and that it repeats."""

import os
from contextlib import AbstractContextManager

import numpy as np
import torch

# cuBLAS repeats itself only with a fixed workspace; it must be set before the first CUDA call.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def choose_device() -> torch.device:
    """The first CUDA device, else Apple's GPU, else the CPU; SOUNDAUG_DEVICE overrides. Asks a GPU to repeat itself."""
    name = os.environ.get("SOUNDAUG_DEVICE")
    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if name == "cuda" else name)
    if device.type != "cpu":  # on the CPU all that is used here repeats anyway, and the call imports for 4 s
        torch.use_deterministic_algorithms(True, warn_only=True)
    return device


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """Mixed precision: ``auto`` is bfloat16 where the processor multiplies it in hardware, else float32."""
    if precision == "auto":
        precision = "bfloat16" if _has_bfloat16(device) else "float32"
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def generator_of(*numbers: int) -> torch.Generator:
    """A CPU generator whose stream is fixed by ``numbers`` together (each 0 to 2^31)."""
    entropy = [len(numbers), *numbers]  # the count, since SeedSequence takes (0,) and (0, 0) for the same
    (seed,) = np.random.SeedSequence(entropy).generate_state(1)  # 32 bits: all that torch's CPU generator keeps of it
    return torch.Generator().manual_seed(int(seed))


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
