"""Alarms on real counts: tweets on six companies, scored by the Numenta Anomaly Benchmark's standard profile.

Noria is the very code that watches a topic's volume in the served application, `apps.monitor.alarms.Surges`, with the application's
defaults: one false alarm a week, a hold-off of six hours, ten texts at least. A mark is the point at which an alert is raised. Its threshold
is not swept: it follows from the allowed false alarms. Constants of `counts` and `alarms` were chosen on AAPL, CRM and GOOG; AMZN, FB and
IBM were scored once they stood. The z-score and the windowed Gaussian (mean and deviation of a thousand points, every point beyond a mark, as
NAB's) have the thresholds and windows that are best for them on all six; the published scores have those that are best on all 58 series of NAB.
Silences are no surges, and are not marked: all six series are 0 for two hours of 2015-03-11.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from .line import Line, machine, single
from .nab import (
    FIXING,
    HELD_OUT,
    PUBLISHED,
    Judged,
    Marks,
    Series,
    judge,
    normal,
    robust_z,
    spread,
    tweets,
    windowed_gaussian,
)

NAME = "monitor"
WANTED = "wanted"
STEP_MINUTES = 5.0


def noria(series: Series) -> list[int]:
    """Return where Noria raises an alert on a series, with the application's defaults."""
    from noria.apps.monitor.alarms import Surges
    from noria.apps.settings import WatchSettings

    settings = WatchSettings()
    surges = Surges(STEP_MINUTES, 60 * settings.hold_off_hours)
    marks = []
    for place, (moment, count) in enumerate(zip(series.times, series.counts, strict=True)):
        finding = surges.add(
            moment.timestamp(), float(count), settings.false_alarms_a_week, least=2 * settings.least_negatives
        )
        if finding is not None and finding.is_new:
            marks.append(place)
    return marks


def measure(*, quick: bool) -> list[Line]:
    """Return the lines; they take seconds, and quick leaves nothing out."""
    every = tweets()
    started = time.perf_counter()
    found = {series.name: judge(series, noria(series)) for series in every}
    seconds = time.perf_counter() - started
    gaussian, plain = _best(every, "windowed Gaussian", windowed_gaussian, windows=(1_000,))
    z, told = _best(every, "robust z-score with a hold-off of 6 h", robust_z, windows=(288, 2_016))
    for name, peers in (("Noria", found), (plain, gaussian), (told, z)):
        shown = ", ".join(f"{one} {judged.score:.2f} of {judged.windows}" for one, judged in peers.items())
        print(f"monitor, NAB, {name}: {normal(list(peers.values())):.1f} ({shown})", file=sys.stderr)
    lines = []
    for what, names in (
        ("six series", tuple(found)),
        (f"the half on which defaults were fixed ({', '.join(FIXING)})", FIXING),
        (f"the half held out ({', '.join(HELD_OUT)})", HELD_OUT),
    ):
        ours = [found[name] for name in names]
        published = 100 * (sum(PUBLISHED["ARTime"][name] for name in names) / sum(one.windows for one in ours) + 1) / 2
        bar = 81.0 if len(names) == 6 else published
        lines += [
            _score(f"NAB score of tweets, {what}", ours, normal([z[name] for name in names]), told),
            _score(
                f"NAB score of tweets, {what}",
                ours,
                normal([gaussian[name] for name in names]),
                plain,
            ),
            _score(f"NAB score of tweets, {what}", ours, bar, f"{WANTED}: ARTime, published"),
        ]
    return [*lines, *_alarms(list(found.values()), list(z.values()), told), _speed(every, seconds)]


def _best(
    every: Sequence[Series],
    name: str,
    detector: Callable[[Series, int], Marks],
    windows: Sequence[int],
) -> tuple[dict[str, Judged], str]:
    """Return the best of a peer by threshold and points before, on all series, and its name."""
    best: tuple[float, dict[str, Judged], str] | None = None
    for points in windows:
        marks = {one.name: detector(one, points) for one in every}
        for threshold in (3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 32):
            judged = {one.name: judge(one, marks[one.name](threshold)) for one in every}
            score = normal(list(judged.values()))
            if best is None or score > best[0]:
                best = score, judged, f"{name} (best: {threshold} over {points:,} points)"
    assert best is not None
    return best[1], best[2]


def _score(what: str, ours: Sequence[Judged], peer: float, peer_name: str) -> Line:
    score, (low, high) = normal(ours), spread(ours)
    by = max(peer, 1e-3)
    return Line(NAME, what, score, peer, peer_name, "of 100", score / by, len(ours), low / by, high / by, machine())


def _alarms(ours: Sequence[Judged], z: Sequence[Judged], told: str) -> list[Line]:
    """Return how many false alarms a week were told, how many windows were found, and how fast."""
    rates, peers = ([one.false / one.weeks for one in each] for each in (ours, z))
    ends = _ends([one.false for one in ours], sum(one.weeks for one in ours))
    mean = sum(one.false for one in ours) / sum(one.weeks for one in ours)
    what = "alerts a week and series outside of labelled windows"
    lines = [
        Line(
            NAME,
            what,
            mean,
            peer,
            name,
            "a week",
            peer / max(mean, 1e-3),
            len(ours),
            peer / ends[1],
            peer / ends[0],
            machine(),
        )
        for peer, name in ((float(np.mean(peers)), told), (1.0, f"{WANTED}, at most what is allowed"))
    ]
    print(f"monitor, NAB, alerts a week outside of windows: {[round(rate, 2) for rate in rates]}", file=sys.stderr)
    share = sum(one.found for one in ours) / sum(one.windows for one in ours)
    other = sum(one.found for one in z) / sum(one.windows for one in z)
    n = sum(one.windows for one in ours)
    lines.append(
        Line(
            NAME,
            "labelled windows found",
            share,
            other,
            told,
            "share",
            share / other,
            n,
            share / other,
            share / other,
            machine(),
        )
    )
    delays, others = ([delay for one in each for delay in one.delays] for each in (ours, z))
    ours_delay, other_delay = statistics.median(delays), statistics.median(others)
    ratio, what = other_delay / ours_delay, "hours from a labelled window's beginning to the first alert in it, median"
    lines.append(Line(NAME, what, ours_delay, other_delay, told, "hours", ratio, len(delays), ratio, ratio, machine()))
    return lines


def _ends(counts: Sequence[int], weeks: float) -> tuple[float, float]:
    """Return the 95 % interval of a rate from a count (Garwood 1936)."""
    from scipy.special import gammaincinv

    total = sum(counts)
    low = float(gammaincinv(total, 0.025)) / weeks if total else 0.0
    return max(low, 1e-3), float(gammaincinv(total + 1, 0.975)) / weeks


def _speed(every: Sequence[Series], seconds: float) -> Line:
    rate = sum(len(series.times) for series in every) / seconds
    wanted = f"{WANTED}: a day of one series in 0.15 s"
    return single(NAME, "steps of one series counted and tested", rate, 2_000.0, wanted, "steps/s")
