"""Users in the report: activity, retention, growth accounting, and who will come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from noria.core.figure import Figure
from noria.core.messages import message
from noria.grow.log.log import Log
from noria.grow.report.charts.chart import Chart, Text
from noria.grow.report.charts.users import acts_forecast_chart, growth_chart, retention_curve, retention_heat
from noria.grow.report.page import Section, Shown, Table
from noria.grow.users.activity import Growth
from noria.grow.users.holdout import HoldOut
from noria.grow.users.retention import Retention


def users_section(log: Log, growths: Sequence[Growth], kept: Retention, sticky: Sequence[Figure]) -> Section:
    """Return active users, growth accounting and retention of a log; `growths` by several periods, the first is drawn."""
    facts: dict[str, Any] = {"licence": log.licence, "as_of": log.as_of.isoformat()}
    shown = [
        Shown(
            Figure("users", log.users, log.rows, source=log.source),
            message("users.users_log.name"),
            message("users.users_log.meaning", first=log.first, as_of=log.as_of),
            **facts,
        ),
    ]
    for growth in growths:
        unit = message(f"units.one.{growth.unit}")
        whole = [row for row in growth.segment() if row.complete]
        if whole:
            shown.append(
                Shown(
                    Figure(f"active by {growth.unit}", whole[-1].active, len(whole), source=log.source),
                    message("users.active_last_whole.name", unit=unit),
                    message("users.active_last_whole.meaning", period=whole[-1].period, unit=unit),
                    **facts,
                )
            )
    shown += [
        Shown(
            point,
            message("users.retention.name", unit=message(f"units.counted.{kept.unit}"), age=age),
            message(
                "users.retention.meaning",
                age=age,
                unit=message(f"units.{'counted' if age == 1 else 'many'}.{kept.unit}"),
            ),
            percent=True,
            **facts,
        )
        for age, point in enumerate(kept.curve())
        if age in (1, 6, 12)
    ]
    if sticky:
        shown.append(
            Shown(
                sticky[-1],
                message("users.stickiness_dau_mau.name"),
                message("users.stickiness_dau_mau.meaning"),
                percent=True,
                **facts,
            )
        )
    checked = sum(len(growth.rows) for growth in growths)
    broken = sum(len(growth.defects()) for growth in growths)
    notes: list[Text] = [
        message("users.checked.broken", checked=checked, broken=broken)
        if broken
        else message("users.checked.every", checked=checked),
    ]
    notes += log.notes
    notes += [problem.text() for problem in log.problems]
    charts: list[Chart] = [growth_chart(growth) for growth in growths[:1]]
    charts += [retention_curve(kept), retention_heat(kept)] if len(kept.counts) > 2 else []
    return Section(
        "users",
        message("users.users_2.title"),
        message("users.users_2.lead", source=log.source),
        shown,
        [replace(chart, source=log.text()) for chart in charts],
        [replace(growth_table(growth), source=log.text()) for growth in growths[-1:]],
        notes,
    )


def growth_table(growth: Growth, last: int = 12) -> Table:
    """Return the last periods of growth accounting."""
    names = [
        message("users.period"),
        message("users.before"),
        message("users.new"),
        message("users.resur_rected"),
        message("users.churned"),
        message("users.active"),
        message("users.quick_ratio"),
    ]
    rows: list[list[str | float | Text | None]] = [
        [
            (row.name if row.name in row.period else f"{row.name} ({row.period})") + ("" if row.complete else " *"),
            row.before,
            row.new,
            row.resurrected,
            row.churned,
            row.active,
            row.quick_ratio,
        ]
        for row in growth.segment()[-last:]
    ]
    return Table(
        message("users.table.growth_accounting", count=len(rows), unit=message(f"units.one.{growth.unit}")),
        names,
        rows,
        growth.source,
    )


def lifetime_section(result: HoldOut, log: Log) -> Section:
    """Return the lifetime model's parameters, forecast and hold-out."""
    total, weeks, error = result.figures()
    came = result.outcome.by_week.sum()
    facts: dict[str, Any] = {"licence": log.licence, "as_of": log.as_of.isoformat()}
    verdict: Text = (
        message("users.what_came_lies_inside_interval", came=came)
        if result.inside
        else message("users.what_came_lies_outside_interval", came=came)
    )
    shown = [
        Shown(
            total,
            message("users.repeat_purchases_next_weeks.name", weeks=result.weeks),
            message("users.repeat_purchases_next_weeks.nearer", verdict=verdict)
            if result.nearer
            else message("users.repeat_purchases_next_weeks.farther", verdict=verdict),
            **facts,
        ),
        Shown(
            weeks,
            message("users.weeks_inside_interval.name"),
            message("users.weeks_inside_interval.meaning"),
            percent=True,
            **facts,
        ),
        Shown(
            error,
            message("users.error_per_user.name"),
            message("users.error_per_user.meaning"),
            **facts,
        ),
    ]
    parameters = result.model.intervals()
    words = {
        "r": message("users.words.r"),
        "alpha": message("users.words.alpha"),
        "a": message("users.words.a"),
        "b": message("users.words.b"),
        "s": message("users.words.s"),
        "beta": message("users.words.beta"),
    }
    tables = [
        Table(
            message(
                "worth.table.parameters_maximum",
                model=result.chosen,
                log_likelihood=result.model.log_likelihood,
                users=result.model.users,
            ),
            [
                message("report.column.parameter"),
                message("users.column.value"),
                message("report.column.low_95"),
                message("report.column.high_95"),
            ],
            [
                [message("users.parameter", name=name, meaning=words[name]), value, *parameters[name]]
                for name, value in zip(parameters, result.model.parameters.tolist(), strict=True)
            ],
            log.text(),
        ),
        Table(
            message("users.table.calibration_purchases_user_purchases"),
            [
                message("users.column.repeats_so_far"),
                message("report.column.users"),
                message("users.forecast"),
                message("users.column.seen"),
            ],
            [list(row) for row in result.calibration()],
            log.text(),
        ),
    ]
    return Section(
        "lifetime",
        message("users.lifetime.title"),
        message("users.lifetime.lead", model=result.chosen, until=result.history.until, weeks=result.weeks),
        shown,
        [acts_forecast_chart(result.ahead, result.outcome.by_week, result.flat, log.text())],
        tables,
        [result.verdict()],
    )
