"""Noria: build a large model from your own text, ship it, and grow on what its users do."""

import os

__version__ = "0.1.0"

# Threads of a matrix product that wait for each other by spinning starve whatever else runs on two cores, and are starved
# by it: with busy neighbours a training step took ten times as long. Spinning shortly and then sleeping costs 5 % on a
# quiet machine. OpenMP reads this when it is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
