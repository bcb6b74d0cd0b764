"""The score of the Numenta Anomaly Benchmark, written from its published rules (Lavin and Ahmad 2015, "Evaluating real-time anomaly
detection algorithms"), and its six series of tweets a company.

A detector marks points. The earliest mark in a labelled window earns up to 1, the more the earlier; a window without one costs 1; a mark
outside costs up to `FALSE_POSITIVE`, less shortly behind a window. The first 15 % of a series, of 5,000 points at most, are warm-up:
marks there count for nothing. A score of 100 finds every window at its first point and marks nothing else; marking nothing is 0.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

FALSE_POSITIVE = 0.11
"""Weight of a mark outside of windows, in the standard profile; the others are 1."""
WARM_UP, WARM_UP_MOST = 0.15, 5_000
FIXING = ("AAPL", "CRM", "GOOG")
"""The series on which Noria's defaults were fixed."""
HELD_OUT = ("AMZN", "FB", "IBM")
PUBLISHED = {
    "ARTime": {"AAPL": 2.916, "AMZN": 2.737, "CRM": 2.101, "FB": 1.214, "GOOG": 1.406, "IBM": 0.778},
    "windowedGaussian": {"AAPL": 1.514, "AMZN": 1.558, "CRM": 0.764, "FB": 0.120, "GOOG": -0.147, "IBM": -0.799},
}
"""Raw scores a series of numenta/NAB's results (results/*/*_standard_scores.csv), each at the one threshold that is best on its 58 series."""


Marks = Callable[[float], list[int]]
"""Threshold -> where a detector marks a series; what it compares with the threshold is computed once."""


@dataclass(frozen=True)
class Series:
    """Counts of five minutes each, and the windows in which an anomaly is labelled."""

    name: str
    times: list[datetime]
    counts: np.ndarray
    windows: list[tuple[int, int]]
    """First and last point of each."""

    @property
    def warm_up(self) -> int:
        """Return the points whose marks do not count."""
        return int(WARM_UP * min(len(self.times), WARM_UP_MOST))

    @property
    def weeks(self) -> float:
        """Return how long the series is behind its warm-up."""
        return (self.times[-1] - self.times[self.warm_up]) / timedelta(days=7)


@dataclass(frozen=True)
class Judged:
    """What marks on one series come to."""

    score: float
    """From minus the number of windows to it."""
    windows: int
    found: int
    false: int
    """Marks outside of windows, behind the warm-up."""
    weeks: float
    delays: tuple[float, ...]
    """Hours from the beginning of a window, whose middle is the labelled moment, to the first mark in it."""


def tweets() -> list[Series]:
    """Return the six series, by name."""
    folder = Path(os.environ["NORIA_DATA"]) / "monitor" / "nab-tweets"
    labelled = json.loads((folder / "windows.json").read_text(encoding="utf-8"))
    found = []
    for name in sorted(labelled):
        with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        times = [datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC) for row in rows]
        place = {time: at for at, time in enumerate(times)}
        ends = [tuple(datetime.fromisoformat(end).replace(tzinfo=UTC) for end in window) for window in labelled[name]]
        windows = [(place[first], place[last]) for first, last in ends]
        found.append(Series(name, times, np.array([float(row["value"]) for row in rows]), windows))
    return found


def sigmoid(position: float) -> float:
    """Return what a mark is worth at a position relative to a window: -1 at its first point, 0 behind its last, 1 a window later.

    >>> round(sigmoid(-1), 5), round(sigmoid(-0.5), 5), sigmoid(0), round(sigmoid(1), 5), sigmoid(3)
    (0.98661, 0.84828, 0.0, -0.98661, -1.0)
    """
    return -1.0 if position >= 3 else 2 / (1 + math.exp(5 * position)) - 1


def judge(series: Series, marks: Sequence[int]) -> Judged:
    """Return what marks, as places in the series, come to."""
    counted = sorted({mark for mark in marks if mark >= series.warm_up})
    best: dict[int, float] = {}
    first: dict[int, int] = {}
    false, cost = 0, 0.0
    for mark in counted:
        inside = next((number for number, (begin, end) in enumerate(series.windows) if begin <= mark <= end), None)
        if inside is not None:
            begin, end = series.windows[inside]
            worth = sigmoid(-(end - mark + 1) / (end - begin + 1)) / sigmoid(-1.0)
            best[inside] = max(best.get(inside, -1.0), worth)
            first.setdefault(inside, mark)
            continue
        past = [window for window in series.windows if window[1] < mark]
        position = (mark - past[-1][1]) / (past[-1][1] - past[-1][0]) if past else 3.0
        false, cost = false + 1, cost + FALSE_POSITIVE * sigmoid(position)
    # A window that ends within the warm-up is neither found nor missed.
    scored = [number for number, (_, end) in enumerate(series.windows) if end >= series.warm_up]
    delays = (
        (series.times[first[number]] - series.times[series.windows[number][0]]) / timedelta(hours=1)
        for number in scored
        if number in first
    )
    return Judged(
        sum(best.get(number, -1.0) for number in scored) + cost,
        len(scored),
        sum(number in best for number in scored),
        false,
        series.weeks,
        tuple(delays),
    )


def normal(judged: Sequence[Judged]) -> float:
    """Return the score of several series: 0 for none marked, 100 for perfect."""
    windows = sum(one.windows for one in judged)
    return 100 * (sum(one.score for one in judged) + windows) / (2 * windows)


def spread(judged: Sequence[Judged], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the score over series drawn again (percentile bootstrap, 2,000 draws)."""
    chooser = np.random.default_rng(seed)
    draws = chooser.integers(0, len(judged), (2_000, len(judged)))
    scores = [normal([judged[place] for place in draw]) for draw in draws]
    return float(np.quantile(scores, 0.025)), float(np.quantile(scores, 0.975))


def windowed_gaussian(series: Series, points: int = 1_000) -> Marks:
    """Return what gives the marks of a windowed Gaussian: points so many standard deviations from the mean of the points before."""
    sums, squares = (np.concatenate([[0.0], np.cumsum(series.counts**power)]) for power in (1, 2))
    at = np.arange(len(series.counts))
    begin = np.maximum(0, at - points)
    n = np.maximum(1, at - begin)
    mean = (sums[at] - sums[begin]) / n
    deviation = np.sqrt(np.maximum((squares[at] - squares[begin]) / n - mean**2, 1e-12))
    away = np.abs(series.counts - mean)
    return lambda threshold: [int(mark) for mark in np.flatnonzero((away > threshold * deviation) & (at > 0))]


def robust_z(series: Series, points: int, hold_off: int = 72) -> Marks:
    """Return what gives the marks of a robust z-score with a hold-off: (count - median) / (1.4826 MAD) over the last points, the MAD at least 1."""
    view = np.lib.stride_tricks.sliding_window_view(series.counts, points)[:-1]
    median = np.median(view, axis=1)
    away = np.median(np.abs(view - median[:, None]), axis=1)
    scores = (series.counts[points:] - median) / (1.4826 * np.maximum(away, 1.0))

    def marks(threshold: float) -> list[int]:
        found: list[int] = []
        for place in np.flatnonzero(scores >= threshold):
            mark = int(place) + points
            if not found or mark - found[-1] > hold_off:
                found.append(mark)
        return found

    return marks
