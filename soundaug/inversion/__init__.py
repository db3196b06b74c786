"""From mels back to audio."""
