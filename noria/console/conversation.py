"""One conversation of the inbox: what was said, what may be answered, and what its person may do with it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from html import escape
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from nicegui import events, ui

from noria.console.shell import View, block, paragraph, problem
from noria.core.errors import NoriaError
from noria.lake.conversation import Conversation, ConversationError, Turn
from noria.lake.event import new_id
from noria.server.http.context import RequestContext

if TYPE_CHECKING:
    from noria.apps.support.inbox import Suggestion
    from noria.apps.support.routes import Support

ALIVE = 0.25
"""Part of what a claim lasts after which it is noted again that its person looks on."""
SIDES = {"message": "customer", "reply": "desk", "person": "agent", "note": "remark"}
"""Kind of turn -> how it stands in the conversation; all others are told in a line."""
SEND = "(e) => { if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); emit() } }"
"""Enter sends, Shift+Enter begins a line; an Enter that chooses among the characters of an input method does neither."""
SHORT = 8
"""Characters of a pseudonym or an id that tell customers apart in a list."""


def title_of(conversation: Conversation) -> str:
    """Return what a conversation is called in a list: its customer's pseudonym, or its own name, cut short."""
    if conversation.user:
        return f"#{conversation.user[:SHORT]}"
    name = conversation.name
    return name if len(name) <= 2 * SHORT else f"{name[:SHORT]}…{name[-4:]}"


