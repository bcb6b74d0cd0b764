"""The whole analysis in one call each: what the command line, the main job and the report share.

people = study_users(open_log("purchases.csv", LogSettings(user="customer")), "week")
market = study_market(read_series("chatbots.csv"), MarketSettings())
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from noria.core.errors import InputError
from noria.core.figure import Figure

from .bundled import cdnow
from .forecast.attraction import ShareForecast
from .forecast.backtest import Backtest, backtest
from .forecast.blend import forecast_shares
from .forecast.entry import with_newcomers
from .lake import events
from .log import Log, log_of_events, read_log
from .market.share import Shares, shares
from .series import Series
from .settings import LogSettings, MarketSettings
from .users.activity import Growth, Period, growth, stickiness
from .users.holdout import HoldOut, hold_out
from .users.retention import Retention, retention


@dataclass(frozen=True)
class UserStudy:
    """All that is known of a log's users."""

    log: Log
    growths: tuple[Growth, ...]
    """By the period asked for, then by the next longer one."""
    retention: Retention
    stickiness: tuple[Figure, ...]
    holdout: HoldOut | None
    """None where the log is too short or too thin; `silence` says why."""
    silence: str = ""


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


def open_log(where: str | Path | None, settings: LogSettings | None = None) -> Log:
    """Return the log at `where`: a lake's folder, a CSV or Parquet file, or, where nothing is named, the bundled CDNOW log.

    Raises:
        InputError: there is nothing to read there.
    """
    settings = settings or LogSettings()
    if where is None:
        return cdnow()
    if Path(where).is_dir():
        segment = "app" if settings.segment == "segment" else settings.segment
        return log_of_events(events(where), segment=segment)
    columns = settings.model_dump(exclude={"period"})
    return read_log(where, **columns)


def study_users(log: Log, unit: Period = "week", *, seed: int = 0) -> UserStudy:
    """Return growth, retention, stickiness and, where the log carries it, the lifetime model on a held-out half."""
    longer: Period = "month" if unit != "month" else "week"
    growths = (growth(log, unit), growth(log, longer))
    days = (log.as_of - log.first).days + 1
    weeks = days // 14
    result, silence = None, ""
    try:
        if weeks < 8:
            raise InputError("too short to hold half of it out", found=f"{days} days", allowed="112 or more")
        result = hold_out(log, log.as_of - timedelta(weeks=weeks), weeks, seed=seed)
    except InputError as error:
        silence = str(error)
    return UserStudy(
        log, growths, retention(log, longer if unit == "day" else unit), tuple(stickiness(log)), result, silence
    )


def study_market(series: Series, settings: MarketSettings | None = None, *, newcomers: bool = False) -> MarketStudy:
    """Return shares, and, where the series carries them, the back-test and the forecast of the model that it proves.

    Raises:
        InputError: the series holds several measures or segments and none was named.
    """
    settings = settings or MarketSettings()
    market = shares(series, settings.measure, settings.market)
    try:
        test = backtest(market, horizon=settings.holdout, seed=settings.seed)
    except InputError as error:
        test, silence = None, str(error)
    name = settings.model if settings.model != "best" else test.winner if test else "persistence"
    try:
        weights = test.weights if test else None
        ahead = forecast_shares(
            market, name, settings.horizon, draws=settings.draws, seed=settings.seed, weights=weights
        )
        ahead = with_newcomers(ahead, market, seed=settings.seed) if newcomers else ahead
    except InputError as error:
        return MarketStudy(market, None, test, name, str(error))
    return MarketStudy(market, ahead, test, name, "" if test else silence)
