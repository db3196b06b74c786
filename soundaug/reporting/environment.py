"""The machine and the packages of a run, and what its stages took."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

from soundaug.params import Params
from soundaug.running import scratch
from soundaug.running.outputs import read_json
from soundaug.running.usage import FOLDER

INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")  # x86's, which sums and precisions depend on
PACKAGES = ("torch", "torchaudio", "diffusers", "librosa", "numpy", "scipy", "scikit-learn", "soundfile", "dvc")


def environment() -> dict[str, object]:
    """Versions of Python and the main packages (none is imported), platform, processor, device and cores.

    ``instructions`` are those of INSTRUCTIONS that the processor has, where the system tells (Linux on x86).
    """
    flags = _cpuinfo("flags").split()
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "python": platform.python_version(),
        "packages": versions,
        "platform": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "instructions": [name for name in INSTRUCTIONS if name in flags],
        "device": _device(),
        "cores": os.cpu_count(),
    }


def stage_usage(params: Params) -> dict[str, dict[str, float]]:
    """Of every stage that ran on this machine: ``runs``, ``seconds`` in all, the ``longest`` run's, ``peak_mb``.

    Runs of other folds, seeds or controls are left out, and so is `evaluate`, which asks. The slowest stage is first.
    """
    wanted: dict[str, Any] = {"--fold": params.folds, "--seed": params.seeds, "--control": params.controls}
    runs: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((scratch.ROOT / FOLDER).glob("*.json")):
        found = read_json(path)
        given = zip(found["arguments"][::2], found["arguments"][1::2], strict=False)
        if found["stage"] != "evaluate" and all(value in map(str, wanted.get(name, [value])) for name, value in given):
            runs.setdefault(found["stage"], []).append(found)
    usage = {
        stage: {
            "runs": len(found),
            "seconds": round(sum(one["seconds"] for one in found), 1),
            "longest": max(one["seconds"] for one in found),
            "peak_mb": max(one["peak_mb"] for one in found),
        }
        for stage, found in runs.items()
    }
    return dict(sorted(usage.items(), key=lambda entry: -entry[1]["seconds"]))


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(name: str) -> str:
    """What Linux tells of its first processor by that name; empty elsewhere."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.partition(":")[0].strip() == name:
                return line.partition(":")[2].strip()
    return ""


def _device() -> str:
    """The accelerator's name as its driver tells it, else "cpu"."""
    if program := shutil.which("nvidia-smi"):
        command = [program, "--query-gpu=name", "--format=csv,noheader"]
        try:
            found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)  # noqa: S603 - a fixed command
        except (OSError, subprocess.TimeoutExpired):
            return "cpu"
        if found.returncode == 0 and found.stdout.strip():
            return found.stdout.strip().splitlines()[0]
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return "mps"
    return "cpu"
