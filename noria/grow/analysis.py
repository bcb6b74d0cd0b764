"""The whole analysis in one call each: what the command line, the main job and the report share.

people = study_users(open_log("purchases.csv", LogSettings(user="customer")), "week")
market = study_market(read_series("chatbots.csv"), MarketSettings())
"""

from __future__ import annotations

from dataclasses import dataclass

from noria.core.errors import InputError
from noria.core.messages import message
from noria.core.progress import stage

from .forecast.shares.attraction import ShareForecast
from .forecast.shares.backtest import Backtest, backtest
from .forecast.shares.baseline import forecast_shares
from .forecast.shares.entry import with_newcomers
from .market.share import Shares, Unlisted, shares
from .series.series import Series
from .settings import MarketSettings
from .users.study import UserStudy, open_log, study_users

__all__ = ["MarketStudy", "UserStudy", "open_log", "study_market", "study_users"]


@dataclass(frozen=True)
class MarketStudy:
    """All that is known of a market."""

    market: Shares
    forecast: ShareForecast | None
    backtest: Backtest | None
    model: str
    """The model that made the forecast."""
    silence: str = ""
    """Why there is no forecast, where there is none."""


@stage(message("progress.market"))
def study_market(
    series: Series, settings: MarketSettings | None = None, *, newcomers: bool = False, unlisted: Unlisted = "auto"
) -> MarketStudy:
    """Return shares, and, where the series carries them, the back-test and the forecast of the model that it proves.

    `unlisted` as `shares` has it.

    Raises:
        InputError: the series holds several measures or segments and none was named.
    """
    settings = settings or MarketSettings()
    market = shares(series, settings.measure, settings.market, unlisted=unlisted)
    try:
        test = backtest(market, horizon=settings.holdout, seed=settings.seed)
    except InputError as error:
        test, silence = None, error.as_message()
    name = settings.model if settings.model != "best" else test.winner if test else "persistence"
    try:
        weights = test.weights if test else None
        ahead = forecast_shares(
            market, name, settings.horizon, draws=settings.draws, seed=settings.seed, weights=weights
        )
        ahead = with_newcomers(ahead, market, seed=settings.seed) if newcomers else ahead
    except InputError as error:
        return MarketStudy(market, None, test, name, error.as_message())
    return MarketStudy(market, ahead, test, name, "" if test else silence)
