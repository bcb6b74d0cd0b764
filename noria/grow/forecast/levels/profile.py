"""Profile-likelihood intervals: how far a parameter can be moved, the others following, before the data object.

    limits(problem, full, level=0.9)          # (K + 1, 2): ends of each parameter's interval, infinite where there is none

The interval of a parameter holds the values at which the smallest sum of squares is below S (1 + F / v), where S is the
smallest of all, v the degrees of freedom and F the F distribution's quantile with 1 and v (Bates and Watts 1988,
Nonlinear Regression Analysis and Its Applications, section 6.1). A curve whose ceiling cannot be told keeps fitting
however high the ceiling is set: its interval then has no upper end, and that is what "not identified" means here.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import f as f_distribution

from noria.grow.series.series import Floats

from .problem import Problem

DOUBLINGS = 14
HALVINGS = 26
UNBOUNDED = float(np.log(1e4))
"""How much more than all that was seen a ceiling may be, in logarithms, before it is called without end."""


def limits(problem: Problem, full: Floats, squares: float, level: float, made_up: Floats) -> Floats:
    """Return the ends of each parameter's interval, (K + 1, 2), for a problem of one series.

    Args:
        problem: of one series.
        full: its best shapes and log ceiling, (K + 1,).
        squares: the sum of squares there.
        level: of the intervals.
        made_up: 1 for the bounds of shapes that only end a search, (2, 2): a ceiling's end that leans on one is open.
    """
    count = full.size
    freedom = problem.values.shape[1] - count
    if freedom < 1:
        return np.tile([-np.inf, np.inf], (count, 1))
    bar = squares * (1 + float(f_distribution.ppf(level, 1, freedom)) / freedom)
    which = np.repeat(np.arange(count), 2)
    side = np.tile([-1.0, 1.0], count)
    fixed = np.eye(count)[which]
    many = problem.of(np.zeros(2 * count))
    top = np.append(problem.high, np.log(problem.order[0, 0]) + UNBOUNDED)
    floor = np.append(problem.low, np.log(problem.order[0, 0]) - UNBOUNDED)
    end = np.where(side > 0, top[which], floor[which])
    spread = np.sqrt(np.maximum(np.diag(problem.spread(full[None])[0]) * squares / freedom, 0.0))[which]
    step = np.clip(spread, 1e-6, 1.0)
    inner, outer, start = full[which].copy(), np.full(2 * count, np.nan), np.tile(full, (2 * count, 1))

    def rise(place: Floats, begin: Floats) -> tuple[Floats, Floats]:
        begin = begin.copy()
        begin[np.arange(2 * count), which] = place
        found, least, _ = many.polish(begin, fixed, rounds=25)
        return found, least - bar

    for _ in range(DOUBLINGS):
        open_ended = np.isnan(outer)
        if not open_ended.any():
            break
        place = np.where(open_ended, inner + side * step, outer)
        place = np.where(side > 0, np.minimum(place, end), np.maximum(place, end))
        found, above = rise(place, start)
        past = open_ended & (above > 0)
        outer[past] = place[past]
        within = open_ended & ~past
        inner[within], start[within] = place[within], found[within]
        step = np.where(within, step * 2, step)
    for _ in range(HALVINGS):
        bounded = ~np.isnan(outer)
        if not bounded.any():
            break
        place = np.where(bounded, (inner + outer) / 2, inner)
        found, above = rise(place, start)
        past = bounded & (above > 0)
        outer[past] = place[past]
        within = bounded & ~past
        inner[within], start[within] = place[within], found[within]
    ends = np.where(np.isnan(outer), side * np.inf, outer)
    low = np.abs(start[:, :2] - problem.low[:2]) < 1e-6
    high = np.abs(start[:, :2] - problem.high[:2]) < 1e-6
    leaning = (low * made_up[:, 0] + high * made_up[:, 1]).any(1) & (which == count - 1)
    ends[leaning] = side[leaning] * np.inf
    return ends.reshape(count, 2)
