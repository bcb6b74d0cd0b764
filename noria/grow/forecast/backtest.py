"""How good share forecasts would have been: rolling origin, proper scores, coverage, and the bar of persistence.

    result = backtest(market, horizon=3)
    result.winner        # "persistence" unless a model is better by an interval clear of zero
    result.verdict()["en"]

At each origin every model sees only what came before and forecasts up to `horizon` periods. Scores (Gneiting and
Raftery 2007, Strictly proper scoring rules): log score of the density in log-ratios, energy score of all shares
together, CRPS of each share. MASE is the absolute error of the median over that of "no change" inside the window seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from noria.core.errors import InputError
from noria.core.figure import Figure

from ..market.share import Shares
from ..series import Floats
from .attraction import MINIMUM, Dynamics, fit
from .baseline import BASELINE, MODELS, NAMES

LEVELS = (0.5, 0.8, 0.9)


@dataclass(frozen=True)
class Trial:
    """One model's forecast from one origin for one horizon, and how it did."""

    model: str
    origin: str
    """Last time the model had seen."""
    horizon: int
    log_score: float
    """Higher is better."""
    energy: float
    """Energy score in points of share; lower is better."""
    crps: float
    """Mean over entities, in points of share; lower is better."""
    error: float
    """Mean absolute error of the medians, in points of share."""
    naive: float
    """Mean absolute change in one period inside the window seen, in points of share."""
    covered: tuple[float, ...]
    """Part of the entities inside the interval, for each of `LEVELS`."""


@dataclass(frozen=True)
class Standing:
    """One model over all trials."""

    model: str
    trials: int
    origins: int
    log_score: float
    energy: float
    crps: float
    mase: float
    coverage: dict[str, float]
    """Level in percent -> part of the shares inside."""
    gain: Figure | None
    """Log score above persistence, per forecast; None for persistence itself."""

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return asdict(self)


@dataclass(frozen=True)
class Backtest:
    """All trials of all models."""

    trials: tuple[Trial, ...]
    standings: tuple[Standing, ...]
    horizon: int

    @property
    def winner(self) -> str:
        """The model to use: the one with the greatest gain clear of zero, else persistence."""
        clear = [item for item in self.standings if item.gain and item.gain.low is not None and item.gain.low > 0]
        return max(clear, key=lambda item: item.gain.value if item.gain else 0.0).model if clear else BASELINE

    def verdict(self) -> dict[str, str]:
        """Return what the back-test says, as a sentence in each language."""
        standing = {item.model: item for item in self.standings}
        n = standing[BASELINE].origins
        if self.winner != BASELINE:
            gain = standing[self.winner].gain
            assert gain is not None
            return {
                "en": f"{NAMES[self.winner]['en']} beats persistence by {gain.value:.2f} [{gain.low:.2f}, {gain.high:.2f}] "
                      f"nats per forecast over {n} origins.",
                "zh": f"{NAMES[self.winner]['zh']}优于维持现状：{n} 个起点上每次预测的对数得分高 {gain.value:.2f} "
                      f"[{gain.low:.2f}, {gain.high:.2f}]。",
            }  # fmt: skip
        return {
            "en": f"Nothing beats persistence by an interval clear of zero over {n} origins: plan with today's shares, and with the "
                  "width of the intervals.",
            "zh": f"在 {n} 个起点上，没有模型以不含零的区间优于“维持现状”：应以当前份额为准，并重视区间的宽度。",
        }  # fmt: skip


