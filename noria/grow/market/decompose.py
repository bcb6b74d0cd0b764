"""Why a share or a growth rate changed: within, mix, entry and exit, which add up to the change exactly.

study = decompose(series, "tokens", first="2026-01", last="2026-06")
study.changes[0]            # within + mix + entry + exit = after - before
study.links[0]              # own growth = market growth + share growth, in logarithms
study.defects()             # [] : it always adds up

The kernel is one identity: of an aggregate that is a sum of weights times values over units, a unit that is there before and
after contributes (mean weight) x (change of value), within, and (mean value) x (change of weight), mix; a unit that came
contributes all it brings, and a unit that went all it took (the symmetric form of Bailey, Hulten and Campbell 1992, and of
Griliches and Regev 1995; with midpoints there is no residual). The units of a share are the segments of the market: within is
winning in the same segments, mix is standing in segments that grow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from noria.core.errors import InputError, InsufficientDataError, SettingError
from noria.core.messages import Message, message
from noria.grow.series.series import Floats, Point, Provenance, Series
from noria.grow.series.units import scale_of

from .gaps import BELOW, Unlisted, tables_of
from .labels import OTHER
from .tidy import resolution_of

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Parts:
    """A change of an aggregate, by unit: four arrays of one length, whose sum is the change."""

    within: Floats
    mix: Floats
    entry: Floats
    exit: Floats

    @property
    def total(self) -> float:
        """The whole change."""
        return float(self.within.sum() + self.mix.sum() + self.entry.sum() + self.exit.sum())


@dataclass(frozen=True)
class ShareChange:
    """A change of one entity's share of the whole market."""

    entity: str
    before: float
    after: float
    within: float
    """From a changed share within the segments it was in at both times."""
    mix: float
    """From segments it was in at both times having grown or shrunk beside the others."""
    entry: float
    """From segments it was not in before."""
    exit: float
    """From segments it has left."""
    segments: dict[str, float]
    """What each segment contributed; they sum to the change too."""

    @property
    def change(self) -> float:
        """After less before."""
        return self.after - self.before

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {**asdict(self), "change": self.change}


@dataclass(frozen=True)
class GrowthLink:
    """Growth of one entity as the market's growth and its share's growth: ln(q1/q0) = ln(M1/M0) + ln(s1/s0)."""

    entity: str
    own: float
    """Logarithm of the entity's growth factor."""
    market: float
    share: float
    from_market: float
    """Of the change in amount: what the market's growth brought at the mean share."""
    from_share: float
    """Of the change in amount: what the changed share brought at the market's mean size."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return asdict(self)


@dataclass(frozen=True)
class Decomposition:
    """A market between two times."""

    base: str
    unit: str
    before: str
    after: str
    segments: tuple[str, ...]
    changes: tuple[ShareChange, ...]
    """Every entity, the largest change first; they sum to zero."""
    links: tuple[GrowthLink, ...]
    """Entities with a published amount at both times; empty where the series holds shares only."""
    market: tuple[float, float] | None
    """The market's amount before and after; None where the series holds shares only."""
    provenance: Provenance
    silence: Message | None
    """Why there are no links; None where there are."""
    notes: tuple[Message, ...] = ()
    """What a reader must know: breaks between the two times, provisional values."""

    def defects(self, tolerance: float = 1e-9) -> list[str]:
        """Return what does not add up; always empty, and shown so that a reader need not believe it."""
        found = [
            f"{item.entity}: {item.within + item.mix + item.entry + item.exit:.12f} is not {item.change:.12f}"
            for item in self.changes
            if abs(item.within + item.mix + item.entry + item.exit - item.change) > tolerance
        ]
        found += [
            f"{item.entity}: growth is not market and share"
            for item in self.links
            if abs(item.own - item.market - item.share) > tolerance
        ]
        total = sum(item.change for item in self.changes)
        return found if abs(total) <= tolerance else [*found, f"changes of share sum to {total:.12f}"]


def parted(weights: tuple[Floats, Floats], values: tuple[Floats, Floats], present: tuple[Bools, Bools]) -> Parts:
    """Return the change of sum(weights x values) by unit: (units,) before and after; where a unit is not there it is not read."""
    (w0, w1), (x0, x1) = weights, values
    both, came, went = present[0] & present[1], ~present[0] & present[1], present[0] & ~present[1]
    return Parts(
        np.where(both, (w0 + w1) / 2 * (x1 - x0), 0.0),
        np.where(both, (x0 + x1) / 2 * (w1 - w0), 0.0),
        np.where(came, w1 * x1, 0.0),
        np.where(went, -w0 * x0, 0.0),
    )


