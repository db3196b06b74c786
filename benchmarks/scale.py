"""Time and memory of the stages on a corpus of UrbanSound8K's size, and on an eighth, a quarter and a half of it.

    python -m benchmarks.scale

8,730 embedded clips of four seconds go through fetch, featurize, a generator of few steps, generate (as many clips as
there are, at few steps), invert and featurize_generated, each size by `dvc repro` in a clone of this repository's last
commit below ``--folder``. Writes reports/benchmarks/scale.csv, scale_fit.csv (seconds and memory: a fixed part and one
a clip) and a picture. Started again it goes on: a size that was measured is not run again, a stage that was cut short
is. Ends with 1 where `dvc status` takes longer than ``--most-status``.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from benchmarks.plots import plot_scale
from soundaug.running.errors import StudyError, run_stage
from soundaug.running.outputs import read_json, read_rows, write_csv
from soundaug.running.usage import FOLDER
from soundaug.sources.synthetic import CLASS_NAMES

ROOT = Path(__file__).parents[1]
REPORTS = Path("reports/benchmarks")
FOLDS, SLICES, SECONDS = 10, 9, 4.0  # 97 recordings of 9 slices in 10 classes are 8,730 clips
STATUS = "dvc status"
TARGET = "featurize_generated@1"
STAGES = ("fetch", "featurize", "train_generator", "generate", "invert", "featurize_generated")


# With its own peak in kB at the end: what the system tells of a child is never below the parent's at its start.
DVC_STATUS = """
import re, sys
from pathlib import Path
from dvc.cli import main
code = main(["status", "--json"])
found = Path("/proc/self/status")
peak = re.search(r"VmHWM:\\s+(\\d+)", found.read_text()) if found.exists() else None
print()
print(peak[1] if peak else 0)
sys.exit(code)
"""


class Cost(NamedTuple):
    """What one stage took on a corpus of ``clips``: seconds and MB at the most."""

    clips: int
    stage: str
    seconds: float
    peak_mb: float


class Line(NamedTuple):
    """Least squares through a stage's costs; ``exponent`` is that of the power of the clips that its seconds follow: 1
    where they double with them, 0 where they stay."""

    stage: str
    fixed_seconds: float
    ms_a_clip: float
    fixed_mb: float
    kb_a_clip: float
    exponent: float


def params_at(values: Mapping[str, Any], recordings: int) -> dict[str, Any]:
    """The parameters ``values``, for a corpus of ``recordings`` a class and as many generated clips, at few steps."""
    clips_a_class = recordings * SLICES
    changes: dict[str, dict[str, Any]] = {
        "leakage": {"max_share": None},  # else featurize looks for near-duplicates among up to 10,000 clips
        "data": {"source": "synthetic", "n_folds": FOLDS},
        "features": {"clip_seconds": SECONDS},
        "generator": {"steps": 20, "warmup_steps": 5, "checkpoint_every": 20},
        "generate": {"per_class": clips_a_class, "steps": 2, "candidates": 1},
    }
    made = {**values, "folds": [1]}
    for section, changed in changes.items():
        made[section] = {**values[section], **changed}
    made["data"]["synthetic"] = {
        **values["data"]["synthetic"],
        "recordings_per_class": recordings,
        "slices_per_recording": SLICES,
        "slice_seconds": [SECONDS, SECONDS],
    }
    return made


def measure(source: Path, folder: Path, values: Mapping[str, Any], clips: int, target: str) -> list[Cost]:
    """Run the project ``source`` with the parameters ``values`` up to ``target`` in a clone in ``folder``."""
    text = yaml.safe_dump(dict(values), sort_keys=False)
    clone, done = folder / "clone", folder / "costs.csv"
    if done.exists() and (folder / "params.yaml").read_text(encoding="utf-8") == text:
        rows = read_rows(done, Cost._fields)
        return [Cost(int(r["clips"]), r["stage"], float(r["seconds"]), float(r["peak_mb"])) for r in rows]
    if not (clone / ".dvc").exists() or (clone / "params.yaml").read_text(encoding="utf-8") != text:
        shutil.rmtree(clone, ignore_errors=True)
        done.unlink(missing_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        _call(["git", "clone", "--quiet", str(source), str(clone)], folder)
        (clone / "params.yaml").write_text(text, encoding="utf-8")
    for left in (clone / ".scratch").glob("*"):
        if left.name != FOLDER:  # work in progress: gone on with, a stage would seem faster than it is
            shutil.rmtree(left)
    _call([sys.executable, "-m", "dvc", "repro", target], clone)
    costs = [*usage(clone, clips), *(_status(clone, clips) for _ in range(3))]
    costs = [*costs[:-3], sorted(costs[-3:], key=lambda cost: cost.seconds)[1]]  # the median
    (folder / "params.yaml").write_text(text, encoding="utf-8")
    write_csv(done, Cost._fields, costs)
    shutil.rmtree(clone)
    return costs


def usage(clone: Path, clips: int) -> list[Cost]:
    """What each of the STAGES noted, in their order."""
    found = [read_json(path) for path in (clone / ".scratch" / FOLDER).glob("*.json")]
    noted = {one["stage"]: Cost(clips, one["stage"], one["seconds"], one["peak_mb"]) for one in found}
    return [noted[stage] for stage in STAGES if stage in noted]


def fit(costs: Sequence[Cost]) -> list[Line]:
    """A line a stage, in the order they come; at least two sizes."""
    lines = []
    for stage in dict.fromkeys(cost.stage for cost in costs):
        chosen = sorted(cost for cost in costs if cost.stage == stage)
        clips, seconds, memory = (np.array([getattr(c, of) for c in chosen]) for of in ("clips", "seconds", "peak_mb"))
        (slope, fixed), (growth, base) = (np.polyfit(clips, values, 1) for values in (seconds, memory))
        exponent = np.polyfit(np.log(clips), np.log(np.maximum(seconds, 0.01)), 1)[0]
        lines.append(
            Line(stage, *(round(float(v), 3) + 0.0 for v in (fixed, 1000 * slope, base, 1000 * growth, exponent)))
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=ROOT / "presets/quick.yaml", help="what else holds (quick)")
    parser.add_argument("--recordings", type=int, default=97, help="a class, at the whole size (97: 8,730 clips)")
    parser.add_argument("--parts", type=int, nargs="+", default=[8, 4, 2, 1], help="of the whole size (8 4 2 1)")
    parser.add_argument("--folder", type=Path, default=Path(".scratch/scale"), help="for the clones (.scratch/scale)")
    parser.add_argument("--most-status", type=float, default=5.0, help="seconds of dvc status at the whole size (5)")
    args = parser.parse_args()
    values = yaml.safe_load(args.params.read_text(encoding="utf-8"))
    costs: list[Cost] = []
    for part in sorted(args.parts, reverse=True):
        recordings = args.recordings // part
        clips = recordings * SLICES * len(CLASS_NAMES)
        folder = args.folder.resolve() / str(clips)
        found = measure(ROOT, folder, params_at(values, recordings), clips, TARGET)
        for cost in found:
            print(f"{clips} clips, {cost.stage}: {cost.seconds:.1f} s, at most {cost.peak_mb:.0f} MB", flush=True)
        costs += found
    write_csv(REPORTS / "scale.csv", Cost._fields, costs)
    plot_scale(REPORTS / "scale.png", [cost._asdict() for cost in costs])
    if len(args.parts) > 1:
        lines = fit(costs)
        write_csv(REPORTS / "scale_fit.csv", Line._fields, lines)
        for line in lines:
            print(
                f"{line.stage}: {line.fixed_seconds:.1f} s + {line.ms_a_clip:.2f} ms a clip "
                f"(power {line.exponent:.2f}), {line.fixed_mb:.0f} MB + {line.kb_a_clip:.1f} kB a clip"
            )
    status = max(cost for cost in costs if cost.stage == STATUS).seconds
    if status > args.most_status:
        raise StudyError(f"dvc status: found {status:.1f} s, wanted at most {args.most_status:g} s")


def _status(clone: Path, clips: int) -> Cost:
    """One `dvc status` of all that was run."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", DVC_STATUS], cwd=clone, capture_output=True, text=True, check=False)  # noqa: S603 - the program above
    if done.returncode:
        raise StudyError(f"dvc status: found exit code {done.returncode} ({done.stderr.strip()}), wanted 0")
    return Cost(clips, STATUS, round(time.perf_counter() - start, 2), round(int(done.stdout.split()[-1]) / 1024))


def _call(command: list[str], folder: Path) -> None:
    """Run a command, which tells its progress itself; StudyError when it fails."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # the stages' own `python` is this one
    done = subprocess.run(command, cwd=folder, env=os.environ | {"PATH": path}, check=False)  # noqa: S603 - git and dvc
    if done.returncode:
        raise StudyError(f"{' '.join(command[:5])}: found exit code {done.returncode}, wanted 0")


if __name__ == "__main__":
    run_stage(main)
