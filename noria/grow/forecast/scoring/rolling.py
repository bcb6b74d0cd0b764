"""How good forecasts would have been: rolling origin, proper scores, coverage, the bar of persistence, and models weighed.

At each origin every model sees only what came before and forecasts up to `horizon` periods. Scores: log score of the
density, energy score of all values together, CRPS of each. MASE is the absolute error of the median over that of
"no change" inside the window seen. The blend mixes the models by weights learned from earlier origins alone, on
what was known at its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from noria.core.errors import InputError
from noria.core.figure import Figure
from noria.core.messages import Message, message, term
from noria.core.progress import steps
from noria.grow.forecast.names import BASELINE, name_of
from noria.grow.series.series import Floats

from .scores import BLEND, counts_of, crps, energy_score, mean_interval, stacked

LEVELS = (0.5, 0.8, 0.9)


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
class Trial:
    """One model's forecast from one origin for one horizon, and how it did."""

    model: str
    origin: str
    """Last time the model had seen."""
    horizon: int
    log_score: float
    """Higher is better."""
    energy: float
    """Energy score, in the unit of the values (points of share for shares); lower is better."""
    crps: float
    """Mean over entities, in that unit; lower is better."""
    error: float
    """Mean absolute error of the medians, in that unit."""
    naive: float
    """Mean absolute change from one known value to the next inside the window seen, in that unit."""
    covered: tuple[float, ...]
    """Part of the values inside the interval, for each of `LEVELS`."""
    moved: float = 0.0
    """Largest absolute change from the last value known at the origin to what came, in that unit."""


@dataclass(frozen=True)
class Standing:
    """One model over all trials."""

    model: str
    trials: int
    origins: int
    log_score: float
    energy: float
    crps: float
    mase: float | None
    """None where nothing moved inside the windows seen: there is no change to hold an error against."""
    coverage: dict[str, float]
    """Level in percent -> part of the values inside."""
    gain: Figure | None
    """Log score above persistence, per forecast; None for persistence itself. The intervals of all models hold together at 95 %
    (Bonferroni): of many that try, one would else beat persistence by chance."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return asdict(self)


@dataclass(frozen=True)
class Backtest:
    """All trials of all models."""

    trials: tuple[Trial, ...]
    standings: tuple[Standing, ...]
    horizon: int
    weights: dict[str, float] = field(default_factory=dict)
    """What the blend gives each model from now on, learned from all trials."""
    silent: dict[str, str] = field(default_factory=dict)
    """Models that could not take part, and why."""
    resolution: float = 0.0
    """The smallest step in which the values are told, in the unit of the scores."""

    @property
    def still(self) -> bool:
        """Whether no value moved after any origin by as much as the source can tell: then none can do better than persistence."""
        return all(trial.moved <= max(self.resolution / 2, 1e-9) for trial in self.trials)

    @property
    def winner(self) -> str:
        """The model to use: the one with the greatest gain clear of zero, else persistence."""
        if self.still:
            return BASELINE
        clear = [item for item in self.standings if item.gain and item.gain.low is not None and item.gain.low > 0]
        return max(clear, key=lambda item: item.gain.value if item.gain else 0.0).model if clear else BASELINE

    def verdict(self) -> Message:
        """Return what the back-test says, as a sentence in each language."""
        standing = {item.model: item for item in self.standings}
        n = standing[BASELINE].origins
        if self.still:
            return message("forecast.nothing_beats_persistence_no_value", n=n)
        if self.winner != BASELINE:
            gain = standing[self.winner].gain
            assert gain is not None
            return message(
                "forecast.beats_persistence_nats_per_forecast",
                winner=name_of(self.winner),
                gain=gain.value,
                low=gain.low,
                high=gain.high,
                n=n,
            )
        return message("forecast.nothing_beats_persistence_interval_clear", n=n)


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

    def moved(self, seen: int, row: int) -> float:
        """Return the largest absolute change to a row from the last known values before it was to be forecast."""
        found = []
        for column in self.columns(seen):
            known = self.truth[:seen, column]
            known = known[~np.isnan(known)]
            if known.size and not np.isnan(self.truth[row, column]):
                found.append(abs(float(self.truth[row, column] - known[-1])))
        return float(np.max(found)) if found else 0.0


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
        names = list(ahead)
        weights = _weights(names, [each for row, each in known if row < seen])
        mixed = _mixed([ahead[name].draws for name in names], weights, draws, seed + seen)
        for row in rows:
            log_score = float(np.logaddexp.reduce(np.log(weights) + np.array([scores[row][name] for name in names])))
            blended.append(_trial(record, BLEND, seen, row, mixed, log_score))
        known += [(row, scores[row]) for row in rows]
    if not blended:
        raise InputError(message("grow.period_after"), found=record.times[-1])
    taking = [name for name in models if name not in silent]
    trials = [trial for name in taking for trial in found[name]]
    if len(taking) > 1:
        trials += blended
    weights = _weights(taking, [each for _, each in known])
    standing = tuple(dict.fromkeys(trial.model for trial in trials))
    level = 1 - 0.05 / max(len(standing) - 1, 1)
    return Backtest(
        tuple(trials),
        tuple(_standing(name, trials, level) for name in standing),
        horizon,
        {name: float(weight) for name, weight in zip(taking, weights, strict=True)},
        silent,
        record.resolution,
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
    )


def _standing(name: str, trials: Sequence[Trial], level: float) -> Standing:
    mine = [trial for trial in trials if trial.model == name]
    bar = {(trial.origin, trial.horizon): trial for trial in trials if trial.model == BASELINE}
    origins = list(dict.fromkeys(trial.origin for trial in mine))
    gain = None
    if name != BASELINE and bar:
        each = [
            np.mean(
                [
                    trial.log_score - bar[trial.origin, trial.horizon].log_score
                    for trial in mine
                    if trial.origin == origin
                ]
            )
            for origin in origins
        ]
        mean, half = mean_interval(np.array(each), max(trial.horizon for trial in mine) - 1, level)
        low, high = (mean - half, mean + half) if np.isfinite(half) else (None, None)  # one origin tells no spread
        gain = Figure(
            message("figures.log_score", model=term(name), other=term(BASELINE)),
            mean,
            len(each),
            low,
            high,
            unit="nats",
        )
    coverage = {
        f"{level:.0%}": float(np.mean([trial.covered[place] for trial in mine])) for place, level in enumerate(LEVELS)
    }

    def mean_of(value: str) -> float:
        return float(np.mean([getattr(trial, value) for trial in mine]))

    return Standing(
        name,
        len(mine),
        len(origins),
        mean_of("log_score"),
        mean_of("energy"),
        mean_of("crps"),
        mean_of("error") / naive if (naive := mean_of("naive")) > 1e-12 else None,
        coverage,
        gain,
    )
