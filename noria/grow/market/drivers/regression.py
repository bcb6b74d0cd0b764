"""Panel regression with entity and time effects held fixed, and intervals that hold with few clusters.

fitted = regress(y, x, absorb, cluster, time, seed=0)
fitted.values, fitted.lows, fitted.highs

Observations of one entity are not independent, so the interval rests on entities, not on observations:
- 5 to 50 entities: wild cluster bootstrap with the null imposed, Webb's six-point weights, interval by inverting the test
  (Cameron, Gelbach and Miller 2008; Webb 2014; the algebra of Roodman, Nielsen, MacKinnon and Webb 2019);
- more: cluster-robust errors (Liang and Zeger 1986) with the small-sample factor and t(G - 1);
- fewer, but 30 periods or more: Driscoll and Kraay (1998), which allows entities to move together and periods to follow on
  from each other; of a single entity that is Newey and West (1987).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from noria.grow.series.series import Floats

from .panel import Ints

FEWEST = 5
"""Clusters below which errors across clusters cannot be learned."""
MANY = 50
"""Clusters above which the normal approximation is good enough."""
PERIODS = 30
"""Periods from which errors across time can be learned."""
_WEBB = np.array([-(1.5**0.5), -1.0, -(0.5**0.5), 0.5**0.5, 1.0, 1.5**0.5])


@dataclass(frozen=True)
class Fitted:
    """k coefficients; an end of an interval is infinite where the test rejects no value on that side."""

    values: Floats
    errors: Floats
    lows: Floats
    highs: Floats
    p: Floats
    clusters: int
    method: str
    residual: Floats
    """(n,)"""


def method_of(clusters: int, periods: int) -> str | None:
    """Return which errors so many clusters and periods allow; None where none."""
    if clusters > MANY:
        return "cluster-robust"
    if clusters >= FEWEST:
        return "wild cluster bootstrap"
    return "Driscoll-Kraay" if periods >= PERIODS else None


def regress(
    y: Floats,
    x: Floats,
    absorb: Absorber,
    cluster: Ints,
    time: Ints,
    *,
    level: float = 0.95,
    repeats: int = 1999,
    seed: int = 0,
) -> Fitted:
    """Return the least-squares coefficients of (n,) on (n, k), with fixed effects taken out and robust intervals.

    The design must be of full rank, and `method_of` must allow some errors: `identify.reasons` asks both.
    """
    n, k = x.shape
    rest, left = absorb(y), absorb(x)
    inverse = np.asarray(np.linalg.inv(left.T @ left), dtype=np.float64)
    values = inverse @ (left.T @ rest)
    residual = rest - left @ values
    clusters, periods = int(cluster.max()) + 1, int(time.max()) + 1
    method = method_of(clusters, periods)
    assert method is not None
    freedom = n - k - absorb.rank
    if method == "Driscoll-Kraay":
        errors = np.sqrt(np.diag(_driscoll_kraay(left, residual, time, inverse)) * (n - 1) / freedom)
        half = student.ppf((1 + level) / 2, periods - 1) * errors
        p = 2 * student.sf(np.abs(values) / errors, periods - 1)
        return Fitted(values, errors, values - half, values + half, p, periods, method, residual)
    factor = clusters / (clusters - 1) * (n - 1) / freedom
    scores = _sums(left * residual[:, None], cluster, clusters)
    errors = np.sqrt(np.diag(inverse @ scores.T @ scores @ inverse) * factor)
    if method == "cluster-robust":
        half = student.ppf((1 + level) / 2, clusters - 1) * errors
        p = 2 * student.sf(np.abs(values) / errors, clusters - 1)
        return Fitted(values, errors, values - half, values + half, p, clusters, method, residual)
    random = np.random.default_rng(seed)
    weights = random.choice(_WEBB, (clusters, repeats))
    found = [_wild(place, values, errors, rest, left, absorb, cluster, weights, level) for place in range(k)]
    lows, highs, p = (np.array(part) for part in zip(*found, strict=True))
    return Fitted(values, errors, lows, highs, p, clusters, method, residual)


def _wild(
    place: int,
    values: Floats,
    errors: Floats,
    rest: Floats,
    left: Floats,
    absorb: Absorber,
    cluster: Ints,
    weights: Floats,
    level: float,
) -> tuple[float, float, float]:
    """Return the ends of one coefficient's interval and the p-value of zero, by the restricted wild cluster bootstrap."""
    others = np.delete(left, place, axis=1)
    own, without = left[:, place], rest
    if others.shape[1]:
        own = own - others @ np.linalg.lstsq(others, own, rcond=None)[0]
        without = without - others @ np.linalg.lstsq(others, without, rcond=None)[0]
    clusters = weights.shape[0]
    member = np.eye(clusters)[cluster]  # n x G
    inverse = np.linalg.inv(left.T @ left)
    # Under the null that the coefficient is b, residuals are `without - b own`: everything below is linear in b.
    parts = []
    for base in (without, own):
        spread = absorb(member * base[:, None])
        spread -= left @ (
            inverse @ (left.T @ spread)
        )  # n x G: what the full regression leaves of each cluster's residuals
        parts.append((member.T @ (own * base), _sums(own[:, None] * spread, cluster, clusters)))
    (top_y, low_y), (top_x, low_x) = parts

    def p_value(null: float) -> float:
        top, low = top_y - null * top_x, low_y - null * low_x  # G, and G x G
        seen = abs(float(top.sum())) / max(float(np.linalg.norm(low.sum(1))), 1e-300)
        drawn = np.abs(top @ weights) / np.maximum(np.linalg.norm(low @ weights, axis=0), 1e-300)
        return float((1 + np.sum(drawn >= seen - 1e-12)) / (1 + drawn.size))

    ends = [_crossing(p_value, float(values[place]), side * float(errors[place]), 1 - level) for side in (-1.0, 1.0)]
    return ends[0], ends[1], p_value(0.0)


