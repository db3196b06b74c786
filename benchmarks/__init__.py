"""Measurements against other people's code, both sides in one run: ``python -m benchmarks.<name>``."""
