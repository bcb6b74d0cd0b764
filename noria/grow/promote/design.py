"""How large an experiment must be: size, power or smallest effect, each from the other two.

size_of_proportions(0.10, 0.12)          # users in the control group: 3,841
power_of_proportions(0.10, 0.12, 2000)   # 0.52
least_lift(0.10, 2000)                   # the smallest rise that 2,000 users a group show with power 0.8
size_of_means(effect=0.5, deviation=2.0)

Proportions: normal approximation with the pooled variance under no difference (Fleiss, Levin and Paik 2003, Statistical
Methods for Rates and Proportions, eq. 4.14; with continuity correction eq. 4.18). Means: the noncentral t distribution
with equal deviations (Cohen 1988, Statistical Power Analysis, section 2.5).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from scipy.optimize import brentq
from scipy.special import nctdtr, ndtr, ndtri, stdtrit

from noria.core.errors import SettingError
from noria.core.messages import Message, as_is, message

MOST_USERS = 10_000_000_000
"""A group larger than this is no experiment."""


@dataclass(frozen=True)
class Design:
    """An experiment before it begins."""

    metric: str
    """proportion or mean."""
    base: float
    """What the control group is expected to show."""
    effect: float
    """The smallest difference worth finding, in units of the metric."""
    control: int
    """Users in the control group."""
    treated: int
    """Users in each treated group."""
    variants: int
    """Treated groups."""
    power: float
    level: float
    """1 less the chance of a false alarm, over all comparisons."""
    deviation: float | None = None
    """Of one user's outcome, for a mean."""
    reduction: float = 0.0
    """Part of the variance that a covariate is expected to take away."""
    days: int | None = None
    """Days until enough users have come; None where their number a day is not known."""

    @property
    def users(self) -> int:
        """Users of all groups together."""
        return self.control + self.variants * self.treated

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-able dict."""
        return {**asdict(self), "users": self.users}

    def text(self) -> Message:
        """Return the design as one sentence."""
        percent = self.metric == "proportion"
        base = f"{self.base * 100:.4g}%" if percent else f"{self.base:.4g}"
        effect = (
            message("experiment.percentage_points", effect=self.effect * 100)
            if percent
            else as_is(f"{self.effect:.4g}")
        )
        days = message("experiment.days_at_users_expected_day", days=self.days) if self.days else as_is("")
        what = message(f"experiment.base.{self.metric}")
        groups = (
            message("experiment.treated_group")
            if self.variants == 1
            else message("experiment.each_treated_groups", variants=self.variants)
        )
        return message(
            "experiment.design",
            control=self.control,
            treated=self.treated,
            groups=groups,
            effect=effect,
            what=what,
            base=base,
            power=self.power,
            alarms=1 - self.level,
            days=days,
        )


def size_of_proportions(
    base: float,
    other: float,
    *,
    power: float = 0.8,
    level: float = 0.95,
    ratio: float = 1.0,
    one_sided: bool = False,
    corrected: bool = False,
) -> float:
    """Return the users needed in the control group; the treated group has `ratio` times as many.

    Args:
        base: the control group's proportion.
        other: the treated group's.
        power: chance of finding the difference.
        level: 1 less the chance of a false alarm.
        ratio: size of the treated group over that of the control group.
        one_sided: only a change in this direction counts.
        corrected: size for the chi-square test with continuity correction.

    Raises:
        SettingError: a proportion outside 0 to 1, both alike, or power or level outside 0 to 1.
    """
    _check_proportion("the base rate", base)
    _check_proportion("the other rate", other)
    _check_probabilities(power, level)
    gap = abs(other - base)
    if not gap:
        raise SettingError(message("grow.both_rates"), found=base)
    z, z_power = _z(level, one_sided), float(ndtri(power))
    if z + z_power <= 0:
        return 1.0
    pooled = (base + ratio * other) / (1 + ratio)
    spread = z * math.sqrt((ratio + 1) * pooled * (1 - pooled)) + z_power * math.sqrt(
        ratio * base * (1 - base) + other * (1 - other)
    )
    plain = spread**2 / (ratio * gap**2)
    return plain / 4 * (1 + math.sqrt(1 + 2 * (ratio + 1) / (plain * ratio * gap))) ** 2 if corrected else plain


def power_of_proportions(
    base: float, other: float, control: float, *, level: float = 0.95, ratio: float = 1.0, one_sided: bool = False
) -> float:
    """Return the chance that groups of `control` and `ratio` times `control` users show the difference.

    As is usual, a finding in the wrong direction does not count.
    """
    pooled = (base + ratio * other) / (1 + ratio)
    under_none = math.sqrt(pooled * (1 - pooled) * (1 + 1 / ratio) / control)
    under_some = math.sqrt((base * (1 - base) + other * (1 - other) / ratio) / control)
    if not under_some:
        return 1.0 if base != other else 0.0
    return float(ndtr((abs(other - base) - _z(level, one_sided) * under_none) / under_some))


def least_lift(
    base: float, control: float, *, power: float = 0.8, level: float = 0.95, ratio: float = 1.0, one_sided: bool = False
) -> float:
    """Return the smallest rise of a proportion that `control` users, and `ratio` times as many, find with `power`.

    Raises:
        SettingError: not even a rise to 1 would be found; says how many users would find it.
    """
    _check_proportion("the base rate", base)
    _check_probabilities(power, level)

    def short(lift: float) -> float:
        return power_of_proportions(base, base + lift, control, level=level, ratio=ratio, one_sided=one_sided) - power

    most = 1.0 - base
    if short(most) < 0:
        raise SettingError(
            message("grow.users_group", control=control, base=base),
            found=control,
            allowed=message(
                "grow.more_7",
                value=math.ceil(
                    size_of_proportions(base, 1.0, power=power, level=level, ratio=ratio, one_sided=one_sided)
                ),
            ),
        )
    return float(brentq(short, 1e-12 * most, most, xtol=1e-12))


def size_of_means(
    effect: float,
    deviation: float,
    *,
    power: float = 0.8,
    level: float = 0.95,
    ratio: float = 1.0,
    one_sided: bool = False,
) -> float:
    """Return the users needed in the control group to find a difference `effect` of means.

    Args:
        effect: the difference, in units of the outcome.
        deviation: standard deviation of one user's outcome.
        power: chance of finding it.
        level: 1 less the chance of a false alarm.
        ratio: size of the treated group over that of the control group.
        one_sided: only a change in this direction counts.

    Raises:
        SettingError: no effect or no deviation, or power or level outside 0 to 1.
    """
    _check_probabilities(power, level)
    if not effect or not math.isfinite(effect):
        raise SettingError(message("grow.effect_must"), found=effect)
    if not deviation > 0 or not math.isfinite(deviation):
        raise SettingError(message("grow.standard_deviation"), found=deviation)

    def short(size: float) -> float:
        return power_of_means(effect, deviation, size, level=level, ratio=ratio, one_sided=one_sided) - power

    low = 2.0 if ratio >= 1 else 2.0 / ratio
    if short(low) >= 0:
        return low
    large = (1 + 1 / ratio) * ((_z(level, one_sided) + float(ndtri(power))) * deviation / effect) ** 2
    if large > 1e5:  # t and normal agree to far less than one user in a thousand, and nctdtr loses digits
        return large
    return float(brentq(short, low, 2 * large + 50, xtol=1e-9))


def power_of_means(
    effect: float,
    deviation: float,
    control: float,
    *,
    level: float = 0.95,
    ratio: float = 1.0,
    one_sided: bool = False,
) -> float:
    """Return the chance that a t test of groups of `control` and `ratio` times `control` users finds the effect."""
    freedom = control * (1 + ratio) - 2
    far = abs(effect) / deviation / math.sqrt((1 + 1 / ratio) / control)
    z = _z(level, one_sided)
    if freedom > 2e5 or far > 30:
        return float(ndtr(far - z))
    return 1.0 - float(nctdtr(freedom, far, stdtrit(freedom, float(ndtr(z)))))


def least_effect(
    deviation: float,
    control: float,
    *,
    power: float = 0.8,
    level: float = 0.95,
    ratio: float = 1.0,
    one_sided: bool = False,
) -> float:
    """Return the smallest difference of means that `control` users, and `ratio` times as many, find with `power`."""
    _check_probabilities(power, level)
    scale = deviation * math.sqrt((1 + 1 / ratio) / control)

    def short(effect: float) -> float:
        return power_of_means(effect, deviation, control, level=level, ratio=ratio, one_sided=one_sided) - power

    high = 2 * (_z(level, one_sided) + max(0.0, float(ndtri(power))) + 1) * scale
    while short(high) < 0:
        high *= 2
    return float(brentq(short, 1e-9 * scale, high, xtol=1e-12 * high))


def design(
    base: float,
    effect: float,
    *,
    deviation: float | None = None,
    power: float = 0.8,
    level: float = 0.95,
    variants: int = 1,
    ratio: float = 1.0,
    reduction: float = 0.0,
    users_a_day: float | None = None,
) -> Design:
    """Return the size of an experiment that finds `effect`.

    Args:
        base: the control group's rate, or mean where `deviation` is given.
        effect: the smallest difference worth finding, not relative: 0.02 is two points of a rate.
        deviation: of one user's outcome; then the metric is a mean.
        power: chance of finding it in each comparison.
        level: 1 less the chance of any false alarm; shared among several variants as Bonferroni does.
        variants: treated groups, each compared with one control group.
        ratio: size of a treated group over that of the control group.
        reduction: part of the variance that a covariate from before will take away, 0 to 1 (see CUPED).
        users_a_day: how many users come, all groups together; tells the days.

    Raises:
        SettingError: an argument out of its range, or an experiment of more than ten thousand million users.
    """
    if not 0 <= reduction < 1:
        raise SettingError(message("grow.variance_taken"), found=reduction, allowed=message("grow.up_including"))
    if variants < 1:
        raise SettingError(message("grow.experiment_needs"), found=variants, allowed=message("grow.more_8"))
    if not ratio > 0:
        raise SettingError(message("grow.ratio_groups"), found=ratio)
    each = 1 - (1 - level) / variants
    if deviation is None:
        size = size_of_proportions(base, base + effect, power=power, level=each, ratio=ratio) * (1 - reduction)
    else:
        size = size_of_means(effect, deviation * math.sqrt(1 - reduction), power=power, level=each, ratio=ratio)
    if size > MOST_USERS:
        raise SettingError(
            message("grow.effect_too"),
            found=effect,
            allowed=message("grow.one_fewer"),
        )
    control, treated = math.ceil(size - 1e-9), math.ceil(size * ratio - 1e-9)
    whole = control + variants * treated
    days = math.ceil(whole / users_a_day) if users_a_day else None
    return Design(
        "proportion" if deviation is None else "mean",
        base,
        effect,
        control,
        treated,
        variants,
        power,
        level,
        deviation,
        reduction,
        days,
    )


def _z(level: float, one_sided: bool) -> float:
    return float(ndtri(level if one_sided else (1 + level) / 2))


def _check_proportion(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise SettingError(message("grow.out_range", name=name), found=value, allowed=message("grow.to_4"))


def _check_probabilities(power: float, level: float) -> None:
    if not 0 < power < 1:
        raise SettingError(message("grow.power_out"), found=power, allowed=message("grow.between_such"))
    if not 0 < level < 1:
        raise SettingError(message("grow.level_out"), found=level, allowed=message("grow.between_such_2"))
