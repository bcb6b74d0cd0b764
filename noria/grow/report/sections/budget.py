"""A budget in the report: what each channel brings, how surely, and how to divide the sum."""

from __future__ import annotations

from typing import Any

from noria.core.messages import message
from noria.grow.promote.budget import STATUS
from noria.grow.promote.study import BudgetStudy
from noria.grow.report.charts.budget import cited, division_chart, response_chart
from noria.grow.report.charts.chart import Text
from noria.grow.report.page import Section, Shown, Table


def budget_section(study: BudgetStudy) -> Section:
    """Return what is known of a budget."""
    budget = study.budget
    spend = budget.responses.spend
    facts: dict[str, Any] = {"licence": spend.licence, "as_of": spend.as_of}
    unit = spend.unit
    shown = []
    if budget.gain is not None and budget.recommended:
        shown.append(
            Shown(
                budget.gain,
                message("budget.change.name", outcome=spend.outcome_name, unit=unit),
                message("budget.change.meaning", unit=unit),
                **facts,
            )
        )
    for channel in budget.channels:
        if channel.returns is not None:
            shown.append(
                Shown(
                    channel.returns,
                    message("budget.unit_spend.name", name=channel.name, outcome_name=spend.outcome_name),
                    message(f"budget.status_n.{channel.status}", unit=unit),
                    **facts,
                )
            )
    notes: list[Text] = [budget.text()]
    if study.held is not None:
        notes.append(study.held.text())
    if spend.note == "simulated":
        notes.append(message("budget.note.these_data_simulated"))
    notes += list(budget.responses.notes)
    charts = [division_chart(budget)]
    charts += [response_chart(budget, channel) for channel in budget.channels if channel.returns is not None][:6]
    return Section(
        "budget",
        message("budget.title"),
        message("budget.lead", outcome=spend.outcome_name, periods=spend.outcome.size, unit=unit, source=spend.source),
        shown,
        charts,
        [channel_table(study)],
        notes,
    )


def channel_table(study: BudgetStudy) -> Table:
    """Return each channel's spend, status and returns."""
    budget = study.budget
    rows: list[list[str | float | Text | None]] = []
    for channel in budget.channels:
        told = [
            None if figure is None else f"{figure.value:.3g} [{figure.low:.3g}, {figure.high:.3g}]"
            for figure in (channel.returns, channel.marginal)
        ]
        rows.append([channel.name, STATUS[channel.status], channel.odds, channel.spend, channel.planned, *told])
    columns = [
        message("budget.column.channel"),
        message("budget.column.status"),
        message("budget.column.odds"),
        message("budget.column.spend_now"),
        message("budget.recommended"),
        message("budget.column.unit_brings_90_percent"),
        message("budget.column.one_more_unit_brings"),
    ]
    return Table(
        message("budget.table.channels"),
        columns,
        rows,
        cited(budget.responses.spend),
    )
