"""How much all users together will still do, week by week, and how that compared with what came.

    model = fit(history)
    ahead = foresee(model, history, weeks=39, shocks=common_shocks(model, log, history))
    ahead.interval(0.95)

The spread of a forecast holds the parameters' uncertainty, the users' and chance, and, where `shocks` are given, what
moves all users at once: seasons, campaigns, news. Without them a model of independent users is far too sure of the sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from noria.core.errors import InputError
from noria.core.messages import message
from noria.core.progress import steps
from noria.grow.log.log import Log
from noria.grow.log.user_days import user_days

from .lifetime import History, LifetimeModel
from .likelihood import Floats

EXPECTED = 30
"""Acts to be expected of a week, below which chance alone moves it."""
FEWEST_WEEKS = 8
"""Weeks below which nothing is told of what they have in common."""


@dataclass(frozen=True)
class Shocks:
    """What moved all users at once: the logarithm of acts over expected acts, week by week, as an AR(1)."""

    persistence: float
    """Part of a week's shock that is left in the next week, 0 to 0.95."""
    spread: float
    """Standard deviation of what is new in a week."""
    latest: float
    """The last week's shock."""
    weeks: int
    """How many weeks it was measured on."""
    recent: float
    """Mean acts a week over the last 13 of them: the plain baseline of a forecast."""

    def paths(self, draws: int, weeks: int, random: np.random.Generator) -> Floats:
        """Return factors on the acts of the coming weeks, (draws, weeks)."""
        level = np.full(draws, self.latest)
        factors = np.empty((draws, weeks))
        for week in range(weeks):
            level = self.persistence * level + self.spread * random.standard_normal(draws)
            factors[:, week] = np.exp(level)
        return factors


@dataclass(frozen=True)
class ActsForecast:
    """A forecast of all users' acts together."""

    by_week: Floats
    """Simulated acts in each coming week, (draws, weeks)."""
    expected_each: Floats
    """Expected acts of each user over all weeks, (N,), at the fitted parameters."""

    def total(self) -> Floats:
        """Return the simulated totals, (draws,)."""
        return np.asarray(self.by_week.sum(1), dtype=np.float64)

    def interval(self, level: float = 0.95) -> tuple[Floats, Floats]:
        """Return the ends of the interval of each week, (weeks,) each."""
        low, high = np.quantile(self.by_week, [(1 - level) / 2, (1 + level) / 2], axis=0)
        return low, high


@dataclass(frozen=True)
class Outcome:
    """What really came after a forecast's start, of the users it was made for."""

    by_week: Floats
    by_user: Floats
    """In the order of the history, (N,)."""


def common_shocks(model: LifetimeModel, log: Log, history: History) -> Shocks:
    """Return what moved all users at once in the weeks up to `history.until`, beyond what the model expects.

    Weeks with fewer than `EXPECTED` acts expected are left out: chance alone moves them. The noise of counting, 1 / expected, is
    taken off the variance.

    Raises:
        InputError: fewer than `FEWEST_WEEKS` are left, for there are no more or because so little is expected of them.
    """
    last = (history.until - date(1970, 1, 1)).days
    acts = _user_days(log, last)
    start = acts["first"].to_numpy()
    day = acts["day"].to_numpy()
    begin = int(start.min())
    weeks = (last - begin + 1) // 7
    offset = last + 1 - 7 * weeks  # whole weeks, counted back from the last day
    repeats = np.bincount((day[day > start] - offset) // 7 + 1, minlength=weeks + 1)[1 : weeks + 1]
    starts, users = np.unique(start[day == start], return_counts=True)
    ends = offset - 1 + 7 * np.arange(weeks + 1)
    reached = np.array([users @ model.expected_from_start(np.maximum(end - starts, 0) / 7) for end in ends])
    expected = np.diff(reached)
    enough = expected >= EXPECTED
    if weeks < FEWEST_WEEKS:
        raise InputError(
            message("grow.too_few_weeks", source=log.source),
            found=weeks,
            allowed=message("grow.more_10", fewest_weeks=FEWEST_WEEKS),
        )
    if enough.sum() < FEWEST_WEEKS:
        most = float(np.sort(expected)[-FEWEST_WEEKS])
        raise InputError(
            message("grow.too_few_expected", source=log.source),
            found=message(
                "grow.weeks_more",
                sum=int(enough.sum()),
                weeks=weeks,
                expected=EXPECTED,
                most=most,
                fewest_weeks=FEWEST_WEEKS,
            ),
            allowed=message("grow.weeks_more_2", fewest_weeks=FEWEST_WEEKS, expected=EXPECTED),
            hint=message("grow.users_who"),
        )
    shock = np.log(np.maximum(repeats[enough], 0.5) / expected[enough])
    noise = float(np.mean(1 / expected[enough]))
    variance = max(float(np.mean(shock**2)) - noise, 1e-8)
    raw = float(np.mean(shock[1:] * shock[:-1])) / variance
    persistence = float(np.clip(raw + (1 + 3 * raw) / shock.size, 0.0, 0.95))  # small samples: Kendall (1954)
    return Shocks(
        persistence,
        float(np.sqrt(variance * (1 - persistence**2))),
        float(shock[-1]),
        int(enough.sum()),
        float(repeats[-13:].mean()),
    )


def forecast_acts(
    model: LifetimeModel, history: History, weeks: int, *, shocks: Shocks | None = None, draws: int = 200, seed: int = 0
) -> ActsForecast:
    """Return what the same users will do in the coming `weeks`, simulated user by user.

    Each draw takes parameters from their normal approximation, then what every user will do from the posterior given their history.
    """
    random = np.random.default_rng(seed)
    root = np.linalg.cholesky(model.covariance)
    by_week = np.zeros((draws, weeks))
    for draw in steps(range(draws), message("progress.purchases")):
        parameters = model.parameters * np.exp(root @ random.standard_normal(4))
        by_week[draw] = model.acts_by_week(history, weeks, parameters, random)
    if shocks is not None:
        by_week *= shocks.paths(draws, weeks, random)
    return ActsForecast(by_week, model.expected(history, weeks))


def acts_after(log: Log, history: History, weeks: int) -> Outcome:
    """Return what the users of `history` did in the `weeks` after it; a user's acts on one day are one.

    Raises:
        InputError: the log does not reach so far.
    """
    last = (history.until - date(1970, 1, 1)).days
    reach = (log.as_of - date(1970, 1, 1)).days
    if reach < last + 7 * weeks:
        raise InputError(
            message("grow.does_cover", source=log.source),
            found=f"{log.as_of}",
            allowed=message("grow.weeks_after", weeks=weeks, until=history.until),
        )
    acts = _user_days(log, last + 7 * weeks)
    first, day, user = (acts[name].to_numpy() for name in ("first", "day", "user"))
    known = first <= last
    names, place = np.unique(user[known], return_inverse=True)
    later = day[known] > last
    by_week = np.bincount((day[known][later] - last - 1) // 7, minlength=weeks).astype(np.float64)
    by_user = np.bincount(place[later], minlength=names.size).astype(np.float64)
    return Outcome(by_week, by_user)


def _user_days(log: Log, last: int) -> pa.Table:
    days = user_days(log).select("user", "day")
    days = days.filter(days.day <= last)
    first = days.group_by("user").aggregate(first=days.day.min())
    return days.join(first, "user").select("user", "day", "first").to_pyarrow()