def backtest(
    market: Shares,
    *,
    horizon: int = 3,
    first: int | None = None,
    models: Mapping[str, Sequence[Dynamics]] = MODELS,
    draws: int = 1000,
    seed: int = 0,
) -> Backtest:
    """Return how the models would have done from every origin after the first `first` periods (half of them if not given).

    Raises:
        InputError: too few periods to hold anything out.
    """
    periods = len(market.times)
    start = max(MINIMUM + 1, periods // 2) if first is None else first
    if start >= periods:
        raise InputError("too few periods to hold any out", found=periods, allowed=f"{MINIMUM + 2} or more")
    trials = []
    for seen in range(start, periods):
        for name, patterns in models.items():
            trials += _from_origin(market, name, patterns, seen, min(horizon, periods - seen), draws, seed + seen)
    if not trials:
        raise InputError("no period after the first origin has all shares known", found=market.provenance.source)
    return Backtest(tuple(trials), tuple(_standing(name, trials) for name in models), horizon)


def _from_origin(
    market: Shares, name: str, patterns: Sequence[Dynamics], seen: int, horizon: int, draws: int, seed: int
) -> list[Trial]:
    window = Shares(market.times[:seen], market.entities, market.values[:seen], market.base, market.provenance,
                    market.resolution, market.flags, tuple(item for item in market.breaks if item[0] < seen))  # fmt: skip
    model = fit(window, patterns)
    forecast = model.ahead(horizon, draws=draws, seed=seed)
    naive = float(np.nanmean(np.abs(np.diff(window.values, axis=0)))) * 100
    columns = list(model.present)
    trials = []
    for ahead in range(1, horizon + 1):
        row = seen + ahead - 1
        actual = market.values[row]
        broken = any(seen <= item[0] <= row for item in market.breaks)
        if broken or not market.whole[row] or actual[[c for c in range(actual.size) if c not in columns]].sum() > 0:
            continue  # not comparable, not known, or an entity that the window had never seen
        floor = (market.resolution or 1e-6) / 2
        parts = np.maximum(actual[columns], floor)
        ratios = np.log(parts[1:] / parts[0])
        sample = forecast.draws[:, ahead - 1][:, columns] * 100
        truth = actual[columns] * 100
        covered = tuple(float(np.mean((truth >= low) & (truth <= high))) for low, high in
                        (np.quantile(sample, [(1 - level) / 2, (1 + level) / 2], axis=0) for level in LEVELS))  # fmt: skip
        trials.append(Trial(name, market.times[seen - 1], ahead, model.log_density(ratios, ahead), energy_score(sample, truth),
                            float(np.mean([crps(sample[:, c], float(truth[c])) for c in range(truth.size)])),
                            float(np.mean(np.abs(np.median(sample, axis=0) - truth))), naive, covered))  # fmt: skip
    return trials


def energy_score(draws: Floats, actual: Floats) -> float:
    """Return the energy score of draws (D, K) for what came (K,); lower is better (Gneiting and Raftery 2007, eq. 22)."""
    half = draws.shape[0] // 2
    near = np.linalg.norm(draws - actual, axis=1).mean()
    apart = np.linalg.norm(draws[:half] - draws[half : 2 * half], axis=1).mean()
    return float(near - apart / 2)


def crps(draws: Floats, actual: float) -> float:
    """Return the continuous ranked probability score of draws (D,) for what came (Gneiting and Raftery 2007, eq. 21)."""
    ordered = np.sort(draws)
    size = ordered.size
    spread = float(np.sum((2 * np.arange(1, size + 1) - size - 1) * ordered)) / size**2
    return float(np.mean(np.abs(ordered - actual))) - spread


def _standing(name: str, trials: Sequence[Trial]) -> Standing:
    mine = [trial for trial in trials if trial.model == name]
    bar = {(trial.origin, trial.horizon): trial for trial in trials if trial.model == BASELINE}
    origins = list(dict.fromkeys(trial.origin for trial in mine))
    gain = None
    if name != BASELINE and bar:
        each = [np.mean([trial.log_score - bar[trial.origin, trial.horizon].log_score for trial in mine if trial.origin == origin])
                for origin in origins]  # fmt: skip
        mean, half = _mean_interval(np.array(each), max(trial.horizon for trial in mine) - 1)
        gain = Figure(f"log score of {name} above {BASELINE}", mean, len(each), mean - half, mean + half, unit="nats")
    coverage = {
        f"{level:.0%}": float(np.mean([trial.covered[place] for trial in mine])) for place, level in enumerate(LEVELS)
    }

    def mean_of(value: str) -> float:
        return float(np.mean([getattr(trial, value) for trial in mine]))

    return Standing(name, len(mine), len(origins), mean_of("log_score"), mean_of("energy"), mean_of("crps"),
                    mean_of("error") / max(mean_of("naive"), 1e-12), coverage, gain)  # fmt: skip


def _mean_interval(values: Floats, lags: int) -> tuple[float, float]:
    """Return a mean and half its 95 % interval; forecasts that overlap share errors (Newey and West 1987)."""
    from scipy.stats import t

    size = values.size
    if size < 2:
        return float(values.mean()), float("inf")
    off = values - values.mean()
    variance = plain = float(off @ off) / (size - 1)
    for lag in range(1, min(lags, size - 1) + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float(off[lag:] @ off[:-lag]) / (size - 1)
    return float(values.mean()), float(t.ppf(0.975, size - 1)) * float(np.sqrt(max(variance, plain) / size))
