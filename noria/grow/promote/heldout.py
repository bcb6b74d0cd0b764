"""Responses held to account: the last periods forecast from the ones before, with the spend's help and without it.

check = held_out(spend, periods=26)
check.error, check.error_without     # mean absolute error with spend in the model, and with level, trend, season and controls alone

What was spent in the periods held out is known to both; what came is known to neither.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from noria.core.messages import Message, message

from .response import CARRY, HALF, SLOPE, STRENGTH, adstock, controls_of, respond, saturated
from .spend import FEWEST, Floats, Spend


@dataclass(frozen=True)
class HeldOut:
    """How the periods held out were forecast."""

    periods: int
    error: float
    """Mean absolute error of the median, over the mean outcome."""
    error_without: float
    """The same without any spend in the model."""
    crps: float
    """Continuous ranked probability score, over the mean outcome."""
    crps_without: float
    inside: int
    """Periods inside the 90 % interval."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return asdict(self)

    def text(self) -> Message:
        """Return the finding."""
        told = {
            "periods": self.periods,
            "inside": self.inside,
            "error": self.error,
            "error_without": self.error_without,
        }
        better = self.crps < self.crps_without
        return message("budget.held_out.better", **told) if better else message("budget.held_out.no_better", **told)


def held_out(spend: Spend, periods: int | None = None, *, draws: int = 600, seed: int = 0) -> HeldOut | None:
    """Return how the last periods are forecast from those before; None where these are too few.

    Args:
        spend: all periods.
        periods: how many to hold out; an eighth where not given.
        draws: of each forecast.
        seed: of the simulation.
    """
    size = spend.outcome.size
    periods = periods or size // 8
    train = size - periods
    if train < FEWEST or train <= spend.known.shape[1] + 8 + 4 * len(spend.channels):
        return None
    early = replace(
        spend,
        days=spend.days[:train],
        outcome=spend.outcome[:train],
        amounts=spend.amounts[:train],
        known=spend.known[:train],
    )
    fitted = respond(early, draws=draws, seed=seed)
    beside, _ = controls_of(spend)  # times and controls only; it knows nothing of the outcomes held out
    brought = np.zeros((size, len(fitted.draws)))
    for place, name in enumerate(fitted.channels):
        part = fitted.draws[:, place]
        carried = adstock(spend.amounts[:, spend.channels.index(name)], part[:, CARRY])
        brought += saturated(carried, part[:, STRENGTH], part[:, HALF], part[:, SLOPE])
    random = np.random.default_rng(seed)
    ahead = [
        _predicted(spend.outcome[:train], beside, parts, fitted.autocorrelation, random)
        for parts in (brought, np.zeros_like(brought))
    ]
    seen, mean = spend.outcome[train:], float(spend.outcome.mean())
    errors = [float(np.abs(np.median(paths, axis=1) - seen).mean()) / mean for paths in ahead]
    scores = [float(_crps(paths, seen).mean()) / mean for paths in ahead]
    low, high = np.quantile(ahead[0], [0.05, 0.95], axis=1)
    inside = int(((seen >= low) & (seen <= high)).sum())
    return HeldOut(periods, errors[0], errors[1], scores[0], scores[1], inside)


def _predicted(outcome: Floats, beside: Floats, brought: Floats, lag: float, random: np.random.Generator) -> Floats:
    """Return draws of the periods after the outcome's end, (periods, N): controls' weights and noise from their posterior."""
    train, draws = outcome.size, brought.shape[1]
    left, sizes, right = np.linalg.svd(beside[:train], full_matrices=False)
    kept = sizes > 1e-8 * sizes[0]  # a control that never moved so far tells nothing
    left, right = left[:, kept], right[kept]
    rest = outcome[:, None] - brought[:train]
    moments = left.T @ rest
    noise = rest - left @ moments
    freedom = train - int(kept.sum())
    spread = np.sqrt((noise**2).sum(0) / random.chisquare(freedom, draws))
    weights = right.T @ ((moments + spread * random.standard_normal(moments.shape)) / sizes[kept][:, None])
    paths = beside[train:] @ weights + brought[train:]
    last = noise[-1]
    for row in range(len(paths)):
        last = lag * last + np.sqrt(1 - lag**2) * spread * random.standard_normal(draws)
        paths[row] += last
    return np.asarray(paths)


def _crps(paths: Floats, seen: Floats) -> Floats:
    """Return the continuous ranked probability score of draws (Gneiting and Raftery 2007, eq. 21), (T,)."""
    ordered = np.sort(paths, axis=1)
    n = ordered.shape[1]
    weights = (2 * np.arange(1, n + 1) - n - 1) / n**2
    return np.asarray(np.abs(paths - seen[:, None]).mean(1) - ordered @ weights)
