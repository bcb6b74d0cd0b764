"""One market on several bases side by side: shares of revenue, tokens, users and requests, each kept to itself.

sides = bases(series)
sides.markets["revenue"].latest()
sides.premiums("revenue", "users")     # revenue a user, beside the market's: share of revenue over share of users
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from noria.core.errors import InputError, unknown
from noria.core.figure import Figure
from noria.grow.series.series import Series

from .chosen import over_segments
from .labels import OTHER
from .share import Shares, Unlisted, shares


@dataclass(frozen=True)
class Bases:
    """Shares of the same entities, one market for each measure."""

    markets: dict[str, Shares]
    silence: dict[str, str]
    """Measures that gave no shares, and why."""

    def premiums(self, over: str, under: str) -> list[Figure]:
        """Return, at the latest time that both know whole, each entity's share of one base over its share of the other.

        Above one, the entity earns or is used more for each of the other base's units than the market is as a whole. The
        ends are what rounding in the sources leaves open; n counts the entities compared.

        Raises:
            SettingError: no such base.
            InputError: there is no time at which both are known, or one of them overlaps.
        """
        for name in (over, under):
            if name not in self.markets:
                raise unknown("base", name, self.markets)
        one, two = self.markets[over], self.markets[under]
        common = [
            time
            for time in one.times
            if time in two.times and one.whole[one.times.index(time)] and two.whole[two.times.index(time)]
        ]
        if not common:
            raise InputError(
                f"{over} and {under} are known whole at no common time", found=f"{one.times[-1]}, {two.times[-1]}"
            )
        time = common[-1]
        top, bottom = one.values[one.times.index(time)], two.values[two.times.index(time)]
        names = [name for name in one.entities if name in two.entities and name != OTHER]
        figures = []
        for name in names:
            a, b = float(top[one.entities.index(name)]), float(bottom[two.entities.index(name)])
            if b > 0:
                low = max(a - one.resolution / 2, 0.0) / (b + two.resolution / 2)
                high = (a + one.resolution / 2) / (b - two.resolution / 2) if b > two.resolution / 2 else float(np.inf)
                figures.append(
                    Figure(
                        f"{name}: {over} share over {under} share, {time}",
                        a / b,
                        len(names),
                        low,
                        high if np.isfinite(high) else None,
                        source=one.provenance.text(),
                        level=1.0,
                    )
                )
        return figures


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
