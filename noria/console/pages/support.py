"""Support: a conversation with the desk, kept as any customer's: it answers, asks back, acts or hands over, and people reply in it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

from nicegui import ui

from noria.console.figures import figures
from noria.console.metered import metered
from noria.console.records import figure_of, stages
from noria.console.shell import View, block, card, empty, paragraph
from noria.core.errors import NoriaError
from noria.lake.conversation import VISIBLE, ConversationError, Turn
from noria.lake.event import new_id
from noria.server.http.context import RequestContext

if TYPE_CHECKING:
    from noria.apps.support.routes import Support

CHIPS = {"answer": "chip grow", "confirm": "chip build", "handover": "chip warn", "courtesy": "chip"}
SUGGESTIONS = ("what", "install", "audience", "languages", "name", "offline")
MOST_SUGGESTIONS = 4
EVERY_SECONDS = 1.0
"""How often it is looked for what a person replied."""


def show(view: View) -> None:
    """Draw the page."""
    from noria.apps.support.routes import Support

    app = next((one for one in view.state.apps if isinstance(one, Support)), None)
    if app is None:
        empty(view.words, "support.empty", "noria ship serve MODELS --apps support --console runs/demo")
        return
    with ui.element("div").classes("columns wide-left"):
        with card():
            _Conversation(view, app).draw()
        with ui.element("div").classes("stack"):
            _measured(view)


class _Conversation:
    """One conversation in one browser tab."""

    def __init__(self, view: View, app: Support) -> None:
        self.view, self.app, self.words = view, app, view.words
        self.name = f"console-{new_id()}"
        self.kept = ""
        """Its id among all; empty until something was said."""
        self._last, self._shown = 0, set[int]()
        self._at_work = asyncio.Lock()

    def draw(self) -> None:
        """Draw it, and show from then on what people reply."""
        words = self.words
        self.said = ui.element("div").classes("talk").props('aria-live="polite" data-talk')
        with self.said:
            block(escape(words("support.hello")), "said app")
        with ui.element("div").classes("ask"):
            self.entry = (
                ui.input(placeholder=words("support.ask")).props("outlined dense maxlength=2000").classes("field")
            )
            self.entry.on("keydown.enter", self.send)
            self.button = (
                ui.button(words("support.send"), on_click=self.send, color=None).classes("primary").props("data-send")
            )
        paragraph(words("support.try"), "small soft").style("margin: 14px 0 6px")
        with ui.element("div").classes("samples"):
            for question in self._suggestions():
                ui.button(question, on_click=lambda question=question: self.ask(question), color=None).classes(
                    "quiet"
                ).props('flat dense data-suggestion translate="no"')
        ui.timer(EVERY_SECONDS, self.refresh)

    def _suggestions(self) -> list[str]:
        known = {entry.id: entry.title(self.words.language) for entry in self.app.faq.entries}
        chosen = [known[name] for name in SUGGESTIONS if name in known]
        return (chosen + [question for question in known.values() if question not in chosen])[:MOST_SUGGESTIONS]

    async def send(self) -> None:
        """Say what is written."""
        text = (self.entry.value or "").strip()
        if text:
            self.entry.set_value("")
            await self.ask(text)

    async def ask(self, text: str, row: ui.element | None = None) -> None:
        """Say something as a customer does, and show what became of it.

        Args:
            text: what is said.
            row: buttons that are done with it.
        """
        if row is not None:
            row.delete()
        with self.said:
            block(escape(text), "said person").props('translate="no"')
        self.button.disable()
        try:
            async with self._at_work, metered(self.view, app=self.app.name) as context:
                user = context.state.meter.pseudonym(self.view.user)
                came = await self.app.people.kept.message(context.tenant, self.name, text, client=context.id, user=user)
                self.kept = came.conversation.id
                self._shown.add(came.turn.number)
                reply = await self.app.messages.replied(context, came)
                self._shown.add(reply["number"])
            self._show(reply)
        except NoriaError as error:
            self._fault(error)
        finally:
            self.button.enable()

    async def refresh(self) -> None:
        """Show what came after, as a person's reply."""
        if not self.kept or self._at_work.locked():
            return
        async with self._at_work:
            try:
                stands, turns = await self.app.people.turns(self.kept, self._last)
            except ConversationError:  # removed meanwhile, on its customer's wish
                return
            for turn in turns:
                if turn.kind in VISIBLE and turn.number not in self._shown:
                    self._shown.add(turn.number)
                    self._later(turn)
            self._last = stands.length

    async def judge(self, value: float, request: str, row: ui.element) -> None:
        """Record what is thought of an answer."""
        row.clear()
        user, tenant = self.view.user, self.view.session.tenant
        await RequestContext(self.view.state).record(
            "feedback", user=user, tenant=tenant, app=self.app.name, subject=request, value=value
        )
        with row:
            ui.html(escape(self.words("support.thanks")), sanitize=False, tag="span")

    def _show(self, reply: Mapping[str, Any]) -> None:
        words, action = self.words, reply["action"]
        if action == "person":  # nothing was replied: a person has the conversation, or is to have it
            with self.said:
                block(escape(words("support.waits")), "inbox-event").props('data-action="person"')
            self._to_end()
            return
        told = [f'<span class="{CHIPS[action]}">{escape(words(f"support.{action}"))}</span>']
        if not reply.get("flow"):
            sure = words("support.confidence", value=f"{reply['confidence']:.0%}")
            told.append(f"<span>{escape(sure)}</span>")
        with self.said, ui.element("div").classes("said app").props(f'data-action="{action}"'):
            block(escape(reply["text"])).props('translate="no"')
            block("".join(told), "why")
            row = ui.element("div").classes("why choices")
            with row:
                if action == "confirm" and (choices := reply.get("choices")):
                    for choice in choices:
                        self._button(choice["question"], partial(self.ask, choice["question"], row), foreign=True)
                    self._button(words("support.no"), partial(self.ask, words("support.no"), row))
                elif action == "answer":
                    self._button(words("support.right"), partial(self.judge, 1.0, reply["id"], row))
                    self._button(words("support.wrong"), partial(self.judge, -1.0, reply["id"], row))
        self._to_end()

    def _later(self, turn: Turn) -> None:
        with self.said, ui.element("div").classes("said app").props(f'data-turn="{turn.kind}"'):
            block(escape(turn.text)).props('translate="no"')
            if turn.author:
                block(f'<span translate="no">{escape(turn.author)}</span>', "why")
        self._to_end()

    def _to_end(self) -> None:
        script = "document.querySelector('[data-talk]').scrollTo({top: 1e9, behavior: 'smooth'})"
        self.said.client.run_javascript(script)

    def _button(self, text: str, pressed: Callable[[], Awaitable[None]], *, foreign: bool = False) -> None:
        button = ui.button(text, on_click=pressed, color=None).classes("quiet").props("flat dense")
        if foreign:
            button.props('translate="no"')

    def _fault(self, error: NoriaError) -> None:
        with self.said:
            block(escape(error.text(self.words.language)), "note warn").props('role="alert" translate="no"')


def _measured(view: View) -> None:
    """Show what the run measured of customer service, where it did."""
    record = stages(view.root).get("ship")
    found = [figure_of(entry) for entry in record.facts.get("support") or []] if record else []
    if found:
        with card(view.words("support.measured")):
            figures(found, view.words, rows=True)