def _crossing(p_value: Callable[[float], float], centre: float, step: float, level: float) -> float:
    """Return where the p-value falls to `level`, going from `centre` in steps; infinite where it never does."""
    if step == 0:
        return centre
    far = step
    for _ in range(12):
        if p_value(centre + far) < level:
            break
        far *= 2
    else:
        return float(np.copysign(np.inf, step))
    near = 0.0
    for _ in range(30):
        middle = (near + far) / 2
        near, far = (middle, far) if p_value(centre + middle) >= level else (near, middle)
    return centre + far


def _driscoll_kraay(left: Floats, residual: Floats, time: Ints, inverse: Floats) -> Floats:
    """Return the covariance, Bartlett weights over floor(4 (T / 100)^(2/9)) periods (Newey and West 1994)."""
    periods = int(time.max()) + 1
    scores = _sums(left * residual[:, None], time, periods)
    reach = int(4 * (periods / 100) ** (2 / 9))
    meat = scores.T @ scores
    for lag in range(1, reach + 1):
        cross = scores[lag:].T @ scores[:-lag]
        meat += (1 - lag / (reach + 1)) * (cross + cross.T)
    return np.asarray(inverse @ meat @ inverse, dtype=np.float64)


def _sums(values: Floats, group: Ints, groups: int) -> Floats:
    """Return the sum over each group's rows, (groups, columns)."""
    total = np.zeros((groups, values.shape[1]))
    np.add.at(total, group, values)
    return total


class Absorber:
    """Takes one or two sets of fixed effects out of columns of n numbers, exactly and without iterating.

    The larger set goes by its means; what the smaller adds is one small system of its levels (Frisch and Waugh 1933; Lovell
    1963). `rank` is how many effects there are, less what they share; `kept` is the part of each observation's own variance
    that is left, (n,): one less the leverage of its effects.
    """

    def __init__(self, groups: Sequence[Ints]) -> None:
        codes = sorted(
            (np.unique(group, return_inverse=True)[1] for group in groups), key=lambda group: -int(group.max())
        )
        self._large = codes[0]
        self._counts = np.bincount(self._large).astype(np.float64)
        self.rank = self._counts.size
        self.kept: Floats = 1 - 1 / self._counts[self._large]
        self._small: Ints | None = None
        if len(codes) > 1:
            self._small = codes[1]
            levels = int(codes[1].max()) + 1
            table = np.bincount(self._large * levels + codes[1], minlength=self._counts.size * levels).reshape(
                -1, levels
            )
            self._parts = table / self._counts[:, None]
            values, vectors = np.linalg.eigh(np.diag(table.sum(0).astype(np.float64)) - table.T @ self._parts)
            told = values > 1e-9 * max(values[-1], 1.0)
            self.rank += int(told.sum())
            self._inverse = (vectors[:, told] / values[told]) @ vectors[:, told].T
            spread = self._parts @ self._inverse
            self.kept = self.kept - (
                np.diag(self._inverse)[codes[1]]
                - 2 * spread[self._large, codes[1]]
                + (spread * self._parts).sum(1)[self._large]
            )

    def __call__(self, values: Floats) -> Floats:
        """Return what is left of (n,) or (n, columns)."""
        left = values.reshape(len(values), -1).astype(np.float64)
        left = left - (_group_sums(left, self._large, self._counts.size) / self._counts[:, None])[self._large]
        if self._small is not None:
            level = self._inverse @ _group_sums(left, self._small, len(self._inverse))
            left -= level[self._small] - (self._parts @ level)[self._large]
        return left.reshape(values.shape)


def _group_sums(values: Floats, codes: Ints, levels: int) -> Floats:
    return np.stack([np.bincount(codes, column, levels) for column in values.T], axis=1)
