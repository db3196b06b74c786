"""The machine and the packages of a run."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
from pathlib import Path

PACKAGES = ("torch", "torchaudio", "diffusers", "librosa", "numpy", "scipy", "scikit-learn", "soundfile", "dvc")


def environment() -> dict[str, object]:
    """Versions of Python and the main packages (none is imported), platform, processor, device and cores."""
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
        "device": _device(),
        "cores": os.cpu_count(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


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
