"""The gate of forecasts, judged by what came after: how often its winner truly wins, how often it is silent, and what its bars cover.

Each case is a window of 48 periods of one series, of which the gate sees 36 (`gate_series`); a winner truly wins where its mean energy score from the
origins after them, models fitted anew at each, is below persistence's. Thresholds (interval of 95 %, 8 independent origins, median of log scores) were
chosen on the half of the series by the SHA-256 of their names that is left out here; what is told is of the other half, and of markets, none of which had a
part in the choice. The peer is the gate that Noria had: log score alone over all overlapping origins (Newey and West, Bonferroni), on the same forecasts; and
for intervals the random walk it had: all changes of the window alike. Rates have Wilson's interval (95 %), which takes windows for independent;
it is told divided by the peer's rate. The chatbots' six later months are StatCounter's (statcounter-after.csv).
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .gate_series import AFTER, SEEN, Case, level_cases
from .line import Line, machine

if TYPE_CHECKING:
    from noria.grow.forecast.scoring.standings import Backtest, Trial
    from noria.grow.market.share import Shares
    from noria.grow.series.series import Floats

HORIZON = 3
OLD_GATE = "the gate before: log score alone, all overlapping origins"
OLD_WALK = "the walk before: all changes of the window alike"
BARS = ("persistence", "last-value")


@dataclass(frozen=True)
class Judged:
    """What two gates said of one case, and what came after."""

    case: Case
    verdict: str
    won: bool | None
    """Whether Noria's winner was better than persistence after; None where it named none."""
    old_won: bool | None
    findable: bool
    """Whether any model was better than persistence after."""
    covered: tuple[float, float]
    """Part of what came inside 90 % intervals: of persistence, and of the walk before."""
    bent: tuple[float, float]
    """How far medians lie from the last value, in percent of it (points of share): of persistence, and of the walk before."""


def measure(*, quick: bool) -> list[Line]:
    """Return the lines; quick takes one window a series."""
    cases = [case for case in level_cases(most=1 if quick else 3) if case.half == "told"] + _markets()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        judged = []
        for place, each in enumerate(pool.map(_judged, cases)):
            judged.append(each)
            if place % 10 == 9:
                print(f"gate: {place + 1} of {len(cases)} windows", file=sys.stderr)
    lines: list[Line] = []
    for name, chosen in (
        ("all", judged),
        ("real series", [each for each in judged if not each.case.simulated]),
        ("simulated series", [each for each in judged if each.case.simulated]),
    ):
        lines += _of(name, chosen)
    return [*lines, *_interval(quick), *_breaks(quick)]


