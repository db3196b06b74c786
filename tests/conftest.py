"""What several test files share."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_audio() -> Path:
    """A folder of real clips in UrbanSound8K's layout, named by SOUNDAUG_REAL_AUDIO; skips where there is none."""
    folder = os.environ.get("SOUNDAUG_REAL_AUDIO")
    if not folder:
        pytest.skip("SOUNDAUG_REAL_AUDIO names no folder")
    return Path(folder)
