"""Whether a measure of two periods differs by more than chance between its users: the difference, its interval, on how many users it rests.

    compare({"active_users": PerUser(before, now)})[0].sure

Users, not acts, are what varies by chance: one busy user is one. Intervals are corrected for how many measures were looked at
(Bonferroni), so that all of them together hold what they promise. Of too few users nothing is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Floats = NDArray[np.float64]
ALL = 0.95
"""Coverage that all intervals hold together."""
LEAST_USERS = 20
"""Users that each period of a share must have, and both of a total: below, no interval of theirs is to be trusted."""
LEAST_EACH = 10
"""How often what is counted must have come, and not come, for its share to be compared."""
LEAST_STEPS = 8
"""Steps of a series before the last one, from which it is told what is usual."""


@dataclass(frozen=True)
class PerUser:
    """A measure by user: of a total what each did; of a share what each did of what it is a share of. All are (users,)."""

    before: Floats
    now: Floats
    of_before: Floats | None = None
    of_now: Floats | None = None

    @property
    def share(self) -> bool:
        """Return whether it is a share."""
        return self.of_now is not None


@dataclass(frozen=True)
class Change:
    """A measure in two periods, and the interval of its difference."""

    measure: str
    before: float
    now: float
    low: float
    high: float
    n: int
    """Users that it rests on; of a series its earlier steps."""
    level: float
    """Coverage of the interval."""
    looked: int
    """Measures that were looked at with it."""
    share: bool = False

    @property
    def value(self) -> float:
        """Return the difference."""
        return self.now - self.before

    @property
    def sure(self) -> bool:
        """Return whether the interval is on one side of zero."""
        return self.low > 0 or self.high < 0

    @property
    def strength(self) -> float:
        """Return the difference in half-widths of its interval."""
        return abs(self.value) / max((self.high - self.low) / 2, 1e-12)


def compare(measures: Mapping[str, PerUser]) -> list[Change]:
    """Return the changes of all measures that have users enough, surest first; each with the interval that holds for all together."""
    able = {name: one for name, one in measures.items() if enough(one)}
    level = corrected(len(able))
    made = [(_share if one.share else _total)(name, one, level, len(able)) for name, one in able.items()]
    return sorted(made, key=lambda one: -one.strength)


def corrected(looked: int) -> float:
    """Return the coverage that each of so many intervals needs, for all together to hold `ALL` (Bonferroni)."""
    return 1 - (1 - ALL) / max(looked, 1)


def enough(one: PerUser) -> bool:
    """Return whether a measure has users and counts enough to be compared."""
    if one.of_before is None or one.of_now is None:
        return int(((one.before != 0) | (one.now != 0)).sum()) >= LEAST_USERS
    counted, of = one.before.sum() + one.now.sum(), one.of_before.sum() + one.of_now.sum()
    users = min((one.of_before > 0).sum(), (one.of_now > 0).sum())
    return bool(users >= LEAST_USERS and min(counted, of - counted) >= LEAST_EACH)


def _total(name: str, one: PerUser, level: float, looked: int) -> Change:
    """Compare sums: each user's difference is a draw, and their sum varies by the root of their squares (Efron 1969 for why that holds
    whatever the draws are, where both periods are alike)."""
    steps = one.now - one.before
    n = int(((one.before != 0) | (one.now != 0)).sum())
    half = float(stdtrit(n - 1, (1 + level) / 2)) * sqrt(float(steps @ steps))
    value = float(steps.sum())
    before = float(one.before.sum())
    return Change(name, before, before + value, value - half, value + half, n, level, looked)


def _share(name: str, one: PerUser, level: float, looked: int) -> Change:
    """Compare shares of sums: linearised by user (Cochran 1977, 6.4), paired where a user is in both periods, with one made-up success and
    failure a period (Agresti and Caffo 2000), without which none at all would seem certain."""
    assert one.of_before is not None
    assert one.of_now is not None
    n = int(((one.of_before > 0) | (one.of_now > 0)).sum())
    sizes = one.of_before.sum() + 2, one.of_now.sum() + 2
    rates = (one.before.sum() + 1) / sizes[0], (one.now.sum() + 1) / sizes[1]
    influence = (one.now - rates[1] * one.of_now) / sizes[1] - (one.before - rates[0] * one.of_before) / sizes[0]
    made_up = sum(((1 - rate) ** 2 + rate**2) / size**2 for rate, size in zip(rates, sizes, strict=True))
    half = float(stdtrit(n - 1, (1 + level) / 2)) * sqrt(float(influence @ influence + made_up) * n / (n - 1))
    before, now = float(one.before.sum() / one.of_before.sum()), float(one.now.sum() / one.of_now.sum())
    middle, value = float(rates[1] - rates[0]), now - before
    return Change(name, before, now, min(middle - half, value), max(middle + half, value), n, level, looked, share=True)


def share_of(counted: Floats, of: Floats, level: float = ALL) -> tuple[float, float, float] | None:
    """Return a share of one period with the ends of its interval, by user as `compare` has it; None of too few users."""
    users, size = int((of > 0).sum()), float(of.sum())
    if users < LEAST_USERS or min(counted.sum(), size - counted.sum()) < LEAST_EACH:
        return None
    rate = (float(counted.sum()) + 1) / (size + 2)
    influence = (counted - rate * of) / (size + 2)
    made_up = ((1 - rate) ** 2 + rate**2) / (size + 2) ** 2
    half = float(stdtrit(users - 1, (1 + level) / 2)) * sqrt(
        float(influence @ influence + made_up) * users / (users - 1)
    )
    value = float(counted.sum()) / size
    return value, max(0.0, min(rate - half, value)), min(1.0, max(rate + half, value))


def last_step(name: str, values: Sequence[float] | NDArray[Any], looked: int) -> Change | None:
    """Return the last step of a series, whose interval is that of the step less what the steps before would let one expect: a step
    drawn from the same normal distribution as they (Hahn 1970). None where too few are known.

    Args:
        name: of the series.
        values: one a period; nan where it is not known.
        looked: series that are looked at together.
    """
    steps = np.diff(np.asarray(values, dtype=np.float64))
    if not len(steps) or np.isnan(steps[-1]):
        return None
    earlier = steps[:-1][~np.isnan(steps[:-1])]
    if len(earlier) < LEAST_STEPS:
        return None
    level, n = corrected(looked), len(earlier)
    spread = float(earlier.std(ddof=1)) * sqrt(1 + 1 / n)
    half = float(stdtrit(n - 1, (1 + level) / 2)) * spread
    beyond = float(steps[-1] - earlier.mean())
    before, now = float(values[-2]), float(values[-1])
    return Change(name, before, now, beyond - half, beyond + half, n, level, looked, share=True)
