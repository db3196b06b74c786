"""Spectrogram images as Riffusion and audio-diffusion know them: to and from sound, their parameters inside."""
