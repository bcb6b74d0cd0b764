"""One self-contained HTML page: what changed, a card a section, then all figures with their proof, in English and Chinese.

    write_report("report.html", [Section("users", message("users.users_2.title"), charts=[growth_chart(growth)])])

A page of more than `WHOLE` sections begins with a card of each, which holds its first figures and its first chart; the rest of it stands in
the appendix, to which the card leads. So what must be read is a few screens, however much there is to look up.

The page needs no network and no second file: it carries its styles, its charts' data and the chart library. Every figure
shows n, its interval, its source with licence and as-of date, and one sentence that says what it means. A switch changes
the language; text stands in the page in both, so it reads and prints without a script too (charts apart).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from importlib import metadata, resources
from pathlib import Path
from typing import Literal

from noria import __version__
from noria.core.errors import PackageError
from noria.core.figure import Figure, number
from noria.core.folder import write_bytes
from noria.core.messages import Message, message
from noria.grow.changes.finding import Finding

from .charts.chart import Chart, Text, cited_data, in_both

Wing = Literal["build", "ship", "grow"]
NAME = 24
"""Characters up to which a cell that reads the same in every language is a name."""
WHOLE = 2
"""Sections up to which a page has no cards: each stands whole."""
FIGURES = 3
"""Figures of a card."""
CHARTS, MANY = 8, 10
"""Cards that hold a chart, and sections above which half as many do: with more of them the page would be longer than anybody reads."""
NOTE = 260
"""Characters up to which a section's first note stands in its card."""
CHART_PIXELS = 210
"""Height of a chart in a card."""


@dataclass(frozen=True)
class Shown:
    """A figure with what a reader needs beside it."""

    figure: Figure
    name: Text
    meaning: Text
    """One sentence."""
    percent: bool = False
    """Show the value, a part of one, as percent."""
    licence: str = ""
    as_of: str = ""
    """The day the figure's source stood as it is here."""
    unit: Text | None = None
    """The figure's unit, where it reads differently in the two languages."""
    source: Text | None = None
    """The figure's source, likewise."""


@dataclass(frozen=True)
class Table:
    """A table; a cell is a number, a text in both languages, or a text that is the same in both."""

    title: Text
    columns: Sequence[Text]
    rows: Sequence[Sequence[str | float | Text | None]]
    source: str | Text = ""


@dataclass(frozen=True)
class Section:
    """One part of the page."""

    key: str
    """Anchor of the section, unique in the page."""
    title: Text
    text: Text | None = None
    figures: Sequence[Shown] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[Text] = ()
    """What a reader must know before believing the figures."""
    wing: Wing = "grow"


def write_report(
    target: str | Path,
    sections: Sequence[Section],
    *,
    findings: Sequence[Finding] = (),
    title: Text | None = None,
    lead: Text | None = None,
    now: datetime | None = None,
) -> Path:
    """Write the page whole or not at all, and return its path.

    Args:
        target: where to.
        sections: what stands in it, in this order.
        findings: the sentences that it begins with.
        title: of the page.
        lead: below the title.
        now: when it is made.

    Raises:
        PackageError: the package that brings the chart library is missing.
        ResourceError: the disk is full or cannot be written.
    """
    target = Path(target)
    title = title or message("report.title")
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    charts = [chart for section in sections for chart in section.charts]
    links = "".join(f'<li><a href="#{escape(section.key)}">{_both(section.title)}</a></li>' for section in sections)
    if len(sections) <= WHOLE:
        body = "".join(_section(section, charts) for section in sections)
    else:
        most = CHARTS if len(sections) <= MANY else CHARTS // 2
        drawn = [section.charts[0] for section in sections if section.charts][:most]
        cards = "".join(_card(section, charts, drawn) for section in sections)
        whole = "".join(_section(section, charts, drawn, back=True) for section in sections)
        body = (
            f'<div class="cards">{cards}</div><h2 class="appendix" id="appendix">{_both(message("report.appendix"))}</h2>'
            f"{whole}"
        )
        links += f'<li><a href="#appendix">{_both(message("report.appendix"))}</a></li>'
    made = message("report.made", moment=moment, version=__version__)
    page = f"""<!doctype html>
<html lang="en" data-language="en" data-title-en="{escape(title)}" data-title-zh="{escape(title["zh"])}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">
<title>{escape(title)}</title>
<style>{_asset("report.css")}</style>
</head>
<body>
<header class="top"><div><h1>{_both(title)}</h1>{_paragraph(lead) if lead else ""}<p>{_both(made)}</p></div>
<button class="language" type="button"><span lang="en">中文</span><span lang="zh">English</span></button></header>
<nav><ul>{links}</ul></nav>
<main>{_findings(findings, sections)}{body}</main>
<footer><p>{_both(message("report.foot"))}</p>
<p>{_both(message("report.charts_by"))}</p></footer>
<script type="application/json" id="charts">{_json([in_both(chart.options) for chart in charts])}</script>
<script type="module">{echarts_module()}</script>
<script type="module">{_asset("report.js")}</script>
</body>
</html>
"""
    write_bytes(target, page.encode())
    return target


