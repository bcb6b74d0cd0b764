"""The Qini curve: what is gained by addressing users in the order of a score, beside an order at random.

curve = qini(score, outcome, treated, seed=0)
curve.coefficient        # area between the two, with its interval
curve.gain               # at each hundredth of the users addressed

Radcliffe (2007), Using control groups to target on predicted lift: among the users who come first, the outcomes of the treated
less those of the control group brought to their number; here over all treated users, so that the curve ends at the effect on
everyone and its unit is outcome a user. The interval is a bootstrap over users whom the score has not seen: the score stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_CELLS = 20_000
"""Cells of neighbouring users that the bootstrap draws; up to that many users, each is one."""
_GRID = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Qini:
    """A Qini curve; arrays over `shares`, (101,)."""

    shares: Floats
    """Part of the users addressed."""
    gain: Floats
    low: Floats
    high: Floats
    coefficient: float
    """Area between the curve and the straight line to its end."""
    coefficient_low: float
    coefficient_high: float
    users: int
    level: float

    @property
    def found(self) -> bool:
        """Whether the order is better than one at random, beyond what chance does."""
        return self.coefficient_low > 0


def qini(
    score: Floats,
    outcome: Floats,
    treated: npt.NDArray[np.bool_],
    *,
    level: float = 0.95,
    draws: int = 500,
    seed: int = 0,
) -> Qini:
    """Return the Qini curve of a score, on users it was not learnt from.

    Args:
        score: the higher, the sooner a user is addressed, (N,). Ties are broken at random.
        outcome: (N,).
        treated: whether each user was, (N,).
        level: coverage of the intervals.
        draws: of the bootstrap.
        seed: of ties and bootstrap.
    """
    random = np.random.default_rng(seed)
    order = np.lexsort((random.random(score.size), -score))
    cells = _cells(outcome[order], treated[order])
    gain, area = _curve(cells, np.ones((1, cells.shape[1])))
    gains, areas = [], []
    step = max(1, 2_000_000 // cells.shape[1])
    for start in range(0, draws, step):
        weights = random.poisson(1.0, (min(step, draws - start), cells.shape[1])).astype(np.float64)
        # A draw may hold no user of one group, where they are few: it tells nothing.
        whole = (weights @ cells[:2].T > 0).all(1)
        some, many = _curve(cells, weights[whole])
        gains.append(some)
        areas.append(many)
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = np.quantile(np.concatenate(gains), ends, axis=0)
    left, right = np.quantile(np.concatenate(areas), ends)
    return Qini(_GRID, gain[0], low, high, float(area[0]), float(left), float(right), score.size, level)


def _cells(outcome: Floats, treated: npt.NDArray[np.bool_]) -> Floats:
    """Return for runs of neighbours users treated and not, and the sum of their outcomes, (4, cells)."""
    rows = np.stack([treated, ~treated, outcome * treated, outcome * ~treated]).astype(np.float64)
    size = -(-outcome.size // _CELLS)
    return np.asarray(np.add.reduceat(rows, np.arange(0, outcome.size, size), axis=1))


def _curve(cells: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return the gain at each hundredth, (draws, 101), and the area above the straight line, (draws,)."""
    users, others, won, lost = (np.cumsum(weights * row, axis=1) for row in cells)
    with np.errstate(invalid="ignore", divide="ignore"):
        gain = (won - np.where(others > 0, lost * users / others, 0.0)) / users[:, -1:]
    share = (users + others) / (users + others)[:, -1:]
    share = np.column_stack([np.zeros(len(share)), share])
    gain = np.column_stack([np.zeros(len(gain)), gain])
    area = np.trapezoid(gain, share, axis=1) - gain[:, -1] / 2
    on_grid = np.stack([np.interp(_GRID, at, height) for at, height in zip(share, gain, strict=True)])
    return on_grid, area
