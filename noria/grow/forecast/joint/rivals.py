"""Rivals' amounts to come: Lotka-Volterra held to persistence, with who takes from whom.

study = study_rivals(amounts_of(read_series("phones.csv")), horizon=6)
study.rivals.effects(), study.ahead.backtest.verdict(), study.ahead.interval(0.9)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.special import logsumexp

from noria.core.messages import Message, joined, message
from noria.grow.forecast.names import BASELINE
from noria.grow.series.series import Floats

from .competition import Method, Rivals, fit_rivals
from .several import Amounts, Joint, JointModel, JointStudy, random_walks, study_amounts

MODEL = "lotka-volterra"


@dataclass(frozen=True)
class RivalStudy:
    """Who acts on whom, and what may come."""

    rivals: Rivals
    ahead: JointStudy

    def notes(self) -> list[Message]:
        """Return what is to be known with the figures, in both languages."""
        found = []
        if self.rivals.problem:
            found.append(message("forecast.solver_problem", problem=self.rivals.problem))
        balance = self.rivals.balance()
        if balance is None:
            found.append(message("forecast.equations_have_no_balance_above"))
        else:
            pairs = list(zip(self.rivals.names, balance, strict=True))
            found.append(
                message(
                    "forecast.balance",
                    levels=joined(
                        "join.comma", (message("forecast.level", name=name, value=value) for name, value in pairs)
                    ),
                )
            )
        if self.ahead.history.unit.lower() in ("percent", "%", "share", "fraction"):
            found.append(message("forecast.these_shares_draws_rivals_do"))
        return found


def study_rivals(
    history: Amounts,
    *,
    method: Method = "steps",
    horizon: int = 6,
    holdout: int = 3,
    model: str = "best",
    draws: int = 2000,
    seed: int = 0,
) -> RivalStudy:
    """Return the equations fitted to all periods, their back-test, and the forecast of what it lets through.

    Args:
        history: amounts, all above zero.
        method: how the equations are fitted, see `fit_rivals`.
        horizon: periods to forecast.
        holdout: periods ahead that the back-test scores.
        model: best, persistence, lotka-volterra or blend.
        draws: of the forecast.
        seed: of the draws.

    Raises:
        InputError: what `fit_rivals` refuses, or rivals that run away in nearly every draw.
        SettingError: an unknown method or model.
    """
    fitted = _fitted(history, method)
    models: dict[str, JointModel] = {BASELINE: random_walks, MODEL: partial(rivals_ahead, method=method)}
    ahead = study_amounts(history, models, horizon=horizon, holdout=holdout, model=model, draws=draws, seed=seed)
    return RivalStudy(fitted, ahead)


def rivals_ahead(history: Amounts, horizon: int, draws: int, seed: int, *, method: Method = "steps") -> Joint:
    """Return what the equations expect, with the density of one period's noise about each draw's path.

    Raises:
        InputError: what `fit_rivals` refuses, or rivals that run away in nearly every draw.
    """
    whole = np.flatnonzero(~np.isnan(history.values).any(1))
    behind = len(history.values) - 1 - int(whole[-1]) if whole.size else 0
    paths = _fitted(history, method).paths(horizon + behind, draws=draws, seed=seed)
    sizes = np.log(np.einsum("dpp->dp", paths.roots))

    def log_density(values: Floats, ahead: int) -> float:
        seen = ~np.isnan(values)
        if not seen.all():  # a part of the rivals: the density of those alone
            covariance = np.einsum("dpq,drq->dpr", paths.roots, paths.roots)[:, seen][:, :, seen]
            roots = np.linalg.cholesky(covariance)
            size = np.log(np.einsum("dpp->dp", roots))
        else:
            roots, size = paths.roots, sizes
        logs = np.log(np.maximum(values[seen], 1e-300))
        away = np.linalg.solve(roots, (logs - paths.centres[:, behind + ahead - 1][:, seen])[..., None])[..., 0]
        each = -0.5 * np.sum(away**2, 1) - size.sum(1) - seen.sum() / 2 * np.log(2 * np.pi) - logs.sum()
        return float(max(logsumexp(each) - np.log(len(each)), -745.0))

    return Joint(paths.values[:, behind:], log_density)


def _fitted(history: Amounts, method: Method) -> Rivals:
    return fit_rivals(history.values, names=history.names, method=method, source=history.provenance.text())
