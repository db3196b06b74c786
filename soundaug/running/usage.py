"""What a stage took, noted beside the work in progress when it ends well: seconds from its start and peak memory."""

import json
import os
import re
import sys
import time
from pathlib import Path

import psutil

from soundaug.running import scratch

FOLDER = "usage"  # in the scratch folder, which git and DVC ignore


def record_usage() -> None:
    """Note the stage that this process is, under its command; nothing in any other program.

    The time counts from the start of the process, imports included. Of several processes that work together the one
    that started them notes theirs: its peak is that of the largest.
    """
    script = Path(sys.argv[0])
    if script.parent.name != "stages" or "WORLD_SIZE" in os.environ:  # the latter: one of several
        return
    name = re.sub(r"[^\w.]+", "_", " ".join([script.stem, *sys.argv[1:]]))
    found = {
        "stage": script.stem,
        "arguments": sys.argv[1:],
        "seconds": round(time.time() - psutil.Process().create_time(), 1),
        "peak_mb": round(_peak_bytes() / 2**20),
    }
    folder = scratch.ROOT / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.partial"
    partial.write_text(json.dumps(found) + "\n", encoding="utf-8")
    partial.replace(folder / f"{name}.json")  # whole or not at all: the report reads it


def _peak_bytes() -> int:
    """The most memory that this process, or one that it started, ever had resident."""
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return peak if sys.platform == "darwin" else 1024 * peak
