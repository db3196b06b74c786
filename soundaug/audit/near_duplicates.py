"""Clips that are nearly the same sound although they are of different recordings, found by mel fingerprint."""

import math
from pathlib import Path

import numpy as np
import torch

from soundaug.audit.closeness import REAL, Closeness, NearDuplicate
from soundaug.folds.packed import ClipSet, split
from soundaug.params import Features, Params
from soundaug.running.device import choose_device
from soundaug.sound.correlation import correlations, shifts_up_to
from soundaug.sound.features import MelFrontEnd

MAX_SHIFT = 0.5  # of a clip: slices of one recording are often cut at every half of their length
LEAST_OVERLAP = 0.1  # of a fingerprint's energy, that two clips must have in common to be compared by it
EVEN_DB = 0.1  # s.d. below which a clip is as good as silent and has nothing to tell it by


def fingerprint(log_mels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fingerprints float32 [N, n_mels, T - 1] of log mels [N, n_mels, T] in dB, and which clips have one, bool [N].

    Each band's mean over time and each frame's mean over bands are taken off, so that neither level and colour nor the
    loudness curve counts, which unlike sounds share; then differences of neighbouring frames are taken, and each clip
    is brought to energy 1. What is left is the fine grain, which even two stretches of the same noise do not share.
    """
    centred = log_mels - log_mels.mean(axis=2, keepdims=True)
    grain = np.diff(centred - centred.mean(axis=1, keepdims=True), axis=2)
    energy = np.square(grain, dtype=np.float64).sum(axis=(1, 2))
    told = energy > EVEN_DB**2 * grain[0].size if len(grain) else np.zeros(0, bool)
    return (grain / np.sqrt(np.where(told, energy, 1.0))[:, None, None]).astype(np.float32), told


def half_a_frame_later(log_mels: np.ndarray) -> np.ndarray:
    """Log mels [N, n_mels, T] in dB as if the frames lay between those given: the mean of each and the next.

    A clip cut half a frame elsewhere has half the correlation with itself, and most of it with this.
    """
    return (log_mels + np.concatenate([log_mels[:, :, 1:], log_mels[:, :, -1:]], axis=2)) / 2


@torch.inference_mode()
def most_similar(
    queries: np.ndarray, references: np.ndarray, max_shift: int, exclude: np.ndarray, label: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every query the most similar reference: correlation float64, index and shift int64, all [N].

    Fingerprints [N, n_mels, T] and [R, n_mels, T] of energy 1; the correlation is that of the frames both have at the
    best shift of up to ``max_shift`` frames either way (above 0, the query's sound comes later), by FFT. ``exclude``
    bool [N, R]: references that a query is not compared with; with none left it has correlation -1.
    """
    device = choose_device()
    shifts = shifts_up_to(max_shift)
    best = np.full(len(queries), -1.0)
    found, shift = np.full(len(queries), -1), np.zeros(len(queries), np.int64)
    for rows, columns, products, query_energy, reference_energy in correlations(
        queries, references, max_shift, device, label
    ):
        energy = torch.sqrt(query_energy[:, :, None] * reference_energy[:, None, :]).clamp(min=LEAST_OVERLAP)
        values, at = (products / energy).max(dim=0)  # [N, R]
        value, index = values.masked_fill(torch.from_numpy(exclude[rows, columns]).to(device), -1.0).max(dim=1)
        within = np.flatnonzero(value.cpu().numpy() > best[rows])
        closer = rows.start + within
        best[closer] = value.cpu().numpy()[within]
        found[closer] = index.cpu().numpy()[within] + columns.start
        shift[closer] = np.array(shifts)[at.gather(1, index[:, None])[:, 0].cpu().numpy()[within]]
    return best, found, shift


def largest_shift(features: Features) -> int:
    """Frames that clips are shifted by at most: half a clip, and one for where a cut falls between two frames."""
    return math.ceil(MAX_SHIFT * features.n_samples / features.hop_length) + 1


def near_duplicates(
    test: ClipSet, train: ClipSet, features: Features, at_least: float, held_out: int, kind: str = REAL
) -> list[NearDuplicate]:
    """Of every test clip the most similar clip of ``train`` of another recording, where similarity is ``at_least`` so.

    Tolerant of level and of a shift of half a clip, in steps of half a frame. Silent clips are left out.
    """
    front_end = MelFrontEnd(features)
    mels = [front_end.log_mel(torch.from_numpy(clips.mel)).numpy() for clips in (test, train)]
    (asked, of_test), (given, of_train) = (fingerprint(mel) for mel in mels)
    queries, references = test.take(of_test), train.take(of_train)
    if not len(queries) or not len(references):
        return []
    same = queries.fs_id[:, None] == references.fs_id[None]
    label = f"near-duplicates, fold {held_out} held out, {kind}"
    similarity, found, shift = np.full(len(queries), -1.0), np.full(len(queries), -1), np.zeros(len(queries))
    for later, prints in ((0.0, given[of_train]), (0.5, fingerprint(half_a_frame_later(mels[1][of_train]))[0])):
        values, index, frames = most_similar(asked[of_test], prints, largest_shift(features), same, label)
        closer = values > similarity
        similarity[closer], found[closer], shift[closer] = values[closer], index[closer], frames[closer] - later
    return [
        NearDuplicate(
            held_out,
            kind,
            str(queries.name[row]),
            str(queries.fs_id[row]),
            str(references.name[found[row]]),
            str(references.fs_id[found[row]]),
            round(float(similarity[row]), 4),
            round(float(shift[row]) / features.frames_per_second, 3),
        )
        for row in np.flatnonzero(similarity >= at_least)
    ]


def among_real(features: Path, params: Params) -> Closeness:
    """Compare every held-out fold of ``features`` with its training clips."""
    pairs: list[NearDuplicate] = []
    tested = 0
    for fold in params.folds:
        train, test = split(features, fold)
        tested += len(test)
        pairs += near_duplicates(test, train, params.features, params.leakage.similarity, fold)
    return Closeness(tested, sorted(pairs, key=lambda pair: -pair.similarity))
