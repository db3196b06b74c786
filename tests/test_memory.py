"""Memory that the allocator keeps: what freed memory costs to get again, in page faults of a process of its own."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")

BLOCK = 40 * 2**20  # bytes: a batch's activations, above what glibc keeps by itself
FAULTS = """
import resource
import sys

import numpy as np

from soundaug.running.memory import keep_all_freed_memory

if sys.argv[2] == "keep":
    assert keep_all_freed_memory()
np.ones(int(sys.argv[1]), dtype=np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(int(sys.argv[1]), dtype=np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    command = [sys.executable, "-c", FAULTS, str(BLOCK), how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_blocks_of_any_size_are_kept_when_asked_for() -> None:
    assert faults("keep") < 100 < 10 * BLOCK / 2**21 <= faults("give back")
