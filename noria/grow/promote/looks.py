"""Looks at a running experiment: day by day, what could be said under any rule of stopping."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from .difference import Floats
from .sequential import BURN_IN, always_valid
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
