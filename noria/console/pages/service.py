"""Service: how the desk does: resolved without a person, wrong, asked back, handed over, week by week; what it stated and what was found."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from html import escape
from typing import TYPE_CHECKING

from nicegui import ui

from noria.console import charts
from noria.console.figures import figures
from noria.console.shell import View, block, card, empty, foreign, link, paragraph, worked_out
from noria.console.words import Words
from noria.core.figure import Figure

if TYPE_CHECKING:
    from noria.apps.support.review.figures import Report
    from noria.apps.support.routes import Support

WEEKS = 12
LINES = ("resolved without a person", "answered at once", "asked back", "handed over")
"""Measures that are drawn week by week."""


async def show(view: View) -> None:
    """Draw the page."""
    from noria.apps.support.routes import Support

    app: Support | None = next((one for one in view.state.apps if isinstance(one, Support)), None)
    report = await worked_out(view.words, lambda: app.report(WEEKS)) if app else None
    if report is None or not report.figures:
        key = "service.empty" if app is None else "service.nothing"
        empty(view.words, key, "noria ship serve MODELS --apps support --console runs/demo")
        return
    words = view.words
    with card():
        span = words("service.span", since=report.since.date(), until=report.until.date(), zone=report.zone)
        paragraph(span, "small soft")
        figures(report.figures, words)
        paragraph(words("service.caution"), "small soft").style("margin-top: 12px")
    with card(words("service.weeks")):
        charts.show(weekly_chart(report, words), words("service.weeks"), tall=True)
        counts = [one.n for week in report.weeks for one in week.figures if one.name == "answered at once"]
        block(f'<div class="chart-foot">n = {sum(counts):,}</div>')
    with ui.element("div").classes("columns"):
        with card(words("service.calibration")):
            if report.calibration:
                charts.show(calibration_chart(report.calibration, words), words("service.calibration"))
                block(f'<div class="chart-foot">n = {sum(one.n for one in report.calibration):,}</div>')
            else:
                paragraph(words("service.unjudged"), "soft")
        with card(words("service.sources")):
            _sources(report, words)
    if report.unanswered:
        with card(words("service.unanswered")):
            _unanswered(report, words)


def weekly_chart(report: Report, words: Words) -> charts.Options:
    """Return a line a measure, a point a week."""
    names = {measure: words.phrase(measure) for measure in LINES}
    options = charts.base(y="%", legend=list(names.values()), percent=True)
    options["xAxis"].update(type="category", data=[_day(week.begins) for week in report.weeks], boundaryGap=False)
    options["yAxis"].update(min=0, max=100)
    for index, (measure, name) in enumerate(names.items()):
        points = [(_day(week.begins), one) for week in report.weeks for one in week.figures if one.name == measure]
        options["series"] += charts.course(name, points, index)
    return options


def _day(monday: date) -> str:
    return monday.strftime("%m-%d")


def calibration_chart(found: Sequence[Figure], words: Words) -> charts.Options:
    """Return what was found right over what was stated, with intervals; on the dashed line the two are the same."""
    options = charts.base(x=words("service.stated"), y=words("service.found"))
    for axis in ("xAxis", "yAxis"):
        options[axis].update(min=0, max=1)
    points = [[round(one.baseline or 0.0, 3), round(one.value, 3)] for one in found]
    right = charts.line(words("service.found"), points, 0) | {"showSymbol": True, "symbolSize": 9}
    options["series"] = [
        charts.line(words("service.same"), [[0, 0], [1, 1]], 1, dashed=True) | {"symbol": "none"},
        right,
    ]
    for index, one in enumerate(found):
        ends = [[points[index][0], end] for end in (one.low, one.high)]
        quiet = {"symbol": "none", "silent": True, "tooltip": {"show": False}}
        options["series"].append(charts.line(f"{words('service.interval')} {index + 1}", ends, 0) | quiet)
    return options


def _sources(report: Report, words: Words) -> None:
    for one in report.sources:
        name = words.phrase(one.source)
        block(f"<p>{foreign(name) if name == one.source else escape(name)}</p>")
        figures(one.figures, words, rows=True)


def _unanswered(report: Report, words: Words) -> None:
    heads = f'<th class="number">{escape(words("service.times"))}</th>'
    heads += "".join(f"<th>{escape(words(f'service.{name}'))}</th>" for name in ("question", "proposed"))
    rows = "".join(
        f'<tr><td class="number">{one.asked:,}</td><td>{foreign(one.question)}</td><td>{foreign(one.answer)}</td></tr>'
        for one in report.unanswered
    )
    block(f'<table class="plain"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>', "scroll-x")
    block(f'<p class="small soft"><a href="{link("/proposals")}">{escape(words("service.mine"))}</a></p>')
