"""Training of the generator."""
