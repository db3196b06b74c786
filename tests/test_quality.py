"""Quality figures against values worked out by hand and against the definitions written out pair by pair."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_clips

from soundaug.classification import encoder
from soundaug.classification.classifier import SoundClassifier
from soundaug.classification.encoder import embed, probabilities_of
from soundaug.classification.training import predict
from soundaug.judging import quality
from soundaug.judging.quality import assess, kernel_audio_distance, kernel_distance, label_agreement, prdc
from soundaug.params import Classifier

NETWORK = Classifier(channels=[4, 8], kernel=3, padding=1, pool=2, batch_norm=True, hidden=8)
MEL = tiny_clips().mel


def normal(seed: int, n: int, d: int = 8, mean: float = 0.0, std: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, std, (n, d)).astype(np.float32)


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def unbiased(a: np.ndarray, b: np.ndarray, kernel: Any) -> float:
    """Squared MMD, pair by pair."""

    def within(x: np.ndarray) -> float:
        return float(np.mean([kernel(p, q) for i, p in enumerate(x) for j, q in enumerate(x) if i != j]))

    a, b = a.astype(np.float64), b.astype(np.float64)
    return within(a) + within(b) - 2 * float(np.mean([kernel(p, q) for p in a for q in b]))


def published_prdc(real: np.ndarray, generated: np.ndarray, k: int) -> dict[str, float]:
    """The definitions of Kynkaanniemi et al. and Naeem et al. with whole distance matrices."""

    def distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.sqrt(((x[:, None] - y[None]).astype(np.float64) ** 2).sum(axis=-1))

    real_radius = np.sort(distances(real, real), axis=1)[:, k]
    generated_radius = np.sort(distances(generated, generated), axis=1)[:, k]
    between = distances(real, generated)
    return {
        "precision": (between < real_radius[:, None]).any(axis=0).mean(),
        "recall": (between < generated_radius[None]).any(axis=1).mean(),
        "density": (between < real_radius[:, None]).sum(axis=0).mean() / k,
        "coverage": (between.min(axis=1) < real_radius).mean(),
    }


def test_kid_by_hand() -> None:
    # D = 1, kernel (xy + 1)^3: within a 1, within b 27, between (1 + 1 + 8 + 27) / 4
    assert kernel_distance(column(0, 1), column(1, 2)) == pytest.approx(1 + 27 - 2 * 37 / 4)


def test_kid_is_its_definition() -> None:
    a, b = normal(0, 9), normal(1, 13, mean=0.5)
    expected = unbiased(a, b, lambda p, q: (p @ q / 8 + 1) ** 3)
    assert kernel_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert kernel_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_kid_is_unbiased() -> None:
    found = np.array([kernel_distance(normal(seed, 20), normal(1000 + seed, 30)) for seed in range(300)])
    assert abs(found.mean()) < 3 * found.std() / math.sqrt(300)
    assert found.min() < 0 < found.max()
    assert kernel_distance(normal(0, 200, mean=1.0), normal(1, 200)) > 10 * found.std()


def test_kad_by_hand() -> None:
    # reference 0, 1, 3: distances 1, 2, 3, bandwidth 2, kernel exp(-d^2 / 8)
    within_a = math.exp(-4 / 8)
    within_b = (math.exp(-1 / 8) + math.exp(-4 / 8) + math.exp(-9 / 8)) / 3
    between = (1 + math.exp(-1 / 8) + math.exp(-9 / 8) + math.exp(-4 / 8) + math.exp(-1 / 8) + math.exp(-1 / 8)) / 6
    found = kernel_audio_distance(column(0, 2), column(0, 1, 3))
    assert found == pytest.approx(100 * (within_a + within_b - 2 * between), rel=1e-6)


def test_kad_is_its_definition_and_its_bandwidth_the_references() -> None:
    a, b = normal(2, 9, std=3), normal(3, 13)

    def expected(x: np.ndarray, reference: np.ndarray) -> float:
        pairs = [np.linalg.norm(p - q) for i, p in enumerate(reference) for q in reference[:i]]
        bandwidth = float(np.median(pairs))
        return 100 * unbiased(x, reference, lambda p, q: math.exp(-((p - q) @ (p - q)) / (2 * bandwidth**2)))

    assert kernel_audio_distance(a, b) == pytest.approx(expected(a, b), rel=1e-6)
    assert kernel_audio_distance(b, a) == pytest.approx(expected(b, a), rel=1e-6)
    assert expected(a, b) != pytest.approx(expected(b, a), rel=0.1)


def test_kad_does_not_depend_on_the_scale_and_stays_finite() -> None:
    a, b = normal(4, 40, mean=0.3), normal(5, 50)
    assert kernel_audio_distance(100 * a, 100 * b) == pytest.approx(kernel_audio_distance(a, b), rel=1e-5)
    same = np.ones((5, 3), np.float32)  # a median distance of 0
    assert kernel_audio_distance(same, same) == pytest.approx(0)
    assert kernel_audio_distance(same + 1, same) == pytest.approx(200)


def test_a_large_references_bandwidth_is_of_evenly_spaced_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = normal(6, 20, mean=0.5), normal(7, 400)
    exact = kernel_audio_distance(a, b)
    monkeypatch.setattr(quality, "BANDWIDTH_ROWS", 100)
    assert kernel_audio_distance(a, b) != exact
    assert kernel_audio_distance(a, b) == pytest.approx(exact, rel=0.05)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = normal(8, 25), normal(9, 31, mean=0.4)
    whole = kernel_distance(a, b), kernel_audio_distance(a, b), prdc(b, a, 3)
    monkeypatch.setattr(quality, "BLOCK", 7)
    assert kernel_distance(a, b) == pytest.approx(whole[0], rel=1e-12)
    assert kernel_audio_distance(a, b) == pytest.approx(whole[1], rel=1e-12)
    assert prdc(b, a, 3) == whole[2]


@pytest.mark.parametrize("distance", [kernel_distance, kernel_audio_distance])
@pytest.mark.parametrize(("n", "m"), [(1, 5), (5, 1), (0, 5)])
def test_fewer_than_two_clips(distance: Any, n: int, m: int) -> None:
    with pytest.raises(ValueError, match=f"found sets of {n} and {m} clips, wanted at least 2"):
        distance(normal(0, n), normal(1, m))


def test_prdc_by_hand() -> None:
    # k = 1: real balls (-1, 1), (0, 2), (1, 3), (2, 10) [radius 4 about 6]; generated balls of radius 0.5, 0.5, 92
    found = prdc(column(0, 1, 2, 6), column(0.5, 1.0, 93.0), nearest_k=1)
    # 0.5 is in two real balls, 1.0 in that about 1 only (the others are open), 93 in none
    # about 0.5 (0, 1): none of 0, 1, 2, 6; about 1 (0.5, 1.5): 1; about 93 (1, 185): 2 and 6
    assert found == pytest.approx({"precision": 2 / 3, "recall": 3 / 4, "density": 3 / 3, "coverage": 2 / 4})


@pytest.mark.parametrize("k", [1, 3, 5])
def test_prdc_is_the_published_definition(k: int) -> None:
    real, generated = normal(10, 60), normal(11, 45, mean=0.4, std=1.3)
    generated[:4] = real[:4]  # copies lie exactly on other balls' surfaces
    real[10] = real[11]
    found = prdc(real, generated, k)
    assert found == pytest.approx(published_prdc(real, generated, k), abs=1e-12)
    assert 0 < found["precision"] < 1
    assert 0 < found["recall"] < 1
    assert 0 < found["coverage"] < 1


def test_prdc_of_one_distribution_and_of_strangers() -> None:
    real = normal(12, 500)
    same = prdc(real, normal(13, 500))
    assert same["density"] == pytest.approx(1, abs=0.1)
    assert same["coverage"] == pytest.approx(1 - 0.5**5, abs=0.04)  # Naeem et al. 2020, eq. 9, many clips
    assert set(prdc(real, real + 100).values()) == {0.0}


@pytest.mark.parametrize(("n", "m", "k"), [(5, 9, 5), (9, 5, 5), (9, 9, 0)])
def test_prdc_needs_more_clips_than_neighbours(n: int, m: int, k: int) -> None:
    with pytest.raises(ValueError, match=f"found {n} real and {m} generated clips and nearest_k {k}"):
        prdc(normal(0, n), normal(1, m), k)


def test_label_agreement_by_hand() -> None:
    probabilities = np.array([[0.6, 0.4, 0], [0.3, 0.7, 0], [0.1, 0.2, 0.7], [0.5, 0.2, 0.3]])
    overall, by_class = label_agreement(probabilities, np.array([0, 0, 2, 2]))
    assert overall == 0.5
    assert by_class == {0: 0.5, 2: 0.5}
    assert label_agreement(probabilities, np.array([1, 1, 2, 0])) == (0.75, {0: 1.0, 1: 0.5, 2: 1.0})
    assert label_agreement(probabilities[:3], np.array([0, 1, 2])) == (1.0, {0: 1.0, 1: 1.0, 2: 1.0})
    with pytest.raises(ValueError, match="probabilities of 0 clips"):
        label_agreement(np.zeros((0, 3)), np.zeros(0, np.int64))
    with pytest.raises(ValueError, match="of 4 clips and classes of 3"):
        label_agreement(probabilities, np.array([0, 1, 2]))


def test_embeddings_are_what_the_linear_layers_take(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = SoundClassifier(NETWORK, MEL.shape[1], 3)
    model.mean.fill_(-40.0)
    model.std.fill_(5.0)
    for _ in range(3):
        model(torch.from_numpy(MEL))  # batch norm sees the clips
    model.train()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    monkeypatch.setattr(encoder, "BATCH", 5)
    found = embed(model, MEL)
    assert model.training
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert found.dtype == np.float32
    assert found.shape == (len(MEL), 8)
    expected = predict(model, MEL, torch.device("cpu"))
    probabilities = probabilities_of(model, found)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4)


def test_assess_composes_the_figures() -> None:
    generated, train, test = normal(0, 30, mean=0.5), normal(1, 50), normal(2, 40, mean=0.3)
    probabilities = np.random.default_rng(0).dirichlet([1, 1, 1], 30)
    class_ids = np.arange(30) % 3
    found = assess(generated, train, test, probabilities, class_ids)
    assert list(found) == [
        "kid_test",
        "kad",
        "kid_train_test",
        "kid_ratio",
        "precision",
        "recall",
        "density",
        "coverage",
        "label_agreement",
    ]
    expected = {
        "kid_test": kernel_distance(generated, test),
        "kad": kernel_audio_distance(generated, test),
        "kid_train_test": kernel_distance(train, test),
        "kid_ratio": kernel_distance(generated, test) / kernel_distance(train, test),
        "label_agreement": label_agreement(probabilities, class_ids)[0],
    } | prdc(test, generated, 5)
    assert found == pytest.approx(expected, rel=1e-5)
    assert all(float(f"{value:.6g}") == value for value in found.values())


def test_assess_leaves_out_what_is_undefined() -> None:
    train, test = normal(1, 50), normal(2, 40, mean=0.5)

    def names(n: int, test: np.ndarray = test, k: int = 5) -> set[str]:
        probabilities = np.full((n, 3), 1 / 3)
        return set(assess(normal(0, n), train, test, probabilities, np.zeros(n, np.int64), k))

    assert names(0) == {"kid_train_test"}
    assert names(1) == {"kid_train_test", "label_agreement"}
    distances = {"kid_test", "kad", "kid_train_test", "kid_ratio", "label_agreement"}
    balls = {"precision", "recall", "density", "coverage"}
    assert names(2, test[:2]) == distances
    assert names(5) == distances
    assert names(6) == distances | balls
    assert names(6, test[:5]) == distances
    assert names(6, test[:1]) == {"label_agreement"}
    # Twice the same clips: KID's estimate is below 0, and no yardstick.
    assert kernel_distance(train, train) < 0
    assert names(9, train) == (distances | balls) - {"kid_ratio"}
