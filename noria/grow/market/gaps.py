"""What each cell of a market is, published, zero, missing, below a list's cut or broken, and within which bounds its amount lies.

    series, tables = tables_of(series, "sales", "auto")     # segment -> table, on the same times and names
    tables[""].states[row, column]                          # one of STATES, by number
    tables[""].low, tables[""].value, tables[""].high       # the value is nan where nothing says more than the bounds

What is missing is never zero and voids nothing: it lies between nothing and what the others leave of the whole, and, where the
table is a list of the largest, below the smallest that is listed for that time. A time at which all that was positive is zero
was not measured. Half of its bound stands for what is below a list's cut, as for values below a detection limit
(Palarea-Albaladejo and Martín-Fernández 2013); whoever counts events looks at published cells alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from noria.core.messages import message
from noria.grow.series.calendars import between
from noria.grow.series.cells import Flag
from noria.grow.series.series import Floats, Series
from noria.grow.series.units import scale_of

from .labels import OTHER
from .tidy import resolution_of, tidied

Bools = npt.NDArray[np.bool_]
States = npt.NDArray[np.int8]
Unlisted = Literal["auto", "missing", "zero", "below-cut", "outside"]
"""How to read a cell for which nothing was published at a time that has others."""
STATES = ("published", "zero", "taken for zero", "derived", "below the cut", "missing", "broken")
"""What a cell is; derived is what the others leave of the whole, taken for zero is by the reader's own word."""
PUBLISHED, ZERO, ASSUMED, DERIVED, BELOW, MISSING, BROKEN = range(7)

_LISTED, _PERIODS, _TURNS = 3, 6, 2
"""Names a period, periods, and changes of who is listed, below which a list of the largest cannot be told from chance."""
_ALIKE = 0.9
"""Part of the periods that must list as many names as any."""
_LOW, _LOWEST = 0.75, 0.85
"""Mean place, 0 first and 1 last, from which those who go and come stand at the list's lower end; of one change alone."""


@dataclass(frozen=True)
class Table:
    """The cells of one market; the rest, `OTHER`, is the last name."""

    times: tuple[str, ...]
    names: tuple[str, ...]
    states: States
    """(times, names), numbers of `STATES`."""
    low: Floats
    """(times, names): the least the amount can be."""
    value: Floats
    """(times, names); nan where it is not known, and nothing stands for it."""
    high: Floats
    """(times, names): the most it can be; inf where nothing bounds it."""
    whole: Floats
    """(times,): what all of a time's amounts make up; nan where only their sum says so."""
    left: Floats
    """(times,): what published amounts leave of the whole; nan where that is not known."""
    slack: Floats
    """(times,): how far rounding may put a sum off."""
    flags: tuple[Flag, ...] = ()

    @property
    def known(self) -> Bools:
        """(times, names): whether the amount was published, or is zero by the reader's word."""
        return self.states <= ASSUMED


def tables_of(
    series: Series, measure: str, unlisted: Unlisted = "auto", segment: str | None = None
) -> tuple[Series, dict[str, Table]]:
    """Return a measure's series without totals and with one rest, and its table in each segment, on the same times and names.

    Where a segment is named, only that one. Names are in order of the latest published amount over all that are returned, the largest
    first, and the rest is last.

    Raises:
        InputError: shares that sum to one under a unit of percent.
    """
    chosen, wholes = tidied(series.only(measure, segment) if segment is not None else _of(series, measure))
    times = between(point.time for point in chosen.points)
    segments = list(chosen.segments)
    names = list(dict.fromkeys(point.entity for point in chosen.points))
    rows, columns = {time: row for row, time in enumerate(times)}, {name: at for at, name in enumerate(names)}
    cube = np.full((len(segments), len(times), len(names)), np.nan)
    for point in chosen.points:
        if point.value is not None:
            cube[segments.index(point.segment), rows[point.time], columns[point.entity]] = point.value
    there = ~np.isnan(cube).all(0)
    ever = along(there, 0)
    last = np.where(ever, len(times) - 1 - there[::-1].argmax(0), 0)
    latest = np.where(ever, np.nansum(cube, axis=0)[last, np.arange(len(names))], -np.inf)
    order = sorted(range(len(names)), key=lambda column: (-latest[column], names[column]))
    named = [names[column] for column in order]
    counts = scale_of(chosen.unit) is None
    used = {point.time for point in _of(series, measure).points if point.value} if counts else ()
    idle = np.array([time not in used for time in times])
    return chosen, {
        segment: read_cells(
            times,
            named,
            cube[place][:, order],
            np.array([wholes[measure, segment].get(time, np.nan) for time in times]),
            idle,
            unlisted,
            counts=counts,
        )
        for place, segment in enumerate(segments)
    }


def _of(series: Series, measure: str) -> Series:
    return replace(series, points=tuple(point for point in series.points if point.measure == measure))


