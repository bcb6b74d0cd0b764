"""Bass by ordinary least squares on the discrete form: the estimator of 1969, kept for comparison with what was published.

    fit_regression([0.517, 1.169, 1.604, 2.044, 2.286])      # p 0.0626, q 0.738, ceiling 10.5

Sales of a period on a constant, cumulative sales before it, and their square (Bass 1969, section "Discrete analogue").
Its parameters differ from those of a fit to the curve: a period is taken as a point, so the two must not be mixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from noria.core.errors import InputError
from noria.grow.series.series import Floats


@dataclass(frozen=True)
class Regression:
    """What the regression found; None where its coefficients are those of no Bass curve."""

    coefficients: tuple[float, float, float]
    p: float | None
    q: float | None
    ceiling: float | None
    n: int
    problem: str = ""
    """Why there is no p, q and ceiling, where there is none."""


def fit_regression(values: Floats | Sequence[float]) -> Regression:
    """Return Bass by regression of each period's value on what came before it.

    Raises:
        InputError: fewer than four values, or one that is missing or below zero.
    """
    sales = np.asarray(values, dtype=np.float64)
    if sales.size < 4 or not np.isfinite(sales).all() or (sales < 0).any():
        raise InputError("a regression needs four values or more, none missing or below zero", found=sales.tolist())
    before = np.concatenate([[0.0], np.cumsum(sales)[:-1]])
    table = np.column_stack([np.ones_like(before), before, before**2])
    scale = np.maximum(np.abs(table).max(0), 1e-300)
    found, *_ = np.linalg.lstsq(table / scale, sales, rcond=None)
    a, b, c = (found / scale).tolist()
    root = b * b - 4 * a * c
    flat = abs(c) * float(before[-1]) ** 2 < 1e-9 * float(sales.max(initial=0.0))  # rounding, not a turn
    if c >= 0 or root < 0 or flat:
        return Regression(
            (a, b, c), None, None, None, sales.size, "sales do not yet turn down against what was sold: no ceiling"
        )
    ceiling = (-b - root**0.5) / (2 * c)
    p = a / ceiling
    if p <= 0 or p + b <= 0:
        return Regression((a, b, c), None, None, None, sales.size, "the coefficients are those of no Bass curve")
    return Regression((a, b, c), p, p + b, ceiling, sales.size)
