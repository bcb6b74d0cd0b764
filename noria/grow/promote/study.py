"""What each command of promotion runs: from a file or a lake to results, in one call.

result = study_experiment("campaign.csv", UnitSettings(variant="group"))
whom = study_uplift("campaign.csv", UnitSettings(variant="group"), UpliftSettings(features=("visits",)))
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from noria.core.errors import InputError, SettingError

from ..lake import events
from .design import Design, design, least_effect, least_lift, power_of_means, power_of_proportions
from .experiment import Experiment, analyse
from .settings import CompareSettings, SizeSettings, UnitSettings, UpliftSettings
from .units import VARIANT_COLUMNS, Units, read_units, units_of_events
from .uplift import Uplift, uplift


def open_units(where: str | Path, settings: UnitSettings, features: Sequence[str] = ()) -> Units:
    """Return the units at `where`: a lake's folder, or a CSV or Parquet file.

    Raises:
        InputError: there is nothing to read there, or no groups.
    """
    if not Path(where).is_dir():
        return read_units(
            where, user=settings.user, variant=settings.variant, outcome=settings.outcome, weight=settings.weight,
            before=settings.before, time=settings.time, zone=settings.zone, control=settings.control,
            licence=settings.licence, features=features,
        )  # fmt: skip
    if features:
        raise InputError(
            "a lake's events hold no features of users", found=", ".join(features), allowed="a table of users"
        )
    if settings.weight not in ("weight", "exposures"):
        raise SettingError("unknown weight of a lake's events", found=settings.weight, allowed="exposures, or nothing")
    named = UnitSettings()
    variant = VARIANT_COLUMNS[0] if settings.variant == named.variant else settings.variant
    outcome = "conversion" if settings.outcome == named.outcome else settings.outcome
    return units_of_events(events(where), variant=variant, outcome=outcome, exposure=settings.exposure,
                           ratio=settings.weight == "exposures", control=settings.control)  # fmt: skip


def study_experiment(
    where: str | Path, settings: UnitSettings | None = None, compare: CompareSettings | None = None
) -> Experiment:
    """Return what the experiment at `where` shows.

    Raises:
        InputError: as `open_units`.
    """
    compare = compare or CompareSettings()
    return analyse(open_units(where, settings or UnitSettings()), level=compare.level, several=compare.several, shares=compare.shares,
                   planned=compare.planned)  # fmt: skip


def study_uplift(where: str | Path, settings: UnitSettings | None = None, how: UpliftSettings | None = None) -> Uplift:
    """Return whom to address, as the experiment at `where` tells.

    Raises:
        InputError: as `open_units`, or nothing is known of users that tells them apart.
    """
    how = how or UpliftSettings()
    units = open_units(where, settings or UnitSettings(), how.features)
    return uplift(units, variant=how.treated, learner=how.learner, kept_back=how.kept_back, cost=how.cost, level=how.level,
                  draws=how.draws, seed=how.seed)  # fmt: skip


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
        raise SettingError("an experiment is told by its effect or by its users", found=None if effect is None else f"effect {effect}, lift {lift}",
                           allowed="--effect or --lift, or --users, or one effect and --users")  # fmt: skip
    if users is not None and users < 2:
        raise SettingError("too few users", found=users, allowed="2 or more in the control group")
    wanted = effect if effect is not None else None if lift is None else base * lift
    if users is None:
        assert wanted is not None
        return design(base, wanted, deviation=settings.deviation, power=settings.power, level=settings.level, variants=settings.variants,
                      ratio=settings.ratio, reduction=settings.reduction, users_a_day=settings.users_a_day), "size"  # fmt: skip
    each = 1 - (1 - settings.level) / settings.variants
    counted = users / (1 - settings.reduction)  # a covariate makes users worth more
    power, found = settings.power, "power"
    if wanted is None:
        found = "effect"
        wanted = (least_lift(base, counted, power=power, level=each, ratio=settings.ratio) if settings.deviation is None
                  else least_effect(settings.deviation, counted, power=power, level=each, ratio=settings.ratio))  # fmt: skip
    elif settings.deviation is None:
        power = power_of_proportions(base, base + wanted, counted, level=each, ratio=settings.ratio)
    else:
        power = power_of_means(wanted, settings.deviation, counted, level=each, ratio=settings.ratio)
    treated = round(users * settings.ratio)
    days = None
    if settings.users_a_day:
        days = -int(-(users + settings.variants * treated) // settings.users_a_day)
    return Design("proportion" if settings.deviation is None else "mean", base, wanted, users, treated, settings.variants, power,
                  settings.level, settings.deviation, settings.reduction, days), found  # fmt: skip
