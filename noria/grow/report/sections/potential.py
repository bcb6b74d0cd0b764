"""What is left to win and whom to address, in the report: market size as ranges, needs not met, and target segments with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from noria.core.figure import Figure, number
from noria.core.messages import as_is, joined, key_name, message
from noria.grow.log.log import SERVER_EVENTS, Log
from noria.grow.market.needs import Need
from noria.grow.market.penetration import Penetration
from noria.grow.market.potential import Bar, Potential
from noria.grow.market.targets import MEASURES, SHORT, Target
from noria.grow.report.charts.chart import PALETTE, Chart, Text, frame
from noria.grow.report.page import Section, Shown, Table

Row = list[str | float | Text | None]
SERVER: Text = message("potential.server_events")
_REASONS = {
    "not answered": message("potential.reasons.not_answered"),
    "handed over": message("potential.reasons.handed_over"),
    "judged wrong": message("potential.reasons.judged_wrong"),
}


def potential_section(found: Potential | None, reach: Penetration | None = None) -> Section:
    """Return how large the market could be, what its range comes from, and how much of it is reached."""
    shown: list[Shown] = []
    charts: list[Chart] = []
    notes: list[Text] = []
    tables: list[Table] = []
    if found:
        shown += [_size(figure) for figure in found.sizes]
        charts += [tornado_chart(found, approach) for approach in found.tornado]
        for item in found.agreements:
            where: Text = as_is(item.industry) if item.industry else message("potential.all_industries")
            notes.append(
                message(
                    "potential.note.bottom_up_over_top_down",
                    where=where,
                    ratio=item.ratio,
                    low=item.low,
                    high=item.high,
                    verdict=item.verdict,
                )
            )
        tables.append(_inputs(found))
    if reach:
        shown += [_reached(figure) for figure in reach.figures()]
        if reach.why:
            notes.append(message("potential.note.not_identified", why=reach.why))
    return Section(
        "potential",
        message("potential.potential.title"),
        message("potential.potential.lead"),
        shown,
        charts,
        tables,
        notes,
    )


def position_section(found: Sequence[Target], log: Log) -> Section:
    """Return the segments of a log's users, scored as targets."""
    name: Text = SERVER if log.source == SERVER_EVENTS else as_is(log.source)
    facts: dict[str, Any] = {"licence": log.licence, "as_of": log.as_of.isoformat(), "source": name}
    best = found[0]
    source = log.text()
    shown = [
        Shown(
            replace(best.first, name="first"),
            message("potential.target.name", name=best.segment.name),
            message("potential.target.meaning", reason=best.segment.reason),
            percent=True,
            **facts,
        ),
        *(
            Shown(
                target.segment.value,
                message("potential.value_held.name", name=target.segment.name),
                message("potential.value_held.meaning", users=target.segment.users.value),
                percent=True,
                **facts,
            )
            for target in found[:3]
        ),
    ]
    rows: list[Row] = [
        [
            target.segment.name,
            f"{target.segment.users.value:.1%}",
            f"{target.segment.value.value:.1%}",
            number(target.segment.each.value),
            f"{target.score:.2f}",
            f"{target.first.value:.0%}",
            target.reason,
        ]
        for target in found
    ]
    unit = best.segment.each.unit
    columns: list[Text] = [
        message("potential.column.segment"),
        message("report.column.users"),
        message("potential.column.value"),
        message("potential.column.value_of_a_user", unit=message("potential.units") if unit == "units" else unit),
        message("potential.score"),
        message("potential.column.first"),
        message("potential.column.why"),
    ]
    rules: list[Row] = [[target.segment.name, target.segment.reason] for target in found]
    users = best.segment.users.n
    weights: Text = message(
        "potential.weights",
        measures=joined(
            "join.clauses",
            (message("potential.weight", short=SHORT[name], measure=MEASURES[name]) for name in best.contributions),
        ),
    )
    return Section(
        "position",
        message("potential.position.title"),
        message("potential.position.lead", users=users),
        shown,
        [targets_chart(found, source)],
        [
            Table(message("potential.table.segments_best_target_first"), columns, rows, source),
            Table(
                message("potential.table.who_segment_first_rule"),
                [message("potential.column.segment"), message("potential.column.rule")],
                rules,
            ),
        ],
        [weights],
    )


def needs_section(found: Sequence[Need], as_of: str) -> Section:
    """Return what is asked of the server and not met."""
    top = found[0]
    facts: dict[str, Any] = {"as_of": as_of, "source": SERVER}
    shown = [
        Shown(
            replace(top.unmet, name="unmet"),
            message("potential.not_met.name", topic=key_name(top.topic)),
            message("potential.not_met.meaning"),
            percent=True,
            **facts,
        ),
        Shown(
            replace(top.demand, name="demand"),
            message("potential.demand.name", topic=key_name(top.topic)),
            message("potential.demand.meaning"),
            percent=True,
            **facts,
        ),
    ]
    rows: list[Row] = [
        [
            message("report.none") if need.topic == "(none)" else key_name(need.topic),
            need.requests,
            need.users,
            f"{need.demand.value:.1%}",
            f"{need.unmet.value:.1%} [{need.unmet.low:.1%}, {need.unmet.high:.1%}]",
            *(need.reasons[name] for name in _REASONS),
        ]
        for need in found
    ]
    columns: list[Text] = [
        message("potential.column.topic"),
        message("report.column.requests"),
        message("potential.column.users"),
        message("potential.column.demand"),
        message("potential.column.not_met_95_percent"),
        *_REASONS.values(),
    ]
    return Section(
        "unmet",
        message("potential.unmet.title"),
        message("potential.unmet.lead"),
        shown,
        (),
        [Table(message("potential.table.topics_most_unmet_first"), columns, rows, SERVER)],
    )


