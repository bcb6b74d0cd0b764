"""A Figure drawn: value, interval, n, baseline and source, always together."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from nicegui import ui

from noria.core.figure import Figure, better_side, number
from noria.core.messages import name_of

from .words import Words


def figure_html(figure: Figure, words: Words, *, row: bool = False, source: bool = True) -> str:
    """Return one figure as HTML: a tile with a drawn interval, or with `row` one line of a list.

    `source` is left out only where a list tells it once for all its figures.
    """
    unit = f"<small>{escape(words.phrase(figure.unit))}</small>" if figure.unit and figure.unit != "%" else ""
    parts = [
        f'<div class="figure{" row" if row else ""}" data-figure="{escape(figure.name, quote=True)}">',
        f'<div class="figure-name">{escape(headed(figure.name, words))}</div>',
        f'<div class="figure-value">{escape(number(figure.value))}{"%" if figure.unit == "%" else ""}{unit}</div>',
    ]
    if not row:
        parts.append(whisker(figure))
    parts.append(f'<div class="figure-evidence">{evidence(figure, words)}</div>')
    if figure.baseline is not None:
        parts.append(_baseline(figure, words))
    if figure.source and source:
        parts.append(_source(figure, words))
    return "".join(parts) + "</div>"


def headed(name: str, words: Words) -> str:
    """Return a figure's name as a heading: a word begins with a capital, an identifier stays as it is.

    >>> headed("rows kept", Words("en")), headed("sentiment-int8", Words("en"))
    ('Rows kept', 'sentiment-int8')
    """
    told = name_of(name)
    text = told[words.language]
    own = told.code == "join.as_is" or any(text.startswith(str(value)) for value in told.values.values())
    return text if own else text[:1].upper() + text[1:]


def evidence(figure: Figure, words: Words) -> str:
    """Return n, the interval and the note of a figure as HTML."""
    parts = [f"<span>n = {figure.n:,}</span>"]
    if figure.low is not None and figure.high is not None:
        interval = interval_text(figure.low, figure.high)
        parts.append(f"<span>{escape(words('figure.interval', level=f'{figure.level:.0%}', interval=interval))}</span>")
    else:
        parts.append(f"<span>{escape(words('figure.exact'))}</span>")
    if figure.note:
        parts.append(f'<span class="chip">{escape(words.phrase(figure.note))}</span>')
    return " · ".join(parts)


def figure_line(figure: Figure, words: Words) -> str:
    """Return a figure on one line of plain text."""
    interval = (
        f" [{interval_text(figure.low, figure.high)}]" if figure.low is not None and figure.high is not None else ""
    )
    beside = f" {words('figure.baseline', value=number(figure.baseline))}" if figure.baseline is not None else ""
    unit = f" {words.phrase(figure.unit)}" if figure.unit else ""
    return f"{words.phrase(figure.name)} {number(figure.value)}{unit}{interval} n={figure.n:,}{beside}"


def interval_text(low: float, high: float) -> str:
    """Return the ends of an interval, with as many digits as it takes to tell them apart.

    >>> interval_text(0.878, 0.907), interval_text(0.78152, 0.78158)
    ('0.878 – 0.907', '0.7815 – 0.7816')
    """
    ends = number(low), number(high)
    for decimals in range(4, 8):
        if ends[0] != ends[1] or low == high:
            break
        ends = f"{low:.{decimals}f}", f"{high:.{decimals}f}"
    return f"{ends[0]} – {ends[1]}"


def whisker(figure: Figure) -> str:
    """Return the interval drawn to scale, with the baseline as a hollow mark; nothing where there is no interval."""
    if figure.low is None or figure.high is None:
        return ""
    marks = [figure.low, figure.high, figure.value] + ([figure.baseline] if figure.baseline is not None else [])
    low, high = min(marks), max(marks)
    room = (high - low) * 0.12 or abs(high) * 0.1 or 1.0

    def at(value: float) -> float:
        return 200 * (value - low + room) / (high - low + 2 * room)

    hollow = ""
    if figure.baseline is not None:
        hollow = (
            f'<circle cx="{at(figure.baseline):.1f}" cy="7" r="4" fill="#fff" stroke="#b4692b" stroke-width="1.8"/>'
        )
    return (
        '<svg class="whisker" viewBox="0 0 200 14" preserveAspectRatio="xMinYMid meet" aria-hidden="true">'
        '<line x1="0" x2="200" y1="7" y2="7" stroke="#e4e2d8"/>'
        f'<line x1="{at(figure.low):.1f}" x2="{at(figure.high):.1f}" y1="7" y2="7" stroke="#12748c" stroke-width="4" '
        f'stroke-linecap="round" opacity=".45"/>{hollow}<circle cx="{at(figure.value):.1f}" cy="7" r="4.4" fill="#12748c"/></svg>'
    )


def figures(many: Iterable[Figure], words: Words, *, rows: bool = False) -> None:
    """Show several figures, as tiles or as a list; a source that all lines of a list share is told once below them."""
    many = list(many)
    shared = rows and len(many) > 1 and len({figure.source for figure in many}) == 1
    body = "".join(figure_html(figure, words, row=rows, source=not shared) for figure in many)
    if shared and many[0].source:
        body += _source(many[0], words)
    ui.html(body, sanitize=False).classes("wing-figures" if rows else "figures")


def _source(figure: Figure, words: Words) -> str:
    told = name_of(figure.source)
    text = escape(told[words.language])
    # A citation is no word of the console: it stays as its author wrote it.
    ours = told.code.startswith(("terms.", "names.", "figures."))
    cited = text if ours else f'<span translate="no">{text}</span>'
    return f'<div class="figure-source">{escape(words("figure.source"))}{cited}</div>'


def _baseline(figure: Figure, words: Words) -> str:
    assert figure.baseline is not None
    direction = better_side(figure.name)
    overlaps = figure.low is not None and figure.high is not None and figure.low <= figure.baseline <= figure.high
    ahead = direction * (figure.value - figure.baseline) > 0
    line = words("figure.baseline", value=number(figure.baseline))
    if direction:
        line += words("figure.colon") + words(
            "figure.level" if overlaps else "figure.ahead" if ahead else "figure.behind"
        )
    kind = "" if overlaps or not direction else " better" if ahead else " worse"
    return f'<div class="figure-baseline{kind}">{escape(line)}</div>'
