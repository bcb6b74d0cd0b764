"""Use of the server in the report, as its own events tell it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from noria.core.figure import Figure
from noria.core.messages import message
from noria.grow.report.charts.chart import Text, bar_chart
from noria.grow.report.page import Section, Shown, Table
from noria.grow.usage import Usage
from noria.grow.users.activity import Growth

from .users import growth_table

SERVER: Text = message("usage.server_events")


def usage_section(use: Usage, growth: Growth | None = None) -> Section:
    """Return what the server's own events say."""
    as_of, first, last = use.last[:10], use.first.replace("T", " "), use.last.replace("T", " ")
    count: dict[str, Any] = {"as_of": as_of, "source": SERVER}
    shown = [
        Shown(
            Figure("events", use.events, use.events, source="server events"),
            message("usage.events.name"),
            message("usage.events.meaning"),
            **count,
        ),
        Shown(
            Figure("users", use.users, use.requests, source="server events"),
            message("usage.users_server.name"),
            message("usage.users_server.meaning"),
            **count,
        ),
    ]
    shown += [
        Shown(
            figure,
            message("usage.application.name", name=figure.name),
            message("usage.application.meaning"),
            percent=True,
            **count,
        )
        for figure in use.apps
    ]
    shown += [
        Shown(
            figure,
            message("usage.model.name", name=figure.name),
            message("usage.model.meaning"),
            percent=True,
            **count,
        )
        for figure in use.models
    ]
    shown += [
        Shown(
            figure,
            message("usage.judged_right.name", name=figure.name),
            message("usage.judged_right.meaning"),
            percent=True,
            **count,
        )
        for figure in use.right
    ]
    charts = [
        bar_chart(
            [figure.name for figure in use.apps],
            [round(figure.value * figure.n) for figure in use.apps],
            message("usage.requests_application.title"),
            message("usage.requests_application.meaning"),
            SERVER,
            message("usage.requests"),
        )
    ]
    rows: list[list[str | float | Text | None]] = [[message(f"usage.kind.{kind}"), n] for kind, n in use.kinds.items()]
    rows += [[message(f"usage.outcome.{outcome}"), n] for outcome, n in use.outcomes.items()]
    latency: list[list[str | float | Text | None]] = [
        [
            f.name,
            f.n,
            f.value,
            f.low,
            f.high,
        ]
        for f in use.latency_ms
    ]
    tables = [
        Table(
            message("usage.table.events_kind"),
            [message("usage.column.kind"), message("usage.column.events")],
            rows,
            SERVER,
        ),
        Table(
            message("usage.table.latency_ms"),
            [
                message("usage.column.application"),
                message("report.column.requests"),
                message("usage.column.ms"),
                message("report.column.low_95"),
                message("report.column.high_95"),
            ],
            latency,
            SERVER,
        ),
    ]
    if growth is not None:
        tables.append(replace(growth_table(growth), source=SERVER))
    return Section(
        "usage",
        message("usage.title"),
        message("usage.lead", first=first, last=last),
        shown,
        charts,
        tables,
    )
