"""Tables and fields of the pages that look after a server, and times in its zone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape
from typing import TypeVar
from zoneinfo import ZoneInfo

from nicegui import ui

from .shell import View, block, foreign, paragraph
from .words import Words

Made = TypeVar("Made", bound=ui.element)


def show_table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = (), none: str = ""
) -> None:
    """Show a table, or what to say where it has no rows.

    Args:
        heads: plain text of the first line.
        rows: cells, each as HTML: everything foreign in them was escaped.
        numbers: columns that stand right.
        none: said instead of a table without rows.
    """
    if not rows:
        paragraph(none, "soft")
        return

    def cell(tag: str, place: int, html: str) -> str:
        return f'<{tag} class="number">{html}</{tag}>' if place in numbers else f"<{tag}>{html}</{tag}>"

    head = "".join(cell("th", place, escape(name)) for place, name in enumerate(heads))
    body = "".join(
        "<tr>" + "".join(cell("td", place, html) for place, html in enumerate(row)) + "</tr>" for row in rows
    )
    block(f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>', "scroll-x looked")


def code(text: str) -> str:
    """Return an identifier as HTML, as it is."""
    return f"<code translate='no'>{escape(text)}</code>" if text else "–"


def used(words: Words, count: int, unit: str) -> str:
    """Return how much was used as HTML; a unit that is not the server's own stays as it is."""
    if unit in ("items", "tokens"):
        return escape(words(f"keys.used_{unit}", count=f"{count:,}"))
    return f"{count:,} {foreign(unit)}"


def at(view: View, moment: datetime | str | None) -> str:
    """Return a moment in the server's zone, to the second; a dash where there is none."""
    if not moment:
        return "–"
    given = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    return f"{given.astimezone(zone_of(view)):%Y-%m-%d %H:%M:%S}"


def zone_of(view: View) -> ZoneInfo:
    """Return the zone that the server tells days in."""
    return ZoneInfo(view.state.days["zone"])


def moment_of(view: View, given: str | None) -> datetime | None:
    """Return the moment that a field of day and time holds, in the server's zone; None where it is empty or none."""
    try:
        return datetime.fromisoformat(given or "").replace(tzinfo=zone_of(view))
    except ValueError:
        return None


def field(made: Made, name: str) -> Made:
    """Return a field of a form as all of them look, named for the tests."""
    made.props(f'outlined dense data-field="{name}"')
    made.classes("field")
    return made
