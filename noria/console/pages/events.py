"""Events: looked up by time, kind, user and text, taken away as files; a user forgotten, and every receipt of what was removed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from html import escape
from typing import TypeVar
from urllib.parse import urlencode

from nicegui import ui

from noria.console.session import require
from noria.console.shell import View, block, card, facts, foreign, link, paragraph, show_problem
from noria.console.tables import at, code, field, moment_of, show_table, used
from noria.core.errors import NoriaError
from noria.lake.erase import Receipt, receipts
from noria.lake.event import KINDS, OUTCOMES, Event
from noria.lake.tables import KINDS as FORMATS
from noria.server.http.lookup import PageOfEvents, count, forget_user, search

Result = TypeVar("Result")
PAGE = 25
_PSEUDONYM = re.compile(r"[0-9a-f]{16}")
_TEXT = 2_000
"""Characters of what was said that are shown."""
HEADS = ("time", "kind", "who", "app", "model", "outcome", "units", "took", "key")


async def show(view: View) -> None:
    """Draw the page."""
    page = _Search(view)
    page.draw()
    await page.search()
    await _Forget(view).draw()


class _Search:
    """Looking up events, in one browser tab."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.events: list[Event] = []
        self.next = ""

    def draw(self) -> None:
        """Draw what can be asked, and the place of what is found."""
        words = self.view.words
        with card(words("events.search")):
            with ui.element("div").classes("ask filters"):
                self.since = field(ui.input(words("events.since")), "since")
                self.until = field(ui.input(words("events.until")), "until")
                for one in (self.since, self.until):
                    one.props("type=datetime-local stack-label")
                kinds = {"": words("events.any_kind")} | {kind: words(f"events.kind_{kind}") for kind in KINDS}
                self.kind = field(ui.select(kinds, value=""), "kind")
                outcomes = {"": words("events.any_outcome")} | {one: words(f"events.outcome_{one}") for one in OUTCOMES}
                self.outcome = field(ui.select(outcomes, value=""), "outcome")
            with ui.element("div").classes("ask filters"):
                self.user = field(ui.input(words("events.user")).props("maxlength=256"), "user")
                self.text = field(ui.input(words("events.text")).props("maxlength=256"), "text")
                for one in (self.user, self.text):
                    one.on("keydown.enter", self.search)
                ui.button(words("events.find"), on_click=self.search, color=None).classes("primary").props("data-find")
            zone = foreign(self.view.state.days["zone"])
            block(f'<p class="small soft">{escape(words("events.zone"))} {zone}</p>')
            self.results = ui.element("div").props("aria-live=polite data-results")

    def asked(self) -> dict[str, str]:
        """Return what is asked, as the address of a route says it; it names no user but by pseudonym."""
        given = {"kind": self.kind.value or "", "outcome": self.outcome.value or ""}
        given["text"] = (self.text.value or "").strip()
        given["pseudonym"] = pseudonym_of(self.view, self.user.value)
        for name, one in (("since", self.since), ("until", self.until)):
            if moment := moment_of(self.view, one.value):
                given[name] = moment.isoformat()
        return {name: value for name, value in given.items() if value}

    async def search(self) -> None:
        """Look for what is asked, and show the first of it."""
        self.events, self.next = [], ""
        await self.more()

    async def more(self) -> None:
        """Show more of what was found."""
        view, asked = self.view, self.asked()
        try:
            require(view.session, "admin")
            query = PageOfEvents.model_validate({**asked, "most": PAGE, "after": self.next})
            found = await search(view.state, query)
        except NoriaError as error:
            show_problem(self.results, error.text(view.words.language))
            return
        self.events += found.events
        self.next = found.next
        self.results.clear()
        with self.results:
            heads = [view.words(f"events.{name}") for name in HEADS]
            none = view.words("events.none")
            show_table(heads, [row(view, one) for one in self.events], numbers=(6, 7), none=none)
            if self.next:
                more = ui.button(view.words("events.more"), on_click=self.more, color=None).classes("quiet")
                more.props("flat dense data-more")
            taken(view, "events", asked)


def row(view: View, event: Event) -> list[str]:
    """Return an event as the cells of a table; what was said folds out below its kind."""
    words = view.words
    kind = escape(words(f"events.kind_{event.kind}"))
    if event.text:
        said = escape(event.text[:_TEXT]) + ("…" if len(event.text) > _TEXT else "")
        kind = f'<details><summary>{kind}</summary><div class="said-kept" translate="no">{said}</div></details>'
    look = {"ok": "chip grow", "blocked": "chip build"}.get(event.outcome, "chip warn")
    return [
        at(view, event.time),
        kind,
        code(event.user),
        foreign(event.app),
        foreign(event.model) if event.model else "–",
        f'<span class="{look}">{escape(words(f"events.outcome_{event.outcome}"))}</span>',
        used(words, event.units, event.unit) if event.units else "–",
        f"{event.latency_ms:,.0f} ms" if event.latency_ms else "–",
        code(event.tenant),
    ]


