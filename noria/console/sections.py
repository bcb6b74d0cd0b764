"""A section of the report on a page: the same figures, charts, tables and notes, drawn by the same functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape

from nicegui import ui

from noria.core.figure import Figure, number
from noria.core.messages import Message
from noria.grow.report.charts.chart import Text, cited_data, localised
from noria.grow.report.page import Section, Shown, Table

from . import charts
from .figures import figure_html
from .shell import block, card, foreign, paragraph
from .words import Words


def show_section(section: Section, words: Words) -> None:
    """Draw one section as a card."""
    language = words.language
    with card(section.title[language]):
        if section.text:
            paragraph(section.text[language], "small soft")
        for note in section.notes:
            block(f'<div class="note">{_plain(note, words)}</div>')
        if section.figures:
            body = "".join(shown_html(shown, words) for shown in section.figures)
            ui.html(body, sanitize=False).classes("figures")
        for chart in section.charts:
            block(f"<h3>{_plain(chart.title, words)}</h3>")
            options = localised(chart.options, language)
            options["legend"] = {**options.get("legend", {}), "type": "scroll", "left": 0}
            options["textStyle"] = {"fontFamily": charts.FONT}
            charts.show(options, chart.title[language])
            paragraph(chart.meaning[language], "small soft")
            block(f'<div class="chart-foot">{escape(words("figure.source"))}{_cited(chart.source, words)}</div>')
        for table in section.tables:
            block(f"<h3>{_plain(table.title, words)}</h3>")
            block(table_html(table, words), "scroll-x")


def shown_html(shown: Shown, words: Words) -> str:
    """Return one figure with what it means."""
    meaning = f'<p class="small soft">{_plain(shown.meaning, words)}</p>'
    return f"<div>{figure_html(figure_of(shown, words), words)}{meaning}</div>"


def figure_of(shown: Shown, words: Words) -> Figure:
    """Return a shown figure in the page's language, with licence and day in its source, and a part of one as percent."""
    figure, language = shown.figure, words.language
    source = cited_data(shown.source or figure.source, shown.licence, shown.as_of, "")[language]
    unit = shown.unit[language] if shown.unit else figure.unit
    scale = 100.0 if shown.percent else 1.0
    low, high, baseline = (None if end is None else end * scale for end in (figure.low, figure.high, figure.baseline))
    return replace(
        figure,
        name=shown.name[language],
        value=figure.value * scale,
        low=low,
        high=high,
        baseline=baseline,
        source=source,
        unit="%" if shown.percent else unit,
        note="",
    )


def table_html(table: Table, words: Words) -> str:
    """Return a table; what reads the same in both languages is data, and stays as it is."""
    columns = [_plain(column, words) for column in table.columns]
    worded = [not place or any(isinstance(row[place], Message) for row in table.rows) for place in range(len(columns))]
    head = "".join(
        f'<th class="{"" if left else "number"}">{name}</th>' for name, left in zip(columns, worded, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(_cell(cell, words, left) for cell, left in zip(row, worded, strict=True)) + "</tr>"
        for row in table.rows
    )
    foot = (
        f'<div class="chart-foot">{escape(words("figure.source"))}{_cited(table.source, words)}</div>'
        if table.source
        else ""
    )
    return f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{foot}'


def _cell(cell: str | float | Text | None, words: Words, left: bool) -> str:
    """Return one cell; a column of words stands left, one of numbers right."""
    if isinstance(cell, Message):
        text = _plain(cell, words)
    else:
        text = "–" if cell is None else foreign(cell) if isinstance(cell, str) else escape(number(cell))
    return f"<td>{text}</td>" if left else f'<td class="number">{text}</td>'


def _plain(text: Text, words: Words) -> str:
    """Return a text in the page's language, escaped; one that is the same in both is marked as data."""
    return foreign(text) if text == text["zh"] else escape(text[words.language])


def _cited(source: str | Text, words: Words) -> str:
    return foreign(source[words.language] if isinstance(source, Message) else source)


def show_all(sections: Sequence[Section], words: Words) -> None:
    """Draw several sections, one card each."""
    for section in sections:
        show_section(section, words)