def read_cells(
    times: Sequence[str],
    names: Sequence[str],
    values: Floats,
    whole: Floats,
    idle: Bools,
    unlisted: Unlisted = "auto",
    *,
    counts: bool,
) -> Table:
    """Return what each cell is, and its bounds.

    Args:
        times: in order.
        names: of the entities.
        values: (times, names); nan is not published.
        whole: (times,): what one time's amounts make up, as 100 percent or a published total; nan where that is not known.
        idle: (times,): whether nothing above zero was published in any segment: zeros beside others are counts.
        unlisted: how to read what was not published.
        counts: whether values are amounts, which rounding puts off by less than it does shares.
    """
    names, values = _rest_last(names, values)
    there = ~np.isnan(values)
    broken, flags = _broken(times, values, idle)
    published = along(there, 1) & ~broken
    ever = along(there, 0)
    listed = unlisted == "below-cut" or (unlisted == "auto" and _is_list(values[published][:, :-1][:, ever[:-1]]))
    absent = ~there & published[:, None]
    states = np.where(values > 0, PUBLISHED, ZERO).astype(np.int8)
    states[~there] = MISSING
    states[broken] = BROKEN
    if unlisted in ("zero", "outside"):
        gone = absent if unlisted == "zero" else absent & ~_spanned(there)
        gone[:, -1] &= ever[-1]
        states[gone] = ASSUMED
        flags += _assumed(times, names, gone)
    below = absent & listed
    below[:, -1] = False
    states[below] = BELOW
    known = states <= ASSUMED
    value = np.where(known, np.nan_to_num(values), np.nan)
    cut = np.min(np.where(known[:, :-1] & there[:, :-1], values[:, :-1], np.inf), axis=1, initial=np.inf)
    high = np.where(known, value, np.where(below, cut[:, None], np.inf))
    low = np.where(known, value, 0.0)
    total = low.sum(1)
    slack = np.maximum(len(names) * resolution_of(values) / 2, 1e-9 * total) + 1e-12
    slack = np.fmin(slack, 0.005 * whole) if counts else slack
    left = np.where(known.any(1), whole - total, np.nan)
    table = _completed(Table(tuple(times), tuple(names), states, low, value, high, whole, left, slack))
    below = table.states[:, :-1] == BELOW
    if below.any():
        flags += _list_flags(values[published][:, :-1][:, ever[:-1]], below, unlisted)
    return replace(table, flags=tuple(flags))


def summed(tables: Sequence[Table]) -> Table:
    """Return the amounts of several segments, on the same times and names, added up; what is open in one is open in the sum."""
    states = np.max([table.states for table in tables], axis=0)
    value = np.sum([table.value for table in tables], axis=0)
    states[(states <= ASSUMED) & (value > 0)] = PUBLISHED
    first = tables[0]
    return Table(
        first.times,
        first.names,
        states,
        np.sum([table.low for table in tables], axis=0),
        value,
        np.sum([table.high for table in tables], axis=0),
        np.sum([table.whole for table in tables], axis=0),
        np.sum([table.left for table in tables], axis=0),
        np.sum([table.slack for table in tables], axis=0),
        tuple(dict.fromkeys(flag for table in tables for flag in table.flags)),
    )


def along(flags: Bools, axis: int) -> Bools:
    """Return whether any is true, along an axis."""
    return np.asarray(flags.any(axis=axis))


def _rest_last(names: Sequence[str], values: Floats) -> tuple[list[str], Floats]:
    order = sorted(range(len(names)), key=lambda column: names[column] == OTHER)
    listed = [names[column] for column in order]
    if listed[-1] == OTHER:
        return listed, values[:, order]
    return [*listed, OTHER], np.column_stack([values[:, order], np.full(len(values), np.nan)])


def _broken(times: Sequence[str], values: Floats, idle: Bools) -> tuple[Bools, list[Flag]]:
    """Return the times at which all that is published is zero, and nobody is missing who was there before and came again.

    Where some are missing at every time, as from a list, it is as many as are listed otherwise that must be zero.
    """
    there, above = ~np.isnan(values), np.nan_to_num(values) > 0
    hole, seen, counts = along(~there & _spanned(there), 1), along(above, 1), there.sum(1)
    if seen.any() and counts.max() < along(there, 0).sum():
        hole &= counts < np.median(counts[seen])
    broken = along(there & along(above, 0), 1) & idle & ~seen & ~hole
    flags = []
    first, last = (int(seen.argmax()), len(seen) - 1 - int(seen[::-1].argmax())) if seen.any() else (0, 0)
    for row in np.flatnonzero(broken).tolist():
        when = "before" if row < first else "after" if row > last else "between"
        flags.append(Flag("broken", times[row], message(f"flags.broken.{when}", n=int(there[row].sum()))))
    return broken, flags


