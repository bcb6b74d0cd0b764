"""The Pareto/NBD model: users leave at any time, not only after an act; fitted by maximum likelihood.

    model = fit_pareto(history)                 # r, alpha, s, beta with intervals
    model.expected(history, weeks=39)

Model: Schmittlein, Morrison and Colombo (1987), Counting Your Customers, Management Science 33(1). While alive a user acts at
rate lambda ~ Gamma(r, alpha), and leaves at rate mu ~ Gamma(s, beta). Time is in weeks. The likelihood is an integral over the
moment of leaving, which is taken by Gauss-Legendre quadrature instead of the usual hypergeometric functions: it never
overflows, and its gradient is as exact as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .lifetime import History, Rows
from .likelihood import Floats, greatest, intervals_on_logs

NAMES = ("r", "alpha", "s", "beta")
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)
_FAR = 45.0
"""The integrand is not followed below exp(-45) of its beginning."""


@dataclass(frozen=True)
class Pareto:
    """A fitted Pareto/NBD model."""

    r: float
    alpha: float
    s: float
    beta: float
    log_likelihood: float
    users: int
    covariance: Floats
    """Of the logarithms of r, alpha, s, beta; (4, 4)."""
    source: str

    @property
    def name(self) -> str:
        """Name of the model."""
        return "Pareto/NBD"

    @property
    def parameters(self) -> Floats:
        """r, alpha, s, beta."""
        return np.array([self.r, self.alpha, self.s, self.beta])

    def intervals(self, z: float = 1.96) -> dict[str, tuple[float, float]]:
        """Return the interval of each parameter: normal on the logarithm."""
        return intervals_on_logs(NAMES, self.parameters, self.covariance, z)

    def alive(self, history: History) -> Floats:
        """Return the probability that each user has not left, (N,) (Schmittlein, Morrison and Colombo 1987, eq. 11)."""
        return _alive(self.parameters, history)

    def expected(self, history: History, weeks: float) -> Floats:
        """Return the acts expected of each user in the next `weeks`, (N,) (the same, eq. 22; Fader and Hardie 2005, eq. 41)."""
        r, alpha, s, beta = self.parameters
        left = _left_over((beta + history.age) / (beta + history.age + weeks), s)
        rate = (r + history.repeats) * (beta + history.age) / (alpha + history.age)
        return np.asarray(rate * left * self.alive(history), dtype=np.float64)

    def expected_from_start(self, weeks: Floats) -> Floats:
        """Return the repeats expected of a new user within `weeks` of the first act (the same, eq. 17)."""
        r, alpha, s, beta = self.parameters
        return np.asarray(r * beta / alpha * _left_over(beta / (beta + np.asarray(weeks)), s), dtype=np.float64)

    def acts_by_week(self, history: History, weeks: int, parameters: Floats, random: np.random.Generator) -> Floats:
        """Return one draw of what all users will do in each of the next `weeks`, (weeks,), at some parameters.

        For each user whether they have left, and their rates of acting and leaving from the posterior given their own history.
        """
        r, alpha, s, beta = parameters
        here = random.random(history.repeats.size) < _alive(parameters, history)
        rate = random.gamma(r + history.repeats[here]) / (alpha + history.age[here])
        leaving = np.maximum(random.gamma(s, size=rate.size) / (beta + history.age[here]), 1e-12)
        stay = np.minimum(random.exponential(1 / leaving), weeks)
        acts = random.poisson(rate * stay)
        when = np.repeat(stay, acts) * random.random(int(acts.sum()))
        return np.bincount(when.astype(np.int64), minlength=weeks).astype(np.float64)


def fit_pareto(history: History) -> Pareto:
    """Return the Pareto/NBD model of greatest likelihood.

    Raises:
        InputError: the likelihood has no maximum that these data can tell.
    """
    scale = float(history.age.max()) / 10 or 1.0
    rows = Rows.of(history, scale)

    def value(logs: Floats) -> tuple[float, Floats]:
        likelihood, gradient = log_likelihood(np.exp(logs), rows)
        return likelihood, gradient * np.exp(logs)

    found, covariance = greatest(
        value, np.zeros(4), NAMES, history.source, "Pareto/NBD", history.text(), history.repeats.size
    )
    r, alpha, s, beta = np.exp(found)
    likelihood = value(found)[0] - float(history.repeats.sum()) * float(np.log(scale))
    return Pareto(
        float(r),
        float(alpha * scale),
        float(s),
        float(beta * scale),
        likelihood,
        history.repeats.size,
        covariance,
        history.source,
    )


def log_likelihood(parameters: Floats, rows: Rows) -> tuple[float, Floats]:
    """Return the log-likelihood at r, alpha, s, beta and its gradient, (4,) (Fader and Hardie 2005, note on Pareto/NBD, eq. 15)."""
    r, alpha, s, beta = parameters
    x, age, times, more = rows.x, rows.age, rows.times, rows.more_than()
    stayed, left, (by_log_alpha, by_alpha, by_log_beta, by_beta) = _terms(parameters, x, rows.recency, age)
    both = np.logaddexp(stayed, left)
    part = np.exp(left - both)
    users = float(times.sum())
    value = more @ np.log(r + np.arange(more.size)) + users * (r * np.log(alpha) + s * np.log(beta)) + times @ both
    gone, here = times * part, times * (1 - part)
    return float(value), np.array(
        [
            more @ (1 / (r + np.arange(more.size)))
            + users * np.log(alpha)
            - here @ np.log(alpha + age)
            - gone @ by_log_alpha,
            users * r / alpha - here @ ((r + x) / (alpha + age)) - gone @ ((r + x) * by_alpha),
            users * np.log(beta) - here @ np.log(beta + age) + gone.sum() / s - gone @ by_log_beta,
            users * s / beta - here @ (s / (beta + age)) - gone @ ((s + 1) * by_beta),
        ]
    )


def _terms(
    parameters: Floats, x: Floats, recency: Floats, age: Floats
) -> tuple[Floats, Floats, tuple[Floats, Floats, Floats, Floats]]:
    """Return the logarithms of both terms of the likelihood: still there, and left at some moment m between last act and now.

    And means over that moment, for the gradient: of log(alpha + m), 1 / (alpha + m), log(beta + m), 1 / (beta + m); (R,) each.
    Integrated over u = log(alpha + m), in which the integrand falls evenly.
    """
    r, alpha, s, beta = parameters
    start, end = np.log(alpha + recency), np.log(alpha + age)
    fall = np.maximum(r + x + s - 1, 1e-3)
    width = np.minimum(end - start, _FAR / fall)
    u = start[:, None] + width[:, None] * (_NODES + 1) / 2  # R rows, 64 nodes
    log_beta = np.log(np.maximum(beta - alpha + np.exp(u), 1e-300))
    curve = (1 - r - x)[:, None] * u - (s + 1) * log_beta
    top = curve.max(1)
    mass = np.exp(curve - top[:, None]) * _WEIGHTS
    total = mass.sum(1)
    with np.errstate(divide="ignore"):  # an act on the very last day leaves no time to have left in
        left = np.log(s) + top + np.log(total) + np.log(width / 2)
    stayed = -(r + x) * np.log(alpha + age) - s * np.log(beta + age)
    mass /= total[:, None]
    means = tuple((mass * values).sum(1) for values in (u, np.exp(-u), log_beta, np.exp(-log_beta)))
    return stayed, left, (means[0], means[1], means[2], means[3])


def _alive(parameters: Floats, history: History) -> Floats:
    """Return the probability that each user has not left, (N,); users of one history share the integral."""
    rows, place = history.distinct
    stayed, left, _ = _terms(parameters, *rows.T)
    return np.asarray(np.exp(stayed - np.logaddexp(stayed, left))[place], dtype=np.float64)


def _left_over(ratio: Floats, s: float) -> Floats:
    """Return (1 - ratio ** (s - 1)) / (s - 1), which is -log(ratio) where s is 1."""
    logs = np.log(ratio)
    return np.asarray(-np.expm1((s - 1) * logs) / (s - 1) if abs(s - 1) > 1e-9 else -logs, dtype=np.float64)
