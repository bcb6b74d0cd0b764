"""A rival that is not there yet: how often one has entered, how it grew, and a forecast that leaves room for it.

    seen = entries(market)
    wider = with_newcomers(forecast, market, seed=0)      # one more entity; every draw still sums to one

Entries are counted over the periods seen, first ones apart, and come at that pace (Gamma posterior with Jeffreys' prior).
A newcomer takes the path of shares of one that entered before, drawn at random and a little more or less of it; the
others give way in proportion. Where none has entered yet, no path is known: then only the pace's bound is told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import gamma

from noria.core.figure import Figure
from noria.grow.market.flags import entered
from noria.grow.market.labels import OTHER
from noria.grow.market.share import Shares
from noria.grow.series.series import Floats

from .attraction import ShareForecast

NEWCOMER = "New rival"
_VARIATION = 0.5
"""Standard deviation, in logarithms, of a newcomer's size about that of its forerunner."""


@dataclass(frozen=True)
class Entries:
    """Entries seen in a market."""

    periods: int
    """Periods in which one could have been seen."""
    paths: tuple[Floats, ...]
    """Shares of each that entered, from its first period on."""
    source: str

    def pace(self, level: float = 0.9) -> Figure:
        """Return entries a period, with the interval of the Gamma posterior."""
        count = len(self.paths)
        low, high = gamma.ppf([(1 - level) / 2, (1 + level) / 2], count + 0.5) / self.periods
        return Figure(
            "entries a period",
            count / self.periods,
            self.periods,
            float(low) if count else 0.0,
            float(high),
            source=self.source,
            level=level,
        )


def entries(market: Shares) -> Entries:
    """Return who entered: what a source began to track (a break), or what a gap hides, is no entry."""
    cells, whole, paths = market.cells, np.flatnonzero(market.whole), []
    for column, name in enumerate(market.entities):
        came = entered(cells.sure[:, column], np.where(cells.known, cells.parts, 0.0)[:, column])
        if name == OTHER or came is None or any(item == (came[1], column) for item in market.breaks):
            continue
        path = market.values[came[1] :, column]
        paths.append(path[~np.isnan(path)])
    paths = [path for path in paths if path.size]
    return Entries(max(int(whole.size) - 1, 1), tuple(paths), market.provenance.text())


def with_newcomers(forecast: ShareForecast, market: Shares, *, seed: int = 0) -> ShareForecast:
    """Return the forecast with one more entity, all rivals that may yet enter, and the others scaled to make room."""
    seen = entries(market)
    draws, horizon, _ = forecast.draws.shape
    taken = np.zeros((draws, horizon))
    if seen.paths:
        random = np.random.default_rng(seed)
        pace = random.gamma(len(seen.paths) + 0.5, 1 / seen.periods, draws)
        for step in range(horizon):
            for draw in np.flatnonzero(random.random(draws) < 1 - np.exp(-pace)):
                path = seen.paths[random.integers(len(seen.paths))] * np.exp(_VARIATION * random.standard_normal())
                span = horizon - step
                # A forerunner that is younger than the forecast is long stays where it was last seen.
                taken[draw, step:] += np.pad(path[:span], (0, max(span - len(path), 0)), mode="edge")
    taken = taken / (1 + np.maximum(taken - 0.5, 0.0) * 2)  # many newcomers at once still leave the others something
    taken = np.minimum(taken, 0.95)[..., None]
    full = np.concatenate([forecast.draws * (1 - taken), taken], -1)
    return ShareForecast(forecast.times, (*forecast.entities, NEWCOMER), full, forecast.source)
