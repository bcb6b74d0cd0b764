"""How firmly the order of a market stands: rank correlation between periods, and the least share that changed hands.

steps = rank_stability(market)
steps[-1].tau, steps[-1].low, steps[-1].high, steps[-1].n      # Kendall's tau-a of the named entities; bounds are rounding's
steps[-1].moved                                                # part of the market that must have moved
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from noria.grow.series.series import Floats

from .share import Cells, Shares


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
    """Entities compared: named, known in both periods, and above zero in at least one of them."""
    moved: float
    """The least part of the market that changed hands: half the sum of absolute changes, where all shares are known."""
    moved_high: float
    """The most, whatever the missing shares are."""
    broken: bool = False
    """A value in between is not comparable with the one before it: part of the change is a change of counting."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return asdict(self)


def rank_stability(market: Shares, lag: int = 1) -> list[RankStep]:
    """Return the comparison of every period with the one `lag` periods before it, of the entities that are known in both.

    What changed hands lies within bounds: a share that is missing in either period has moved as little, and as much, as its bounds
    let it. There is no step where fewer than two entities are known in both.
    """
    steps, cells = [], market.cells
    known = cells.known
    for row in range(lag, len(market.times)):
        both = (known[row - lag] & known[row])[:-1]
        before, after = cells.parts[row - lag, :-1], cells.parts[row, :-1]
        there = both & ((np.nan_to_num(before) > 0) | (np.nan_to_num(after) > 0))
        sums = np.nansum(market.values[[row - lag, row]], axis=1)
        if there.sum() < 2 or sums.max() > 1 + 1e-9:  # shares that overlap are no parts of one whole
            continue
        tau, undecided, pairs = _tau(before[there], after[there], market.resolution)
        low, high = _moved(cells, row - lag, row)
        steps.append(
            RankStep(
                market.times[row - lag],
                market.times[row],
                tau,
                max(-1.0, tau - undecided / pairs),
                min(1.0, tau + undecided / pairs),
                int(there.sum()),
                low,
                high,
                any(row - lag < at <= row for at, _ in market.breaks),
            )
        )
    return steps


def _moved(cells: Cells, earlier: int, later: int) -> tuple[float, float]:
    """Return the least and the most part of a market that can have changed hands between two periods."""
    won = cells.low[later] - cells.high[earlier]
    lost = cells.low[earlier] - cells.high[later]
    least = max(float(np.maximum(won, 0).sum()), float(np.maximum(lost, 0).sum()))
    most = 0.5 * float(np.maximum(-won, -lost).sum())
    return min(least, most), min(max(most, least), 1.0)


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
