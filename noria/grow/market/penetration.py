"""How much of a market is reached: users under a ceiling that is given as a range, how fast they grow, and when half is reached.

reach = penetration(times, users, ceiling=(4.0e9, 5.5e9), source="...")
reach.figures()      # part reached now, and the years until half of the ceiling

The logistic curve with a given ceiling is a straight line in logits (Fisher and Pry 1971). The ceiling is not estimated: before
the bend, a series says next to nothing about it, so it comes in as a range and goes out in the interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from scipy.special import logit

from noria.core.errors import InputError
from noria.core.figure import Figure
from noria.core.messages import Message, message
from noria.grow.series.series import Floats

FEWEST = 4
"""Points below which a line and its error cannot both be had."""
_YEAR = 365.25


@dataclass(frozen=True)
class Penetration:
    """Use under a ceiling; draws over the ceiling and the fit."""

    part: Floats
    """(draws,): part of the ceiling reached at the last point."""
    pace: Floats
    """(draws,): growth of the logit, a year."""
    years_to_half: Floats | None
    """(draws,): years after the last point until half of the ceiling; negative where it lies behind. None where not identified."""
    why: Message | None
    """Why the time is not identified."""
    n: int
    last: str
    source: str
    level: float

    def figures(self) -> list[Figure]:
        """Return the part reached, the pace, and, where identified, the years until half."""
        named = [
            ("part of the ceiling reached", self.part, "", self.last),
            ("growth of the odds a year", np.expm1(self.pace), "", ""),
        ]
        if self.years_to_half is not None:
            named.append(("years until half of the ceiling", self.years_to_half, "years", ""))
        figures = []
        for name, draws, unit, note in named:
            low, middle, high = (
                float(end) for end in np.quantile(draws, [(1 - self.level) / 2, 0.5, (1 + self.level) / 2])
            )
            figures.append(Figure(name, middle, self.n, low, high, unit, self.source, self.level, note=note))
        return figures


def penetration(
    times: Sequence[str],
    values: Sequence[float],
    ceiling: tuple[float, float],
    *,
    source: str,
    draws: int = 20_000,
    seed: int = 0,
    level: float = 0.9,
) -> Penetration:
    """Return how far under the ceiling the users are.

    Args:
        times: YYYY, YYYY-MM or YYYY-MM-DD, in order; not at even distances, if need be.
        values: users at these times, of one definition; above zero.
        ceiling: lowest and highest level at which use may saturate, taken as a 90 % range, log-normal.
        source: who published the values.
        draws: of the ceiling and the fit.
        seed: of the draws.
        level: part of the draws that an interval holds.

    Raises:
        InputError: too few points, times out of order, a value that is not above zero or above the lowest ceiling.
    """
    y = np.asarray(values, dtype=np.float64)
    if y.size < FEWEST:
        raise InputError(
            message("grow.too_few_points"), found=int(y.size), allowed=message("grow.more_6", fewest=FEWEST)
        )
    if not (np.isfinite(y) & (y > 0)).all():
        raise InputError(message("grow.value_above"), found=float(y[~(y > 0)][0]) if (~(y > 0)).any() else "nan")
    low, high = ceiling
    if not 0 < low <= high:
        raise InputError(
            message("grow.ceiling_range"),
            found=message("grow.to_3", low=low, high=high),
            allowed=message("grow.lowest_then"),
        )
    if y.max() >= low:
        raise InputError(
            message("grow.use_already"),
            found=f"{y.max():g}",
            allowed=message("grow.below", low=low),
            hint=message("grow.raise_ceiling"),
        )
    at = np.array([date.fromisoformat(time + "-01-01"[len(time) - 4 :]).toordinal() for time in times]) / _YEAR
    if (np.diff(at) <= 0).any():
        raise InputError(message("grow.times_order"), found=", ".join(times[:3]))
    random = np.random.default_rng(seed)
    tops = np.exp(
        np.log(low) + (np.log(high) - np.log(low)) * (0.5 + random.standard_normal(draws) / (2 * 1.6448536269514722))
    )
    tops = np.maximum(tops, y.max() * 1.001)
    steps = at - at[-1]
    design = np.stack([np.ones(y.size), steps], axis=1)
    inverse = np.linalg.inv(design.T @ design)
    logits = logit(y / tops[:, None])  # draws x points
    fitted = logits @ design @ inverse
    left = logits - fitted @ design.T
    variance = (left**2).sum(1) / (y.size - 2)
    follow = np.clip((left[:, 1:] * left[:, :-1]).sum(1) / np.maximum((left**2).sum(1), 1e-300), 0, 0.9)
    variance *= (1 + follow) / (1 - follow)  # residuals that follow on from each other say less than their number
    freedom = random.chisquare(y.size - 2, draws) / (y.size - 2)
    root = np.linalg.cholesky(inverse)
    drawn = fitted + np.sqrt(variance / freedom)[:, None] * (random.standard_normal((draws, 2)) @ root.T)
    pace, part = drawn[:, 1], y[-1] / tops
    rising = float(np.mean(pace > 0))
    if rising < (1 + level) / 2:
        why = message("potential.growth_above_zero_only_draws", rising=rising)
        return Penetration(part, pace, None, why, y.size, times[-1], source, level)
    years = -drawn[:, 0] / np.maximum(pace, 1e-9)
    return Penetration(part, pace, years, None, y.size, times[-1], source, level)