def _findings(found: Sequence[Finding], sections: Sequence[Section]) -> str:
    """Return the sentences; each leads to the section that shows more of it, where there is one."""
    keys = {section.key for section in sections}
    items = []
    for one in found:
        target = next((key for key in _SHOWN_IN.get(one.place, ()) if key in keys), "")
        do = f'<a href="#{target}">{_both(one.do)}</a>' if target else _both(one.do)
        mark = f' <span class="mark">{_both(one.simulated)}</span>' if one.simulated else ""
        evidence = f'<p class="source">{_both(one.evidence)}</p>' if one.evidence else ""
        items.append(f'<li class="{one.tone}"><p>{_both(one.sentence)}{mark}</p><p class="do">{do}</p>{evidence}</li>')
    return f'<ol class="findings">{"".join(items)}</ol>' if items else ""


_SHOWN_IN = {
    "users": ("users",),
    "health": ("usage",),
    "proposals": ("usage",),
    "service": ("usage",),
    "recommend": ("usage",),
    "promote": ("plan", "users"),
    "market": ("movement", "market"),
}
"""Place of a finding -> the sections that show more of it, the best first."""


def _card(section: Section, charts: Sequence[Chart], drawn: Sequence[Chart]) -> str:
    """Return a section's title, lead (of a wide one) and first note, its first figures with what they rest on, its first chart, and the way to the rest."""
    key = escape(section.key)
    own = [chart for chart in section.charts[:1] if any(chart is one for one in drawn)]
    parts = [f'<section id="{key}" class="{"wide " if own else ""}{section.wing}"><h2>{_both(section.title)}</h2>']
    if section.text and (own or not section.figures):
        parts.append(f'<p class="lead">{_both(section.text)}</p>')
    parts += [f'<p class="note">{_both(note)}</p>' for note in section.notes[:1] if len(note) <= NOTE]
    some = section.figures[:FIGURES]
    sources = [_source(shown.source or shown.figure.source, shown.licence, shown.as_of) for shown in some]
    shared = sources[0] if len(set(sources)) == 1 else ""
    if some:
        tiles = [_tile(shown, "" if shared else source) for shown, source in zip(some, sources, strict=True)]
        parts.append(f'<div class="tiles">{"".join(tiles)}</div>{shared}')
    parts += [_plot(chart, charts, CHART_PIXELS) for chart in own]
    parts.append(f'<p class="more"><a href="#{key}-all">{_both(message("report.all"))}</a></p></section>\n')
    return "".join(parts)


def _tile(shown: Shown, source: str) -> str:
    """Return a figure in short: value, interval, n; what it means stands in the appendix."""
    interval, small = _proof(shown)
    return (
        f'<div class="tile"><div class="name">{_both(shown.name)}</div><div class="value">{_form(shown.figure.value, shown.percent)}{small}</div>'
        f'<div class="interval">{interval} · n={shown.figure.n:,}</div>{source}</div>'
    )


def _section(section: Section, charts: Sequence[Chart], drawn: Sequence[Chart] = (), *, back: bool = False) -> str:
    """Return all of a section but the charts that its card has drawn."""
    key = escape(section.key)
    up = f' <a class="back" href="#{key}" aria-label="{escape(section.title)}">↑</a>' if back else ""
    title = f"<h2>{_both(section.title)}{up}</h2>"
    parts = [f'<section id="{key}{"-all" if back else ""}" class="{section.wing}">{title}']
    if section.text:
        parts.append(_paragraph(section.text))
    parts += [f'<p class="note">{_both(note)}</p>' for note in section.notes]
    if section.figures:
        parts.append('<div class="figures">' + "".join(_figure(shown) for shown in section.figures) + "</div>")
    parts += [_plot(chart, charts) for chart in section.charts if not any(chart is one for one in drawn)]
    parts += [_table(table) for table in section.tables]
    return "".join(parts) + "</section>\n"


def _plot(chart: Chart, charts: Sequence[Chart], height: int = 0) -> str:
    place = next(index for index, other in enumerate(charts) if other is chart)
    return (
        f'<div class="plot"><h3>{_both(chart.title)}</h3>{_paragraph(chart.meaning)}'
        f'<div class="chart" data-chart="{place}" style="height:{height or chart.height}px"></div>'
        f"{_source(chart.source)}</div>"
    )


def _proof(shown: Shown) -> tuple[str, str]:
    """Return the interval of a figure, and its unit, as HTML."""
    figure = shown.figure
    unit = shown.unit or figure.unit
    small = f" <small>{_both(unit)}</small>" if unit and not shown.percent else ""
    if figure.low is None or figure.high is None or figure.low == figure.high:
        return _both(message("report.exact")), small
    low, high = _ends(figure.low, figure.high, shown.percent)
    level = f"{figure.level:.0%}"
    name = message("report.bounds") if figure.level == 1 else message("report.interval", level=level)
    return _both(message("report.interval_from_to", name=name, low=low, high=high)), small


