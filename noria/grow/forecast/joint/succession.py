"""Generations to come: Norton-Bass held to persistence, launches told or read off the series.

    history = by_launch(amounts_of(read_series("windows.csv")), ["Windows XP=2001-10"])
    study_generations(history, horizon=6).generations.figures()

A generation's launch is the period before the first in which it is seen, unless told; one that is there from the first
period on must be told, since nobody can see when it began. Forecasts go on from where each generation stands: what the
curve left over fades as it did so far (an autoregression of the residuals), for no curve follows real figures closely.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import logsumexp

from noria.core.errors import InputError, SettingError, unknown
from noria.core.messages import message
from noria.grow.forecast.names import BASELINE
from noria.grow.series.calendars import place_of, time_at
from noria.grow.series.series import Floats

from .generations import HIGH, LOW, UNTOLD, Generations, fit_generations, in_use
from .several import Amounts, Joint, JointModel, JointStudy, random_walks, study_amounts

MODEL = "norton-bass"


@dataclass(frozen=True)
class Succession:
    """Amounts in use of generations in order of launch."""

    history: Amounts
    launches: tuple[float, ...]
    """In periods; the first time of the history is at 1."""
    apart: bool = False
    """Each generation has p and q of its own."""

    def until(self, history: Amounts) -> tuple[Generations, list[int]]:
        """Return the model of a history cut short, and the generations that had been seen by then."""
        seen = np.flatnonzero(np.nansum(history.values, axis=0) > 0)
        there = [int(column) for column in seen if self.launches[column] < len(history.times)]
        fitted = fit_generations(
            history.values[:, there],
            [self.launches[column] for column in there],
            shared=not self.apart,
            names=[history.names[column] for column in there],
            source=history.provenance.text(),
        )
        return fitted, there


@dataclass(frozen=True)
class GenerationStudy:
    """How generations replace one another, and what may come."""

    generations: Generations
    launches: dict[str, str]
    """Generation -> the period of its launch."""
    ahead: JointStudy


def by_launch(history: Amounts, launches: Sequence[str] = (), *, apart: bool = False) -> Succession:
    """Return the amounts as generations in order of launch.

    Args:
        history: amounts in use.
        launches: "name=time" for those whose launch is known, in the form of the series' times.
        apart: each generation has p and q of its own.

    Raises:
        SettingError: not name=time, or a name that is not there.
        InputError: a generation that is there from the first period and whose launch was not told, or two of one time.
    """
    told: dict[str, float] = {}
    for text in launches:
        name, _, time = text.rpartition("=")
        if not name:
            raise SettingError(
                message("grow.launch_told"),
                found=text,
                allowed=message("grow.such", names=history.names[0], times=history.times[0]),
            )
        if name not in history.names:
            raise unknown("generation", name, history.names)
        told[name] = place_of(time, history.times)
    found = []
    for column, name in enumerate(history.names):
        there = np.flatnonzero(np.nan_to_num(history.values[:, column]) > 0)
        if name not in told and (not there.size or there[0] == 0):
            why = message("grow.there_from_first") if there.size else message("grow.never_above_zero")
            raise InputError(
                message("grow.launch_cannot", name=name, why=why),
                hint=message("grow.tell_launch", name=name),
            )
        found.append(told.get(name, float(there[0]) if there.size else 0.0))
    order = sorted(range(len(found)), key=lambda column: found[column])
    for before, after in itertools.pairwise(order):
        if found[before] == found[after]:
            raise InputError(
                message("grow.two_generations"),
                found=f"{history.names[before]}, {history.names[after]}",
                hint=message("grow.take_one"),
            )
    return Succession(history.taking(order), tuple(found[column] for column in order), apart)


def study_generations(
    succession: Succession,
    *,
    horizon: int = 6,
    holdout: int = 3,
    model: str = "best",
    draws: int = 2000,
    seed: int = 0,
) -> GenerationStudy:
    """Return Norton-Bass fitted to all periods, its back-test, and the forecast of what it lets through.

    Args:
        succession: the generations.
        horizon: periods to forecast.
        holdout: periods ahead that the back-test scores.
        model: best, persistence, norton-bass or blend.
        draws: of the forecast.
        seed: of the draws.

    Raises:
        InputError: what `fit_generations` refuses.
        SettingError: an unknown model.
    """
    history = succession.history
    fitted, there = succession.until(history)
    if len(there) < len(history.names):
        missing = [name for column, name in enumerate(history.names) if column not in there]
        raise InputError(
            message("grow.generation_launched"), found=", ".join(missing), hint=message("grow.leave_out_take")
        )
    models: dict[str, JointModel] = {BASELINE: random_walks, MODEL: partial(generations_ahead, succession=succession)}
    ahead = study_amounts(history, models, horizon=horizon, holdout=holdout, model=model, draws=draws, seed=seed)
    launched = {
        name: time_at(int(launch), history.times)
        for name, launch in zip(history.names, succession.launches, strict=True)
    }
    return GenerationStudy(fitted, launched, ahead)


def generations_ahead(history: Amounts, horizon: int, draws: int, seed: int, *, succession: Succession) -> Joint:
    """Return what the curves expect from where each generation stands; those not launched yet have nothing.

    Parameters are drawn from their normal approximation in logarithms; a direction of which the data tell nothing is drawn
    as widely as what may just be called identified.

    Raises:
        InputError: what `fit_generations` refuses.
    """
    fitted, there = succession.until(history)
    random = np.random.default_rng(seed)
    values = history.values[:, there]
    left = values - fitted.at(np.arange(1.0, len(values) + 1))
    lasting = fitted.lasting
    sizes = _sizes(left[1:] - lasting * left[:-1])
    places = [int(np.flatnonzero(~np.isnan(column))[-1]) for column in left.T]
    last = np.array([left[place, column] for column, place in enumerate(places)])
    since = len(values) - 1 - np.array(places)
    times = np.arange(1.0, horizon + 1)
    curves = _curves(fitted, len(values) + times, draws, random)
    faded = lasting ** (times[:, None] + since)
    scales = sizes * np.sqrt((1 - faded**2) / (1 - lasting**2))
    freedom = max(len(values) - 3, 2)
    wide = np.sqrt(freedom / random.chisquare(freedom, (draws, 1, 1)))
    centres = curves + faded * last
    path, noise = np.empty_like(centres), np.zeros((draws, len(there)))
    noise = noise + wide[:, 0] * scales[0] * random.standard_normal(noise.shape)
    for step in range(horizon):
        if step:
            noise = lasting * noise + wide[:, 0] * sizes * random.standard_normal(noise.shape)
        path[:, step] = np.maximum(centres[:, step] + noise, 0.0)
    full = np.zeros((draws, horizon, len(history.names)))
    full[..., there] = path

    def log_density(actual: Floats, ahead: int) -> float:
        found = actual[there]
        seen = ~np.isnan(found)
        scale = (wide[:, 0] * scales[ahead - 1])[:, seen]
        away = (found[seen] - centres[:, ahead - 1][:, seen]) / scale
        each = np.sum(-0.5 * away**2 - np.log(scale) - 0.5 * np.log(2 * np.pi), axis=1)
        return float(max(logsumexp(each) - np.log(draws), -745.0))

    return Joint(full, log_density)


def _sizes(steps: Floats) -> Floats:
    """Return the standard deviation of each generation's noise, (G,): of one seen twice or less, that of all."""
    seen = ~np.isnan(steps)
    squares, counts = np.where(seen, steps, 0.0) ** 2, seen.sum(0)
    each = squares.sum(0) / np.maximum(counts, 1)
    whole = squares.sum() / max(int(counts.sum()), 1)
    return np.asarray(np.sqrt(np.maximum(np.where(counts > 1, each, whole), 1e-12 * whole + 1e-300)))


def _curves(fitted: Generations, times: Floats, draws: int, random: np.random.Generator) -> Floats:
    """Return draws of the curves at some times, (draws, T, G)."""
    count = len(fitted.launches)
    rates = fitted.rates[:1] if fitted.shared else fitted.rates
    middle = np.concatenate([np.log(rates).ravel(), np.log(np.maximum(fitted.markets, 1e-300))])
    sizes, directions = np.linalg.eigh(fitted.covariance)
    root = directions * np.sqrt(np.clip(sizes, 0.0, UNTOLD**2))
    full = middle + random.standard_normal((draws, len(middle))) @ root.T
    drawn = np.clip(full[:, : rates.size].reshape(draws, -1, 2), LOW, HIGH)
    wide = np.broadcast_to(np.exp(drawn), (draws, count, 2))
    return in_use(wide, np.exp(full[:, rates.size :]), fitted.launches, times)