def decompose(
    series: Series,
    measure: str | None = None,
    *,
    first: str | None = None,
    last: str | None = None,
    unlisted: Unlisted = "auto",
) -> Decomposition:
    """Return why each entity's share changed between two times.

    Where no time is named, it is from the first whole one at which no later value is broken, to the last whole one that is
    not provisional: a period that still goes on would look like a fall.

    The series' segments are the parts of the market. Amounts are needed to weigh them: shares of several segments without
    the segments' sizes cannot be summed. A series of shares of one segment gives entry, exit and within, and no growth.

    Raises:
        InputError: a value is missing at one of the two times, the shares overlap, or there is only one time.
        SettingError: there is no such time.
    """
    series, names, parts, times, cube, unit, open_ = _cube(series, measure, unlisted)
    scale = scale_of(unit)
    shares_only = scale is not None
    if shares_only and len(parts) > 1:
        raise InputError(
            message("grow.shares_several"),
            found=", ".join(parts),
            allowed=message("grow.amounts_one"),
            hint=message("grow.name_one_market"),
        )
    marked = [point for point in series.points if point.measure == (measure or point.measure)]
    broken = sorted({times.index(point.time) for point in marked if point.broken})
    still = {times.index(point.time) for point in marked if point.provisional}
    start, end = _ends(times, cube, (first, last), broken[-1] if broken else 0, still)
    if scale is not None:
        cube = cube / scale
        names, cube = _with_rest(names, cube, (times[start], times[end]), (start, end))
    then, now = cube[start], cube[end]  # (segments, entities)
    changes = _changes(names, parts, then, now)
    sizes = (float(then.sum()), float(now.sum()))
    published = ~open_[[start, end]].any((0, 1))  # half of a bound grows by no rate that anyone measured
    links = () if shares_only else _links(names, then.sum(0) * published, now.sum(0) * published, sizes)
    silence = None if links else message("shares.not_identified_series_holds_shares")
    return Decomposition(
        measure or series.measures[0],
        unit,
        times[start],
        times[end],
        tuple(parts),
        changes,
        links,
        None if shares_only else sizes,
        series.provenance,
        silence,
        (
            *(flag.text() for flag in series.flags),
            *_notes(marked, times, start, end),
            *_open(open_[[start, end]], names),
        ),
    )


def concentration_change(before: Floats, after: Floats) -> Floats:
    """Return what each entity contributed to the change of the Herfindahl-Hirschman index: 10,000 (s1 - s0)(s1 + s0)."""
    return np.asarray(10_000 * (after - before) * (after + before), dtype=np.float64)


def _cube(
    series: Series, measure: str | None, unlisted: Unlisted
) -> tuple[Series, list[str], list[str], list[str], Floats, str, Bools]:
    """Return the series made ready, entities, segments, times and values, (times, segments, entities), of one measure, and its unit.

    The last array says of which values half of a bound stands for what is below a list's cut.
    """
    if measure is None and len(series.measures) > 1:
        raise InputError(
            message("grow.series_several_measures"),
            found=", ".join(series.measures),
            allowed=message("grow.one_them"),
            hint=message("grow.name_one_2"),
        )
    measure = measure or series.measures[0]
    if measure not in series.measures:
        raise SettingError(message("grow.unknown_measure"), found=measure, allowed=series.measures)
    chosen, tables = tables_of(series, measure, unlisted)
    first = next(iter(tables.values()))
    cube = np.stack([table.value for table in tables.values()], axis=1)
    below = np.stack([table.states == BELOW for table in tables.values()], axis=1)
    rested = any(table.known[:, -1].any() or (np.nan_to_num(table.value[:, -1]) > 0).any() for table in tables.values())
    kept = slice(None) if rested else slice(-1)
    cube, below = cube[:, :, kept], below[:, :, kept]
    return chosen, list(first.names[kept]), list(tables), list(first.times), cube, chosen.unit, below


def _open(below: Bools, names: list[str]) -> list[Message]:
    """Return what is to be known of the two times where half of a bound stands for what is below a list's cut."""
    if not below.any():
        return []
    listed = ", ".join(names[column] for column in np.flatnonzero(below.any((0, 1))))
    return [message("shares.below_the_cut", n=int(below.sum()), among=below.size, listed=listed)]


def _notes(points: list[Point], times: list[str], start: int, end: int) -> Iterator[Message]:
    for point in points:
        if point.broken and start < times.index(point.time) <= end:
            yield message("shares.not_comparable_before_part_change", entity=point.entity, time=point.time)
    for time in dict.fromkeys(point.time for point in points if point.provisional):
        if time in (times[start], times[end]):
            yield message("shares.provisional_may_be_revised", time=time)


