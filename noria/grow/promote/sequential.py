"""Looking at any time: intervals and p values that hold at every look at once.

path = always_valid(estimates, variances, planned=planned_variance)
path.low, path.high      # every one of them holds, all together, with probability 0.95

A test of fixed size that is looked at every day cries wolf far more often than it promises. The mixture sequential
probability ratio test (Robbins 1970; Johari, Koomen, Pekelis and Walsh 2022, Always Valid Inference, Operations Research
70) does not: over a normal mixture of differences with variance tau^2, an estimate d with variance V has the ratio

    sqrt(V / (V + tau^2)) exp(d^2 tau^2 / (2 V (V + tau^2))),

and the chance that it ever exceeds 1/alpha under no difference is at most alpha (Ville 1939). With estimated variances
this holds asymptotically (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, Time-uniform central limit theory and
asymptotic confidence sequences, Annals of Statistics 52), so the first looks wait for `BURN_IN` users in each group.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import lambertw

Floats = npt.NDArray[np.float64]
BURN_IN = 50
"""Users in the smaller group below which nothing is said."""


@dataclass(frozen=True)
class AlwaysValid:
    """Estimates at each look, and what may be said at every one of them; arrays over looks, (L,)."""

    estimates: Floats
    low: Floats
    high: Floats
    """Ends of the confidence sequence; infinite where too few users had come."""
    p: Floats
    """Always-valid p values, which never rise."""
    level: float

    @property
    def decided(self) -> int | None:
        """The first look whose interval leaves zero out, or None."""
        out = np.flatnonzero((self.low > 0) | (self.high < 0))
        return int(out[0]) if out.size else None


def mixture_share(level: float) -> float:
    """Return tau^2 over the planned variance for which the sequence is narrowest when that variance is reached.

    Waudby-Smith et al. 2024, eq. 25: -W(-alpha^2 / e) - 1 on the lower branch of Lambert's W.
    """
    alpha = 1 - level
    return float(-lambertw(-(alpha**2) / np.e, k=-1).real - 1)


def always_valid(
    estimates: npt.ArrayLike, variances: npt.ArrayLike, *, planned: npt.ArrayLike, level: float = 0.95
) -> AlwaysValid:
    """Return the confidence sequence and the always-valid p values of a difference.

    Args:
        estimates: the difference at each look, in order of time, (L,).
        variances: their estimated variances, (L,); infinite or nan where it is too early to say.
        planned: the variance at which the sequence is to be narrowest: that of the size planned before. It must not
            depend on the estimates. One number, or one a look.
        level: chance that all intervals hold.
    """
    seen, spread = np.asarray(estimates, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    alpha = 1 - level
    known = np.isfinite(spread) & (spread > 0) & np.isfinite(seen)
    safe = np.where(known, spread, 1.0)
    # tau^2 / V: what the mixture adds, in units of the variance at the look.
    share = mixture_share(level) * np.asarray(planned, dtype=np.float64) / safe
    half = np.sqrt(safe * (1 + share) / share * (2 * np.log(1 / alpha) + np.log1p(share)))
    half = np.where(known, half, np.inf)
    with np.errstate(over="ignore"):
        ratio = np.exp(np.minimum(np.where(known, seen, 0.0) ** 2 / safe * share / (2 * (1 + share)), 700.0)) / np.sqrt(
            1 + share
        )
    p = np.minimum.accumulate(np.where(known, np.minimum(1.0, 1 / ratio), 1.0))
    at = np.where(known, seen, 0.0)
    return AlwaysValid(seen, at - half, at + half, p, level)
