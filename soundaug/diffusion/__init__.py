"""The diffusion model: network, images it learns, noise levels, checkpoints."""
