"""The recommender's benchmark, small: a run's truth and estimates, and what is asked of a server."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import recommend_offpolicy
from benchmarks.recommend_offpolicy import World, run
from benchmarks.recommend_serve import list_times, state_bytes, vectors


def test_a_run_of_simulated_users_is_judged_near_its_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recommend_offpolicy, "USERS", 25)
    draw = np.random.default_rng(0)
    world = World([f"place/{number}" for number in range(120)], draw.integers(0, 3, 120), draw.normal(size=(120, 32)))
    runs = [run(world, seed) for seed in range(4)]
    for one in runs:
        assert 0 < one.truth < 1
        assert all(low < one.values[name] < high for name, (low, high) in one.ends.items())
    assert abs(np.mean([one.values["dr"] - one.truth for one in runs])) < 0.1
    assert run(world, 2) == runs[2]  # the same seed is the same run


def test_what_the_children_measure_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.recommend_serve.ITEMS", 300)
    assert vectors(300).shape == (300, 384)
    assert 0 < list_times()["median_ms"] < 1_000
    assert state_bytes(500)["mib"] >= 0
