"""Copies: shifted clips are found, the fast search is the brute force one, thresholds and shares by hand."""

import numpy as np
import pytest

from soundaug.judging import copies
from soundaug.judging.copies import ClosePair, Matches, copy_report, nearest, nearest_each, paired
from soundaug.sound import correlation

MELS, FRAMES = 12, 40


def noise(seed: int, n: int, mels: int = MELS, frames: int = FRAMES) -> np.ndarray:
    """Log mels like real ones: -20 dB, deviation 10 dB."""
    return np.random.default_rng(seed).normal(-20, 10, (n, mels, frames)).astype(np.float32)


def delayed(clip: np.ndarray, frames: int, seed: int = 99) -> np.ndarray:
    """The clip [n_mels, T] that many frames later (below 0: earlier), other sound before (after)."""
    result = noise(seed, 1, *clip.shape)[0]
    if frames >= 0:
        result[:, frames:] = clip[:, : clip.shape[1] - frames]
    else:
        result[:, :frames] = clip[:, -frames:]
    return result


def brute_force(
    queries: np.ndarray, references: np.ndarray, max_shift: int, exclude: np.ndarray | None = None
) -> Matches:
    """Every pair, every shift, frame by frame."""
    rows: list[tuple[float, int, int]] = []
    n_frames = queries.shape[2]
    for i, query in enumerate(queries.astype(np.float64)):
        best = (np.inf, -1, 0)
        for j, reference in enumerate(references.astype(np.float64)):
            if exclude is not None and exclude[i, j]:
                continue
            for shift in range(-max_shift, max_shift + 1):
                both = [t for t in range(n_frames) if 0 <= t + shift < n_frames]
                frames = [query[:, t + shift] - reference[:, t] for t in both]
                best = min(best, (float(np.sqrt(np.mean(np.square(frames)))), j, shift))
        rows.append(best)
    distance, reference, shift = (np.array(column) for column in zip(*rows, strict=True))
    return Matches(distance, reference, shift)


def assert_same(found: Matches, expected: Matches) -> None:
    np.testing.assert_allclose(found.distance_db, expected.distance_db, rtol=1e-5)
    assert found.reference.tolist() == expected.reference.tolist()
    assert found.shift.tolist() == expected.shift.tolist()


@pytest.mark.parametrize("shift", [7, -7, 0, 10, -10])
def test_a_shifted_clip_is_found(shift: int) -> None:
    references = noise(0, 30)
    queries = np.stack([delayed(references[17], shift), noise(1, 1)[0]])
    found = nearest(queries, references, max_shift=10)
    assert found.reference[0] == 17
    assert found.shift[0] == shift
    assert found.distance_db[0] == 0
    # noise: two clips of deviation 10 dB differ by 10 sqrt(2) = 14.1 dB
    assert 12 < found.distance_db[1] < 14.2


def test_beyond_the_largest_shift_it_is_not() -> None:
    references = noise(0, 30)
    query = delayed(references[17], 11)[None]
    assert nearest(query, references, max_shift=10).distance_db[0] > 12
    assert nearest(query, references, max_shift=11).distance_db[0] == 0


def test_nothing_wraps_round() -> None:
    clip = noise(2, 1)
    rolled = np.roll(clip, 20, axis=2)  # half a clip: no shift up to 15 lays it on itself
    assert nearest(rolled, clip, max_shift=15).distance_db[0] > 12
    assert nearest(rolled, clip, max_shift=20).distance_db[0] == 0


def test_levels_count() -> None:
    references = noise(3, 5)
    found = nearest(references[2:3] + 6, references, max_shift=4)
    assert (found.reference[0], found.shift[0]) == (2, 0)
    assert found.distance_db[0] == pytest.approx(6, rel=1e-5)


@pytest.mark.parametrize("max_shift", [0, 3, FRAMES - 1])
def test_the_fast_search_is_the_brute_force_one(max_shift: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "PAIR_BLOCK", 3)
    monkeypatch.setattr(correlation, "QUERY_BLOCK", 4)
    monkeypatch.setattr(correlation, "REFERENCE_BLOCK", 5)
    queries, references = noise(4, 6, mels=3), noise(5, 12, mels=3)
    assert_same(nearest(queries, references, max_shift), brute_force(queries, references, max_shift))


def test_odd_sizes_and_smooth_clips() -> None:
    """Neighbouring frames alike, as in real mels: many references and shifts are nearly as good."""
    clips = noise(6, 20, mels=5, frames=45)
    smooth = np.stack([clips[:, :, i : i + 37] for i in range(9)]).mean(axis=0)
    found = nearest(smooth[:6], smooth[6:], 9)
    assert_same(found, brute_force(smooth[:6], smooth[6:], 9))


