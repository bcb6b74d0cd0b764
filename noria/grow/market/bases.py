"""One market on several bases or in several segments side by side, each kept to itself; and a series without some names.

sides = bases(series)
sides.markets["revenue"].latest()
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from noria.core.errors import InputError, unknown
from noria.core.messages import message
from noria.grow.series.series import Series

from .share import Shares, Unlisted, shares, whole_market


@dataclass(frozen=True)
class Bases:
    """Shares of the same entities, one market for each measure."""

    markets: dict[str, Shares]
    silence: dict[str, str]
    """Measures that gave no shares, and why."""


def bases(series: Series, segment: str | None = None, *, unlisted: Unlisted = "auto") -> Bases:
    """Return the shares of a market on every base that its series carries; amounts over all segments where none is named.

    Raises:
        InputError: no measure of the series gives shares.
    """
    markets: dict[str, Shares] = {}
    silence: dict[str, str] = {}
    for measure in series.measures:
        try:
            markets[measure] = (
                shares(series, measure, segment, unlisted=unlisted)
                if segment
                else whole_market(series, measure, unlisted=unlisted)
            )
        except InputError as error:
            silence[measure] = error.as_message()
    if not markets:
        raise InputError(message("grow.measure_gives"), found="; ".join(silence.values()))
    return Bases(markets, silence)


def by_segment(series: Series, measure: str | None = None, *, unlisted: Unlisted = "auto") -> dict[str, Shares]:
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
