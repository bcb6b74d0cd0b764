"""Inbox: conversations that wait for a person, with what is unread in each; the one that is open is drawn by `conversation`."""

from __future__ import annotations

import json
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

from nicegui import events, ui

from noria.console.conversation import Pane, title_of
from noria.console.shell import View, block, empty, paragraph, show_problem
from noria.core.errors import NoriaError
from noria.lake.conversation import Queued, counts, queued

if TYPE_CHECKING:
    from noria.apps.support.routes import Support

EVERY_SECONDS = 1.0
LISTS = ("waiting", "claimed", "resolved")
NAME = "noria-inbox-name"
"""Key of the browser's own storage that holds the person's name."""


async def show(view: View) -> None:
    """Draw the page."""
    from noria.apps.support.routes import Support

    app = next((one for one in view.state.apps if isinstance(one, Support)), None)
    if app is None:
        empty(view.words, "inbox.empty", "noria ship serve MODELS --apps support --console runs/demo")
        return
    await _Inbox(view, app).draw()


class _Inbox:
    """The inbox in one browser tab."""

    def __init__(self, view: View, app: Support) -> None:
        self.view, self.app, self.words, self.people = view, app, view.words, app.people
        self.list = "waiting"
        self.found: list[Queued] = []
        self.drawn: Any = None
        """What the list shows of what is kept: it is drawn anew only where that changes, so that nobody's place in it is lost."""

    async def draw(self) -> None:
        """Draw the page, then keep it as things stand."""
        words = self.words
        agent = words("inbox.agent", code=self.view.session.nonce[:4])
        with ui.element("div").classes("inbox").props("data-inbox") as self.frame:
            with ui.element("section").classes("card inbox-queue") as queue:
                queue.props["aria-label"] = words("inbox.queue")
                with ui.element("div").classes("inbox-head"):
                    self.name = ui.input(words("inbox.name"), value=agent).props("outlined dense maxlength=80")
                    self.name.classes("field").on("blur", self.rename).on("keydown.enter", self.rename)
                    self.hours = ui.element("div")
                self.tabs = ui.element("div").classes("inbox-tabs").props("role=group")
                self.rows = ui.element("div").classes("inbox-rows").props("data-queue")
            self.pane = Pane(self.view, self.app, agent, self.close)
        paragraph(words("inbox.keys"), "small soft inbox-keys")
        ui.keyboard(on_key=self.key, ignore=["input", "select", "textarea"])
        await self.refresh()
        if wanted := self.view.query.get("conversation"):
            await self.choose_conversation(wanted)
        ui.timer(EVERY_SECONDS, self.refresh)
        await ui.context.client.connected()
        kept = await ui.run_javascript(f"return localStorage.getItem({json.dumps(NAME)})")
        if isinstance(kept, str) and kept.strip():
            self.name.set_value(kept.strip())
            self.pane.agent = kept.strip()

    async def rename(self) -> None:
        """Take the person's name, and keep it in this browser."""
        self.pane.agent = (self.name.value or "").strip() or self.pane.agent
        self.frame.client.run_javascript(f"localStorage.setItem({json.dumps(NAME)}, {json.dumps(self.pane.agent)})")
        await self.refresh()

    async def refresh(self) -> None:
        """Show what changed since the last time."""
        try:
            self.found, total = await self.people.kept.read(
                lambda connection: (queued(connection, [self.list]), counts(connection))
            )
            await self.pane.refresh()
        except NoriaError as error:
            self.drawn = None
            show_problem(self.rows, error.text(self.words.language))
            return
        now = self.view.state.meter.now()
        rows = [(one.conversation, one.unread, self.waited(one, now)) for one in self.found]
        drawn = (self.list, self.pane.open, rows, total, self.people.back(self.words.language))
        if drawn != self.drawn:
            self.drawn = drawn
            self.show_queue(total, now)

    def show_queue(self, total: dict[str, int], now: datetime) -> None:
        """Draw the list, and what is to be known above it."""
        words, waiting = self.words, total.get("waiting", 0)
        with self.frame:  # the button that led here may be drawn anew by now
            ui.page_title(f"{f'({waiting}) ' if waiting else ''}{words('inbox.title')} · Noria")
        back = self.people.back(words.language)
        self.hours.clear()
        with self.hours:
            told, look = (words("inbox.closed"), "warn") if back else (words("inbox.opened"), "grow")
            block(f'<span class="chip {look}" title="{escape(back, quote=True)}">{escape(told)}</span>')
        self.tabs.clear()
        with self.tabs:
            for name in LISTS:
                count = f'<b class="badge">{total[name]}</b>' if total.get(name) and name != "resolved" else ""
                button = ui.button(on_click=lambda name=name: self.choose(name), color=None).props("flat dense")
                button.classes("inbox-tab here" if name == self.list else "inbox-tab")
                button.props(f'aria-pressed={str(name == self.list).lower()} data-tab="{name}"')
                with button:
                    block(f"{escape(words(f'inbox.{name}'))}{count}")
        self.rows.clear()
        with self.rows:
            for one in self.found:
                self.row(one, now)
            if not self.found:
                paragraph(words(f"inbox.none_{self.list}"), "soft small inbox-none")

    def row(self, one: Queued, now: datetime) -> None:
        """Draw one conversation of the list."""
        kept = one.conversation
        who = f'<span class="chip" translate="no">{escape(kept.agent)}</span>' if kept.agent else ""
        told = escape(self.words("inbox.unread", count=one.unread), quote=True)
        unread = f'<b class="badge" title="{told}">{one.unread}</b>' if one.unread else ""
        button = ui.button(on_click=lambda: self.choose_conversation(kept.id), color=None).props("flat")
        button.classes("inbox-row here" if kept.id == self.pane.open else "inbox-row").props(f'data-row="{kept.id}"')
        with button:
            block(
                f'<span class="inbox-row-top"><b translate="no">{escape(title_of(kept))}</b>'
                f'<span class="small soft">{escape(self.waited(one, now))}</span></span>'
                f'<span class="inbox-row-foot" translate="no"><span class="inbox-row-last">{escape(one.last.text[:90])}</span>'
                f"{unread}</span>{who}",
                "inbox-row-in",
            )

    def waited(self, one: Queued, now: datetime) -> str:
        """Return how long a conversation waits; one that does not, when it last changed."""
        since = one.conversation.since if one.conversation.state == "waiting" else one.conversation.updated
        minutes = max(0, int((now - since).total_seconds())) // 60
        if minutes < 1:
            return self.words("inbox.just_now")
        if minutes < 60:
            return self.words("inbox.minutes", count=minutes)
        hours = minutes // 60
        return self.words("inbox.hours", count=hours) if hours < 24 else self.words("inbox.days", count=hours // 24)

    async def choose(self, name: str) -> None:
        """Show another list."""
        self.list = name
        await self.refresh()

    async def choose_conversation(self, conversation: str) -> None:
        """Open a conversation."""
        self.frame.classes(add="open")
        await self.pane.show(conversation)
        await self.refresh()

    async def close(self) -> None:
        """Go back to the list; the conversation stays whose it is."""
        self.frame.classes(remove="open")
        await self.refresh()

    async def key(self, pressed: events.KeyEventArguments) -> None:
        """Move in the list, and act on the conversation that is open, by keys pressed outside of what is written."""
        key, modifiers = pressed.key.name, pressed.modifiers
        if not pressed.action.keydown or modifiers.ctrl or modifiers.alt or modifiers.meta:
            return
        if key in ("j", "k") and self.found:
            ids = [one.conversation.id for one in self.found]
            step = 1 if key == "j" else -1
            at = ids.index(self.pane.open) + step if self.pane.open in ids else 0
            await self.choose_conversation(ids[at % len(ids)])
        elif key == "Escape" and self.pane.open:
            await self.pane.close()
        elif self.pane.open and key in ("c", "r", "e"):
            await {"c": self.pane.claim, "r": self.pane.focus, "e": self.pane.resolve}[key]()
