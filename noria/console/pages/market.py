"""Market: shares over time, concentration, forecasts of shares and of users with intervals, and their back-tests against persistence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

from nicegui import ui

import noria
from noria.console import charts
from noria.console.figures import figures
from noria.console.sections import show_all, show_section, table_html
from noria.console.shell import View, block, card, foreign, paragraph, worked_out
from noria.console.words import Words
from noria.core.errors import InputError, NoriaError, SettingError
from noria.core.figure import Figure
from noria.core.messages import message
from noria.core.settings import read_toml
from noria.grow.analysis import MarketStudy
from noria.grow.forecast.names import NAMES
from noria.grow.forecast.shares.attraction import ShareForecast
from noria.grow.forecast.study import LevelStudy
from noria.grow.market.share import Shares, concentration
from noria.grow.market.study import Movement
from noria.grow.report.page import Section

HORIZON = 6
"""Months ahead that the forecast looks."""
LEVEL = 0.9
MOST_LINES = 6
FILE = "forecast.toml"
"""In the folder of the run: names series and what is forecast of each."""
EXAMPLE = """[makers]
series = "makers.csv"
of = "rivals"
take = ["A", "B"]

[systems]
series = "systems.csv"
of = "generations"
launch = ["Windows XP=2001-10"]

[phones]
series = "sales.csv"
of = "flow"
measure = "sales"
effort = ["price"]"""


async def show(view: View) -> None:
    """Draw the page for the bundled market series."""
    words = view.words
    study = await worked_out(words, chatbots)
    figures(headline(study.market), words)
    with card(words("market.share")):
        charts.show(share_chart(study, words), words("market.share"), tall=True)
        _foot(words, study.market)
        _flags(words, study.market)
    with ui.element("div").classes("columns"):
        with card(words("market.forecast")):
            _forecast(words, study)
        with ui.element("div").classes("stack"), card(words("market.concentration")):
            charts.show(concentration_chart(study.market), words("market.concentration"))
            _foot(words, study.market)
    from noria.grow.report.sections.forecast import forecast_section, standings_table

    if study.backtest:
        with card(words("market.backtest")):
            block(f'<div class="note" data-check="backtest">{escape(study.backtest.verdict()[words.language])}</div>')
            paragraph(words("market.backtest.foot"), "small soft")
            block(table_html(standings_table(study.backtest, study.market.provenance.text()), words), "scroll-x")
    show_section(forecast_section(await worked_out(words, buyers)), words)
    await _further(view)
    show_all(await worked_out(words, lambda: [moved(), *served(view.state.lake, view.state.days)]), words)


async def _further(view: View) -> None:
    """Draw the forecasts that the run's own file asks for, of rivals, generations, flows and all else; say how where there is none."""
    words, file = view.words, view.root / FILE
    if not file.exists():
        block(
            f'<div class="note" data-check="ahead">{escape(words("market.ahead"))} <code translate="no">{FILE}</code>'
            f'<pre translate="no">{escape(EXAMPLE)}</pre></div>'
        )
        return
    for part in await worked_out(words, lambda: asked_ahead(file)):
        if isinstance(part, Section):
            show_section(part, words)
            continue
        name, error = part
        with card(f"{FILE}: {name}"):
            block(f'<div class="note" data-check="ahead-error">{escape(error.text(words.language))}</div>')


def asked_ahead(file: Path) -> list[Section | tuple[str, NoriaError]]:
    """Return a section for each table of a TOML file that names a series and what to forecast, or why there is none.

    A table's keys are the settings of `noria grow forecast` and `series`, a file beside it; made anew where a file has changed.
    """
    try:
        document = read_toml(file)
    except NoriaError as error:
        return [("", error)]
    found: list[Section | tuple[str, NoriaError]] = []
    for name, values in document.items():
        try:
            if not isinstance(values, dict) or not isinstance(values.get("series"), str):
                raise SettingError(message("grow.ahead_table", name=name), allowed='series = "FILE"')
            series = file.parent / values["series"]
            changed = series.stat().st_mtime if series.exists() else 0.0
            given = json.dumps({key: value for key, value in values.items() if key != "series"}, default=str)
            found.append(replace(forecast_of(series, changed, given), key=f"ahead-{len(found)}"))
        except NoriaError as error:
            found.append((name, error))
    return found


@lru_cache(maxsize=32)
def forecast_of(series: Path, changed: float, given: str) -> Section:
    """Return the section of one forecast; `given` is its settings as JSON.

    Raises:
        NoriaError: as `noria.forecast`.
    """
    from noria.grow.report.sections.joint import outcome_section

    return outcome_section(noria.forecast(series, **json.loads(given)).study)


