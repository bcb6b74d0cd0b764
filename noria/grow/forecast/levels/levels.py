"""Levels above zero, users or sales, to come: persistence, drift and growth curves, back-tested and weighed.

    history = Levels(("2025-01", ...), values, "flow")
    test = backtest_levels(history, horizon=3)
    forecast_levels(history, test.winner, horizon=6).interval(0.9)

Persistence and drift are random walks of the logarithm, so nothing falls below zero (of the values themselves where some are
zero); growth curves saturate by construction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from noria.core.errors import InputError
from noria.core.messages import message
from noria.grow.forecast.last_value import last_value
from noria.grow.forecast.scoring.rolling import Ahead, Forecaster, Record, first_origin, mean_change, rolled
from noria.grow.forecast.scoring.scores import BLEND, alike, counts_of
from noria.grow.forecast.scoring.standings import Backtest, Past
from noria.grow.series.calendars import between, following
from noria.grow.series.series import Floats, Provenance, Series
from noria.grow.series.units import scale_of

from .adoption import fit_one
from .curves import BASS, CURVES
from .diffusion import FORECAST, LEAST_SQUARES, Estimator, Kind
from .outlook import Outlook, mixed, natural
from .walk import random_walk as walked

MINIMUM = 6
"""Values below which nothing is held out."""


@dataclass(frozen=True)
class Levels:
    """One series of amounts in even steps."""

    times: tuple[str, ...]
    values: Floats
    """(T,), nan where missing; none below zero."""
    kind: Kind
    """What came in each period (flow), or what there was at its end (level)."""
    name: str = ""
    unit: str = ""
    provenance: Provenance | None = None

    @property
    def n(self) -> int:
        """How many values are known."""
        return int(np.sum(~np.isnan(self.values)))

    def until(self, seen: int) -> Levels:
        """Return what was known after the first `seen` times."""
        return replace(self, times=self.times[:seen], values=self.values[:seen])


LevelModel = Callable[[Levels, int, int, int], Outlook]
"""History, horizon, draws and seed -> what may come."""


def levels_of(
    series: Series, kind: Kind, measure: str | None = None, segment: str | None = None, entity: str | None = None
) -> Levels:
    """Return one entity's amounts; where none is named, the only one.

    Raises:
        InputError: several entities and none named, none of that name, or shares instead of amounts.
    """
    chosen = series.only(measure, segment)
    if scale_of(chosen.unit):
        raise InputError(
            message("grow.growth_curve"),
            found=message("grow.unit", unit=chosen.unit),
            hint=message("grow.forecast_shares_shares"),
        )
    names = list(dict.fromkeys(point.entity for point in chosen.points))
    if entity is None and len(names) > 1:
        raise InputError(
            message("grow.series_several"),
            found=", ".join(names),
            allowed=message("grow.one_them"),
            hint=message("grow.name_one"),
        )
    if entity is not None and entity not in names:
        raise InputError(message("grow.such_entity"), found=entity, allowed=names)
    mine = {point.time: point.value for point in chosen.points if point.entity == (entity or names[0])}
    known = sorted(mine)
    times = between(known)
    values = np.array([np.nan if mine.get(time) is None else mine[time] for time in times], dtype=np.float64)
    return Levels(tuple(times), values, kind, entity or names[0], chosen.unit, series.provenance)


def random_walk(history: Levels, horizon: int, draws: int, seed: int, *, drifting: bool) -> Outlook:
    """Return a random walk, with the mean pace so far where `drifting`; its noise is that of now, and its median without a pace
    the last value.

    Raises:
        InputError: fewer than four values.
    """
    value, centre, scale, logged = walked(
        history.values, horizon, draws, seed, drifting=drifting, step=_step(history.values)
    )
    if logged:
        return Outlook(natural(value), natural(centre), scale, np.ones(draws))
    return Outlook(np.maximum(value, 0.0), centre, scale, np.zeros(draws))


def grown(
    history: Levels, horizon: int, draws: int, seed: int, *, curve: str, estimator: Estimator = "likelihood"
) -> Outlook:
    """Return what a growth curve expects.

    Raises:
        InputError: too few values for the curve.
    """
    noises = FORECAST[history.kind] if estimator == "likelihood" else LEAST_SQUARES if estimator == "nls" else None
    fitted = fit_one(history.values, curve, kind=history.kind, noises=noises, estimator=estimator)
    return fitted.ahead(horizon, draws=draws, seed=seed)


def stays(history: Levels, horizon: int, draws: int, seed: int) -> Outlook:
    """Return the plain last value with its interval; it gives no density."""
    found = last_value(history.values[:, None], horizon, draws, seed)[..., 0]
    unknown = np.full(found.shape, np.nan)
    return Outlook(found, unknown, unknown, np.zeros(draws))


LEVEL_MODELS: Mapping[str, LevelModel] = {
    "persistence": partial(random_walk, drifting=False),
    "last-value": stays,
    "drift": partial(random_walk, drifting=True),
    "bass": partial(grown, curve="bass"),
    "gompertz": partial(grown, curve="gompertz"),
    "logistic": partial(grown, curve="logistic"),
}
"""Name -> model."""


def level_models(estimator: Estimator) -> Mapping[str, LevelModel]:
    """Return the models, their growth curves by one estimator; where that is for Bass alone, the others keep theirs."""
    curves = CURVES if estimator == "nls" else [BASS.name] if estimator != "likelihood" else []
    return {**LEVEL_MODELS, **{curve: partial(grown, curve=curve, estimator=estimator) for curve in curves}}


def backtest_levels(
    history: Levels,
    *,
    horizon: int = 3,
    first: int | None = None,
    models: Mapping[str, LevelModel] = LEVEL_MODELS,
    draws: int = 1000,
    seed: int = 0,
    scored: Floats | None = None,
) -> Backtest:
    """Return how the models would have done from every origin after the first `first` times (half of them if not given, or fewer
    where else too few origins would count).

    Args:
        history: the series.
        horizon: periods ahead, at most.
        first: values seen before the first origin.
        models: name -> model; one of them is persistence.
        draws: of each forecast.
        seed: of the draws.
        scored: 1 for the times on which a forecast may be scored, (T,); all if not given.

    Raises:
        InputError: too few values to hold any out.
    """
    size = len(history.times)
    start = first_origin(size, MINIMUM, horizon) if first is None else first
    if start >= size or history.n <= MINIMUM:
        raise InputError(
            message("grow.too_few_values_hold"), found=history.n, allowed=message("grow.more_2", minimum=MINIMUM + 1)
        )
    able = ~np.isnan(history.values) if scored is None else ~np.isnan(history.values) & (scored > 0)

    def naive(seen: int) -> float:
        return mean_change(history.values[:seen])

    def forecaster(model: LevelModel) -> Forecaster:
        def forecast(seen: int, ahead: int, mine: int) -> Ahead:
            outlook = model(history.until(seen), ahead, draws, mine)
            return Ahead(
                outlook.draws[..., None], lambda step, row: outlook.log_density(float(history.values[row]), step)
            )

        return forecast

    record = Record(
        history.times,
        history.values[:, None],
        lambda seen, row: bool(able[row]),
        naive,
        lambda seen: [0],
        _step(history.values),
        history.unit,
        Past(history.times, (history.name,), logs_of(history.values[:, None])),
    )
    return rolled(
        record,
        {name: forecaster(model) for name, model in models.items()},
        start=start,
        horizon=horizon,
        draws=draws,
        seed=seed,
    )


def forecast_levels(
    history: Levels,
    model: str,
    horizon: int,
    *,
    draws: int = 2000,
    seed: int = 0,
    weights: Mapping[str, float] | None = None,
    models: Mapping[str, LevelModel] = LEVEL_MODELS,
) -> Outlook:
    """Return what one model, or the blend by the weights given, expects.

    Raises:
        InputError: the model cannot be fitted to so short a series.
    """
    if model != BLEND:
        return models[model](history, horizon, draws, seed)
    taking = {name: weight for name, weight in (weights or alike(models)).items() if weight > 0}
    counts = counts_of(np.array(list(taking.values())), draws)
    many = [models[name](history, horizon, draws, seed) for name in taking]
    return mixed(many, np.array(counts), np.random.default_rng(seed))


def logs_of(values: Floats) -> Floats:
    """Return logarithms of the columns of values (T, K) that are all above zero, and the others as they are."""
    with np.errstate(invalid="ignore", divide="ignore"):
        positive = np.where(np.isnan(values), 1.0, values).min(0) > 0
        return np.where(positive, np.log(np.where(positive, values, 1.0)), values)


def times_ahead(history: Levels, horizon: int) -> list[str]:
    """Return the times of a forecast."""
    return following(history.times, horizon)


def _step(values: Floats) -> float:
    """Return the smallest step in which values are told: of more than six decimals, a millionth of their size."""
    known = values[~np.isnan(values)]
    near = 1e-9 * min(1.0, float(np.abs(known).max(initial=0.0)))
    for digits in range(7):
        if np.allclose(known, np.round(known, digits), rtol=0, atol=near):
            return float(10.0**-digits)
    return float(1e-6 * np.mean(np.abs(known)))
