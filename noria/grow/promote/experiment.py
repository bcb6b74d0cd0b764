"""What an experiment shows: are the groups sound, what differs, how surely, and could it have been stopped.

result = analyse(read_units("campaign.csv"), level=0.95)
result.balance.state          # as meant, doubtful or mismatch
result.comparisons[0].found   # difference, interval, p adjusted for all comparisons
result.reduction              # part of the variance that the covariate took away (CUPED)
result.text()

CUPED: Deng, Xu, Kohavi and Walker (2013), Improving the Sensitivity of Online Controlled Experiments by Utilizing
Pre-Experiment Data: outcome less theta times the covariate's distance from its mean, theta by least squares within groups.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy.special import chdtrc

from noria.core.errors import InputError
from noria.core.messages import Message, as_is, joined, message
from noria.grow.log.log import SERVER_EVENTS

from .balance import Balance, balance
from .difference import Arm, Difference, Floats, arm_of_units, difference
from .looks import Look, looks_of
from .several import benjamini_hochberg, dunnett_quantile, holm
from .units import Units

Several = Literal["dunnett", "holm", "bh", "none"]
COVARIATE_P = 0.001
"""A covariate that differs between groups more than this says is doubted to be from before."""


@dataclass(frozen=True)
class Comparison:
    """One treated group beside the control group."""

    found: Difference
    """With CUPED where there is a covariate; its interval holds together with those of the other comparisons where asked."""
    plain: Difference
    """Without the covariate, alone."""
    p_adjusted: float
    """p with all comparisons in mind."""
    looks: tuple[Look, ...] = ()
    """By day, what could have been said at every look; empty where no time is known."""

    @property
    def decided(self) -> Look | None:
        """The first look at which the difference was clear under any rule of stopping."""
        return next((look for look in self.looks if look.low > 0 or look.high < 0), None)


@dataclass(frozen=True)
class Experiment:
    """An analysed experiment."""

    units: Units
    balance: Balance
    arms: tuple[Arm, ...]
    """The groups without adjustment, the control group first."""
    comparisons: tuple[Comparison, ...]
    reduction: float | None
    """Part of the variance of the difference that the covariate took away; None without a covariate."""
    covariate_p: float | None
    """Of no difference in the covariate between the groups."""
    several: Several
    level: float
    notes: tuple[Message, ...] = ()

    @property
    def metric(self) -> str:
        """rate, mean or ratio."""
        return "ratio" if self.units.weight is not None else "rate" if self.arms[0].successes is not None else "mean"

    def text(self) -> Message:
        """Return what is found, a sentence for each comparison."""
        told = [_comparison_text(comparison, self.metric) for comparison in self.comparisons]
        return joined("join.nothing", [self.balance.doubt, joined("join.sentences", told)])

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {
            "source": self.units.source,
            "note": self.units.note,
            "as_of": self.units.as_of,
            "users": self.units.n,
            "metric": self.metric,
            "problems": [problem.text() for problem in self.units.problems],
            "balance": self.balance.as_dict(),
            "groups": [arm.figure(self.level, self.units.source).as_dict() for arm in self.arms],
            "comparisons": [
                {
                    **item.found.as_dict(),
                    "p_adjusted": item.p_adjusted,
                    "plain": item.plain.as_dict(),
                    "looks": [look.as_dict() for look in item.looks],
                }
                for item in self.comparisons
            ],
            "variance_reduction": self.reduction,
            "covariate_p": self.covariate_p,
            "several": self.several,
            "notes": [note.both() for note in self.notes],
            "verdict": self.text().both(),
        }


def analyse(
    units: Units,
    *,
    level: float = 0.95,
    several: Several = "dunnett",
    planned: int | None = None,
) -> Experiment:
    """Return what an experiment shows.

    Args:
        units: its users.
        level: 1 less the chance of a false alarm.
        several: how more than one comparison is allowed for: dunnett, intervals that hold together; holm or bh, adjusted p
            values; none.
        planned: users a group that the experiment was planned for, where the intervals for any look are narrowest; what there
            is at the last look where not given.

    Raises:
        InputError: a group of fewer than two users.
        SettingError: the shares meant do not fit the groups.
    """
    few = [f"{name} {count}" for name, count in units.counts.items() if count < 2]
    if few:
        raise InputError(
            message("grow.too_few_users_compare", source=units.source),
            found=", ".join(few),
            allowed=message("grow.two_more"),
        )
    sound = balance(units.counts, units.meant or None)
    arms = tuple(
        arm_of_units(
            name,
            units.outcome[units.group == place],
            None if units.weight is None else units.weight[units.group == place],
        )
        for place, name in enumerate(units.names)
    )
    plain = [difference(arm, arms[0], level=level) for arm in arms[1:]]
    values, weighted = linear(units, arms), units.weight is not None
    adjusted, covariate_p = taken_out(units, values) if units.before is not None else (values, None)
    reduction = None
    if units.before is None:
        found = [replace(item, method="delta") for item in plain] if weighted else plain
        after = arms
    else:
        after = tuple(arm_of_units(name, adjusted[units.group == place]) for place, name in enumerate(units.names))
        after = tuple(replace(arm, successes=None) for arm in after)
        method = "delta + cuped" if weighted else "welch + cuped"
        found = [difference(arm, after[0], level=level, method=method) for arm in after[1:]]
        before = sum(arm.variance for arm in arms)
        reduction = 1 - sum(arm.variance for arm in after) / before if before > 0 else 0.0
    p = np.array([item.p for item in found])
    raised, found = _simultaneous(found, after, p, several, level)
    paths = looks_of(units, adjusted, level=1 - (1 - level) / len(found), planned=planned)
    comparisons = tuple(
        Comparison(item, one, float(value), path)
        for item, one, value, path in zip(found, plain, raised, paths, strict=True)
    )
    return Experiment(
        units,
        sound,
        arms,
        comparisons,
        reduction,
        covariate_p,
        several if len(found) > 1 else "none",
        level,
        (*_notes(units, covariate_p), *_still(arms)),
    )


def linear(units: Units, arms: tuple[Arm, ...]) -> Floats:
    """Return each user's outcome so that a group's mean is its metric: of a ratio metric, the delta method's linear form."""
    if units.weight is None:
        return units.outcome
    ratios = np.array([arm.value for arm in arms])[units.group]
    sums = np.bincount(units.group, weights=units.weight) / np.bincount(units.group)
    return np.asarray(ratios + (units.outcome - ratios * units.weight) / sums[units.group])