@lru_cache(maxsize=1)
def moved() -> Section:
    """Return what moved the bundled chatbot shares, made once in the life of the server."""
    from noria.grow.report.sections.shares import movement_section

    found: Movement = noria.share(decompose=True).study.movement
    return movement_section(found.market, found.decomposition, found.parts)


def served(lake: Path, days: Mapping[str, Any] | None = None) -> list[Section]:
    """Return the server's own market by the days of a zone; nothing where there is no lake yet."""
    from noria.grow.log.lake import events
    from noria.grow.log.zones import local_calendar
    from noria.grow.report.sections.own import own_sections

    calendar = local_calendar(**(days or {}))
    try:
        return own_sections(events(lake), calendar=calendar)
    except InputError:
        return []


@lru_cache(maxsize=1)
def chatbots() -> MarketStudy:
    """Return the study of the bundled chatbot shares, made once in the life of the server.

    The forecast is that of the model which the back-test lets win.
    """
    study: MarketStudy = noria.forecast(horizon=HORIZON).study.study
    return study


@lru_cache(maxsize=1)
def buyers() -> LevelStudy:
    """Return the forecast of the bundled log's active users, made once in the life of the server."""
    study: LevelStudy = noria.forecast(of="users", period="month", horizon=HORIZON).study.study
    return study


def headline(market: Shares) -> list[Figure]:
    """Return the leader's and the second's share, and how concentrated the market is."""
    known = [item for item in concentration(market) if item.hhi is not None]
    found = market.latest()[:2]
    if known:
        last = known[-1]
        assert last.hhi is not None
        found.append(
            Figure(
                f"HHI {last.time}",
                last.hhi,
                len(market.entities),
                last.hhi,
                last.hhi_high,
                source=market.provenance.text(),
                level=1.0,
            )
        )
    return found


def share_chart(study: MarketStudy, words: Words) -> charts.Options:
    """Return the shares so far as lines, and ahead, where there is a forecast, as dashed medians within shaded intervals."""
    market, forecast = study.market, study.forecast
    names = list(market.entities[:MOST_LINES])
    options = charts.base(y=words("market.percent"), legend=[words.phrase(name) for name in names], percent=True)
    options["xAxis"].update(
        type="category", data=[*market.times, *(forecast.times if forecast else ())], boundaryGap=False
    )
    for column, name in enumerate(names):
        past = [
            [time, _percent(value)]
            for time, value in zip(market.times, market.values[:, column], strict=True)
            if value == value
        ]
        options["series"].append(charts.line(words.phrase(name), past, column))
        if forecast:
            options["series"] += _ahead(forecast, column, words.phrase(name), past[-1])
    return options


def _ahead(forecast: ShareForecast, column: int, label: str, last: list[Any]) -> list[charts.Options]:
    low, high = (side[:, column] for side in forecast.interval(LEVEL))
    middle = forecast.median()[:, column]
    steps = range(len(forecast.times))
    path = [last, *([forecast.times[step], _percent(middle[step])] for step in steps)]
    spread = [
        [last[0], last[1], last[1]],
        *([forecast.times[step], _percent(low[step]), _percent(high[step])] for step in steps),
    ]
    return [charts.line(label, path, column, dashed=True), *charts.band(label, spread, column)]


def concentration_chart(market: Shares) -> charts.Options:
    """Return the HHI over time, as a band: between the rest being many sellers, and being one."""
    known = [item for item in concentration(market) if item.hhi is not None and item.hhi_high is not None]
    options = charts.base(y="HHI")
    options["xAxis"].update(type="category", data=[item.time for item in known], boundaryGap=False)
    options["yAxis"]["scale"] = True
    options["series"] = [
        charts.line("HHI", [[item.time, round(item.hhi or 0)] for item in known], 0),
        *charts.band("HHI", [[item.time, item.hhi, item.hhi_high] for item in known], 0),
    ]
    return options


def _forecast(words: Words, study: MarketStudy) -> None:
    if study.forecast is None:
        paragraph(study.silence, "soft")
        return
    paragraph(words("market.forecast.lead", horizon=HORIZON, model=NAMES[study.model][words.language]), "small soft")
    figures(study.forecast.figures(len(study.market.times), LEVEL), words, rows=True)


def _flags(words: Words, market: Shares) -> None:
    if market.flags:
        items = "".join(
            f"<li><b>{escape(flag.time)}</b> {escape(flag.what[words.language])}</li>" for flag in market.flags
        )
        block(
            f'<details><summary class="small">{escape(words("market.flags", count=len(market.flags)))}</summary><ul class="texts">{items}</ul></details>'
        )


def _foot(words: Words, market: Shares) -> None:
    block(
        f'<div class="chart-foot">n = {len(market.times)} · {escape(words("figure.source"))}{foreign(market.provenance.text()[words.language])}</div>'
    )


def _percent(share: float) -> float:
    return round(100 * float(share), 2)
