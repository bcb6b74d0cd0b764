"""One market on several bases side by side, each kept to itself; and a series cut or summed before it is asked.

sides = bases(series)
sides.markets["revenue"].latest()
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from noria.core.errors import InputError, unknown
from noria.core.messages import message
from noria.grow.series.series import Point, Series
from noria.grow.series.units import scale_of

from .share import Shares, Unlisted, shares
from .tidy import without_whole_segments


@dataclass(frozen=True)
class Bases:
    """Shares of the same entities, one market for each measure."""

    markets: dict[str, Shares]
    silence: dict[str, str]
    """Measures that gave no shares, and why."""


def bases(series: Series, segment: str | None = None, *, unlisted: Unlisted = "missing") -> Bases:
    """Return the shares of a market on every base that its series carries; amounts over all segments where none is named.

    Raises:
        InputError: no measure of the series gives shares.
    """
    markets: dict[str, Shares] = {}
    silence: dict[str, str] = {}
    for measure in series.measures:
        try:
            chosen = series if segment else over_segments(series, measure)
            markets[measure] = shares(chosen, measure, segment, unlisted=unlisted)
        except InputError as error:
            silence[measure] = str(error)
    if not markets:
        raise InputError(message("grow.measure_gives"), found="; ".join(silence.values()))
    return Bases(markets, silence)


def by_segment(series: Series, measure: str | None = None, *, unlisted: Unlisted = "missing") -> dict[str, Shares]:
    """Return the shares within every segment of a series: industries, countries, languages ...

    Raises:
        InputError: several measures and none was named.
    """
    chosen = measure or (series.measures[0] if len(series.measures) == 1 else None)
    if chosen is None:
        raise InputError(
            message("grow.series_several_measures"),
            found=", ".join(series.measures),
            allowed=message("grow.one_them"),
            hint=message("grow.name_one_2"),
        )
    names = dict.fromkeys(point.segment for point in series.points if point.measure == chosen)
    return {name: shares(series, chosen, name, unlisted=unlisted) for name in names}


def without(series: Series, names: Iterable[str]) -> Series:
    """Return the series without some entities: labels that lie inside others, for instance.

    Raises:
        SettingError: no such entity.
        InputError: nothing would be left.
    """
    names = tuple(names)
    known = dict.fromkeys(point.entity for point in series.points)
    for name in names:
        if name not in known:
            raise unknown("entity", name, known)
    kept = tuple(point for point in series.points if point.entity not in names)
    if not kept:
        raise InputError(message("grow.entity_would"), found=", ".join(names))
    return replace(series, points=kept)


def over_segments(series: Series, measure: str | None) -> Series:
    """Return a series of amounts summed over its segments; one of shares, or of one segment, as it is."""
    series = without_whole_segments(series)
    points = [point for point in series.points if measure in (None, point.measure)]
    measures = {point.measure for point in points}
    if len(measures) != 1 or len({point.segment for point in points}) == 1 or scale_of(points[0].unit):
        return series
    return summed(series, measures.pop())


def summed(series: Series, measure: str) -> Series:
    """Return the amounts of one measure over all segments; a sum with a missing part is missing.

    Only amounts may be summed: shares of segments may not, as nothing here can tell the segments' sizes.

    Raises:
        SettingError: no such measure.
    """
    if measure not in series.measures:
        raise unknown("measure", measure, series.measures)
    chosen = [point for point in series.points if point.measure == measure]
    segments = len({point.segment for point in chosen})
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in chosen:
        groups.setdefault((point.time, point.entity), []).append(point)

    def total(group: list[Point]) -> float | None:
        if len(group) < segments or any(point.value is None for point in group):
            return None
        return sum(point.value or 0.0 for point in group)

    points = tuple(
        Point(
            time,
            entity,
            "",
            measure,
            total(group),
            group[0].unit,
            any(point.provisional for point in group),
            any(point.broken for point in group),
        )
        for (time, entity), group in groups.items()
    )
    return replace(series, points=points)
