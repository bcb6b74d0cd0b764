"""A share forecast by name: one model's, or the blend of all by the weights that the back-test learned.

forecast_shares(market, "blend", 6, weights=backtest(market).weights)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from noria.core.errors import SettingError
from noria.grow.forecast.scoring.scores import BLEND, counts_of
from noria.grow.market.share import Shares

from .attraction import ShareForecast
from .baseline import MODELS


def forecast_shares(
    market: Shares,
    model: str,
    horizon: int,
    *,
    draws: int = 2000,
    seed: int = 0,
    weights: Mapping[str, float] | None = None,
) -> ShareForecast:
    """Return what one model of shares expects, or the blend; without weights, all models count alike in it.

    Raises:
        SettingError: no such model.
        InputError: the market cannot be forecast.
    """
    if model != BLEND:
        if model not in MODELS:
            raise SettingError("unknown model of shares", found=model, allowed=[*MODELS, BLEND])
        return MODELS[model](market).ahead(horizon, draws=draws, seed=seed)
    taking = weights or dict.fromkeys(MODELS, 1 / len(MODELS))
    counts = counts_of(np.array(list(taking.values())), draws)
    many = [
        MODELS[name](market).ahead(horizon, draws=count, seed=seed)
        for name, count in zip(taking, counts, strict=True)
        if count
    ]
    together = np.concatenate([one.draws for one in many])
    np.random.default_rng(seed).shuffle(together)
    return ShareForecast(many[0].times, many[0].entities, together, many[0].source)
