"""Whether data can tell a driver's effect at all: no variation, one that others share, too few entities or periods."""

from __future__ import annotations

import numpy as np

from noria.grow.series.series import Floats

from .absorb import Absorber
from .effect import Words
from .panel import Panel
from .regression import FEWEST, PERIODS, method_of

_GONE = 1e-8
"""Part of a driver's variance that is rounding error of taking the fixed effects out."""
COLLINEAR = 0.98
"""Part of a driver's variance that other drivers explain, from which on its own effect cannot be told: errors grow sevenfold."""
ALONE = 0.9
"""Part of a driver's variation from one entity, from which on that entity's own story cannot be told from the driver's."""


def reasons(panel: Panel, absorb: Absorber) -> dict[str, Words]:
    """Return, for every driver whose effect the data cannot tell, why not.

    Drivers that are told apart from the rest are asked again without those that are not, by whoever fits.
    """
    n, k = panel.x.shape
    left = absorb(panel.x)
    found: dict[str, Words] = {}
    groups, periods = len(panel.entities), len(panel.times)
    if method_of(groups, periods) is None:
        words = {
            "en": f"{groups} entities and {periods} periods: too few to learn how errors go together (allowed {FEWEST} entities, or {PERIODS} periods)",
            "zh": f"只有 {groups} 个个体、{periods} 期，无法得知误差如何相关（需要 {FEWEST} 个个体或 {PERIODS} 期）",
        }
        return dict.fromkeys(panel.drivers, words)
    if n - k - absorb.rank < max(5, k):
        words = {
            "en": f"{n} observations for {k + absorb.rank} unknowns",
            "zh": f"{n} 个观测，却有 {k + absorb.rank} 个未知数",
        }
        return dict.fromkeys(panel.drivers, words)
    for place, name in enumerate(panel.drivers):
        own = left[:, place]
        whole = float(np.sum((panel.x[:, place] - panel.x[:, place].mean()) ** 2))
        kept = float(np.sum(own**2))
        if whole <= 0 or kept <= _GONE * whole:
            found[name] = _still(panel, place)
            continue
        if groups > 1:
            by_entity = _movement(panel, place)
            top = int(np.argmax(by_entity))
            if by_entity[top] > ALONE:
                found[name] = {
                    "en": f"{by_entity[top]:.0%} of its movement is that of {panel.entities[top]} alone",
                    "zh": f"其变动的 {by_entity[top]:.0%} 来自 {panel.entities[top]} 一家",
                }
    rest = [place for place, name in enumerate(panel.drivers) if name not in found]
    for place in rest:
        partners = [other for other in rest if other != place]
        if partners:
            part, partner = _shared(left, place, partners)
            if part > COLLINEAR:
                name = panel.drivers[partner]
                found[panel.drivers[place]] = {
                    "en": f"{part:.1%} of its movement is that of other drivers, of {name} most: they cannot be told apart",
                    "zh": f"其变动的 {part:.1%} 可由其他因素解释，尤其是 {name}：无法区分",
                }
    return found


def _still(panel: Panel, place: int) -> Words:
    values = panel.x[:, place]
    if np.ptp(values) == 0:
        return {"en": "it never varies", "zh": "它从不变化"}
    within = values - (np.bincount(panel.entity, values) / np.bincount(panel.entity))[panel.entity]
    if np.sum(within**2) <= _GONE * np.sum((values - values.mean()) ** 2):
        return {
            "en": "it differs between entities but never changes: it cannot be told from whatever else they differ in",
            "zh": "它只在个体之间不同而从不随时间变化：无法与个体的其他差异区分",
        }
    return {
        "en": "it moves for all entities alike: it cannot be told from the market's own movement",
        "zh": "它对所有个体同样变动：无法与市场自身的变动区分",
    }


def _movement(panel: Panel, place: int) -> Floats:
    """Return each entity's part of a driver's movement beyond what the middle entity does at the same time."""
    values = panel.x[:, place]
    within = values - (np.bincount(panel.entity, values) / np.bincount(panel.entity))[panel.entity]
    # The median, not the mean: one entity that moves alone would drag the mean along, and all others would seem to move.
    middle = np.array([np.median(within[panel.time == at]) for at in range(len(panel.times))])
    squares = np.bincount(panel.entity, (within - middle[panel.time]) ** 2, len(panel.entities))
    return np.asarray(squares / max(float(squares.sum()), 1e-300), dtype=np.float64)


def _shared(left: Floats, place: int, partners: list[int]) -> tuple[float, int]:
    """Return which part of a driver's variance the others explain, and which of them alone explains most."""
    own, others = left[:, place], left[:, partners]
    rest = own - others @ np.linalg.lstsq(others, own, rcond=None)[0]
    alone = [abs(float(np.corrcoef(own, left[:, other])[0, 1])) for other in partners]
    return 1 - float(rest @ rest) / float(own @ own), partners[int(np.argmax(alone))]
