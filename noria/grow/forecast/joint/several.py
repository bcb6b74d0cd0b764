"""Amounts of several entities that act on one another: what may come of all together, and how good that would have been.

    history = amounts_of(read_series("phones.csv"))
    study_amounts(history, {"persistence": walks, "mine": model}, horizon=6)

The bars are persistence, each entity a random walk of its own, and the last values. A forecast is draws of whole paths of all, none below zero, and
the density that they stand for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from noria.core.errors import InputError, SettingError, unknown
from noria.core.messages import message
from noria.grow.forecast.last_value import last_value
from noria.grow.forecast.levels.levels import MINIMUM, Levels, logs_of, random_walk
from noria.grow.forecast.names import BASELINE, LAST
from noria.grow.forecast.scoring.gate import ENOUGH
from noria.grow.forecast.scoring.rolling import Ahead, Forecaster, Record, first_origin, mean_change, rolled
from noria.grow.forecast.scoring.scores import BLEND, alike, counts_of
from noria.grow.forecast.scoring.standings import Backtest, Past
from noria.grow.market.gaps import tables_of
from noria.grow.series.calendars import following
from noria.grow.series.cells import Flag
from noria.grow.series.series import Floats, Provenance, Series

ORIGINS = 24
"""Most origins of a back-test: the latest ones, which are most like what comes."""
WALKED = 4
"""Values since an entity came that its random walk needs."""
SCORED = 8
"""Values since an entity came from which on its forecasts are scored: of fewer, the tails of a walk say more than its median."""


@dataclass(frozen=True)
class Amounts:
    """Amounts of K entities in even steps."""

    times: tuple[str, ...]
    names: tuple[str, ...]
    values: Floats
    """(T, K), nan where missing; none below zero."""
    unit: str
    provenance: Provenance
    flags: tuple[Flag, ...] = ()
    """What was found in the series and what was done about it."""

    def until(self, seen: int) -> Amounts:
        """Return what was known after the first `seen` times."""
        return replace(self, times=self.times[:seen], values=self.values[:seen])

    def taking(self, columns: Sequence[int]) -> Amounts:
        """Return some of the entities."""
        return replace(
            self, names=tuple(self.names[column] for column in columns), values=self.values[:, list(columns)]
        )


@dataclass(frozen=True)
class Joint:
    """What may come of K entities."""

    draws: Floats
    """(D, H, K), each a path."""
    log_density: Callable[[Floats, int], float]
    """Values (K,), nan where not scored, and periods ahead (1, 2, ...) -> log of the density given to them."""


JointModel = Callable[[Amounts, int, int, int], Joint]
"""History, horizon, draws and seed -> what may come."""


@dataclass(frozen=True)
class JointStudy:
    """All that is known of amounts that act on one another."""

    history: Amounts
    outlook: Joint
    model: str
    times: tuple[str, ...]
    """Of the outlook."""
    backtest: Backtest | None
    silence: str = ""
    """Why there is no back-test, where there is none."""

    def interval(self, level: float = 0.9) -> tuple[Floats, Floats]:
        """Return the ends of the interval, (H, K) each."""
        low, high = np.quantile(self.outlook.draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return low, high

    def median(self) -> Floats:
        """Return the median, (H, K)."""
        return np.asarray(np.median(self.outlook.draws, axis=0), dtype=np.float64)


def amounts_of(
    series: Series, measure: str | None = None, segment: str | None = None, taking: Sequence[str] = ()
) -> Amounts:
    """Return the amounts of the entities named, in that order; of all where none is, the largest last value first.

    Raises:
        InputError: one entity alone.
        SettingError: none of that name.
    """
    chosen = series.only(measure, segment)
    times, names, values = chosen.matrix()
    if not taking:  # a total is no rival, unless it is asked for by name
        chosen, tables = tables_of(chosen, chosen.points[0].measure, "missing")
        table = next(iter(tables.values()))
        rested = (np.nan_to_num(table.value[:, -1]) > 0).any() or table.known[:, -1].any()
        names = list(table.names if rested else table.names[:-1])
        values = table.value[:, : len(names)]
    for name in taking:
        if name not in names:
            raise unknown("entity", name, names)
    columns = [names.index(name) for name in taking] if taking else list(range(len(names)))
    if len(set(columns)) < 2:
        raise InputError(message("grow.amounts_act"), found=", ".join(names))
    return Amounts(tuple(times), tuple(names), values, chosen.unit, series.provenance, chosen.flags).taking(columns)


def random_walks(history: Amounts, horizon: int, draws: int, seed: int) -> Joint:
    """Return random walks, one an entity; nan for one that has been there for too short a time, 0 for one that never was."""
    columns = long_enough(history.values, WALKED)
    many = {
        column: random_walk(
            Levels(history.times, since(history.values[:, column]), "level"),
            horizon,
            draws,
            seed + column,
            drifting=False,
        )
        for column in columns
    }
    together = np.zeros((draws, horizon, len(history.names)))
    together[..., long_enough(history.values, 1)] = np.nan
    for column, one in many.items():
        together[..., column] = one.draws

    def log_density(values: Floats, ahead: int) -> float:
        return sum(
            one.log_density(float(values[column]), ahead)
            for column, one in many.items()
            if not np.isnan(values[column])
        )

    return Joint(together, log_density)


def last_values(history: Amounts, horizon: int, draws: int, seed: int) -> Joint:
    """Return the plain last values with their intervals, 0 for an entity that never was; they give no density."""
    together = last_value(np.stack([since(column) for column in history.values.T], 1), horizon, draws, seed)
    return Joint(together, lambda values, ahead: float("nan"))


def since(values: Floats) -> Floats:
    """Return one entity's values, missing until the first above zero: before it, it was not there."""
    there = np.flatnonzero(np.nan_to_num(values) > 0)
    return np.where(np.arange(len(values)) < (there[0] if there.size else len(values)), np.nan, values)


