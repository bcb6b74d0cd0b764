"""Market shares on one base, with an explicit rest, and how concentrated the market is.

market = shares(read_series("chatbots.csv"))
market.values[-1]             # sums to one, entities in order of size, the rest last
market.flags                  # months that do not sum to one, are missing, provisional ...
concentration(market)[-1].hhi
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from noria.core.errors import InputError
from noria.core.figure import Figure
from noria.core.messages import message, term
from noria.grow.series.cells import Flag
from noria.grow.series.series import Floats, Provenance, Series
from noria.grow.series.units import scale_of

from .flags import cell_flags, derived_flags, gathered, renamed
from .gaps import (
    BELOW,
    DERIVED,
    MISSING,
    PUBLISHED,
    STATES,
    ZERO,
    Bools,
    States,
    Table,
    Unlisted,
    along,
    summed,
    tables_of,
)
from .labels import OTHER
from .nested import nested
from .tidy import resolution_of, without_whole_segments

__all__ = [
    "OTHER",
    "Cells",
    "Concentration",
    "Shares",
    "Unlisted",
    "concentration",
    "gathered",
    "shares",
    "whole_market",
]


@dataclass(frozen=True)
class Cells:
    """What each share of a market rests on; all are (times, entities)."""

    states: States
    """Numbers of `STATES`."""
    low: Floats
    """The least a share can be, whatever the missing ones are."""
    high: Floats
    """The most it can be."""
    parts: Floats
    """Published ones as parts of all that were published for their time; nan where nothing was. Two of one time compare exactly."""

    @property
    def known(self) -> Bools:
        """Whether a share's own value was published, or is zero by the reader's word."""
        return np.asarray(~np.isnan(self.parts))

    @property
    def sure(self) -> Bools:
        """Whether a share is known, or is zero since the others make up the whole to within a hundredth."""
        return np.asarray(self.known | ((self.states == DERIVED) & (self.high <= 0.01)))

    def counts(self) -> dict[str, int]:
        """Return how many cells are published, zero, missing ..., the rest left out."""
        return {name: int((self.states[:, :-1] == place).sum()) for place, name in enumerate(STATES)}

    def facts(self, row: int, column: int) -> dict[str, Any]:
        """Return what one share is, and its bounds, JSON-able."""
        return {
            "is": STATES[self.states[row, column]],
            "low": float(self.low[row, column]),
            "high": float(self.high[row, column]),
        }


@dataclass(frozen=True)
class Shares:
    """Shares of one market on one base."""

    times: tuple[str, ...]
    entities: tuple[str, ...]
    """In order of the latest share, the largest first; `OTHER` is last."""
    values: Floats
    """(times, entities); a row sums to one, or holds nan where it cannot be known."""
    base: str
    """What the shares are shares of."""
    provenance: Provenance
    resolution: float
    """The smallest step in which the source tells a share."""
    flags: tuple[Flag, ...] = ()
    breaks: tuple[tuple[int, int], ...] = ()
    """(row, column) of the values that are not comparable with the row before."""
    read: Cells | None = None
    """What each share rests on; as published, where it is not given."""

    @cached_property
    def cells(self) -> Cells:
        """What each share rests on: published, missing ..., and its bounds."""
        if self.read is not None:
            return self.read
        states = np.where(np.isnan(self.values), MISSING, np.where(self.values > 0, PUBLISHED, ZERO)).astype(np.int8)
        none = np.isnan(self.values)
        return Cells(states, np.where(none, 0.0, self.values), np.where(none, 1.0, self.values), self.values)

    @property
    def open(self) -> Bools:
        """Whether each share is not published, or not known but for rounding, (times, entities)."""
        cells = self.cells
        rounding = (len(self.entities) + 1) * self.resolution + 1e-9
        return np.asarray((cells.states >= BELOW) | (cells.high - cells.low > rounding))

    def until(self, periods: int) -> Shares:
        """Return the market as its first `periods` periods had it."""
        cells = self.cells
        return replace(
            self,
            times=self.times[:periods],
            values=self.values[:periods],
            breaks=tuple(item for item in self.breaks if item[0] < periods),
            read=Cells(cells.states[:periods], cells.low[:periods], cells.high[:periods], cells.parts[:periods]),
        )

    @property
    def whole(self) -> Floats:
        """Whether each time's shares are all known and sum to one, (times,) as 0.0 or 1.0."""
        return np.asarray(np.abs(self.values.sum(1) - 1) < 1e-9, dtype=np.float64)

    @property
    def latest_row(self) -> int:
        """The last time at which all shares are known, or the last one with any where there is none.

        Raises:
            InputError: no share is known at any time.
        """
        rows = np.flatnonzero(self.whole)
        if not rows.size:
            rows = np.flatnonzero(~np.isnan(self.values).all(1))
        if not rows.size:
            raise InputError(message("grow.time_all"), found=self.provenance.source)
        return int(rows[-1])

    def latest(self) -> list[Figure]:
        """Return the latest shares that are known; n is the times at which the share is, the interval what rounding and gaps leave open."""
        row, cells = self.latest_row, self.cells
        return [
            Figure(
                message("figures.entity_at", entity=term(entity), time=self.times[row]),
                float(share),
                int((~np.isnan(self.values[:, column])).sum()),
                max(0.0, float(cells.low[row, column]) - self.resolution / 2),
                min(1.0, float(cells.high[row, column]) + self.resolution / 2),
                source=self.provenance.text(),
                level=1.0,
                note=self.base,
            )
            for column, (entity, share) in enumerate(zip(self.entities, self.values[row], strict=True))
            if share == share
        ]


