"""What followed an event, such as a release or a price cut: beside rivals, beside its own past, and beside events that never were.

study = event_study(market, [Happening("Google Gemini", "2025-08")], window=3)
study.effect.verdict
study.path, study.low, study.high        # before and after, with the band in which placebo events fall

The outcome is the logarithm of a share less the mean logarithm of clean rivals: those without an event or a break in the
window. In an attraction model that difference does not move when a third party gains, so a rival's loss is not counted twice.
Each event is compared with its own window alone, never with entities already treated (Goodman-Bacon 2021 shows what comes of
that). Placebo events are all other whole windows of the same market; the interval and p-value come from them (randomisation
inference, Rosenbaum 2002), so one event is enough, and no normal approximation is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from noria.core.errors import InputError, RowError, unknown
from noria.core.messages import Message, message
from noria.grow.market.labels import OTHER
from noria.grow.market.share import Shares
from noria.grow.series.calendars import read_time
from noria.grow.series.headed import read_headed
from noria.grow.series.series import Floats

from .effect import Effect, unknown_effect

PLACEBOS = 19
"""Placebo events without which no 95 % interval can be had: the event must be able to be the most extreme of twenty."""
COARSE = 10
"""Rounding steps below which a share's logarithm says more about rounding than about the market."""
TREND = 0.1
"""Chance of so steep a path before a placebo event, below which an event's own is called a trend of before."""


@dataclass(frozen=True)
class MarketEvent:
    """Something that happened to one entity at one time."""

    entity: str
    time: str
    name: str = ""


@dataclass(frozen=True)
class EventStudy:
    """What followed the events, on average."""

    effect: Effect
    """Mean over the periods from the event on, of the logarithm of share relative to rivals, beside the mean before."""
    offsets: tuple[int, ...]
    """Periods before (negative) and after the event."""
    path: Floats
    """(offsets,): mean path; zero on average before the event."""
    low: Floats
    """(offsets,): lower end of the band that placebo events keep to."""
    high: Floats
    before: float
    """Slope of the path before the event, a period."""
    before_p: float | None
    """How often a placebo event has so steep a slope before it; None with a window of one period."""
    used: tuple[MarketEvent, ...]
    skipped: tuple[tuple[MarketEvent, Message], ...]
    placebos: int
    cited: Message
    """The market's source, in English and Chinese."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {
            "effect": self.effect.as_dict(),
            "offsets": self.offsets,
            "path": self.path.tolist(),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "before": self.before,
            "before_p": self.before_p,
            "placebos": self.placebos,
            "used": [asdict(item) for item in self.used],
            "skipped": [{**asdict(item), "why": why.both()} for item, why in self.skipped],
        }


def event_study(
    market: Shares,
    happenings: Sequence[MarketEvent],
    *,
    window: int = 3,
    level: float = 0.95,
    repeats: int = 1999,
    seed: int = 0,
) -> EventStudy:
    """Return what followed the happenings.

    Raises:
        InputError: nothing happened, or no happening has a whole window with a clean rival in it.
        SettingError: a happening names an entity or a time that the market does not have.
    """
    _checked(market, happenings)
    paths = _Paths(market, happenings, window)
    found, used, skipped = [], [], []
    for item in happenings:
        path = paths.of(market.entities.index(item.entity), market.times.index(item.time))
        if isinstance(path, Message):
            skipped.append((item, path))
        else:
            used.append(item)
            found.append(path)
    if not used:
        raise InputError(
            message("grow.identified_event"),
            found=skipped[0][1],
            allowed=message("grow.periods_known", window=window),
        )
    mean, pool = np.asarray(np.mean(found, axis=0), dtype=np.float64), paths.placebos()
    slope = _slope(mean, window)
    effect = unknown_effect(
        ", ".join(dict.fromkeys(item.name or f"{item.entity} {item.time}" for item in used)),
        message("drivers.only_placebo_events_possible_needed", count=len(pool), PLACEBOS=PLACEBOS),
        n=len(used),
        clusters=len(paths.columns),
        level=level,
        method=f"event study, {len(pool)} placebo events",
        source=market.provenance.text(),
    )
    ends = np.full((2, mean.size), np.nan)
    before_p = None
    if len(pool) >= PLACEBOS:
        random = np.random.default_rng(seed)
        drawn = np.mean(pool[random.integers(0, len(pool), (repeats, len(used)))], axis=1) if len(used) > 1 else pool
        drawn = drawn - drawn.mean(0)  # what happens to everyone on average is no effect of anything
        before_p, why = _before(drawn, slope, window)
        effect = _judged(replace(effect, why=why), float(mean[window:].mean()), drawn[:, window:].mean(1))
        ends = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return EventStudy(
        effect,
        tuple(range(-window, window + 1)),
        mean,
        ends[0],
        ends[1],
        slope,
        before_p,
        tuple(used),
        tuple(skipped),
        len(pool),
        market.provenance.text(),
    )


def _checked(market: Shares, happenings: Sequence[MarketEvent]) -> None:
    if not happenings:
        raise InputError(message("grow.nothing_happened"), found=0, allowed=message("grow.one_event"))
    for item in happenings:
        if item.entity not in market.entities:
            raise unknown("entity", item.entity, market.entities)
        if item.time not in market.times:
            raise unknown("time", item.time, market.times)


def _before(drawn: Floats, slope: float, window: int) -> tuple[float | None, Message | None]:
    """Return how often a placebo event has so steep a slope before it, and, where that is rare, why nothing is identified."""
    if window < 2:
        return None, None
    slopes = np.array([_slope(path, window) for path in drawn])
    p = float((1 + np.sum(np.abs(slopes) >= abs(slope))) / (1 + slopes.size))
    if p >= TREND:
        return p, None
    return p, message("drivers.was_already_moving_before_event", slope=slope, p=p)


def _judged(effect: Effect, value: float, others: Floats) -> Effect:
    """Return the effect with the interval and p-value that placebo events give it."""
    low, high = (value - float(end) for end in np.quantile(others, [(1 + effect.level) / 2, (1 - effect.level) / 2]))
    p = float((1 + np.sum(np.abs(others) >= abs(value))) / (1 + others.size))
    return replace(effect, value=value, low=low, high=high, p=p)


def read_happenings(path: str | Path) -> list[MarketEvent]:
    """Return the happenings of a CSV file with the columns time and entity, and name if wanted.

    Raises:
        InputError: no such file, no text, or a column is missing.
        RowError: a row lacks its time or entity.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(message("grow.such_file"), found=str(path), allowed=message("grow.csv_columns"))
    found = []
    for line, row in read_headed(path, ("time", "entity"), "events").rows:
        cells = {name: row.get(name, "").strip() for name in ("time", "entity", "name")}
        for name in ("time", "entity"):
            if not cells[name]:
                raise RowError(message("grow.empty"), file=path, line=line, field=name)
        found.append(MarketEvent(cells["entity"], read_time(cells["time"]) or cells["time"], cells["name"]))
    return found


