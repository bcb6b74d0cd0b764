"""The difference between two groups, with its interval: of rates, of means, of ratios; and after a covariate from before.

gap = difference_of_proportions(56, 70, 48, 80)     # 0.2 [0.052, 0.334], Newcombe
gap = difference_of_means(arm(treated), arm(control))

Rates: Newcombe (1998), Interval estimation for the difference between independent proportions, Statistics in Medicine
17, method 10 (score intervals joined), and the p of the score test. Means: Welch (1947). Lifts, difference over the
control's value: Fieller (1954), which tells no interval where the control's value could be zero.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from noria.core.figure import Figure, proportion

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Arm:
    """What one group shows of one metric."""

    name: str
    n: int
    """Users."""
    value: float
    """The group's rate, mean, ratio, trimmed mean or quantile."""
    variance: float
    """Of `value`, the square of its standard error; nan where one user cannot tell it, 0 where all users show the same."""
    successes: int | None = None
    """Users with an outcome of 1, where every outcome is 0 or 1."""
    kept: int | None = None
    """Users of whose outcomes `value` is made, where not all are: of a trimmed mean."""
    ends: tuple[float, float] | None = None
    """Interval of `value`, where it is not Student's: of a quantile."""

    @property
    def freedom(self) -> int:
        """Degrees of freedom of `variance`."""
        return (self.n if self.kept is None else self.kept) - 1

    def figure(self, level: float = 0.95, source: str = "") -> Figure:
        """Return the group's value as a figure: Wilson's interval for a rate, Student's else."""
        if self.successes is not None:
            return proportion(self.name, self.successes, self.n, level=level, source=source)
        if self.ends is not None:
            return Figure(self.name, self.value, self.n, *self.ends, source=source, level=level)
        if self.n < 2 or not self.variance > 0:  # one user, or users who all show the same, tell no spread
            return Figure(self.name, self.value, self.n, source=source, level=level)
        half = float(stdtrit(self.freedom, (1 + level) / 2)) * math.sqrt(self.variance)
        return Figure(self.name, self.value, self.n, self.value - half, self.value + half, source=source, level=level)


