"""What a reader of shares must know of their cells: what is missing, overlaps or was rounded, who entered and left, and what to do.

An event is told of published cells alone: an entry where all that was published before is zero, up to the first above zero; what
lies in a gap between the two is told as a stretch of time. A gap itself is never an event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from noria.core.messages import Message, message
from noria.grow.series.cells import Flag
from noria.grow.series.series import Floats

from .gaps import BELOW, BROKEN, DERIVED, MISSING, ZERO, Bools, States, Table, along

_AT_ONCE = 0.1
"""Share from which an entry in one step is more likely the start of a measurement."""
_FAR = 0.05
"""Share from which a zero between two such is more likely a gap."""


def cell_flags(table: Table, values: Floats, left: Floats, published: bool) -> list[Flag]:
    """Return what is to be told of a market's cells.

    Args:
        table: the cells.
        values: (times, names), shares; nan is not known.
        left: (times,), part of the whole that those missing and the rest share; nan where that is not known.
        published: whether the source tells shares, which may overlap or be rounded, and not amounts.
    """
    flags: list[Flag] = []
    total = 1 - left if published else np.full(len(left), np.nan)
    slack = table.slack / table.whole
    names = table.names
    missing = table.states == MISSING
    missing[:, -1] &= table.known[:, -1].any()  # a rest that was never listed is nobody's gap
    for row, time in enumerate(table.times):
        if (table.states[row, :-1] == BROKEN).any():
            continue
        listed = [names[column] for column in np.flatnonzero(missing[row])]
        if not table.known[row].any():
            flags.append(Flag("missing", time, message("flags.missing.nothing_was_published_for")))
        elif listed and left[row] >= -slack[row]:
            most = float(np.clip(left[row] + slack[row], 0, 1))
            flags.append(Flag("missing", time, message("flags.missing.at_most", most=most, **_listed(listed))))
        elif listed:
            flags.append(Flag("missing", time, message("flags.missing.not_known_missing_not", **_listed(listed))))
        elif np.isnan(values[row]).all():
            flags.append(Flag("missing", time, message("flags.missing.every_amount_zero_nothing")))
        if total[row] > 1 + slack[row]:
            flags.append(
                Flag("overlap", time, message("flags.overlap.shares_sum_they_overlap", total=float(total[row])))
            )
        elif total[row] < 1 - slack[row] and not (table.states[row, :-1] >= BELOW).any():
            flags.append(Flag("rest", time, message("flags.rest.named_shares_sum_rest", total=float(total[row]))))
    off = np.where((np.abs(total - 1) <= slack) & ~along(table.states[:, :-1] >= BELOW, 1), total - 1, 0.0)
    worst = int(np.argmax(np.abs(off)))
    if abs(off[worst]) > 1e-9:
        told = message("flags.rounded.rounded_shares_sum_at", worst=1 + float(off[worst]))
        flags.append(Flag("rounded", table.times[worst], told))
    for column, name in enumerate(names[:-1]):
        known, sure = table.known[:, column], (table.known | nothing_left(table))[:, column]
        flags += _events(table.times, name, known, sure, values[:, column], table.value[:, column])
        flags += _dips(table.times, name, table.states[:, column], values[:, column])
    return [*flags, *_advice(table, missing)]


def entered(known: Bools, amounts: Floats) -> tuple[int, int] | None:
    """Return the last time of zeros and the first above zero of one that entered; None where nothing published says that it did."""
    above = np.flatnonzero(known & (np.nan_to_num(amounts) > 0))
    if not above.size:
        return None
    first = int(above[0])
    before = np.flatnonzero(known[:first])
    if not before.size or not known[: before[-1]].all():  # in a gap before, it may have been there already
        return None
    return int(before[-1]), first


def _events(
    times: tuple[str, ...], name: str, known: Bools, sure: Bools, values: Floats, amounts: Floats
) -> Iterator[Flag]:
    came = entered(known, amounts)
    if came:
        last, first = came
        if first - last > 1:
            told = message("flags.entry.enters_between", name=name, after=times[last], by=times[first])
        elif values[first] >= _AT_ONCE:
            told = message("flags.entry.enters_at_once", name=name, share=float(values[first]))
        else:
            told = message("flags.entry.enters", name=name)
        yield Flag("entry", times[first], told)
    elif came := entered(sure, amounts):
        yield Flag("entry", times[came[1]], message("flags.entry.enters_where_nothing_was_left", name=name))
    gone = entered(known[::-1], amounts[::-1])
    if gone:
        none, last = (len(times) - 1 - row for row in gone)
        if none - last > 1:
            told = message("flags.exit.leaves_between", name=name, after=times[last], by=times[none])
        else:
            told = message("flags.exit.leaves", name=name)
        yield Flag("exit", times[none], told)


def _dips(times: tuple[str, ...], name: str, states: States, values: Floats) -> Iterator[Flag]:
    """Tell of a zero between two values that are far from it: a gap that was written as zero, perhaps."""
    for row in np.flatnonzero(states == ZERO):
        near = values[[row - 1, row + 1]] if 0 < row < len(times) - 1 else np.zeros(2)
        if (near >= _FAR).all():
            before, after = (float(value) for value in near)
            yield Flag("dip", times[row], message("flags.dip.zero_between", name=name, before=before, after=after))


def _advice(table: Table, missing: Bools) -> list[Flag]:
    """Return what to do about what is missing."""
    partly = missing & along(table.known, 1)[:, None]
    if not partly.any():
        return []
    listed = [table.names[column] for column in np.flatnonzero(along(partly, 0))]
    there = table.states < 2
    begun, over = np.logical_or.accumulate(there), np.logical_or.accumulate(there[::-1])[::-1]
    ends = (partly & ~(begun & over)).any()  # before a first value or after a last one
    return [
        Flag(
            "advice",
            "",
            message("flags.advice.know_these_periods_give", **_listed(listed))
            if ends
            else message("flags.advice.give_or_say_between", **_listed(listed)),
        )
    ]


def derived_flags(table: Table) -> list[Flag]:
    """Return who is zero since the others make up the whole, or may be inside the rest that is published."""
    derived = table.states == DERIVED
    derived[:, -1] = False
    nothing = nothing_left(table)
    flags = []
    for column in np.flatnonzero(along(derived, 0)):
        for inside in (False, True):
            rows = np.flatnonzero(derived[:, column] & (nothing[:, column] != inside))
            if not rows.size:
                continue
            code = "may_be_in_the_rest" if inside else "not_listed_others_make"
            first, count = table.times[rows[0]], int(rows.size)
            where = first if count == 1 else _stretch(first, table.times[rows[-1]], count)
            flags.append(Flag("bounded", where, message(f"flags.bounded.{code}", name=table.names[column])))
    return flags


def nothing_left(table: Table) -> Bools:
    """Return where nothing but rounding is left for a name, (times, names)."""
    room = np.maximum(np.nan_to_num(table.left), 0) + table.slack
    return np.asarray((table.states == DERIVED) & (table.high <= 1.001 * room[:, None]))


def renamed(table: Table) -> list[Flag]:
    """Return the one entity that ends where one other begins: it may be that one under its old name."""
    if (table.states == BELOW).any():  # of a list of the largest, one goes where another comes all the time
        return []
    ended: dict[int, list[str]] = {}
    begun: dict[int, list[str]] = {}
    listed = table.states < 2  # published, and published as zero
    for column, name in enumerate(table.names):
        known = np.flatnonzero(listed[:, column])
        if known.size:
            ended.setdefault(int(known[-1]) + 1, []).append(name)
            begun.setdefault(int(known[0]), []).append(name)
    return [
        Flag(
            "renamed",
            table.times[row],
            message("flags.renamed.ends_where_begins_if", olds=olds[0], begun=begun[row][0]),
        )
        for row, olds in sorted(ended.items())
        if len(olds) == 1 and len(begun.get(row, ())) == 1
    ]


def gathered(flags: tuple[Flag, ...]) -> list[Flag]:
    """Return flags with those of many times that say the same told once, as `first to last (n periods)`."""
    groups: dict[tuple[str, str], list[Flag]] = {}
    for flag in flags:
        alike = f"{flag.what.code} {flag.what.values.get('names', '')}"  # of other numbers, perhaps
        same = "" if flag.code in _MANY else alike if flag.code in _ALIKE else f"{flag.what} {flag.time}"
        groups.setdefault((flag.code, same), []).append(flag)
    gaps = [key for key, group in groups.items() if key[0] == "missing" and group[0].what.values.get("names")]
    if len(gaps) > _LINES:
        together = sorted((flag for key in gaps for flag in groups[key]), key=lambda flag: flag.time)
        groups[gaps[0]] = [_many(together)]
        groups = {key: group for key, group in groups.items() if key not in gaps[1:]}
    return [group[0] if len(group) == 1 else _gathered(group) for group in groups.values()]


_LINES = 4
"""Lines of who is missing when, beyond which one line tells of all."""
_NAMES = 5
"""Names listed in one line."""
_MANY = ("provisional", "overlap", "rest")
"""Flags that may hold of period after period, told once."""
_ALIKE = ("missing", "broken")
"""Those that are told once for each thing they say, and each list of names."""


def _gathered(group: list[Flag]) -> Flag:
    first, alike = group[0], len({flag.what for flag in group}) == 1
    return Flag(
        first.code,
        _stretch(first.time, group[-1].time, len(group)),
        first.what if alike else message("flags.so_at_first", what=first.what),
    )


def _many(gaps: list[Flag]) -> Flag:
    """Return one flag for gaps that change from period to period."""
    listed = [tuple(flag.what.values["names"].split("\n")) for flag in gaps]  # type: ignore[attr-defined]
    often = Counter(name for names in listed for name in names)
    counts = [len(names) for names in listed]
    told = message(
        "flags.missing.many",
        names=len(often),
        least=min(counts),
        most=max(counts),
        often=", ".join(name for name, _ in often.most_common(_NAMES)),
    )
    return Flag("missing", _stretch(gaps[0].time, gaps[-1].time, len(gaps)), told)


def _listed(names: list[str]) -> dict[str, object]:
    """Return names as a message tells them, and all of them for whoever gathers messages."""
    shown = ", ".join(names[:_NAMES])
    more = message("flags.and_more", shown=shown, more=len(names) - _NAMES) if len(names) > _NAMES + 1 else None
    return {"listed": more or ", ".join(names), "names": "\n".join(names)}


def _stretch(first: str, last: str, count: int) -> Message:
    return message("flags.stretch", first=first, last=last, count=count)
