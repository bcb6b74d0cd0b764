"""Sizes, loading and bundled encoders."""
