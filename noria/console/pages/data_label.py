"""Labels by keys: one row after the other, what it is given on the disk before the next is shown, undone as easily as given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from nicegui import events, ui

from noria.console.shell import block, card, foreign, paragraph
from noria.core.errors import InputError
from noria.core.figure import number
from noria.server.data.labels import Truth
from noria.server.data.rows import labels_in, text_of
from noria.server.data.sets import Given
from noria.server.data.view import Show, Wanted

from .data_drafts import At, Draft, Several, Spans, marked_html
from .data_rows import against

if TYPE_CHECKING:
    from .data_page import DataPage

KEYS = 9
"""Labels that have a key."""
_FETCHED = 100
QUEUES: tuple[Show, ...] = ("unlabelled", "doubtful", "all")
_STAY = "(e) => e.preventDefault()"
"""A press that leaves what is chosen in the text, and the focus where it is."""
_WAIT_SECONDS = 60.0


async def show(page: DataPage) -> None:
    """Draw the part."""
    words = page.words
    try:
        field = page.data.field(page.name)
    except InputError:
        with card(words("data.tab_label")):
            paragraph(words("data.no_keys"), "soft")
        return
    await _Labelling(page, field).draw()


class _Labelling:
    """One person's turn through the rows.

    Args:
        page: the page.
        field: what the rows are given: label, labels or spans; empty where that is open between one label and several.
    """

    def __init__(self, page: DataPage, field: str) -> None:
        self.page, self.words = page, page.words
        self.open, self.field = not field, field or "label"
        self.client = ui.context.client
        self.queue: list[dict[str, Any]] = []
        self.passed: set[str] = set()
        """Rows that were skipped, or labelled here."""
        self.done: list[tuple[dict[str, Any], Given | None]] = []
        """What was shown before, and what was given to it; None where it was skipped."""
        self.draft: Draft | None = None
        """What the row is to be given, where that is not done by one label."""
        self.before: list[list[Any]] = []
        """What the draft was before each change."""
        counts = Counter(page.set.current.labels)
        for mark in page.data.journal(page.name).latest().values():
            counts.update(labels_in({mark.field: mark.label}))
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
                if self.open:
                    self.many = ui.checkbox(words("data.several"), value=False, on_change=self.decide)
                    self.many.props("dense data-several")
            if self.field == "spans":
                paragraph(words("data.spans_lead"), "small soft")
            with ui.element("div").classes("data-one").props("data-one aria-live=polite"):
                self.shown = ui.element("div")
                self.text = ui.html("", sanitize=False).classes("data-text").props('translate="no"')
                if self.field == "spans":
                    self.text.classes("tagged").props("data-spans tabindex=0 role=textbox aria-readonly=true")
                    self.text.props["aria-label"] = words("data.text")
                    self.text.on("keydown", self.typed, js_handler="(e) => noriaSpans.key(e, emit)")
                self.held = ui.element("div").classes("data-labels").props("data-held")
            self.told = ui.element("div").props("aria-live=polite data-heard")
            self.buttons = ui.element("div").classes("data-keys").props("role=group")
            self.draw_deeds()
        page.key = self.pressed
        # Enter presses a button that has the focus; elsewhere it is done with the row.
        ui.keyboard(on_key=self.entered, ignore=["input", "select", "button", "textarea"])
        self.draw_labels()
        await self.anew()

    def draw_deeds(self) -> None:
        """Draw what may be done with the row, and by which keys."""
        words = self.words
        with ui.element("div").classes("data-form"):
            self.new = ui.input(words("data.new_label")).props("outlined dense maxlength=200 data-new")
            self.new.classes("field").on("keydown.enter", self.name_label)
            for name, pressed in (("done", self.finish), ("undo", self.undo), ("skip", self.skip), ("keep", self.keep)):
                button = ui.button(words(f"data.{name}"), on_click=pressed, color=None)
                button.classes("primary" if name in ("done", "keep") else "quiet").props(f'no-caps data-deed="{name}"')
                if name not in ("done", "keep"):
                    button.props("flat dense")
                if name == "done":
                    self.finished = button
        self.hint = paragraph("", "small soft data-hint")
        self.draw_hint()

    def draw_hint(self) -> None:
        """Say by which keys a row is given what it takes."""
        self.finished.set_visibility(self.field != "label")
        keys = "keys" if self.field == "label" else f"keys_{self.field}"
        self.hint.set_content(escape(self.words(f"data.{keys}")))

    def reviewed(self) -> bool:
        """Return whether the rows were checked."""
        return self.page.data.reviewed(self.page.name, self.page.set.current.version) is not None

    def draw_labels(self) -> None:
        """Draw the labels, those with a key first."""
        self.buttons.clear()
        with self.buttons:
            for place, label in enumerate(self.labels[:50]):
                button = ui.button(on_click=partial(self.give, label), color=None).classes("quiet")
                button.props(f'flat dense no-caps data-label="{place}"').on("mousedown", js_handler=_STAY)
                with button:
                    key = f"<kbd>{place + 1}</kbd> " if place < KEYS else ""
                    block(f"{key}{foreign(label)}")

    async def decide(self) -> None:
        """Let texts have one label, or several, as long as none has any."""
        self.field = "labels" if self.many.value else "label"
        self.draw_hint()
        self.begin()

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
        self.begin()

    def begin(self) -> None:
        """Ask about the row that stands first, by what it has now."""
        self.draft, self.before = None, []
        if self.queue and self.field != "label":
            row = self.queue[0]["row"]
            value = row.get(self.field) or []
            self.draft = Several(value) if self.field == "labels" else Spans(str(row.get("text") or ""), value)
        self.draw_row()

    def draw_row(self, at: int = 0) -> None:
        """Draw the row that is asked about; keys go on from a place of its text."""
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
        self.held.clear()
        if not self.queue:
            self.text.set_content("")
            with self.shown:
                paragraph(words("data.all_done"), "soft").props("data-done")
            return
        row = self.queue[0]["row"]
        with self.shown:
            now = row.get("label") if self.field == "label" else None
            label = f'<span class="chip build" translate="no">{escape(str(now))}</span> ' if now is not None else ""
            block(f'<div class="data-labels">{label}{against(self.page, self.queue[0])}</div>')
        if isinstance(self.draft, Spans):
            self.text.set_content(marked_html(self.draft.text, self.draft.value, self.labels))
            self.client.run_javascript(f"noriaSpans.begin({at}, true)")
        else:
            self.text.set_content(escape(text_of(row)))
        self.draw_held()

    def draw_held(self) -> None:
        """Draw what the row is to be given, each with what takes it off."""
        with self.held:
            for place, (text, label) in enumerate(self.draft.parts() if self.draft else []):
                button = ui.button(on_click=partial(self.take_off, place), color=None).classes("chip build")
                button.props(f'flat dense no-caps data-held-part="{place}"')
                button.props["aria-label"] = self.words("data.take_off", what=f"{text} {label}".strip())
                with button:
                    block(f"{foreign(text)} <b>{foreign(label)}</b> ×" if text else f"{foreign(label)} ×")

    async def chosen(self) -> At:
        """Return the characters that are chosen in the text; none where nothing is, or the text is not to be chosen in."""
        if not isinstance(self.draft, Spans):
            return 0, 0
        return _place(await self.client.run_javascript("return noriaSpans.chosen()", timeout=_WAIT_SECONDS))

    async def give(self, label: str | None) -> None:
        """Give the row a label, or take it away; what takes several waits until its person is done with it."""
        if self.draft is None:
            await self.write_row(label)
        elif label is None:
            self.change([])
        else:
            await self.put(label, await self.chosen())

    async def put(self, label: str, at: At) -> None:
        """Bring a label into the draft."""
        draft = self.draft
        if draft is None:
            return
        before = draft.value
        self.told.clear()
        if not draft.put(label, at):
            with self.told:
                paragraph(self.words("data.choose_first"), "small soft").props("data-choose")
            return
        self.before.append(before)
        self.draw_row(at[1])

    def change(self, value: Sequence[Any], at: int = 0) -> None:
        """Make the draft another, so that it can be undone."""
        if self.draft is not None and list(value) != self.draft.value:
            self.before.append(self.draft.value)
            self.draft.value = list(value)
            self.draw_row(at)

    def take_off(self, place: int) -> None:
        """Take one of several off."""
        if self.draft is not None:
            self.change([one for number, one in enumerate(self.draft.value) if number != place])

    async def finish(self) -> None:
        """Give the row what was put together, and show the next one."""
        if self.draft is not None:
            await self.write_row(list(self.draft.value))

    async def write_row(self, truth: Truth | None) -> None:
        """Give the row something; only when it is on the disk the next one is shown."""
        if self.busy or not self.queue:
            return
        one = self.queue[0]
        row = one["row"]
        given = Given(row["id"], truth, row.get(self.field))
        if await self.write(given):
            if self.open:  # from now on all rows have what this one has
                self.open = False
                self.many.delete()
            if self.draft is not None:  # it comes again as it was left
                one = {**one, "row": {**row, self.field: truth}}
            self.done.append((one, given))
            self.passed.add(row["id"])
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
                was = ", ".join(labels_in({mark.field: mark.label})) or "–"
                block(
                    f'<div class="note">{escape(self.words("data.replaced"))} <b translate="no">{escape(mark.by)}</b>: '
                    f"{foreign(was)}</div>"
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
        """Take the last change of the row back; where there is none, show the row before: a label is taken back, a draft is opened again."""
        if self.before and self.draft is not None:
            self.draft.value = self.before.pop()
            self.draw_row()
            return
        if self.busy or not self.done:
            return
        one, given = self.done[-1]
        if given is not None and self.field == "label":
            before = one["row"].get("label")
            if not await self.write(Given(given.id, before, given.label)):
                return
        self.done.pop()
        self.given -= given is not None
        self.passed.discard(one["row"]["id"])
        self.queue.insert(0, one)
        self.begin()

    async def name_label(self) -> None:
        """Add a label and give it to the row; with none written, be done with the row."""
        label = (self.new.value or "").strip()
        if not label:
            await self.finish()
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
        await self.press(event.key.name.lower())

    async def entered(self, event: events.KeyEventArguments) -> None:
        """Be done with the row by Enter."""
        if event.action.keydown and event.key.enter:
            await self.finish()

    async def typed(self, event: events.GenericEventArguments) -> None:
        """Label what is chosen in the text by a key that was pressed there."""
        name, at = str(event.args["key"]), _place(event.args["at"])
        if name in ("backspace", "delete") and isinstance(self.draft, Spans):
            left = Spans(self.draft.text, self.draft.value)
            left.drop(at)
            self.change(left.value, at[0])
        elif name == "enter":
            await self.finish()
        elif name.isdigit() and 0 < int(name) <= len(self.labels):
            await self.put(self.labels[int(name) - 1], at)
        else:
            await self.press(name)

    async def press(self, name: str) -> None:
        """Do what a key says."""
        if name.isdigit() and 0 < int(name) <= len(self.labels):
            await self.give(self.labels[int(name) - 1])
        elif name == "0":
            await self.give(None)
        elif name in ("s", "arrowright"):
            await self.skip()
        elif name in ("u", "arrowleft", "backspace"):
            await self.undo()


def _place(given: Any) -> At:
    """Return the characters that a browser says are chosen."""
    if not isinstance(given, list) or len(given) != 2 or not all(type(one) is int for one in given):
        return 0, 0
    return given[0], given[1]
