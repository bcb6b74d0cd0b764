"""Noria: build a large model from your own text, ship it, and grow on what its users do."""

import os

__version__ = "0.1.0"

# Threads of a matrix product that wait for each other by spinning starve whatever else runs on two cores, and are starved
# by it: with one busy neighbour a training step took ten times as long. Read when OpenMP is loaded, so it is set here.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
