"""Bootstrap intervals: right on cases with a known answer, and covering what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from noria.make.evaluate.intervals import interval, paired
from noria.tasks.measure import accuracy_counts, macro_f1, micro_f1, ratio


def counts(right: np.ndarray) -> np.ndarray:
    """Return accuracy counts of answers that are right or wrong."""
    return accuracy_counts(np.ones(len(right)), right.astype(float))


def test_an_accuracy_matches_the_normal_approximation():
    right = np.arange(1_000) % 10 != 0
    found = interval(counts(right), ratio)
    half = 1.96 * (0.9 * 0.1 / 1_000) ** 0.5
    assert found.value == pytest.approx(0.9)
    assert (found.low, found.high) == (pytest.approx(0.9 - half, abs=0.003), pytest.approx(0.9 + half, abs=0.003))


def test_intervals_cover_what_they_promise():
    random = np.random.default_rng(0)
    trials = [interval(counts(random.random(300) < 0.8), ratio, draws=300, seed=trial) for trial in range(300)]
    covered = np.mean([one.low <= 0.8 <= one.high for one in trials])
    assert 0.91 <= covered <= 0.98


def test_pairing_sees_a_difference_that_single_intervals_hide():
    random = np.random.default_rng(1)
    baseline = random.random(1_000) < 0.8
    better = baseline.copy()
    better[np.flatnonzero(~baseline)[:15]] = True
    alone = interval(counts(better), ratio), interval(counts(baseline), ratio)
    together = paired(counts(better), counts(baseline), ratio)
    assert alone[0].low < alone[1].high
    assert together.value == pytest.approx(0.015)
    assert together.low > 0


def test_equal_systems_differ_by_nothing():
    right = np.random.default_rng(2).random(200) < 0.7
    found = paired(counts(right), counts(right), ratio)
    assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0)


def test_turning_the_pair_round_turns_the_sign():
    random = np.random.default_rng(3)
    left, right = counts(random.random(300) < 0.8), counts(random.random(300) < 0.7)
    one, other = paired(left, right, ratio), paired(right, left, ratio)
    assert one.value == -other.value
    assert one.low == pytest.approx(-other.high)


def test_large_sets_are_drawn_in_parts_with_the_same_result_every_time():
    right = np.random.default_rng(4).random(50_000) < 0.9
    one, other = interval(counts(right), ratio, draws=200), interval(counts(right), ratio, draws=200)
    assert one == other
    assert one.high - one.low == pytest.approx(2 * 1.96 * (0.09 / 50_000) ** 0.5, rel=0.25)


def test_any_score_of_sums_can_be_drawn():
    spans = np.array([[2, 2, 2], [0, 1, 1], [1, 1, 2]] * 50)
    assert interval(spans, micro_f1).value == pytest.approx(2 * 3 / 9)
    labels = np.array([[1, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 1]] * 20)
    assert interval(labels, macro_f1).value == interval(labels, macro_f1).low == 1.0
