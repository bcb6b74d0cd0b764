"""A plan and what it rests on, as sections of one page."""

from __future__ import annotations

from noria.grow.promote.planning import PlanStudy
from noria.grow.report.page import Section

from .budget import budget_section
from .experiment import experiment_section
from .plan import plan_section
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
