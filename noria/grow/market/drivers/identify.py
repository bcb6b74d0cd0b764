"""Whether data can tell a driver's effect at all: no variation, one that others share, too few entities; or its own error, taken out."""

from __future__ import annotations

import numpy as np
from scipy.stats import t as student

from noria.core.messages import Message, message
from noria.grow.series.series import Floats

from .effect import Effect, unknown_effect
from .panel import Panel
from .regression import FEWEST, PERIODS, Absorber, method_of

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


RELIABLE = 0.5
"""Part of a driver's movement that must not be its own error."""
METHOD = "errors in variables, jackknife over entities"


def reliability(panel: Panel, absorb: Absorber) -> Floats:
    """Return, for each driver, the part of its variance beyond fixed effects that is not its own error, (k,)."""
    left = absorb(panel.x)
    seen = (left**2).sum(0)
    error = (absorb.kept[:, None] * panel.noise**2).sum(0)
    return np.asarray(1 - np.divide(error, seen, out=np.ones_like(seen), where=seen > 0), dtype=np.float64)


def corrected(panel: Panel, absorb: Absorber, *, level: float = 0.95) -> dict[str, Effect]:
    """Return the effects of those drivers that have a standard error, corrected for it, with intervals.

    The cross-products of drivers hold, beside their own, those of their errors, whose size the standard errors tell: subtracted,
    they leave the effect that error-free drivers would have had (Fuller 1987, Measurement Error Models, section 2.2). Of a linear
    regression this is what SIMEX (Cook and Stefanski 1994) draws by simulation, in closed form. The interval is a delete-one-entity
    jackknife with t(G - 1). Where most of a driver's movement is its own error, what is left is no ground to stand on, and the
    effect is not identified.

    Other drivers stay in the regression as they are.
    """
    trust = reliability(panel, absorb)
    noisy = [place for place in range(len(panel.drivers)) if panel.noise[:, place].any()]
    source, n, groups = panel.provenance.text(), panel.y.size, len(panel.entities)
    effects = {}
    reasons = {
        panel.drivers[place]: message("drivers.movement_own_measurement_error", trust=min(1 - trust[place], 1))
        for place in noisy
        if trust[place] < RELIABLE
    }
    if groups < FEWEST:
        few = message("drivers.entities_too_few_for_interval", groups=groups)
        reasons = {panel.drivers[place]: few for place in noisy} | reasons
    for name, why in reasons.items():
        effects[name] = unknown_effect(name, why, n=n, clusters=groups, level=level, method=METHOD, source=source)
    if len(reasons) == len(noisy):
        return effects
    whole = _without_error(panel.y, panel.x, panel.noise, absorb)
    left_out = []
    for group in range(groups):
        kept = panel.entity != group
        inner = Absorber([codes[kept] for codes in panel.groups])
        left_out.append(_without_error(panel.y[kept], panel.x[kept], panel.noise[kept], inner))
    for place in noisy:
        name = panel.drivers[place]
        if name in reasons:
            continue
        parts = np.array([part[place] for part in left_out])
        error = float(np.sqrt((groups - 1) / groups * np.sum((parts - parts.mean()) ** 2)))
        half = float(student.ppf((1 + level) / 2, groups - 1)) * error
        value = float(whole[place])
        p = float(2 * student.sf(abs(value) / error, groups - 1)) if error > 0 else None
        effects[name] = Effect(name, value, value - half, value + half, level, n, groups, METHOD, p, source=source)
    return effects


def _without_error(y: Floats, x: Floats, noise: Floats, absorb: Absorber) -> Floats:
    """Return the coefficients, (k,), had the drivers no error; errors of different drivers are taken for independent."""
    rest, left = absorb(y), absorb(x)
    error = np.diag((absorb.kept[:, None] * noise**2).sum(0))
    return np.asarray(np.linalg.solve(left.T @ left - error, left.T @ rest), dtype=np.float64)