def taken_out(units: Units, values: Floats) -> tuple[Floats, float]:
    """Return the values less what the covariate from before tells of them, and the p of no difference in the covariate.

    Users without the covariate get its mean, and a column of their own that says so.
    """
    assert units.before is not None
    missing = np.isnan(units.before)
    filled = np.where(missing, float(np.nanmean(units.before)), units.before)
    columns = [filled] if not missing.any() else [filled, missing.astype(np.float64)]
    matrix = np.column_stack(columns)
    matrix = matrix - matrix.mean(0)
    size = np.bincount(units.group).astype(np.float64)
    means = np.column_stack([np.bincount(units.group, weights=column) / size for column in matrix.T])
    within = matrix - means[units.group]
    theta = np.linalg.lstsq(within, values, rcond=None)[0]
    freedom = (len(units.names) - 1) * matrix.shape[1]
    spread = within.T @ within / max(1.0, float(size.sum()) - len(units.names))
    distance = float(np.einsum("g,gi,ij,gj->", size, means, np.linalg.pinv(spread), means))
    return np.asarray(values - matrix @ theta), float(chdtrc(freedom, distance))


def _simultaneous(
    found: list[Difference], arms: tuple[Arm, ...], p: Floats, several: Several, level: float
) -> tuple[Floats, list[Difference]]:
    """Return p values, and differences, that allow for all comparisons."""
    if len(found) < 2 or several == "none":
        return p, found
    if several == "holm":
        return holm(p), found
    if several == "bh":
        return benjamini_hochberg(p), found
    control = arms[0].variance
    loadings = np.array(
        [math.sqrt(control / (control + arm.variance)) if control + arm.variance > 0 else 0.0 for arm in arms[1:]]
    )
    freedom = min(item.freedom for item in found)
    width = dunnett_quantile(level, loadings, freedom)
    wider = [_widened(item, width) for item in found]
    return np.array([_joint_p(item, loadings, freedom) for item in found]), wider


