"""Whether the tables that trained models and generated clips come with tell all of it: an empty one hides any leak."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from soundaug.running.foreign import reading

Row = Mapping[str, str]


def incomplete_table(what: str, rows: Sequence[Row], wanted: Collection[str]) -> Iterator[str]:
    """Where the training clips that ``rows`` name are not the ``wanted`` ones, each once."""
    names = [row["name"] for row in rows]
    if missing := sorted(set(wanted) - set(names)):
        yield f"the table of the {what} leaves out {missing[0]}, one of {len(missing)} training clips it lacks"
    elif len(names) > len(set(names)):
        yield f"the table of the {what} names {len(names)} training clips, wanted {len(set(names))}, each once"


def unaccounted_extra(
    what: str, rows: Sequence[Row], n_extra: object, given: Collection[tuple[str, str]]
) -> Iterator[str]:
    """Where the clips added to the real ones, ``rows``, are not ``n_extra`` of those ``given``, (name, recording)."""
    if len(rows) != n_extra:
        yield f"the table of the {what} names {len(rows)} extra clips, wanted the {n_extra} of its summary.json"
    for row in rows:
        if (row["name"], row["fs_id"]) not in given:
            told = f"{row['name']} of recording {row['fs_id']}"
            yield f"the {what} was given {told}, which the training side does not have"


def mismatched_clips(folder: Path, pairs: Sequence[Row]) -> Iterator[str]:
    """Where the generated clips in ``folder`` are not those whose ``pairs`` are told, in their order."""
    wanted = [(row["name"], row["class_id"], row["fs_id_a"]) for row in pairs]
    for path in (folder / "mels.npz", folder / "features.npz"):
        if not path.is_file():
            continue
        with reading(path, "no generated clips", "what generate writes"), np.load(path, allow_pickle=False) as arrays:
            columns = [arrays[name].tolist() for name in ("name", "class_id", "fs_id")]  # the mels are not read
        found = [(name, str(class_id), fs_id) for name, class_id, fs_id in zip(*columns, strict=True)]
        if len(found) != len(wanted):
            yield f"{path} holds {len(found)} clips, wanted the {len(wanted)} that pairs.csv tells the parents of"
        elif found != wanted:
            odd = next(one for one, told in zip(found, wanted, strict=True) if one != told)
            yield f"{path} holds {odd[0]} of class {odd[1]} and recording {odd[2]}, which pairs.csv tells otherwise"