def test_excluded_references_are_not_compared() -> None:
    references = noise(7, 8)
    queries = references[:3].copy()
    exclude = np.zeros((3, 8), bool)
    exclude[0, 0] = True
    exclude[2] = True
    found = nearest(queries, references, 3, exclude)
    assert_same(found, brute_force(queries, references, 3, exclude))
    assert found.reference[0] != 0
    assert (found.distance_db[1], found.reference[1]) == (0, 1)
    assert (found.distance_db[2], found.reference[2], found.shift[2]) == (np.inf, -1, 0)


def test_several_exclusions_at_once_are_each_as_alone() -> None:
    clips = noise(9, 8)
    queries, references = clips[:3], np.concatenate([clips[3:], clips[:3] + 1.0])
    first, second = np.zeros((2, 3, 8), bool)
    first[0, 5] = first[1] = True
    second[:, 5:] = True
    found = nearest_each(queries, references, 3, [first, None, second])
    for exclude, matches in zip([first, None, second], found, strict=True):
        assert_same(matches, brute_force(queries, references, 3, exclude))
    assert found[1].reference.tolist() == [5, 6, 7]
    assert found[0].reference.tolist()[1:] == [-1, 7]
    assert found[0].reference[0] != 5
    assert found[2].reference.max() < 5


def test_pairs_are_compared_with_the_clip_given() -> None:
    references = noise(8, 4)
    queries = np.stack([delayed(references[3], 5), references[0], references[1]])
    found = paired(queries, references, np.array([3, 2, -1]), 6)
    assert (found.distance_db[0], found.shift[0]) == (0, 5)
    only = np.ones((3, 4), bool)
    only[1, 2] = False
    assert found.distance_db[1] == pytest.approx(brute_force(queries, references, 6, only).distance_db[1], rel=1e-5)
    assert (found.distance_db[2], found.reference[2], found.shift[2]) == (np.inf, -1, 0)


def test_equally_good_shifts_the_least_counts() -> None:
    silence = np.full((1, MELS, FRAMES), -60, np.float32)
    found = nearest(silence, silence, 8)
    assert (found.distance_db[0], found.shift[0]) == (0, 0)


def test_no_queries_and_no_references() -> None:
    assert len(nearest(noise(0, 0), noise(1, 3), 2).distance_db) == 0
    found = nearest(noise(0, 2), noise(1, 0), 2)
    assert found.distance_db.tolist() == [np.inf, np.inf]
    assert found.reference.tolist() == [-1, -1]


def test_what_does_not_fit() -> None:
    clips = noise(0, 3)
    with pytest.raises(ValueError, match="wanted the same"):
        nearest(clips, noise(0, 3, frames=39), 2)
    with pytest.raises(ValueError, match="max_shift: found 40, wanted 0 to 39 frames"):
        nearest(clips, clips, 40)
    with pytest.raises(ValueError, match=r"exclude: found shape \(3, 2\), wanted \(3, 3\)"):
        nearest(clips, clips, 2, np.zeros((3, 2), bool))
    with pytest.raises(ValueError, match="not finite"):
        nearest(np.where(clips > 0, np.nan, clips), clips, 2)
    with pytest.raises(ValueError, match=r"parents: found shape \(2, 2\), wanted \(3, 2\)"):
        copy_report(clips, clips, clips, np.zeros((2, 2), int), 2)
    with pytest.raises(ValueError, match="of indices -1 to 2"):
        copy_report(clips, clips, clips, np.full((3, 2), 3), 2)
    with pytest.raises(ValueError, match="recordings: found those of 2 clips, wanted of 3"):
        copy_report(clips, clips, clips, np.zeros((3, 2), int), 2, np.array(["a", "b"]))
    with pytest.raises(ValueError, match="found 0 test and 3 training clips"):
        copy_report(clips, clips, clips[:0], np.zeros((3, 2), int), 2)


def offsets(base: np.ndarray, *levels: float) -> np.ndarray:
    """``base`` [n_mels, T] louder by each level: that many dB from it."""
    return np.stack([base + level for level in levels]).astype(np.float32)


