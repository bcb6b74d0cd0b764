"""A market's series made ready to be divided: one rest, no total among the parts, a unit that says what one whole is.

    market = tidied(read_series("market.csv"))
    market.flags          # what was taken for a total, which rests are one, what a unit was read as, and why

Of each measure and segment: labels such as Others and 其他 are one rest. A total is the sum of the others in every period, or is named
so and is never below them; it is left out, and of amounts what it holds beyond the others is the rest. Where shares that are known
already make up the whole, nothing is left for those that are missing: they are zero.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..cells import Flag
from ..series import Floats, Point, Series
from ..spellings import plain
from ..units import called_share, read_scale, scale_of

OTHER = "Other"
_OTHERS = {"other", "others", "rest", "the rest", "all other", "all others", "others total", "remaining", "remainder", "residual", "misc",
           "miscellaneous", "other brands", "other sellers", "other companies", "other players", "rest of market", "其他", "其它", "其余",
           "其馀", "剩余", "余下", "其他品牌", "其它品牌", "其他厂商", "其它厂商", "其他合计", "其它合计"}  # fmt: skip
_TOTALS = ("total", "totals", "sum", "overall", "all", "grand total", "whole market", "market total", "total market", "industry total",
           "industry", "market", "everyone", "合计", "总计", "共计", "总和", "总数", "总体", "总量", "全部", "整体", "全体", "全市场", "市场合计",
           "市场总计", "行业合计", "行业总计", "总市场", "市场", "行业", "合 计", "总 计", "小计", "subtotal", "sub total", "合計", "總計", "總和", "全部合计")  # fmt: skip


def is_rest(name: str) -> bool:
    """Return whether a label stands for all that are not named."""
    bare = _bare(re.sub(r"[(（\[【].*", "", name) or name)
    return bare in _OTHERS or bare.replace(" ", "") in _OTHERS


def is_total(name: str) -> bool:
    """Return whether a label is called a total."""
    bare = _bare(name)
    return (
        bare in _TOTALS
        or bare.startswith(("total ", "sum of ", "all of the market"))
        or bare.endswith((" total", "合计", "总计"))
    )


def tidied(series: Series, *, bound: bool = True) -> Series:
    """Return the series with one rest, without totals, and with a unit that says what one whole is; `flags` say what was done.

    Without `bound`, what is missing stays so where nothing is left for it: zeros that were not published would hide from whoever
    looks for an entity's first and last published value where these are.

    Raises:
        InputError: shares that sum to one under a unit of percent.
    """
    points: list[Point] = []
    flags = list(series.flags)
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in series.points:
        groups.setdefault((point.measure, point.segment), []).append(point)
    for group in groups.values():
        kept, found = _tidied(group, bound)
        points += kept
        flags += [flag for flag in found if flag not in flags]
    return replace(series, points=tuple(sorted(points, key=lambda point: point.time)), flags=tuple(flags))


def _tidied(points: list[Point], bound: bool) -> tuple[list[Point], list[Flag]]:
    points, flags = _one_rest(points)
    points, more = _without_total(points, bound)
    flags += more
    _, _, values = _table(points)
    one, read = read_scale(points[0].unit, values, np.nansum(values, axis=1))
    if read:
        unit = points[0].unit
        flags.append(Flag("unit", "", f"unit {unit!r} does not say what one whole is; values above one are read as percent",
                          f"单位“{unit}”未说明整体为多少；数值大于一，按百分比读取"))  # fmt: skip
        points = [replace(point, unit=read) for point in points]
    elif one is None and called_share(points[0].measure):
        unit, measure = points[0].unit, points[0].measure
        flags.append(Flag("unit", "", f"{measure!r} is called a share, but unit {unit!r} is an amount: each was divided by the sum of its time; "
                          "say percent or share where the values are shares already",
                          f"“{measure}”名为份额，而单位“{unit}”为数量：已除以当期合计；若数值本身就是份额，请把单位写作 percent 或 share"))  # fmt: skip
    if one is not None and bound:
        one = 100.0 if read else one
        points, more = _bounded(points, dict.fromkeys([point.time for point in points], one))
        flags += more
    return points, flags


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
            point, entity=OTHER, value=value, provisional=point.provisional or bool(before and before.provisional),
            broken=point.broken or bool(before and before.broken),
        )  # fmt: skip
    kept = [point for point in points if not is_rest(point.entity)]
    flags = []
    if len(names) > 1:
        listed = ", ".join(names)
        flags.append(Flag("others", "", f"{listed} are all the rest, and were added up as {OTHER}", f"{listed} 均指其余，已合并为“其他”"))  # fmt: skip
    return sorted([*kept, *sums.values()], key=lambda point: point.time), flags


def _without_total(points: list[Point], bound: bool) -> tuple[list[Point], list[Flag]]:
    times, names, values = _table(points)
    amounts = scale_of(points[0].unit) is None
    flags: list[Flag] = []
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
            flags.append(Flag("total", "", f"{name} is below the sum of the others: it is taken for a seller of its own; leave it out with "
                              f"--without {name!r} where it is none", f"“{name}”低于其余之和：视为一家卖方；若不是，请用 --without 去掉"))  # fmt: skip
            continue
        # Counts are exact: what rounding may do to published shares would call 3 the sum of 1 and 1.
        tight = slack if named or not amounts else np.minimum(slack, 0.005 * np.nan_to_num(whole))
        equal = np.abs(whole - sums) <= tight
        if not (named or (equal[complete].all() and _is_sum(whole[complete], parts[complete], points[0].unit))):
            continue
        kept = [point for point in points if point.entity != name]
        if complete.any() and equal[complete].all():
            told = int(complete.sum())
            flags.append(Flag("total", "", f"{name} is the sum of the others in all {told} periods that hold all of them: a total, and left out",
                              f"“{name}”在各项齐全的 {told} 期中均等于其余之和：为合计，已去掉"))  # fmt: skip
        else:
            flags.append(Flag("total", "", f"{name} is called a total and is above the sum of the others: it is no seller; what it holds beyond "
                              "them is the rest", f"“{name}”名为合计且高于其余之和：不作为卖方，超出部分计入“其他”"))  # fmt: skip
            # Of what is missing the total tells only the sum: it is in the rest where that is what the caller takes it for.
            rows = np.flatnonzero(complete if bound else known)
            beyond = {times[row]: max(float(whole[row] - sums[row]), 0.0) for row in rows}
            return _with_rest(kept, points, name, beyond) if amounts else kept, flags
        if amounts and bound:
            kept, more = _bounded(kept, {times[row]: float(whole[row]) for row in np.flatnonzero(known)})
            flags += more
        return kept, flags
    return points, flags


def _parts(names: list[str], values: Floats, column: int) -> list[int]:
    """Return the columns that an entity may be the sum of: all others, or all but the rest where it is the sum of these."""
    others = [place for place in range(len(names)) if place != column]
    named = [place for place in others if names[place] != OTHER]
    whole, sums = values[:, column], values[:, named].sum(1)
    both = ~np.isnan(whole + sums)
    same = len(named) > 1 and both.any() and (np.abs(whole - sums)[both] <= 1e-9 * np.abs(whole[both])).all()
    return named if same else others


def _is_sum(whole: Floats, parts: Floats, unit: str) -> bool:
    """Return whether an entity that is not called a total is one, being the sum of the others: of two or more, in figures that vary."""
    if not whole.size or ((parts > 0).any(0)).sum() < 2:
        return False
    scale = scale_of(unit)
    if scale is not None:  # half of a market may be the sum of the rest by chance; more than the whole may not
        return bool((whole > 0.51 * scale).all())
    different = len({tuple(row) for row in parts})
    return different >= 3 or (different == 2 and bool((whole >= 100).all()))


def _with_rest(kept: list[Point], points: list[Point], total: str, beyond: dict[str, float]) -> list[Point]:
    """Return the points with what a total holds beyond the others in the rest; where the total is missing, so is the rest."""
    pattern = next(point for point in points if point.entity == total)
    listed = {point.time: point for point in kept if point.entity == OTHER}
    rest = []
    for time in dict.fromkeys(point.time for point in points):
        old, amount = listed.get(time), beyond.get(time)
        if old is not None and amount is not None:
            amount = None if old.value is None else amount + old.value
        rest.append(replace(old or pattern, time=time, entity=OTHER, value=amount, broken=bool(old and old.broken)))
    return sorted([*(point for point in kept if point.entity != OTHER), *rest], key=lambda point: point.time)


def _bounded(points: list[Point], wholes: dict[str, float]) -> tuple[list[Point], list[Flag]]:
    """Return the points with zero for those that are missing at times at which the others already make up the whole."""
    times, names, values = _table(points)
    missing = np.isnan(values)
    slack = _slack(values)
    whole = np.array([wholes.get(time, np.nan) for time in times])
    full = (np.abs(np.nansum(values, axis=1) - whole) <= slack) & missing.any(1) & (~missing).any(1)
    if not full.any():
        return points, []
    there = {(point.time, point.entity): place for place, point in enumerate(points)}
    added, flags, mended = [], [], list(points)
    for column, name in enumerate(names):
        rows = np.flatnonzero(full & missing[:, column])
        if not rows.size:
            continue
        pattern = next(point for point in points if point.entity == name)
        for row in rows:
            place = there.get((times[row], name))
            if place is None:
                added.append(replace(pattern, time=times[row], value=0.0, provisional=False, broken=False))
            else:
                mended[place] = replace(points[place], value=0.0)
        where = times[rows[0]] if rows.size == 1 else f"{times[rows[0]]} to {times[rows[-1]]} ({rows.size})"
        flags.append(Flag("bounded", where, f"{name} is not listed, and the others make up the whole: nothing is left for it, so it is zero",
                          f"{name} 未列出，而其余已合计为一：没有剩余，故为零"))  # fmt: skip
    return sorted([*mended, *added], key=lambda point: point.time), flags


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


def _bare(name: str) -> str:
    """Return a label without brackets, stops and marks around it."""
    return re.sub(r"[\s\-_*.:：()（）\[\]【】“”\"']+", " ", plain(name)).strip()
