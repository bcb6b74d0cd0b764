"""A budget in the report: what each channel brings, how surely, and how to divide the sum."""

from __future__ import annotations

from typing import Any

import numpy as np

from noria.core.messages import message
from noria.grow.promote.budget import STATUS, Budget, Channel
from noria.grow.promote.spend import Spend
from noria.grow.promote.study import BudgetStudy
from noria.grow.report.charts.chart import GREY, PALETTE, Chart, Text, band, cited_data, frame, line
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


def response_chart(budget: Budget, channel: Channel) -> Chart:
    """Return what a channel brings a period from none of its spend to twice of it, with the band of the draws."""
    responses = budget.responses
    place = responses.channels.index(channel.name)
    multiples = np.linspace(0.0, 2.0, 41)
    curves = responses.curves(multiples, recent=budget.recent)[:, place]
    low, middle, high = np.quantile(curves, [0.05, 0.5, 0.95], axis=0)
    unit = responses.spend.unit
    options = frame(
        [f"{multiple * channel.spend:,.3g}" for multiple in multiples],
        message("budget.outcome_a_period", outcome=responses.spend.outcome_name, unit=unit),
    )
    options["xAxis"]["name"] = message("budget.spend_a_period", unit=unit)
    options["series"] = [
        *band(_rounded(low), _rounded(high), PALETTE[0], message("budget.n_90_percent_interval")),
        line(message("budget.median"), _rounded(middle), PALETTE[0]),
    ]
    nearest = int(np.argmin(np.abs(multiples - 1)))
    options["series"][-1]["markLine"] = {
        "symbol": "none",
        "silent": True,
        "lineStyle": {"color": GREY},
        "data": [{"xAxis": nearest}],
        "label": {"formatter": message("budget.formatter")},
    }
    return Chart(
        message("budget.response.title", name=channel.name),
        message("budget.response.meaning", said=message(f"budget.response_is.{channel.status}"), unit=unit),
        cited(responses.spend),
        options,
        260,
    )


def division_chart(budget: Budget) -> Chart:
    """Return each channel's spend at present and, where one is recommended, in the division."""
    spend = budget.responses.spend
    options = frame([channel.name for channel in budget.channels], message("budget.spend_a_period", unit=spend.unit))
    options["series"] = [_bars(message("budget.formatter"), [channel.spend for channel in budget.channels], GREY)]
    if budget.recommended:
        options["series"].append(
            _bars(message("budget.recommended"), [channel.planned or 0.0 for channel in budget.channels], PALETTE[2])
        )
    said = (
        message("budget.what_spent_at_present_what")
        if budget.recommended
        else message("budget.what_spent_at_present_nothing")
    )
    return Chart(message("budget.budget_channel.title"), said, cited(spend), options, 280)


def cited(spend: Spend) -> Text:
    """Return where spend and outcome came from."""
    return cited_data(spend.source, spend.licence, spend.as_of, spend.note)


def _bars(name: Text, values: list[float], colour: str) -> dict[str, object]:
    return {
        "type": "bar",
        "name": name,
        "data": [round(value, 2) for value in values],
        "itemStyle": {"color": colour},
        "barMaxWidth": 36,
    }


def _rounded(values: np.ndarray) -> list[float | None]:
    return [float(f"{value:.5g}") for value in values]
