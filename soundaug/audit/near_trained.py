"""Test clips that are nearly the same as a clip trained on, a real one of another recording or a generated one."""

from pathlib import Path

from soundaug.audit.closeness import GENERATED, Closeness
from soundaug.audit.near_duplicates import among_real, near_duplicates
from soundaug.folds.packed import ClipSet, split
from soundaug.params import Params


def look_for(data: Path, params: Params) -> Closeness:
    """Compare every held-out fold of ``data``/features with its training clips and its generated ones."""
    real = among_real(data / "features", params)
    pairs = list(real.pairs)
    for fold in params.folds if params.generate.per_class > 0 else ():
        _, test = split(data / "features", fold)
        generated = ClipSet.load(data / "generated" / f"fold{fold}" / "features.npz")
        pairs += near_duplicates(test, generated, params.features, params.leakage.similarity, fold, GENERATED)
    return Closeness(real.test_clips, sorted(pairs, key=lambda pair: -pair.similarity))
