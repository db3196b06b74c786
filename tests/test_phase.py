"""Phase reconstruction from true magnitudes and from mels, against torchaudio's and against what was given."""

import pytest
import torch
import torchaudio

from soundaug.params import Features
from soundaug.sound.features import MelFrontEnd
from soundaug.sound.mel_bands import MelBands
from soundaug.sound.phase import (
    Stft,
    admm,
    by_frames,
    first_spectra,
    griffin_lim,
    mel_griffin_lim,
    power_of,
    spectral_convergence_db,
    with_magnitudes,
)

RATE = 8000
STFT = Stft(n_fft=512, hop_length=128, n_samples=RATE)
SEEDS = [3, 4]


def chord() -> torch.Tensor:
    """Two clips of ten harmonics each, sliding, with a little noise: [2, n_samples]."""
    seconds = torch.arange(STFT.n_samples, dtype=torch.float64) / RATE
    noise = 0.01 * torch.randn(2, STFT.n_samples, generator=torch.Generator().manual_seed(0))
    tones = [
        sum(torch.sin(2 * torch.pi * k * (hz * seconds + 30 * seconds**2)) / k for k in range(1, 11))
        for hz in (170.0, 230.0)
    ]
    return 0.2 * torch.stack([torch.as_tensor(tone) for tone in tones]).float() + noise


def convergence(magnitudes: torch.Tensor, waveforms: torch.Tensor) -> float:
    return float(spectral_convergence_db(magnitudes, waveforms, STFT).mean())


def test_a_transform_and_its_inverse() -> None:
    waveforms = chord()
    spectra = STFT.spectrum(waveforms)
    assert spectra.shape == (2, 257, 63)
    assert (STFT.waveform(spectra) - waveforms).abs().max() < 1e-5
    assert (STFT.consistent(spectra) - spectra).abs().max() < 1e-3
    inconsistent = first_spectra(spectra.abs(), SEEDS)
    projected = STFT.consistent(inconsistent)
    assert (STFT.consistent(projected) - projected).abs().max() < 1e-3  # a projection
    assert (projected - inconsistent).abs().max() > 1


def test_a_short_window_is_padded() -> None:
    stft = Stft(n_fft=1024, hop_length=64, n_samples=RATE, win_length=256)
    waveforms = chord()
    found = stft.spectrum(waveforms)
    # Frame t is centred at 64 t: 256 samples under the window, 384 zeros either side.
    window = torch.nn.functional.pad(torch.hann_window(256), (384, 384))
    wanted = torch.fft.rfft(waveforms[0, 64 * 50 - 512 : 64 * 50 + 512] * window)
    assert (found[0, :, 50] - wanted).abs().max() < 1e-3
    assert (stft.waveform(found) - waveforms).abs().max() < 1e-5


