"""The models of shares: those that every other must beat (shares stay, shares go on as they went), and those that try.

    MODELS["drift"](market).ahead(6)

Every one gives draws that sum to one, and its log density in the same log-ratios.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import numpy as np

from noria.core.errors import SettingError
from noria.core.messages import message
from noria.grow.forecast.names import BASELINE, NAMES
from noria.grow.forecast.scoring.scores import BLEND, alike, counts_of
from noria.grow.market.share import Shares
from noria.grow.series.series import Floats

from .attraction import ATTRACTION, DRIFT, ShareForecast, fit
from .persistence import LastShares, stay
from .rivalry import fit_rivalry
from .structural import fit_structural

__all__ = ["BASELINE", "MODELS", "NAMES", "FittedShares", "ShareModel"]


class FittedShares(Protocol):
    """A fitted model of shares."""

    @property
    def present(self) -> tuple[int, ...]:
        """Columns of the market that take part, the base of the log-ratios first."""

    def ahead(self, horizon: int, *, draws: int = 2000, seed: int = 0) -> ShareForecast:
        """Return draws of the next `horizon` periods."""

    def log_density(self, ratios: Floats, horizon: int) -> float:
        """Return the log density of log-ratios that came `horizon` periods after the last known one."""


ShareModel = Callable[[Shares], FittedShares]

MODELS: Mapping[str, ShareModel] = {
    "persistence": stay,
    "last-value": LastShares,
    "drift": partial(fit, patterns=DRIFT),
    "attraction": partial(fit, patterns=ATTRACTION),
    "structural": fit_structural,
    "rivalry": fit_rivalry,
}
"""Name -> model."""


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
            raise SettingError(message("grow.unknown_model"), found=model, allowed=[*MODELS, BLEND])
        return MODELS[model](market).ahead(horizon, draws=draws, seed=seed)
    taking = weights or alike(MODELS)
    counts = counts_of(np.array(list(taking.values())), draws)
    many = [
        MODELS[name](market).ahead(horizon, draws=count, seed=seed)
        for name, count in zip(taking, counts, strict=True)
        if count
    ]
    together = np.concatenate([one.draws for one in many])
    np.random.default_rng(seed).shuffle(together)
    return ShareForecast(many[0].times, many[0].entities, together, many[0].source)
