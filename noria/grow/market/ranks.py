"""How firmly the order of a market stands: rank correlation between periods, and the least share that changed hands.

steps = rank_stability(market)
steps[-1].tau, steps[-1].low, steps[-1].high, steps[-1].n      # Kendall's tau-a of the named entities; bounds are rounding's
turnover(market)[-1]                                           # part of the market that must have moved
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from noria.grow.series.series import Floats

from .share import Shares


@dataclass(frozen=True)
class RankStep:
    """How the order of one period compares with the order of an earlier one."""

    before: str
    time: str
    tau: float
    """Kendall's tau-a (Kendall 1938): part of pairs in the same order minus part in the other; 1 is the same order."""
    low: float
    """Were every pair that rounding leaves undecided in the other order."""
    high: float
    """Were every such pair in the same order."""
    n: int
    """Entities compared: named, and above zero in at least one of the two periods."""
    moved: float
    """Half the sum of absolute changes of share: the least part of the market that changed hands."""
    broken: bool = False
    """A value in between is not comparable with the one before it: part of the change is a change of counting."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return asdict(self)


def rank_stability(market: Shares, lag: int = 1) -> list[RankStep]:
    """Return the comparison of every whole period with the one `lag` periods before it, where that is whole too."""
    whole = market.whole > 0
    steps = []
    for row in range(lag, len(market.times)):
        if not (whole[row] and whole[row - lag]):
            continue
        before, after = market.values[row - lag, :-1], market.values[row, :-1]
        there = (before > 0) | (after > 0)
        if there.sum() < 2:
            continue
        tau, undecided, pairs = _tau(before[there], after[there], market.resolution)
        moved = 0.5 * float(np.abs(market.values[row] - market.values[row - lag]).sum())
        steps.append(
            RankStep(
                market.times[row - lag],
                market.times[row],
                tau,
                max(-1.0, tau - undecided / pairs),
                min(1.0, tau + undecided / pairs),
                int(there.sum()),
                moved,
                any(row - lag < at <= row for at, _ in market.breaks),
            )
        )
    return steps


def least_stable(steps: list[RankStep]) -> RankStep | None:
    """Return the step with the lowest tau, among those without a break; None where there is none."""
    return min((step for step in steps if not step.broken), key=lambda step: step.tau, default=None)


def _tau(before: Floats, after: Floats, resolution: float) -> tuple[float, int, int]:
    """Return tau-a, how many pairs are within rounding of each other in either period, and how many pairs there are."""
    one, two = np.triu_indices(before.size, 1)
    earlier, later = before[one] - before[two], after[one] - after[two]
    near = (np.abs(earlier) < resolution) | (np.abs(later) < resolution)
    agree = float((np.sign(earlier) * np.sign(later)).sum())
    return agree / one.size, int(near.sum()), int(one.size)