@dataclass(frozen=True)
class Difference:
    """A treated group less the control group."""

    variant: str
    control: str
    value: float
    low: float
    high: float
    p: float
    n: int
    """Users of both groups."""
    error: float
    """Standard error of `value`."""
    freedom: float
    """Degrees of freedom of `error`."""
    level: float
    method: str
    """newcombe, welch, delta, yuen, brunner-munzel or bootstrap; with " + cuped" where a covariate was taken out."""
    lift: float | None = None
    """`value` over the control's; None where the control shows nothing."""
    lift_low: float | None = None
    lift_high: float | None = None

    @property
    def has_interval(self) -> bool:
        """Whether there is an interval: a spread was seen by which it can be told."""
        return math.isfinite(self.error)

    @property
    def clear(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0 or self.high < 0

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict; what is infinite or not known is None."""
        values = {**asdict(self), "clear": self.clear}
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in values.items()
        }


def arm_of_units(name: str, outcomes: Floats, weights: Floats | None = None) -> Arm:
    """Return what a group shows.

    Args:
        name: of the group.
        outcomes: one number a user, (N,).
        weights: for a ratio metric what each user's outcome is divided by, such as visits, (N,). The ratio is the sum of
            the one over the sum of the other and its variance the delta method's, users being the clusters (Deng,
            Knoblich and Lu 2018, Applying the Delta Method in Metric Analytics, section 3).
    """
    n = outcomes.size
    if weights is not None:
        base = float(weights.mean()) if n else math.nan
        if not base:
            return Arm(name, n, math.nan, math.nan)
        ratio = float(outcomes.mean()) / base
        spread = (
            _spread(outcomes - ratio * weights, float(np.abs(outcomes).max(initial=0.0))) / base**2 / n
            if n > 1
            else math.nan
        )
        return Arm(name, n, ratio, spread)
    mean = float(outcomes.mean()) if n else math.nan
    spread = _spread(outcomes, float(np.abs(outcomes).max(initial=0.0))) / n if n > 1 else math.nan
    binary = bool(((outcomes == 0) | (outcomes == 1)).all())
    return Arm(name, n, mean, spread, int(outcomes.sum()) if binary else None)


def _spread(values: Floats, size: float) -> float:
    """Return the variance of values, and 0 for one that is but rounding in numbers of that size."""
    variance = float(np.var(values, ddof=1))
    return variance if variance > (1e-12 * size) ** 2 else 0.0


def difference(treated: Arm, control: Arm, *, level: float = 0.95, method: str = "") -> Difference:
    """Return the difference of two groups, by the method that suits their metric."""
    if treated.successes is not None and control.successes is not None:
        return difference_of_proportions(
            treated.successes, treated.n, control.successes, control.n, level=level, names=(treated.name, control.name)
        )
    value = treated.value - control.value
    variance = treated.variance + control.variance
    if treated.freedom < 1 or control.freedom < 1 or not math.isfinite(variance) or not variance > 0:
        return unknown_difference(treated, control, level, method or "welch")
    error = math.sqrt(variance)
    parts = treated.variance**2 / treated.freedom + control.variance**2 / control.freedom
    freedom = variance**2 / parts if parts else math.inf
    p = (
        2 * float(stdtr(freedom, -abs(value) / error))
        if math.isfinite(freedom)
        else 2 * float(ndtr(-abs(value) / error))
    )
    half = float(stdtrit(freedom, (1 + level) / 2)) * error
    found = Difference(
        treated.name,
        control.name,
        value,
        value - half,
        value + half,
        p,
        treated.n + control.n,
        error,
        freedom,
        level,
        method or "welch",
    )
    return with_lift(found, treated, control)


def unknown_difference(treated: Arm, control: Arm, level: float, method: str) -> Difference:
    """Return the difference of two groups that show no spread by which to tell an interval."""
    value, n = treated.value - control.value, treated.n + control.n
    return Difference(treated.name, control.name, value, -math.inf, math.inf, 1.0, n, math.inf, math.inf, level, method)


def difference_of_proportions(
    successes: int,
    n: int,
    control_successes: int,
    control_n: int,
    *,
    level: float = 0.95,
    names: tuple[str, str] = ("treated", "control"),
) -> Difference:
    """Return the difference of two rates with Newcombe's interval; an empty group leaves it from -1 to 1."""
    if not n or not control_n:
        return Difference(*names, math.nan, -1.0, 1.0, 1.0, n + control_n, math.inf, math.inf, level, "newcombe")
    one, other = proportion("", successes, n, level=level), proportion("", control_successes, control_n, level=level)
    value = one.value - other.value
    ends = [float(end) for end in (one.low, one.high, other.low, other.high) if end is not None]
    low = value - math.hypot(one.value - ends[0], ends[3] - other.value)
    high = value + math.hypot(ends[1] - one.value, other.value - ends[2])
    pooled = (successes + control_successes) / (n + control_n)
    under_none = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / control_n))
    p = 2 * float(ndtr(-abs(value) / under_none)) if under_none else 1.0
    variances = [share * (1 - share) / size for share, size in ((one.value, n), (other.value, control_n))]
    found = Difference(
        *names, value, low, high, p, n + control_n, math.sqrt(sum(variances)), math.inf, level, "newcombe"
    )
    return with_lift(
        found, Arm(names[0], n, one.value, variances[0]), Arm(names[1], control_n, other.value, variances[1])
    )


def with_lift(found: Difference, treated: Arm, control: Arm) -> Difference:
    """Return the difference with the lift over the control's value and Fieller's interval of it."""
    lift = fieller(treated.value, treated.variance, control.value, control.variance, found.level, found.freedom)
    values = asdict(found)
    # A group in which every outcome is the same tells no spread, and so no interval of a lift.
    if lift is None or not treated.variance > 0 or not control.variance > 0:
        values["lift"] = found.value / control.value if control.value > 0 else None
    else:
        values.update(lift=lift[0] - 1, lift_low=lift[1] - 1, lift_high=lift[2] - 1)
    return Difference(**values)


def fieller(
    top: float,
    top_variance: float,
    bottom: float,
    bottom_variance: float,
    level: float = 0.95,
    freedom: float = math.inf,
) -> tuple[float, float, float] | None:
    """Return the ratio of two independent estimates and its interval; None where the lower one could be zero."""
    z = float(ndtri((1 + level) / 2)) if not math.isfinite(freedom) else float(stdtrit(freedom, (1 + level) / 2))
    if not bottom or not math.isfinite(top_variance + bottom_variance):
        return None
    g = z**2 * bottom_variance / bottom**2
    if g >= 1:
        return None
    ratio = top / bottom
    half = z / abs(bottom) * math.sqrt(top_variance * (1 - g) + ratio**2 * bottom_variance)
    return ratio, (ratio - half) / (1 - g), (ratio + half) / (1 - g)
