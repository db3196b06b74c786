"""Kill -9 at random moments all over the pipeline: does `dvc repro` go on to the same bytes, and what was done twice?

    python -m benchmarks.interruption --params presets/quick.yaml --kills 30

In two temporary clones of this repository's last commit: one is left alone, the other is killed, each time with all its
processes, and started again. A table tells the work that every killed stage repeated, the last lines whether outputs
and reports/metrics.json are equal. Ends with 1 where they are not, or more than ``--most-seconds`` are repeated.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import yaml

from soundaug.running.errors import StudyError, run_stage
from soundaug.running.outputs import write_table

ROOT = Path(__file__).parents[1]
STARTED = "Running stage '"
TIMED = ("reports/environment.json", "reports/index.html")  # tell how long stages took: never the same twice
# What DVC writes in place, so that a kill may leave half of it, and how it is put back.
HALF_WRITTEN = ("dvc.lock", "RWLock-file")
POLL_SECONDS = 0.02


class Kill(NamedTuple):
    """When to kill: after ``share`` of the time that the stage number ``stage`` takes when it is left alone."""

    stage: int
    share: float


@dataclass
class Life:
    """One run of `dvc repro`: when each stage started, in seconds; its end, exit code and what it said."""

    started: list[tuple[str, float]] = field(default_factory=list)
    ended: float = 0.0
    code: int = 0
    said: list[str] = field(default_factory=list)

    def seconds(self) -> dict[str, float]:
        """Of every stage: from its start to the next one's, or to the end."""
        starts = [*self.started, ("", self.ended)]
        return {name: after - start for (name, start), (_, after) in pairwise(starts)}