class Pane:
    """The part of the page that shows a conversation.

    Args:
        view: the page.
        app: customer service.
        agent: name of the person.
        closed: called when it is left.
    """

    def __init__(self, view: View, app: Support, agent: str, closed: Callable[[], Awaitable[None]]) -> None:
        self.view, self.app, self.words, self.people = view, app, view.words, app.people
        self.agent, self.open = agent, ""
        self._closed, self._alive, self._note, self._sending = closed, 0.0, False, ""
        self._frame_drawn: Any = None
        self._length = 0
        self._client = ui.context.client
        """What is done by a button goes on after the button is drawn anew: only the page itself stays."""
        self._place = ui.element("section").classes("card inbox-talk")
        self._place.props["aria-label"] = self.words("inbox.conversation")
        self._empty()

    async def show(self, conversation: str) -> None:
        """Show a conversation. The cursor stays out of the reply: keys move on in the list, and a phone shows no keyboard."""
        if conversation != self.open:
            self.open, self._frame_drawn, self._note, self._sending = conversation, None, False, new_id()
            await self.refresh()

    async def focus(self) -> None:
        """Put the cursor where a reply is written."""
        self._client.run_javascript("document.querySelector('[data-entry]')?.focus()")

    async def refresh(self) -> None:
        """Show what changed since the last time; note now and then that its person looks on.

        Raises:
            NoriaError: it cannot be read.
        """
        if not self.open:
            return
        try:
            kept, turns = await self.people.turns(self.open)
            alive = self._alive + ALIVE * 60 * self.people.settings.claim_minutes
            if time.monotonic() > alive or kept.length > kept.seen:
                self._alive = time.monotonic()
                kept = await self.people.see(self.open, self.agent)
        except ConversationError:  # removed meanwhile, on its customer's wish
            await self.close()
            return
        framed = (kept.id, kept.state, kept.agent, self.agent)
        if framed != self._frame_drawn:
            written = self._entry.value if self._frame_drawn and self._frame_drawn[0] == kept.id else ""
            self._frame_drawn, self._length = framed, 0
            self._frame(kept, written or "")
        if kept.length == self._length:
            return
        self._length = kept.length
        self._said.clear()
        with self._said:
            for turn in turns:
                self._turn(turn)
        said = [turn for turn in turns if turn.kind in ("message", "person", "resolve")]
        await self._suggest(said[-1].text if said and said[-1].kind == "message" else "")
        # Once the suggestions below have taken their room.
        self._client.run_javascript("setTimeout(() => document.querySelector('[data-said]')?.scrollTo({top: 1e9}), 60)")

    def _empty(self) -> None:
        self._place.clear()
        with self._place:
            paragraph(self.words("inbox.choose"), "soft inbox-none")

    def _frame(self, kept: Conversation, written: str) -> None:
        """Draw what stands round a conversation: who it is, what may be done, and where a reply is written."""
        words, mine = self.words, kept.state == "claimed" and kept.agent == self.agent
        self._place.clear()
        with self._place:
            with ui.element("div").classes("inbox-talk-head"):
                self._button("back", self.close).classes("inbox-back")
                holder = f' · <span translate="no">{escape(kept.agent)}</span>' if kept.state == "claimed" else ""
                block(
                    f'<h2 translate="no">{escape(title_of(kept))}</h2>'
                    f'<span class="small soft">{escape(words(f"inbox.{kept.state}"))}{holder}</span>',
                    "inbox-who",
                )
                with ui.element("div").classes("inbox-deeds"):
                    if mine:
                        self._button("transfer", self._ask_whom)
                        self._button("release", self.release)
                        self._button("resolve", self.resolve).classes(remove="quiet", add="primary")
                    else:
                        self._button("claim", self.claim).classes(remove="quiet", add="primary")
            self._told = ui.element("div").props("aria-live=assertive")
            self._said = ui.element("div").classes("inbox-said").props("data-said role=log tabindex=0")
            self._suggested = ui.element("div").classes("inbox-suggested").props("data-suggested")
            self._entry = ui.textarea(value=written).props("outlined dense autogrow maxlength=8000 data-entry")
            self._entry.classes("field").on("keydown", self.send, js_handler=SEND)
            with ui.element("div").classes("inbox-send"):
                note = ui.checkbox(words("inbox.note"), value=self._note, on_change=self._to_note).props(
                    "dense data-note"
                )
                note.tooltip(words("inbox.note_why"))
                self._button("send", self.send).classes(remove="quiet", add="primary")
        self._label()

    def _button(self, name: str, pressed: Callable[[], Awaitable[None]]) -> ui.button:
        button = ui.button(self.words(f"inbox.{name}"), on_click=pressed, color=None).classes("quiet")
        return button.props(f'flat dense data-deed="{name}"')

    def _label(self) -> None:
        self._entry.props["label"] = self.words("inbox.write_note" if self._note else "inbox.write_reply")
        self._entry.classes(add="remark") if self._note else self._entry.classes(remove="remark")
        self._entry.update()

    def _to_note(self, changed: events.ValueChangeEventArguments[bool | None]) -> None:
        self._note = bool(changed.value)
        self._label()

    def _turn(self, turn: Turn) -> None:
        from noria.apps.support.messages import sources_of

        side, words = SIDES.get(turn.kind), self.words
        at = f"{turn.time.astimezone(ZoneInfo(self.people.settings.zone)):%m-%d %H:%M}"
        if side is None:
            told = words(f"inbox.turn_{turn.kind}", who=turn.author, whom=turn.text or words("inbox.whoever"))
            block(f'<span translate="no">{escape(told)} · {at}</span>', "inbox-event")
            return
        titles = "; ".join(one["title"] for one in sources_of(turn.facts))
        source = f" · {words('inbox.source')} {titles}" if titles else ""
        who = turn.author or words(f"inbox.{side}")
        made = block(f'{escape(turn.text)}<span class="why">{escape(f"{who} · {at}{source}")}</span>', f"said {side}")
        made.props(f'translate="no" data-turn="{turn.kind}"')

    async def _suggest(self, asked: str) -> None:
        """Show what may be answered; it is no request of a customer's, and counted as none."""
        found: list[Suggestion] = []
        if asked:
            try:
                found = await self.app.suggest(RequestContext(self.view.state), asked)
            except NoriaError:
                found = []  # the model is away: a person needs no suggestion
        self._suggested.clear()
        with self._suggested:
            if found:
                paragraph(self.words("inbox.suggested"), "small soft")
            for one in found:
                button = ui.button(on_click=lambda one=one: self._take(one), color=None).props(
                    "flat dense data-suggestion"
                )
                with button.classes("inbox-suggestion"):
                    told = f"<b>{escape(one.question)}</b><span>{escape(one.answer)}</span>"
                    block(told, "inbox-suggestion-in").props('translate="no"')

    async def _take(self, one: Suggestion) -> None:
        """Put a suggested answer where it can be changed before it is sent."""
        self._entry.set_value(one.answer)
        await self.focus()

    async def send(self) -> None:
        """Send what is written, as a reply or a note; it stays written where that is refused."""
        text = (self._entry.value or "").strip()
        if not text:
            return
        kept = self.people.kept.note if self._note else self.people.reply

        async def deed() -> None:
            # One id for what is written until it is sent, so that a second press is no second reply.
            await kept(self.open, self.agent, text, client=self._sending)
            self._sending = new_id()
            self._entry.set_value("")

        await self._do(deed)

    async def claim(self) -> None:
        """Take the conversation."""
        await self._do(lambda: self.people.claim(self.open, self.agent))
        await self.focus()

    async def release(self) -> None:
        """Give the conversation back to those that wait."""
        await self._do(lambda: self.people.kept.release(self.open, self.agent))

    async def resolve(self) -> None:
        """Say that the conversation is done."""
        await self._do(lambda: self.people.kept.resolve(self.open, self.agent))

    async def close(self) -> None:
        """Leave the conversation."""
        self.open, self._frame_drawn = "", None
        self._empty()
        await self._closed()

    async def _ask_whom(self) -> None:
        """Ask whom to hand the conversation on to."""
        words = self.words
        with self._client, ui.dialog() as dialog, ui.card().classes("inbox-dialog"):
            paragraph(words("inbox.whom"))
            whom = (
                ui.input(words("inbox.whom_name"))
                .props("outlined dense maxlength=80 autofocus data-whom")
                .classes("field")
            )
            with ui.element("div").classes("inbox-send"):
                stay = ui.button(words("inbox.cancel"), on_click=lambda: dialog.submit(None), color=None)
                stay.classes("quiet").props("flat dense")
                go = ui.button(words("inbox.transfer"), on_click=lambda: dialog.submit(whom.value or ""), color=None)
                go.classes("primary").props("flat dense data-hand-on")
        to = await dialog
        dialog.delete()
        if to is not None:
            await self._do(lambda: self.people.transfer(self.open, self.agent, str(to).strip()))

    async def _do(self, deed: Callable[[], Awaitable[Any]]) -> None:
        """Do something with the conversation, and show what came of it or why not."""
        self._told.clear()
        try:
            await deed()
            await self.refresh()
        except NoriaError as error:
            with self._told:
                problem(error.text(self.words.language))
