"""Clips made by a trained generator."""
