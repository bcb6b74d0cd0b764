"""Lifetime models held to account: fitted on the first part of a log, judged on the rest beside plain baselines, one chosen.

    result = hold_out(log, until=date(1997, 9, 30), weeks=39)
    result.chosen, result.verdict()["en"], [figure.text() for figure in result.figures()]
    ahead_of(log, until=date(1998, 6, 30), weeks=13, models=result).figure()     # what nobody has seen yet

Models give each user's expected acts, so they are judged by a score that is best for the true expectation: Poisson's deviance
(McCullagh and Nelder 1989, Generalized Linear Models, section 2.3). The mean absolute error is shown beside it but does
not choose: it is least for the median, which for most users is 0, and so favours models that expect too little.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial

import numpy as np

from noria.core.errors import InputError
from noria.core.figure import Figure, proportion
from noria.core.messages import Message, as_is, joined, message
from noria.core.progress import stage
from noria.grow.log.log import Log

from .expected_acts import ActsForecast, Outcome, Shocks, acts_after, common_shocks, forecast_acts
from .lifetime import History, LifetimeModel, fit, repeat_purchases
from .likelihood import Floats
from .pareto import fit_pareto

FITS: Mapping[str, Callable[[History], LifetimeModel]] = {
    "BG/NBD": fit,
    "MBG/NBD": partial(fit, at_start=True),
    "Pareto/NBD": fit_pareto,
}
"""Model -> what fits it."""
BEST = "best"


@dataclass(frozen=True)
class Rival:
    """One model's or baseline's expectation of each user, judged on what came."""

    name: str
    total: float
    """Acts expected of all users together."""
    error: Figure
    """Mean absolute error a user."""
    behind: Figure
    """Its error less that of the chosen model, user by user: within its interval of 0 the two cannot be told apart."""
    deviance: Figure | None
    """Mean Poisson deviance a user; None for a baseline that expects nothing of someone who came."""
    deviance_behind: Figure | None
    """The same less that of the chosen model."""
    log_likelihood: float | None = None
    """Of the time it was fitted on; None for a baseline."""

    @property
    def standing(self) -> str:
        """Whether it was "better" or "worse" than the chosen model, or "alike": by deviance, by error where there is none."""
        found = self.deviance_behind or self.behind
        assert found.low is not None
        assert found.high is not None
        return "alike" if found.low <= 0 <= found.high else "worse" if found.value > 0 else "better"

    def title(self) -> Message:
        """Return what people read for the model or baseline."""
        key = self.name.replace(" ", "_")
        return as_is(self.name) if self.name in FITS else message(f"worth.rival.{key}")


@dataclass(frozen=True)
class HoldOut:
    """Models, the forecast of the chosen one, and what came."""

    models: Mapping[str, LifetimeModel]
    """Those that could be fitted, by name."""
    chosen: str
    asked: bool
    """Whether the model was named by whoever asked, rather than chosen by the hold-out."""
    history: History
    shocks: Shocks
    ahead: ActsForecast
    outcome: Outcome
    flat: float
    """The baseline for a week: the mean of the last weeks before the hold-out, as many as 13."""
    silences: Mapping[str, str] = field(default_factory=dict)
    """Model -> why it cannot be told from the data."""

    @property
    def model(self) -> LifetimeModel:
        """The chosen model."""
        return self.models[self.chosen]

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

    def standing(self, rival: Rival) -> Message:
        """Return how a model or baseline did beside the chosen model, for people."""
        if rival.name == self.chosen:
            return message("worth.chosen.here")
        return message(f"worth.standing.{rival.standing}")

    def verdict(self) -> Message:
        """Return which model was chosen, by which figures, and which others cannot be told from it."""
        others = [rival for rival in self.rivals() if rival.name in self.models]
        deviances = joined(
            "join.comma",
            [
                message("worth.chosen.deviance", model=rival.name, value=rival.deviance.value)
                for rival in others
                if rival.deviance
            ],
        )
        alike = [rival.name for rival in others if rival.name != self.chosen and rival.standing == "alike"]
        told = {"model": self.chosen, "deviances": deviances, "weeks": self.weeks, "users": self.model.users}
        first = message("worth.chosen.asked", **told) if self.asked else message("worth.chosen.held_out", **told)
        if len(others) == 1:
            first = message("worth.chosen.only", model=self.chosen)
        return (
            joined(
                "join.sentences",
                [first, message("worth.chosen.alike", models=joined("join.and", alike), model=self.chosen)],
            )
            if alike
            else first
        )

    def figures(self) -> list[Figure]:
        """Return total, coverage by week, and error by user beside the baseline."""
        total = self.ahead.total()
        low, high = np.quantile(total, [0.025, 0.975])
        ends = self.ahead.interval(0.95)
        covered = int(np.sum((self.outcome.by_week >= ends[0]) & (self.outcome.by_week <= ends[1])))
        source, users = self.model.source, self.model.users
        error, spread = _mean(np.abs(self.ahead.expected_each - self.outcome.by_user))
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
                baseline=float(np.mean(np.abs(self._own_rates() - self.outcome.by_user))),
                note="mean absolute error, acts",
            ),
        ]

    def rivals(self) -> list[Rival]:
        """Return the models and the baselines against one another, the chosen one first."""
        names = [self.chosen, *(name for name in self.models if name != self.chosen)]
        each = {name: self.models[name].expected(self.history, self.weeks) for name in names}
        each["own rate goes on"] = self._own_rates()
        each["mean of the last weeks"] = np.full(self.model.users, self.flat * self.weeks / self.model.users)
        came, users, source = self.outcome.by_user, self.model.users, self.model.source

        def figure(name: str, values: Floats) -> Figure:
            middle, spread = _mean(values)
            return Figure(name, middle, users, middle - spread, middle + spread, source=source)

        ours, ours_off = np.abs(each[self.chosen] - came), deviances(each[self.chosen], came)
        found = []
        for name, expected in each.items():
            errors, off = np.abs(expected - came), deviances(expected, came)
            finite = bool(np.isfinite(off).all())
            found.append(
                Rival(
                    name,
                    float(expected.sum()),
                    figure(f"error per user, {name}", errors),
                    figure(f"error beyond {self.chosen}, {name}", errors - ours),
                    figure(f"deviance per user, {name}", off) if finite else None,
                    figure(f"deviance beyond {self.chosen}, {name}", off - ours_off) if finite else None,
                    self.models[name].log_likelihood if name in self.models else None,
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

    def _own_rates(self) -> Floats:
        return np.asarray(self.history.repeats * self.weeks / np.maximum(self.history.age, 1.0), dtype=np.float64)


@dataclass(frozen=True)
class LifetimeAhead:
    """What the users of a log will do in weeks that nobody has seen yet."""

    model: LifetimeModel
    history: History
    acts: ActsForecast
    reason: Message
    """Why this model."""

    @property
    def weeks(self) -> int:
        """How many weeks are forecast."""
        return int(self.acts.by_week.shape[1])

    def figure(self) -> Figure:
        """Return the acts of all users together, with their 95 % interval."""
        total = self.acts.total()
        low, high = np.quantile(total, [0.025, 0.975])
        return Figure(
            message("figures.acts_ahead", weeks=self.weeks, until=self.history.until),
            float(np.median(total)),
            self.model.users,
            float(low),
            float(high),
            source=self.model.source,
        )


@stage(message("progress.lifetime"))
def hold_out(log: Log, until: date, weeks: int, *, model: str = BEST, draws: int = 200, seed: int = 0) -> HoldOut:
    """Return models fitted up to the day `until`, and the forecast of one for the following `weeks` against what came.

    Args:
        log: the log.
        until: last day that the models see.
        weeks: to hold out after it.
        model: one of `FITS`, or the one whose deviance on the hold-out is least.
        draws: of the forecast.
        seed: of the draws.

    Raises:
        InputError: the log does not reach so far, or no model, or not the one that was named, can be told from it.
    """
    history = repeat_purchases(log, until)
    outcome = acts_after(log, history, weeks)
    models: dict[str, LifetimeModel] = {}
    failed: dict[str, InputError] = {}
    for name, fitted in FITS.items():
        try:
            models[name] = fitted(history)
        except InputError as error:
            failed[name] = error
    if not models or model in failed:
        raise failed.get(model) or next(iter(failed.values()))
    scores = {
        name: float(deviances(each.expected(history, weeks), outcome.by_user).mean()) for name, each in models.items()
    }
    chosen = model if model != BEST else min(scores, key=lambda name: scores[name])
    shocks = common_shocks(models[chosen], log, history)
    ahead = forecast_acts(models[chosen], history, weeks, shocks=shocks, draws=draws, seed=seed)
    silences = {name: error.as_message() for name, error in failed.items()}
    return HoldOut(models, chosen, model != BEST, history, shocks, ahead, outcome, float(shocks.recent), silences)


def ahead_of(
    log: Log, until: date, weeks: int, *, model: str, reason: Message, draws: int = 200, seed: int = 0
) -> LifetimeAhead:
    """Return what the users known by the day `until` will do in the `weeks` after it, by one of `FITS`.

    Raises:
        InputError: the model cannot be told from the log.
    """
    history = repeat_purchases(log, until)
    fitted = FITS[model](history)
    shocks = common_shocks(fitted, log, history)
    return LifetimeAhead(
        fitted, history, forecast_acts(fitted, history, weeks, shocks=shocks, draws=draws, seed=seed), reason
    )


def deviances(expected: Floats, came: Floats) -> Floats:
    """Return Poisson's deviance of each user, (N,): 0 where just what was expected came, infinite where nothing was expected of who came."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(came > 0, came * np.log(came / expected), 0.0)
    return np.asarray(2 * (ratio - came + expected), dtype=np.float64)


def _mean(values: Floats) -> tuple[float, float]:
    return float(values.mean()), 1.96 * float(values.std(ddof=1)) / float(np.sqrt(values.size))