def _spanned(there: Bools) -> Bools:
    """Return whether a cell lies between the first and the last published one of its name."""
    begun = np.logical_or.accumulate(there, axis=0)
    return np.asarray(begun & np.logical_or.accumulate(there[::-1], axis=0)[::-1])


def _is_list(values: Floats) -> bool:
    """Return whether a table looks like a list of the largest: as many names each time, others come and go at its lower end."""
    there = ~np.isnan(values)
    if not there.size:
        return False
    counts = there.sum(1)
    size = int(np.bincount(counts).argmax())
    turns = int(along(there[1:] != there[:-1], 1).sum())
    alike = np.mean(counts == size) >= _ALIKE
    if not (alike and _LISTED <= size < values.shape[1] and len(values) >= _PERIODS and turns):
        return False
    rank = (-np.nan_to_num(values)).argsort(axis=1).argsort(axis=1) / (
        size - 1
    )  # 0 the largest, 1 the last on the list
    off, on = there[:-1] & ~there[1:], ~there[:-1] & there[1:]
    ends = np.concatenate([rank[:-1][off], rank[1:][on]])
    # One that goes where another comes may be a rename: of a single change more is asked.
    return bool(ends.mean() >= (_LOW if turns >= _TURNS else _LOWEST))


def _list_flags(values: Floats, below: Bools, unlisted: Unlisted) -> list[Flag]:
    cells, among = int(below.sum()), int(along(below, 1).sum()) * below.shape[1]
    if unlisted == "below-cut":
        return [Flag("list", "", message("flags.list.not_on_the_list", cells=cells, among=among))]
    size = int(np.bincount((~np.isnan(values)).sum(1)).argmax())
    return [
        Flag(
            "list",
            "",
            message(
                "flags.list.looks_like_the_largest",
                size=size,
                names=values.shape[1],
                times=len(values),
                cells=cells,
                among=among,
            ),
        )
    ]


def _assumed(times: Sequence[str], names: Sequence[str], gone: Bools) -> list[Flag]:
    return [
        Flag(
            "unlisted",
            times[int(np.flatnonzero(gone[:, column])[0])],
            message("flags.unlisted.not_listed_periods_outside", entity=name, sum=int(gone[:, column].sum())),
        )
        for column, name in enumerate(names)
        if gone[:, column].any()
    ]


def _completed(table: Table) -> Table:
    """Return the table with the rest as what the others leave of the whole, and bounds that keep to it."""
    states, value, high = table.states.copy(), table.value.copy(), table.high.copy()
    known, told, slack, left = table.known, along(table.known, 1), table.slack, table.left
    rest = table.low[:, -1]
    fits = np.nan_to_num(left, nan=-np.inf) >= -slack
    room = np.where(fits, np.maximum(left, 0.0), np.inf)
    open_named = along(states[:, :-1] >= BELOW, 1)
    # Nobody is open but the rest: it is what is left of the whole, if that is more than rounding.
    alone = fits & ~open_named
    value[alone, -1] = (rest + np.where(left > slack, room, 0.0))[alone]
    if not known[:, -1].any() and not (alone & (left > slack)).any():  # there is no rest: the sum is the whole
        alone |= told & ~fits
        value[told & ~fits, -1] = 0.0
    states[alone & ~known[:, -1], -1] = DERIVED
    unknown = states >= BELOW
    high = np.where(unknown, np.minimum(high, (room + slack)[:, None]), np.where(states <= DERIVED, value, high))
    none = unknown & (fits & (left <= slack))[:, None]
    states[none], value[none] = DERIVED, 0.0
    # A published rest may hold them: the source then has them there, and not beside it.
    held = none & (rest > slack)[:, None] & (np.arange(len(table.names)) < len(table.names) - 1)
    high = np.where(held, np.minimum(table.high, (rest + slack)[:, None]), high)
    # What is below the cut takes half of its bound, or all alike what is left where that is less.
    below = states == BELOW
    fair = np.where(fits, room, np.inf) / np.maximum(below.sum(1) + ~known[:, -1], 1)
    value[below] = np.minimum(high / 2, fair[:, None])[below]
    value[below & np.isinf(value)] = np.nan
    low = np.where(states <= ASSUMED, np.nan_to_num(value), 0.0)
    low[alone, -1] = value[alone, -1]
    opened = fits & open_named
    most = np.where(unknown & ~held, high, 0.0)[:, :-1].sum(1)
    high[opened, -1] = (rest + room + slack)[opened]
    low[opened, -1] = (rest + np.maximum(np.where(opened, room, 0.0) - most - slack, 0.0))[opened]
    low[:, -1] = np.where(held.any(1), np.maximum(rest - np.where(held, high, 0.0).sum(1), 0.0), low[:, -1])
    valued = opened & ~np.isnan(value[:, :-1]).any(1)
    value[valued, -1] = (rest + np.where(opened, room, 0.0) - np.where(below, value, 0.0).sum(1))[valued]
    return replace(table, states=states, low=low, value=value, high=high)
