"""Habits in the report: from the first act to money, funnel, power users, retention of every kind, and needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from noria.core.figure import Figure
from noria.core.messages import key_name, message, term
from noria.grow.log.user_days import NO_SEGMENT
from noria.grow.report.charts.chart import Chart, Text
from noria.grow.report.charts.habits import funnel_chart, kinds_chart, power_chart, segments_chart
from noria.grow.report.page import Section, Shown, Table
from noria.grow.users.needs import Need
from noria.grow.users.power import HABIT_DAYS
from noria.grow.users.retention import Retention
from noria.grow.users.study import UserStudy

_STEPS: dict[str, tuple[Text, Text]] = {
    "acquisition": (
        message("habits.acquisition.name"),
        message("habits.acquisition.meaning"),
    ),
    "activation": (
        message("habits.activation.name"),
        message("habits.activation.meaning"),
    ),
    "retention": (
        message("habits.retention.name"),
        message("habits.retention.meaning"),
    ),
    "referral": (
        message("habits.referral.name"),
        message("habits.referral.meaning"),
    ),
    "viral": (
        message("habits.viral.name"),
        message("habits.viral.meaning"),
    ),
    "paying": (
        message("habits.paying.name"),
        message("habits.paying.meaning"),
    ),
    "revenue": (
        message("habits.revenue.name"),
        message("habits.revenue.meaning"),
    ),
}
_PARTS = ("activation", "retention", "referral", "paying")


def habits_section(study: UserStudy) -> Section:
    """Return how users came to use the product, and how they use it."""
    log = study.log
    facts: dict[str, Any] = {"licence": log.licence, "as_of": log.as_of.isoformat()}
    shown = []
    for key, (name, meaning) in _STEPS.items():
        figure: Figure | None = getattr(study.journey, key)
        if figure:
            shown.append(
                Shown(
                    figure,
                    name,
                    message("habits.step_meaning", meaning=meaning, name=term(figure.name)),
                    percent=key in _PARTS,
                    **facts,
                )
            )
    often, top, tenth, gini = study.power.often, *study.power.top, study.power.gini
    if study.power.habit:
        shown.append(
            Shown(
                often,
                message("habits.power_users.title"),
                message("habits.power_users_2.meaning", days=study.power.days),
                percent=True,
                **facts,
            )
        )
    shown += [
        Shown(
            top,
            message("habits.made_most_active_1_percent.name"),
            message("habits.made_most_active_1_percent.meaning"),
            percent=True,
            **facts,
        ),
        Shown(
            tenth,
            message("habits.made_most_active_10_percent.name"),
            message("habits.made_most_active_10_percent.meaning"),
            percent=True,
            **facts,
        ),
        Shown(
            gini,
            message("habits.concentration_use_gini.name"),
            message("habits.concentration_use_gini.meaning"),
            **facts,
        ),
    ]
    charts: list[Chart] = [power_chart(study.power)] if study.power.habit else []
    if study.funnel:
        charts.insert(0, funnel_chart(study.funnel))
    if study.growths[0].by:
        charts.append(segments_chart(study.growths[0]))
    if len(study.retention.counts) > 2:
        charts.append(kinds_chart(study.kinds))
    tables = [
        kinds_table(study.kinds),
        *([funnel_table(study)] if study.funnel else []),
        *needs_tables(study.needs, study.power.days),
    ]
    notes: list[Text] = [
        message("habits.note.not_measured", step=message(f"habits.step.{name}"), why=why)
        for name, why in study.journey.silence.items()
    ]
    if not study.power.habit:
        notes.insert(0, message("habits.note.too_short", days=study.power.days, least=HABIT_DAYS))
    if not any(need.topic != NO_SEGMENT for need in study.needs):
        notes.append(message("habits.note.needs_not_measured_no_act"))
    return Section(
        "habits",
        message("habits.title"),
        message("habits.lead"),
        shown,
        [replace(chart, source=log.text()) for chart in charts],
        [replace(table, source=log.text()) for table in tables],
        notes,
    )


def kinds_table(kinds: Sequence[Retention]) -> Table:
    """Return the pooled retention of every kind at its first ages, with intervals."""
    names: dict[str, Text] = {
        "first": message("habits.names.first"),
        "recurring": message("habits.names.recurring"),
        "bracketed": message("habits.names.bracketed"),
        "rolling": message("habits.names.rolling"),
    }
    rows: list[list[str | float | Text | None]] = [
        [
            names[kept.kind],
            kept.age(column + 1),
            round(100 * point.value, 2),
            round(100 * (point.low or 0), 2),
            round(100 * (point.high or 0), 2),
            point.n,
        ]
        for kept in kinds
        for column, point in enumerate(kept.curve()[1:5])
    ]
    heads = [
        message("habits.column.kind"),
        message(f"habits.column.later.{kinds[0].unit}"),
        message("habits.column.percent_back"),
        message("report.column.low_95"),
        message("report.column.high_95"),
        message("report.column.n"),
    ]
    return Table(
        message("habits.table.retention_four_definitions_recurring"),
        heads,
        rows,
    )


def funnel_table(study: UserStudy) -> Table:
    """Return the steps of the funnel with intervals."""
    assert study.funnel
    rows: list[list[str | float | Text | None]] = []
    for at, step in enumerate(study.funnel.steps):
        rate = study.funnel.rate(at) if at else None
        hours = study.funnel.hours(at)
        rows.append(
            [
                step,
                study.funnel.users[at],
                *([100 * rate.value, 100 * (rate.low or 0), 100 * (rate.high or 0)] if rate else [None] * 3),
                *([hours.value, hours.low, hours.high] if hours else [None] * 3),
            ]
        )
    heads = [
        message("habits.column.step"),
        message("report.column.users"),
        message("habits.column.percent_step_before"),
        message("report.column.low_95"),
        message("report.column.high_95"),
        message("habits.column.median_hours_from_entry"),
        message("report.column.low_95"),
        message("report.column.high_95"),
    ]
    return Table(message("habits.table.funnel_step_step"), heads, rows)


def needs_tables(needs: Sequence[Need], days: int, most: int = 12) -> list[Table]:
    """Return the topics most asked for; none where no topic was noted."""
    named = [need for need in needs if need.topic != NO_SEGMENT]
    if not named:
        return []
    rows: list[list[str | float | Text | None]] = [
        [
            key_name(need.app) if need.app else None,
            key_name(need.topic),
            need.requests,
            100 * need.asked.value,
            100 * (need.asked.low or 0),
            100 * (need.asked.high or 0),
            *(
                [100 * need.change.value, f"{100 * (need.change.low or 0):+.1f} … {100 * (need.change.high or 0):+.1f}"]
                if need.change
                else [None, None]
            ),
            100 * need.unmet.value if need.unmet else None,
        ]
        for need in named[:most]
    ]
    heads = [
        message("habits.column.application"),
        message("habits.column.topic"),
        message("habits.column.requests"),
        message("habits.percent_users"),
        message("report.column.low_95"),
        message("report.column.high_95"),
        message("habits.column.change_points"),
        message("habits.column.interval_95"),
        message("habits.column.percent_unmet"),
    ]
    return [
        Table(
            message("habits.table.what_asked_for_last", days=days, count=len(named)),
            heads,
            rows,
        )
    ]