def _size(figure: Figure) -> Shown:
    approach, industry = figure.name.split(", ", 1)
    named = message(f"potential.whole.{industry}") if industry in ("total", "all") else as_is(industry)
    return Shown(
        figure,
        message("potential.size.name", industry=named, approach=_approach(approach)),
        message("potential.size.meaning"),
    )


def _reached(figure: Figure) -> Shown:
    words: dict[str, tuple[Text, Text]] = {
        "part of the ceiling reached": (
            message("potential.part_ceiling_reached.name"),
            message("potential.penetration.meaning", note=figure.note),
        ),
        "growth of the odds a year": (
            message("potential.growth_odds_year.name"),
            message("potential.growth_odds_year.meaning"),
        ),
        "years until half of the ceiling": (
            message("potential.years_until_half_ceiling.name"),
            message("potential.years_until_half_ceiling.meaning"),
        ),
    }
    name, meaning = words[figure.name]
    unit: Text | None = message("potential.years") if figure.unit else None
    return Shown(figure, name, meaning, percent=not figure.unit, unit=unit)


def _inputs(found: Potential) -> Table:
    rows: list[Row] = []
    for approach, bars in found.tornado.items():
        for bar in bars:
            item = next(
                item
                for item in found.ranges
                if (item.industry, item.approach, item.factor) == (bar.industry, approach, bar.factor)
            )
            rows.append(
                [
                    _approach(approach),
                    as_is(item.industry) if item.industry else message("potential.whole.all"),
                    as_is(item.factor),
                    number(item.low),
                    number(item.high),
                    as_is(item.unit),
                    f"{bar.part:.0%}",
                    as_is(item.source),
                ]
            )
    columns: list[Text] = [
        message("potential.column.approach"),
        message("potential.column.industry"),
        message("potential.column.input"),
        message("report.column.low"),
        message("report.column.high"),
        message("potential.column.unit"),
        message("potential.column.part_range"),
        message("potential.column.source"),
    ]
    return Table(message("potential.table.inputs_their_ranges_nine"), columns, rows)


def _approach(name: str) -> Text:
    return message(f"potential.approach.{name.replace('-', '_')}")


def tornado_chart(found: Potential, approach: str, most: int = 10) -> Chart:
    """Return bars from the total with an input at its low end to the total with it at its high end."""
    bars = list(found.tornado[approach][:most])[::-1]  # ECharts draws the first category at the bottom
    options = frame([_input(bar) for bar in bars], as_is(""))
    options["xAxis"], options["yAxis"] = (
        {
            "type": "value",
            "scale": True,
            "name": (message("potential.name", unit=found.unit) if found.unit else message("potential.whole.total")),
            "nameLocation": "middle",
            "nameGap": 28,
            "axisLabel": {"hideOverlap": True},
        },
        {
            "type": "category",
            "data": [_input(bar) for bar in bars],
            "axisLabel": {"width": 190, "overflow": "truncate"},
        },
    )
    low = [round(bar.low, 3) for bar in bars]
    options["legend"]["show"] = False
    options["series"] = [
        {
            "type": "bar",
            "stack": "range",
            "data": low,
            "itemStyle": {"opacity": 0},
            "silent": True,
            "tooltip": {"show": False},
        },
        {
            "type": "bar",
            "stack": "range",
            "name": message("potential.name_2"),
            "barMaxWidth": 18,
            "data": [round(bar.high - bar.low, 3) for bar in bars],
            "itemStyle": {"color": PALETTE[0]},
        },
    ]
    way = message(f"potential.approach.{approach.replace('-', '_')}")
    return Chart(
        message("potential.what_range_comes_from.title", approach=way),
        message("potential.what_range_comes_from.meaning"),
        "; ".join(dict.fromkeys(bar.source for bar in bars)),
        options,
        max(220, 34 * len(bars) + 110),
    )


def targets_chart(found: Sequence[Target], source: str | Text) -> Chart:
    """Return each segment's score, stacked from what the measures bring."""
    options = frame([target.segment.name for target in found], message("potential.score"))
    options["xAxis"]["data"] = [target.segment.name for target in found]
    options["xAxis"]["axisLabel"] = {"interval": 0, "fontSize": 11}
    names = list(found[0].contributions)
    options["series"] = [
        {
            "type": "bar",
            "stack": "all",
            "name": MEASURES[name],
            "barMaxWidth": 44,
            "itemStyle": {"color": PALETTE[place]},
            "data": [round(target.contributions[name], 3) for target in found],
        }
        for place, name in enumerate(names)
    ]
    return Chart(
        message("potential.targets_why.title"),
        message(
            "potential.targets_why.meaning", name=found[0].segment.name, first=found[0].first.value, n=found[0].first.n
        ),
        source,
        options,
        280,
    )


def _input(bar: Bar) -> str:
    return f"{bar.industry}: {bar.factor}" if bar.industry else bar.factor