def _ends(
    times: list[str], cube: Floats, named: tuple[str | None, str | None], since: int, still: set[int]
) -> tuple[int, int]:
    if len(times) == 1:
        raise InsufficientDataError(message("grow.change_needs"), found=times[0], allowed=message("grow.more_5"))
    first, last = named
    whole = [row for row in range(len(times)) if not np.isnan(cube[row]).any()]
    for name in (first, last):
        if name is not None and name not in times:
            raise SettingError(
                message("grow.such_time"), found=name, allowed=message("grow.to_2", times=times[0], times_2=times[-1])
            )
    start = times.index(first) if first else next((row for row in whole if row >= since), 0)
    end = times.index(last) if last else _last(whole, start, still, len(times) - 1)
    if start >= end:
        raise InputError(
            message("grow.change_needs_two"),
            found=", ".join(times[row] for row in whole) or message("grow.none"),
            allowed=message("grow.more_5"),
            hint=message("grow.missing_zero"),
        )
    for row in (start, end):
        if row not in whole:
            raise InputError(
                message("grow.values_missing", times=times[row]),
                found=int(np.isnan(cube[row]).sum()),
                allowed=message("grow.none"),
                hint=message("grow.name_time"),
            )
    return start, end


def _last(whole: list[int], start: int, still: set[int], otherwise: int) -> int:
    closed = [row for row in whole if row > start and row not in still]
    return closed[-1] if closed else whole[-1] if whole else otherwise


def _with_rest(
    names: list[str], cube: Floats, times: tuple[str, str], rows: tuple[int, int]
) -> tuple[list[str], Floats]:
    """Return published shares with an explicit rest, scaled to one where only rounding is amiss."""
    total = cube.sum(2)
    slack = len(names) * resolution_of(cube * 100) / 200 + 1e-9
    for time, row in zip(times, rows, strict=True):
        if total[row, 0] > 1 + slack:
            raise InputError(
                message("grow.shares_sum", time=time, total=total[row, 0]),
                found=", ".join(names),
                hint=message("grow.leave_labels"),
            )
    rest = np.where(total < 1 - slack, 1 - total, 0.0)[:, :, None]
    place = next((at for at, name in enumerate(names) if name == OTHER), None)
    if place is None:
        names, cube = [*names, OTHER], np.concatenate([cube, rest], axis=2)
    else:
        cube = cube.copy()
        cube[:, :, place] += rest[:, :, 0]
    return names, cube / cube.sum(2, keepdims=True)


def _changes(names: list[str], parts: list[str], then: Floats, now: Floats) -> tuple[ShareChange, ...]:
    if min(then.sum(), now.sum()) <= 0:
        raise InputError(message("grow.market_nothing"), found=0, allowed=message("grow.amounts_above"))
    weights = (then.sum(1) / then.sum(), now.sum(1) / now.sum())  # of the segments
    changes = []
    for column, name in enumerate(names):
        inside = [
            np.divide(amounts[:, column], amounts.sum(1), out=np.zeros(len(parts)), where=amounts.sum(1) > 0)
            for amounts in (then, now)
        ]
        found = parted(weights, (inside[0], inside[1]), (then[:, column] > 0, now[:, column] > 0))
        by_segment = found.within + found.mix + found.entry + found.exit
        changes.append(
            ShareChange(
                name,
                float(then[:, column].sum() / then.sum()),
                float(now[:, column].sum() / now.sum()),
                float(found.within.sum()),
                float(found.mix.sum()),
                float(found.entry.sum()),
                float(found.exit.sum()),
                dict(zip(parts, by_segment.tolist(), strict=True)),
            )
        )
    return tuple(sorted(changes, key=lambda item: (-abs(item.change), item.entity)))


def _links(names: list[str], then: Floats, now: Floats, sizes: tuple[float, float]) -> tuple[GrowthLink, ...]:
    market = float(np.log(sizes[1] / sizes[0]))
    links = []
    for name, old, new in zip(names, then.tolist(), now.tolist(), strict=True):
        if old > 0 and new > 0:
            before, after = old / sizes[0], new / sizes[1]
            links.append(
                GrowthLink(
                    name,
                    float(np.log(new / old)),
                    market,
                    float(np.log(after / before)),
                    (before + after) / 2 * (sizes[1] - sizes[0]),
                    (sizes[0] + sizes[1]) / 2 * (after - before),
                )
            )
    return tuple(sorted(links, key=lambda item: (-item.own, item.entity)))