def _figure(shown: Shown) -> str:
    figure = shown.figure
    interval, small = _proof(shown)
    baseline = ""
    if figure.baseline is not None:
        value = _form(figure.baseline, shown.percent)
        baseline = f"<div class='interval'>{_both(message('report.baseline', value=value))}</div>"
    return (
        f'<div class="figure"><div class="name">{_both(shown.name)}</div>'
        f'<div class="value">{_form(figure.value, shown.percent)}{small}</div>'
        f'<div class="interval">{interval} · n={figure.n:,}</div>{baseline}<div class="meaning">{_both(shown.meaning)}</div>'
        f"{_source(shown.source or figure.source, shown.licence, shown.as_of)}</div>"
    )


def _form(value: float, percent: bool, digits: int = 1) -> str:
    if percent:
        return f"{100 * value:.{digits if abs(value) >= 0.001 else digits + 1}f}%"
    return number(value) if digits == 1 else f"{value:,.{digits}f}"


def _ends(low: float, high: float, percent: bool) -> tuple[str, str]:
    """Return the ends of an interval with as many digits as it takes to tell them apart."""
    ends = _form(low, percent), _form(high, percent)
    for digits in range(2, 7):
        if ends[0] != ends[1]:
            break
        ends = _form(low, percent, digits), _form(high, percent, digits)
    return ends


def _source(source: str | Text, licence: str = "", as_of: str = "") -> str:
    if not source:
        return ""
    both = message("report.source", cited=cited_data(source, licence, as_of, ""))
    return f'<p class="source">{_both(both)}</p>'


def _table(table: Table) -> str:
    worded = [any(isinstance(row[place], Message) for row in table.rows) for place in range(len(table.columns))]
    head = "".join(
        f"<th{' class=words' if words else ''}>{_both(column)}</th>"
        for column, words in zip(table.columns, worded, strict=True)
    )
    rows = "".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in table.rows)
    return (
        f"<h3>{_both(table.title)}</h3><div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        f"{_source(table.source)}"
    )


def _cell(cell: str | float | Text | None) -> str:
    if cell is None:
        return "<td>–</td>"
    if isinstance(cell, Message):
        # A name needs no width of its own, a sentence does.
        short = cell == cell["zh"] and len(cell) <= NAME
        return f"<td class='{'name' if short else 'words'}'>{_both(cell)}</td>"
    return f"<td>{escape(cell) if isinstance(cell, str) else number(cell)}</td>"


def _paragraph(text: str) -> str:
    return f"<p>{_both(text)}</p>"


def _both(text: str) -> str:
    if not isinstance(text, Message) or text == text["zh"]:
        return escape(text)
    return f'<span lang="en">{escape(text)}</span><span lang="zh">{escape(text["zh"])}</span>'


def _json(value: object) -> str:
    # a "<" could end the script, and nan is not JSON
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def _asset(name: str) -> str:
    return (resources.files("noria.grow") / "report" / "assets" / name).read_text(encoding="utf-8")


_FOLDER = "nicegui/elements/echart/dist"


def echarts_module() -> str:
    """Return the text of a script of type module that sets `window.echarts`.

    The package is not imported. Its bundle is an ECMAScript module whose last statement exports many short names; the one
    that its own entry file calls `echarts` is put on `window`, so that the page needs no second file.

    Raises:
        PackageError: NiceGUI is missing, or its bundle has another form.
    """
    hint = "pip install 'nicegui>=3,<4'"
    try:
        distribution = metadata.distribution("nicegui")
    except metadata.PackageNotFoundError:
        raise PackageError(message("grow.package_nicegui"), hint=hint) from None
    folder = Path(str(distribution.locate_file(_FOLDER)))
    try:
        entry = (folder / "index.js").read_text(encoding="utf-8")
        inner = re.search(r"export\s*\{[^}]*?\b(\w+) as echarts\b", entry)
        outer = re.search(rf"(\w+) as {inner[1]}\b[^}}]*\}}\s*from\s*\"\./([\w.-]+)\"", entry) if inner else None
        if not outer:
            raise PackageError(message("grow.nicegui_chart"), found=distribution.version, hint=hint)
        module = (folder / outer[2]).read_text(encoding="utf-8")
    except OSError as error:
        raise PackageError(message("grow.nicegui_lacks"), found=str(error.filename), hint=hint) from None
    end = re.search(r"export\s*\{([^{}]*)\};?\s*(//[^\n]*)?\s*$", module)
    name = re.search(rf"([\w$]+) as {re.escape(outer[1])}(?=,|$)", end[1]) if end else None
    if not end or not name:
        raise PackageError(message("grow.nicegui_chart"), found=distribution.version, hint=hint)
    script = f"{module[: end.start()]}window.echarts={name[1]};"
    return script.replace("</script", "<\\/script")
