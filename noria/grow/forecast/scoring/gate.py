"""The gate: does a model beat the bars, does it not, or can nobody tell yet?

A model beats the bars where its energy score (the CRPS of a single value), in the unit that people read, is lower than that of the
better bar by an interval clear of none, and it does not lose in the log score. Forecasts that overlap tell the same thing
several times: origins are taken together in blocks as long as the horizon, and a block counts once. The mean of the blocks has an interval of
Student's t, widened by the correlation that neighbouring blocks of fully overlapping forecasts have, and held for all models
together: how far the largest of their statistics goes when the signs of blocks are turned at random (Romano and Wolf 2005). With
fewer than `ENOUGH` blocks the gate says that it cannot tell. `python -m benchmarks gate` holds the interval and the
gate's winners to what came after; the thresholds below were chosen there, on the half of the series that it does not report.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import t

from noria.core.figure import Figure
from noria.grow.series.series import Floats

ENOUGH = 8
"""Origins that count as independent below which nothing is told."""
LEVEL = 0.95
"""Of the interval, for all models together."""
_TURNS = 2000
_SEVERAL = 12
"""Blocks up to which all ways to turn their signs are tried."""

Verdict = Literal["beats", "does not beat", "cannot tell"]


@dataclass(frozen=True)
class Lead:
    """How far one model is ahead of a bar."""

    value: float
    """Mean over origins, in the unit of the scores."""
    low: float | None
    """Ends of the interval; None with a single block."""
    high: float | None
    independent: int
    """Blocks of origins."""

    def figure(self, name: str, unit: str = "") -> Figure:
        """Return it as a figure."""
        return Figure(name, self.value, self.independent, self.low, self.high, unit=unit, level=LEVEL)


def blocks_of(places: Sequence[int], horizon: int) -> list[int]:
    """Return the block of each origin, in order of time: a new one begins where no forecast of the last one's first origin reaches."""
    found: list[int] = []
    first: int | None = None
    for place in places:
        if first is None or place >= first + horizon:
            first = place
            found.append(found[-1] + 1 if found else 0)
        else:
            found.append(found[-1])
    return found


def leads_of(gains: Floats, places: Sequence[int], horizon: int, level: float = LEVEL) -> list[Lead]:
    """Return each model's lead.

    Args:
        gains: by how much each model's score was better than the bar's at each origin, (origins, models).
        places: of the origins.
        horizon: periods ahead, at most.
        level: of the intervals, all together.
    """
    blocks = np.array(blocks_of(places, horizon))
    count = int(blocks[-1]) + 1
    means = np.stack([gains[blocks == block].mean(0) for block in range(count)])
    middle = gains.mean(0)
    if count < 2:
        return [Lead(float(each), None, None, count) for each in middle]
    error = np.sqrt(means.var(0, ddof=1) / count * (1 + 2 * overlap(horizon) * (count - 1) / count))
    half = error * _critical(means, level)
    return [
        Lead(float(each), float(each - away), float(each + away), count)
        for each, away in zip(middle, half, strict=True)
    ]


def overlap(horizon: int) -> float:
    """Return the correlation of neighbouring block means where scores share all that their horizons share.

    Such scores are moving sums of `horizon` shocks, and block means weigh shocks by a triangle.
    """
    weights = np.convolve(np.ones(horizon), np.ones(horizon))
    return float(weights[horizon:] @ weights[: horizon - 1] / (weights @ weights))


def _critical(means: Floats, level: float) -> float:
    """Return how many standard errors the largest statistic of all models goes where none leads, (blocks, models)."""
    count, models = means.shape
    alone = float(t.ppf((1 + level) / 2, count - 1))
    if models == 1:
        return alone
    signs = (
        np.array(list(itertools.product((-1.0, 1.0), repeat=count)))
        if count <= _SEVERAL
        else np.random.default_rng(0).choice([-1.0, 1.0], (_TURNS, count))
    )
    turned = signs @ means / count
    spread = np.sqrt(np.maximum(np.mean(means**2, 0) - turned**2, 1e-300) / (count - 1))
    largest = (turned / spread).max(1)
    return max(float(np.quantile(largest, (1 + level) / 2)), alone)


def still_wanted(origins: int, independent: int, horizon: int) -> int:
    """Return how many more periods would make the blocks enough, each giving one origin more."""
    return 0 if independent >= ENOUGH else max((ENOUGH - 1) * horizon + 1 - origins, 1)


def loses(gains: Floats, gain: Lead) -> bool:
    """Return whether a model's log score is worse than persistence's: at most origins (N,), or in the mean by an interval clear of none.

    One score that is far from all others decides neither.
    """
    return bool(np.median(gains) < 0) or (gain.high is not None and gain.high < 0)


def pick(leads: Mapping[str, Lead], losing: Mapping[str, bool], independent: int) -> tuple[Verdict, str | None]:
    """Return the verdict, and the model that it is about: the winner, or the one that came nearest."""
    if not leads:
        return "does not beat", None
    clear = [name for name, lead in leads.items() if lead.low is not None and lead.low > 0 and not losing[name]]
    best = max(clear or leads, key=lambda name: leads[name].value)
    if independent < ENOUGH:
        return "cannot tell", best
    return ("beats" if clear else "does not beat"), best
