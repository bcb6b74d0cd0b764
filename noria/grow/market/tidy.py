"""A market's series made ready to be divided: one rest, no total among the parts, a unit that says what one whole is.

    market, wholes = tidied(read_series("market.csv"))
    market.flags                             # what was taken for a total, which rests are one, what a unit was read as, and why
    wholes["share of visits", "world"]       # time -> what all amounts of that time make up, where that is known

Of each measure and segment: labels such as Others and 其他 are one rest. A total is the sum of the others in every period, or is named
so and is never below them; it is left out, and of amounts it is the whole. Of shares the whole is 100 %, or one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from noria.core.messages import joined, message
from noria.grow.series.cells import Flag
from noria.grow.series.series import Floats, Point, Series
from noria.grow.series.units import called_share, read_scale, scale_of

from .labels import OTHER, is_rest, is_total

Wholes = dict[tuple[str, str], dict[str, float]]
"""Measure and segment -> time -> what all amounts of that time make up, in the series' unit."""


def tidied(series: Series) -> tuple[Series, Wholes]:
    """Return the series with one rest, without totals, and with a unit that says what one whole is; and the whole of each time.

    The series' flags say what was done.

    Raises:
        InputError: shares that sum to one under a unit of percent.
    """
    series = without_whole_segments(series)
    points: list[Point] = []
    flags = list(series.flags)
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in series.points:
        groups.setdefault((point.measure, point.segment), []).append(point)
    sums = _sums_throughout(groups)
    wholes: Wholes = {}
    for (measure, segment), group in groups.items():
        kept, found, wholes[measure, segment] = _tidied(group, sums[measure])
        points += kept
        flags += [flag for flag in found if flag not in flags]
    return replace(series, points=tuple(sorted(points, key=lambda point: point.time)), flags=tuple(flags)), wholes


def without_whole_segments(series: Series) -> Series:
    """Return the series without segments called a total, where these are the sum of two or more others of their measure; told."""
    flags, left = list(series.flags), set()
    for measure in series.measures:
        points = [point for point in series.points if point.measure == measure]
        segments = list(dict.fromkeys(point.segment for point in points))
        called = [name for name in segments if is_total(name)]
        parts = [name for name in segments if name not in called]
        if not called or len(parts) < 2 or scale_of(points[0].unit) is not None:
            continue
        amounts = {(point.segment, point.time, point.entity): point.value for point in points}
        for name in called:
            pairs = []
            for (segment, time, entity), whole in amounts.items():
                values = [amounts.get((part, time, entity)) for part in parts]
                if segment == name and whole is not None and None not in values:
                    pairs.append((whole, sum(value or 0.0 for value in values)))
            if pairs and all(abs(whole - total) <= 0.005 * whole + 1e-9 for whole, total in pairs):
                left.add((measure, name))
                flags.append(
                    Flag(
                        "total",
                        "",
                        message("flags.total.segment_sum_other_segments", name=name),
                    )
                )
            else:
                flags.append(
                    Flag(
                        "total",
                        "",
                        message("flags.total.segment_called_total_not", name=name),
                    )
                )
    kept = tuple(point for point in series.points if (point.measure, point.segment) not in left)
    return replace(series, points=kept, flags=tuple(dict.fromkeys(flags))) if len(flags) > len(series.flags) else series


def _sums_throughout(groups: dict[tuple[str, str], list[Point]]) -> dict[str, set[str]]:
    """Return by measure the names that are the sum of the others wherever they have any: in one segment alone that is chance, and to
    leave a seller out of one segment would leave a hole there."""
    throughout: dict[str, set[str]] = {}
    for (measure, _), points in groups.items():
        rested, _ = _one_rest(points)
        _, names, values = _table(rested)
        there = {name for name, column in zip(names, values.T, strict=True) if (column > 0).any()}
        same = {name for place, name in enumerate(names) if _is_sum(names, values, place, points[0].unit)}
        known = throughout.setdefault(
            measure, {point.entity for key, all_ in groups.items() if key[0] == measure for point in all_}
        )
        known -= there - same
    return throughout


