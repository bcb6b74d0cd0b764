"""The benchmark of drivers at its smallest: all three ways see the same panel, and the truth is near."""

from __future__ import annotations

import numpy as np

from benchmarks.drivers import PEERS, TRUTH, fit, panel


def test_all_ways_estimate_the_same() -> None:
    made = panel(60, 12, 0)  # so many entities that all three intervals are symmetric
    middles = [np.mean(fit(name, *made)) for name in ("noria", *PEERS)]
    assert np.ptp(middles) < 1e-9
    assert abs(middles[0] - TRUTH) < 0.03
