"""A small Stable Diffusion of spectrogram images, told of a style in words: its training, and what it makes."""
