"""What a user will still do: the BG/NBD model, fitted by maximum likelihood.

    history = repeat_purchases(log, until=date(1997, 9, 30))
    model = fit(history)                        # r, alpha, a, b with intervals
    model.expected(history, weeks=39)           # acts expected of each user

Model: Fader, Hardie and Lee (2005), "Counting Your Customers" the Easy Way, Marketing Science 24(2). While alive a user
acts at rate lambda ~ Gamma(r, alpha); after each act they leave for good with probability p ~ Beta(a, b). Time is in
weeks. Acts on one day are one act, and the first one starts the clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import betaln, digamma, gammaln, hyp2f1

from noria.core.errors import InputError

from ..log import Log

Floats = npt.NDArray[np.float64]
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


@dataclass(frozen=True)
class Lifetimes:
    """A fitted BG/NBD model."""

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float
    users: int
    covariance: Floats
    """Of the logarithms of r, alpha, a, b; (4, 4)."""
    source: str

    @property
    def parameters(self) -> Floats:
        """r, alpha, a, b."""
        return np.array([self.r, self.alpha, self.a, self.b])

    def intervals(self, z: float = 1.96) -> dict[str, tuple[float, float]]:
        """Return the interval of each parameter: normal on the logarithm."""
        spread = z * np.sqrt(np.diag(self.covariance))
        return {
            name: (float(value * np.exp(-width)), float(value * np.exp(width)))
            for name, value, width in zip(_NAMES, self.parameters, spread, strict=True)
        }

    def alive(self, history: History) -> Floats:
        """Return the probability that each user has not left, (N,) (Fader, Hardie and Lee 2008, note on P(alive))."""
        return alive(self.parameters, history.repeats, history.recency, history.age)

    def expected(self, history: History, weeks: float) -> Floats:
        """Return the acts expected of each user in the next `weeks`, (N,) (Fader, Hardie and Lee 2005, eq. 10)."""
        r, alpha, a, b = self.parameters
        x, age = history.repeats, history.age
        ratio = hyp2f1(r + x, b + x, a + b + x - 1, weeks / (alpha + age + weeks))
        bracket = 1 - ((alpha + age) / (alpha + age + weeks)) ** (r + x) * ratio
        return np.asarray((a + b + x - 1) / (a - 1) * bracket * self.alive(history), dtype=np.float64)

    def expected_from_start(self, weeks: Floats) -> Floats:
        """Return the repeats expected of a new user within `weeks` of the first act (the same, eq. 9)."""
        r, alpha, a, b = self.parameters
        ratio = hyp2f1(r, b, a + b - 1, weeks / (alpha + weeks))
        return np.asarray((a + b - 1) / (a - 1) * (1 - (alpha / (alpha + weeks)) ** r * ratio), dtype=np.float64)


def repeat_purchases(log: Log, until: date) -> History:
    """Return what each user did up to and including the day `until`.

    Raises:
        InputError: no one acted by then, or no one acted on two days.
    """
    table = log.table
    days = table.select(user=table.user, day=table.time.date().epoch_days())
    last = (until - date(1970, 1, 1)).days
    days = days.filter(days.day <= last)
    each = days.group_by("user").aggregate(first=days.day.min(), latest=days.day.max(), days=days.day.nunique())
    found = each.order_by("user").to_pyarrow()
    first, latest, count = (found[name].to_numpy().astype(np.float64) for name in ("first", "latest", "days"))
    if not count.size or count.max() < 2:
        raise InputError(f"{log.source}: no user was active on two days up to {until}", found=f"{count.size:,} users",
                         allowed="a log in which users come back")  # fmt: skip
    return History(count - 1, (latest - first) / 7, (last - first) / 7, until, log.source)


def fit(history: History) -> Lifetimes:
    """Return the BG/NBD model of greatest likelihood.

    Users with one history share one term of the likelihood, and its gradient is exact.

    Raises:
        InputError: the likelihood has no maximum that these data can tell.
    """
    unique, weights = np.unique(np.stack([history.repeats, history.recency, history.age]), axis=1, return_counts=True)
    x, recency, age = unique
    times = weights.astype(np.float64)
    scale = float(age.max()) / 10 or 1.0  # brings alpha near 1, so that one step length suits all four

    def loss(logs: Floats) -> tuple[float, Floats]:
        value, gradient = _log_likelihood(np.exp(logs), x, recency / scale, age / scale, times)
        return -value / history.repeats.size, -gradient * np.exp(logs) / history.repeats.size

    found = minimize(loss, np.zeros(4), jac=True, method="L-BFGS-B", bounds=[(-9.0, 9.0)] * 4,
                     options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8})  # fmt: skip
    at_edge = np.abs(found.x) > 8.9
    curvature = _curvature(lambda logs: loss(logs)[1], found.x) * history.repeats.size
    if at_edge.any() or np.linalg.eigvalsh(curvature).min() <= 0:
        edge = ", ".join(name for name, there in zip(_NAMES, at_edge, strict=True) if there)
        raise InputError(f"{history.source}: the BG/NBD model cannot be told from these data",
                         found=f"{history.repeats.size:,} users, {int(history.repeats.sum()):,} repeats"
                         + (f", no bound on {edge}" if edge else ""),
                         hint="more users or a longer time are needed")  # fmt: skip
    r, alpha, a, b = np.exp(found.x)
    likelihood = float(-found.fun * history.repeats.size - history.repeats.sum() * np.log(scale))
    return Lifetimes(float(r), float(alpha * scale), float(a), float(b), likelihood, history.repeats.size,
                     np.asarray(np.linalg.inv(curvature), dtype=np.float64), history.source)  # fmt: skip


def _log_likelihood(
    parameters: Floats, x: Floats, recency: Floats, age: Floats, weights: Floats
) -> tuple[float, Floats]:
    """Return the log-likelihood (Fader, Hardie and Lee 2005, eq. 6) and its gradient in r, alpha, a, b.

    With A = B(a, b + x) / B(a, b) * G and, where x > 0, the share of those who left right after their last act.
    """
    r, alpha, a, b = parameters
    stayed = -(r + x) * np.log(alpha + age)
    repeats = x > 0
    more = np.where(repeats, x, 1.0)
    left = np.where(repeats, np.log(a) - np.log(b + more - 1) - (r + x) * np.log(alpha + recency), -np.inf)
    both = np.logaddexp(stayed, left)
    part = np.exp(left - both)  # of the likelihood that says: left right after the last act
    common = gammaln(r + x) - gammaln(r) + r * np.log(alpha) + betaln(a, b + x) - betaln(a, b)
    value = float(weights @ (common + both))
    by_r = (
        digamma(r + x) - digamma(r) + np.log(alpha) - (1 - part) * np.log(alpha + age) - part * np.log(alpha + recency)
    )
    by_alpha = r / alpha - (r + x) * ((1 - part) / (alpha + age) + part / (alpha + recency))
    by_a = digamma(a + b) - digamma(a + b + x) + part / a
    by_b = digamma(b + x) - digamma(a + b + x) - digamma(b) + digamma(a + b) - part / (b + more - 1)
    return value, np.array([weights @ by_r, weights @ by_alpha, weights @ by_a, weights @ by_b])


def alive(parameters: Floats, x: Floats, recency: Floats, age: Floats) -> Floats:
    """Return the probability of not having left at r, alpha, a, b, for x repeats, the last at `recency`, by `age`; (N,)."""
    r, alpha, a, b = parameters
    odds_left = a / (b + np.maximum(x, 1) - 1) * ((alpha + age) / (alpha + recency)) ** (r + x)
    return np.where(x > 0, 1 / (1 + odds_left), 1.0)


def _curvature(gradient: object, at: Floats, step: float = 1e-5) -> Floats:
    assert callable(gradient)
    rows = [(gradient(at + move) - gradient(at - move)) / (2 * step) for move in np.eye(at.size) * step]
    hessian = np.array(rows)
    return np.asarray((hessian + hessian.T) / 2, dtype=np.float64)
