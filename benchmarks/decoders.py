"""Decoders: a real one tuned and aligned beside TRL with peft (`decoders_tune`), and served beside llama.cpp's server (`decoders_serve`)."""

from __future__ import annotations

from . import decoders_serve, decoders_tune
from .line import Line


def measure(*, quick: bool) -> list[Line]:
    """Return the lines of all parts."""
    return [*decoders_tune.measure(quick=quick), *decoders_serve.measure(quick=quick)]
