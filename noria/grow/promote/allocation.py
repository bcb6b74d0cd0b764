"""The best division of a sum among channels: over all divisions on a fine grid, then polished.

Responses need be neither concave nor alike: with a slope above one the first money does little, and a method that only climbs
stops at the wrong hill. So the division is found by dynamic programming over the sum (Bellman 1957), which misses none that the grid
holds, and then moved between the grid's points by sequential quadratic programming.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator
from scipy.optimize import minimize

from noria.core.errors import SettingError
from noria.core.messages import message

Floats = npt.NDArray[np.float64]
_STEPS = 400
"""Steps of the sum on the grid."""


def allocate(spends: Floats, responses: Floats, total: float) -> Floats:
    """Return the spend of each channel that brings the most, (C,).

    Args:
        spends: from the least to the most that each channel may get, rising, (C, M).
        responses: what each spend brings, (C, M); between them it is interpolated.
        total: what is to be divided.

    Raises:
        SettingError: the bounds leave no division of the total.
    """
    low, high = spends[:, 0], spends[:, -1]
    if not low.sum() * (1 - 1e-9) <= total <= high.sum() * (1 + 1e-9):
        raise SettingError(
            message("grow.bounds_leave"),
            found=f"{total:,.6g}",
            allowed=message("grow.channels_may", sum=low.sum(), sum_2=high.sum()),
        )
    curves = [PchipInterpolator(at, value) for at, value in zip(spends, responses, strict=True)]
    rough = _on_grid(curves, low, high, total)
    if len(curves) == 1:
        return rough
    slopes = [curve.derivative() for curve in curves]
    unit = float(total)
    size = max(abs(float(sum(curve(at) for curve, at in zip(curves, rough, strict=True)))), 1e-12)

    def loss(parts: Floats) -> float:
        return -float(sum(curve(at) for curve, at in zip(curves, parts * unit, strict=True))) / size

    def gradient(parts: Floats) -> Floats:
        return -np.array([float(slope(at)) for slope, at in zip(slopes, parts * unit, strict=True)]) * unit / size

    found = minimize(
        loss,
        rough / unit,
        jac=gradient,
        method="SLSQP",
        bounds=list(zip(low / unit, high / unit, strict=True)),
        constraints={"type": "eq", "fun": lambda parts: parts.sum() - 1.0, "jac": np.ones_like},
        options={"maxiter": 200, "ftol": 1e-12},
    )
    better = np.clip(found.x * unit, low, high)
    sums = abs(better.sum() - total) <= 1e-6 * unit
    return better if found.success and sums and loss(better / unit) <= loss(rough / unit) else rough


def _on_grid(curves: list[PchipInterpolator], low: Floats, high: Floats, total: float) -> Floats:
    """Return the best division in whole steps above the lower bounds."""
    rest = max(0.0, total - float(low.sum()))
    if rest <= 1e-12 * max(total, 1e-300):
        return low.copy()
    step = rest / _STEPS
    best = np.full(_STEPS + 1, -np.inf)
    best[0] = 0.0
    chosen = []
    for curve, least, most in zip(curves, low, high, strict=True):
        count = min(_STEPS, int((most - least) / step + 1e-9))
        value = curve(np.minimum(least + step * np.arange(count + 1), most))
        # best[s] = max over what this channel gets of best[s - it] + value[it]
        table = np.full((_STEPS + 1, count + 1), -np.inf)
        for got in range(count + 1):
            table[got:, got] = best[: _STEPS + 1 - got] + value[got]
        chosen.append(np.argmax(table, axis=1))
        best = table[np.arange(_STEPS + 1), chosen[-1]]
    left = int(np.flatnonzero(np.isfinite(best))[-1])  # bounds in the way of whole steps may leave a little over
    over = (_STEPS - left) * step
    parts = np.empty(len(curves))
    for place in range(len(curves) - 1, -1, -1):
        got = int(chosen[place][left])
        parts[place] = min(low[place] + got * step, high[place])
        left -= got
    for place in np.argsort(-(high - parts)):
        more = min(over + (total - parts.sum() - over), high[place] - parts[place])
        parts[place] += max(0.0, more)
        over = max(0.0, total - float(parts.sum()))
    return parts
