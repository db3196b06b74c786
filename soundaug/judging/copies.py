"""Are generated clips copies of training clips? Nearest neighbours on log mels, whatever the shift in time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from soundaug.running.device import choose_device
from soundaug.sound.correlation import correlations, shifts_up_to

PAIR_BLOCK = 64  # pairs compared at once


@dataclass(frozen=True)
class Matches:
    """What was found for each of N queries: ``distance_db`` float64, ``reference`` and ``shift`` int64, all [N].

    The distance is the root mean square difference in dB over the frames that both clips have at that shift. A shift of
    s frames lays frame t + s of the query on frame t of the reference: above 0, the query's sound comes later. A query
    that was compared with nothing has distance inf, reference -1 and shift 0.
    """

    distance_db: np.ndarray
    reference: np.ndarray
    shift: np.ndarray


@dataclass(frozen=True)
class ClosePair:
    """A generated clip and the training clip nearest to it, by index; ``is_parent``: it was made from that one."""

    generated: int
    train: int
    shift: int  # frames, as in `Matches`
    distance_db: float
    is_parent: bool


@dataclass(frozen=True)
class CopyReport:
    """``metrics`` are scalars (see `copy_report`), ``closest`` the pairs to show, nearest first."""

    metrics: dict[str, float]
    closest: list[ClosePair]


def nearest(
    queries: np.ndarray,
    references: np.ndarray,
    max_shift: int,
    exclude: np.ndarray | None = None,
    label: str = "nearest clips",
) -> Matches:
    """The reference nearest to every query, log mels in dB [N, n_mels, T] and [R, n_mels, T], at its best shift.

    All shifts up to ``max_shift`` frames either way are tried (0 to T - 1), nothing wraps round, levels are left as
    they are. ``exclude`` bool [N, R]: references that a query must not be compared with, as those of its own recording.
    ``label`` is the progress bar's.

    Every pair is compared at every shift: squares and cross-correlation (by FFT) give the difference. Approximate is
    only the choice, made in float32: of references whose distances differ by less than 0.1 dB near 0, far less above
    1 dB, the wrong one may win. The winner's distance and shift are then those of `paired`. Memory does not grow with
    N or R. Raises ValueError when the shapes or ``max_shift`` do not fit or a value is not finite.
    """
    return nearest_each(queries, references, max_shift, [exclude], label)[0]


@torch.inference_mode()
def nearest_each(
    queries: np.ndarray,
    references: np.ndarray,
    max_shift: int,
    excludes: Sequence[np.ndarray | None],
    label: str = "nearest clips",
) -> list[Matches]:
    """`nearest` once for each of ``excludes``, in the time of one: what takes time is comparing the clips."""
    _check(queries, references, max_shift)
    for exclude in excludes:
        if exclude is not None and exclude.shape != (len(queries), len(references)):
            raise ValueError(f"exclude: found shape {exclude.shape}, wanted {(len(queries), len(references))}")
    device = choose_device()
    shifts = shifts_up_to(max_shift)
    n_bins, n_frames = queries.shape[1:]
    cells = torch.tensor([n_bins * (n_frames - abs(shift)) for shift in shifts], dtype=torch.float32, device=device)
    # Taken off both sides, it cancels in the difference, and float32 keeps more of what is left.
    centre = references.mean(axis=(0, 2), keepdims=True, dtype=np.float64)[0] if len(references) else 0.0
    least = [torch.full((len(queries),), torch.inf, device=device) for _ in excludes]
    found = [torch.full((len(queries),), -1, device=device) for _ in excludes]
    for rows, columns, products, query_energy, reference_energy in correlations(
        queries, references, max_shift, device, label, centre
    ):
        squares = query_energy[:, :, None] + reference_energy[:, None, :] - 2 * products
        distances = (squares / cells[:, None, None]).amin(dim=0)  # mean squares [N, R]
        for exclude, nearest_yet, index_yet in zip(excludes, least, found, strict=True):
            allowed = distances
            if exclude is not None:
                allowed = distances.masked_fill(torch.from_numpy(exclude[rows, columns]).to(device), torch.inf)
            value, index = allowed.min(dim=1)
            closer = value < nearest_yet[rows]
            nearest_yet[rows] = torch.where(closer, value, nearest_yet[rows])
            index_yet[rows] = torch.where(closer, index + columns.start, index_yet[rows])
    return [paired(queries, references, index.cpu().numpy(), max_shift) for index in found]


@torch.inference_mode()
def paired(queries: np.ndarray, references: np.ndarray, reference: np.ndarray, max_shift: int) -> Matches:
    """As `nearest`, but every query is compared with one given reference, ``reference`` int [N]; -1: with none.

    Differences are squared themselves, so that equal clips are at 0 exactly. Of equally good shifts the least counts.
    """
    _check(queries, references, max_shift)
    _check_indices("reference", reference, (len(queries),), len(references))
    device = choose_device()
    shifts = np.array(shifts_up_to(max_shift))
    distance, shift = np.full(len(queries), np.inf), np.zeros(len(queries), np.int64)
    compared = np.flatnonzero(reference >= 0)
    for start in range(0, len(compared), PAIR_BLOCK):
        rows = compared[start : start + PAIR_BLOCK]
        query = torch.from_numpy(queries[rows]).to(device)
        other = torch.from_numpy(references[reference[rows]]).to(device)
        squares = torch.stack([_mean_square(query, other, int(s)) for s in shifts]).cpu().numpy()  # [S, N]
        distance[rows] = np.sqrt(squares.min(axis=0))
        shift[rows] = shifts[squares.argmin(axis=0)]
    return Matches(distance, reference.astype(np.int64), shift)


def copy_report(
    generated: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    parents: np.ndarray,
    max_shift: int,
    recordings: np.ndarray | None = None,
    percentile: float = 1.0,
    n_closest: int = 10,
) -> CopyReport:
    """How many ``generated`` clips are closer to a training clip than unseen real clips are.

    Log mels in dB [M | N | K, n_mels, T]; ``parents`` int [M, P], the training clips each generated one was made from,
    -1 for none; ``recordings`` [N], the recording that each training clip is a slice of. A clip is a copy when its
    distance to a training clip is below the threshold: the ``percentile``-th percentile of the distances from test
    clips to the nearest training clip, so that ``percentile`` % of unseen real clips count as copies too. Metrics,
    shares in 0..1, distances in dB:

    - threshold_db, test_median_db (of test clips to the nearest training clip), generated_median_db (the same of
      generated clips), parents_median_db (to the nearer parent)
    - copies: share of generated clips that copy any training clip
    - copies_parents: share whose nearest training clip is a parent and is copied
    - copies_beyond_parents: share that copy a training clip that is no parent, whether or not a parent is nearer
    - copies_beyond_recordings: share that copy a training clip of none of their parents' recordings. Slices of one
      recording are often as close as copies: a copy of a parent is then one of its neighbours, too
    - parents_beyond_recordings: share of the parents that are themselves as close to a training clip of another
      recording: what clips exactly like their parents would score

    What is undefined is left out: without generated clips all but threshold_db and test_median_db, without parents
    parents_median_db and parents_beyond_recordings, without ``recordings`` both shares beyond them. Raises ValueError
    as `nearest` does, and without test or training clips.
    """
    if len(test) == 0 or len(train) == 0:
        raise ValueError(f"found {len(test)} test and {len(train)} training clips, wanted at least 1 of each")
    if recordings is not None and len(recordings) != len(train):
        raise ValueError(f"recordings: found those of {len(recordings)} clips, wanted of {len(train)} training clips")
    _check_indices("parents", parents, (len(generated), parents.shape[-1]), len(train))
    real = nearest(test, train, max_shift, label="nearest to test clips").distance_db
    threshold = float(np.percentile(real, percentile))
    metrics = {"threshold_db": threshold, "test_median_db": float(np.median(real))}
    closest: list[ClosePair] = []
    if len(generated):
        is_parent = np.zeros((len(generated), len(train)), bool)
        rows, columns = np.nonzero(parents >= 0)
        is_parent[rows, parents[rows, columns]] = True
        excludes = [is_parent]
        if recordings is not None:
            of_parents = np.zeros((len(generated), len(train)), bool)
            for row, column in zip(rows, columns, strict=True):
                of_parents[row] |= recordings == recordings[parents[row, column]]
            excludes.append(of_parents)
        others, *strangers = nearest_each(generated, train, max_shift, excludes, "nearest to generated clips")
        # Parents first: of equal distances the parent's counts.
        candidates = [*(paired(generated, train, column, max_shift) for column in parents.T), others]
        distances = np.stack([candidate.distance_db for candidate in candidates])  # [P + 1, M]
        best = distances.argmin(axis=0)
        distance = distances.min(axis=0)
        metrics["generated_median_db"] = float(np.median(distance))
        if len(rows):
            to_parents = distances[:-1].min(axis=0)
            metrics["parents_median_db"] = float(np.median(to_parents[np.isfinite(to_parents)]))
        metrics["copies"] = float((distance < threshold).mean())
        metrics["copies_parents"] = float(((distance < threshold) & (best < len(candidates) - 1)).mean())
        metrics["copies_beyond_parents"] = float((others.distance_db < threshold).mean())
        if recordings is not None:
            metrics["copies_beyond_recordings"] = float((strangers[0].distance_db < threshold).mean())
            if len(rows):
                own = np.unique(parents[rows, columns])
                same = recordings[own, None] == recordings[None]
                twins = nearest(train[own], train, max_shift, exclude=same)
                metrics["parents_beyond_recordings"] = float((twins.distance_db < threshold).mean())
        for clip in np.argsort(distance, kind="stable")[:n_closest].tolist():
            match = candidates[best[clip]]
            index = int(match.reference[clip])
            closest.append(
                ClosePair(clip, index, int(match.shift[clip]), float(distance[clip]), bool(is_parent[clip, index]))
            )
    return CopyReport({name: float(f"{value:.6g}") for name, value in metrics.items()}, closest)


def _mean_square(query: torch.Tensor, reference: torch.Tensor, shift: int) -> torch.Tensor:
    """[N, n_mels, T] twice: the mean square difference [N] over the frames both have at ``shift``."""
    overlap = query.shape[2] - abs(shift)
    late, early = max(shift, 0), max(-shift, 0)
    difference = query[:, :, late : late + overlap] - reference[:, :, early : early + overlap]
    return difference.square().mean(dim=(1, 2))


def _check(queries: np.ndarray, references: np.ndarray, max_shift: int) -> None:
    if queries.ndim != 3 or queries.shape[1:] != references.shape[1:]:
        raise ValueError(f"found mels of shapes {queries.shape} and {references.shape}, wanted the same [., n_mels, T]")
    if not 0 <= max_shift < queries.shape[2]:
        raise ValueError(f"max_shift: found {max_shift}, wanted 0 to {queries.shape[2] - 1} frames")
    if not (np.isfinite(queries).all() and np.isfinite(references).all()):
        raise ValueError("found mels that are not finite, wanted dB")


def _check_indices(name: str, indices: np.ndarray, shape: tuple[int, ...], count: int) -> None:
    if indices.shape != shape or (indices.size and not -1 <= indices.min() <= indices.max() < count):
        raise ValueError(f"{name}: found shape {indices.shape}, wanted {shape} of indices -1 to {count - 1}")
