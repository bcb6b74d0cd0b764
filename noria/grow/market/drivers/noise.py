"""Drivers that are themselves estimates: their error shrinks effects towards zero, and is taken out again.

The cross-products of drivers hold, beside their own, those of their errors, whose size the standard errors tell: subtracted,
they leave the effect that error-free drivers would have had (Fuller 1987, Measurement Error Models, section 2.2). Of a linear
regression this is what SIMEX (Cook and Stefanski 1994) draws by simulation, in closed form. The interval is a delete-one-entity
jackknife with t(G - 1). Where most of a driver's movement is its own error, what is left is no ground to stand on, and the
effect is not identified.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import t as student

from noria.core.messages import message
from noria.grow.series.series import Floats

from .absorb import Absorber
from .effect import Effect, unknown_effect
from .panel import Panel
from .regression import FEWEST

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
