"""The promotion plan in the report."""

from __future__ import annotations

from noria.grow.promote.plan import Plan
from noria.grow.report.charts.chart import Chart, Text, bar_chart
from noria.grow.report.page import Section, Shown, Table


def plan_section(plan: Plan) -> Section:
    """Return a promotion plan: what is said in each part, and what is expected as figures."""
    shown = [
        Shown(
            item.figure,
            item.name,
            {
                "en": "If the plan is followed; what is expected, not what is promised.",
                "zh": "若按计划执行的预期值，并非承诺。",
            },
        )
        for item in plan.expected
    ]
    rows: list[list[str | float | Text | None]] = []
    for (title, lines), (title_zh, lines_zh) in zip(plan.parts("en"), plan.parts("zh"), strict=True):
        rows += [
            [{"en": title if not place else "", "zh": title_zh if not place else ""}, {"en": line, "zh": line_zh}]
            for place, (line, line_zh) in enumerate(zip(lines, lines_zh, strict=True))
        ]
    charts: list[Chart] = []
    if plan.needs:
        charts.append(
            bar_chart(
                [need.name for need in plan.needs],
                [round(100 * need.value, 1) for need in plan.needs],
                {"en": "What users ask about", "zh": "用户关心什么"},
                {
                    "en": f"Share of {plan.needs[0].n:,} users who asked about each topic; one user may ask about several.",
                    "zh": f"{plan.needs[0].n:,} 名用户中询问过各主题的比例；一人可询问多个主题。",
                },
                plan.needs[0].source,
                {"en": "% of users", "zh": "用户 %"},
            )
        )
    notes: list[Text] = (
        [{"en": "Rests in part on simulated data.", "zh": "部分依据为模拟数据。"}] if plan.simulated else []
    )
    columns: list[Text] = [{"en": "part", "zh": "部分"}, {"en": "what", "zh": "内容"}]
    return Section(
        "plan",
        {"en": "Promotion plan", "zh": "推广计划"},
        {
            "en": "Whom to address, what they ask about, where the money goes, what to expect, and how it will be measured.",
            "zh": "触达谁、他们关心什么、钱花在哪里、预期效果，以及如何衡量。",
        },
        shown,
        charts,
        [Table({"en": "The plan", "zh": "计划"}, columns, rows)],
        notes,
    )
