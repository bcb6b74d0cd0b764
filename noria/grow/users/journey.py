"""The way of a user from the first act to money: acquisition, activation, retention, referral, revenue.

    way = journey(log, "week")
    way.activation.text()             # part of newcomers who did enough in their first days
    way.viral or way.silence["referral"]

Each step counts users old enough to have shown it. A referral is a `conversion` event whose segment is `referral`: its user
brought one newcomer. Where no event tells of something it is not measured, which is not zero, and the reason is given.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import numpy as np

from noria.core.errors import SettingError
from noria.core.figure import Figure, proportion
from noria.core.messages import message
from noria.core.progress import stage
from noria.grow.log.log import Log
from noria.grow.log.times import day_number
from noria.grow.log.user_days import user_days

from .activity import growth
from .periods import Period
from .retention import retention

REFERRAL = "referral"
"""The segment of a conversion that tells of a newcomer brought."""
WINDOW = 28
"""Days over which referral and revenue are counted, the last of the log."""
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Journey:
    """The five steps; one that the log does not tell of is None, and `silence` says why."""

    unit: Period
    acquisition: Figure | None
    """Users new in the last whole period."""
    activation: Figure | None
    """Part of newcomers with enough acts in their first days."""
    retention: Figure | None
    """Part of newcomers active again in the period after their first."""
    referral: Figure | None
    """Part of active users who brought someone."""
    viral: Figure | None
    """Newcomers brought a user: above one, growth would carry itself."""
    paying: Figure | None
    """Part of active users who paid."""
    revenue: Figure | None
    """Amount an active user."""
    silence: dict[str, str] = field(default_factory=dict)
    """Step -> why it is not measured."""

    def figures(self) -> list[Figure]:
        """Return the steps that were measured, in order."""
        steps = (
            self.acquisition,
            self.activation,
            self.retention,
            self.referral,
            self.viral,
            self.paying,
            self.revenue,
        )
        return [figure for figure in steps if figure]


@stage(message("progress.habits"))
def journey(log: Log, unit: Period = "week", *, acts: int = 3, days: int = 7) -> Journey:
    """Return the five steps of a log's users.

    Args:
        log: the activity.
        unit: period of acquisition and retention.
        acts: with how many acts a newcomer counts as activated ...
        days: ... in how many days, the first one included.

    Raises:
        SettingError: less than two acts, or no day.
    """
    if acts < 2 or days < 1:
        raise SettingError(message("grow.activation_takes"), found=message("grow.acts_days", acts=acts, days=days))
    silence: dict[str, str] = {}
    whole = [row for row in growth(log, unit).segment() if row.complete]
    acquired = (
        Figure(message(f"figures.new_last_whole.{unit}"), whole[-1].new, whole[-1].active, source=log.source)
        if whole
        else None
    )
    if not whole:
        silence["acquisition"] = message(f"figures.silence.no_whole.{unit}")
    again = retention(log, unit).curve()[1:2]
    if not again:
        silence["retention"] = message(f"figures.silence.no_cohort.{unit}")
    activated = _activation(log, acts, days)
    if activated is None:
        silence["activation"] = message("figures.silence.no_days", days=days)
    referral, viral = _referral(log, silence)
    paying, revenue = _revenue(log, silence)
    kept = replace(again[0], name=message(f"figures.active_again.{unit}")) if again else None
    return Journey(unit, acquired, activated, kept, referral, viral, paying, revenue, silence)


def _activation(log: Log, acts: int, days: int) -> Figure | None:
    table = user_days(log)
    first = table.group_by("user").aggregate(start=table.day.min())
    last = (log.as_of - _EPOCH).days
    old = first.filter(first.start + days - 1 <= last)
    early = table.join(old, "user").select("start", "user", "day", "acts")
    early = early.filter(early.day < early.start + days)
    each = early.group_by("user").aggregate(acts=early.acts.sum())
    row = each.aggregate(n=each.count(), enough=(each.acts >= acts).ifelse(1, 0).sum()).to_pyarrow().to_pylist()[0]
    if not row["n"]:
        return None
    name = message("figures.newcomers_acts", acts=acts, days=days)
    return proportion(name, int(row["enough"]), int(row["n"]), source=log.source)


def _window(log: Log) -> tuple[int, int]:
    """Return the day before the last `WINDOW` days, and the users active in them."""
    after = (log.as_of - _EPOCH).days - WINDOW
    days = user_days(log)
    return after, int(days.filter(days.day > after).user.nunique().to_pyarrow().as_py())


def _conversions(log: Log, referral: bool) -> Any:
    """Return the conversions of the last days that are referrals, or that are not; those of users with a name."""
    assert log.facts is not None
    facts, (after, _) = log.facts, _window(log)
    day = day_number(facts.time, log.calendar)
    told = facts.segment == REFERRAL
    return facts.filter(
        (facts.kind == "conversion") & (facts.user != "") & (told if referral else ~told) & (day > after)
    )


def _referral(log: Log, silence: dict[str, str]) -> tuple[Figure | None, Figure | None]:
    if log.facts is None:
        silence["referral"] = message("figures.silence.no_kinds")
        return None, None
    found = _conversions(log, referral=True)
    each = found.group_by("user").aggregate(brought=found.count())
    brought = np.asarray(each.brought.to_pyarrow().to_numpy(zero_copy_only=False), dtype=np.float64)
    if not brought.size:
        silence["referral"] = message("figures.silence.no_referral", segment=REFERRAL, days=WINDOW)
        return None, None
    users = max(_window(log)[1], brought.size)
    share = proportion("active users who brought someone", brought.size, users, source=log.source)
    return share, _mean("viral coefficient", brought, users, log.source)


def _revenue(log: Log, silence: dict[str, str]) -> tuple[Figure | None, Figure | None]:
    after, active = _window(log)
    if log.facts is not None:
        sales = _conversions(log, referral=False)
        sales = sales.filter(sales.value > 0)
        each = sales.group_by("user").aggregate(paid=sales.value.sum())
    else:
        days = user_days(log)
        days = days.filter((days.day > after) & (days.value > 0))
        each = days.group_by("user").aggregate(paid=days.value.sum())
    paid = np.asarray(each.paid.to_pyarrow().to_numpy(zero_copy_only=False), dtype=np.float64)
    if not paid.size:
        silence["revenue"] = message("figures.silence.no_amount", days=WINDOW)
        return None, None
    users = max(active, paid.size)
    share = proportion("active users who paid", paid.size, users, source=log.source)
    return share, _mean("revenue of an active user", paid, users, log.source, unit=log.unit)


def _mean(name: str, some: np.ndarray[Any, np.dtype[np.float64]], users: int, source: str, unit: str = "") -> Figure:
    """Return the mean over users of which all but `some` have 0, with its normal interval."""
    mean = float(some.sum()) / users
    spread = 1.96 * max(float((some**2).sum()) / users - mean**2, 0.0) ** 0.5 / users**0.5
    note = message("figures.days", days=WINDOW)
    return Figure(name, mean, users, max(mean - spread, 0.0), mean + spread, unit=unit, source=source, note=note)
