"""Which device, which precision, which random stream."""

import pytest
import torch

from soundaug.running import device
from soundaug.running.device import autocast, choose_device, generator_of

CPU = torch.device("cpu")


def test_the_environment_chooses_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDAUG_DEVICE", "cpu")
    assert choose_device() == CPU
    monkeypatch.delenv("SOUNDAUG_DEVICE")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device() == CPU


@pytest.mark.parametrize(
    ("precision", "hardware", "dtype"),
    [
        ("float32", True, torch.float32),
        ("bfloat16", False, torch.bfloat16),
        ("auto", True, torch.bfloat16),
        ("auto", False, torch.float32),
    ],
)
def test_the_precision_of_a_product(
    precision: str, hardware: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: hardware)
    one = torch.full((2, 2), 1 + 2**-10)
    with autocast(CPU, precision):
        product = one @ torch.eye(2)
    assert product.dtype == dtype
    assert product[0, 0].item() == (1.0 if dtype == torch.bfloat16 else 1 + 2**-10)  # 8 bits do not hold 2^-10
    assert device._has_bfloat16(CPU) == hardware


def test_the_numbers_together_fix_the_stream() -> None:
    def draw(*numbers: int) -> tuple[float, ...]:
        return tuple(torch.rand(4, generator=generator_of(*numbers)).tolist())

    assert draw(0, 1) == draw(0, 1)
    seeds = [(seed, part) for seed in (*range(50), 2**31 - 1) for part in (1, 2)] + [(0,), (0, 0, 0)]
    assert len({draw(*numbers) for numbers in seeds}) == len(seeds)
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    draw(5)
    assert torch.equal(torch.random.get_rng_state(), state)
