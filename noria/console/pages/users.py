"""Users: who is active, growth accounting that reconciles, the retention triangle; of this server and of the run's log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

from nicegui import ui

from noria.console import charts, records
from noria.console.figures import figures
from noria.console.shell import View, block, card, empty, foreign, paragraph, worked_out
from noria.console.words import Words
from noria.core.errors import InputError
from noria.core.figure import Figure
from noria.core.messages import Message, message
from noria.grow.log.log import Log
from noria.grow.log.user_days import NO_SEGMENT
from noria.grow.report.charts.chart import Chart, localised
from noria.grow.usage import Usage
from noria.grow.users.activity import Growth, Period
from noria.grow.users.holdout import HoldOut
from noria.grow.users.retention import Retention

UNTIL, WEEKS = date(1997, 9, 30), 39
"""The lifetime model sees the first half of the log, as the literature on this log does, and forecasts the second."""
COHORTS = 13
"""Cohorts shown in the triangle: the latest ones, as many as fit a screen."""


@dataclass(frozen=True)
class Use:
    """One log, counted."""

    title: str
    """Key of its name."""
    source: str
    licence: str
    first: str
    last: str
    days: Message
    """Whose days they are."""
    unit: Period
    headline: tuple[Figure, ...]
    growth: Growth
    retention: Retention
    lifetime: HoldOut | None = None
    """A forecast of later acts beside what came; empty where the log is too short."""
    usage: Usage | None = None
    """What the server's events say beyond their users."""
    habits: tuple[Figure, ...] = ()
    """From the first act to money, power users, needs, and how long users stay."""
    drawn: tuple[Chart, ...] = ()
    """The same charts as in the report."""
    silent: tuple[str, ...] = ()
    """Steps from the first act to money that the log does not tell of."""


async def show(view: View) -> None:
    """Draw the page: the server's own users, and those of the purchase log where the run has analysed it."""
    analysed = "grow" in records.stages(view.root)
    uses = await worked_out(view.words, lambda: _uses(view.state.lake, analysed, view.state.days))
    if not uses:
        if view.state.configuration is None:
            empty(view.words, "users.empty", "noria demo")
        else:  # a team's own server: its users come with its requests, or with a log of before
            empty(view.words, "users.empty_served", "noria grow users log.csv")
        return
    with ui.tabs().props('align="left" no-caps') as tabs:
        for use in uses:
            ui.tab(use.title, label=view.words(use.title))
    with ui.tab_panels(tabs, value=uses[-1].title).props("animated=false"):
        for use in uses:
            with ui.tab_panel(use.title), ui.element("div").classes("stack").style("padding-top: 16px"):
                _use(view.words, use)


def _uses(lake: Path, analysed: bool, days: Mapping[str, Any]) -> list[Use]:
    served = served_use(lake, days)
    return [use for use in (served, purchases() if analysed else None) if use]


def served_use(lake: Path, days: Mapping[str, Any] | None = None) -> Use | None:
    """Return the use of the server itself, by the days, weeks and months that `local_calendar` takes, or None where nobody has used it yet."""
    from noria.grow.log.lake import events
    from noria.grow.log.read import log_of_events
    from noria.grow.log.zones import local_calendar
    from noria.grow.usage import usage

    calendar = local_calendar(**(days or {}))
    try:
        table = events(lake)
        return replace(counted("users.server", log_of_events(table, calendar=calendar)), usage=usage(table))
    except InputError:
        return None


@lru_cache(maxsize=1)
def purchases() -> Use:
    """Return the use in the CDNOW log, counted once in the life of the server: the log does not change."""
    from noria.grow.bundled import cdnow
    from noria.grow.users.holdout import hold_out

    log = cdnow()
    return replace(counted("users.purchases", log), lifetime=hold_out(log, UNTIL, WEEKS))


def counted(title: str, log: Log) -> Use:
    """Return a log's growth and retention by the period that shows it best."""
    from noria.grow.users.activity import growth
    from noria.grow.users.retention import retention

    days = (log.as_of - log.first).days + 1
    unit: Period = "day" if days <= 60 else "week" if days <= 300 else "month"
    grown, kept = growth(log, unit), retention(log, unit)
    rows = grown.segment()
    last = next((row for row in reversed(rows) if row.complete), rows[-1])
    headline = [
        Figure("users in all", log.users, log.users, source=log.source),
        Figure(message("figures.active_users", period=last.period), last.active, log.users, source=log.source),
        Figure(message("figures.new_users", period=last.period), last.new, last.active, source=log.source),
    ]
    headline += [replace(point, name=message("figures.retention", age=point.name)) for point in kept.curve()[1:2]]
    habits, drawn, silent = _habits(log, unit)
    return Use(
        title,
        log.source,
        log.licence,
        log.first.isoformat(),
        log.as_of.isoformat(),
        log.calendar.text(),
        unit,
        tuple(headline),
        grown,
        kept,
        habits=habits,
        drawn=drawn,
        silent=silent,
    )


