"""How good forecasts would have been: rolling origin, proper scores, coverage, the bars, and models weighed.

At each origin every model sees only what came before and forecasts up to `horizon` periods. Scores: log score of the
density, energy score of all values together, CRPS of each. MASE is the absolute error of the median over that of
"no change" inside the window seen. The blend mixes the models by weights learned from earlier origins alone, on
what was known at its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from noria.core.errors import InputError
from noria.core.messages import message
from noria.core.progress import steps
from noria.grow.forecast.names import BASELINE, LAST
from noria.grow.series.series import Floats

from .gate import ENOUGH
from .scores import BLEND, counts_of, crps, energy_score, stacked
from .standings import LEVELS, Backtest, Past, Trial, standings_of


@dataclass(frozen=True)
class Ahead:
    """A forecast from one origin."""

    draws: Floats
    """(D, H, K): whole paths of K values."""
    log_density: Callable[[int, int], float]
    """Periods ahead, and the row of what came -> log of the density given to it."""


Forecaster = Callable[[int, int, int], Ahead]
"""Rows seen, horizon and seed -> forecast."""


@dataclass(frozen=True)
class Record:
    """What a back-test is held against."""

    times: Sequence[str]
    truth: Floats
    """(T, K), in the unit of the scores; nan where it is not known."""
    comparable: Callable[[int, int], bool]
    """Rows seen and a later row -> whether a forecast of it can be scored."""
    naive: Callable[[int], float]
    """Rows seen -> mean absolute change in one period."""
    columns: Callable[[int], list[int]]
    """Rows seen -> the columns that take part."""
    resolution: float = 0.0
    """The smallest step in which the truth is told."""
    unit: str = ""
    past: Past | None = None

    def moved(self, seen: int, row: int) -> float:
        """Return the largest absolute change to a row from the last known values before it was to be forecast."""
        found = []
        for column in self.columns(seen):
            known = self.truth[:seen, column]
            known = known[~np.isnan(known)]
            if known.size and not np.isnan(self.truth[row, column]):
                found.append(abs(float(self.truth[row, column] - known[-1])))
        return float(np.max(found)) if found else 0.0


def first_origin(size: int, least: int, horizon: int) -> int:
    """Return the values seen at the first origin: half of them, or fewer where too few origins would count, but `least`."""
    return max(least, min(size // 2, size - ENOUGH * horizon))


def mean_change(values: Floats) -> float:
    """Return the mean absolute change from one known value to the next, (T, K) or (T,); 0 where no two are known."""
    columns = values.reshape(len(values), -1).T
    changes = [np.abs(np.diff(column[~np.isnan(column)])) for column in columns]
    together = np.concatenate(changes) if changes else np.empty(0)
    return float(together.mean()) if together.size else 0.0


def rolled(
    record: Record, models: Mapping[str, Forecaster], *, start: int, horizon: int, draws: int, seed: int
) -> Backtest:
    """Return how the models would have done from every origin after the first `start` rows.

    A model that cannot make a forecast from some origin takes no part, and `silent` says why.

    Raises:
        InputError: nothing could be scored.
    """
    periods = len(record.times)
    found: dict[str, list[Trial]] = {name: [] for name in models}
    silent: dict[str, str] = {}
    blended: list[Trial] = []
    known: list[tuple[int, dict[str, float]]] = []
    for seen in steps(range(start, periods), message("progress.backtest")):
        reach = min(horizon, periods - seen)
        rows = [row for row in range(seen, seen + reach) if record.comparable(seen, row)]
        if not rows:
            continue
        ahead: dict[str, Ahead] = {}
        for name, forecaster in models.items():
            if name in silent:
                continue
            try:
                ahead[name] = forecaster(seen, reach, seed + seen)
            except InputError as error:
                if name == BASELINE:
                    raise
                silent[name] = f"{record.times[seen - 1]}: {error}"
        scores = {row: {name: one.log_density(row - seen + 1, row) for name, one in ahead.items()} for row in rows}
        for name, one in ahead.items():
            found[name] += [_trial(record, name, seen, row, one.draws, scores[row][name]) for row in rows]
        names = [name for name in ahead if name != LAST]  # a point forecast gives no density to be weighed by
        weights = _weights(names, [each for row, each in known if row < seen])
        mixed = _mixed([ahead[name].draws for name in names], weights, draws, seed + seen)
        for row in rows:
            log_score = float(np.logaddexp.reduce(np.log(weights) + np.array([scores[row][name] for name in names])))
            blended.append(_trial(record, BLEND, seen, row, mixed, log_score))
        known += [(row, scores[row]) for row in rows]
    if not blended:
        raise InputError(message("grow.period_after"), found=record.times[-1])
    trials = [trial for name in models if name not in silent for trial in found[name]]
    taking = [name for name in models if name not in silent and name != LAST]
    if len(taking) > 1:
        trials += blended
    weights = _weights(taking, [each for _, each in known])
    return Backtest(
        tuple(trials),
        standings_of(trials, record.resolution),
        horizon,
        {name: float(weight) for name, weight in zip(taking, weights, strict=True)},
        silent,
        record.resolution,
        record.unit,
        record.past,
    )


def _weights(names: Sequence[str], known: Sequence[dict[str, float]]) -> Floats:
    rows = [[each[name] for name in names] for each in known if all(name in each for name in names)]
    return stacked(np.array(rows).reshape(len(rows), len(names)))


def _mixed(many: list[Floats], weights: Floats, draws: int, seed: int) -> Floats:
    random = np.random.default_rng(seed)
    parts = [
        one[random.permutation(len(one))[:count]]
        for one, count in zip(many, counts_of(weights, min(draws, len(many[0]))), strict=True)
    ]
    together = np.concatenate(parts)
    random.shuffle(together)  # the energy score pairs draws by place
    return together


def _trial(record: Record, name: str, seen: int, row: int, draws: Floats, log_score: float) -> Trial:
    ahead = row - seen + 1
    columns = record.columns(seen)
    sample, truth = draws[:, ahead - 1][:, columns], record.truth[row, columns]
    ends = np.quantile(sample, [end for level in LEVELS for end in ((1 - level) / 2, (1 + level) / 2)], axis=0)
    covered = tuple(float(np.mean((truth >= ends[2 * k]) & (truth <= ends[2 * k + 1]))) for k in range(len(LEVELS)))
    return Trial(
        name,
        record.times[seen - 1],
        ahead,
        log_score,
        energy_score(sample, truth),
        float(np.mean([crps(sample[:, c], float(truth[c])) for c in range(truth.size)])),
        float(np.mean(np.abs(np.median(sample, axis=0) - truth))),
        record.naive(seen),
        covered,
        record.moved(seen, row),
        seen,
    )