def _markets() -> list[Case]:
    """Return windows of markets; the chatbots have 12 months and the six that came after."""
    from noria.grow.bundled import chatbot_shares
    from noria.grow.market.share import shares
    from noria.grow.series.series import Series, read_series

    from .share_forecast import markets

    seen = read_series(chatbot_shares())
    later = read_series(Path(__file__).with_name("statcounter-after.csv"))
    chatbots = shares(Series((*seen.points, *later.points), seen.provenance))
    found = [Case("chatbots, 12 months and the six after", 0, chatbots.values, False, chatbots)]
    for name, market in markets().items():
        size = SEEN + AFTER
        for place in range(len(market.times) // size if not name.startswith("chatbots") else 0):
            window = _cut(market, slice(place * size, (place + 1) * size))
            found.append(Case(name, place, window.values, False, window))
    return found


def _cut(market: Shares, rows: slice) -> Shares:
    from dataclasses import replace

    return replace(market, times=market.times[rows], values=market.values[rows], flags=(), breaks=())


def _judged(case: Case) -> Judged:
    from noria.grow.forecast.scoring.standings import Backtest, standings_of

    seen = SEEN if len(case.values) == SEEN + AFTER else 12
    test = _tested(case, min(12, seen // 2))
    rows = {trial.origin: trial.seen for trial in test.trials}
    before = tuple(trial for trial in test.trials if rows[trial.origin] + trial.horizon <= seen)
    after = [trial for trial in test.trials if trial.seen >= seen]
    gate = Backtest(before, standings_of(before, test.resolution), HORIZON, resolution=test.resolution)
    came = {name: _mean(after, name) for name in {trial.model for trial in after}}
    better = {name: value < came["persistence"] for name, value in came.items() if name not in BARS}
    old = _old_winner(before)
    bars = [float(np.mean([trial.covered[-1] for trial in after if trial.model == name])) for name in ("persistence",)]
    old_covered, bent, old_bent = _walked(case, seen)
    return Judged(
        case,
        gate.ruling.verdict,
        better[gate.winner] if gate.ruling.verdict == "beats" else None,
        better[old] if old else None,
        any(better.values()),
        (bars[0], old_covered),
        (bent, old_bent),
    )


def _tested(case: Case, first: int) -> Backtest:
    from noria.grow.forecast.levels.levels import Levels, backtest_levels
    from noria.grow.forecast.shares.backtest import backtest
    from noria.grow.series.calendars import following

    if case.market is not None:
        return backtest(case.market, horizon=HORIZON, first=first, draws=300)
    times = ("2020-01", *following(["2020-01"], len(case.values) - 1))
    return backtest_levels(Levels(times, case.values, "level"), horizon=HORIZON, first=first, draws=300)


def _mean(trials: Sequence[Trial], name: str) -> float:
    return float(np.mean([trial.energy for trial in trials if trial.model == name]))


def _old_winner(trials: Sequence[Trial]) -> str | None:
    """Return the model that the gate before would have let through."""
    from .share_forecast import mean_interval

    names = [name for name in dict.fromkeys(trial.model for trial in trials) if name != "last-value"]
    bar = {(trial.seen, trial.horizon): trial.log_score for trial in trials if trial.model == "persistence"}
    clear: dict[str, float] = {}
    for name in names[1:]:
        gains: dict[int, list[float]] = {}
        for trial in trials:
            if trial.model == name:
                gains.setdefault(trial.seen, []).append(trial.log_score - bar[trial.seen, trial.horizon])
        each = np.array([np.mean(found) for found in gains.values()])
        middle, half = mean_interval(each, HORIZON - 1, 1 - 0.05 / (len(names) - 1))
        if middle - half > 0:
            clear[name] = middle
    return max(clear, key=lambda name: clear[name]) if clear else None


def _walked(case: Case, seen: int) -> tuple[float, float, float]:
    """Return what the walk before covered after, and how far the medians of persistence and of it are from the last value."""
    from scipy.special import stdtrit

    from noria.grow.forecast.levels.levels import Levels, forecast_levels
    from noria.grow.forecast.shares.attraction import PERSISTENCE, fit
    from noria.grow.forecast.shares.persistence import stay
    from noria.grow.series.calendars import following

    inside: list[float] = []
    bent: list[float] = []
    old_bent: list[float] = []
    for origin in range(seen, len(case.values)):
        known = case.values[:origin]
        reach = range(min(HORIZON, len(case.values) - origin))
        if case.market is not None:
            window = case.market.until(origin)
            for model, found in ((stay, bent), (lambda each: fit(each, PERSISTENCE), old_bent)):
                ahead = model(window).ahead(HORIZON, draws=1000)
                found.append(100 * float(np.abs(ahead.median()[-1] - known[-1]).max()))
                if found is old_bent:
                    low, high = ahead.interval(0.9)
                    truth = case.values[origin : origin + HORIZON]
                    inside += [float(np.mean((low[h] <= truth[h]) & (truth[h] <= high[h]))) for h in reach]
            continue
        logged = bool((known > 0).all())
        scale: Callable[[Any], Floats] = np.log if logged else np.asarray
        changes = np.diff(scale(known))
        spread = math.sqrt(float(np.mean(changes**2))) * stdtrit(len(changes), 0.95)
        with np.errstate(divide="ignore"):
            moved = np.abs(scale(case.values[origin:]) - scale(known)[-1])
        inside += [float(moved[h] <= spread * math.sqrt(h + 1)) for h in reach]
        times = ("2020-01", *following(["2020-01"], origin - 1))
        median = forecast_levels(Levels(times, known, "level"), "persistence", HORIZON, draws=500).median()
        bent.append(100 * float(abs(median[-1] - known[-1]) / max(known[-1], 1e-12)))
    return float(np.mean(inside)), float(np.mean(bent)), float(np.mean(old_bent)) if old_bent else math.nan


def _wilson(successes: int, n: int) -> tuple[float, float]:
    from noria.core.figure import proportion

    found = proportion("", successes, n)
    return found.low or 0.0, found.high or 1.0


def _rate(what: str, ours: list[bool], theirs: list[bool], peer: str, wanted: float | None = None) -> list[Line]:
    """Return the line of a rate beside the peer's, and beside what is wanted of it."""
    low, high = _wilson(sum(ours), len(ours))
    rate = sum(ours) / len(ours) if ours else math.nan
    old = sum(theirs) / len(theirs) if theirs else math.nan
    beside = [(old, f"{peer} (n = {len(theirs)})")] + ([(wanted, f"wanted: {wanted:.0%}")] if wanted else [])
    return [
        Line("gate", what, rate, value, name, "", rate / value, len(ours), low / value, high / value, machine())
        for value, name in beside
        if value and math.isfinite(value)
    ]


def _of(name: str, judged: list[Judged]) -> list[Line]:
    ours = [each.won for each in judged if each.won is not None]
    theirs = [each.old_won for each in judged if each.old_won is not None]
    lines = _rate(f"winners that truly win afterwards, {name}", ours, theirs, OLD_GATE, 0.8)
    lines += _rate(
        f"windows in which a winner is named, {name}",
        [each.won is not None for each in judged],
        [each.old_won is not None for each in judged],
        OLD_GATE,
    )
    findable = [each for each in judged if each.findable]
    lines += _rate(
        f"of windows in which some model was better afterwards, a true winner is named, {name}",
        [bool(each.won) for each in findable],
        [bool(each.old_won) for each in findable],
        OLD_GATE,
    )
    held = np.array([each.covered for each in judged])
    if len(held):
        middle, old = held.mean(0)
        spread = 1.96 * held[:, 0].std(ddof=1) / math.sqrt(len(held)) if len(held) > 1 else math.nan
        off = abs(middle - 0.9) + 0.01

        def line(value: float, peer: str, ratio: float, low: float, high: float) -> Line:
            what = f"part of what came inside persistence's 90 % interval, {name}"
            return Line("gate", what, float(middle), value, peer, "", ratio, len(held), low, high, machine())

        lines.append(
            line(
                float(old),
                f"{OLD_WALK}; the ratio is how far off 90 %",
                (abs(old - 0.9) + 0.01) / off,
                math.nan,
                math.nan,
            )
        )
        inside = 0.04 / (abs(middle - 0.9) + 1e-9)
        lines.append(
            line(
                0.9,
                f"wanted: 90 %, give or take 4; the interval is of the part, {middle - spread:.3f} to {middle + spread:.3f}",
                min(inside, 10.0),
                math.nan,
                math.nan,
            )
        )
    for what, chosen in (
        ("percent of the last value", [each for each in judged if each.case.market is None]),
        ("points of share, the farthest entity", [each for each in judged if each.case.market is not None]),
    ):
        pairs = np.array([each.bent for each in chosen])
        if len(pairs):
            ours_bent, old_bent = pairs.mean(0)
            lines.append(
                Line(
                    "gate",
                    f"persistence's median off the last value, {HORIZON} periods ahead, {what}, {name}",
                    float(ours_bent),
                    0.1,
                    "wanted: at most 0.1"
                    if math.isnan(old_bent)
                    else f"wanted: at most 0.1; {OLD_WALK}: {old_bent:.2f}",
                    "",
                    float(0.1 / max(ours_bent, 0.01)),
                    len(pairs),
                    math.nan,
                    math.nan,
                    machine(),
                )
            )
    return lines


def _interval(quick: bool) -> list[Line]:
    """Return how often the gate's 95 % interval holds the truth, where scores overlap as much as they can (simulated)."""
    from noria.grow.forecast.scoring.gate import leads_of

    from .share_forecast import mean_interval

    random, times = np.random.default_rng(0), 500 if quick else 4000
    lines = []
    for kind, shocks in (
        ("normal", random.standard_normal((times, 26))),
        ("heavy-tailed (t, 3)", random.standard_t(3, (times, 26))),
        ("skewed (exponential)", random.exponential(1, (times, 26)) - 1),
    ):
        scores = shocks[:, 2:] + shocks[:, 1:-1] + shocks[:, :-2]
        ours, theirs = [], []
        for row in scores:
            lead = leads_of(row[:, None], range(24), HORIZON, 0.95)[0]
            ours.append(bool(lead.low is not None and lead.high is not None and lead.low <= 0 <= lead.high))
            middle, half = mean_interval(row, HORIZON - 1)
            theirs.append(abs(middle) <= half)
        lines += _rate(
            f"coverage of the gate's 95 % interval, 24 origins 3 ahead, {kind} shocks, simulated",
            ours,
            theirs,
            "Newey and West over all origins",
            0.95,
        )
    return lines


def _breaks(quick: bool) -> list[Line]:
    """Return how often a break is found in simulated series of 48 values that have one, and in those that have none."""
    from noria.grow.forecast.scoring.breaks import breaks_of

    random, times = np.random.default_rng(1), 40 if quick else 300
    half = np.arange(48) >= 24
    none: dict[str, Callable[[], Floats]] = {
        "walk": lambda: np.cumsum(random.normal(0, 1, 48)),
        "heavy-tailed walk (t, 5)": lambda: np.cumsum(random.standard_t(5, 48)),
        "level with noise": lambda: np.cumsum(random.normal(0, 0.3, 48)) + random.normal(0, 1, 48),
    }
    one: dict[str, Callable[[], Floats]] = {
        "jump of 12 standard deviations": lambda: np.cumsum(random.normal(0, 1, 48) + 12 * (np.arange(48) == 24)),
        "level shifted by 4, in noise": lambda: random.normal(0, 1, 48) + 4 * half,
        "pace of 1 turns into -1": lambda: np.cumsum(np.where(half, -1, 1) + random.normal(0, 1, 48)),
        "noise grows fourfold": lambda: np.cumsum(random.normal(0, 1, 48) * np.where(half, 4, 1)),
    }

    def rate(make: Callable[[], Floats]) -> list[bool]:
        return [bool(breaks_of(make()[:, None], seed=seed)) for seed in range(times)]

    lines = []
    for name, make in none.items():
        found = rate(make)
        low, high = _wilson(sum(found), times)
        part = sum(found) / times
        lines.append(
            Line(
                "gate",
                f"false alarms of breaks, {name}, simulated",
                part,
                0.05,
                "wanted: at most 5 %, give or take chance",
                "",
                0.05 / max(part, 0.005),
                times,
                0.05 / max(high, 0.005),
                0.05 / max(low, 0.005),
                machine(),
            )
        )
    for name, make in one.items():
        lines += [
            line
            for line in _rate(f"breaks found, {name}, simulated", rate(make), [], "", 0.8)
            if "wanted" in line.peer_name
        ]
    return lines