class _Paths:
    """Paths of log share beside clean rivals, around any cell of a market."""

    def __init__(self, market: Shares, happenings: Sequence[MarketEvent], window: int) -> None:
        self.window = window
        named = [place for place, name in enumerate(market.entities) if name != OTHER]
        floor = COARSE * market.resolution
        # Of published shares alone: those of one time compare exactly, whatever else of it is missing.
        parts = np.where(market.cells.known, market.cells.parts, np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            self.logs = np.where(parts > 0, np.log(parts), np.nan)
            coarse = parts < floor
        self.logs[coarse] = np.nan
        self.columns = [place for place in named if not np.isnan(self.logs[:, place]).all()]
        self.broken = np.zeros(market.values.shape, dtype=bool)
        for row, column in market.breaks:
            self.broken[row, column] = True
        self.happened = np.zeros(market.values.shape, dtype=bool)
        for item in happenings:
            self.happened[market.times.index(item.time), market.entities.index(item.entity)] = True

    def of(self, column: int, row: int) -> Floats | Message:
        """Return the path around one cell, (2 window + 1,), or the reason why there is none."""
        first, last = row - self.window, row + self.window
        if first < 0 or last >= len(self.logs):
            return message("drivers.window_reaches_beyond_series")
        window = slice(first, last + 1)
        if np.isnan(self.logs[window, column]).any():
            return message("drivers.shares_window_missing_zero_or")
        if self.broken[first + 1 : last + 1, column].any():
            return message("drivers.break_lies_window")
        rivals = [
            other
            for other in self.columns
            if other != column
            and not np.isnan(self.logs[window, other]).any()
            and not self.broken[first + 1 : last + 1, other].any()
            and not self.happened[window, other].any()
        ]
        if not rivals:
            return message("drivers.no_rival_without_event_break")
        path = self.logs[window, column] - self.logs[window][:, rivals].mean(1)
        return np.asarray(path - path[: self.window].mean(), dtype=np.float64)

    def placebos(self) -> Floats:
        """Return the paths around all cells in whose window nothing happened to the entity, (placebos, 2 window + 1)."""
        found = []
        for column in self.columns:
            for row in range(self.window, len(self.logs) - self.window):
                if not self.happened[row - self.window : row + self.window + 1, column].any():
                    path = self.of(column, row)
                    if not isinstance(path, Message):
                        found.append(path)
        return np.array(found).reshape(len(found), 2 * self.window + 1)


def _slope(path: Floats, window: int) -> float:
    """Return the slope of a path before the event, a period; 0 of a single period."""
    if window < 2:
        return 0.0
    steps = np.arange(window) - (window - 1) / 2
    return float(steps @ path[:window] / (steps @ steps))