def test_the_report_by_hand() -> None:
    train = noise(10, 6)
    # 101 test clips 1, 2, ... 101 tenths of a dB from train[0]: the 1st percentile is the second, 0.2 dB
    test = offsets(train[0], *(0.1 * (i + 1) for i in range(101)))
    generated = np.stack(
        [
            delayed(train[1], 4),  # its first parent, 4 frames later
            train[3] + 0.15,  # of parents 1 and 2, yet a copy of 3
            train[2] + 0.25,  # near its parent, not below the threshold
            train[4] + 0.1,  # its second parent
            noise(11, 1)[0],
        ]
    )
    parents = np.array([[1, 2], [1, 2], [2, 0], [5, 4], [0, 1]])
    report = copy_report(generated, train, test, parents, max_shift=5, n_closest=4)
    far = nearest(generated, train, 5).distance_db[4]
    assert far > 12
    assert report.metrics.keys() == {
        "threshold_db",
        "test_median_db",
        "generated_median_db",
        "parents_median_db",
        "copies",
        "copies_parents",
        "copies_beyond_parents",
    }
    assert report.metrics["threshold_db"] == pytest.approx(0.2, rel=1e-4)
    assert report.metrics["test_median_db"] == pytest.approx(5.1, rel=1e-4)
    assert report.metrics["generated_median_db"] == pytest.approx(0.15, rel=1e-4)
    assert report.metrics["parents_median_db"] == pytest.approx(0.25, rel=1e-4)  # 0, 0.1, 0.25, far, far
    assert report.metrics["copies"] == 3 / 5
    assert report.metrics["copies_parents"] == 2 / 5
    assert report.metrics["copies_beyond_parents"] == 1 / 5
    assert [(p.generated, p.train, p.shift, p.is_parent) for p in report.closest] == [
        (0, 1, 4, True),
        (3, 4, 0, True),
        (1, 3, 0, False),
        (2, 2, 0, True),
    ]
    np.testing.assert_allclose([p.distance_db for p in report.closest], [0, 0.1, 0.15, 0.25], atol=1e-5)


def test_a_clip_may_copy_its_parent_and_another() -> None:
    train = noise(12, 5)
    train[1] = train[0] + 0.1  # two slices of one recording
    test = offsets(train[4], 1, 2, 3)
    report = copy_report(train[:1], train, test, np.array([[0, 2]]), max_shift=2)
    assert report.closest == [ClosePair(0, 0, 0, 0.0, True)]
    assert [report.metrics[f"copies{kind}"] for kind in ("", "_parents", "_beyond_parents")] == [1, 1, 1]
    assert not {"copies_beyond_recordings", "parents_beyond_recordings"} & set(report.metrics)
    of_one = copy_report(train[:1], train, test, np.array([[0, 2]]), 2, np.array(["a", "a", "b", "c", "d"]))
    assert of_one.metrics == report.metrics | {"copies_beyond_recordings": 0, "parents_beyond_recordings": 0}
    of_two = copy_report(train[:1], train, test, np.array([[0, 2]]), 2, np.array(["a", "b", "c", "c", "d"]))
    assert of_two.metrics == report.metrics | {"copies_beyond_recordings": 1, "parents_beyond_recordings": 0.5}


def test_of_equal_distances_the_parents_counts() -> None:
    train = noise(13, 4)
    train[0] = train[2]
    report = copy_report(train[2:3], train, noise(14, 5), np.array([[2, 3]]), max_shift=2)
    assert report.closest == [ClosePair(0, 2, 0, 0.0, True)]


def test_real_clips_are_copies_as_often_as_the_percentile_says() -> None:
    rng = np.random.default_rng(15)
    train = noise(16, 20)
    levels = rng.uniform(0.5, 5, 200)
    test = np.stack([train[i % 20] + level for i, level in enumerate(levels)]).astype(np.float32)
    none = np.full((200, 2), -1)
    report = copy_report(test, train, test, none, max_shift=1, percentile=10)
    assert report.metrics["copies"] == pytest.approx(0.1)
    assert report.metrics["copies_beyond_parents"] == report.metrics["copies"]
    assert report.metrics["copies_parents"] == 0
    assert report.metrics["generated_median_db"] == report.metrics["test_median_db"]
    assert "parents_median_db" not in report.metrics
    assert len(report.closest) == 10


def test_without_generated_clips_or_parents() -> None:
    train, test = noise(17, 4), noise(18, 4)
    report = copy_report(train[:0], train, test, np.zeros((0, 2), int), 2)
    assert report.metrics.keys() == {"threshold_db", "test_median_db"}
    assert report.closest == []
    unconditional = copy_report(train[:2], train, test, np.zeros((2, 0), int), 2)
    assert unconditional.metrics["copies_beyond_parents"] == 1
    assert [pair.is_parent for pair in unconditional.closest] == [False, False]
