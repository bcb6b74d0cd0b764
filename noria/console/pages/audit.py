"""Audit: who changed what and when, whether the log is whole, and all of it to take away."""

from __future__ import annotations

import asyncio
from html import escape

from nicegui import ui

from noria.console.session import require
from noria.console.shell import View, block, card, foreign, show_problem
from noria.console.tables import at, code, field, moment_of, show_table
from noria.core.errors import NoriaError
from noria.core.messages import message
from noria.server.audit import Entry
from noria.server.http.keys import ROLES
from noria.server.http.managing import PageOfEntries, entries

from .events import taken

PAGE = 50
HEADS = ("time", "actor", "role", "action", "subject", "details")


async def show(view: View) -> None:
    """Draw the page."""
    await _chain(view)
    page = _Log(view)
    page.draw()
    await page.search()


async def _chain(view: View) -> None:
    """Show whether the log is whole."""
    words = view.words
    checked = await asyncio.to_thread(view.state.audit.check)
    with card(words("audit.chain")).props(f'data-whole="{str(checked.whole).lower()}"'):
        told = [words("audit.whole", count=f"{checked.entries:,}") if checked.whole else ""]
        told += [words("audit.broken", line=f"{checked.broken:,}")] if checked.broken else []
        told += [words("audit.missing")] if checked.missing else []
        told += [words("audit.torn", count=checked.torn)] if checked.torn else []
        look = "note" if checked.whole and not checked.torn else "note warn"
        block(f'<div class="{look}">{escape(" ".join(one for one in told if one))}</div>')
        block(f'<p class="small soft">{escape(words("audit.note"))} {code(checked.last)}</p>')


class _Log:
    """The log in one browser tab."""

    def __init__(self, view: View) -> None:
        self.view, self.words = view, view.words
        self.entries: list[Entry] = []
        self.next = 0

    def draw(self) -> None:
        """Draw what can be asked, and the place of what is found."""
        words, view = self.words, self.view
        self.names = {key.id: key.name for key in view.state.keys.list()}
        with card(words("audit.log")):
            with ui.element("div").classes("ask filters"):
                self.since = field(ui.input(words("audit.since")), "since")
                self.until = field(ui.input(words("audit.until")), "until")
                for one in (self.since, self.until):
                    one.props("type=datetime-local stack-label")
                actors = {"": words("audit.any_actor")} | {
                    actor: self._who(actor) for actor in sorted({one.actor for one in view.state.audit.entries()})
                }
                self.actor = field(ui.select(actors, value="", with_input=True), "actor")
            with ui.element("div").classes("ask filters"):
                self.action = field(ui.input(words("audit.action_like")).props("maxlength=64"), "action")
                self.text = field(ui.input(words("audit.text")).props("maxlength=256"), "text")
                for one in (self.action, self.text):
                    one.on("keydown.enter", self.search)
                ui.button(words("audit.find"), on_click=self.search, color=None).classes("primary").props("data-find")
            zone = foreign(view.state.days["zone"])
            block(f'<p class="small soft">{escape(words("audit.zone"))} {zone}</p>')
            self.results = ui.element("div").props("aria-live=polite data-results")

    def _who(self, actor: str) -> str:
        """Return the name of an actor: a key's with its id, or what stands for those that no key has."""
        if actor in self.names:
            return f"{self.names[actor]} ({actor})"
        known = {"console": "link", "command line": "command_line", "server": "server"}
        return self.words(f"audit.by_{known[actor]}") if actor in known else actor

    def asked(self) -> dict[str, str]:
        """Return what is asked, as the address of a route says it."""
        given = {"actor": self.actor.value, "action": self.action.value, "text": self.text.value}
        for name, one in (("since", self.since), ("until", self.until)):
            moment = moment_of(self.view, one.value)
            given[name] = moment.isoformat() if moment else ""
        return {name: value.strip() for name, value in given.items() if value and value.strip()}

    async def search(self) -> None:
        """Look for what is asked, and show the first of it."""
        self.entries, self.next = [], 0
        await self.more()

    async def more(self) -> None:
        """Show more of what was found."""
        asked = self.asked()
        try:
            require(self.view.session, "admin")
            query = PageOfEntries.model_validate({**asked, "most": PAGE, "below": self.next})
            found, self.next = await asyncio.to_thread(entries, self.view.state, query)
        except NoriaError as error:
            show_problem(self.results, error.text(self.words.language))
            return
        self.entries += found
        self.results.clear()
        with self.results:
            heads = [self.words(f"audit.{name}") for name in HEADS]
            show_table(heads, [self._row(one) for one in self.entries], none=self.words("audit.none"))
            if self.next:
                more = ui.button(self.words("audit.more"), on_click=self.more, color=None).classes("quiet")
                more.props("flat dense data-more")
            taken(self.view, "audit", asked)

    def _row(self, one: Entry) -> list[str]:
        told = "".join(
            f'<span class="chip" translate="no">{escape(f"{name}: {value}")}</span> '
            for name, value in one.details.items()
            if value is not None
        )
        role = message(f"server.role_{one.role}")[self.words.language] if one.role in ROLES else "–"
        who = foreign(self._who(one.actor)) if one.actor in self.names else escape(self._who(one.actor))
        return [at(self.view, one.at), who, escape(role), code(one.action), foreign(one.subject), told]
