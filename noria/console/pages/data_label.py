"""Labels by keys: one row after the other, each label on the disk before the next row is shown, undone as easily as given."""

from __future__ import annotations

from collections import Counter
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from nicegui import events, ui

from noria.console.shell import block, card, foreign, paragraph
from noria.core.figure import number
from noria.server.data.rows import text_of
from noria.server.data.sets import Given
from noria.server.data.view import Show, Wanted

from .data_rows import against

if TYPE_CHECKING:
    from .data_page import DataPage

KEYS = 9
"""Labels that have a key."""
_FETCHED = 100
QUEUES: tuple[Show, ...] = ("unlabelled", "doubtful", "all")


async def show(page: DataPage) -> None:
    """Draw the part."""
    words, one = page.words, page.set
    if one.task != "classify" or "labels" in one.current.columns:
        with card(words("data.tab_label")):
            paragraph(words("data.no_keys"), "soft")
        return
    await _Labelling(page).draw()


class _Labelling:
    """One person's turn through the rows."""

    def __init__(self, page: DataPage) -> None:
        self.page, self.words = page, page.words
        self.queue: list[dict[str, Any]] = []
        self.passed: set[str] = set()
        """Rows that were skipped, or labelled here."""
        self.done: list[tuple[dict[str, Any], Given | None]] = []
        """What was shown before, and the label given to it; None where it was skipped."""
        counts = Counter(page.set.current.labels)
        counts.update(mark.label for mark in page.data.journal(page.name).latest().values() if mark.label is not None)
        self.labels = sorted(counts, key=lambda one: (-counts[one], one))
        self.given = 0
        self.busy = False

    async def draw(self) -> None:
        """Draw the row to label, and the labels."""
        words, page = self.words, self.page
        current = page.set.current
        waiting = current.rows - current.labelled
        with card(words("data.tab_label")), ui.element("div").classes("data-label"):
            with ui.element("div").classes("data-form"):
                shows = {one: words(f"data.show_{one}") for one in QUEUES}
                first = page.asked or ("unlabelled" if waiting else "doubtful" if self.reviewed() else "all")
                page.asked = ""
                self.which = ui.select(shows, value=first, label=words("data.show")).classes("field")
                self.which.props("outlined dense options-dense data-queue").on_value_change(self.anew)
                self.count = ui.label("").classes("small soft").props("data-count aria-live=polite")
            self.shown = ui.element("div").classes("data-one").props("data-one aria-live=polite")
            self.told = ui.element("div").props("aria-live=polite data-heard")
            self.buttons = ui.element("div").classes("data-keys").props("role=group")
            with ui.element("div").classes("data-form"):
                self.new = ui.input(words("data.new_label")).props("outlined dense maxlength=200 data-new")
                self.new.classes("field").on("keydown.enter", self.name_label)
                for name, pressed in (("undo", self.undo), ("skip", self.skip), ("keep", self.keep)):
                    button = ui.button(words(f"data.{name}"), on_click=pressed, color=None)
                    button.classes("primary" if name == "keep" else "quiet").props(f'no-caps data-deed="{name}"')
                    if name != "keep":
                        button.props("flat dense")
            paragraph(words("data.keys"), "small soft data-hint")
        page.key = self.pressed
        self.draw_labels()
        await self.anew()

    def reviewed(self) -> bool:
        """Return whether the rows were checked."""
        return self.page.data.reviewed(self.page.name, self.page.set.current.version) is not None

    def draw_labels(self) -> None:
        """Draw the labels, those with a key first."""
        self.buttons.clear()
        with self.buttons:
            for place, label in enumerate(self.labels[:50]):
                button = ui.button(on_click=partial(self.give, label), color=None).classes("quiet")
                button.props(f'flat dense no-caps data-label="{place}"')
                with button:
                    key = f"<kbd>{place + 1}</kbd> " if place < KEYS else ""
                    block(f"{key}{foreign(label)}")

    async def anew(self) -> None:
        """Begin with the first of the rows that are wanted now."""
        self.queue, self.passed = [], set()
        await self.next()

    async def next(self) -> None:
        """Show the next row, passing by what somebody else has labelled meanwhile."""
        page = self.page
        if self.which.value == "unlabelled":
            latest = page.data.journal(page.name).latest()
            self.queue = [one for one in self.queue if one["row"]["id"] not in latest]
        if not self.queue:
            start = len(self.passed) if self.which.value == "all" else 0
            limit = _FETCHED if self.which.value == "all" else _FETCHED + len(self.passed)
            wanted = Wanted(show=self.which.value, start=start, limit=limit)
            found = await page.attempt(partial(page.data.page, page.name, wanted), working=False)
            self.queue = [one for one in found.rows if one["row"]["id"] not in self.passed] if found else []
        self.draw_row()

    def draw_row(self) -> None:
        """Draw the row that is asked about."""
        words, current = self.words, self.page.set.current
        self.count.set_text(
            words(
                "data.count",
                given=number(self.given),
                labelled=number(current.labelled),
                rows=number(current.rows),
            )
        )
        self.shown.clear()
        with self.shown:
            if not self.queue:
                paragraph(words("data.all_done"), "soft").props("data-done")
                return
            one = self.queue[0]
            now = one["row"].get("label")
            label = f'<span class="chip build" translate="no">{escape(str(now))}</span> ' if now is not None else ""
            block(f'<div class="data-labels">{label}{against(self.page, one)}</div>')
            block(f'<div class="data-text" translate="no">{escape(text_of(one["row"]))}</div>')

    async def give(self, label: str | None) -> None:
        """Give the row a label, or take it away; only when it is on the disk the next one is shown."""
        if self.busy or not self.queue:
            return
        one = self.queue[0]
        if await self.write(Given(one["row"]["id"], label, one["row"].get("label"))):
            self.done.append((one, Given(one["row"]["id"], label)))
            self.passed.add(one["row"]["id"])
            self.queue.pop(0)
            self.given += 1
            await self.next()

    async def write(self, given: Given) -> bool:
        """Make a label durable, and tell whose it replaced unseen."""
        page = self.page
        self.busy = True
        self.told.clear()
        try:
            unseen = await page.attempt(lambda: page.data.label(page.name, [given], by=page.actor), working=False)
        finally:
            self.busy = False
        if unseen is None:
            return False
        with self.told:
            for mark in unseen:
                block(
                    f'<div class="note">{escape(self.words("data.replaced"))} <b translate="no">{escape(mark.by)}</b>: '
                    f"{foreign(mark.label if mark.label is not None else '–')}</div>"
                )
        return True

    async def skip(self) -> None:
        """Show the next row, and come back to this one later."""
        if self.busy or not self.queue:
            return
        one = self.queue.pop(0)
        self.done.append((one, None))
        self.passed.add(one["row"]["id"])
        await self.next()

    async def undo(self) -> None:
        """Show the row before again, with the label that it had."""
        if self.busy or not self.done:
            return
        one, given = self.done[-1]
        before = one["row"].get("label")
        if given is not None and not await self.write(Given(given.id, before, given.label)):
            return
        self.done.pop()
        self.given -= given is not None
        self.passed.discard(one["row"]["id"])
        self.queue.insert(0, one)
        self.draw_row()

    async def name_label(self) -> None:
        """Add a label and give it to the row."""
        label = (self.new.value or "").strip()
        if not label:
            return
        self.new.set_value("")
        if label not in self.labels:
            self.labels.append(label)
            self.draw_labels()
        await self.give(label)

    async def keep(self) -> None:
        """Make a version of what was labelled."""
        page = self.page
        done = await page.attempt(lambda: (page.data.keep(page.name, page.actor),))
        if done is None:
            return
        self.given, self.done = 0, []
        (made,) = done
        page.inform(self.words("data.kept", version=made.version) if made else self.words("data.nothing_new"))
        await self.anew()

    async def pressed(self, event: events.KeyEventArguments) -> None:
        """Label, skip and undo by keys."""
        name = event.key.name.lower()
        if name.isdigit() and 0 < int(name) <= len(self.labels):
            await self.give(self.labels[int(name) - 1])
        elif name == "0":
            await self.give(None)
        elif name in ("s", "arrowright"):
            await self.skip()
        elif name in ("u", "arrowleft", "backspace"):
            await self.undo()
