"""A budget in the report: what each channel brings, how surely, and how to divide the sum."""

from __future__ import annotations

from typing import Any

from noria.grow.promote.study import BudgetStudy
from noria.grow.report.charts.budget import cited, division_chart, response_chart, status_text
from noria.grow.report.charts.chart import Text
from noria.grow.report.page import Section, Shown, Table


def budget_section(study: BudgetStudy) -> Section:
    """Return what is known of a budget."""
    budget = study.budget
    spend = budget.responses.spend
    facts: dict[str, Any] = {"licence": spend.licence, "as_of": spend.as_of}
    en, zh = spend.unit
    shown = []
    if budget.gain is not None and budget.recommended:
        shown.append(
            Shown(
                budget.gain,
                {"en": f"Change of {spend.outcome_name} a {en}", "zh": f"每{zh} {spend.outcome_name} 的变化"},
                {
                    "en": f"Were the division followed, the pattern of {en}s kept.",
                    "zh": f"若按建议分配且各{zh}投放形态不变。",
                },
                **facts,
            )
        )
    for channel in budget.channels:
        if channel.returns is not None:
            status = status_text(channel)
            shown.append(
                Shown(
                    channel.returns,
                    {
                        "en": f"{channel.name}: {spend.outcome_name} a unit of spend",
                        "zh": f"{channel.name}：每单位投入带来的 {spend.outcome_name}",
                    },
                    {"en": f"{status['en'].capitalize()}; n is the {en}s.", "zh": f"{status['zh']}；n 为{zh}数。"},
                    **facts,
                )
            )
    notes: list[Text] = [budget.texts()]
    if study.held is not None:
        notes.append(study.held.texts())
    if spend.note == "simulated":
        notes.append({"en": "These data are simulated.", "zh": "这些数据为模拟数据。"})
    notes += list(budget.responses.notes)
    charts = [division_chart(budget)]
    charts += [response_chart(budget, channel) for channel in budget.channels if channel.returns is not None][:6]
    return Section(
        "budget",
        {"en": "Budget", "zh": "预算"},
        {
            "en": f"What each channel brings to {spend.outcome_name}, from {spend.outcome.size} {en}s: {spend.source}.",
            "zh": f"各渠道对 {spend.outcome_name} 的贡献，基于 {spend.outcome.size} {zh}：{spend.source}。",
        },
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
        rows.append([channel.name, status_text(channel), channel.odds, channel.spend, channel.planned, *told])
    columns = [
        ("channel", "渠道"),
        ("status", "状态"),
        ("odds", "证据比"),
        ("spend now", "当前投入"),
        ("recommended", "建议"),
        ("a unit brings, 90%", "每单位带来，90%"),
        ("one more unit brings, 90%", "再增一单位带来，90%"),
    ]
    return Table(
        {"en": "Channels", "zh": "渠道"},
        [{"en": en, "zh": zh} for en, zh in columns],
        rows,
        cited(budget.responses.spend),
    )
