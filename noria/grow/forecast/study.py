"""A whole forecast in one call: levels or users, their growth curves, the back-test, and what it lets through.

study = study_levels(levels_of(read_series("users.csv"), "level"), horizon=6)
study.model, study.outlook.interval(0.9), study.backtest.verdict()
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from noria.core.errors import InputError
from noria.core.messages import message, term
from noria.core.progress import stage, steps
from noria.grow.log.log import Log
from noria.grow.users.periods import Period, number_of, series_time
from noria.grow.users.retention import retention

from .levels.adoption import Adoption, estimator_for, fit_compared
from .levels.cohorts import active_of, cohort_model, triangle_of
from .levels.curves import CURVES
from .levels.diffusion import Estimator
from .levels.levels import LevelModel, Levels, backtest_levels, forecast_levels, level_models, times_ahead
from .levels.outlook import Outlook
from .names import BASELINE
from .scoring.standings import Backtest


@dataclass(frozen=True)
class LevelStudy:
    """All that is known of one series of amounts."""

    history: Levels
    source: str
    adoptions: dict[str, Adoption]
    """Growth curve -> fit; those that could not be fitted are left out."""
    backtest: Backtest | None
    outlook: Outlook | None
    model: str
    times: tuple[str, ...]
    """Of the outlook."""
    silence: str = ""
    """Why there is no back-test or no outlook."""
    licence: str = ""
    as_of: str = ""


def study_levels(
    history: Levels,
    *,
    horizon: int = 6,
    holdout: int = 3,
    model: str = "best",
    draws: int = 2000,
    seed: int = 0,
    extra: Mapping[str, LevelModel] | None = None,
    source: str = "",
    licence: str = "",
    as_of: str = "",
    estimator: Estimator = "likelihood",
) -> LevelStudy:
    """Return curves, back-test and forecast of a series of amounts.

    Args:
        history: the series.
        horizon: periods to forecast.
        holdout: periods ahead that the back-test scores.
        model: which forecasts; "best" is what the back-test lets win, and persistence where it proves nothing.
        draws: of the forecast.
        seed: of the draws.
        extra: further models by name, such as cohorts.
        source: where the series came from; its own provenance if not given.
        licence: of the source.
        as_of: the day that the source stood so.
        estimator: of the growth curves, shown and forecast.
    """
    models = {**level_models(estimator), **(extra or {})}
    if history.provenance and not source:
        source, licence = history.provenance.source, history.provenance.licence
        as_of = history.provenance.as_of.isoformat()
    adoptions, silence = {}, ""
    for curve in steps(tuple(CURVES), message("progress.curves")):
        try:
            one = estimator_for(curve, estimator)
            adoptions[curve] = fit_compared(history.values, curve, kind=history.kind, estimator=one, source=source)
        except InputError as error:
            silence = error.as_message()
    try:
        test = backtest_levels(history, horizon=holdout, models=models, seed=seed)
    except InputError as error:
        test, silence = None, error.as_message()
    name = model if model != "best" else test.winner if test else BASELINE
    times = tuple(times_ahead(history, horizon))
    try:
        outlook = forecast_levels(
            history, name, horizon, draws=draws, seed=seed, weights=test.weights if test else None, models=models
        )
    except InputError as error:
        return LevelStudy(history, source, adoptions, test, None, name, times, error.as_message(), licence, as_of)
    return LevelStudy(history, source, adoptions, test, outlook, name, times, "" if test else silence, licence, as_of)


def period_for(log: Log) -> Period:
    """Return the longest period of which a log covers enough to hold some out."""
    days = (log.as_of - log.first).days + 1
    return "month" if days >= 9 * 31 else "week" if days >= 9 * 7 else "day"


@stage(message("progress.ahead"))
def study_users_ahead(
    log: Log,
    unit: Period,
    *,
    horizon: int = 6,
    holdout: int = 3,
    model: str = "best",
    draws: int = 2000,
    seed: int = 0,
    estimator: Estimator = "likelihood",
) -> LevelStudy:
    """Return the forecast of a log's active users: by cohorts, growth curves, persistence and drift, back-tested alike.

    Only periods that the log covers to their end are read.

    Raises:
        InputError: the log covers less than one whole period.
    """
    kept = retention(log, unit)
    triangle = triangle_of(kept)
    if not len(triangle):
        raise InputError(
            message("grow.log_covers", unit=unit),
            found=message("grow.to", first=log.first, as_of=log.as_of),
            hint=message("grow.use_shorter"),
        )
    numbers = (number_of(date.fromisoformat(first), unit, log.calendar) for first in kept.counts)
    history = Levels(
        tuple(series_time(number, unit, log.calendar) for number in numbers),
        active_of(triangle),
        "level",
        term("active users"),
        "users",
    )
    return study_levels(
        history,
        horizon=horizon,
        holdout=holdout,
        model=model,
        draws=draws,
        seed=seed,
        extra={"cohorts": cohort_model(triangle)},
        source=log.source,
        licence=log.licence,
        as_of=log.as_of.isoformat(),
        estimator=estimator,
    )