def _joint_p(item: Difference, loadings: Floats, freedom: float) -> float:
    """Return the chance that, were there no difference, any comparison lay as far out as this one."""
    from scipy.special import ndtri, stdtrit

    from .several import dunnett_probability

    far = abs(float(stdtrit(item.freedom, item.p / 2) if math.isfinite(item.freedom) else ndtri(item.p / 2)))
    return 0.0 if math.isinf(far) else float(min(1.0, max(item.p, 1 - dunnett_probability(far, loadings, freedom))))


def _widened(item: Difference, width: float) -> Difference:
    """Return the difference with each side of its interval stretched from its own quantile to `width` errors."""
    from scipy.special import ndtri, stdtrit

    own = float(
        stdtrit(item.freedom, (1 + item.level) / 2) if math.isfinite(item.freedom) else ndtri((1 + item.level) / 2)
    )
    factor = width / own
    low, high = item.value - factor * (item.value - item.low), item.value + factor * (item.high - item.value)
    if item.method == "newcombe":
        low, high = max(-1.0, low), min(1.0, high)
    wider = replace(item, low=low, high=high)
    if item.lift is None or item.lift_low is None or item.lift_high is None:
        return wider
    return replace(
        wider,
        lift_low=item.lift - factor * (item.lift - item.lift_low),
        lift_high=item.lift + factor * (item.lift_high - item.lift),
    )


def _notes(units: Units, covariate_p: float | None) -> list[Message]:
    notes = list(units.notes)
    if units.note:
        simulated = units.note == "simulated"
        notes.append(
            message("experiment.note.simulated") if simulated else message("experiment.note.data_are", note=units.note)
        )
    if units.source == SERVER_EVENTS:
        notes.append(message("experiment.note.groups_as_events_record_them"))
    if covariate_p is not None and covariate_p < COVARIATE_P:
        notes.append(message("experiment.note.covariate_differs_between_groups_p", covariate_p=covariate_p))
    if units.before is not None and np.isnan(units.before).any():
        count = int(np.isnan(units.before).sum())
        notes.append(message("experiment.note.users_have_no_covariate_they", count=count))
    return notes


def _still(arms: tuple[Arm, ...]) -> list[Message]:
    """Return what to tell of groups in which every user shows the same: their spread is not known to be none."""
    same = [arm.name for arm in arms if arm.successes is None and arm.variance == 0]
    if not same or len(same) == len(arms):
        return []
    listed = ", ".join(same)
    return [message("experiment.every_user_shows_one_same", listed=listed)]


def _comparison_text(comparison: Comparison, metric: str) -> Message:
    item = comparison.found
    if not item.has_interval and "cuped" in item.method:
        return message(
            "experiment.less_without_interval_covariate_explains",
            variant=item.variant,
            control=item.control,
            item=item.value,
        )
    if not item.has_interval:
        return message(
            "experiment.less_without_interval_every_user", variant=item.variant, control=item.control, item=item.value
        )
    scale, unit = (100, message("experiment.points_2")) if metric == "rate" else (1, as_is(""))
    value, low, high = (f"{end * scale:+.3g}" for end in (item.value, item.low, item.high))
    p = f"{comparison.p_adjusted:.2g}"
    lift: Message = as_is("")
    if item.lift_low is not None and item.lift_high is not None and item.lift is not None:
        lift = message("experiment.lift", lift=item.lift, low=item.lift_low, high=item.lift_high)
    verdict = "unclear" if not item.clear else "rise" if item.value > 0 else "fall"
    return message(
        "experiment.told",
        variant=item.variant,
        control=item.control,
        value=value,
        unit=unit,
        low=low,
        high=high,
        lift=lift,
        p=p,
        verdict=message(f"experiment.verdict.{verdict}"),
    )
