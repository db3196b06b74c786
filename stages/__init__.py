"""One thin script per stage of dvc.yaml, run as ``python -m stages.<name>``."""

import soundaug  # noqa: F401 - before torch, whose OpenMP reads what it sets
