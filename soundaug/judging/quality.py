"""How good generated clips are: distances between sets of embeddings, and whether a classifier hears their class."""

from collections.abc import Callable, Iterator

import numpy as np

BLOCK = 1024  # rows and columns of a matrix over pairs of clips that are held at once (8 MB)
BANDWIDTH_ROWS = 4096  # clips whose pairs give KAD's bandwidth (8.4 million pairs, 67 MB)
KAD_SCALE = 100
NEAREST_K = 5  # neighbours of a ball's radius, as Naeem et al. 2020 took
KAD_EPS = 1e-8  # of the authors' toolkit: keeps the kernel finite where the median distance is 0

Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]


def kernel_distance(a: np.ndarray, b: np.ndarray) -> float:
    """KID: unbiased squared MMD between embeddings [N, D] and [M, D] with the kernel (x.y / D + 1)^3.

    Binkowski et al. 2018, Demystifying MMD GANs, sections 3 and 4; there the mean over random subsets, here over all
    clips, which is what it estimates. 0 on average for two sets of one distribution, hence also negative. Symmetric.
    Raises ValueError below 2 clips in a set.
    """
    return _squared_mmd(a, b, lambda x, y: (x @ y.T / x.shape[1] + 1) ** 3)


def kernel_audio_distance(a: np.ndarray, b: np.ndarray) -> float:
    """KAD of embeddings [N, D] from the reference ``b`` [M, D]: 100 times the unbiased squared MMD, Gaussian kernel.

    Chung et al. 2025, KAD: No More FAD!, arXiv 2502.15602, and their toolkit: exp(-|x - y|^2 / (2 h^2)) with h the
    median distance between two clips of the reference; the toolkit's 1e-8 keeps 2 h^2 from 0. Above 4,096 clips of the
    reference, h is of as many evenly spaced ones. Not symmetric. Raises ValueError below 2 clips in a set.
    """
    from scipy.spatial.distance import cdist, pdist

    _at_least_two(a, b)
    rows = np.linspace(0, len(b) - 1, min(len(b), BANDWIDTH_ROWS)).astype(int)
    bandwidth = float(np.median(pdist(np.asarray(b[rows], np.float64))))
    gamma = 1 / (2 * bandwidth**2 + KAD_EPS)
    return KAD_SCALE * _squared_mmd(a, b, lambda x, y: np.exp(-gamma * cdist(x, y, "sqeuclidean")))


def prdc(real: np.ndarray, generated: np.ndarray, nearest_k: int = NEAREST_K) -> dict[str, float]:
    """Precision, recall, density, coverage of embeddings ``generated`` [M, D] against ``real`` [N, D].

    A clip's ball reaches to its ``nearest_k``-th nearest neighbour in its own set. Precision: share of generated clips
    in a real ball; recall: share of real clips in a generated ball (Kynkaanniemi et al. 2019, eq. 2 and 3). Density:
    real balls a generated clip is in, over ``nearest_k``, on average, can exceed 1; coverage: share of real balls that
    hold a generated clip (Naeem et al. 2020, eq. 4 and 5). Balls are open, as in the authors' package `prdc` 0.2, whose
    figures these are, block by block and in silence. Raises ValueError below ``nearest_k`` + 1 clips in a set.
    """
    if nearest_k < 1 or min(len(real), len(generated)) <= nearest_k:
        raise ValueError(
            f"found {len(real)} real and {len(generated)} generated clips and nearest_k {nearest_k}, "
            "wanted more clips of both than nearest_k, and that at least 1"
        )
    # A clip is its own nearest, at 0.
    real_radius, generated_radius = (
        np.concatenate([np.partition(part, nearest_k)[:, nearest_k] for _, part in _distances(clips, clips)])
        for clips in (real, generated)
    )
    balls = np.zeros(len(generated), np.int64)  # real balls each generated clip is in
    covered = recalled = 0
    for rows, distances in _distances(real, generated):
        inside = distances < real_radius[rows, None]  # [some of N, M]
        balls += inside.sum(axis=0)
        covered += int(inside.any(axis=1).sum())
        recalled += int((distances < generated_radius).any(axis=1).sum())
    return {
        "precision": float((balls > 0).mean()),
        "recall": recalled / len(real),
        "density": float(balls.mean() / nearest_k),
        "coverage": covered / len(real),
    }


