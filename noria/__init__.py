"""Noria: build a large model from your own text, ship it, and grow on what its users do."""

__version__ = "0.1.0"
