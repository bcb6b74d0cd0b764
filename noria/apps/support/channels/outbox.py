"""What is replied goes to the customer's platform: in its order, tried again until it is taken, and colleagues are told where it never was.

A reply is a turn that is on the disk already; `noria.lake.deliveries` keeps how far each conversation is. A killed server sends again what it may
have sent, under the same id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from noria.apps.support.people import People
from noria.core.errors import NoriaError
from noria.core.messages import message
from noria.lake import deliveries
from noria.lake.conversation import Turn
from noria.server.webhook import DeliveryError, outbox_wait

from .channel import Adapter

SWEEP_SECONDS = 5.0
"""How often it is looked for replies that another server wrote, or that are to be tried again."""
GIVE_UP = timedelta(days=1)
"""Age of a reply from which it is not tried again."""
AT_ONCE = 16
"""Conversations that are delivered to at the same time."""
_AUTHOR = "channel"


class Outbox:
    """Delivers the replies of all channels.

    Args:
        people: the conversations.
        adapters: the channels by their names.
    """

    def __init__(self, people: People, adapters: Mapping[str, Adapter]) -> None:
        self._people, self._adapters = people, adapters
        self._changed = asyncio.Event()
        self._busy: dict[str, asyncio.Task[None]] = {}
        self._missed: set[str] = set()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._last = 0

    def start(self) -> None:
        """Begin with what a server before left, and go on until this one stops."""
        self._people.kept.listeners.append(lambda conversation: self._changed.set())
        self._people.state.tasks.append(asyncio.create_task(self._deliver_all()))

    async def _deliver_all(self) -> None:
        try:
            while True:
                self._changed.clear()
                with suppress(NoriaError):  # the disk: the next time
                    for conversation in await self._due():
                        self._begin(conversation)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), SWEEP_SECONDS)
        finally:
            for task in list(self._busy.values()):
                task.cancel()

    async def _due(self) -> list[str]:
        """Return the conversations with something to deliver."""
        kept, now, after = self._people.kept, self._people.state.meter.now(), self._last
        found, self._last = await kept.read(lambda connection: deliveries.undelivered(connection, after))
        again = await kept.read(lambda connection: deliveries.retried(connection, now))
        return list(dict.fromkeys([*self._missed, *found, *again]))

    def _begin(self, conversation: str) -> None:
        if conversation in self._busy:
            self._missed.add(conversation)  # looked at once more when that is done
            return
        self._missed.discard(conversation)
        task = asyncio.create_task(self._deliver(conversation))
        self._busy[conversation] = task
        task.add_done_callback(lambda _: self._done(conversation))

    def _done(self, conversation: str) -> None:
        self._busy.pop(conversation, None)
        if conversation in self._missed:
            self._changed.set()

    async def _deliver(self, conversation: str) -> None:
        """Send what a conversation's customer is still to be sent."""
        try:
            async with self._room:
                while await self._deliver_next(conversation):
                    pass
        except NoriaError:  # removed meanwhile, or the disk is full
            await asyncio.sleep(SWEEP_SECONDS)
            self._missed.add(conversation)

    async def _deliver_next(self, conversation: str) -> bool:
        """Send the next reply; return whether it is done with, and another may follow."""
        kept, now = self._people.kept, self._people.state.meter.now
        begun = await kept.write(lambda connection: deliveries.begin(connection, conversation, now()))
        if begun is None:
            return False
        turn, attempts = begun
        stands, turns = await self._people.turns(conversation)
        name = stands.tenant.removeprefix(deliveries.PREFIX)
        problem = await self._sent(name, turn, address(turns, turn), attempts > 1)
        if problem is not None and not problem.lasting and now() - turn.time < GIVE_UP:
            until = now() + timedelta(seconds=outbox_wait(attempts))
            await kept.write(lambda connection: deliveries.postponed(connection, turn, until))
            return False
        if problem is not None:
            language = "zh" if stands.language == "zh" else "en"
            note = message("channels.not_sent", channel=name, why=problem.text(language))[language]
            await kept.note(conversation, _AUTHOR, f"{note}\n{turn.text}", client=f"{_AUTHOR} {turn.id}")
        await kept.write(lambda connection: deliveries.delivered(connection, turn))
        return True

    async def _sent(self, name: str, turn: Turn, to: Mapping[str, Any], again: bool) -> DeliveryError | None:
        """Send a reply, and return why it was not taken."""
        adapter = self._adapters.get(name)
        if adapter is None:
            return DeliveryError(message("channels.no_channel"), found=name)
        if not turn.text.strip():
            return None
        try:
            await adapter.send(turn, to, again)
        except DeliveryError as error:
            return error
        return None


def address(turns: Iterable[Turn], reply: Turn) -> Mapping[str, Any]:
    """Return where a reply goes: where the customer's last message before it came from."""
    to: Mapping[str, Any] = {}
    for turn in turns:
        if turn.number < reply.number and "to" in turn.facts:
            to = turn.facts["to"]
    return to
