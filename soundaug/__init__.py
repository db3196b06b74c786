"""Does audio made by a diffusion model improve a sound classifier? The study's shared code, a module per concept."""

import os

# OpenMP's threads otherwise spin while they wait for one that shares its core with another process: a training beside
# one busy process takes 19 s this way, 66 s without. It must be set before torch loads OpenMP.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
