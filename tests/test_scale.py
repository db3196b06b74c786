"""The measurement of sizes, on a project of two stages that say what they took; and the lines through the figures."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from tiny_pipeline import ROOT, tiny_params

from benchmarks import scale
from benchmarks.scale import Cost, fit, measure, params_at
from soundaug.params import parse_params
from soundaug.running.errors import StudyError

STAGE = """
import json, sys, yaml
from pathlib import Path
stage, taken = sys.argv[1:]
with open(Path(__file__).parent / ".." / ".." / "runs", "a") as runs:
    runs.write(stage + "\\n")
left = list(Path(".scratch").glob("generate/*"))
assert not left, left
n = yaml.safe_load(Path("params.yaml").read_text())["n"]
folder = Path(".scratch/usage"); folder.mkdir(parents=True, exist_ok=True)
used = {"stage": stage, "arguments": [], "seconds": 1 + n * float(taken), "peak_mb": 100 + n}
(folder / f"{stage}.json").write_text(json.dumps(used))
Path(stage).write_text(str(n))
if n == 13 and stage == "featurize":
    sys.exit(3)
"""
PIPELINE = {
    "stages": {
        "fetch": {"cmd": "python stage.py fetch 0.5", "params": ["n"], "deps": ["stage.py"], "outs": ["fetch"]},
        "featurize": {
            "cmd": "python stage.py featurize 0.1",
            "params": ["n"],
            "deps": ["fetch"],
            "outs": ["featurize"],
        },
    }
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "stage.py").write_text(STAGE)
    (folder / "dvc.yaml").write_text(yaml.safe_dump(PIPELINE))
    (folder / "params.yaml").write_text("n: 0\n")
    (folder / ".gitignore").write_text("/.scratch/\n")
    identity = {f"GIT_{who}_{what}": "x@y" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    for command in (
        ["git", "init", "--quiet"],
        [sys.executable, "-m", "dvc", "init", "--quiet"],
        ["git", "add", "--all"],
        ["git", "commit", "--quiet", "--message", "project"],
    ):
        subprocess.run(command, cwd=folder, check=True, env=os.environ | identity)
    return folder


def test_a_size_is_measured_once(project: Path, tmp_path: Path) -> None:
    folder = tmp_path / "10"
    found = measure(project, folder, {"n": 10}, 10, "featurize")
    assert found[:2] == [Cost(10, "fetch", 6.0, 110), Cost(10, "featurize", 2.0, 110)]
    assert [cost.stage for cost in found] == ["fetch", "featurize", "dvc status"]
    assert 0.1 < found[2].seconds < 60
    assert 20 < found[2].peak_mb < 1000
    assert not (folder / "clone").exists()
    assert measure(project, folder, {"n": 10}, 10, "featurize") == found
    assert (tmp_path / "runs").read_text().split() == ["fetch", "featurize"]
    assert measure(project, folder, {"n": 20}, 20, "fetch")[0] == Cost(20, "fetch", 11.0, 120)  # other parameters: anew


def test_a_stage_that_was_cut_short_is_measured_anew(project: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="dvc repro featurize: found exit code"):
        measure(project, tmp_path / "13", {"n": 13}, 13, "featurize")
    clone = tmp_path / "13/clone"
    (clone / ".scratch/generate/half").mkdir(parents=True)
    (clone / "stage.py").write_text(STAGE.replace("sys.exit(3)", "pass"))
    subprocess.run([sys.executable, "-m", "dvc", "commit", "-f", "-q", "fetch"], cwd=clone, check=True)
    found = measure(project, tmp_path / "13", {"n": 13}, 13, "featurize")
    assert found[0] == Cost(13, "fetch", 7.5, 113)
    assert (tmp_path / "runs").read_text().split() == ["fetch", "featurize", "featurize"]


def test_the_parameters_of_a_size_are_valid_and_give_as_many_clips() -> None:
    quick = yaml.safe_load((ROOT / "presets/quick.yaml").read_text())
    params = parse_params(params_at(quick, 97))
    synthetic = params.data.synthetic
    assert (
        10 * synthetic.recordings_per_class * synthetic.slices_per_recording == 8730 == 10 * params.generate.per_class
    )
    assert (synthetic.slice_seconds, params.features.clip_seconds) == ([4.0, 4.0], 4.0)
    assert quick == yaml.safe_load((ROOT / "presets/quick.yaml").read_text())
    assert params_at(quick, 12)["features"] == params_at(quick, 97)["features"]


def test_lines_through_the_figures() -> None:
    costs = [Cost(n, "one", 3 + 0.002 * n, 200 + 0.05 * n) for n in (400, 100, 200)]
    costs += [Cost(n, "two", n * n / 1e4, 50) for n in (100, 200, 400)]
    one, two = fit(costs)
    assert one == pytest.approx(("one", 3.0, 2.0, 200.0, 50.0, 0.124))
    assert (two.fixed_mb, two.kb_a_clip) == (50.0, 0.0)
    assert two.exponent == pytest.approx(2)


def test_the_table_the_picture_and_a_slow_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(tiny_params()))
    asked: list[int] = []

    def costs(source: Path, folder: Path, values: object, clips: int, target: str) -> list[Cost]:
        asked.append(clips)
        return [Cost(clips, "fetch", clips / 100, 300.0), Cost(clips, "dvc status", clips / 1000, 90.0)]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(scale, "measure", costs)
    arguments = ["scale", "--params", "params.yaml", "--recordings", "97", "--most-status"]
    monkeypatch.setattr(sys, "argv", [*arguments, "9"])
    scale.main()
    assert asked == [1080, 2160, 4320, 8730]
    assert "fetch: 0.0 s + 10.00 ms a clip (power 1.00), 300 MB + 0.0 kB a clip" in capsys.readouterr().out
    assert (tmp_path / "reports/benchmarks/scale.png").read_bytes().startswith(b"\x89PNG")
    assert len((tmp_path / "reports/benchmarks/scale.csv").read_text().splitlines()) == 9
    monkeypatch.setattr(sys, "argv", [*arguments, "5"])
    with pytest.raises(StudyError, match=r"dvc status: found 8.7 s, wanted at most 5 s"):
        scale.main()
