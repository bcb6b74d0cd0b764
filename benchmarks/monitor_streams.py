"""Simulated streams of real texts: bursts of negatives found, false alarms and delay, beside a z-score at the same false alarms.

Texts and their labels are fin-tweets' (bearish is negative); the order is made up, 300 times by seeds. Two weeks of one topic: some six
texts an hour with a daily rhythm, hours that differ by a gamma factor (relative variance 0.2), and from the fourth day on three bursts of
15 to 40 negatives within 20 to 90 minutes. Noria is the application's watch with its defaults, one false alarm a week; every alert of it
counts, on volume too. The z-score looks at the negatives of the last hour every five minutes, or of the hour when it is over, against mean
and standard deviation of four days, 1 at least; held off like Noria; its threshold is the one that brings it as many false alarms as
Noria on all these streams. An alert is true from a burst's first text to six hours after its last one.
"""

from __future__ import annotations

import json
import math
import os
import random
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from .line import Line, machine, single

NAME = "monitor"
START = datetime(2026, 1, 5, tzinfo=UTC)
DAYS, AN_HOUR, BURSTS = 14, 6.0, 3
FIRST_DAY = 4
STEP = 300.0
"""Seconds between looks."""
AFTER = 6 * 3600.0
"""Seconds after a burst in which an alert still belongs to it."""
HOLD_OFF = 6 * 3600.0
MATCHED = "z-score of negatives {}, at the same false alarms"
WANTED = "wanted"
STREAMS = "simulated streams of real texts"


@dataclass(frozen=True)
class Made:
    """One stream: seconds since the start, whether negative, and text, in order; and its bursts."""

    texts: list[tuple[float, bool, str]]
    bursts: list[tuple[float, float]]


@dataclass
class Outcome:
    """What alarms on all streams come to."""

    found: int = 0
    bursts: int = 0
    false: int = 0
    delays: list[float] | None = None
    """Minutes from a burst's first text to the alert."""


def measure(*, quick: bool) -> list[Line]:
    """Return the lines; quick makes 20 orders, else 300."""
    orders = 20 if quick else 300
    rows = _rows()
    streams = [make(rows, seed) for seed in range(orders)]
    ours = outcome(streams, (alerts(stream) for stream in streams))
    weeks = orders * DAYS / 7
    lines: list[Line] = []
    for name, every in (("of the last hour, every 5 min", 1), ("of each hour, when it is over", 12)):
        scores = [z_scores(stream, every) for stream in streams]
        peer = matched(streams, scores, ours.false)
        lines += _lines(ours, peer, MATCHED.format(name), weeks)
        print(f"monitor, {orders} streams: Noria {_shown(ours)}; z-score {name} {_shown(peer)}", file=sys.stderr)
    return [*lines, *_bars(ours, weeks)]


def make(rows: Sequence[tuple[bool, str]], seed: int) -> Made:
    """Return the stream of a seed."""
    chooser = np.random.default_rng(seed)
    shuffled = random.Random(seed).sample(rows, len(rows))
    negatives = [text for negative, text in shuffled if negative]
    texts: list[tuple[float, bool, str]] = []
    taken = 0
    for hour in range(24 * DAYS):
        rhythm = 1 + 0.7 * math.sin(2 * math.pi * (hour - 9) / 24)
        for second in np.sort(chooser.uniform(0, 3600, chooser.poisson(AN_HOUR * rhythm * chooser.gamma(5, 1 / 5)))):
            negative, text = shuffled[taken % len(shuffled)]
            taken += 1
            texts.append((3600 * hour + float(second), negative, text))
    bursts = []
    for number in range(BURSTS):
        # One in each third of what is left, so that no two meet.
        third = (DAYS - FIRST_DAY) * 86400 / BURSTS
        begin = FIRST_DAY * 86400 + number * third + chooser.uniform(0, third - 12 * 3600)
        length, count = chooser.uniform(1200, 5400), int(chooser.integers(15, 41))
        moments = np.sort(begin + chooser.uniform(0, length, count))
        texts += [
            (float(moment), True, negatives[(100 * number + at) % len(negatives)]) for at, moment in enumerate(moments)
        ]
        bursts.append((float(moments[0]), float(moments[-1])))
    return Made(sorted(texts), bursts)


def alerts(stream: Made) -> list[float]:
    """Return when Noria raises alerts, in seconds since the start."""
    from noria.apps.monitor.surge import Mention
    from noria.apps.monitor.watch import Watch
    from noria.apps.settings import WatchSettings

    watch = Watch(WatchSettings(), ("stocks",))
    raised: list[float] = []

    def take(closed: Iterable[tuple[object, list[object], list[object]]]) -> None:
        for _, new, _ in closed:
            if new and watch.closed_until is not None:
                raised.extend([(watch.closed_until + watch.step + watch.grace - START).total_seconds()] * len(new))

    for number, (second, negative, text) in enumerate(stream.texts):
        time = START + timedelta(seconds=second)
        take(watch.add(Mention(str(number), time, "stocks", negative, 0.9, text), str(number)))  # type: ignore[arg-type]
    take(watch.advance(START + timedelta(days=DAYS), "end"))  # type: ignore[arg-type]
    return raised


