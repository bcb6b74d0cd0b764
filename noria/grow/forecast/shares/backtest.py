"""How good share forecasts would have been: rolling origin over all share models, and the bar of persistence.

    result = backtest(market, horizon=3)
    result.winner        # "persistence" unless a model is better by an interval clear of zero
    result.verdict()

The log score is that of the density in log-ratios against the leader of each window, the same for every model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from noria.core.errors import InputError
from noria.core.messages import message
from noria.grow.forecast.scoring.rolling import Ahead, Forecaster, Record, first_origin, mean_change, rolled
from noria.grow.forecast.scoring.scores import crps, energy_score
from noria.grow.forecast.scoring.standings import LEVELS, Backtest, Past, Standing, Trial
from noria.grow.market.share import Shares
from noria.grow.series.series import Floats

from .attraction import MINIMUM
from .baseline import MODELS, ShareModel

__all__ = ["LEVELS", "Backtest", "Standing", "Trial", "backtest", "crps", "energy_score"]


def backtest(
    market: Shares,
    *,
    horizon: int = 3,
    first: int | None = None,
    models: Mapping[str, ShareModel] = MODELS,
    draws: int = 1000,
    seed: int = 0,
) -> Backtest:
    """Return how the models would have done from every origin after the first `first` periods (half of them if not given, or
    fewer where else too few origins would count).

    Raises:
        InputError: too few periods to hold any out.
    """
    periods = len(market.times)
    start = first_origin(periods, MINIMUM + 1, horizon) if first is None else first
    if start >= periods:
        raise InputError(
            message("grow.too_few_periods_hold"), found=periods, allowed=message("grow.more_2", minimum=MINIMUM + 2)
        )
    known = _Known(market)
    floor = (market.resolution or 1e-6) / 2
    parts = np.clip(market.values, floor, 1 - floor)
    record = Record(
        market.times,
        market.values * 100,
        known.comparable,
        known.naive,
        known.columns,
        market.resolution * 100,
        "points",
        Past(market.times, market.entities, np.log(parts / (1 - parts)), market.breaks),
    )
    return rolled(
        record,
        {name: known.forecaster(model, draws) for name, model in models.items()},
        start=start,
        horizon=horizon,
        draws=draws,
        seed=seed,
    )


@dataclass
class _Known:
    """A market as it was known at earlier times."""

    market: Shares
    _windows: dict[int, Shares] = field(default_factory=dict)

    def window(self, seen: int) -> Shares:
        """Return the market of the first `seen` periods."""
        if seen not in self._windows:
            self._windows[seen] = self.market.until(seen)
        return self._windows[seen]

    def columns(self, seen: int) -> list[int]:
        """Return the entities seen so far."""
        known = np.nan_to_num(self.market.values[:seen])
        return [column for column in range(known.shape[1]) if known[:, column].max(initial=0.0) > 0]

    def naive(self, seen: int) -> float:
        """Return the mean absolute change from one known value to the next, in points of share."""
        return mean_change(self.market.values[:seen]) * 100

    def comparable(self, seen: int, row: int) -> bool:
        """Return whether a row is known, follows without a break, and holds no entity that was never seen before."""
        market = self.market
        broken = any(seen <= item[0] <= row for item in market.breaks)
        strangers = [column for column in range(len(market.entities)) if column not in self.columns(seen)]
        return not broken and bool(market.whole[row]) and not market.values[row, strangers].sum() > 0

    def forecaster(self, model: ShareModel, draws: int) -> Forecaster:
        """Return a model as the back-test asks it."""

        def forecast(seen: int, horizon: int, seed: int) -> Ahead:
            fitted = model(self.window(seen))
            ahead = fitted.ahead(horizon, draws=draws, seed=seed)
            columns = list(fitted.present)

            def density(step: int, row: int) -> float:
                floor = (self.market.resolution or 1e-6) / 2
                parts = np.maximum(self.market.values[row, columns], floor)
                ratios: Floats = np.log(parts[1:] / parts[0])
                return fitted.log_density(ratios, step)

            return Ahead(ahead.draws * 100, density)

        return forecast
