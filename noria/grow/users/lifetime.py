"""What a user will still do: the BG/NBD and MBG/NBD models, fitted by maximum likelihood.

    history = repeat_purchases(log, until=date(1997, 9, 30))
    model = fit(history)                        # r, alpha, a, b with intervals
    model.expected(history, weeks=39)           # acts expected of each user

While alive a user acts at rate lambda ~ Gamma(r, alpha); after each act they leave for good with probability p ~ Beta(a, b): after
each repeat in BG/NBD (Fader, Hardie and Lee 2005, "Counting Your Customers" the Easy Way, Marketing Science 24(2)), after the
first act as well in MBG/NBD (Batislam, Denizel and Filiztekin 2007, Empirical validation and comparison of models for
customer base analysis, International Journal of Research in Marketing 24(3)). Time is in weeks. Acts on one day are one
act, and the first one starts the clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import hyp2f1

from noria.core.errors import InputError
from noria.core.messages import message
from noria.grow.log.log import Log
from noria.grow.log.user_days import user_days

from .likelihood import Floats, greatest, intervals_on_logs

_NAMES = ("r", "alpha", "a", "b")


@dataclass(frozen=True)
class History:
    """What each user did up to a day; arrays over users, (N,)."""

    repeats: Floats
    """x: days with an act, after the first."""
    recency: Floats
    """t_x: weeks from the first act to the last."""
    age: Floats
    """T: weeks from the first act to `until`."""
    until: date
    source: str

    @cached_property
    def distinct(self) -> tuple[Floats, npt.NDArray[np.intp]]:
        """The histories that differ, (R, 3), and which of them each user has, (N,)."""
        columns = np.column_stack([self.repeats, self.recency, self.age])
        rows, place = np.unique(columns, axis=0, return_inverse=True)
        return rows, place.ravel()

    def text(self) -> str:
        """Return how much there is of it."""
        return f"{self.repeats.size:,} users, {int(self.repeats.sum()):,} repeats"


class LifetimeModel(Protocol):
    """A fitted model of how long users stay and how often they act."""

    @property
    def name(self) -> str:
        """Name of the model."""

    @property
    def parameters(self) -> Floats:
        """The most likely parameters, (4,)."""

    @property
    def covariance(self) -> Floats:
        """Of their logarithms, (4, 4)."""

    @property
    def log_likelihood(self) -> float:
        """The greatest."""

    @property
    def users(self) -> int:
        """How many it was fitted to."""

    @property
    def source(self) -> str:
        """Of the log."""

    def intervals(self, z: float = 1.96) -> dict[str, tuple[float, float]]:
        """Return the interval of each parameter."""

    def alive(self, history: History) -> Floats:
        """Return the probability that each user has not left, (N,)."""

    def expected(self, history: History, weeks: float) -> Floats:
        """Return the acts expected of each user in the next `weeks`, (N,)."""

    def expected_from_start(self, weeks: Floats) -> Floats:
        """Return the repeats expected of a new user within `weeks` of the first act."""

    def acts_by_week(self, history: History, weeks: int, parameters: Floats, random: np.random.Generator) -> Floats:
        """Return one draw of what all users will do in each of the next `weeks`, (weeks,), at some parameters."""


@dataclass(frozen=True)
class Lifetimes:
    """A fitted BG/NBD or MBG/NBD model."""

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float
    users: int
    covariance: Floats
    """Of the logarithms of r, alpha, a, b; (4, 4)."""
    source: str
    at_start: bool = False
    """Whether users may leave right after their first act (MBG/NBD)."""

    @property
    def name(self) -> str:
        """Name of the model."""
        return "MBG/NBD" if self.at_start else "BG/NBD"

    @property
    def parameters(self) -> Floats:
        """r, alpha, a, b."""
        return np.array([self.r, self.alpha, self.a, self.b])

    def intervals(self, z: float = 1.96) -> dict[str, tuple[float, float]]:
        """Return the interval of each parameter: normal on the logarithm."""
        return intervals_on_logs(_NAMES, self.parameters, self.covariance, z)

    def alive(self, history: History) -> Floats:
        """Return the probability that each user has not left, (N,) (Fader, Hardie and Lee 2008, note on P(alive))."""
        return self._alive(self.parameters, history)

    def expected(self, history: History, weeks: float) -> Floats:
        """Return the acts expected of each user in the next `weeks`, (N,) (Fader, Hardie and Lee 2005, eq. 10).

        Who is still there goes on alike in both models; what is known of p is Beta(a, b + how often the user may have left).
        """
        r, alpha, a, b = self.parameters
        x, age = history.repeats, history.age
        stayed = x + self.at_start
        ratio = hyp2f1(r + x, b + stayed, a + b + stayed - 1, weeks / (alpha + age + weeks))
        bracket = 1 - ((alpha + age) / (alpha + age + weeks)) ** (r + x) * ratio
        return np.asarray((a + b + stayed - 1) / (a - 1) * bracket * self.alive(history), dtype=np.float64)

    def expected_from_start(self, weeks: Floats) -> Floats:
        """Return the repeats expected of a new user within `weeks` of the first act (the same, eq. 9; Batislam et al., eq. 3)."""
        r, alpha, a, b = self.parameters
        stayed = b + self.at_start
        ratio = hyp2f1(r, stayed, a + stayed - 1, weeks / (alpha + weeks))
        left = b if self.at_start else a + b - 1
        return np.asarray(left / (a - 1) * (1 - (alpha / (alpha + weeks)) ** r * ratio), dtype=np.float64)

    def acts_by_week(self, history: History, weeks: int, parameters: Floats, random: np.random.Generator) -> Floats:
        """Return one draw of what all users will do in each of the next `weeks`, (weeks,), at some parameters.

        For each user whether they have left, their rate and their leaving probability from the posterior given their own history.
        """
        r, alpha, a, b = parameters
        x, age = history.repeats, history.age
        here = random.random(x.size) < self._alive(parameters, history)
        rate = random.gamma(r + x[here]) / (alpha + age[here])
        leaving = random.beta(a, b + x[here] + self.at_start)
        acts = random.poisson(rate * weeks)
        some = acts > 0
        acts, leaving = acts[some], np.maximum(leaving[some], 1e-12)
        last = np.minimum(random.geometric(leaving), acts)  # the act after which the user leaves, or the horizon's last
        who = np.repeat(np.arange(acts.size), acts)
        when = random.random(who.size)
        order = np.lexsort((when, who))
        rank = np.arange(who.size) - np.repeat(np.cumsum(acts) - acts, acts)
        kept = when[order][rank < last[who]]
        return np.bincount((kept * weeks).astype(np.int64), minlength=weeks).astype(np.float64)

    def _alive(self, parameters: Floats, history: History) -> Floats:
        r, alpha, a, b = parameters
        x, stayed = history.repeats, history.repeats + self.at_start
        ratio = (alpha + history.age) / (alpha + history.recency)
        odds_left = a / (b + np.maximum(stayed, 1) - 1) * ratio ** (r + x)
        return np.where(stayed > 0, 1 / (1 + odds_left), 1.0)


def repeat_purchases(log: Log, until: date) -> History:
    """Return what each user did up to and including the day `until`.

    Raises:
        InputError: no one acted by then, or no one acted on two days.
    """
    days = user_days(log)
    last = (until - date(1970, 1, 1)).days
    days = days.filter(days.day <= last)
    each = days.group_by("user").aggregate(first=days.day.min(), latest=days.day.max(), days=days.count())
    found = each.order_by("user").to_pyarrow()
    first, latest, count = (found[name].to_numpy().astype(np.float64) for name in ("first", "latest", "days"))
    if not count.size or count.max() < 2:
        raise InputError(
            message("grow.user_active", source=log.source, until=until),
            found=message("grow.users", size=count.size),
            allowed=message("grow.log_users"),
        )
    return History(count - 1, (latest - first) / 7, (last - first) / 7, until, log.source)


@dataclass(frozen=True)
class Rows:
    """The distinct histories of many users: those who share one share a term of the likelihood."""

    x: Floats
    recency: Floats
    age: Floats
    times: Floats
    """How many users have this history; (R,) each."""

    @classmethod
    def of(cls, history: History, scale: float = 1.0) -> Rows:
        """Return the distinct rows of a history, its times divided by `scale`."""
        columns = (history.repeats, history.recency, history.age)
        order = np.lexsort(columns)
        x, recency, age = (column[order] for column in columns)
        fresh = np.ones(x.size, dtype=bool)
        fresh[1:] = (np.diff(x) != 0) | (np.diff(recency) != 0) | (np.diff(age) != 0)
        place = np.flatnonzero(fresh)
        times = np.diff(np.append(place, x.size)).astype(np.float64)
        return cls(x[place], recency[place] / scale, age[place] / scale, times)

    def more_than(self) -> Floats:
        """Return how many users have more than 0, 1, 2 ... repeats."""
        counts = np.bincount(self.x.astype(np.int64), weights=self.times)
        return np.asarray(counts[::-1].cumsum()[::-1][1:], dtype=np.float64)


def fit(history: History, *, at_start: bool = False) -> Lifetimes:
    """Return the BG/NBD model of greatest likelihood, or with `at_start` the MBG/NBD model.

    Users with one history share one term of the likelihood, and its gradient is exact.

    Raises:
        InputError: the likelihood has no maximum that these data can tell.
    """
    scale = float(history.age.max()) / 10 or 1.0  # brings alpha near 1, so that one step length suits all four
    value = Likelihood(Rows.of(history, scale), at_start=at_start)
    name = "MBG/NBD" if at_start else "BG/NBD"
    found, covariance = greatest(
        value.by_logs, np.zeros(4), _NAMES, history.source, name, history.text(), history.repeats.size
    )
    r, alpha, a, b = np.exp(found)
    likelihood = value(np.exp(found))[0] - float(history.repeats.sum()) * float(np.log(scale))
    return Lifetimes(
        float(r),
        float(alpha * scale),
        float(a),
        float(b),
        likelihood,
        history.repeats.size,
        covariance,
        history.source,
        at_start,
    )


class Likelihood:
    """The log-likelihood of BG/NBD (Fader, Hardie and Lee 2005, eq. 6) and its gradient, over distinct histories.

    What depends on x alone is a sum over the users with more than 0, 1, 2 ... repeats, for Gamma(r + x) / Gamma(r) is the
    product of r, r + 1 ... r + x - 1, and so for the beta functions. What is left is two logarithms a row. In MBG/NBD
    (Batislam, Denizel and Filiztekin 2007, eq. 2) a user may have left once more than there are repeats.
    """

    def __init__(self, rows: Rows, *, at_start: bool = False) -> None:
        again = (rows.x > 0) | at_start
        self._users = float(rows.times.sum())
        self._more = rows.more_than()
        self._steps = np.arange(self._more.size, dtype=np.float64)
        self._stayed = np.append(self._users, self._more) if at_start else self._more
        self._stays = np.arange(self._stayed.size, dtype=np.float64)
        self._at_start = float(at_start)
        self._none = rows.age[~again], rows.times[~again]
        self._some = rows.x[again], rows.recency[again], rows.age[again], rows.times[again]

    def __call__(self, parameters: Floats) -> tuple[float, Floats]:
        """Return the log-likelihood at r, alpha, a, b and its gradient, (4,)."""
        r, alpha, a, b = parameters
        more, steps, stayed, stays = self._more, self._steps, self._stayed, self._stays
        x, recency, age, times = self._some
        none_age, none_times = self._none
        none_log, age_log, recency_log = np.log(alpha + none_age), np.log(alpha + age), np.log(alpha + recency)
        before = b + x + self._at_start - 1
        odds = np.log(a / before) + (r + x) * (age_log - recency_log)  # of having left right after the last act
        part = 1 / (1 + np.exp(-odds))
        value = (
            self._users * r * np.log(alpha)
            + more @ np.log(r + steps)
            + stayed @ np.log((b + stays) / (a + b + stays))
            - r * (none_times @ none_log)
            - times @ ((r + x) * age_log)
            + times @ np.logaddexp(0.0, odds)
        )
        left = times * part
        here = times - left
        both = stayed @ (1 / (a + b + stays))
        last = left @ (1 / before)
        return float(value), np.array(
            [
                self._users * np.log(alpha)
                + more @ (1 / (r + steps))
                - none_times @ none_log
                - here @ age_log
                - left @ recency_log,
                self._users * r / alpha
                - r * (none_times @ (1 / (alpha + none_age)))
                - here @ ((r + x) / (alpha + age))
                - left @ ((r + x) / (alpha + recency)),
                left.sum() / a - both,
                stayed @ (1 / (b + stays)) - both - last,
            ]
        )

    def by_logs(self, logs: Floats) -> tuple[float, Floats]:
        """Return the same for the logarithms of the parameters."""
        parameters = np.exp(logs)
        value, gradient = self(parameters)
        return value, gradient * parameters
