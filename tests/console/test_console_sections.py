"""The report's sections on a page: figures in percent with their proof, tables escaped, data marked as data."""

from __future__ import annotations

from pathlib import Path

from noria.console.pages.market import moved, served
from noria.console.sections import figure_of, shown_html, table_html
from noria.console.words import Words
from noria.core.figure import Figure
from noria.core.messages import as_is, message
from noria.grow.report.page import Shown, Table

EN, ZH = Words("en"), Words("zh")
SHOWN = Shown(
    Figure("part", 0.0867, 12, 0.08, 0.09, source="StatCounter"),
    message("shares.column.share"),
    as_is("In March."),
    percent=True,
    licence="CC0",
    as_of="2026-03-31",
)


def test_a_part_is_shown_as_percent_with_its_source() -> None:
    figure = figure_of(SHOWN, ZH)
    assert (figure.name, figure.unit, figure.value) == ("份额", "%", 8.67)
    assert figure.source == "StatCounter（CC0），截至 2026-03-31"
    html = shown_html(SHOWN, EN)
    for part in ("8.670%", "n = 12", "StatCounter (CC0), as of 2026-03-31", "In March."):
        assert part in html


def test_a_table_is_escaped_and_data_are_marked() -> None:
    nasty = "<img src=x>"
    table = Table(
        as_is("t"),
        [message("report.column.name"), message("users.column.value")],
        [[as_is(nasty), 1.5], [nasty, None]],
        nasty,
    )
    html = table_html(table, ZH)
    assert "<img" not in html
    assert "名称" in html
    assert html.count('translate="no"') == 3
    assert "–" in html


def test_a_server_without_events_shows_the_market_alone(tmp_path: Path) -> None:
    assert served(tmp_path) == []
    assert moved().tables
