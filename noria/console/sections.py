"""A section of the report drawn on a page: the same figures, charts and notes, from the same functions."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import Any

from nicegui import ui

from noria.core.figure import Figure
from noria.grow.charts.chart import Chart, Text, localised
from noria.grow.report import Section, Shown

from . import charts
from .figures import figures
from .shell import block, card, foreign, paragraph
from .words import Words


def draw(section: Section, words: Words) -> None:
    """Draw a section: what it says, its figures, and its charts, two a row where there is room."""
    with card(section.title[words.language]):
        if section.text:
            paragraph(section.text[words.language], "soft").props('translate="no"')
        for note in section.notes:
            block(f'<div class="note">{foreign(note[words.language])}</div>')
    figures([figure_of(shown, words) for shown in section.figures], words)
    with ui.element("div").classes("columns"):
        for chart in section.charts:
            with card(chart.title[words.language]):
                draw_chart(chart, words)


def draw_chart(chart: Chart, words: Words) -> None:
    """Draw a chart with the sentence that says what it means, and its source."""
    options: dict[str, Any] = localised(chart.options, words.language)
    charts.show(options, chart.title[words.language])
    paragraph(chart.meaning[words.language], "small soft").props('translate="no"')
    block(
        f'<div class="chart-foot">{escape(words("figure.source"))}{foreign(words.phrase(_text(chart.source, words)))}</div>'
    )


def figure_of(shown: Shown, words: Words) -> Figure:
    """Return a report's figure as the console shows it: name, unit and source in one language."""
    figure, scale = shown.figure, 100 if shown.percent else 1
    low, high = (None if end is None else scale * end for end in (figure.low, figure.high))
    unit = "%" if shown.percent else shown.unit[words.language] if shown.unit else figure.unit
    source = _text(shown.source, words) if shown.source else figure.source
    return replace(
        figure,
        name=shown.name[words.language],
        value=scale * figure.value,
        low=low,
        high=high,
        unit=unit,
        source=source,
    )


def _text(text: str | Text, words: Words) -> str:
    return text if isinstance(text, str) else text[words.language]
