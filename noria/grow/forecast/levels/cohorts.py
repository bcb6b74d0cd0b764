"""Active users to come from cohorts: newcomers times retention, with what neither explains carried forward.

    model = cohort_model(triangle)
    model(history, 6, 1000, 0).interval(0.9)

Everyone active in a period came first in some period, so active = newcomers + sum over cohorts of size times retention
at its age. Retention at each age is pooled over cohorts with its Beta posterior, and beyond the oldest age seen goes on
along a line in the logarithm of age. Newcomers go on from where they are, in steps like those seen. What periods had
above or below that expectation fades as it did before (first-order autoregression of its logarithm).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from noria.core.errors import InputError
from noria.core.messages import message
from noria.grow.series.series import Floats
from noria.grow.users.retention import Retention

from .levels import LevelModel, Levels
from .outlook import Outlook

RECENT = 12
"""Steps of newcomers that future ones are drawn from: older ones may be those of a launch."""


def triangle_of(kept: Retention) -> Floats:
    """Return a triangle of first cohorts as (cohorts, ages), nan where an age was not yet reached."""
    rows = list(kept.counts.values())
    table = np.full((len(rows), len(rows)), np.nan)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return table


def active_of(triangle: Floats) -> Floats:
    """Return active users by period, (periods,): the sums along calendar time."""
    size = len(triangle)
    return np.array([sum(triangle[cohort, period - cohort] for cohort in range(period + 1)) for period in range(size)])


def cohort_model(triangle: Floats) -> LevelModel:
    """Return the cohort model of a triangle, which sees only what the history it is given had seen."""

    def model(history: Levels, horizon: int, draws: int, seed: int) -> Outlook:
        seen = len(history.times)
        known = np.where(np.add.outer(np.arange(seen), np.arange(seen)) < seen, triangle[:seen, :seen], np.nan)
        return _ahead(known, horizon, draws, np.random.default_rng(seed))

    return model


@dataclass(frozen=True)
class _Kept:
    """Pooled retention by age: active and cohort members observed, (A,)."""

    back: Floats
    users: Floats

    @property
    def rate(self) -> Floats:
        return np.asarray((self.back + 0.5) / (self.users + 1))


def _ahead(known: Floats, horizon: int, draws: int, random: np.random.Generator) -> Outlook:
    periods = len(known)
    sizes = known[:, 0]
    if periods < 4 or not np.nansum(known[:, 1:]) > 0:
        raise InputError(message("grow.cohorts_need"), found=periods)
    kept = _pooled(known)
    past = np.array([np.sum(sizes[:period] * kept.rate[period - np.arange(period)]) for period in range(1, periods)])
    came = np.array([sum(known[c, period - c] for c in range(period)) for period in range(1, periods)])
    able = (past > 0) & (came > 0)
    shock, fading, spread = _fading(np.log(came[able] / past[able]), draws, random)
    rates = _rates(kept, periods + horizon, draws, random)
    newcomers, jump = _newcomers(sizes, horizon, draws, random)
    everyone = np.concatenate([np.tile(sizes, (draws, 1)), newcomers], 1)
    value, centre, scale = (np.empty((draws, horizon)) for _ in range(3))
    state = np.tile(shock, draws)
    middle = state
    for step in range(horizon):
        period = periods + step
        ages = period - np.arange(period)
        retained = np.sum(everyone[:, :period] * rates[:, ages], 1)
        middle = fading * state
        state = middle + spread * random.standard_normal(draws)
        before = everyone[:, period - 1]
        centre[:, step] = before + retained * np.exp(middle)
        value[:, step] = newcomers[:, step] + retained * np.exp(state)
        scale[:, step] = np.sqrt(
            (retained * np.exp(middle) * spread) ** 2 + ((before + 0.5) * jump) ** 2 + centre[:, step] + 0.25
        )
    noise = np.sqrt(np.maximum(value, 0.25)) * random.standard_normal(value.shape)
    return Outlook(np.maximum(np.rint(value + noise), 0.0), centre, scale, np.zeros(draws))


def _pooled(known: Floats) -> _Kept:
    back = np.nansum(known, 0)
    users = np.array([np.sum(known[: len(known) - age, 0]) for age in range(known.shape[1])])
    return _Kept(back, users)


def _rates(kept: _Kept, ages: int, draws: int, random: np.random.Generator) -> Floats:
    """Return retention by age, (draws, ages): drawn where it was seen, along the trend in log age beyond and where thin."""
    seen = len(kept.users)
    rates = np.empty((draws, max(ages, seen)))
    rates[:, :seen] = random.beta(kept.back + 0.5, np.maximum(kept.users - kept.back, 0) + 0.5, (draws, seen))
    rates[:, 0] = 1.0
    age = np.arange(1, seen)
    weight = np.maximum(kept.back[1:], 0.5) / (np.arange(seen - 1)[::-1] + 1)  # old ages tell more of older ones
    logit = np.log(kept.rate[1:] / (1 - np.minimum(kept.rate[1:], 1 - 1e-9)))
    table = np.column_stack([np.ones(seen - 1), np.log(age)]) * np.sqrt(weight)[:, None]
    line, *_ = np.linalg.lstsq(table, logit * np.sqrt(weight), rcond=None)
    slope = min(line[1], 0.0)  # retention of ages never seen does not rise
    beyond = line[0] + (line[1] - slope) * np.log(seen - 1) + slope * np.log(np.arange(1, rates.shape[1]))
    trend = 1 / (1 + np.exp(-beyond))
    thin = np.concatenate([[False], kept.users[1:] < 30, np.ones(rates.shape[1] - seen, dtype=bool)])
    rates[:, thin] = trend[thin[1:]]
    return rates


def _newcomers(sizes: Floats, horizon: int, draws: int, random: np.random.Generator) -> tuple[Floats, float]:
    """Return newcomers to come, (draws, horizon), in steps drawn from the recent ones with either sign; and a step's size."""
    steps = np.diff(np.log(sizes + 0.5))[-RECENT:]
    drawn = random.choice(steps, (draws, horizon)) * random.choice([-1.0, 1.0], (draws, horizon))
    # Twice of the most that ever came is as far as steps in either sign may lead: a launch that ended is not undone manifold.
    most = np.log(2 * sizes.max() + 0.5)
    paths = np.exp(np.minimum(np.log(sizes[-1] + 0.5) + np.cumsum(drawn, 1), most)) - 0.5
    return np.maximum(np.rint(paths), 0.0), float(np.sqrt(np.mean(steps**2)))


def _fading(shocks: Floats, draws: int, random: np.random.Generator) -> tuple[float, Floats, Floats]:
    """Return the last shock, and draws of what is left of one a period later and of its noise, (draws,) each."""
    if shocks.size < 3:
        raise InputError(message("grow.cohorts_need_three"), found=int(shocks.size))
    before, after = shocks[:-1], shocks[1:]
    size = float(before @ before) + 1e-9
    fading = float(np.clip(before @ after / size, 0.0, 0.98))
    squares = float(np.sum((after - fading * before) ** 2)) + 1e-6
    spread = np.sqrt(squares / random.chisquare(max(after.size - 1, 1), draws))
    drawn = np.clip(fading + spread / np.sqrt(size) * random.standard_normal(draws), 0.0, 1.0)
    return float(shocks[-1]), drawn, spread
