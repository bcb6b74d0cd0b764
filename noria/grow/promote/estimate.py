"""What is compared of two groups where a few users could carry a mean: winsorised and trimmed means, ranks, quantiles.

how = Estimate("trimmed", cut=0.01)          # chosen before looking
compared(names, group, outcome, how, level=0.95)

Winsorised: outcomes beyond the cut, over all groups together, count as the outermost that is left (Tukey; one pair of limits for
all groups, so that no group is treated otherwise than another). Trimmed: each group without the cut at both ends, with the
variance of its winsorised outcomes (Yuen 1974, The two-sample trimmed t for unequal population variances, Biometrika 61).
Rank: the chance that a treated user shows more than one of the control group, ties by half (Mann and Whitney's), less one half,
with unequal variances (Brunner and Munzel 2000, The nonparametric Behrens-Fisher problem, Biometrical Journal 42). Quantile: the
difference of quantiles with the percentile interval of the bootstrap, whose draws of order statistics need no resampling: a
uniform order statistic is Beta (Schultzberg and Ankargren 2022, Resampling-free bootstrap inference for quantiles).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from noria.core.messages import Message, message

from .difference import Arm, Difference, Floats, arm_of_units, difference, unknown_difference

Kind = Literal["mean", "winsorised", "trimmed", "rank", "quantile"]
FEW_BEYOND = 10
"""Users of a group beyond a quantile below which its bootstrap interval is not to be relied on."""


@dataclass(frozen=True)
class Estimate:
    """What is compared, chosen before the outcomes were looked at."""

    kind: Kind = "mean"
    cut: float = 0.01
    """Part of the users at each end that is pulled in, of a winsorised mean, or left out, of a trimmed one."""
    quantile: float = 0.5
    draws: int = 20_000
    """Of the bootstrap of a quantile."""
    seed: int = 0

    @property
    def name(self) -> Message:
        """What is compared, as a phrase."""
        if self.kind == "quantile":
            return message("experiment.estimate.quantile", quantile=self.quantile)
        if self.kind in ("winsorised", "trimmed"):
            return message(f"experiment.estimate.cut.{self.kind}", cut=self.cut)
        return message(f"experiment.estimate.whole.{self.kind}")

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict of what belongs to the kind."""
        own: dict[str, Any] = {}
        if self.kind in ("winsorised", "trimmed"):
            own = {"cut": self.cut}
        elif self.kind == "quantile":
            own = {"quantile": self.quantile, "draws": self.draws, "seed": self.seed}
        return {"kind": self.kind, **own}


MEAN = Estimate()


@dataclass(frozen=True)
class Compared:
    """Groups compared: each treated group less the control group."""

    arms: tuple[Arm, ...]
    """What each group shows of it, the control group first."""
    found: tuple[Difference, ...]
    shared: Floats
    """For each comparison the part of its variance that comes from the control group, (K,)."""
    notes: tuple[Message, ...] = ()


def limits(outcome: Floats, cut: float) -> tuple[float, float]:
    """Return the outermost outcomes that are left beyond which a part `cut` lies at each end."""
    most = int(cut * outcome.size)
    ends = np.partition(outcome, (most, outcome.size - most - 1))
    return float(ends[most]), float(ends[outcome.size - most - 1])


def compared(
    names: tuple[str, ...], group: npt.NDArray[np.int64], outcome: Floats, how: Estimate, *, level: float
) -> Compared:
    """Return groups compared by trimmed means, ranks or quantiles.

    Args:
        names: of the groups, the control group first.
        group: index into `names` of each user, (N,).
        outcome: one number a user, (N,).
        how: what is compared.
        level: coverage of each interval.
    """
    parts = [outcome[group == place] for place in range(len(names))]
    if how.kind == "rank":
        return _by_rank(names, parts, level)
    return _trimmed(names, parts, how, level) if how.kind == "trimmed" else _by_quantile(names, parts, how, level)


def _trimmed(names: tuple[str, ...], parts: list[Floats], how: Estimate, level: float) -> Compared:
    arms = tuple(trimmed_arm(name, part, how.cut) for name, part in zip(names, parts, strict=True))
    found = tuple(difference(arm, arms[0], level=level, method="yuen") for arm in arms[1:])
    left_out = sum(arm.n - (arm.kept or 0) for arm in arms)
    return Compared(arms, found, shares_of_control(arms), (message("experiment.note.trimmed", left_out=left_out),))


def trimmed_arm(name: str, outcomes: Floats, cut: float) -> Arm:
    """Return a group's trimmed mean, with the variance that Yuen (1974) gives it."""
    n = outcomes.size
    off = int(cut * n)
    kept = n - 2 * off
    ordered = np.partition(outcomes, (off, n - off - 1)) if off else outcomes
    value = float(ordered[off : n - off].mean())
    limited = np.clip(outcomes, ordered[off], ordered[n - off - 1]) if off else outcomes
    arm = arm_of_units(name, limited)
    variance = arm.variance * n * (n - 1) / (kept * (kept - 1)) if kept > 1 else math.nan
    return Arm(name, n, value, variance, kept=kept)


