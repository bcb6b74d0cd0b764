"""What an experiment shows: are the groups sound, what differs, how surely, and could it have been stopped.

result = analyse(read_units("campaign.csv"), level=0.95)
result.balance.state          # as meant, doubtful or mismatch
result.comparisons[0].found   # difference, interval, p adjusted for all comparisons
result.comparisons[0].influence   # the difference without the user who moves it furthest
result.reduction              # part of the variance that the covariate took away (CUPED)
result.text()

CUPED: Deng, Xu, Kohavi and Walker (2013), Improving the Sensitivity of Online Controlled Experiments by Utilizing
Pre-Experiment Data: outcome less theta times the covariate's distance from its mean, theta by least squares within groups.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import chdtrc

from noria.core.errors import InputError, SettingError
from noria.core.messages import Message, as_is, joined, message
from noria.grow.log.log import SERVER_EVENTS

from .balance import Balance, balance
from .difference import Arm, Difference, Floats, arm_of_units, difference
from .estimate import MEAN, Compared, Estimate, compared, limits, shares_of_control
from .influence import Influence, influence
from .looks import Look, looks_of
from .several import Several, simultaneous
from .units import Units

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
    """By day, what could have been said at every look; empty where no time is known, and of estimates that are no mean."""
    influence: tuple[Influence, ...] = ()
    """Without the one user, and without the few, who move it furthest; of means alone, a rate's users move it all alike."""
    held: bool = True
    """Whether the p that allows for all comparisons is small enough, where p alone was adjusted for them."""

    @property
    def clear(self) -> bool:
        """Whether the interval leaves zero out, with all comparisons in mind."""
        return self.found.clear and self.held

    @property
    def moved(self) -> Message | None:
        """Who moves the difference so far that a reader must know; None where no one does."""
        return next((one.text() for one in self.influence if one.notable), None)

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
    estimate: Estimate = MEAN
    """What was compared, chosen before looking."""

    @property
    def metric(self) -> str:
        """rate, mean or ratio."""
        return "ratio" if self.units.weight is not None else "rate" if self.arms[0].successes is not None else "mean"

    def text(self) -> Message:
        """Return what is found, a sentence for each comparison, after what is to be doubted."""
        return joined("join.nothing", [self.balance.doubt, self.findings()])

    def findings(self) -> Message:
        """Return a sentence for each comparison."""
        told = [_comparison_text(comparison, self.metric, self.estimate) for comparison in self.comparisons]
        if self.estimate.kind == "mean":
            return joined("join.sentences", told)
        return message("experiment.of_estimate", estimate=self.estimate.name, told=joined("join.sentences", told))

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {
            "source": self.units.source,
            "note": self.units.note,
            "as_of": self.units.as_of,
            "users": self.units.n,
            "metric": self.metric,
            "estimate": {**self.estimate.as_dict(), "name": self.estimate.name.both()},
            "problems": [problem.text() for problem in self.units.problems],
            "balance": self.balance.as_dict(),
            "groups": [arm.figure(self.level, self.units.source).as_dict() for arm in self.arms],
            "comparisons": [
                {
                    **item.found.as_dict(),
                    "clear": item.clear,
                    "p_adjusted": item.p_adjusted,
                    "plain": item.plain.as_dict(),
                    "influence": [one.as_dict() for one in item.influence],
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
    estimate: Estimate | None = None,
) -> Experiment:
    """Return what an experiment shows.

    Args:
        units: its users.
        level: 1 less the chance of a false alarm.
        several: how more than one comparison is allowed for: dunnett, intervals that hold together; holm or bh, adjusted p
            values; none.
        planned: users a group that the experiment was planned for, where the intervals for any look are narrowest; what there
            is at the last look where not given.
        estimate: what is compared where a few users could carry a mean; it is a rate's rate in any case.

    Raises:
        InputError: a group of fewer than two users.
        SettingError: the shares meant do not fit the groups, or a ratio is to be compared by other than its mean.
    """
    few = [f"{name} {count}" for name, count in units.counts.items() if count < 2]
    if few:
        raise InputError(
            message("grow.too_few_users_compare", source=units.source),
            found=", ".join(few),
            allowed=message("grow.two_more"),
        )
    sound = balance(units.counts, units.meant or None)
    whole = _arms(units)
    how, notes = _chosen(units, whole, estimate or MEAN)
    reduction = covariate_p = None
    if how.kind in ("mean", "winsorised"):
        used, told = _limited(units, how)
        notes += told
        # A mean that is cut is a mean still, even where it leaves but 0 and 1.
        arms = whole if used is units else tuple(replace(arm, successes=None) for arm in _arms(used))
        plain = [difference(arm, arms[0], level=level) for arm in arms[1:]]
        values = linear(used, arms)
        if units.before is not None:
            adjusted, covariate_p = taken_out(used, values)
        else:
            adjusted = values
        made, reduction = _of_means(used, arms, plain, adjusted, level)
        shared, separate = made.shared, list(made.found)
        pulls = [
            influence(used, adjusted, one, plain=reduction is None) if one.method != "newcombe" else ()
            for one in separate
        ]
    else:
        made = compared(units.names, units.group, units.outcome, how, level=level)
        arms, plain, separate, shared = made.arms, list(made.found), list(made.found), made.shared
        adjusted, pulls = None, [() for _ in separate]
        notes += [*made.notes, *([message("experiment.note.covariate_set_aside")] if units.before is not None else [])]
    raised, found = simultaneous(separate, shared, several, level)
    paths = (
        [() for _ in found]
        if adjusted is None
        else looks_of(units, adjusted, level=1 - (1 - level) / len(found), planned=planned)
    )
    by_p = len(found) > 1 and several in ("holm", "bh")
    comparisons = tuple(
        Comparison(item, one, float(value), path, pull, held=not by_p or bool(value <= 1 - level))
        for item, one, value, path, pull in zip(found, plain, raised, paths, pulls, strict=True)
    )
    moved = [item.moved for item in comparisons]
    hint = [message("experiment.influence.hint")] if any(moved) and how.kind == "mean" else []
    return Experiment(
        units,
        sound,
        arms,
        comparisons,
        reduction,
        covariate_p,
        several if len(found) > 1 else "none",
        level,
        (*_notes(units, covariate_p), *notes, *_still(arms), *(one for one in moved if one), *hint),
        how,
    )


def _arms(units: Units) -> tuple[Arm, ...]:
    return tuple(
        arm_of_units(
            name,
            units.outcome[units.group == place],
            None if units.weight is None else units.weight[units.group == place],
        )
        for place, name in enumerate(units.names)
    )


def _chosen(units: Units, arms: tuple[Arm, ...], how: Estimate) -> tuple[Estimate, list[Message]]:
    """Return what is compared of this metric: a rate's users move it all alike, so that nothing is to be cut from it."""
    if how.kind == "mean":
        return how, []
    if units.weight is not None:
        raise SettingError(message("grow.estimate_ratio"), found=how.kind, allowed=message("grow.mean_ratio"))
    if all(arm.successes is not None for arm in arms):
        return MEAN, [message("experiment.note.estimate_of_rate", estimate=how.name)]
    return how, []


def _limited(units: Units, how: Estimate) -> tuple[Units, list[Message]]:
    """Return the users with outcomes beyond the cut pulled in, where that was chosen, and what to tell of it."""
    if how.kind == "mean":
        return units, []
    low, high = limits(units.outcome, how.cut)
    beyond = int(np.count_nonzero((units.outcome < low) | (units.outcome > high)))
    told = [message("experiment.note.winsorised", low=low, high=high, beyond=beyond)]
    if low == high:
        told.append(message("experiment.note.winsorised_away", value=low, cut=how.cut))
    return replace(units, outcome=np.clip(units.outcome, low, high)), told


def _of_means(
    units: Units, arms: tuple[Arm, ...], plain: list[Difference], adjusted: Floats, level: float
) -> tuple[Compared, float | None]:
    """Return means, rates or ratios compared, by the adjusted values where there is a covariate, and the part of the variance that it took."""
    weighted = units.weight is not None
    if units.before is None:
        found = [replace(item, method="delta") for item in plain] if weighted else plain
        return Compared(arms, tuple(found), shares_of_control(arms)), None
    after = tuple(arm_of_units(name, adjusted[units.group == place]) for place, name in enumerate(units.names))
    after = tuple(replace(arm, successes=None) for arm in after)
    method = "delta + cuped" if weighted else "welch + cuped"
    found = [difference(arm, after[0], level=level, method=method) for arm in after[1:]]
    before = sum(arm.variance for arm in arms)
    reduction = 1 - sum(arm.variance for arm in after) / before if before > 0 else 0.0
    return Compared(after, tuple(found), shares_of_control(after)), reduction


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


def _comparison_text(comparison: Comparison, metric: str, estimate: Estimate) -> Message:
    item = comparison.found
    names = {"variant": item.variant, "control": item.control}
    verdict = message(
        f"experiment.verdict.{'unclear' if not comparison.clear else 'rise' if item.value > 0 else 'fall'}"
    )
    p: str = f"{comparison.p_adjusted:.2g}"
    if p != f"{item.p:.2g}":
        p = message("experiment.p_of_all", p=p)
    if estimate.kind == "rank" and item.has_interval:
        ends = f"{0.5 + item.value:.3f} [{0.5 + item.low:.3f}, {0.5 + item.high:.3f}]"
        return message("experiment.rank", **names, ends=ends, p=p, verdict=verdict)
    if estimate.kind in ("trimmed", "rank", "quantile") and not item.has_interval:
        return message(f"experiment.without_interval.{estimate.kind}", **names, item=item.value)
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
    lift: Message = as_is("")
    if item.lift_low is not None and item.lift_high is not None and item.lift is not None:
        lift = message("experiment.lift", lift=item.lift, low=item.lift_low, high=item.lift_high)
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
        verdict=verdict,
    )