class Clone:
    """A copy of the project in which `dvc repro` may be run and killed."""

    def __init__(self, source: Path, folder: Path, params: Path | None, target: str | None) -> None:
        _call(["git", "clone", "--quiet", str(source), str(folder)], Path.cwd())
        self.folder = folder
        self.target = target
        if params is not None:
            shutil.copy(params, folder / "params.yaml")

    def repro(self, kill: Kill | None = None, order: Sequence[str] = (), alone: dict[str, float] | None = None) -> Life:
        """Run to the end, or until ``kill`` by the ``order`` and the times of the stages ``alone``."""
        life = Life()
        begin = time.monotonic()
        command = [sys.executable, "-m", "dvc", "repro", *([self.target] if self.target else [])]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        process = subprocess.Popen(  # noqa: S603 - dvc, with arguments of this program's user
            command,
            cwd=self.folder,
            env=os.environ | {"PATH": path, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # so that the whole group can be killed
        )

        def listen() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                life.said.append(line.rstrip())
                if line.startswith(STARTED):
                    life.started.append((line.removeprefix(STARTED).split("'")[0], time.monotonic() - begin))

        listener = threading.Thread(target=listen)
        listener.start()
        if kill is not None and alone is not None:
            self._wait(process, life, begin, kill, order, alone)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        life.code = process.wait()
        life.ended = time.monotonic() - begin
        listener.join()
        return life

    def _wait(
        self,
        process: subprocess.Popen[str],
        life: Life,
        begin: float,
        kill: Kill,
        order: Sequence[str],
        alone: dict[str, float],
    ) -> None:
        """Until the moment of ``kill``, of the first stage from that number on that runs, or the end."""
        while process.poll() is None:
            for name, start in life.started:
                reached = name in order and order.index(name) >= kill.stage
                if reached and time.monotonic() - begin - start >= kill.share * alone[name]:
                    return
            time.sleep(POLL_SECONDS)

    def mend(self, life: Life) -> bool:
        """Put back what DVC itself had half written; whether that was why it failed."""
        text = "\n".join(life.said)
        if not any(name in text for name in HALF_WRITTEN):
            return False
        (self.folder / ".dvc/tmp/rwlock").unlink(missing_ok=True)
        (self.folder / "dvc.lock").unlink(missing_ok=True)
        if _call(["git", "ls-files", "dvc.lock"], self.folder):  # else none has been committed yet
            _call(["git", "checkout", "--quiet", "dvc.lock"], self.folder)
        return True

    def outputs(self, ran: Collection[str]) -> dict[str, str]:
        """The hash in dvc.lock of every output of the stages ``ran``, but for those of TIMED.

        Of others a lock that was committed may tell, which a kill may have cut: they are not this run's.
        """
        stages = yaml.safe_load((self.folder / "dvc.lock").read_text(encoding="utf-8"))["stages"]
        return {
            out["path"]: out["md5"]
            for name, stage in stages.items()
            for out in stage.get("outs", [])
            if name in ran and out["path"] not in TIMED
        }


@dataclass(frozen=True)
class Outcome:
    """What came of it: a row a stage that was killed, and what differs."""

    rows: list[dict[str, object]]
    kills: int
    mended: int
    compared: int
    differing: list[str]
    seconds_alone: float
    seconds_killed: float

    @property
    def most_repeated(self) -> float:
        """Seconds of work done twice because of one kill, at most."""
        return max((float(str(row["repeated_seconds"])) for row in self.rows), default=0.0)


def plan(count: int, stages: int, seed: int) -> list[Kill]:
    """``count`` moments, as even over the ``stages`` as they go and random within them, in order."""
    draw = random.Random(seed)  # noqa: S311 - moments, no secrets
    places = sorted((index + draw.random()) * stages / count for index in range(count))
    return [Kill(int(place), place % 1) for place in places]


def interrupted(source: Path, folder: Path, params: Path | None, target: str | None, count: int, seed: int) -> Outcome:
    """Run the project of ``source`` in two clones in ``folder``, one of them killed ``count`` times."""
    whole = Clone(source, folder / "alone", params, target)
    alone = _finished(whole.repro())
    order, usual = [name for name, _ in alone.started], alone.seconds()
    print(f"left alone: {alone.ended:.0f} s, {len(order)} stages", flush=True)

    killed = Clone(source, folder / "killed", params, target)
    lives: list[Life] = []
    hit: Counter[str] = Counter()
    mended = 0
    for kill in plan(count, len(order), seed):
        life = killed.repro(kill, order, usual)
        lives.append(life)
        if life.code != -signal.SIGKILL and killed.mend(life):
            mended += 1
            life = killed.repro(kill, order, usual)
            lives.append(life)
        if life.code != -signal.SIGKILL:
            if life.code:
                _finished(life)
            print("ended before the next kill", flush=True)
            break
        hit[life.started[-1][0]] += 1
        print(f"killed in {life.started[-1][0]}, after {life.ended - life.started[-1][1]:.1f} s of it", flush=True)
    lives.append(killed.repro())
    if lives[-1].code and killed.mend(lives[-1]):
        mended += 1
        lives.append(killed.repro())
    _finished(lives[-1])

    rows: list[dict[str, object]] = []
    for name in [one for one in order if hit[one]]:
        spent = sum(life.seconds().get(name, 0.0) for life in lives)
        repeated = max(0.0, spent - usual[name]) / hit[name]
        rows.append(
            {
                "stage": name,
                "kills": hit[name],
                "seconds_alone": round(usual[name], 1),
                "seconds_spent": round(spent, 1),
                "repeated_seconds": round(repeated, 1),  # a kill
            }
        )
    one, other = whole.outputs(order), killed.outputs(order)
    differing = sorted(path for path in one | other if one.get(path) != other.get(path))
    return Outcome(rows, sum(hit.values()), mended, len(one), differing, alone.ended, sum(life.ended for life in lives))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--params", type=Path, default=ROOT / "presets/quick.yaml", help="the params.yaml to run")
    parser.add_argument("--target", help="the stage to run up to (all)")
    parser.add_argument("--kills", type=int, default=30, help="how often (30)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    parser.add_argument("--most-seconds", type=float, default=120.0, help="of work done twice after one kill (120)")
    parser.add_argument("--table", type=Path, help="a CSV to write")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="interruption") as folder:
        found = interrupted(
            ROOT, Path(folder), arguments.params.resolve(), arguments.target, arguments.kills, arguments.seed
        )
    for row in found.rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    if arguments.table and found.rows:
        write_table(arguments.table, found.rows)
    print(f"{found.kills} kills, {found.seconds_killed:.0f} s in all, {found.seconds_alone:.0f} s when left alone")
    print(f"DVC's own files put back: {found.mended} times")
    print(f"work done twice after one kill: at most {found.most_repeated:.1f} s")
    print(f"equal: {found.compared - len(found.differing)} of {found.compared} outputs")
    if found.differing or found.most_repeated > arguments.most_seconds:
        raise StudyError(
            f"interruption: found {len(found.differing)} outputs that differ ({', '.join(found.differing[:3])}) and "
            f"{found.most_repeated:.0f} s repeated, wanted none and at most {arguments.most_seconds:.0f} s"
        )


def _finished(life: Life) -> Life:
    if life.code:
        said = " / ".join(line for line in life.said[-4:] if line)
        raise StudyError(f"dvc repro: found exit code {life.code} ({said}), wanted 0")
    return life


def _call(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - fixed commands
    if done.returncode:
        raise StudyError(f"{' '.join(command)}: found exit code {done.returncode} ({done.stderr.strip()}), wanted 0")
    return done.stdout


if __name__ == "__main__":
    run_stage(main)
