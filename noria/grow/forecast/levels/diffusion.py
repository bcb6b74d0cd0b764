"""Diffusion: Bass, generalised Bass, Gompertz and logistic curves, fitted to one series or to thousands at once.

    many = fit_many(sales, "bass")                   # (series, periods), nan where missing
    many.parameters["q"], many.expected(6)           # (series,), (series, 6)
    one = fit_one([840, 1470, 2110, 4000, 7590, 10950, 10530, 9470, 7790, 5890], estimator="density")
    one.figures()                                    # p, q and ceiling, each with its profile-likelihood interval

Published ways to estimate Bass give different answers on the same data, so each has a name: `likelihood`, what F gains in each
period by maximum likelihood under even or proportional noise, whichever the data speak for, the default; `nls`, the same by
nonlinear least squares, which is even noise (Srinivasan and Mason 1986); `density`, least squares on the density f at each
period's end, as teaching texts in R have it; `ols`, regression of a period's sales on cumulative sales (Bass 1969).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from noria.core.errors import InputError, SettingError
from noria.core.messages import Message, message
from noria.grow.series.series import Floats

from .curves import BASS, CURVES, Curve, Periods
from .posterior import ENOUGH, FEW, population_of, weighted_nodes
from .problem import Noise, Problem, problem_of, started
from .regression import Regression, regressed

Kind = Literal["flow", "level"]
Estimator = Literal["likelihood", "nls", "ols", "density"]
EVEN: tuple[Noise, ...] = (Noise(),)
BOTH: tuple[Noise, ...] = (Noise(), Noise(proportional=True))
"""For flows: noise of one size, or in proportion; whichever the data speak for."""
REMEMBERING: tuple[Noise, ...] = tuple(Noise(True, memory) for memory in (0.0, 0.5, 0.8, 0.95))
"""For levels, which stay off the curve for a while."""

FORECAST: dict[Kind, tuple[Noise, ...]] = {
    "flow": (*(Noise(False, memory) for memory in (0.0, 0.7)), *REMEMBERING),
    "level": REMEMBERING,
}
"""What forecasts weigh."""
LEAST_SQUARES = tuple(Noise(False, memory) for memory in (0.0, 0.5, 0.8, 0.95))
"""The same, where least squares is what was asked for."""


@dataclass(frozen=True)
class Group:
    """Series seen at the same times, under one kind of noise."""

    rows: Floats
    """Which of the series, (S,)."""
    problem: Problem | Regression
    periods: Periods
    full: Floats
    """Shapes and log ceiling, (S, K + 1)."""
    squares: Floats
    still: Floats
    log_likelihood: Floats


def curve_of(group: Group) -> Problem:
    """Return the group's problem as one of a curve in time.

    Raises:
        SettingError: a regression, which is none: it forecasts by its own equation, one series at a time.
    """
    if isinstance(group.problem, Regression):
        raise SettingError(message("grow.regression_one"), found="ols", allowed="likelihood, nls, density")
    return group.problem


@dataclass(frozen=True)
class Diffusions:
    """Curves fitted to S series."""

    curve: Curve
    flow: bool
    last: float
    """The last time of the series, seen or missing."""
    groups: tuple[Group, ...]
    problems: dict[int, str | Message]
    """Series that could not be fitted, and why; their parameters are nan."""
    size: int
    effort: Floats | None = None
    estimator: Estimator = "likelihood"

    @property
    def parameters(self) -> dict[str, Floats]:
        """Return each parameter, (S,): the shapes', `ceiling`, and effects of covariates as `effect 1`, ..."""
        full = self.full
        names = [*self.curve.parameters, *[f"effect {place + 1}" for place in range(full.shape[1] - 3)], "ceiling"]
        logged = [*self.curve.logged, *[False] * (full.shape[1] - 3), True]
        return {
            name: np.exp(column) if as_log else column
            for name, column, as_log in zip(names, full.T, logged, strict=True)
        }

    @property
    def full(self) -> Floats:
        """Return shapes and log ceiling under the noise that each series speaks for most, (S, K + 1)."""
        effects = 0 if self.effort is None else self.effort.shape[1]
        full = np.full((self.size, 3 + effects), np.nan)
        best = np.full(self.size, -np.inf)
        for group in self.groups:
            rows = np.asarray(group.rows, dtype=int)
            better = group.log_likelihood > best[rows]
            full[rows[better]], best[rows[better]] = group.full[better], group.log_likelihood[better]
        return full

    def expected(self, horizon: int, effort: Floats | None = None, *, pooled: bool = False) -> Floats:
        """Return the median of the curve for the next periods, (S, horizon), noise and parameters weighed; nan where not fitted.

        Args:
            horizon: periods ahead.
            effort: the covariates' future, where the fit knows any.
            pooled: let the series learn of each other, where they are some of one kind (products of one category, say): shapes
                come from one normal distribution that is estimated from all. Those that have not turned yet gain most.

        Raises:
            InputError: the fit knows covariates, and their future, (horizon, C), was not given.
        """
        future = self.future(horizon, effort)
        found, best = np.full((self.size, horizon), np.nan), np.full(self.size, -np.inf)
        many = [weighted_nodes(curve_of(group), self.curve, group.periods, group.full, FEW) for group in self.groups]
        if pooled and self.size - len(self.problems) >= ENOUGH:
            shared = population_of(
                [(group.rows, nodes) for group, nodes in zip(self.groups, many, strict=True)], self.size
            )
            many = [
                weighted_nodes(curve_of(group), self.curve, group.periods, group.full, FEW, shared)
                for group in self.groups
            ]
        for group, nodes in zip(self.groups, many, strict=True):
            rows = np.asarray(group.rows, dtype=int)
            better = nodes.evidence > best[rows]
            found[rows[better]] = nodes.expected(future)[better]
            best[rows[better]] = nodes.evidence[better]
        return found

    def future(self, horizon: int, effort: Floats | None = None) -> Periods:
        """Return the next periods."""
        ends = self.last + np.arange(1.0, horizon + 1)
        if self.effort is None:
            return Periods(ends, self.flow, dense=self.estimator == "density")
        if effort is None or effort.shape != (horizon, self.effort.shape[1]):
            raise InputError(
                message("grow.forecast_covariates"),
                found=None if effort is None else effort.shape,
                allowed=f"({horizon}, {self.effort.shape[1]})",
            )
        return Periods(ends, self.flow, np.concatenate([self.effort, effort]))


