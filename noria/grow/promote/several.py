"""Several comparisons at once: adjusted p values, and intervals that all hold together.

Holm (1979) bounds the chance of any false alarm; Benjamini and Hochberg (1995) the share of false ones among the
findings. Several variants against one control share that control's noise, so the simultaneous intervals need not be as
wide as Bonferroni's: Dunnett (1955), A Multiple Comparison Procedure for Comparing Several Treatments with a Control.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtrit

Floats = npt.NDArray[np.float64]


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
