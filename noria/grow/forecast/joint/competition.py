"""Competition: Lotka-Volterra for N rivals, who takes from whom, and what comes of it.

    rivals = fit_rivals(users, names=["A", "B", "C"])          # (periods, rivals), all above zero
    rivals.effects()[0].text()                                 # what a unit of B does to A's growth, with its interval
    rivals.ahead(6, seed=0)                                    # draws of all rivals together, above zero

Each grows as dlog x_i / dt = r_i + sum_j a_ij x_j (Lotka 1925; Volterra 1926). `steps` regresses the change of each logarithm
over a period on the mean of the rivals in it; `paths` then fits the solution of the equations themselves to the
logarithms (least squares from the result of `steps`), which uses the noise better where it is of observation. Effects that
the data cannot tell from none say so: rivals that move together, or a short series, leave them open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.integrate import solve_ivp
from scipy.optimize import least_squares
from scipy.stats import invwishart
from scipy.stats import t as t_distribution

from noria.core.errors import InputError, SettingError
from noria.core.figure import Figure
from noria.core.messages import message, term
from noria.grow.market.labels import OTHER
from noria.grow.series.series import Floats

Method = Literal["steps", "paths"]
RUNAWAY = 100.0
"""Times the largest value seen above which a draw is taken for a failure of the equations, not a forecast."""


@dataclass(frozen=True)
class Rivals:
    """A fitted model; N rivals."""

    names: tuple[str, ...]
    growth: Floats
    """r, (N,), a period."""
    interaction: Floats
    """a, (N, N): row is acted on, column acts; a period and unit of the values."""
    low: Floats
    """Ends of the intervals of [r, a], (N, N + 1) each."""
    high: Floats
    level: float
    last: Floats
    covariance: Floats
    """Of the coefficients in units of the noise, (N + 1, N + 1), on values divided by `scale`."""
    noise: Floats
    """Sum of squares and products of what is left over, (N, N)."""
    freedom: int
    scale: float
    largest: float
    n: int
    source: str = ""
    problem: str = ""
    """What did not go as asked, and what was done."""

    def effects(self) -> list[Figure]:
        """Return what each rival does to each one's growth, where the rivals are as large as they were last."""
        found = []
        told: dict[str, str] = {name: term(name) if name == OTHER else name for name in self.names}
        for row, to in enumerate(self.names):
            for column, by in enumerate(self.names):
                size = float(self.last[column])
                low, high = float(self.low[row, column + 1]) * size, float(self.high[row, column + 1]) * size
                known = low > 0 or high < 0
                found.append(
                    Figure(
                        message("forecast.acts_on", by=told[by], to=told[to]),
                        float(self.interaction[row, column]) * size,
                        self.n,
                        low,
                        high,
                        source=self.source,
                        level=self.level,
                        unit=message("forecast.a_period"),
                        note="" if known else message("forecast.not_identified"),
                    )
                )
        return found

    def balance(self) -> Floats | None:
        """Return the values at which all would stay, (N,); None where the equations have none above zero."""
        try:
            point = np.linalg.solve(self.interaction, -self.growth)
        except np.linalg.LinAlgError:
            return None
        return np.asarray(point) if (point > 0).all() else None

    def ahead(self, horizon: int, *, draws: int = 1000, seed: int = 0) -> Floats:
        """Return draws of the next periods, (draws, horizon, N); see `paths`."""
        return self.paths(horizon, draws=draws, seed=seed).values

    def paths(self, horizon: int, *, draws: int = 1000, seed: int = 0) -> Paths:
        """Return draws of the next periods, coefficients and noise drawn from their posterior.

        Draws in which a rival runs away are drawn anew: the equations do not hold there.

        Raises:
            InputError: nearly all run away; the data tell too little of what holds growth back.
        """
        random = np.random.default_rng(seed)
        kept: list[Paths] = []
        count = 0
        for _ in range(8):
            paths = self._paths(horizon, draws, random)
            fine = paths.only((paths.values < RUNAWAY * self.largest).all((1, 2)))
            kept.append(fine)
            count += len(fine.values)
            if count >= draws:
                joined = (
                    np.concatenate([getattr(one, name) for one in kept])[:draws]
                    for name in ("values", "centres", "roots")
                )
                return Paths(*joined)
        raise InputError(
            message("grow.rivals_run"),
            found=message("grow.stay", count=count, value=8 * draws),
            hint=message("grow.forecast_shares"),
        )

    def _paths(self, horizon: int, draws: int, random: np.random.Generator) -> Paths:
        size = len(self.names)
        covariance = np.asarray(invwishart(self.freedom + size - 1, self.noise).rvs(draws, random_state=random))
        roots = np.linalg.cholesky(covariance.reshape(draws, size, size))
        values, vectors = np.linalg.eigh(self.covariance)
        loose = vectors * np.sqrt(np.maximum(values, 0.0))
        middle = np.concatenate([self.growth[:, None], self.interaction * self.scale], 1).T
        noise = random.standard_normal((draws, size + 1, size))
        table = middle + np.einsum("kl,dlq,dpq->dkp", loose, noise, roots)
        logs = np.tile(np.log(self.last / self.scale), (draws, 1))
        most = np.log(RUNAWAY * 10 * self.largest / self.scale)
        paths, centres = np.empty((draws, horizon, size)), np.empty((draws, horizon, size))

        def pace(state: Floats) -> Floats:
            return np.asarray(table[:, 0] + np.einsum("dk,dkp->dp", np.exp(np.minimum(state, most)), table[:, 1:]))

        for step in range(horizon):
            first = pace(logs)
            second = pace(np.clip(logs + first, -50.0, most))
            fresh = np.einsum("dpq,dq->dp", roots, random.standard_normal((draws, size)))
            centres[:, step] = logs + (first + second) / 2
            logs = np.clip(centres[:, step] + fresh, -50.0, most)
            paths[:, step] = np.exp(logs)
        return Paths(np.asarray(paths * self.scale, dtype=np.float64), centres + np.log(self.scale), roots)