def z_scores(stream: Made, every: int) -> np.ndarray:
    """Return the z-score at each look: of the negatives of an hour, in looks `every` so many steps; NaN while there is no past."""
    counts = np.zeros(DAYS * 288)
    for second, negative, _ in stream.texts:
        if negative and second < DAYS * 86400:
            counts[int(second // STEP)] += 1
    sums = np.concatenate([[0.0], np.cumsum(counts)])
    scores = np.full(len(counts), np.nan)
    for at in range(12 + 288 // 4, len(counts), every):
        hour = sums[at] - sums[at - 12]
        past = np.diff(sums[max(0, at - 12 - 4 * 288) : at - 12 + 1 : 12]) if at > 24 else np.zeros(1)
        scores[at - 1] = (hour - past.mean()) / max(1.0, past.std())
    return scores


def raised_at(scores: np.ndarray, threshold: float) -> list[float]:
    """Return when scores raise alarms, in seconds since the start; held off after each look that is above."""
    raised: list[float] = []
    last = -math.inf
    for at in np.flatnonzero(scores >= threshold):
        moment = (int(at) + 1) * STEP
        if moment - last > HOLD_OFF:
            raised.append(moment)
        last = moment
    return raised


def outcome(streams: Sequence[Made], alarms: Iterable[Sequence[float]]) -> Outcome:
    """Return what alarms come to: the first one of a burst finds it, one of none is false."""
    delays: list[float] = []
    found = false = bursts = 0
    for stream, moments in zip(streams, alarms, strict=True):
        firsts: dict[int, float] = {}
        for moment in sorted(moments):
            burst = next((at for at, (begin, end) in enumerate(stream.bursts) if begin <= moment <= end + AFTER), None)
            if burst is None:
                false += 1
            else:
                firsts.setdefault(burst, moment)
        bursts += len(stream.bursts)
        found += len(firsts)
        delays += [(moment - stream.bursts[burst][0]) / 60 for burst, moment in firsts.items()]
    return Outcome(found, bursts, false, delays)


def matched(streams: Sequence[Made], scores: Sequence[np.ndarray], false: int) -> Outcome:
    """Return what the z-score comes to at the lowest threshold that brings no more false alarms than these."""
    low, high = 1.0, 60.0
    for _ in range(12):
        middle = (low + high) / 2
        if outcome(streams, (raised_at(one, middle) for one in scores)).false > false:
            low = middle
        else:
            high = middle
    return outcome(streams, (raised_at(one, high) for one in scores))


def _rows() -> list[tuple[bool, str]]:
    folder = Path(os.environ["NORIA_DATA"]) / "monitor" / "fin-tweets"
    lines = (folder / "train.jsonl").read_text(encoding="utf-8").split("\n")
    rows = (json.loads(line) for line in lines if line)
    return [(row["label"] == "bearish", row["text"]) for row in rows]


def _shown(one: Outcome) -> str:
    return (
        f"{one.found} of {one.bursts} bursts, {one.false} false, {statistics.median(one.delays or [math.nan]):.0f} min"
    )


def _lines(ours: Outcome, peer: Outcome, peer_name: str, weeks: float) -> list[Line]:
    shares = [one.found / one.bursts for one in (ours, peer)]
    delays = [statistics.median(one.delays or [math.nan]) for one in (ours, peer)]
    false = [max(one.false, 1) / weeks for one in (ours, peer)]
    low, high = _interval(ours.found, ours.bursts)
    what = f"{ours.bursts // BURSTS} {STREAMS}"
    return [
        Line(
            NAME,
            f"bursts found, {what}",
            shares[0],
            shares[1],
            peer_name,
            "share",
            shares[0] / max(shares[1], 1e-3),
            ours.bursts,
            low / max(shares[1], 1e-3),
            high / max(shares[1], 1e-3),
            machine(),
        ),
        single(
            NAME,
            f"minutes from a burst's first text to the alert, median, {what}",
            delays[0],
            delays[1],
            peer_name,
            "min",
            ours.found,
            higher_is_better=False,
        ),
        single(
            NAME,
            f"the same delay, {what}",
            delays[0],
            delays[1] / 2,
            f"{WANTED}: half of the {peer_name}",
            "min",
            ours.found,
            higher_is_better=False,
        ),
        single(
            NAME,
            f"false alarms a week, {what}",
            false[0],
            false[1],
            peer_name,
            "a week",
            ours.bursts,
            higher_is_better=False,
        ),
    ]


def _bars(ours: Outcome, weeks: float) -> list[Line]:
    what = f"false alarms a week, {ours.bursts // BURSTS} {STREAMS}"
    wanted = f"{WANTED}, at most what is allowed"
    return [single(NAME, what, max(ours.false, 1) / weeks, 1.0, wanted, "a week", ours.bursts, higher_is_better=False)]


def _interval(count: int, n: int) -> tuple[float, float]:
    from noria.core.figure import proportion

    figure = proportion("", count, n)
    return figure.low or 0.0, figure.high or 0.0