def fit_many(
    values: Floats | Sequence[Sequence[float]],
    curve: str = "bass",
    *,
    kind: Kind = "flow",
    noises: Sequence[Noise] | None = None,
    estimator: Estimator = "likelihood",
    effort: Floats | None = None,
    times: Floats | None = None,
) -> Diffusions:
    """Return curves fitted to many series at once.

    Args:
        values: (series, periods), nan where missing; none below zero.
        curve: bass, gompertz or logistic; with `effort`, generalised Bass.
        kind: what came in each period (flow), or what there was at its end (level).
        noises: kinds of noise to weigh; those of the estimator, fit for `kind`, if not given.
        estimator: likelihood, nls, or for Bass flows density or ols; with ols each series needs a value from period 1 on.
        effort: changes of covariates' logarithms in every period, (periods, C), C at most 2, the same for all series.
        times: each period's end, (periods,), rising; 1, 2, ... if not given. Bass starts at time 0.

    Raises:
        SettingError: an unknown curve, or an estimator or covariates that the curve has not.
        InputError: values below zero or infinite, or times that do not rise.
    """
    chosen = CURVES.get(curve)
    if chosen is None:
        raise SettingError(message("grow.unknown_curve"), found=curve, allowed=CURVES)
    special = estimator in ("density", "ols")
    if (effort is not None or special) and (chosen is not BASS or kind != "flow"):
        raise SettingError(message("grow.covariates_density"), found=f"{curve}, {kind}")
    if effort is not None and special:
        raise SettingError(message("grow.covariates_estimator"), found=estimator, allowed="likelihood, nls")
    table = np.atleast_2d(np.asarray(values, dtype=np.float64))
    ends = np.arange(1.0, table.shape[1] + 1) if times is None else np.asarray(times, dtype=np.float64)
    _check(table, ends, effort)
    whole = Periods(ends, kind == "flow", effort, estimator == "density")
    patterns = tuple(noises or (EVEN if estimator != "likelihood" else BOTH if kind == "flow" else REMEMBERING))
    least = 4 + whole.effects
    known = ~np.isnan(table)
    problems: dict[int, str | Message] = {}
    for row in np.flatnonzero((known.sum(1) < least) | (np.nan_to_num(table).max(1) <= 0)):
        count = int(known[row].sum())
        problems[int(row)] = (
            message("grow.curve_too_few", count=count, parameters=least - 1, least=least)
            if count < least
            else message("grow.curve_nothing")
        )
    if estimator == "ols":
        whole_run = known.all(1) & np.array_equal(ends, np.arange(1.0, table.shape[1] + 1))
        problems |= {
            int(row): message("grow.regression_gaps") for row in np.flatnonzero(~whole_run) if row not in problems
        }
    able = np.array([row for row in range(len(table)) if row not in problems], dtype=int)
    groups = []
    for mask in np.unique(known[able], axis=0) if able.size else []:
        rows = able[(known[able] == mask).all(1)]
        if estimator == "ols":
            groups += _regressed(whole, table[rows], rows, problems)
            continue
        for noise in patterns:
            groups += _fitted(chosen, whole.only(mask), table[rows][:, mask], rows, noise)
    seen = {int(row) for group in groups for row in group.rows}
    problems |= {
        int(row): message("grow.curve_zeros") for row in able if int(row) not in seen and int(row) not in problems
    }
    return Diffusions(chosen, whole.flow, float(ends[-1]), tuple(groups), problems, len(table), effort, estimator)