def _tidied(points: list[Point], sums: set[str]) -> tuple[list[Point], list[Flag], dict[str, float]]:
    points, flags = _one_rest(points)
    points, more, wholes = _without_total(points, sums)
    flags += more
    _, _, values = _table(points)
    one, read = read_scale(points[0].unit, values, np.nansum(values, axis=1))
    if read:
        unit = points[0].unit
        flags.append(
            Flag(
                "unit",
                "",
                message("flags.unit.unit_does_not_say", unit=unit),
            )
        )
        points = [replace(point, unit=read) for point in points]
    elif one is None and called_share(points[0].measure):
        unit, measure = points[0].unit, points[0].measure
        flags.append(
            Flag(
                "unit",
                "",
                message("flags.unit.called_share_but_unit", measure=measure, unit=unit),
            )
        )
    if one is not None:
        wholes = dict.fromkeys((point.time for point in points), 100.0 if read else one)
    return points, flags, wholes


def _one_rest(points: list[Point]) -> tuple[list[Point], list[Flag]]:
    names = [name for name in dict.fromkeys(point.entity for point in points) if is_rest(name)]
    if not names or names == [OTHER]:
        return points, []
    sums: dict[str, Point] = {}
    for point in points:
        if not is_rest(point.entity):
            continue
        before = sums.get(point.time)
        missing = point.value is None or (before is not None and before.value is None)
        value = None if missing else (point.value or 0.0) + ((before.value or 0.0) if before else 0.0)
        sums[point.time] = replace(
            point,
            entity=OTHER,
            value=value,
            provisional=point.provisional or bool(before and before.provisional),
            broken=point.broken or bool(before and before.broken),
        )
    kept = [point for point in points if not is_rest(point.entity)]
    flags = []
    if len(names) > 1:
        listed = ", ".join(names)
        flags.append(
            Flag(
                "others",
                "",
                message("flags.others.all_the_rest", listed=listed),
            )
        )
    return sorted([*kept, *sums.values()], key=lambda point: point.time), flags


def _without_total(points: list[Point], sums_throughout: set[str]) -> tuple[list[Point], list[Flag], dict[str, float]]:
    points, flags = _without_subtotals(points)
    times, names, values = _table(points)
    for column, name in enumerate(names):
        others = _parts(names, values, column)
        whole, parts = values[:, column], values[:, others]
        known = ~np.isnan(whole) & ~np.isnan(parts).all(1)
        if name == OTHER or not others or not (known & (np.nan_to_num(whole) > 0)).any():
            continue
        sums, slack = np.nansum(parts, axis=1), _slack(values)
        complete = known & ~np.isnan(parts).any(1)
        named = is_total(name)
        if named and not (whole[known] >= (sums - slack)[known]).all():
            flags.append(
                Flag(
                    "total",
                    "",
                    message("flags.total.below_sum_others_taken", name=name),
                )
            )
            continue
        equal = np.abs(whole - sums) <= slack
        if not named and (name not in sums_throughout or not _is_sum(names, values, column, points[0].unit)):
            if (
                len(others) > 1
                and complete.any()
                and (np.abs(whole - sums) <= np.minimum(slack, 0.005 * whole))[complete].all()
            ):
                flags += _perhaps(name, parts[complete], int(complete.sum()))
            continue
        kept = [point for point in points if point.entity != name]
        if complete.any() and equal[complete].all():
            told = int(complete.sum())
            flags.append(
                Flag(
                    "total",
                    "",
                    message("flags.total.sum_others_all_periods", name=name, told=told),
                )
            )
        else:
            flags.append(
                Flag(
                    "total",
                    "",
                    message("flags.total.called_total_above_sum", name=name),
                )
            )
        begun, over = np.logical_or.accumulate(~np.isnan(parts)), np.logical_or.accumulate(~np.isnan(parts)[::-1])[::-1]
        holes = np.isnan(parts) & begun & over
        short = (
            known & equal & holes.any(1)
        )  # as a spreadsheet adds up what there is: it says nothing of who is missing
        for row in np.flatnonzero(short).tolist():
            missed = joined("join.list", [names[others[at]] for at in np.flatnonzero(holes[row]).tolist()])
            flags.append(
                Flag("total", times[row], message("flags.total.sum_of_what_is_there", name=name, missed=missed))
            )
        known = known & ~short
        if OTHER in names and names.index(OTHER) not in others:  # a subtotal of those that are named
            whole = whole + values[:, names.index(OTHER)]
        return kept, flags, {times[row]: float(whole[row]) for row in np.flatnonzero(known & ~np.isnan(whole))}
    return points, flags, {}


