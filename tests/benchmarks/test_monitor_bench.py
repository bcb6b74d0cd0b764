"""The benchmark of the monitor: NAB's score by hand, and what alarms on simulated streams come to."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from benchmarks.monitor_streams import Made, matched, outcome, raised_at, z_scores
from benchmarks.monitor_topics import LENGTH, Labelled, run, told_on
from benchmarks.nab import Series, judge, normal

START = datetime(2015, 3, 1, tzinfo=UTC)


def series(windows: list[tuple[int, int]], points: int = 100) -> Series:
    times = [START + timedelta(minutes=5 * at) for at in range(points)]
    return Series("made", times, np.ones(points), windows)


def test_a_score_is_what_one_computes_by_hand() -> None:
    """100 points, of which 15 are warm-up; one window from 40 to 59, and one that ends within the warm-up and counts for nothing."""
    made = series([(5, 9), (40, 59)])
    assert judge(made, []).score == -1.0
    assert judge(made, [40]).score == 1.0
    late = (2 / (1 + math.exp(-5 * 0.05)) - 1) / (2 / (1 + math.exp(-5)) - 1)  # its last point is 1/20 before its end
    assert judge(made, [59]).score == pytest.approx(late)
    assert judge(made, [59, 41]).score == judge(made, [41]).score  # the earliest counts
    assert judge(made, [20, 10]).score == pytest.approx(-1.11)  # before any window, and in the warm-up
    behind = 0.11 * (2 / (1 + math.exp(5 * 10 / 19)) - 1)
    assert judge(made, [40, 69]).score == pytest.approx(1 + behind)
    assert behind == pytest.approx(-0.0952, abs=1e-4)
    both = judge(made, [20, 45, 69])
    assert (both.windows, both.found, both.false, both.delays) == (1, 1, 2, (pytest.approx(25 / 60),))
    assert (normal([judge(made, [])]), normal([judge(made, [40])])) == (0.0, 100.0)


def test_an_alarm_finds_its_burst_once_and_one_of_none_is_false() -> None:
    stream = Made([], [(1000.0, 2000.0), (90_000.0, 91_000.0)])
    one = outcome([stream], [[500.0, 1600.0, 1900.0, 400_000.0]])
    assert (one.bursts, one.found, one.false, one.delays) == (2, 1, 2, [10.0])


def test_the_z_score_sees_a_burst_and_is_matched_by_its_false_alarms() -> None:
    steady = [(600.0 * n, n % 3 == 0, "text") for n in range(2000)]
    burst = [(700_000.0 + n, True, "text") for n in range(60)]
    stream = Made(sorted([*steady, *burst]), [(700_000.0, 700_060.0)])
    scores = z_scores(stream, 1)
    assert any(700_000 <= moment <= 704_000 for moment in raised_at(scores, 5.0))
    peer = matched([stream], [scores], 0)
    assert (peer.found, peer.false) == (1, 0)


def test_a_topic_lasts_for_days_in_a_row_within_the_stream() -> None:
    labels = [str(number % 7) for number in range(140)] + [""] * 40
    days = told_on(labels, 3)
    assert days == told_on(labels, 3) != told_on(labels, 4)
    for label in set(labels):
        mine = [day for day, one in zip(days, labels, strict=True) if one == label]
        assert 0 <= min(mine) <= max(mine) < LENGTH
        assert not label or max(mine) - min(mine) < 10


def test_topics_that_lie_apart_are_found_whole_and_keep_their_ids() -> None:
    labels = [str(number % 6) for number in range(240)]
    vectors = np.eye(12)[[int(label) for label in labels]] + np.random.default_rng(0).normal(scale=0.03, size=(240, 12))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = Labelled([f"topic {label}" for label in labels], labels, vectors)
    # On evenings with one topic or two there is little to tell them from.
    ours, peer = (run(rows, 1, discovered=discovered) for discovered in (True, False))
    assert ours.information > 0.9
    assert ours.same > 0.9
    assert peer.information > 0.8
