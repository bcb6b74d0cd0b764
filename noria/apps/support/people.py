"""The people behind the desk: conversations handed over, claimed, replied to and resolved, each durable before it is acknowledged.

One `People` serves the routes of customers (`messages`), those of people (`inbox`) and the console's page. While the server runs it gives
back what nobody is heard of and hands over what got no reply.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from noria.apps.hours import Hours
from noria.apps.settings import PeopleSettings
from noria.core.errors import InputError, NoriaError
from noria.core.messages import message
from noria.lake.conversation import VISIBLE, Conversation, Turn, handovers, known, turns_of, unanswered
from noria.lake.conversations import Conversations
from noria.lake.transcript import Exchange
from noria.text.language import language_of

if TYPE_CHECKING:
    from noria.server.http.state import State

APP = "support"
SWEEP_SECONDS = 5.0
"""How often it is looked for what goes back or got no reply."""
TICK_SECONDS = 0.5
"""How often one who waits looks whether the server is told to stop."""
REREAD_SECONDS = 5.0
"""After which one who waits reads anew though nothing was told: another server of the lake may have written."""
AGAIN = timedelta(hours=1)
"""Handovers so young are recorded as events once more at a start: the same ids, so each stays one event, and a kill between the
conversation and its event loses none."""
_TRANSCRIPT = 20
"""Turns that the event of a person's reply tells at most."""
ROLES = {"message": "user", "reply": "assistant", "person": "person"}
"""Kind of turn -> who spoke, as customers' programs are told."""


