"""Rows of a data set, a page at a time, searched and filtered."""

from __future__ import annotations

from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from nicegui import ui

from noria.console.shell import block, card, foreign, paragraph
from noria.core.figure import number
from noria.server.data.rows import is_labelled, labels_in, text_of
from noria.server.data.view import SHOWS, Page, Show, Wanted

from .data_drafts import marked_html

if TYPE_CHECKING:
    from .data_page import DataPage

LIMIT = 20
_OWN = (
    "id",
    "text",
    "pair",
    "label",
    "labels",
    "spans",
    "places",
    "messages",
    "source",
    "target",
    "anchor",
    "positive",
)

REASONS = {"exact duplicate": "again", "near duplicate": "nearly", "conflicting labels": "two_labels"}
"""Why a text is one that comes again -> the word for it."""


async def show(page: DataPage) -> None:
    """Draw the part."""
    shown = next((one for one in SHOWS if one == page.asked), SHOWS[0])
    page.asked = ""
    await _Rows(page, shown).draw()


class _Rows:
    """The rows in one browser tab."""

    def __init__(self, page: DataPage, shown: Show) -> None:
        self.page, self.words, self.shown, self.start = page, page.words, shown, 0

    async def draw(self) -> None:
        """Draw what is searched by, then the first page."""
        words = self.words
        with card(words("data.tab_rows")):
            with ui.element("div").classes("data-form"):
                self.search = ui.input(words("data.search")).props(
                    "outlined dense clearable maxlength=200 debounce=400"
                )
                self.search.on_value_change(self.anew).props("data-search")
                labels = {"": words("data.any_label"), **{one: one for one in self.page.set.current.labels}}
                self.label = ui.select(labels, value="", label=words("data.label")).props(
                    "outlined dense options-dense"
                )
                self.label.on_value_change(self.anew)
                shows = {one: words(f"data.show_{one}") for one in SHOWS}
                self.show = ui.select(shows, value=self.shown, label=words("data.show")).props("outlined dense")
                self.show.on_value_change(self.anew).props("options-dense data-show")
                for one in (self.search, self.label, self.show):
                    one.classes("field")
            self.list = ui.element("div").classes("data-rows").props("data-rows")
            with ui.element("div").classes("data-pages"):
                self.before = ui.button(words("data.before"), on_click=partial(self.turn, -1), color=None)
                self.place = ui.label("").classes("small soft").props("data-place")
                self.after = ui.button(words("data.after"), on_click=partial(self.turn, 1), color=None)
                for button in (self.before, self.after):
                    button.classes("quiet").props("flat dense no-caps")
        await self.refresh()

    async def anew(self) -> None:
        """Show the first page of what is wanted now."""
        self.start = 0
        await self.refresh()

    async def turn(self, by: int) -> None:
        """Show the page before or after."""
        self.start = max(0, self.start + by * LIMIT)
        await self.refresh()

    async def refresh(self) -> None:
        """Show the page."""
        page, words = self.page, self.words
        wanted = Wanted(self.search.value or "", self.label.value or "", self.show.value, self.start, LIMIT)
        if wanted.show in ("doubtful", "repeats") and page.data.reviewed(page.name, page.set.current.version) is None:
            page.inform(words("data.check_first"))
        found: Page | None = await page.attempt(partial(page.data.page, page.name, wanted), working=False)
        if found is None:
            return
        self.list.clear()
        with self.list:
            for one in found.rows:
                block(row_html(page, one), "data-row")
            if not found.rows:
                paragraph(words("data.none_found"), "soft")
        last = min(self.start + LIMIT, found.total)
        self.place.set_text(
            words("data.place", first=number(min(self.start + 1, last)), last=number(last), total=number(found.total))
        )
        self.before.set_enabled(self.start > 0)
        self.after.set_enabled(last < found.total)


def row_html(page: DataPage, one: dict[str, Any]) -> str:
    """Return a row: its labels, its text, its other columns, and what speaks against it."""
    words, row = page.words, one["row"]
    named, kinds = list(dict.fromkeys(labels_in(row))), list(page.set.current.labels)
    labels = "".join(f'<span class="chip build" translate="no">{escape(label)}</span> ' for label in named[:12])
    if not labels:
        none = "none_in_it" if is_labelled(row, page.set.task) else "unlabelled"
        labels = f'<span class="chip">{escape(words(f"data.{none}"))}</span> '
    if one["by"] is not None:
        labels += f'<span class="small soft">{escape(words("data.by"))} {foreign(one["by"])}</span> '
    others = " · ".join(
        f"{escape(name)}: {escape(str(value))[:120]}" for name, value in row.items() if name not in _OWN
    )
    rest = f'<div class="small soft" translate="no">{others}</div>' if others else ""
    if isinstance(row.get("spans"), list):
        shown, tagged = marked_html(str(row.get("text") or ""), row["spans"], kinds), " tagged"
    else:
        shown, tagged = escape(text_of(row)), ""
    return (
        f'<div class="data-labels">{labels}{against(page, one)}</div>'
        f'<div class="data-text clamp{tagged}" translate="no">{shown}</div>{rest}'
    )


def against(page: DataPage, one: dict[str, Any]) -> str:
    """Return what speaks against a row: a label that a model doubts, a text that comes again."""
    words, parts = page.words, []
    if doubt := one["doubt"]:
        text = words("data.doubt", share=f"{doubt['probability']:.0%}", own=f"{doubt['own']:.0%}")
        parts.append(f'<span class="chip warn">{escape(text)} {foreign(doubt["predicted"])}</span>')
    if again := one["repeats"]:
        name = REASONS[again["reason"]]
        parts.append(f'<span class="chip warn">{escape(words(f"data.{name}"))}</span>')
    return " ".join(parts)