@dataclass(frozen=True)
class Concentration:
    """How concentrated the market is at one time. None where the shares are not all known."""

    time: str
    hhi: float | None
    """Herfindahl-Hirschman index, 0 to 10,000, were the rest spread over countless sellers."""
    hhi_high: float | None
    """The same, were the rest one seller."""
    cr4: float | None
    """Sum of the four largest named shares."""
    entropy: float | None
    """Shannon's, in nats, the rest taken as one."""
    leader: str
    leader_share: float | None
    least: float | None = None
    """The least HHI can be, whatever the missing shares are, and were the rest spread; None where nothing is known."""
    most: float | None = None
    """The most it can be, were the rest one seller."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return asdict(self)


def shares(
    series: Series, measure: str | None = None, segment: str | None = None, *, unlisted: Unlisted = "auto"
) -> Shares:
    """Return the shares in a series of shares or of amounts.

    Shares may come as percent, per mille or fractions (`scale_of`); any other unit is an amount, and is divided by the sum of its
    time. Totals, several rests and what else a market's labels hold twice are mended first (`tidied`).
    What is missing up to one becomes the rest; sums over one are flagged as overlapping and left as they are. One missing amount
    voids nothing: what it leaves open is in `cells`, as bounds.

    Args:
        series: points.
        measure: may be left out where there is one.
        segment: may be left out where there is one.
        unlisted: what was not published is missing; or zero; or below the smallest of a list of the largest, in which case half of
            that stands for it; or, "outside", an entity before its first and after its last published value has no share of its
            own: what it held of published shares is in the rest, and of amounts it held none. "auto" is a list where the
            table looks like one, else missing.

    Raises:
        InputError: the series has several measures or segments and none was named, or a share is over 100 %.
    """
    only = series.only(measure, segment)
    chosen, tables = tables_of(series, only.points[0].measure, unlisted, only.points[0].segment)
    return _divided(chosen, next(iter(tables.values())), series.provenance)


def whole_market(series: Series, measure: str | None = None, *, unlisted: Unlisted = "auto") -> Shares:
    """Return the shares of amounts over all segments; of shares of one segment, these.

    Raises:
        InputError: as `shares`, or shares of several segments, which cannot be summed.
    """
    series = without_whole_segments(series)
    points = [point for point in series.points if measure in (None, point.measure)]
    segments = {point.segment for point in points}
    if len({point.measure for point in points}) != 1 or len(segments) == 1 or scale_of(points[0].unit):
        return shares(series, measure, segments.pop() if len(segments) == 1 else None, unlisted=unlisted)
    chosen, tables = tables_of(series, points[0].measure, unlisted)
    return _divided(chosen, summed(list(tables.values())), series.provenance)


def _divided(chosen: Series, table: Table, provenance: Provenance) -> Shares:
    """Return the amounts of a table as shares, with their bounds and what is to be told of them."""
    scale, names, times = scale_of(chosen.unit), table.names, table.times
    published = np.where(table.known, table.value, np.nan)
    resolution = resolution_of(published) / scale if scale else 0.0
    if scale and np.nanmax(published, initial=0.0) / scale > 1 + 1e-9:
        row, column = np.unravel_index(int(np.nanargmax(published)), published.shape)
        raise InputError(
            message("grow.share_over", entities=names[column], times=times[row]),
            found=f"{published[row, column] / scale:.2%}",
            allowed=message("grow.unit_percent", unit=chosen.unit),
        )
    values, low, high = _shares_of(table, resolution)
    with np.errstate(invalid="ignore", divide="ignore"):
        left = table.left / table.whole
        parts = np.where(np.isnan(values), published / np.nansum(published, axis=1, keepdims=True), values)
    parts[~table.known] = np.nan
    flags = [*chosen.flags, *derived_flags(table), *renamed(table), *table.flags]
    flags += cell_flags(table, values, left, bool(scale))
    if np.nansum(values, axis=1).max(initial=0.0) > 1 + 1e-9:
        flags += [
            Flag(
                "nested",
                times[0],
                message("flags.nested.equals_taken_together_periods", whole=w, listed=", ".join(p), held=n),
            )
            for w, p, n in nested(list(names), np.where(table.known, values, np.nan), resolution)
        ]
    flags += [
        Flag("provisional", time, message("flags.provisional.provisional_publisher_may_revise"))
        for time in chosen.provisional_times
    ]
    broken = [point for point in chosen.points if point.broken]
    flags += [
        Flag("break", point.time, message("flags.break.not_comparable_with_time", entity=point.entity))
        for point in broken
    ]
    return Shares(
        times,
        names,
        values,
        chosen.points[0].measure,
        provenance,
        resolution,
        tuple(flags),
        tuple(dict.fromkeys((times.index(point.time), names.index(point.entity)) for point in broken)),
        Cells(table.states, low, high, parts),
    )


def _shares_of(table: Table, resolution: float) -> tuple[Floats, Floats, Floats]:
    """Return the shares of a table's amounts, the least and the most each can be, (times, names) each."""
    own = np.where(table.states == PUBLISHED, resolution / 2, 0.0)
    told, sized = along(table.known, 1)[:, None], ~np.isnan(table.whole)
    whole, summed_ = table.whole[:, None], table.value.sum(1, keepdims=True)
    over = (table.left < -table.slack)[:, None] & sized[:, None]
    complete = told & ~np.isnan(summed_)
    with np.errstate(invalid="ignore", divide="ignore"):
        rounding = table.slack[:, None] / whole
        values = np.where(complete & ~over, table.value / summed_, table.value / whole)
        low = np.where(sized[:, None], table.low / whole / (1 + rounding) - own, _part(table.low, table.high))
        high = np.where(table.known, table.high / (1 - rounding), table.high) / whole + own
        high = np.where(sized[:, None], high, _part(table.high, table.low))
    exact = complete & ~along(table.states[:, :-1] >= DERIVED, 1)[:, None]
    low = np.where(exact, values, np.where(told, np.nan_to_num(low), 0.0))
    high = np.where(exact, values, np.where(told, np.nan_to_num(high), 1.0))
    return np.where(told, values, np.nan), np.clip(low, 0, 1), np.clip(high, 0, 1)