def _by_rank(names: tuple[str, ...], parts: list[Floats], level: float) -> Compared:
    found, shared = [], []
    parts = [_alike(part) for part in parts]
    for name, part in zip(names[1:], parts[1:], strict=True):
        ranks = rankdata(np.concatenate([part, parts[0]]))
        # Of each user, the part of the other group that shows less, ties by half.
        over = (ranks[: part.size] - rankdata(part)) / parts[0].size
        under = (ranks[part.size :] - rankdata(parts[0])) / part.size
        treated, control = arm_of_units(name, over), arm_of_units(names[0], under)
        treated = replace(treated, successes=None, value=treated.value - 0.5)
        control = replace(control, successes=None, value=0.0)
        gap = difference(treated, control, level=level, method="brunner-munzel")
        found.append(
            replace(
                gap,
                low=max(-0.5, gap.low) if gap.has_interval else gap.low,
                high=min(0.5, gap.high) if gap.has_interval else gap.high,
                lift=None,
                lift_low=None,
                lift_high=None,
            )
        )
        whole = treated.variance + control.variance
        shared.append(control.variance / whole if whole > 0 else 0.0)
    arms = tuple(arm_of_units(name, part) for name, part in zip(names, parts, strict=True))
    return Compared(arms, tuple(found), np.array(shared))


def _alike(outcomes: Floats) -> Floats:
    """Return outcomes to 40 binary digits, twelve decimal ones: sums of the same amounts in another order are ties."""
    mantissa, power = np.frexp(outcomes)
    return np.asarray(np.ldexp(np.round(mantissa * 2.0**40), power - 40))


def _by_quantile(names: tuple[str, ...], parts: list[Floats], how: Estimate, level: float) -> Compared:
    random = np.random.default_rng(how.seed)
    ends = [(1 - level) / 2, (1 + level) / 2]
    ordered = [np.sort(part) for part in parts]
    drawn = [quantile_draws(part, how.quantile, how.draws, random) for part in ordered]
    arms = []
    for name, part, many in zip(names, ordered, drawn, strict=True):
        low, high = np.quantile(many, ends)
        value = float(np.quantile(part, how.quantile))
        # Where one value is so common that resamples do not move, no spread is seen, and none is told.
        seen = (float(low), float(high)) if low < high else None
        arms.append(Arm(name, part.size, value, float(many.var()) if seen else 0.0, ends=seen))
    found = [
        _gap(arm, arms[0], many - drawn[0], many, drawn[0], level)
        for arm, many in zip(arms[1:], drawn[1:], strict=True)
    ]
    beyond = min(min(how.quantile, 1 - how.quantile) * part.size for part in parts)
    few = (
        [message("experiment.note.few_beyond_quantile", quantile=how.quantile, fewest=FEW_BEYOND)]
        if beyond < FEW_BEYOND
        else []
    )
    return Compared(tuple(arms), tuple(found), shares_of_control(tuple(arms)), tuple(few))


def quantile_draws(ordered: Floats, quantile: float, draws: int, random: np.random.Generator) -> Floats:
    """Return what `np.quantile` gives of bootstrap samples of sorted outcomes, (draws,), without drawing the samples.

    The k-th smallest of n draws with replacement is the outcome at place ceil(n U), U the k-th smallest of n uniforms: Beta(k,
    n + 1 - k); the next one lies above it by a part Beta(1, n - k) of what is left.
    """
    n = ordered.size
    below, part = divmod(quantile * (n - 1), 1)
    place = int(below)
    at = random.beta(place + 1, n - place, draws)
    low = ordered[np.minimum(np.ceil(n * at).astype(np.int64), n) - 1]
    if not part:
        return np.asarray(low, dtype=np.float64)
    after = at + (1 - at) * random.beta(1, n - place - 1, draws)
    high = ordered[np.minimum(np.ceil(n * after).astype(np.int64), n) - 1]
    return np.asarray(low + part * (high - low), dtype=np.float64)


def _gap(treated: Arm, control: Arm, gaps: Floats, drawn: Floats, of_control: Floats, level: float) -> Difference:
    value, error = treated.value - control.value, float(gaps.std())
    ends = [(1 - level) / 2, (1 + level) / 2]
    low, high = (float(end) for end in np.quantile(gaps, ends))
    if low == high:
        return unknown_difference(treated, control, level, "bootstrap")
    beyond = min(int(np.count_nonzero(gaps <= 0)), int(np.count_nonzero(gaps >= 0)))
    p = min(1.0, 2 * (beyond + 1) / (gaps.size + 1))
    found = Difference(
        treated.name, control.name, value, low, high, p, treated.n + control.n, error, math.inf, level, "bootstrap"
    )
    if not control.value > 0:
        return found
    if not of_control.min() > 0:
        return replace(found, lift=value / control.value)
    lift_low, lift_high = (float(end) - 1 for end in np.quantile(drawn / of_control, ends))
    return replace(found, lift=value / control.value, lift_low=lift_low, lift_high=lift_high)


def shares_of_control(arms: tuple[Arm, ...]) -> Floats:
    """Return for each treated group the part of its difference's variance that comes from the control group, (K,)."""
    control = arms[0].variance
    return np.array([control / (control + arm.variance) if control + arm.variance > 0 else 0.0 for arm in arms[1:]])