def _without_subtotals(points: list[Point]) -> tuple[list[Point], list[Flag]]:
    """Return the points without the totals of some: of several that are called totals, one is the sum of those that are not."""
    _, names, values = _table(points)
    called = [place for place, name in enumerate(names) if is_total(name)]
    plain_ones = [place for place in range(len(names)) if place not in called]
    if len(called) < 2 or len(plain_ones) < 2:
        return points, []
    sums, slack = values[:, plain_ones].sum(1), _slack(values)
    for place in called:
        both = ~np.isnan(values[:, place] + sums)
        if both.any() and (np.abs(values[:, place] - sums)[both] <= slack[both]).all():
            apart = [names[other] for other in called if other != place]
            listed = ", ".join(apart)
            return [point for point in points if point.entity not in apart], [
                Flag(
                    "total",
                    "",
                    message("flags.total.called_total_beside_sum", listed=listed, names=names[place]),
                )
            ]
    return points, []


def _parts(names: list[str], values: Floats, column: int) -> list[int]:
    """Return the columns that an entity may be the sum of: all others, or all but the rest where it is the sum of these."""
    others = [place for place in range(len(names)) if place != column]
    named = [place for place in others if names[place] != OTHER]
    whole, sums = values[:, column], values[:, named].sum(1)
    both = ~np.isnan(whole + sums)
    same = len(named) > 1 and both.any() and (np.abs(whole - sums)[both] <= 1e-9 * np.abs(whole[both])).all()
    return named if same else others


def _is_sum(names: list[str], values: Floats, column: int, unit: str) -> bool:
    """Return whether an entity that is not called a total is one: the sum of the others in all periods that hold all of them.

    A sum to which one of the others gives all but a trace says only that two are alike. So each period speaks in which two or more
    give a part that is seen; of amounts three that differ are asked for, since two of a kind come about by chance.
    """
    others = _parts(names, values, column)
    if names[column] == OTHER or len(others) < 2:
        return False
    complete = ~np.isnan(values[:, [column, *others]]).any(1)
    whole, parts = values[complete, column], values[complete][:, others]
    scale, slack = scale_of(unit), _slack(values)[complete]
    # Counts are exact: what rounding may do to published shares would call 3 the sum of 1 and 1.
    tight = slack if scale is not None else np.minimum(slack, 0.005 * whole)
    if not whole.size or not (np.abs(whole - parts.sum(1)) <= tight).all():
        return False
    if scale is not None:  # half of a market may be the sum of the rest by chance; more than the whole may not
        return bool(((parts > 0).any(0)).sum() >= 2 and (whole > 0.51 * scale).all())
    seen = np.sort(parts, axis=1)[:, -2] > np.maximum(2 * tight, 0.01 * whole)
    return len({tuple(row) for row in parts[seen]}) >= 3


def _perhaps(name: str, parts: Floats, periods: int) -> list[Flag]:
    """Return what is told of an entity that is the sum of the others too few times to be called a total."""
    if len({tuple(row) for row in parts}) < 2 or not (np.sort(parts, axis=1)[:, -2] > 0.01 * parts.sum(1)).all():
        return []
    return [
        Flag(
            "total",
            "",
            message("flags.total.equals_sum_others_all", name=name, periods=periods),
        )
    ]


def _table(points: Sequence[Point]) -> tuple[list[str], list[str], Floats]:
    times = sorted({point.time for point in points})
    names = list(dict.fromkeys(point.entity for point in points))
    rows, columns = {time: at for at, time in enumerate(times)}, {name: at for at, name in enumerate(names)}
    values = np.full((len(times), len(names)), np.nan)
    for point in points:
        if point.value is not None:
            values[rows[point.time], columns[point.entity]] = point.value
    return times, names, values


def _slack(values: Floats) -> Floats:
    """Return by how much a sum of rounded values may be off, (times,)."""
    step = resolution_of(values)
    terms = (~np.isnan(values)).sum(1) + 1
    return np.asarray(np.maximum(terms * step / 2, 1e-9 * np.nansum(np.abs(values), axis=1)) + 1e-12)


def resolution_of(values: Floats) -> float:
    """Return the smallest step in which values are told: 0.01 for two decimals; 0 where there is none of six or fewer."""
    known = values[~np.isnan(values)]
    near = 1e-9 * min(1.0, float(np.abs(known).max(initial=0.0)))
    for decimals in range(7):
        if np.allclose(known, np.round(known, decimals), rtol=0, atol=near):
            return float(10.0**-decimals)
    return 0.0
