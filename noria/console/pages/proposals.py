"""Proposals: what customers asked and the desk did not know; a person edits them, accepts them, and the desk knows them at once."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from html import escape
from typing import TYPE_CHECKING

from nicegui import ui

from noria.console.session import require
from noria.console.shell import View, block, empty, foreign, link, paragraph, problem, show_notice, show_problem
from noria.core.errors import NoriaError

if TYPE_CHECKING:
    from noria.apps.support.review.accepting import Proposals
    from noria.apps.support.review.table import Held, State
    from noria.apps.support.routes import Support

STATES: tuple[State, ...] = ("waiting", "accepted", "dropped")
WEEKS = {"week": 1, "month": 4, "all": None}
"""Name of a span that is looked through -> whole weeks before this one."""
SHOWN = 20
"""Proposals that are drawn at once; more on wish."""
_CONVERSATION = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


async def show(view: View) -> None:
    """Draw the page."""
    from noria.apps.support.routes import Support

    app: Support | None = next((one for one in view.state.apps if isinstance(one, Support)), None)
    if app is None:
        empty(view.words, "proposals.empty", "noria ship serve MODELS --apps support --console runs/demo")
        return
    await _Page(view, app.proposals).draw()


class _Page:
    """The page in one browser tab."""

    def __init__(self, view: View, proposals: Proposals) -> None:
        self.view, self.words, self.proposals = view, view.words, proposals
        self.state: State = "waiting"
        self.shown = SHOWN

    async def draw(self) -> None:
        """Draw the page."""
        words = self.words
        with ui.element("section").classes("card proposals-head"):
            self.tabs = ui.element("div").classes("inbox-tabs").props("role=group")
            with ui.element("div").classes("proposals-look"):
                spans = {name: words(f"proposals.{name}") for name in WEEKS}
                self.span = ui.select(spans, value="week").props("outlined dense options-dense").classes("field")
                self.span.props["aria-label"] = words("proposals.look")
                self.button = ui.button(words("proposals.look"), on_click=self.look, color=None).classes("primary")
                self.button.props("data-look")
            self.notice = ui.element("div").props("aria-live=polite data-told")
        self.list = ui.element("div").classes("stack").props("data-proposals")
        await self.refresh()

    async def refresh(self) -> None:
        """Show what is kept now."""
        words = self.words
        found, counts = await self.proposals.listed(self.state)
        self.tabs.clear()
        with self.tabs:
            for state in STATES:
                here = state == self.state
                button = ui.button(on_click=partial(self.choose, state), color=None).props("flat dense")
                button.classes("inbox-tab here" if here else "inbox-tab")
                button.props(f'aria-pressed={str(here).lower()} data-tab="{state}"')
                with button:
                    count = f'<b class="badge">{counts[state]}</b>' if counts[state] else ""
                    block(f"{escape(words(f'proposals.{state}'))}{count}")
        self.list.clear()
        with self.list:
            for one in found[: self.shown]:
                _Card(self, one)
            if not found:
                with ui.element("section").classes("card"):
                    paragraph(words(f"proposals.none_{self.state}"), "soft")
            if len(found) > self.shown:
                ui.button(words("proposals.more"), on_click=self.more, color=None).classes("quiet").props("flat dense")

    async def choose(self, state: State) -> None:
        """Show the proposals in another state."""
        self.state, self.shown = state, SHOWN
        await self.refresh()

    async def more(self) -> None:
        """Show more of the same."""
        self.shown += SHOWN
        await self.refresh()

    async def look(self) -> None:
        """Look for what was not answered."""
        self.notify(self.words("app.working"))
        self.button.disable()
        try:
            require(self.view.session, "agent")
            new = await self.proposals.look(WEEKS[str(self.span.value)])
        except NoriaError as error:
            show_problem(self.notice, error.text(self.words.language))
        else:
            self.notify(self.words("proposals.found", count=new))
            await self.choose("waiting")
        finally:
            self.button.enable()

    def notify(self, text: str) -> None:
        """Say what was done, in a line."""
        show_notice(self.notice, text)


class _Card:
    """One proposal, where it can be edited."""

    def __init__(self, page: _Page, held: Held) -> None:
        self.page, self.held, words = page, held, page.words
        self.busy = False
        with ui.element("section").classes("card proposal").props("data-proposal"):
            chips = f'<span class="chip build">{escape(words("proposals.asked", count=held.asked))}</span>'
            block(f"{chips} {' '.join(self._source(one) for one in held.sources)}", "proposal-top small")
            self.question = self._field(ui.input(words("proposals.question"), value=held.question), 2_000, "question")
            similar = ui.textarea(words("proposals.similar"), value="\n".join(held.similar)).props("autogrow")
            self.similar = self._field(similar, 20_000, "similar")
            answer = ui.textarea(words("proposals.answer"), value=held.answer).props("autogrow")
            self.answer = self._field(answer, 8_000, "answer")
            self.notice = ui.element("div").props("aria-live=assertive")
            with ui.element("div").classes("proposal-deeds"):
                if held.state == "waiting":
                    self._button("drop", partial(self.change, "dropped"))
                    self._button("accept", partial(self.change, "accepted"), first=True)
                elif held.state == "accepted":
                    self._button("drop", partial(self.change, "dropped"))
                    self._button("save", partial(self.change, "accepted"), first=True)
                else:
                    self._button("back", partial(self.change, "waiting"))

    def _source(self, name: str) -> str:
        if not _CONVERSATION.fullmatch(name):
            return f'<span class="chip">{foreign(name)}</span>'
        address = f"{link('/inbox')}?conversation={name}"
        return f'<a class="chip" href="{address}">{escape(self.page.words("proposals.conversation"))}</a>'

    def _field(self, made: ui.input | ui.textarea, most: int, name: str) -> ui.input | ui.textarea:
        return made.props(f'outlined dense maxlength={most} data-field="{name}"').classes("field")

    def _button(self, name: str, pressed: Callable[[], Awaitable[None]], *, first: bool = False) -> None:
        button = ui.button(self.page.words(f"proposals.{name}"), on_click=pressed, color=None)
        button.classes("primary" if first else "quiet").props(f'data-deed="{name}"' + ("" if first else " flat dense"))

    async def change(self, state: State) -> None:
        """Keep what is written, and do with it what was wished; nothing written is lost where that is refused."""
        words, page = self.page.words, self.page
        if self.busy:
            return
        self.busy = True
        self.notice.clear()
        page.notify(words("app.working"))
        try:
            require(page.view.session, "editor")
            await page.proposals.change(
                self.held.id,
                state=state,
                question=(self.question.value or "").strip(),
                similar=[line.strip() for line in (self.similar.value or "").splitlines()],
                answer=(self.answer.value or "").strip(),
            )
        except NoriaError as error:
            self.busy = False
            page.notice.clear()
            with self.notice:
                problem(error.text(words.language))
            return
        page.view.audit("proposal.change", self.held.id, state=state)
        page.notify(words("proposals.known" if state == "accepted" else "proposals.done"))
        await page.refresh()
