"""Audio files, their spectra and mels."""