def _part(own: Floats, others: Floats) -> Floats:
    """Return each amount over the sum of itself and the others, (times, names); amounts may be without end."""
    endless = np.isinf(others)
    finite = np.where(endless, 0.0, others)
    rest = finite.sum(1, keepdims=True) - finite
    rest = np.where(endless.sum(1, keepdims=True) - endless > 0, np.inf, np.maximum(rest, 0.0))
    return np.where(np.isinf(own), 1.0, np.nan_to_num(own / (own + rest)))


def concentration(market: Shares) -> list[Concentration]:
    """Return HHI, CR4 and entropy for every time, and the bounds that missing shares leave to HHI."""
    found = []
    cells = market.cells
    for row, (time, shown, whole) in enumerate(zip(market.times, market.values, market.whole, strict=True)):
        least, most = _hhi_bounds(cells.low[row], cells.high[row])
        if not whole:
            open_ = cells.known[row].any() and not np.nansum(shown) > 1 + 1e-9
            bounds = (least, most) if open_ else (None, None)
            found.append(Concentration(time, None, None, None, None, "", None, *bounds))
            continue
        named, rest = shown[:-1], float(shown[-1])
        low = float((named**2).sum()) * 10_000
        some = shown[shown > 0]
        top = int(np.argmax(named))
        found.append(
            Concentration(
                time,
                low,
                low + rest**2 * 10_000,
                float(np.sort(named)[-4:].sum()),
                float(-(some * np.log(some)).sum()),
                market.entities[top],
                float(named[top]),
                min(least, low),
                max(most, low + rest**2 * 10_000),
            )
        )
    return found


def _hhi_bounds(low: Floats, high: Floats) -> tuple[float, float]:
    """Return the least and the most that HHI can be under bounds of the shares, (entities,), the rest last."""
    order = np.argsort(-high)
    room = (high - low)[order]
    before = np.concatenate([[0.0], np.cumsum(room)[:-1]])
    filled = np.clip(
        max(1 - float(low.sum()), 0.0) - before, 0.0, room
    )  # no sum of squares is above that of share x bound
    most = float((low * high).sum() + (filled * high[order]).sum())
    return float((low[:-1] ** 2).sum()) * 10_000, min(most, 1.0) * 10_000
