"""Support: a talk with the customer-service application: it answers, asks back or hands over, and says how sure it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from html import escape
from typing import TYPE_CHECKING

from nicegui import ui

from noria.console.figures import figures
from noria.console.metered import metered
from noria.console.records import figure_of, stages
from noria.console.shell import View, block, card, empty, paragraph
from noria.core.errors import NoriaError
from noria.lake.event import new_id
from noria.server.http.context import RequestContext

if TYPE_CHECKING:
    from noria.apps.support.replies import Reply
    from noria.apps.support.routes import Support

CHIPS = {"answer": "chip grow", "confirm": "chip build", "handover": "chip warn", "courtesy": "chip"}
SUGGESTIONS = ("what", "install", "audience", "languages", "name", "offline")
MOST_SUGGESTIONS = 4


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
        self.conversation = new_id()

    def draw(self) -> None:
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

    def _suggestions(self) -> list[str]:
        known = {entry.id: entry.title(self.words.language) for entry in self.app.faq.entries}
        chosen = [known[name] for name in SUGGESTIONS if name in known]
        return (chosen + [question for question in known.values() if question not in chosen])[:MOST_SUGGESTIONS]

    async def send(self) -> None:
        text = (self.entry.value or "").strip()
        if text:
            self.entry.set_value("")
            await self.ask(text)

    async def ask(self, question: str) -> None:
        with self.said:
            block(escape(question), "said person").props('translate="no"')
        self.button.disable()
        try:
            async with metered(self.view, app=self.app.name) as context:
                reply, request = await self.app.ask(context, question, self.conversation)
            self._show(reply, request)
        except NoriaError as error:
            self._fault(error)
        finally:
            self.button.enable()

    async def choose(self, entry: str | None, language: str, request: str, row: ui.element) -> None:
        row.delete()
        try:
            async with metered(self.view, app=self.app.name) as context:
                reply = await self.app.choose(context, entry, language, request)
            self._show(reply, context.id)
        except NoriaError as error:
            self._fault(error)

    async def judge(self, value: float, request: str, row: ui.element) -> None:
        row.clear()
        user, tenant = self.view.user, self.view.session.tenant
        await RequestContext(self.view.state).record(
            "feedback", user=user, tenant=tenant, app=self.app.name, subject=request, value=value
        )
        with row:
            ui.html(escape(self.words("support.thanks")), sanitize=False, tag="span")

    def _show(self, reply: Reply, request: str) -> None:
        words = self.words
        sure = words("support.confidence", value=f"{reply.confidence:.0%}")
        with self.said, ui.element("div").classes("said app").props(f'data-action="{reply.action}"'):
            block(escape(reply.text)).props('translate="no"')
            block(
                f'<span class="{CHIPS[reply.action]}">{escape(words(f"support.{reply.action}"))}</span><span>{escape(sure)}</span>',
                "why",
            )
            row = ui.element("div").classes("why choices")
            with row:
                if reply.action == "confirm" and reply.choices:
                    for choice in reply.choices:
                        chosen = partial(self.choose, choice.entry, reply.language, request, row)
                        self._button(choice.question, chosen, foreign=True)
                    self._button(words("support.no"), partial(self.choose, None, reply.language, request, row))
                elif reply.action == "answer":
                    self._button(words("support.right"), partial(self.judge, 1.0, request, row))
                    self._button(words("support.wrong"), partial(self.judge, -1.0, request, row))
        ui.run_javascript("document.querySelector('[data-talk]').scrollTo({top: 1e9, behavior: 'smooth'})")

    def _button(self, text: str, pressed: Callable[[], Awaitable[None]], *, foreign: bool = False) -> None:
        button = ui.button(text, on_click=pressed, color=None).classes("quiet").props("flat dense")
        if foreign:
            button.props('translate="no"')

    def _fault(self, error: NoriaError) -> None:
        with self.said:
            block(escape(str(error)), "note warn").props('role="alert" translate="no"')


def _measured(view: View) -> None:
    """Show what the run measured of customer service, where it did."""
    record = stages(view.root).get("ship")
    found = [figure_of(entry) for entry in record.facts.get("support") or []] if record else []
    if found:
        with card(view.words("support.measured")):
            figures(found, view.words, rows=True)
