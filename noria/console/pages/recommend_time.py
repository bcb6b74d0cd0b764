"""Coverage and lift of recommendations over time, each with what it rests on; where a week has too few users, in words."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from nicegui import ui

from noria.console import charts
from noria.console.shell import View, block, card, paragraph, worked_out
from noria.console.words import Words
from noria.core.errors import NoriaError

if TYPE_CHECKING:
    from noria.apps.recommend.routes import Recommend
    from noria.grow.promote.by_week import Week


async def show(view: View, app: Recommend) -> None:
    """Show the card."""
    words = view.words
    with card(words("recommend.over_time")) as place:
        place.props("data-over-time")
        try:
            weeks = await worked_out(words, lambda: looked_up(view))
        except NoriaError:  # a lake that holds nothing yet
            weeks = []
        if not weeks:
            paragraph(words("recommend.nothing_shown"), "soft")
            return
        draw(weeks, len(app.items), words)


def looked_up(view: View) -> list[Week]:
    """Return what the lake tells of the last weeks."""
    from datetime import timedelta

    from noria.grow.changes.use import day_before
    from noria.grow.log.lake import events
    from noria.grow.log.zones import local_calendar
    from noria.grow.promote.by_week import shown_by_week

    calendar = local_calendar(**view.state.days)
    table = events(view.state.lake)
    try:
        today = day_before(view.state.meter.now(), calendar) + timedelta(days=1)
        return shown_by_week(table, calendar, today)
    finally:
        table.get_backend().disconnect()


def draw(weeks: list[Week], offered: int, words: Words) -> None:
    """Show the weeks: coverage as bars, for it is counted; lift as a course or as dots with intervals; and a table of both."""
    from noria.grow.promote.by_week import coverage

    names = {week.begins: week.begins.strftime("%m-%d") for week in weeks}
    covered = coverage(weeks, offered)
    with ui.element("div").classes("columns"):
        with ui.element("div"):
            block(f"<h3>{escape(words('recommend.coverage'))}</h3>")
            values = [round(100 * covered[week.begins], 1) for week in weeks]
            options = charts.bars(list(names.values()), {words("recommend.coverage"): values}, y="%")
            options["yAxis"].update(min=0, max=100)
            charts.show(options, words("recommend.coverage"))
        with ui.element("div"):
            block(f"<h3>{escape(words('recommend.lift'))}</h3>")
            known = [(names[week.begins], week.lift) for week in weeks if week.lift is not None]
            if known:
                options = charts.base(y=words("recommend.points"))
                options["xAxis"].update(type="category", data=list(names.values()))
                options["series"] = charts.course(words("recommend.lift"), known, shaded=True)
                charts.show(options, words("recommend.lift"))
            else:
                paragraph(words("recommend.no_lift"), "soft")
    paragraph(words("recommend.lift_is"), "small soft")
    block(table_html(weeks, offered, words), "scroll-x")


def table_html(weeks: list[Week], offered: int, words: Words) -> str:
    """Return the weeks as a table."""
    from noria.grow.promote.by_week import coverage

    covered = coverage(weeks, offered)
    heads = "".join(
        f'<th class="{"" if name == "week" else "number"}">{escape(words(f"recommend.head.{name}"))}</th>'
        for name in ("week", "users", "shown", "coverage", "lift")
    )
    rows = []
    for week in weeks:
        lift = "–"
        if week.lift is not None and week.lift.low is not None and week.lift.high is not None:
            low, high = 100 * week.lift.low, 100 * week.lift.high
            lift = f"{100 * week.lift.value:+.1f} [{low:+.1f}, {high:+.1f}] n = {week.lift.n:,}"
        rows.append(
            f'<tr><td>{week.begins}</td><td class="number">{week.users:,}</td><td class="number">{week.shown:,}</td>'
            f'<td class="number">{100 * covered[week.begins]:.1f} %</td><td class="number">{lift}</td></tr>'
        )
    return f'<table class="plain"><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
