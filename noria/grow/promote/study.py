"""What each command of promotion runs: from a file or a lake to results, in one call.

result = study_experiment("campaign.csv", UnitSettings(variant="group"))
whom = study_uplift("campaign.csv", UnitSettings(variant="group"), UpliftSettings(features=("visits",)))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from noria.core.errors import InputError, SettingError
from noria.core.messages import message
from noria.core.progress import stage
from noria.grow.log.lake import events

from .budget import Budget, divide
from .design import Design, design, least_effect, least_lift, power_of_means, power_of_proportions
from .estimate import Estimate
from .experiment import Experiment, analyse
from .heldout import HeldOut, held_out
from .outcomes import Outcomes, corrected
from .response import respond
from .settings import BudgetSettings, CompareSettings, SizeSettings, SpendSettings, UnitSettings, UpliftSettings
from .spend import Spend, read_spend
from .units import VARIANT_COLUMNS, Units, read_units, units_of_events
from .uplift import Uplift, uplift
from .within import FOLLOWED, Within, within_events

LAKE_OUTCOME = "conversion"
"""The kind of event that counts in a lake where none is told."""


@dataclass(frozen=True)
class BudgetStudy:
    """All that is known of a budget."""

    budget: Budget
    held: HeldOut | None
    """None where there are too few periods to hold any out."""


def open_units(where: str | Path, settings: UnitSettings, features: Sequence[str] = ()) -> Units:
    """Return the units at `where`: a lake's folder, or a CSV, Excel or Parquet file.

    Raises:
        InputError: there is nothing to read there, or no groups.
    """
    if not Path(where).is_dir():
        units = read_units(
            where,
            user=settings.user,
            variant=settings.variant,
            outcome=settings.outcome,
            weight=settings.weight,
            before=settings.before,
            time=settings.time,
            zone=settings.zone,
            date_order=settings.date_order,
            control=settings.control,
            duplicates=settings.duplicates,
            licence=settings.licence,
            features=features,
        )
        return replace(units, meant=settings.shares)
    if features:
        raise InputError(message("grow.lake_events"), found=", ".join(features), allowed=message("grow.table_users"))
    if settings.weight not in ("weight", "exposures"):
        raise SettingError(
            message("grow.unknown_weight"), found=settings.weight, allowed=message("grow.exposures_nothing")
        )
    named = UnitSettings()
    variant = VARIANT_COLUMNS[0] if settings.variant == named.variant else settings.variant
    outcome = LAKE_OUTCOME if settings.outcome == named.outcome else settings.outcome
    units = units_of_events(
        events(where),
        variant=variant,
        outcome=outcome,
        exposure=settings.exposure,
        ratio=settings.weight == "exposures",
        control=settings.control,
    )
    return replace(units, meant=settings.shares)


@stage(message("progress.experiment"))
def study_experiment(
    where: str | Path, settings: UnitSettings | None = None, compare: CompareSettings | None = None
) -> Experiment:
    """Return what the experiment at `where` shows.

    Raises:
        InputError: as `open_units`.
    """
    compare = compare or CompareSettings()
    return analyse(
        open_units(where, settings or UnitSettings()),
        level=compare.level,
        several=compare.several,
        planned=compare.planned,
        estimate=Estimate(compare.estimate, compare.cut, compare.quantile),
    )


def study_outcomes(
    where: str | Path, settings: UnitSettings | None = None, compare: CompareSettings | None = None
) -> Outcomes:
    """Return what the experiment at `where` shows of its outcome and of those that `also` names, corrected together.

    Raises:
        InputError: as `open_units`.
        SettingError: an outcome is named twice.
    """
    settings, compare = settings or UnitSettings(), compare or CompareSettings()
    first = LAKE_OUTCOME if Path(where).is_dir() and settings.outcome == UnitSettings().outcome else settings.outcome
    names = (first, *compare.also)
    if len(set(names)) < len(names):
        raise SettingError(message("grow.outcome_twice"), found=", ".join(names), allowed=message("grow.each_once"))
    found = [study_experiment(where, settings.replace(outcome=name), compare) for name in names]
    return corrected(names, found, compare.correction)


def study_within(
    where: str | Path, settings: UnitSettings | None = None, compare: CompareSettings | None = None
) -> Within:
    """Return groups of a lake's showings, compared within the users who saw several.

    Raises:
        InputError: there is no lake, or nothing to compare in it.
        SettingError: more than rates of one kind of event is asked for.
    """
    settings, compare, named = settings or UnitSettings(), compare or CompareSettings(), UnitSettings()
    if not Path(where).is_dir():
        raise InputError(message("grow.only_lake"), found=str(where), allowed=message("grow.lake_folder"))
    if compare.also or compare.estimate != "mean":
        found = ", ".join(("--also", *compare.also)) if compare.also else f"--estimate {compare.estimate}"
        raise SettingError(message("grow.within_rates"), found=found, allowed=message("grow.rates_kind"))
    variant = (
        settings.variant
        if settings.variant != named.variant
        else "segment"
        if settings.exposure == "impression"
        else "version"
    )
    outcome = settings.outcome if settings.outcome != named.outcome else FOLLOWED[settings.exposure][0]
    return within_events(
        events(where),
        variant=variant,
        exposure=settings.exposure,
        outcome=outcome,
        control=settings.control,
        level=compare.level,
    )


def study_uplift(where: str | Path, settings: UnitSettings | None = None, how: UpliftSettings | None = None) -> Uplift:
    """Return whom to address, as the experiment at `where` tells.

    Raises:
        InputError: as `open_units`, or nothing is known of users that tells them apart.
    """
    how = how or UpliftSettings()
    return uplift_of(open_units(where, settings or UnitSettings(), how.features), how)


@stage(message("progress.uplift"))
def uplift_of(units: Units, how: UpliftSettings) -> Uplift:
    """Return whom of these users to address.

    Raises:
        InputError: nothing is known of users that tells them apart, or they are too few.
    """
    return uplift(
        units,
        variant=how.treated,
        learner=how.learner,
        cost=how.cost,
        level=how.level,
        draws=how.draws,
        seed=how.seed,
    )


def size_experiment(
    base: float,
    *,
    effect: float | None = None,
    lift: float | None = None,
    users: int | None = None,
    settings: SizeSettings | None = None,
) -> tuple[Design, str]:
    """Return a design, and which of its parts was found: size, power or effect.

    Args:
        base: rate or mean of the control group.
        effect: the difference worth finding.
        lift: the same, over `base`.
        users: users of the control group, where they are given.
        settings: the rest.

    Raises:
        SettingError: neither effect nor users, or both effect and lift, were given, or one is out of range.
    """
    settings = settings or SizeSettings()
    if (effect is None) == (lift is None) and not (effect is None and users is not None):
        raise SettingError(
            message("grow.experiment_told"),
            found=None if effect is None else f"effect {effect}, lift {lift}",
            allowed=message("grow.effect_lift_users"),
        )
    if users is not None and users < 2:
        raise SettingError(message("grow.too_few_users_2"), found=users, allowed=message("grow.more_control"))
    wanted = effect if effect is not None else None if lift is None else base * lift
    if users is None:
        assert wanted is not None
        return design(
            base,
            wanted,
            deviation=settings.deviation,
            power=settings.power,
            level=settings.level,
            variants=settings.variants,
            ratio=settings.ratio,
            reduction=settings.reduction,
            users_a_day=settings.users_a_day,
        ), "size"
    each = 1 - (1 - settings.level) / settings.variants
    counted = users / (1 - settings.reduction)  # a covariate makes users worth more
    power, found = settings.power, "power"
    if wanted is None:
        found = "effect"
        wanted = (
            least_lift(base, counted, power=power, level=each, ratio=settings.ratio)
            if settings.deviation is None
            else least_effect(settings.deviation, counted, power=power, level=each, ratio=settings.ratio)
        )
    elif settings.deviation is None:
        power = power_of_proportions(base, base + wanted, counted, level=each, ratio=settings.ratio)
    else:
        power = power_of_means(wanted, settings.deviation, counted, level=each, ratio=settings.ratio)
    treated = round(users * settings.ratio)
    days = None
    if settings.users_a_day:
        days = -int(-(users + settings.variants * treated) // settings.users_a_day)
    return Design(
        "proportion" if settings.deviation is None else "mean",
        base,
        wanted,
        users,
        treated,
        settings.variants,
        power,
        settings.level,
        settings.deviation,
        settings.reduction,
        days,
    ), found


def open_spend(where: str | Path, settings: SpendSettings) -> Spend:
    """Return spend and outcome in a CSV, Excel or Parquet file.

    Raises:
        InputError: nothing to read there, or no response can be fitted to it; names the line where it is one.
    """
    spend = read_spend(
        where,
        time=settings.time,
        outcome=settings.outcome,
        channels=settings.channels,
        controls=settings.controls,
        events=settings.events,
        zone=settings.zone,
        date_order=settings.date_order,
        licence=settings.licence,
    )
    return replace(spend, note=settings.note)


def study_budget(spend: Spend, settings: BudgetSettings | None = None) -> BudgetStudy:
    """Return what each channel brings, the division of the budget where there is one to recommend, and how well the fit forecast.

    Raises:
        InputError: nothing can be fitted.
        SettingError: bounds that leave no division.
    """
    settings = settings or BudgetSettings()
    fitted = respond(spend, draws=settings.draws, seed=settings.seed)
    found = divide(
        fitted,
        total=settings.total,
        low=settings.low,
        high=settings.high,
        bounds=_bounds(settings.bounds),
        recent=settings.recent,
        sure=settings.sure,
    )
    return BudgetStudy(found, held_out(spend, seed=settings.seed))


def _bounds(given: Sequence[str]) -> dict[str, tuple[float, float]]:
    found = {}
    for text in given:
        name, mark, ends = text.partition("=")
        low, colon, high = ends.partition(":")
        try:
            found[name] = (float(low), float(high))
        except ValueError:
            mark = ""
        if not (mark and colon and name):
            raise SettingError(message("grow.bounds_cannot"), found=text, allowed=message("grow.channel_two"))
    return found