def taken(view: View, what: str, asked: dict[str, str]) -> None:
    """Show the links by which what was found is taken away, all of it."""
    links = []
    for format, name in zip(FORMATS, ("CSV", "Parquet", "JSONL"), strict=True):
        address = link(f"/take/{what}?{urlencode({**asked, 'format': format})}")
        links.append(f'<a href="{escape(address, quote=True)}" download data-take="{format}">{name}</a>')
    told = f'{escape(view.words("events.take"))} <span translate="no">{" · ".join(links)}</span>'
    block(f'<p class="small soft take">{told}</p>')


def pseudonym_of(view: View, given: str | None) -> str:
    """Return the pseudonym of a user who is told by name or by it."""
    name = (given or "").strip()
    return name if _PSEUDONYM.fullmatch(name) else view.state.meter.pseudonym(name)


class _Forget:
    """Forgetting a user, and the receipts of it, in one browser tab."""

    def __init__(self, view: View) -> None:
        self.view, self.words = view, view.words

    async def draw(self) -> None:
        """Draw the form and the receipts."""
        words = self.words
        with card(words("events.forget")):
            paragraph(words("events.forget_what"), "small soft")
            with ui.element("div").classes("ask filters"):
                self.user = field(ui.input(words("events.user")).props("maxlength=256"), "forgotten")
                self.user.on("keydown.enter", self.look)
                ui.button(words("events.look"), on_click=self.look, color=None).classes("quiet").props("data-look")
            self.told = ui.element("div").props("aria-live=assertive data-told")
        self.list = ui.element("div").props("data-receipts")
        await self.refresh()

    async def look(self) -> None:
        """Say how much there is of the user, before anything is removed."""
        user = pseudonym_of(self.view, self.user.value)
        self.told.clear()
        if not user:
            return
        found = await self._tried(lambda: count(self.view.state, user))
        if found is None:
            return
        with self.told:
            paragraph(self.words("events.there", count=f"{found:,}", user=user))
            go = ui.button(self.words("events.forget_now"), on_click=lambda: self.forget(user), color=None)
            go.classes("primary").props("data-forget")

    async def forget(self, user: str) -> None:
        """Forget the user, and show the receipt."""
        self.told.clear()
        with self.told:
            paragraph(self.words("app.working"), "soft")
        made = await self._tried(lambda: forget_user(self.view.state, self.view.session.key, user))
        if made is None:
            return
        self.told.clear()
        self.user.set_value("")
        with self.told:
            paragraph(self.words("events.forgotten", receipt=made.id))
        await self.refresh(made.id)

    async def _tried(self, deed: Callable[[], Awaitable[Result]]) -> Result | None:
        try:
            require(self.view.session, "admin")
            return await deed()
        except NoriaError as error:
            show_problem(self.told, error.text(self.words.language))
            return None

    async def refresh(self, opened: str = "") -> None:
        """Show the receipts that are kept."""
        found = await asyncio.to_thread(receipts, self.view.state.lake)
        self.list.clear()
        with self.list, card(self.words("events.receipts", count=len(found))):
            if not found:
                paragraph(self.words("events.no_receipts"), "soft")
            for one in found:
                self._receipt(one, one.id == opened)

    def _receipt(self, one: Receipt, opened: bool) -> None:
        words = self.words
        whom = code(one.user) if one.what == "user" else escape(words("events.retention"))
        head = f"{at(self.view, one.time)} · {whom} · {escape(words('events.removed', count=f'{one.from_outboxes + one.from_lake:,}'))}"
        made = ui.element("details").classes("found").props(f'data-receipt="{one.id}"' + (" open" if opened else ""))
        with made:
            ui.html(head, sanitize=False, tag="summary")
            names = ("from_outboxes", "from_lake", "about", "texts", "turns", "watched")
            shown = [(words(f"events.receipt_{name}"), f"{getattr(one, name):,}") for name in names]
            kept = ", ".join(f"{name} {value}" for name, value in one.settings.items() if value is not None)
            facts(
                [
                    (words("events.receipt_id"), code(one.id)),
                    *shown,
                    *([(words("events.kept"), foreign(kept))] if kept else []),
                ]
            )
            rows = [
                [foreign(file.file), f"{file.removed:,}", code(file.before[:12]), code(file.after[:12])]
                for file in one.files
            ]
            if rows:
                show_table(
                    [words(f"events.file_{name}") for name in ("name", "removed", "before", "after")],
                    rows,
                    numbers=(1,),
                )