def _fitted(curve: Curve, periods: Periods, values: Floats, rows: Floats, noise: Noise) -> list[Group]:
    if noise.proportional:
        positive = (values > 0).all(1)
        values, rows = values[positive], rows[positive]
    if not rows.size:
        return []
    problem = problem_of(curve, periods, values, noise)
    full, squares, still = problem.polish(started(problem, curve, periods))
    likelihood = _log_likelihood(values, squares) + problem.log_volume
    if noise.proportional:
        likelihood = likelihood - np.log(values).sum(1)
    return [Group(rows, problem, periods, full, squares, still, likelihood)]


def _regressed(periods: Periods, values: Floats, rows: Floats, problems: dict[int, str | Message]) -> list[Group]:
    """Return the regressions of the rows that have one; why others have none goes to `problems`."""
    problem, full, without = regressed(values)
    places = np.asarray(rows, dtype=int)
    problems |= {int(places[row]): why for row, why in without.items()}
    kept = np.array([row for row in range(len(places)) if row not in without], dtype=int)
    if not kept.size:
        return []
    problem, full = problem.of(kept), full[kept]
    squares = np.sum(problem.deviations(full)[0] ** 2, 1)
    still = np.ones(len(kept), dtype=bool)
    return [Group(places[kept], problem, periods, full, squares, still, _log_likelihood(values[kept], squares))]


def _log_likelihood(values: Floats, squares: Floats) -> Floats:
    """Return the greatest log-likelihood under normal noise of one size, (S,)."""
    n = values.shape[1]
    floor = np.maximum(squares, 1e-20 * np.sum(values**2, 1))
    return np.asarray(-n / 2 * (np.log(2 * np.pi * floor / n) + 1))


def _check(table: Floats, ends: Floats, effort: Floats | None) -> None:
    if np.isinf(table).any() or (table < 0).any():
        bad = table[np.isinf(table) | (table < 0)]
        raise InputError(message("grow.values_diffusion"), found=float(bad[0]), allowed=message("grow.more_nan"))
    if ends.shape != table.shape[1:] or (np.diff(ends) <= 0).any() or not np.isfinite(ends).all():
        raise InputError(message("grow.times_must"), found=ends.tolist())
    if effort is not None and (effort.ndim != 2 or len(effort) < ends[-1] or effort.shape[1] > 2):
        raise InputError(
            message("grow.covariates_need"),
            found=effort.shape,
            allowed=message("grow.or", ends=int(ends[-1])),
        )
