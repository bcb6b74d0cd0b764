"""The lifetime model held to account: fitted on the first part of a log, judged on the rest, beside plain baselines.

result = hold_out(log, until=date(1997, 9, 30), weeks=39)
[figure.text() for figure in result.figures()]
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from noria.core.errors import InputError
from noria.core.figure import Figure, proportion
from noria.core.messages import message
from noria.grow.log.log import Log

from .expected_acts import ActsForecast, Outcome, Shocks, acts_after, common_shocks, forecast_acts
from .lifetime import History, Lifetimes, fit, repeat_purchases
from .likelihood import Floats
from .pareto import Pareto, fit_pareto


@dataclass(frozen=True)
class Rival:
    """One model's expectation of each user, judged on what came."""

    name: str
    total: float
    """Acts expected of all users together."""
    error: Figure
    """Mean absolute error a user."""
    behind: Figure
    """Its error less that of BG/NBD, user by user: within its interval of 0 the two cannot be told apart."""
    log_likelihood: float | None = None
    """Of the time it was fitted on; None for a baseline."""


@dataclass(frozen=True)
class HoldOut:
    """A model, its forecast, and what came."""

    model: Lifetimes
    history: History
    shocks: Shocks
    ahead: ActsForecast
    outcome: Outcome
    flat: float
    """The baseline for a week: the mean of the last weeks before the hold-out, as many as 13."""
    pareto: Pareto | None = None
    """None where the Pareto/NBD model cannot be told from the data; `silence` says why."""
    silence: str = ""

    @property
    def weeks(self) -> int:
        """Length of the hold-out."""
        return int(self.outcome.by_week.size)

    @property
    def inside(self) -> bool:
        """Whether the total that came lies in the 95 % interval."""
        low, high = np.quantile(self.ahead.total(), [0.025, 0.975])
        return bool(low <= self.outcome.by_week.sum() <= high)

    @property
    def nearer(self) -> bool:
        """Whether the median forecast of the total was nearer to what came than the flat baseline."""
        came = float(self.outcome.by_week.sum())
        return bool(abs(np.median(self.ahead.total()) - came) < abs(self.flat * self.weeks - came))

    def figures(self) -> list[Figure]:
        """Return total, coverage by week, and error by user beside the baseline."""
        total = self.ahead.total()
        low, high = np.quantile(total, [0.025, 0.975])
        ends = self.ahead.interval(0.95)
        covered = int(np.sum((self.outcome.by_week >= ends[0]) & (self.outcome.by_week <= ends[1])))
        source, users = self.model.source, self.model.users
        error, spread = _mean(np.abs(self.ahead.expected_each - self.outcome.by_user))
        same = self.history.repeats * self.weeks / np.maximum(self.history.age, 1.0)
        return [
            Figure(
                "acts forecast",
                float(np.median(total)),
                users,
                float(low),
                float(high),
                source=source,
                baseline=self.flat * self.weeks,
                note=message(
                    "figures.came.alone" if self.nearer else "figures.came.baseline_nearer",
                    acts=float(self.outcome.by_week.sum()),
                ),
            ),
            proportion("weeks inside the interval", covered, self.weeks, source=source),
            Figure(
                "error per user",
                error,
                users,
                error - spread,
                error + spread,
                source=source,
                baseline=float(np.mean(np.abs(same - self.outcome.by_user))),
                note="mean absolute error, acts",
            ),
        ]

    def rivals(self) -> list[Rival]:
        """Return the models and the baselines against one another, BG/NBD first."""
        each: dict[str, tuple[Floats, float | None]] = {"BG/NBD": (self.ahead.expected_each, self.model.log_likelihood)}
        if self.pareto:
            each["Pareto/NBD"] = (self.pareto.expected(self.history, self.weeks), self.pareto.log_likelihood)
        each["own rate goes on"] = (self.history.repeats * self.weeks / np.maximum(self.history.age, 1.0), None)
        each["mean of the last weeks"] = (np.full(self.model.users, self.flat * self.weeks / self.model.users), None)
        came, users, source = self.outcome.by_user, self.model.users, self.model.source
        ours = np.abs(each["BG/NBD"][0] - came)
        found = []
        for name, (expected, likelihood) in each.items():
            errors = np.abs(expected - came)
            (error, spread), (more, width) = _mean(errors), _mean(errors - ours)
            found.append(
                Rival(
                    name,
                    float(expected.sum()),
                    Figure(f"error per user, {name}", error, users, error - spread, error + spread, source=source),
                    Figure(f"error beyond BG/NBD, {name}", more, users, more - width, more + width, source=source),
                    likelihood,
                )
            )
        return found

    def calibration(self, groups: int = 7) -> list[tuple[str, int, float, float]]:
        """Return, for users by their repeats so far: name of the group, users, acts expected, acts seen, a user each."""
        rows = []
        for repeats in range(groups + 1):
            mine = self.history.repeats == repeats if repeats < groups else self.history.repeats >= repeats
            if mine.any():
                name = f"{repeats}+" if repeats == groups else str(repeats)
                rows.append(
                    (
                        name,
                        int(mine.sum()),
                        float(self.ahead.expected_each[mine].mean()),
                        float(self.outcome.by_user[mine].mean()),
                    )
                )
        return rows


def hold_out(log: Log, until: date, weeks: int, *, draws: int = 200, seed: int = 0) -> HoldOut:
    """Return the model fitted up to the day `until`, and its forecast of the following `weeks` against what came.

    Raises:
        InputError: the log does not reach so far, or no model can be told from it.
    """
    history = repeat_purchases(log, until)
    outcome = acts_after(log, history, weeks)
    model = fit(history)
    pareto, silence = None, ""
    try:
        pareto = fit_pareto(history)
    except InputError as error:
        silence = str(error)
    shocks = common_shocks(model, log, history)
    ahead = forecast_acts(model, history, weeks, shocks=shocks, draws=draws, seed=seed)
    return HoldOut(model, history, shocks, ahead, outcome, float(shocks.recent), pareto, silence)


def _mean(values: Floats) -> tuple[float, float]:
    return float(values.mean()), 1.96 * float(values.std(ddof=1)) / float(np.sqrt(values.size))
