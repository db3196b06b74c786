"""Rows on the disk: what goes in comes out, and what an interruption cut short is dropped."""

from pathlib import Path

import numpy as np
import pytest
import torch

from soundaug.running import kept_rows as module
from soundaug.running.kept_rows import Rows
from soundaug.running.rows import save_rows


def values(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn((count, 2, 3), generator=torch.Generator().manual_seed(seed))


def test_rows_come_back_in_any_order(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows", (2, 3))
    assert (len(rows), rows.array().shape) == (0, (0, 2, 3))
    rows.append(values(3))
    rows.append(values(2, seed=1))
    wanted = torch.cat([values(3), values(2, seed=1)])
    assert len(rows) == 5
    assert torch.equal(rows[[4, 0, 0]], wanted[[4, 0, 0]])
    np.testing.assert_array_equal(rows.array(), wanted.numpy())


def test_what_is_there_is_kept_but_for_a_row_cut_short(tmp_path: Path) -> None:
    Rows(tmp_path / "rows", (2, 3)).append(values(3))
    with (tmp_path / "rows").open("r+b") as file:
        file.truncate(2 * 24 + 5)
    again = Rows(tmp_path / "rows", (2, 3))
    assert len(again) == 2
    again.append(values(1, seed=1))
    assert torch.equal(again[[0, 1, 2]], torch.cat([values(3)[:2], values(1, seed=1)]))
    again.keep(1)
    assert len(Rows(tmp_path / "rows", (2, 3))) == 1


def test_the_deviation_is_numpys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 3)
    rows = Rows(tmp_path / "rows", (2, 3))
    rows.append(values(10) * 3 + 7)
    assert rows.deviation() == pytest.approx(float((values(10) * 3 + 7).double().numpy().std()), rel=1e-6)


def test_rows_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found rows of shape \(3, 2\), wanted \(2, 3\)"):
        Rows(tmp_path / "rows", (2, 3)).append(torch.zeros(1, 3, 2))


def test_an_array_written_row_by_row_has_the_bytes_of_numpys(tmp_path: Path) -> None:
    for array in (np.arange(24, dtype=np.int16).reshape(4, 6), np.empty((0, 5), np.int16)):
        np.save(tmp_path / "wanted.npy", array)
        save_rows(tmp_path / "found.npy", iter(array), len(array), array.shape[1:], np.int16)
        assert (tmp_path / "found.npy").read_bytes() == (tmp_path / "wanted.npy").read_bytes()
    with pytest.raises(ValueError, match="shorter"):
        save_rows(tmp_path / "short.npy", iter(np.zeros((3, 5))), 4, [5], np.int16)
    assert not (tmp_path / "short.npy").exists()


def test_rows_are_read_one_after_the_other(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows", (2, 3))
    assert list(rows) == []
    rows.append(values(4))
    np.testing.assert_array_equal(list(rows), values(4).numpy())
