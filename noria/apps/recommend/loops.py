"""Whether a recommender feeds on itself: how much of the catalogue is shown, how unequally, and how narrow lists become.

    report = loops(catalogue, shelf.shown, shelf.clicks)
    report.coverage, report.gini, report.spread

Coverage is the share of the items on offer that were shown at all. Gini is that of showings over these items (0: all alike, 1: one
alone). Spread is how unlike the items shown are, weighed by showings: 1 less their mean cosine, over the same of the catalogue as it
stands: about 1 where the lists are as wide as the shop, towards 0 in a filter bubble.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .catalogue import Catalogue
from .states import Reader


@dataclass(frozen=True)
class Loops:
    """How wide what was shown is."""

    items: int
    """On offer."""
    shown: int
    """Showings of them."""
    coverage: float
    gini: float
    spread: float
    clicked_gini: float
    """That of clicks: where it rises beside that of showings, the popular grow by being shown."""


def loops(catalogue: Catalogue, shown: np.ndarray, clicks: np.ndarray) -> Loops:
    """Return how wide showings are over the items on offer.

    Args:
        catalogue: what is on offer.
        shown: showings of each row, [rows].
        clicks: clicks on each row, [rows].
    """
    live = catalogue.offered
    shown, clicks = shown[live], clicks[live]
    total = float(shown.sum())
    return Loops(
        int(live.sum()),
        int(total),
        float((shown > 0).mean()) if len(shown) else 0.0,
        gini(shown),
        _spread(catalogue, shown) if total else 1.0,
        gini(clicks),
    )


def gini(counts: np.ndarray) -> float:
    """Return the Gini coefficient of counts: 0 where all are alike or there are none, towards 1 where one has all.

    G = 2 sum_i i x_i / (n sum x) - (n + 1) / n for x in ascending order (Dorfman 1979).

    >>> round(gini(np.array([1.0, 1.0])), 3), round(gini(np.array([0.0, 0.0, 0.0, 4.0])), 3)
    (0.0, 0.75)
    """
    total, n = float(counts.sum()), len(counts)
    if not total:
        return 0.0
    ordered = np.sort(counts)
    return float(2 * (np.arange(1, n + 1) @ ordered) / (n * total) - (n + 1) / n)


def _spread(catalogue: Catalogue, weights: np.ndarray) -> float:
    """Return 1 less the mean cosine of two items drawn by weight, over that of two items drawn alike."""

    def apart(weights: np.ndarray) -> float:
        share = np.zeros(len(catalogue), dtype=np.float32)
        share[catalogue.offered] = weights / weights.sum()
        middle, own = share @ catalogue.vectors, float(share @ share)
        # Two different items: of the squared length of the mean, what an item has with itself is taken away.
        return 1 - (float(middle @ middle) - own) / (1 - own) if own < 1 - 1e-6 else 0.0

    whole = apart(np.ones(len(weights)))
    return apart(weights) / whole if whole > 0 else 0.0


def width_of(catalogue: Catalogue, reader: Reader) -> float | None:
    """Return how unlike the items shown to one user are, 1 less their mean cosine; None of fewer than two."""
    rows = [row for row in reader.seen if catalogue.live[row]]
    if len(rows) < 2:
        return None
    middle = catalogue.vectors[rows].astype(np.float64).sum(0)
    count = len(rows)
    return 1 - (float(middle @ middle) - count) / (count * (count - 1))
