"""Data: files brought in, what was read of them, their rows looked at, labelled, checked, and kept as versions."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from html import escape
from typing import Any

from nicegui import ui

from noria.console.shell import View, block, card, facts, foreign, link, paragraph
from noria.console.words import Words
from noria.core.figure import number
from noria.server.http.data import text_in

from . import data_label, data_rows, data_versions
from .data_page import DataPage, Part


async def show(view: View) -> None:
    """Draw the page."""
    ui.add_head_html(f'<script defer src="{link("/static/spans.js")}"></script>')
    page = DataPage(view, PARTS)
    known = {one.name: one for one in await asyncio.to_thread(page.data.list)}
    here = known.get(view.query.get("set", ""))
    page.bring(here)
    page.listed(list(known.values()), here)
    if here is not None:
        page.name = here.name
        wanted = view.query.get("tab", "")
        await page.open(wanted if wanted in PARTS else "rows")


async def show_read(page: DataPage) -> None:
    """Draw what was read of the file behind the current version, and what was not."""
    words, one = page.words, page.set
    read = next(
        (
            found
            for change in reversed(one.changes)
            if (found := page.data.facts(one.name, change.version, "read")) is not None
        ),
        None,
    )
    with card(words("data.tab_read")):
        if read is None:
            paragraph(words("data.none_read"), "soft")
            return
        refused = sum(reason["rows"] for reason in read["refused"])
        pairs = [
            (words("data.file"), f"{foreign(read['file'])} · {foreign(read['format'])}"),
            (words("data.read_rows"), number(read["read"])),
            (words("data.taken"), f"<b data-taken>{number(read['taken'])}</b>"),
        ]
        if read["there"]:
            pairs.append((words("data.there"), number(read["there"])))
        pairs.append((words("data.refused"), f"<b data-refused>{number(refused)}</b>"))
        pairs.append((words("data.waits"), number(one.current.rows - one.current.labelled)))
        if read["columns"]:
            guessed = ", ".join(f"{foreign(field)} ← {foreign(name)}" for field, name in read["columns"].items())
            pairs.append((words("data.guessed"), guessed))
        facts(pairs)
        if not set(one.current.columns) & {"text", "messages", "source", "anchor", "context", "features"}:
            block(f'<div class="note warn" data-no-text>{escape(words("data.no_text"))}</div>')
        if read["refused"]:
            block(refusals(words, read["refused"]), "scroll-x")
        for note in read["notes"]:
            block(f'<div class="note small" translate="no">{escape(text_in(note, words.language))}</div>')


def refusals(words: Words, refused: Sequence[dict[str, Any]]) -> str:
    """Return the table of reasons for which rows were not taken."""
    head = "".join(f"<th>{escape(words(f'data.{name}'))}</th>" for name in ("why", "rows_head", "examples"))
    body = ""
    for one in refused:
        examples = "<br>".join(
            f'<span class="small">{escape(words("data.line", line=number(line)))} {foreign(text)}</span>'
            for line, text in one["examples"]
        )
        reason = f'<span translate="no">{escape(text_in(one["reason"], words.language))}</span>'
        body += f'<tr><td>{reason}</td><td class="number">{number(one["rows"])}</td><td>{examples}</td></tr>'
    return f'<table class="plain"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


PARTS: dict[str, Part] = {
    "read": show_read,
    "rows": data_rows.show,
    "label": data_label.show,
    "check": data_versions.show_check,
    "columns": data_versions.show_columns,
    "versions": data_versions.show_versions,
}
"""Name of a part -> what draws it, in the order of their tabs."""
