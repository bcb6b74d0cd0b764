"""Bass by ordinary least squares on the discrete form (Bass 1969): a period's sales on what was sold before it.

    fit_one(sales, estimator="ols").parameters             # of the golden case: p 0.0626, q 0.738, ceiling 10.5

S(t) = a + b Y(t-1) + c Y(t-1)^2, with a = p m, b = q - p and c = -q / m (Bass 1969, A new product growth model for consumer
durables, "The discrete analogue"). A period is taken for a point, so the parameters differ from those of a fit to the curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from noria.core.errors import InputError
from noria.core.messages import Message, message
from noria.grow.series.series import Floats

from .outlook import Outlook
from .problem import TINY, LeastSquares, Noise

_SMALLEST, _LARGEST = -25.0, 5.0
"""Bounds of the logarithms of p and q."""
_TRIES = 20
"""Coefficients drawn for each that is kept: those of no Bass curve are left out."""


@dataclass(frozen=True)
class Regression(LeastSquares):
    """S series of n values from the launch on, by the difference equation of what was sold before each."""

    noise = Noise()
    """Even."""

    @property
    def before(self) -> Floats:
        """What was sold before each period, (S, n)."""
        return np.asarray(np.cumsum(self.values, 1) - self.values)

    def deviations(self, full: Floats) -> tuple[Floats, Floats]:
        """Return deviations (S, n) at log p, log q and log ceiling (S, 3), and their slopes (S, n, 3)."""
        p, q, ceiling = np.exp(full)[:, :, None].transpose(1, 0, 2)
        squared = q * self.before**2 / ceiling
        away = self.values - (p * ceiling + (q - p) * self.before - squared)
        slopes = [p * ceiling - p * self.before, q * self.before - squared, p * ceiling + squared]
        return away, -np.stack(slopes, -1)

    def fitted(self, full: Floats) -> Floats:
        """Return what the equation gives for each period from what was sold before it, (S, n)."""
        return self.values - self.deviations(full)[0]

    def ahead(self, horizon: int, draws: int, random: np.random.Generator) -> Outlook:
        """Return draws of the next periods of one series: coefficients from their posterior, then the equation step by step.

        Raises:
            InputError: hardly any of the coefficients that the data allow are those of a Bass curve.
        """
        table, sales, scale = _table(self.before[0]), self.values[0], np.abs(_table(self.before[0])).max(0)
        inverse = np.linalg.inv((table / scale).T @ (table / scale))
        middle = inverse @ (table / scale).T @ sales
        freedom = sales.size - 3
        sigma = np.sqrt(np.sum((sales - table / scale @ middle) ** 2) / random.chisquare(freedom, _TRIES * draws))
        fresh = random.standard_normal((_TRIES * draws, 3)) @ np.linalg.cholesky(inverse).T
        drawn = (middle + sigma[:, None] * fresh) / scale
        able = np.flatnonzero(np.isfinite(_curve_of(drawn)).all(1))
        if able.size < draws:
            raise InputError(message("grow.regression_open"), found=f"{able.size / (_TRIES * draws):.1%}")
        a, b, c = drawn[able[:draws]].T
        size = sigma[able[:draws]]
        sold = np.full(draws, self.before[0, -1] + sales[-1])
        values, centres = np.empty((draws, horizon)), np.empty((draws, horizon))
        for step in range(horizon):
            centres[:, step] = a + b * sold + c * sold**2
            values[:, step] = np.maximum(centres[:, step] + size * random.standard_normal(draws), 0.0)
            sold = sold + values[:, step]
        return Outlook(values, centres, np.tile(size[:, None], horizon), np.zeros(draws))


def regressed(values: Floats) -> tuple[Regression, Floats, dict[int, Message]]:
    """Return the problem of series (S, n), log p, log q and log ceiling of each (S, 3), and the series that have none, and why.

    The series have a value for every period from the launch on.
    """
    before = np.cumsum(values, 1) - values
    found = np.empty((len(values), 3))
    problems: dict[int, Message] = {}
    for row, (sold, sales) in enumerate(zip(before, values, strict=True)):
        table = _table(sold)
        scale = np.maximum(np.abs(table).max(0), 1e-300)
        coefficients = np.linalg.lstsq(table / scale, sales, rcond=None)[0] / scale
        found[row] = _curve_of(coefficients[None])[0]
        flat = abs(coefficients[2]) * sold[-1] ** 2 < 1e-9 * sales.max()  # rounding, not a turn
        if flat or not np.isfinite(found[row]).all():
            a, b, c = coefficients
            problems[row] = message("grow.regression_none", a=a, b=b, c=c)
    order = np.maximum(np.sum(values, 1, keepdims=True), TINY)
    return Regression(values, np.full(2, _SMALLEST), np.full(2, _LARGEST), order), found, problems


def _table(sold: Floats) -> Floats:
    return np.column_stack([np.ones_like(sold), sold, sold**2])


def _curve_of(coefficients: Floats) -> Floats:
    """Return log p, log q and log ceiling of coefficients (C, 3); nan where they are those of no Bass curve."""
    a, b, c = coefficients.T
    with np.errstate(invalid="ignore", divide="ignore"):
        ceiling = np.where(c < 0, (-b - np.sqrt(b * b - 4 * a * c)) / (2 * c), np.nan)
        return np.asarray(np.log(np.column_stack([a / ceiling, a / ceiling + b, ceiling])))