def label_agreement(probabilities: np.ndarray, class_ids: np.ndarray) -> tuple[float, dict[int, float]]:
    """Share of clips, 0..1, whose most probable class is the one they were made for: over all, and by class id.

    ``probabilities`` [N, C], ``class_ids`` [N] in 0..C-1; a class without a clip is not in the dict. Raises ValueError
    without any clip.
    """
    if len(class_ids) == 0 or len(probabilities) != len(class_ids):
        raise ValueError(
            f"found probabilities of {len(probabilities)} clips and classes of {len(class_ids)}, "
            "wanted the same number, at least 1"
        )
    agrees = probabilities.argmax(axis=1) == class_ids
    by_class = {int(class_id): float(agrees[class_ids == class_id].mean()) for class_id in np.unique(class_ids)}
    return float(agrees.mean()), by_class


def assess(
    generated: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    probabilities: np.ndarray,
    class_ids: np.ndarray,
    nearest_k: int = NEAREST_K,
) -> dict[str, float]:
    """Every figure above, to 6 digits: embeddings [., D] of generated and of real training and test clips, and the
    classifier's ``probabilities`` [M, C] of the generated clips of classes ``class_ids`` [M].

    The real set is the test fold: kid_test, kad, precision, recall, density, coverage. kid_train_test, training against
    test clips, is the yardstick; kid_ratio = kid_test / kid_train_test. Left out is what is undefined: KID and KAD
    below 2 clips in a set, kid_ratio where the yardstick is not above 0, precision to coverage below ``nearest_k`` + 1
    test or generated clips, label_agreement without a generated clip.
    """
    figures: dict[str, float] = {}
    if min(len(generated), len(test)) >= 2:
        figures["kid_test"] = kernel_distance(generated, test)
        figures["kad"] = kernel_audio_distance(generated, test)
    if min(len(train), len(test)) >= 2:
        figures["kid_train_test"] = kernel_distance(train, test)
    if "kid_test" in figures and figures.get("kid_train_test", 0.0) > 0:
        figures["kid_ratio"] = figures["kid_test"] / figures["kid_train_test"]
    if min(len(generated), len(test)) > nearest_k:
        figures |= prdc(test, generated, nearest_k)
    if len(class_ids) > 0:
        figures["label_agreement"] = label_agreement(probabilities, class_ids)[0]
    return {name: float(f"{value:.6g}") for name, value in figures.items()}


def _distances(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Blocks of rows and their Euclidean distances [some of N, M].

    By differences, not by the faster |x|^2 - 2 x.y + |y|^2, whose rounding would tell a clip from its own copy.
    """
    from scipy.spatial.distance import cdist

    step = max(1, BLOCK**2 // len(y))
    for start in range(0, len(x), step):
        rows = slice(start, min(start + step, len(x)))
        yield rows, cdist(x[rows], y)


def _squared_mmd(a: np.ndarray, b: np.ndarray, kernel: Kernel) -> float:
    """Unbiased squared maximum mean discrepancy (Gretton et al. 2012, A Kernel Two-Sample Test, eq. 3)."""
    _at_least_two(a, b)
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    within = [(_kernel_sum(x, x, kernel) - _kernel_trace(x, kernel)) / (len(x) * (len(x) - 1)) for x in (a, b)]
    return sum(within) - 2 * _kernel_sum(a, b, kernel) / (len(a) * len(b))


def _kernel_sum(x: np.ndarray, y: np.ndarray, kernel: Kernel) -> float:
    """The sum of the kernel over all pairs, block by block."""
    return sum(
        float(kernel(x[row : row + BLOCK], y[column : column + BLOCK]).sum())
        for row in range(0, len(x), BLOCK)
        for column in range(0, len(y), BLOCK)
    )


def _kernel_trace(x: np.ndarray, kernel: Kernel) -> float:
    """The sum of the kernel of every clip with itself."""
    return sum(float(np.trace(kernel(part, part))) for part in (x[i : i + BLOCK] for i in range(0, len(x), BLOCK)))


def _at_least_two(a: np.ndarray, b: np.ndarray) -> None:
    if min(len(a), len(b)) < 2:
        raise ValueError(f"found sets of {len(a)} and {len(b)} clips, wanted at least 2 in each")
