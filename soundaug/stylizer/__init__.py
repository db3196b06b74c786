"""A small Stable Diffusion of spectrogram images, told of a style in words: its training, and what it makes."""

import os

# Importing diffusers' pipelines, transformers otherwise says that it goes without torchvision.
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
