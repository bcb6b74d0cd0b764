"""The report of a desk as Markdown, in English or Chinese: figures, weeks, sources, what was stated and what was found, what lacks an answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from noria.core.figure import Figure, number
from noria.core.messages import Message, message, name_of

from .asked import ACTED, LISTED, RULED
from .figures import Report

_WEEKLY = ("resolved without a person", "answered at once", "asked back", "handed over", "wrong, of answers judged")


def markdown(report: Report, language: str) -> str:
    """Return a report as a page of Markdown.

    Args:
        report: how a desk did.
        language: en or zh.
    """

    days = message("review.days", since=report.since.date(), until=report.until.date(), zone=report.zone)
    parts = [f"# {message('review.title')[language]}", days[language]]
    if not report.figures:
        return "\n\n".join((*parts, message("review.nothing")[language])) + "\n"
    head = (message("review.measure"), message("review.value"), message("review.baseline"))
    parts.append(_table(head, [(_name(one, language), _value(one), _base(one)) for one in report.figures], language))
    parts.append(message("review.caution")[language])
    names = [name_of(name) for name in _WEEKLY]
    rows = [[str(week.begins), *_cells(week.figures, _WEEKLY)] for week in report.weeks]
    parts += [f"## {message('review.by_week')[language]}", _table((message("review.week"), *names), rows, language)]
    if report.sources:
        kinds = ("share of answers", "wrong, of answers judged")
        rows = [[_source(one.source, language), *_cells(one.figures, kinds)] for one in report.sources]
        heads = (message("review.source"), *map(name_of, kinds))
        parts += [f"## {message('review.by_source')[language]}", _table(heads, rows, language)]
    if report.calibration:
        heads = (message("review.stated"), message("review.found"))
        rows = [[f"{one.baseline or 0:.3f}", _value(one)] for one in report.calibration]
        parts += [f"## {message('review.calibration')[language]}", _table(heads, rows, language)]
    if report.unanswered:
        heads = (message("review.times"), message("review.question"), message("review.proposed"))
        rows = [[f"{one.asked:,}", one.question, one.answer] for one in report.unanswered]
        parts += [f"## {message('review.unanswered')[language]}", _table(heads, rows, language)]
    return "\n\n".join(parts) + "\n"


def _table(heads: Sequence[Message], rows: Iterable[Sequence[str]], language: str) -> str:
    lines = [[head[language] for head in heads], ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_cell(one) for one in line) + " |" for line in lines)


def _cell(text: str) -> str:
    """Return a text as one cell: what a customer typed draws no table of its own, and no HTML."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _cells(figures: Sequence[Figure], names: Sequence[str]) -> list[str]:
    known = {str(one.name): one for one in figures}
    return [_value(known[name]) if name in known else "" for name in names]


def _name(figure: Figure, language: str) -> str:
    return name_of(figure.name)[language]


def _value(figure: Figure) -> str:
    interval = "" if figure.low is None or figure.high is None else f" [{number(figure.low)}, {number(figure.high)}]"
    return f"{number(figure.value)}{interval} n={figure.n:,}"


def _base(figure: Figure) -> str:
    return "" if figure.baseline is None else number(figure.baseline)


def _source(name: str, language: str) -> str:
    return name_of(name)[language] if name in (LISTED, RULED, ACTED) else name
