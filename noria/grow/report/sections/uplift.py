"""Whom to address, in the report."""

from __future__ import annotations

from typing import Any

from noria.core.figure import Figure
from noria.core.messages import message
from noria.grow.promote.difference import Difference
from noria.grow.promote.uplift import Uplift
from noria.grow.report.charts.chart import GREY, PALETTE, Chart, Text, band, frame, line
from noria.grow.report.charts.experiment import cited
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
    notes: list[Text] = [found.text(), *([] if found.balance.sound else [found.balance.text()])]
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


def qini_chart(found: Uplift) -> Chart:
    """Return what is gained by addressing users in the order of the score, with the straight line of an order at random."""
    scale, unit = _unit(found)
    curve = found.curve
    shares = [f"{share:.0%}" for share in curve.shares]
    options = frame(shares, unit)
    options["xAxis"]["name"] = message("uplift.users_addressed_highest_score_first")
    low, gain, high = (
        [round(scale * float(value), 4) for value in values] for values in (curve.low, curve.gain, curve.high)
    )
    end = gain[-1]
    options["series"] = [
        *band(low, high, PALETTE[0], message("uplift.interval", level=curve.level)),
        line(message("uplift.score"), gain, PALETTE[0]),
        line(
            message("uplift.at_random"),
            [round(end * float(share), 4) for share in curve.shares],
            GREY,
            dashed=True,
        ),
    ]
    said = (
        message("uplift.score_orders_users_better_than")
        if found.found
        else message("uplift.score_orders_users_no_better")
    )
    return Chart(
        message("uplift.qini_curve.title"),
        message("uplift.qini_curve.meaning", said=said, users=curve.users),
        cited(found.units),
        options,
    )


def fifths_chart(found: Uplift) -> Chart:
    """Return the effect in each fifth of the users, by score, as boxes from one end of the interval to the other."""
    scale, unit = _unit(found)
    options = frame([str(place + 1) for place in range(len(found.groups))], unit)
    options["legend"]["show"] = False
    options["tooltip"] = {"show": False}
    options["xAxis"]["name"] = message("uplift.fifth_users_score_highest_first")
    boxes = []
    for group in found.groups:
        low, value, high = (round(scale * end, 4) for end in (group.low, group.value, group.high))
        boxes.append([low, low, value, high, high] if group.has_interval else [])
    options["series"] = [
        {
            "type": "boxplot",
            "name": unit,
            "data": boxes,
            "boxWidth": [12, 40],
            "itemStyle": {"color": "rgba(79,138,60,0.18)", "borderColor": PALETTE[2], "borderWidth": 2},
            "markLine": {
                "symbol": "none",
                "silent": True,
                "label": {"show": False},
                "lineStyle": {"color": GREY},
                "data": [{"yAxis": round(scale * found.everyone.value, 4)}],
            },
        },
    ]
    return Chart(
        message("uplift.effect_fifths_score.title"),
        message("uplift.effect_fifths_score.meaning", level=found.curve.level),
        cited(found.units),
        options,
        260,
    )


def _unit(found: Uplift) -> tuple[int, Text]:
    if found.binary:
        return 100, message("uplift.points")
    return 1, message("uplift.outcome")