def _habits(log: Log, unit: Period) -> tuple[tuple[Figure, ...], tuple[Chart, ...], tuple[str, ...]]:
    from noria.grow.report.charts.habits import kinds_chart, power_chart, survival_chart
    from noria.grow.users.journey import journey
    from noria.grow.users.needs import needs
    from noria.grow.users.power import power
    from noria.grow.users.retention import KINDS, retention
    from noria.grow.users.survival import survival

    way, often = journey(log, unit), power(log)
    figures = [*way.figures(), *often.figures()]
    drawn = [power_chart(often)] if often.habit else []
    kinds = [retention(log, unit, kind) for kind in KINDS]
    if any(len(kept.curve()) > 2 for kept in kinds):
        drawn.append(kinds_chart(kinds))
    try:
        lived = survival(log)
        figures += [figure for figure in (lived.at(min(180, lived.longest)), lived.median()) if figure]
        drawn.append(survival_chart(lived))
    except InputError:
        pass  # too short a log to see anyone lapse
    figures += [need.asked for need in needs(log)[:6] if need.topic != NO_SEGMENT]
    return tuple(figures), tuple(drawn), tuple(way.silence)


def _use(words: Words, use: Use) -> None:
    figures(use.headline, words)
    with card(words("users.accounting")):
        charts.show(accounting_chart(use.growth, words), words("users.accounting"))
        rows, defects = use.growth.segment(), use.growth.defects()
        if defects:
            block(
                f'<div class="note warn" role="alert">{escape(words("users.broken", count=len(defects)))} {foreign(defects[0])}</div>'
            )
        else:
            block(
                f'<div class="note" data-check="reconciles">{escape(words("users.reconciles", count=len(rows)))}</div>'
            )
        block(
            f'<div class="chart-foot">{escape(words("users.span", first=use.first, last=use.last, days=use.days[words.language]))} '
            f"{escape(words('figure.source'))}{foreign(words.phrase(use.source))}</div>"
        )
    if use.usage:
        _served(words, use.usage)
    if use.lifetime:
        with card(words("users.lifetime")):
            held = use.lifetime
            paragraph(
                words("users.lifetime.lead", model=held.chosen, until=UNTIL.isoformat(), weeks=WEEKS), "small soft"
            )
            figures(held.figures(), words)
            block(f'<div class="note" data-check="lifetime">{escape(held.verdict()[words.language])}</div>')
    with card(words("users.habits")):
        paragraph(words("users.habits.lead"), "small soft")
        figures(use.habits, words)
        if use.silent:
            told = (", ", "、")[words.language == "zh"].join(words(f"users.step.{step}") for step in use.silent)
            paragraph(words("users.silent", what=told), "small soft")
        for chart in use.drawn:
            block(f"<h3>{escape(chart.title[words.language])}</h3>")
            charts.show(localised(chart.options, words.language), chart.title[words.language])
            paragraph(chart.meaning[words.language], "small soft")
    with card(words("users.retention")):
        paragraph(words(f"users.cohorts.{use.unit}"), "small soft")
        block(triangle_html(use.retention, words), "scroll-x")


def _served(words: Words, usage: Usage) -> None:
    with card():
        told = words("users.events", events=f"{usage.events:,}", requests=f"{usage.requests:,}")
        block(f'<h2>{escape(words("users.use"))}</h2><span class="soft">{escape(told)}</span>', "card-head")
        with ui.element("div").classes("thirds"):
            for key, found in (("by_app", usage.apps), ("by_model", usage.models), ("latency", usage.latency_ms)):
                if not found:
                    continue
                with ui.element("div"):
                    block(f"<h3>{escape(words(f'users.{key}'))}</h3>")
                    figures(found, words, rows=True)


def accounting_chart(growth: Growth, words: Words) -> charts.Options:
    """Return stacked bars of who was retained, came back and came new, above those who left."""
    rows = growth.segment()
    names = {key: words(f"users.{key}") for key in ("retained", "resurrected", "new", "churned")}
    series = {
        names["retained"]: [row.retained for row in rows],
        names["resurrected"]: [row.resurrected for row in rows],
        names["new"]: [row.new for row in rows],
        names["churned"]: [-row.churned for row in rows],
    }
    colours = dict(zip(names.values(), ("#12748c", "#8cc3cd", "#4f8a3c", "#c9896f"), strict=True))
    labels = [row.name if growth.unit == "month" else row.period for row in rows]
    options = charts.bars(labels, series, y=words("users.users"), stacked=True, colours=colours)
    options["yAxis"]["minInterval"] = 1
    return options


def triangle_html(retention: Retention, words: Words) -> str:
    """Return the triangle: one line a cohort, one column an age, the darker the more came back."""
    cohorts = [(name, row) for name, row in retention.counts.items() if row and row[0]][-COHORTS:]
    names = dict(zip(retention.counts, retention.names, strict=True))
    ages = max((len(row) for _, row in cohorts), default=0)
    head = "".join(f"<th>{age}</th>" for age in range(min(ages, COHORTS)))
    # The first column is all of them, by definition: the shades are for what comes after it.
    most = max((row[age] / row[0] for _, row in cohorts for age in range(1, len(row))), default=1.0) or 1.0
    lines = []
    for name, row in cohorts:
        label = names[name] if retention.unit == "month" else name
        cells = []
        for age in range(min(ages, COHORTS)):
            if age >= len(row):
                cells.append("<td></td>")
                continue
            share = row[age] / row[0]
            shade = 0.0 if age == 0 else 0.05 + 0.65 * share / most
            cells.append(
                f'<td style="background: rgba(18,116,140,{shade:.2f})" title="{row[age]:,} / {row[0]:,}">{share:.0%}</td>'
            )
        lines.append(f"<tr><th>{label}</th><td>{row[0]:,}</td>{''.join(cells)}</tr>")
    return (
        f'<table class="triangle"><thead><tr><th>{escape(words("users.cohort"))}</th><th>{escape(words("users.users"))}</th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )
