"""Whom to address, in the report."""

from __future__ import annotations

from typing import Any

from noria.core.figure import Figure
from noria.core.messages import message
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
            message("uplift.qini_coefficient.name"),
            message("uplift.qini_coefficient.meaning"),
            **facts,
        ),
        Shown(
            _figure("everyone", found.everyone, found),
            message("uplift.effect_on_everyone.name"),
            message(
                "uplift.effect_on_everyone.meaning", variant=found.everyone.variant, control=found.everyone.control
            ),
            **facts,
        ),
    ]
    if found.addressed is not None and found.others is not None and found.found:
        shown += [
            Shown(
                _figure("addressed", found.addressed, found),
                message("uplift.effect_on_best.name", share=found.share),
                message("uplift.effect_on_best.meaning"),
                **facts,
            ),
            Shown(
                _figure("others", found.others, found),
                message("uplift.effect_on_others.name"),
                message("uplift.effect_on_others.meaning"),
                **facts,
            ),
        ]
    notes: list[Text] = [found.text()]
    if found.units.note == "simulated":
        notes.append(message("uplift.note.these_data_simulated"))
    notes += found.units.notes
    notes += [problem.text() for problem in found.units.problems]
    return Section(
        "uplift",
        message("uplift.title"),
        message("uplift.lead", learnt=found.learnt, users=found.curve.users),
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
        message("uplift.column.known_before"),
        message("uplift.column.addressed"),
        message("uplift.column.others"),
        message("uplift.column.distance_deviations"),
    ]
    return Table(message("uplift.table.who_they"), columns, rows, cited(found.units))


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