def long_enough(values: Floats, least: int) -> list[int]:
    """Return the columns of entities with so many values since they came."""
    return [column for column in range(values.shape[1]) if (~np.isnan(since(values[:, column]))).sum() >= least]


def study_amounts(
    history: Amounts,
    models: Mapping[str, JointModel],
    *,
    horizon: int = 6,
    holdout: int = 3,
    model: str = "best",
    draws: int = 2000,
    seed: int = 0,
) -> JointStudy:
    """Return the back-test of the models, persistence among them, and the forecast of the one that it lets through.

    Raises:
        SettingError: an unknown model.
        InputError: the model cannot forecast from so short a series.
    """
    models = {BASELINE: models[BASELINE], LAST: last_values, **models}
    allowed = ("best", *models, BLEND)
    if model not in allowed:
        raise SettingError(message("grow.such_model_amounts"), found=model, allowed=allowed)
    try:
        test, silence = backtest_amounts(history, models, horizon=holdout, seed=seed), ""
    except InputError as error:
        test, silence = None, error.as_message()
    name = model if model != "best" else test.winner if test else BASELINE
    outlook = _forecast(history, models, name, horizon, draws, seed, test.weights if test else None)
    unknown_yet = np.flatnonzero(np.isnan(outlook.draws).any((0, 1)))
    if unknown_yet.size:
        raise InputError(
            message("grow.too_few_values_2", names=history.names[int(unknown_yet[0])], name=name),
            allowed=message("grow.more", walked=WALKED),
            hint=message("grow.take_others"),
        )
    return JointStudy(history, outlook, name, tuple(following(history.times, horizon)), test, silence)


def backtest_amounts(
    history: Amounts, models: Mapping[str, JointModel], *, horizon: int = 3, draws: int = 500, seed: int = 0
) -> Backtest:
    """Return how the models would have done from the latest origins, at most `ORIGINS` and the later half of the times.

    Raises:
        InputError: too few times to hold any out.
    """
    size = len(history.times)
    start = max(first_origin(size, MINIMUM, horizon), size - max(ORIGINS, ENOUGH * horizon))
    if start >= size:
        raise InputError(
            message("grow.too_few_values_hold"), found=size, allowed=message("grow.more_2", minimum=MINIMUM + 1)
        )

    def forecaster(model: JointModel) -> Forecaster:
        def forecast(seen: int, ahead: int, mine: int) -> Ahead:
            known = history.until(seen)
            joint = model(known, ahead, draws, mine)
            scored = np.isin(np.arange(len(history.names)), long_enough(known.values, SCORED))
            return Ahead(
                joint.draws, lambda step, row: joint.log_density(np.where(scored, history.values[row], np.nan), step)
            )

        return forecast

    def columns(seen: int) -> list[int]:
        return long_enough(history.values[:seen], SCORED)

    def comparable(seen: int, row: int) -> bool:
        taking = columns(seen)
        return bool(taking) and not np.isnan(history.values[row, taking]).any()

    def naive(seen: int) -> float:
        return mean_change(history.values[:seen, columns(seen)])

    past = Past(history.times, history.names, logs_of(history.values))
    record = Record(history.times, history.values, comparable, naive, columns, unit=history.unit, past=past)
    return rolled(
        record,
        {name: forecaster(model) for name, model in models.items()},
        start=start,
        horizon=horizon,
        draws=draws,
        seed=seed,
    )


def _forecast(
    history: Amounts,
    models: Mapping[str, JointModel],
    name: str,
    horizon: int,
    draws: int,
    seed: int,
    weights: Mapping[str, float] | None,
) -> Joint:
    if name != BLEND:
        return models[name](history, horizon, draws, seed)
    taking = {each: part for each, part in (weights or alike(models)).items() if part > 0}
    many = [models[each](history, horizon, draws, seed) for each in taking]
    random = np.random.default_rng(seed)
    counts = counts_of(np.array(list(taking.values())), draws)
    mixed = [one.draws[random.permutation(len(one.draws))[:count]] for one, count in zip(many, counts, strict=True)]
    logs = np.log(np.array(list(taking.values())))
    return Joint(
        np.concatenate(mixed),
        lambda values, ahead: float(np.logaddexp.reduce(logs + [one.log_density(values, ahead) for one in many])),
    )
