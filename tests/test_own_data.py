"""The whole verdict on folders of real clips in both layouts: few classes and many, of very different sizes."""

import csv
import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from tiny_pipeline import predicted_right, run_pipeline, tiny_params, workspace

from soundaug.running.errors import StudyError

Row = dict[str, str]
PATTERN = r"/(\d+)-[^/]*$"  # UrbanSound8K's names begin with the recording's id


def table(folder: Path) -> list[Row]:
    with (folder / "metadata/UrbanSound8K.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def by_recording(rows: Iterable[Row]) -> list[list[Row]]:
    found: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["fsID"]].append(row)
    return list(found.values())


def spread(recordings: list[list[Row]], count: int) -> list[Row]:
    """``count`` clips, of as many recordings as there are: the first clip of each, then the second, and so on."""
    longest = max(map(len, recordings), default=0)
    return [clips[turn] for turn in range(longest) for clips in recordings if turn < len(clips)][:count]


def link(real_audio: Path, row: Row, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(real_audio / f"audio/fold{row['fold']}" / row["slice_file_name"])


def class_folders(real_audio: Path, folder: Path, sizes: dict[str, int]) -> Path:
    """A folder a class with as many clips as ``sizes`` says, for names that UrbanSound8K's classes begin with."""
    rows = table(real_audio)
    for name, size in sizes.items():
        for row in spread(by_recording(row for row in rows if row["class"].startswith(tuple(name.split("+")))), size):
            link(real_audio, row, folder / name / row["slice_file_name"])
    return folder


def thirty_classes(real_audio: Path, folder: Path) -> Path:
    """UrbanSound8K's layout: in three folds every class's recordings dealt to three, from 2 clips a fold up."""
    rows = table(real_audio)
    folds = sorted({int(row["fold"]) for row in rows})[:3]
    chosen = []
    for fold in folds:
        for class_id in range(10):
            of_cell = [row for row in rows if int(row["fold"]) == fold and int(row["classID"]) == class_id]
            recordings = by_recording(of_cell)
            for third in range(3):
                number = 3 * class_id + third
                for row in spread(recordings[third::3], 2 + number // 2):
                    chosen.append(row | {"classID": str(number), "class": f"{row['class']}, part {third + 1}"})
    for row in chosen:
        link(real_audio, row, folder / f"audio/fold{row['fold']}" / row["slice_file_name"])
    (folder / "metadata").mkdir()
    with (folder / "metadata/UrbanSound8K.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(chosen[0]))
        writer.writeheader()
        writer.writerows(chosen)
    return folder


def study(home: Path, root: Path, folds: list[int], **changes: Any) -> tuple[dict[str, Any], str, str]:
    """Metrics, report and page of the whole verdict on ``root``."""
    own = {"data.source": "directory", "data.root": str(root), "data.n_folds": 3, "folds": folds}
    own["leakage.max_share"] = None  # by the tiny front end's few bands and frames one sound is much like another
    with workspace(home, tiny_params(own | {"controls": ["mixup"]} | changes)) as params:
        run_pipeline(params, music=False)
    reports = home / "reports"
    metrics = json.loads((reports / "metrics.json").read_text())
    return metrics, (reports / "report.md").read_text(), (reports / "index.html").read_text()


def class_sizes(home: Path) -> dict[str, int]:
    sizes: defaultdict[str, int] = defaultdict(int)
    for row in table(home / "data/raw"):
        sizes[row["class"]] += 1
    return dict(sizes)


def test_three_uneven_class_folders(real_audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {"gun_shot": 5, "siren": 60, "dog+children+street": 500}
    folder = class_folders(real_audio, tmp_path / "sounds", sizes)
    metrics, report, page = study(tmp_path / "study", folder, [1, 2, 3], **{"data.group_pattern": PATTERN})
    assert class_sizes(tmp_path / "study") == sizes
    assert (metrics["corpus"]["clips"], metrics["corpus"]["test_clips"]) == (565, 565)
    assert metrics["audit"]["findings"] == 0
    assert metrics["base"]["accuracy"]["mean"] == pytest.approx(predicted_right(tmp_path / "study"), abs=1e-6)
    assert metrics["delta"]["accuracy"]["p_sign_flip_smallest"] == 0.25
    for text in (report, page.replace("&lt;", "<"), capsys.readouterr().out):
        assert "3 folds cannot reach p < 0.25 in the sign-flip test" in text
        assert "One class has 88% of the test clips" in text
        assert "Macro-F1 changed by" in text


def test_five_clips_a_class(real_audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The smallest folder is judged, and told to be small; with one recording less a class it is refused."""
    folder = class_folders(real_audio, tmp_path / "sounds", dict.fromkeys(("car_horn", "drilling", "dog_bark"), 5))
    changes = {"data.group_pattern": PATTERN}
    metrics, report, _ = study(tmp_path / "study", folder, [1, 2], **changes)
    assert (metrics["corpus"]["clips"], metrics["corpus"]["recordings"]) == (15, 15)
    n_clips = metrics["corpus"]["test_clips"]
    assert f"The test folds have {n_clips} clips of {n_clips} recordings in all: one clip is about" in report
    assert "one clip is about" in capsys.readouterr().out
    for path in sorted((folder / "car_horn").iterdir())[:3]:
        path.unlink()
    shutil.rmtree(tmp_path / "study")
    with pytest.raises(StudyError, match=r"^data.n_folds: found 2 recordings of class car_horn, wanted at least 3"):
        study(tmp_path / "study", folder, [1, 2], **changes)
    assert not (tmp_path / "study/data/raw").exists()


def test_thirty_classes_in_urbansound8ks_layout(real_audio: Path, tmp_path: Path) -> None:
    folder = thirty_classes(real_audio, tmp_path / "sounds")
    folds = sorted({int(row["fold"]) for row in table(folder)})
    metrics, report, page = study(tmp_path / "study", folder, folds[:1], **{"generate.per_class": 2})
    sizes = class_sizes(tmp_path / "study")
    assert metrics["corpus"]["classes"] == len(sizes) == 30
    assert min(sizes.values()) == 6
    assert max(sizes.values()) > 40
    assert metrics["audit"]["findings"] == 0
    assert "With one fold there is no test over folds" in report
    rows = report.partition("## Classes")[2].partition("## Training")[0]
    assert len(re.findall(r"^\| \w.*, part \d \|", rows, re.MULTILINE)) == 30
    assert len(re.findall(r'<th scope="row">[^<]*, part \d</th>', page)) == 30
    matrices = page.partition('<section id="confusion"')[2].partition("</section>")[0]
    assert matrices.count("data-chart=") == 3
    assert "row three" not in matrices  # too many columns to stand side by side
