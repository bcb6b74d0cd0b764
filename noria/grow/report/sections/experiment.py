"""An experiment in the report: are the groups sound, what differs, and could it have been stopped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from noria.core.figure import Figure
from noria.core.messages import as_is, message
from noria.grow.promote.experiment import Experiment
from noria.grow.promote.outcomes import Outcomes
from noria.grow.report.charts.chart import Text
from noria.grow.report.charts.experiment import cited, difference_chart, looks_chart
from noria.grow.report.page import Section, Shown, Table

METHODS: dict[str, Text] = {
    "newcombe": message("experiment.methods.newcombe"),
    "welch": message("experiment.methods.welch"),
    "delta": message("experiment.methods.delta"),
    "welch + cuped": message("experiment.methods.welch_cuped"),
    "delta + cuped": message("experiment.methods.delta_cuped"),
    "yuen": message("experiment.methods.yuen"),
    "brunner-munzel": message("experiment.methods.brunner_munzel"),
    "bootstrap": message("experiment.methods.bootstrap"),
}


def outcome_sections(found: Outcomes) -> list[Section]:
    """Return a section for each outcome of an experiment, with how their p values were corrected."""
    sections = []
    for number, (name, one) in enumerate(zip(found.names, found.experiments, strict=True)):
        made = experiment_section(one, corrected=found.tests > 1)
        title = message("experiment.of_outcome", outcome=made.title, told=name)
        key = made.key if not number else f"{made.key}-{number + 1}"
        sections.append(replace(made, key=key, title=title, notes=[found.correction_text(), *made.notes]))
    return sections


def experiment_section(result: Experiment, *, corrected: bool = False) -> Section:
    """Return what an experiment shows.

    Args:
        result: the experiment.
        corrected: whether its p values allow for comparisons beyond its own.
    """
    corrected = corrected or len(result.comparisons) > 1
    facts: dict[str, Any] = {
        "licence": result.units.licence,
        "as_of": result.units.as_of,
        **points(result.metric == "rate"),
    }
    source = cited(result.units)
    shown = []
    for item in result.comparisons:
        found = item.found
        names = message("experiment.less", variant=found.variant, control=found.control)
        clear: Text = (
            message("experiment.no_spread_seen_so_no")
            if not found.has_interval
            else (message("experiment.clear_difference") if item.clear else message("experiment.no_clear_difference"))
        )
        shown.append(
            Shown(
                scaled(
                    Figure(
                        str(names),
                        found.value,
                        found.n,
                        found.low if found.has_interval else None,
                        found.high if found.has_interval else None,
                        source=result.units.source,
                        level=found.level,
                        note=result.units.note,
                    ),
                    result.metric == "rate",
                ),
                names,
                message(
                    f"experiment.clear_p.{'several' if corrected else 'one'}",
                    clear=clear,
                    p=item.p_adjusted,
                ),
                **facts,
            )
        )
    notes: list[Text] = [result.balance.text()]
    if result.estimate.kind != "mean":
        notes.append(message("experiment.note.compared_by", estimate=result.estimate.name))
    notes += result.notes
    if result.reduction is not None:
        notes.append(
            message(
                "experiment.note.covariate_from_before_took_variance",
                reduction=result.reduction,
                value=1 / max(1e-09, 1 - result.reduction),
            )
        )
    notes += [problem.text() for problem in result.units.problems]
    charts = [difference_chart(result)]
    charts += [
        looks_chart(result, item) for item in result.comparisons[:2] if any(look.low > -1e300 for look in item.looks)
    ]
    return Section(
        "experiment",
        message("experiment.title"),
        message("experiment.lead", source=result.units.source),
        shown,
        charts,
        [group_table(result, source), comparison_table(result, source)],
        notes,
    )


def points(rate: bool) -> dict[str, Any]:
    """Return the unit of a difference of rates, for `Shown`; nothing for other metrics."""
    return {"unit": message("experiment.unit")} if rate else {}


def scaled(figure: Figure, rate: bool) -> Figure:
    """Return a difference of rates in percentage points; any other as it is."""
    if not rate:
        return figure
    low, high = (None if end is None else 100 * end for end in (figure.low, figure.high))
    return replace(figure, value=100 * figure.value, low=low, high=high, unit="points")


def group_table(result: Experiment, source: Text) -> Table:
    """Return each group's size and value."""
    rows: list[list[str | float | Text | None]] = []
    for arm, meant in zip(result.arms, result.balance.expected, strict=True):
        figure = arm.figure(result.level)
        rows.append(
            [
                arm.name,
                arm.n,
                round(meant),
                *(_value(value, result.metric) for value in (figure.value, figure.low, figure.high)),
            ]
        )
    columns = [
        message("experiment.column.group"),
        message("report.column.users"),
        message("experiment.column.meant"),
        message(f"experiment.metric.{result.metric}")
        if result.estimate.kind in ("mean", "rank")
        else result.estimate.name,
        message("experiment.column.low", level=result.level),
        message("experiment.column.high", level=result.level),
    ]
    return Table(message("experiment.table.groups"), columns, rows, source)


def comparison_table(result: Experiment, source: Text) -> Table:
    """Return each comparison with its lift and method."""
    rows: list[list[str | float | Text | None]] = []
    for item in result.comparisons:
        found = item.found
        lift = None if found.lift is None else f"{found.lift:+.1%}"
        ends = (
            None
            if found.lift_low is None or found.lift_high is None
            else f"{found.lift_low:+.1%} … {found.lift_high:+.1%}"
        )
        rows.append(
            [
                found.variant,
                _value(found.value, result.metric),
                lift,
                ends,
                f"{found.p:.2g}",
                f"{item.p_adjusted:.2g}",
                METHODS[found.method],
                item.decided.time if item.decided else None,
            ]
        )
    columns = [
        message("experiment.column.group"),
        message("experiment.difference"),
        message("experiment.column.lift"),
        message("experiment.column.lift_2", level=result.level),
        as_is("p"),
        message("experiment.column.p_adjusted"),
        message("experiment.column.method"),
        message("experiment.column.clear_at_any_look"),
    ]
    return Table(message("experiment.table.comparisons"), columns, rows, source)


def _value(value: float | None, metric: str) -> str | float | None:
    return None if value is None else f"{value:.2%}" if metric == "rate" else float(value)
