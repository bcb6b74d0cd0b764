"""Charts of a budget: what each channel would bring at other spends, and the division beside the present one."""

from __future__ import annotations

import numpy as np

from noria.core.messages import message
from noria.grow.promote.budget import Budget, Channel
from noria.grow.promote.spend import Spend

from .chart import GREY, PALETTE, Chart, Text, band, cited_data, frame, line


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
