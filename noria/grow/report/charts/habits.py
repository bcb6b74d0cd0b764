"""Charts of habits: retention of every kind, funnels, active days, growth by segment, and how long users stay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from noria.core.messages import as_is, message
from noria.grow.users.activity import Growth
from noria.grow.users.funnel import Funnel
from noria.grow.users.power import Power
from noria.grow.users.retention import Retention
from noria.grow.users.survival import Survival

from .chart import PALETTE, Chart, Text, band, frame, line, percent

KINDS: dict[str, Text] = {
    "first": message("habits.kinds.first"),
    "recurring": message("habits.kinds.recurring"),
    "rolling": message("habits.kinds.rolling"),
}
"""Kinds that share one axis of ages; brackets have their own."""


def kinds_chart(kinds: Sequence[Retention]) -> Chart:
    """Return the pooled curves of retention, one a kind."""
    drawn = [(kept, kept.curve()[1:]) for kept in kinds if kept.kind in KINDS]
    ages = max(len(points) for _, points in drawn)
    options = frame([str(age) for age in range(1, ages + 1)], message("habits.percent_cohort"))
    options["xAxis"]["name"] = message("habits.axis_later", unit=message(f"units.many.{kinds[0].unit}"))
    options["series"] = [
        line(KINDS[kept.kind], [percent(point.value) for point in points], PALETTE[place])
        for place, (kept, points) in enumerate(drawn)
    ]
    return Chart(
        message("habits.what_retention_means_changes_curve.title"),
        message("habits.what_retention_means_changes_curve.meaning"),
        kinds[0].source,
        options,
    )


def funnel_chart(found: Funnel) -> Chart:
    """Return the users that came to each step."""
    options = frame(list(found.steps), message("habits.users"))
    options["legend"]["show"] = False
    options["series"] = [
        {
            "type": "bar",
            "name": message("habits.users"),
            "data": list(found.users),
            "barMaxWidth": 64,
            "itemStyle": {"color": PALETTE[0]},
            "label": {"show": True, "position": "top"},
        }
    ]
    lost = [one - other for one, other in zip(found.users, found.users[1:], strict=False)]
    place = int(np.argmax(lost))
    order = message(f"habits.order.{found.order}")
    window = message("habits.within_days", days=found.days) if found.days else as_is("")
    return Chart(
        message("habits.funnel.title"),
        message("habits.funnel.meaning", order=order, window=window, step=found.steps[place + 1]),
        found.source,
        options,
        300,
    )


def power_chart(found: Power) -> Chart:
    """Return how many users were active on 1, 2 ... of the last days."""
    options = frame([str(day) for day in range(1, found.days + 1)], message("habits.users"))
    options["legend"]["show"] = False
    options["xAxis"]["name"] = message("habits.active_days_last", days=found.days)
    options["series"] = [
        {
            "type": "bar",
            "name": message("habits.users"),
            "data": list(found.histogram),
            "itemStyle": {"color": PALETTE[0]},
        }
    ]
    return Chart(
        message("habits.power_users.title"),
        message("habits.power_users.meaning"),
        found.top[0].source,
        options,
        280,
    )


def survival_chart(found: Survival) -> Chart:
    """Return the Kaplan-Meier curve with Greenwood's band."""
    at = np.unique(np.linspace(0, found.longest, 80).astype(int))
    points = [found.at(int(day)) for day in at]
    options = frame([str(day) for day in at], message("habits.percent_users"))
    options["xAxis"]["name"] = message("habits.days_after_first_act")
    options["series"] = [
        *band(
            [percent(point.low) for point in points],
            [percent(point.high) for point in points],
            PALETTE[0],
            message("habits.interval_95"),
        ),
        {
            **line(message("habits.not_lapsed"), [percent(point.value) for point in points], PALETTE[0]),
            "step": "end",
        },
    ]
    return Chart(
        message("habits.how_long_users_stay.title"),
        message("habits.how_long_users_stay.meaning", users=found.users, lapse_days=found.lapse_days),
        found.source,
        options,
    )


def segments_chart(growth: Growth, most: int = 8) -> Chart:
    """Return the active users of the largest segments of a rollup's first column."""
    top = [name for name in growth.segments() if any(row.depth == 1 for row in growth.segment(name))][:most]
    whole = [row.period for row in growth.segment() if row.complete]
    options = frame(whole, message("habits.active_users"))
    options["series"] = [
        line(
            as_is(name),
            [row.active for row in growth.segment(name) if row.complete],
            PALETTE[place % len(PALETTE)],
        )
        for place, name in enumerate(top)
    ]
    return Chart(
        message("habits.active_users_2.title", by=growth.by[0]),
        message("habits.active_users_2.meaning"),
        growth.source,
        options,
    )
