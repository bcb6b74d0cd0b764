"""A plan and what it rests on, as sections of one page."""

from __future__ import annotations

from noria.core.messages import as_is, message
from noria.grow.promote.plan import Plan
from noria.grow.promote.planning import PlanStudy
from noria.grow.report.charts.chart import Chart, Text, bar_chart
from noria.grow.report.page import Section, Shown, Table

from .budget import budget_section
from .experiment import experiment_section
from .uplift import uplift_section


def promotion_sections(study: PlanStudy) -> list[Section]:
    """Return the plan first, then the experiment, whom to address and the budget, where the plan rests on them."""
    sections = [plan_section(study.plan)]
    if study.tried is not None:
        sections.append(experiment_section(study.tried))
    if study.whom is not None:
        sections.append(uplift_section(study.whom))
    if study.money is not None:
        sections.append(budget_section(study.money))
    return sections


def plan_section(plan: Plan) -> Section:
    """Return a promotion plan: what is said in each part, and what is expected as figures."""
    shown = [
        Shown(
            item.figure,
            item.name,
            message("plan.if_plan_followed_what_expected.meaning"),
        )
        for item in plan.expected
    ]
    rows: list[list[str | float | Text | None]] = []
    for title, lines in plan.parts():
        rows += [[as_is("") if place else title, line] for place, line in enumerate(lines)]
    charts: list[Chart] = []
    if plan.needs:
        charts.append(
            bar_chart(
                [need.name for need in plan.needs],
                [round(100 * need.value, 1) for need in plan.needs],
                message("plan.what_users_ask_about.title"),
                message("plan.what_users_ask_about.meaning", n=plan.needs[0].n),
                plan.needs[0].source,
                message("plan.percent_users"),
            )
        )
    notes: list[Text] = [message("plan.note.rests_part_on_simulated_data")] if plan.simulated else []
    columns: list[Text] = [message("plan.column.part"), message("plan.column.what")]
    return Section(
        "plan",
        message("plan.title"),
        message("plan.lead"),
        shown,
        charts,
        [Table(message("plan.table.plan"), columns, rows)],
        notes,
    )
