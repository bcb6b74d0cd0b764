"""Looks at a running experiment: day by day, what may be said under any rule of stopping, by intervals that hold at every look."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import lambertw

from .difference import Floats
from .units import Units

MOST_LOOKS = 400


@dataclass(frozen=True)
class Look:
    """One look at one comparison."""

    time: str
    """YYYY-MM-DD, the last day that the look sees."""
    n: int
    """Users of both groups so far."""
    value: float
    low: float
    high: float
    """Infinite, or far out, where it is too early to say."""
    p: float

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict; an end that is not known is None."""
        values = asdict(self)
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in values.items()
        }


def looks_of(units: Units, values: Floats, *, level: float, planned: int | None) -> list[tuple[Look, ...]]:
    """Return for each treated group its looks, one a day on which users came.

    A user counts on the day they came, with the outcome known at the end: whoever must wait for outcomes looks later.

    Args:
        units: the users; without days there are no looks.
        values: one number a user whose mean is the group's metric, (N,).
        level: chance that all intervals of one comparison hold.
        planned: users a group at which the intervals are to be narrowest; those of the last look where not given.
    """
    groups = len(units.names)
    if units.day is None:
        return [()] * (groups - 1)
    days, place = np.unique(units.day, return_inverse=True)
    if days.size > MOST_LOOKS:  # every few days then, the last one always among them
        step = math.ceil(days.size / MOST_LOOKS)
        last = days[::-1][::step][::-1]
        place = np.searchsorted(last, units.day)
        days = last
    centre = float(values.mean())
    cell = place * groups + units.group
    sums = [
        np.cumsum(np.bincount(cell, weights=weights, minlength=days.size * groups).reshape(days.size, groups), axis=0)
        for weights in (np.ones(values.size), values - centre, (values - centre) ** 2)
    ]
    count, total, square = sums
    with np.errstate(invalid="ignore", divide="ignore"):
        means = total / count
        spread = np.maximum(square - count * means**2, 0.0) / (count - 1)
        errors = np.where(count >= BURN_IN, spread / count, np.nan)
    found = []
    for group in range(1, groups):
        variance = errors[:, group] + errors[:, 0]
        variance = np.where(variance > 0, variance, np.nan)
        now = 1 / count[:, 0].clip(1) + 1 / count[:, group].clip(1)
        goal = 2 / planned if planned else now[-1]
        seen = means[:, group] - means[:, 0]
        # The variance at the planned size: today's, in proportion to the users; of the estimates themselves it knows nothing.
        path = always_valid(seen, variance, planned=variance * goal / now, level=level)
        found.append(
            tuple(
                Look(
                    (date(1970, 1, 1) + timedelta(int(day))).isoformat(),
                    int(count[row, group] + count[row, 0]),
                    float(seen[row]),
                    float(path.low[row]),
                    float(path.high[row]),
                    float(path.p[row]),
                )
                for row, day in enumerate(days.tolist())
            )
        )
    return found


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

    A test of fixed size that is looked at every day cries wolf far more often than it promises. The mixture sequential
    probability ratio test (Robbins 1970; Johari, Koomen, Pekelis and Walsh 2022, Always Valid Inference, Operations Research
    70) does not: over a normal mixture of differences with variance tau^2, an estimate d with variance V has the ratio

        sqrt(V / (V + tau^2)) exp(d^2 tau^2 / (2 V (V + tau^2))),

    and the chance that it ever exceeds 1/alpha under no difference is at most alpha (Ville 1939). With estimated variances
    this holds asymptotically (Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas 2024, Time-uniform central limit theory and
    asymptotic confidence sequences, Annals of Statistics 52), so the first looks wait for `BURN_IN` users in each group.

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
