"""Several comparisons at once: adjusted p values, and intervals that all hold together.

Holm (1979) bounds the chance of any false alarm; Benjamini and Hochberg (1995) the share of false ones among the
findings. Several variants against one control share that control's noise, so the simultaneous intervals need not be as
wide as Bonferroni's: Dunnett (1955), A Multiple Comparison Procedure for Comparing Several Treatments with a Control.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtrit

from .difference import Difference, Floats

Several = Literal["dunnett", "holm", "bh", "none"]


def holm(p: npt.ArrayLike) -> Floats:
    """Return Holm's adjusted p values, in the order given, (K,)."""
    given = np.asarray(p, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    raised = np.maximum.accumulate(given[order] * (given.size - np.arange(given.size)))
    found = np.empty_like(given)
    found[order] = np.minimum(raised, 1.0)
    return found


def benjamini_hochberg(p: npt.ArrayLike) -> Floats:
    """Return Benjamini and Hochberg's adjusted p values, in the order given, (K,)."""
    given = np.asarray(p, dtype=np.float64)
    order = np.argsort(given, kind="stable")[::-1]
    raised = np.minimum.accumulate(given[order] * given.size / np.arange(given.size, 0, -1))
    found = np.empty_like(given)
    found[order] = np.minimum(raised, 1.0)
    return found


def dunnett_quantile(level: float, loadings: npt.ArrayLike, freedom: float = np.inf) -> float:
    """Return how many standard errors wide, to each side, intervals must be for all to hold with probability `level`.

    Args:
        level: such as 0.95.
        loadings: for each comparison the root of the part of its variance that comes from the control group, (K,); the
            correlation of two comparisons is the product of theirs. Equal groups: root of one half.
        freedom: degrees of freedom of the variance.
    """
    shared = np.asarray(loadings, dtype=np.float64)
    if shared.size == 1:
        return float(stdtrit(freedom, (1 + level) / 2) if np.isfinite(freedom) else ndtri((1 + level) / 2))
    high = float(ndtri(1 - (1 - level) / (2 * shared.size)))
    if np.isfinite(freedom):
        high = float(stdtrit(freedom, 1 - (1 - level) / (2 * shared.size)))
    return float(brentq(lambda c: dunnett_probability(c, shared, freedom) - level, 0.5, high + 1e-6, xtol=1e-8))


def dunnett_probability(bound: float, loadings: npt.ArrayLike, freedom: float = np.inf) -> float:
    """Return the chance that no comparison lies further than `bound` standard errors from the truth.

    Given the control's mean and the common deviation the comparisons are independent (Dunnett 1955, eq. 3): an integral
    over the one, by Gauss and Hermite, within one over the other.
    """
    shared = np.asarray(loadings, dtype=np.float64)[:, None, None]
    points, weights = _hermite()
    scales, parts = (np.ones(1), np.ones(1)) if not np.isfinite(freedom) else _deviations(freedom)
    own = np.sqrt(np.maximum(1 - shared**2, 1e-12))
    edge, middle = bound * scales[None, :, None], shared * points[None, None, :]
    inside = ndtr((edge + middle) / own) - ndtr((middle - edge) / own)
    return float(parts @ (np.prod(inside, axis=0) @ weights))


@lru_cache(maxsize=1)
def _hermite() -> tuple[Floats, Floats]:
    points, weights = np.polynomial.hermite_e.hermegauss(64)
    return points, weights / np.sqrt(2 * np.pi)


@lru_cache(maxsize=64)
def _deviations(freedom: float) -> tuple[Floats, Floats]:
    """Return values of the estimated over the true deviation, and their weights: root of chi-square over freedom."""
    spread = 1 / np.sqrt(2 * freedom)
    low, high = max(0.0, 1 - 9 * spread), 1 + 10 * spread
    points, parts = np.polynomial.legendre.leggauss(64)
    at = low + (high - low) * (points + 1) / 2
    logs = (freedom - 1) * np.log(at) - freedom * at**2 / 2
    weights = parts * np.exp(logs - logs.max())
    return at, weights / weights.sum()


def simultaneous(
    found: Sequence[Difference], shared: Floats, several: Several, level: float
) -> tuple[Floats, Sequence[Difference]]:
    """Return p values, and differences, that allow for all comparisons.

    Args:
        found: each treated group less the control group, alone.
        shared: for each the part of its variance that comes from the control group, (K,).
        several: dunnett widens the intervals too; holm and bh adjust p alone; none leaves all as it is.
        level: chance that all intervals hold.
    """
    p = np.array([item.p for item in found])
    if len(found) < 2 or several == "none":
        return p, found
    if several == "holm":
        return holm(p), found
    if several == "bh":
        return benjamini_hochberg(p), found
    loadings = np.sqrt(shared)
    freedom = min(item.freedom for item in found)
    width = dunnett_quantile(level, loadings, freedom)
    wider = [_widened(item, width) for item in found]
    return np.array([_joint_p(item, loadings, freedom) for item in found]), wider


def _joint_p(item: Difference, loadings: Floats, freedom: float) -> float:
    """Return the chance that, were there no difference, any comparison lay as far out as this one."""
    far = abs(float(stdtrit(item.freedom, item.p / 2) if math.isfinite(item.freedom) else ndtri(item.p / 2)))
    return 0.0 if math.isinf(far) else float(min(1.0, max(item.p, 1 - dunnett_probability(far, loadings, freedom))))


def _widened(item: Difference, width: float) -> Difference:
    """Return the difference with each side of its interval stretched from its own quantile to `width` errors."""
    own = float(
        stdtrit(item.freedom, (1 + item.level) / 2) if math.isfinite(item.freedom) else ndtri((1 + item.level) / 2)
    )
    return stretched(item, width / own)


def stretched(item: Difference, factor: float) -> Difference:
    """Return the difference with each side of its intervals `factor` times as long, as far as the metric goes."""
    low, high = item.value - factor * (item.value - item.low), item.value + factor * (item.high - item.value)
    most = {"newcombe": 1.0, "brunner-munzel": 0.5}.get(item.method, math.inf)
    low, high = max(-most, low), min(most, high)
    wider = replace(item, low=low, high=high)
    if item.lift is None or item.lift_low is None or item.lift_high is None:
        return wider
    return replace(
        wider,
        lift_low=item.lift - factor * (item.lift - item.lift_low),
        lift_high=item.lift + factor * (item.lift_high - item.lift),
    )
