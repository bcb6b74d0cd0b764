"""Whom to address, in the report."""

from __future__ import annotations

from typing import Any

from noria.core.figure import Figure
from noria.grow.promote.difference import Difference
from noria.grow.promote.uplift import Uplift
from noria.grow.report.charts.chart import Text
from noria.grow.report.charts.experiment import cited
from noria.grow.report.charts.uplift import fifths_chart, qini_chart
from noria.grow.report.page import Section, Shown, Table

from .experiment import points, scaled


def uplift_section(found: Uplift) -> Section:
    """Return whom to address, with the Qini curve that proves it."""
    facts: dict[str, Any] = {"licence": found.units.licence, "as_of": found.units.as_of, **points(found.binary)}
    shown = [
        Shown(
            scaled(found.figure(), found.binary),
            {"en": "Qini coefficient", "zh": "Qini 系数"},
            {
                "en": "Area between the curve of the score and an order at random; an interval with zero inside: no heterogeneity found.",
                "zh": "得分曲线与随机排序之间的面积；区间含零即未发现差异化效应。",
            },
            **facts,
        ),
        Shown(
            _figure("everyone", found.everyone, found),
            {"en": "Effect on everyone", "zh": "对所有人的效应"},
            {
                "en": f"{found.everyone.variant} less {found.everyone.control}, on the users kept back.",
                "zh": f"留出用户中 {found.everyone.variant} 与 {found.everyone.control} 之差。",
            },
            **facts,
        ),
    ]
    if found.addressed is not None and found.others is not None and found.found:
        shown += [
            Shown(
                _figure("addressed", found.addressed, found),
                {"en": f"Effect on the best {found.share:.0%}", "zh": f"对得分最高 {found.share:.0%} 的效应"},
                {"en": "On those whose expected effect is above the cost.", "zh": "预期效应高于成本的用户。"},
                **facts,
            ),
            Shown(
                _figure("others", found.others, found),
                {"en": "Effect on the others", "zh": "对其余用户的效应"},
                {"en": "On those it is not worth addressing.", "zh": "不值得触达的用户。"},
                **facts,
            ),
        ]
    notes: list[Text] = [found.texts()]
    if found.units.note == "simulated":
        notes.append({"en": "These data are simulated.", "zh": "这些数据为模拟数据。"})
    notes += found.units.notes
    notes += [problem.texts() for problem in found.units.problems]
    return Section(
        "uplift",
        {"en": "Whom to address", "zh": "触达谁"},
        {
            "en": f"Learnt on {found.learnt:,} users, judged on {found.curve.users:,} others.",
            "zh": f"在 {found.learnt:,} 名用户上学习，在另外 {found.curve.users:,} 名用户上检验。",
        },
        shown,
        [qini_chart(found), fifths_chart(found)],
        [trait_table(found)] if found.found else [],
        notes,
    )


def trait_table(found: Uplift) -> Table:
    """Return how those to be addressed differ from the others."""
    rows: list[list[str | float | Text | None]] = [
        [
            trait.name,
            *(f"{value:.1%}" if trait.word else value for value in (trait.addressed, trait.others)),
            f"{trait.distance:+.2f}",
        ]
        for trait in found.traits
    ]
    columns = [
        ("known before", "事先已知"),
        ("addressed", "触达者"),
        ("others", "其余"),
        ("distance, in deviations", "差距（标准差）"),
    ]
    return Table(
        {"en": "Who they are", "zh": "他们是谁"}, [{"en": en, "zh": zh} for en, zh in columns], rows, cited(found.units)
    )


def _figure(name: str, gap: Difference, found: Uplift) -> Figure:
    figure = Figure(
        name,
        gap.value,
        gap.n,
        gap.low if gap.has_interval else None,
        gap.high if gap.has_interval else None,
        source=found.units.source,
        level=gap.level,
        note=found.units.note,
    )
    return scaled(figure, found.binary)