class People:
    """The conversations of the desk and the people who have them.

    Args:
        settings: hours, and how long a claim lasts.
    """

    def __init__(self, settings: PeopleSettings | None = None) -> None:
        self.settings = settings or PeopleSettings()
        self.hours = Hours(self.settings.zone, self.settings.hours, self.settings.holidays)
        self._kept: Conversations | None = None
        self._state: State | None = None
        self._waiting: dict[str, set[asyncio.Event]] = {}

    async def start(self, state: State) -> None:
        """Open the conversations of the server's lake, and look after them until it stops."""
        self._state = state
        self._kept = await asyncio.to_thread(Conversations, state.lake, APP, state.meter.now)
        self._kept.listeners.append(self._notify)
        since = state.meter.now() - AGAIN
        for turn in await self._kept.read(lambda connection: handovers(connection, since)):
            await self.record_handover(turn)
        state.tasks.append(asyncio.create_task(self._look_after()))

    @property
    def kept(self) -> Conversations:
        """Return the conversations.

        Raises:
            InputError: the application has not started.
        """
        if self._kept is None:
            raise InputError(message("apps.customer_service"))
        return self._kept

    @property
    def state(self) -> State:
        """Return the running server."""
        assert self._state
        return self._state

    async def turns(self, conversation: str, after: int = 0) -> tuple[Conversation, list[Turn]]:
        """Return a conversation and its turns after the one of a number.

        Raises:
            ConversationError: there is none.
        """
        return await self.kept.read(
            lambda connection: (known(connection, conversation), turns_of(connection, conversation, after))
        )

    async def newer(self, conversation: str, after: int, seconds: float) -> tuple[Conversation, list[Turn]]:
        """Return as `turns` does, once there is a turn after that of the number, or after so many seconds without."""
        clock = asyncio.get_running_loop().time
        end, reread = clock() + seconds, clock()
        with self._watching(conversation) as changed:
            while True:
                if changed.is_set() or clock() >= reread:
                    changed.clear()
                    found = await self.turns(conversation, after)
                    reread = clock() + REREAD_SECONDS
                left = end - clock()
                if found[1] or self.state.draining or left <= 0:
                    return found
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), min(TICK_SECONDS, left))

    def today(self) -> date:
        """Return the day where the people are."""
        return self.state.meter.now().astimezone(self.hours.zone).date()

    def back(self, language: str) -> str:
        """Return what tells a customer when a person is there next; empty where one is there now."""
        told = self.hours.back(self.state.meter.now())
        return told["zh" if language == "zh" else "en"] if told else ""

    async def claim(self, conversation: str, agent: str) -> Conversation:
        """Give a conversation to a person; see `Conversations.claim`."""
        return await self.kept.claim(conversation, agent, self.settings.claim_minutes)

    async def transfer(self, conversation: str, agent: str, to: str) -> Conversation:
        """Hand a conversation on; see `Conversations.transfer`."""
        return await self.kept.transfer(conversation, agent, to, self.settings.transfer_minutes)

    async def see(self, conversation: str, agent: str) -> Conversation:
        """Note that a person looks at a conversation; see `Conversations.see`."""
        return await self.kept.see(conversation, agent, self.settings.claim_minutes)

    async def reply(self, conversation: str, agent: str, text: str, client: str = "") -> Turn:
        """Keep a person's reply and record it as an event, from which an answer can be proposed for the list of questions.

        Raises:
            ConversationError: somebody else has the conversation, or there is none.
            ResourceError: the disk is full.
        """
        turn = await self.kept.person(conversation, agent, text, self.settings.claim_minutes, client=client)
        stands, turns = await self.turns(conversation)
        before = [one for one in turns if one.number < turn.number and one.kind in VISIBLE]
        asked = next((one.facts.get("request", "") for one in reversed(before) if one.kind == "reply"), "")
        row = [
            {"role": "user" if one.kind == "message" else "assistant", "content": one.text}
            for one in before[-_TRANSCRIPT:]
        ]
        answers = bool(before) and before[-1].kind == "message"  # else it goes on with what was replied before
        exchange = Exchange("chat", [{"messages": row}], [{"text": text}]) if answers else None
        await self._record("reply", stands, turn, subject=asked, consent=stands.consent, exchange=exchange)
        return turn

    async def record_handover(self, turn: Turn) -> None:
        """Record a handover as an event about the request that led to it; the turn's own id makes it one event, however often."""
        stands, turns = await self.turns(turn.conversation, turn.about)
        reply = next((one for one in turns if one.kind == "reply" and one.about == turn.about), turn)
        value = round(float(reply.facts.get("confidence", 0.0)), 4)
        await self._record("handover", stands, turn, subject=str(reply.facts.get("request", "")), value=value)

    async def sweep(self) -> None:
        """Give back what nobody is heard of, and hand over messages that got no reply in time."""
        await self.kept.release_expired()
        before = self.state.meter.now() - timedelta(seconds=self.settings.unanswered_seconds)
        for turn in await self.kept.read(lambda connection: unanswered(connection, before)):
            stands, _ = await self.turns(turn.conversation, turn.number)
            language = "zh" if (stands.language or language_of(turn.text)) == "zh" else "en"
            text = f"{message('apps.unanswered')[language]} {self.back(language)}".strip()
            facts = {"action": "handover", "language": language, "text": text, "confidence": 0.0}
            for one in await self.kept.reply(turn, text, facts, language=language, handover="unanswered"):
                if one.kind == "handover":
                    await self.record_handover(one)

    async def _look_after(self) -> None:
        try:
            while True:
                await asyncio.sleep(SWEEP_SECONDS)
                with suppress(NoriaError):  # a full disk: the next time
                    await self.sweep()
        finally:
            await asyncio.to_thread(self.kept.close)

    async def _record(self, kind: str, conversation: Conversation, turn: Turn, **facts: Any) -> None:
        meter = self.state.meter
        told = {"tenant": conversation.tenant, "app": APP, "segment": conversation.language, **facts}
        event = meter.event(kind, id=turn.id, time=turn.time, **told)
        await meter.record(replace(event, user=conversation.user))

    @contextmanager
    def _watching(self, conversation: str) -> Iterator[asyncio.Event]:
        changed = asyncio.Event()
        self._waiting.setdefault(conversation, set()).add(changed)
        try:
            yield changed
        finally:
            self._waiting[conversation].discard(changed)
            if not self._waiting[conversation]:
                del self._waiting[conversation]

    def _notify(self, conversation: str) -> None:
        for changed in self._waiting.get(conversation, ()):
            changed.set()
