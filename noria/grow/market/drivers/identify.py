"""Whether data can tell a driver's effect at all: no variation, one that others share, too few entities or periods."""

from __future__ import annotations

import numpy as np

from noria.core.messages import Message, message
from noria.grow.series.series import Floats

from .absorb import Absorber
from .panel import Panel
from .regression import FEWEST, PERIODS, method_of

_GONE = 1e-8
"""Part of a driver's variance that is rounding error of taking the fixed effects out."""
COLLINEAR = 0.98
"""Part of a driver's variance that other drivers explain, from which on its own effect cannot be told: errors grow sevenfold."""
ALONE = 0.9
"""Part of a driver's variation from one entity, from which on that entity's own story cannot be told from the driver's."""


def reasons(panel: Panel, absorb: Absorber) -> dict[str, Message]:
    """Return, for every driver whose effect the data cannot tell, why not.

    Drivers that are told apart from the rest are asked again without those that are not, by whoever fits.
    """
    n, k = panel.x.shape
    left = absorb(panel.x)
    found: dict[str, Message] = {}
    groups, periods = len(panel.entities), len(panel.times)
    if method_of(groups, periods) is None:
        words = message(
            "drivers.entities_periods_too_few_learn", groups=groups, periods=periods, FEWEST=FEWEST, PERIODS=PERIODS
        )
        return dict.fromkeys(panel.drivers, words)
    if n - k - absorb.rank < max(5, k):
        words = message("drivers.observations_for_unknowns", n=n, k=k + absorb.rank)
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
                found[name] = message("drivers.movement_alone", by_entity=by_entity[top], entities=panel.entities[top])
    rest = [place for place, name in enumerate(panel.drivers) if name not in found]
    for place in rest:
        partners = [other for other in rest if other != place]
        if partners:
            part, partner = _shared(left, place, partners)
            if part > COLLINEAR:
                name = panel.drivers[partner]
                found[panel.drivers[place]] = message("drivers.movement_other_drivers_most_they", part=part, name=name)
    return found


def _still(panel: Panel, place: int) -> Message:
    values = panel.x[:, place]
    if np.ptp(values) == 0:
        return message("drivers.never_varies")
    within = values - (np.bincount(panel.entity, values) / np.bincount(panel.entity))[panel.entity]
    if np.sum(within**2) <= _GONE * np.sum((values - values.mean()) ** 2):
        return message("drivers.differs_between_entities_but_never")
    return message("drivers.moves_for_all_entities_alike")


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