@dataclass(frozen=True)
class Paths:
    """Draws of what comes; D draws of H periods of N rivals."""

    values: Floats
    """(D, H, N), above zero."""
    centres: Floats
    """(D, H, N): the logarithm that the draw's path before expects."""
    roots: Floats
    """(D, N, N): root of the covariance of one period's noise in logarithms."""

    def only(self, kept: npt.ArrayLike) -> Paths:
        """Return the draws where `kept` is true."""
        places = np.asarray(kept, dtype=bool)
        return Paths(self.values[places], self.centres[places], self.roots[places])


def fit_rivals(
    values: Floats | Sequence[Sequence[float]],
    *,
    names: Sequence[str] = (),
    method: Method = "steps",
    level: float = 0.9,
    source: str = "",
) -> Rivals:
    """Return Lotka-Volterra fitted to amounts.

    Args:
        values: (periods, rivals), all above zero; a period with a missing value is passed over.
        names: of the rivals.
        method: `steps` or `paths`; see above.
        level: of the intervals.
        source: of the values.

    Raises:
        SettingError: an unknown method.
        InputError: values not above zero, one rival, or fewer periods than the equations have coefficients.
    """
    table = _checked(values, method)
    count = table.shape[1]
    whole = np.flatnonzero(~np.isnan(table).any(1))
    starts = whole[:-1][np.diff(whole) == 1]
    freedom = len(starts) - count - 1
    if freedom < 2:
        raise InputError(
            message("grow.too_few"), found=len(starts) + 1, allowed=message("grow.more_row", count=count + 4)
        )
    scale = float(np.nanmean(table))
    logs, amounts = np.log(table), table / scale
    changes = logs[starts + 1] - logs[starts]
    design = np.column_stack([np.ones(len(starts)), (amounts[starts] + amounts[starts + 1]) / 2])
    covariance = np.linalg.pinv(design.T @ design)
    found = covariance @ design.T @ changes
    left = changes - design @ found
    noise = left.T @ left + 1e-12 * np.eye(count)
    error = np.sqrt(np.outer(np.diag(covariance), np.diag(noise) / freedom)).T
    problem = ""
    if np.linalg.matrix_rank(design) < count + 1:
        problem = message("forecast.move_together")
        error = np.full_like(error, np.inf)
    table_of = found.T
    if method == "paths" and not problem:
        table_of, error, problem = _follow(logs[whole] - np.log(scale), whole.astype(float), found.T, error)
    half = float(t_distribution.ppf((1 + level) / 2, freedom)) * error
    unit = np.append(1.0, np.full(count, 1 / scale))
    told = tuple(names) or tuple(f"rival {place + 1}" for place in range(count))
    return Rivals(
        told,
        table_of[:, 0],
        table_of[:, 1:] / scale,
        (table_of - half) * unit,
        (table_of + half) * unit,
        level,
        table[whole[-1]],
        covariance,
        noise,
        freedom,
        scale,
        float(np.nanmax(table)),
        len(whole),
        source,
        problem,
    )


def _checked(values: Floats | Sequence[Sequence[float]], method: str) -> Floats:
    if method not in ("steps", "paths"):
        raise SettingError(message("grow.unknown_method"), found=method, allowed=("steps", "paths"))
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] < 2:
        raise InputError(message("grow.competition_needs"), found=table.shape)
    if not (np.isnan(table) | (np.isfinite(table) & (table > 0))).all():
        raise InputError(
            message("grow.rivals_values"),
            found=float(np.nanmin(table)),
            hint=message("grow.leave_out"),
        )
    return table


def _follow(logs: Floats, times: Floats, start: Floats, error: Floats) -> tuple[Floats, Floats, str]:
    """Return coefficients (N, N + 1) whose solution follows the logarithms best, and their standard errors."""
    count = logs.shape[1]

    def solution(numbers: Floats) -> Floats:
        table, begin = numbers[:-count].reshape(count, count + 1), numbers[-count:]

        def pace(_: float, state: Floats) -> Floats:
            return np.asarray(table[:, 0] + table[:, 1:] @ np.exp(np.minimum(state, 8.0)))

        run = solve_ivp(pace, (times[0], times[-1]), begin, t_eval=times, rtol=1e-6, atol=1e-8)
        reached = np.full((len(times), count), 20.0)
        reached[: run.y.shape[1]] = run.y.T
        return np.asarray(np.clip(reached, -20.0, 20.0))

    first = np.append(start.ravel(), logs[0])
    result = least_squares(
        lambda numbers: (solution(numbers) - logs).ravel(), first, max_nfev=60, x_scale=np.maximum(np.abs(first), 0.1)
    )
    if not np.isfinite(result.cost) or result.cost > np.sum((solution(first) - logs) ** 2) / 2 or not result.success:
        return start, error, message("forecast.paths_restless")
    freedom = max(logs.size - first.size, 1)
    spread = np.linalg.pinv(result.jac.T @ result.jac) * 2 * result.cost / freedom
    errors = np.sqrt(np.maximum(np.diag(spread), 0.0))[:-count].reshape(count, count + 1)
    return result.x[:-count].reshape(count, count + 1), errors, ""