@pytest.mark.parametrize(("n_fft", "hop", "win"), [(512, 128, 512), (512, 150, 512), (400, 170, 333), (256, 64, 99)])
def test_the_inverse_is_torchs(n_fft: int, hop: int, win: int) -> None:
    """Of inconsistent spectra too, whichever parts of a window a hop is."""
    stft = Stft(n_fft, hop, RATE, win)
    frames = 1 + RATE // hop
    spectra = torch.randn(2, n_fft // 2 + 1, frames, dtype=torch.complex64, generator=torch.Generator().manual_seed(2))
    wanted = torch.istft(spectra, n_fft, hop, win, torch.hann_window(win), length=RATE)
    found = stft.waveform(spectra)
    assert found.shape == (2, RATE)
    assert (found - wanted).abs().max() < 1e-5 * wanted.abs().max()
    assert torch.equal(stft.waveform(spectra[1]), found[1])
    longer = Stft(n_fft, hop, RATE + n_fft, win).waveform(spectra)  # what no frame reaches is silence
    assert (longer[:, (frames - 1) * hop + n_fft // 2 :] == 0).all()


def test_by_frames_is_a_matter_of_memory_alone() -> None:
    magnitudes = torch.rand(2, 5, 7)
    assert torch.equal(by_frames(magnitudes), magnitudes)
    assert by_frames(magnitudes).stride() == (35, 1, 5)
    assert by_frames(STFT.spectrum(chord())).stride() == STFT.spectrum(chord()).stride()


def test_power_is_the_square_of_the_magnitudes() -> None:
    assert torch.allclose(power_of(torch.tensor([3 + 4j, -1j, 0j])), torch.tensor([25.0, 1.0, 0.0]))


def test_spectral_convergence_of_known_audio() -> None:
    waveforms = chord()
    magnitudes = STFT.spectrum(waveforms).abs()
    assert convergence(magnitudes, waveforms) < -100
    assert torch.allclose(
        spectral_convergence_db(magnitudes, 0.9 * waveforms, STFT), torch.full((2,), -20.0), atol=1e-3
    )
    assert torch.allclose(spectral_convergence_db(magnitudes, 0 * waveforms, STFT), torch.zeros(2), atol=1e-5)


def test_phases_are_the_seeds() -> None:
    magnitudes = STFT.spectrum(chord()).abs()
    first = first_spectra(magnitudes, SEEDS)
    assert torch.allclose(first.abs(), magnitudes, atol=1e-4)
    assert torch.equal(first_spectra(magnitudes[1:], SEEDS[1:])[0], first[1])
    phases = first.angle()[magnitudes > 1e-3]
    assert [float(((phases > low) & (phases <= low + torch.pi / 2)).float().mean()) for low in (-3.1416, 0.0)] == (
        pytest.approx([0.25, 0.25], abs=0.02)  # torchaudio's are in the first quadrant alone
    )


@pytest.mark.parametrize("momentum", [0.0, 0.99])
def test_griffin_lim_is_torchaudios(momentum: float) -> None:
    """From the same first phases, by the same algorithm: torchaudio starts at phase 0 without rand_init."""
    magnitudes = STFT.spectrum(chord().double()).abs()  # what is rounded grows from projection to projection
    wanted = torchaudio.functional.griffinlim(
        magnitudes, torch.hann_window(512, dtype=torch.float64), 512, 128, 512, 1.0, 12, momentum, RATE, False
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "soundaug.sound.phase.first_spectra", lambda magnitudes, seeds: torch.complex(magnitudes, 0 * magnitudes)
        )
        found = griffin_lim(magnitudes, STFT, SEEDS, 12, momentum)
    assert (found - wanted).abs().max() < 1e-6 * wanted.abs().max()


def test_the_fast_variant_and_admm_come_closer() -> None:
    """60 iterations from true magnitudes: each better than the last by decibels."""
    magnitudes = STFT.spectrum(chord()).abs()
    slow = convergence(magnitudes, griffin_lim(magnitudes, STFT, SEEDS, 60, 0.0))
    fast = convergence(magnitudes, griffin_lim(magnitudes, STFT, SEEDS, 60, 0.99))
    multipliers = convergence(magnitudes, admm(magnitudes, STFT, SEEDS, 60, 0.2, 0.1))
    assert slow < -10
    assert fast < slow - 2
    assert multipliers < fast - 2


def test_admm_keeps_what_is_consistent() -> None:
    """The right phases are a fixed point."""
    spectra = STFT.spectrum(chord())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("soundaug.sound.phase.first_spectra", lambda magnitudes, seeds: spectra)
        found = admm(spectra.abs(), STFT, SEEDS, 5, 0.2, 0.1)
    assert (found - chord()).abs().max() < 1e-3


def test_the_mel_is_what_is_held() -> None:
    """More projections, less mel error; magnitudes that the mel does not tell stay free."""
    settings = Features(
        sample_rate=RATE,
        clip_seconds=1.0,
        n_fft=512,
        hop_length=128,
        n_mels=40,
        fmin_hz=0.0,
        fmax_hz=4000.0,
        filters="htk",
        scale="log",
        floor_db=-60.0,
        ceiling_db=20.0,
        normalization="none",
    )
    front_end = MelFrontEnd(settings)
    wanted = front_end.power(chord())
    first = (torch.linalg.pinv(front_end.filters) @ wanted).clamp(min=0).sqrt()

    def error(iterations: int) -> float:
        made = mel_griffin_lim(wanted, MelBands(front_end.filters), first, STFT, SEEDS, iterations, 0.8)
        return float((front_end.to_db(front_end.power(made)) - front_end.to_db(wanted)).square().mean().sqrt())

    errors = [error(iterations) for iterations in (1, 8, 64)]
    assert errors[1] < 0.65 * errors[0]  # measured: 7.0, 4.2, 2.6 dB, most of it between the harmonics
    assert errors[2] < 0.65 * errors[1]


def test_magnitudes_are_put_on_and_phases_kept() -> None:
    spectra = torch.tensor([[3 + 4j, 0j, 1j]])
    found = with_magnitudes(spectra, torch.tensor([[10.0, 2.0, 0.0]]))
    assert torch.allclose(found, torch.tensor([[6 + 8j, 0j, 0j]]))  # what has no phase stays at nothing


def test_silence_stays_silence() -> None:
    magnitudes = torch.zeros(1, 257, 63)
    assert torch.equal(griffin_lim(magnitudes, STFT, [0], 3, 0.99), torch.zeros(1, RATE))
    assert torch.equal(admm(magnitudes, STFT, [0], 3, 0.2, 0.1), torch.zeros(1, RATE))
