"""Labels inside labels: which entity of a table of shares is the sum of others, so that a market is not counted twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noria.grow.series.series import Floats

MOST = 14
"""Entities beyond which the subsets are too many to try."""
_HELD = 0.8
"""Part of its known periods in which an entity must equal the sum, before that is called no accident."""


def nested(names: Sequence[str], values: Floats, resolution: float) -> list[tuple[str, list[str], int]]:
    """Return every entity that is the sum of others: its name, the others, and in how many periods that holds.

    Args:
        names: of the entities.
        values: (times, entities) shares; nan is not listed, and adds nothing to a sum.
        resolution: step in which the source tells a share; sums may be off by half a step for each term.
    """
    if len(names) > MOST:
        return []
    found = []
    for column, name in enumerate(names):
        known = ~np.isnan(values[:, column]) & (values[:, column] > 0)
        others = [
            other for other in range(len(names)) if other != column and np.nanmax(values[:, other], initial=0.0) > 0
        ]
        if known.sum() < 3 or len(others) < 2:
            continue
        whole, parts = values[known, column], np.nan_to_num(values[known][:, others])
        # A part is never above the whole by more than rounding.
        inside = [place for place in range(len(others)) if (parts[:, place] <= whole + resolution).all()]
        if len(inside) < 2:
            continue
        subsets = (np.arange(1, 1 << len(inside))[:, None] >> np.arange(len(inside))) & 1
        subsets = subsets[subsets.sum(1) >= 2]
        sums = parts[:, inside] @ subsets.T
        slack = (subsets.sum(1) + 1) * resolution / 2 + 1e-9
        held = (np.abs(sums - whole[:, None]) <= slack).sum(0)
        best = int(np.argmax(held - subsets.sum(1) * 1e-3))  # of two that hold as often, the one with fewer parts
        if held[best] >= _HELD * known.sum():
            chosen = [names[others[inside[place]]] for place in np.flatnonzero(subsets[best])]
            found.append((name, chosen, int(held[best])))
    return found
