"""`dvc repro` when nothing has changed, against running the stages again, as a script without a cache does.

Run `dvc repro` first: what its stages took is in the scratch folder. Seconds of DVC's own start are the bound: it
imports itself before it looks at anything.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.comparison import Comparison
from benchmarks.measure import timed
from soundaug.params import load_params
from soundaug.reporting.environment import stage_usage
from soundaug.running.errors import StudyError, run_stage
from soundaug.running.outputs import write_csv

REPORTS = Path("reports/benchmarks")
DVC = ("-m", "dvc")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="timed runs, of which the median counts")
    args = parser.parse_args()
    usage = stage_usage(load_params())
    if not usage:
        raise StudyError("dvc repro: found no stage that ran on this machine, wanted a finished `dvc repro`")
    if changed := json.loads(call(*DVC, "status", "--json")):
        raise StudyError(f"dvc status: found {len(changed)} stages to run ({next(iter(changed))}), wanted none")
    stages = sum(one["seconds"] for one in usage.values())
    ways = {
        "dvc repro, nothing changed": (*DVC, "repro"),
        "dvc status": (*DVC, "status"),
        "DVC's own start": ("-c", "import dvc.cli, dvc.repo.reproduce"),
    }
    seconds = {name: timed(lambda way=way: call(*way), args.repeats).median for name, way in ways.items()}  # type: ignore[misc]
    rows = [("the stages, run again", stages), *seconds.items()]
    write_csv(REPORTS / "repro.csv", ["what", "seconds", "ratio"], [(what, s, stages / s) for what, s in rows])
    for what, taken in rows:
        print(f"{what}: {taken:.1f} s")
    repro, _, start = seconds.values()
    print(f"files in data/: {sum(path.is_file() for path in Path('data').rglob('*'))}")
    work, against = next(iter(ways)), rows[0][0]
    Comparison("repro", work, against, stages, repro, start, "DVC's start").tell()


def call(*arguments: str) -> str:
    """What Python says, run with ``arguments``; StudyError when it fails."""
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(  # noqa: S603 - dvc and an import
        [sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = " ".join(done.stderr.split()) or "nothing said"
        raise StudyError(f"{' '.join(arguments)}: found exit code {done.returncode} ({said}), wanted 0")
    return done.stdout


if __name__ == "__main__":
    run_stage(main)
