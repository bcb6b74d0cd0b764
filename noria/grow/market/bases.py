"""One market on several bases side by side: shares of revenue, tokens, users and requests, each kept to itself.

sides = bases(series)
sides.markets["revenue"].latest()
"""

from __future__ import annotations

from dataclasses import dataclass

from noria.core.errors import InputError
from noria.grow.series.series import Series

from .chosen import over_segments
from .share import Shares, Unlisted, shares


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
        raise InputError("no measure gives shares", found="; ".join(silence.values()))
    return Bases(markets, silence)


def by_segment(series: Series, measure: str | None = None, *, unlisted: Unlisted = "missing") -> dict[str, Shares]:
    """Return the shares within every segment of a series: industries, countries, languages ...

    Raises:
        InputError: several measures and none was named.
    """
    chosen = measure or (series.measures[0] if len(series.measures) == 1 else None)
    if chosen is None:
        raise InputError(
            "the series has several measures, which must not be mixed",
            found=", ".join(series.measures),
            allowed="one of them",
            hint="name one",
        )
    names = dict.fromkeys(point.segment for point in series.points if point.measure == chosen)
    return {name: shares(series, chosen, name, unlisted=unlisted) for name in names}
