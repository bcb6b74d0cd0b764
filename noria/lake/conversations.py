"""Conversations durable before they are acknowledged: each turn once, in its order, through kills and restarts.

    kept = Conversations("runs/lake")
    came = await kept.message("key-1", "chat-7", "我的订单呢？", client="m1")       # on the disk when it returns
    await kept.reply(came.turn, "已为您转人工。", handover="unsure")                 # the reply and the handover, or neither
    await kept.claim(came.conversation.id, "小王", minutes=2)                        # one of two wins, the other is told who
    await kept.person(came.conversation.id, "小王", "您好！", client="r1")

A file of its own beside the outbox, SQLite with a write-ahead log and `synchronous=FULL`. Events would not do: they hold words only with
consent and masked, never change, and leave for Parquet; a person must read what was asked, and a claim must be compared with who has the
conversation now, in the very transaction that stores it. `Committer` commits what waits together.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from noria.core.errors import InputError, NoriaError, plain_errors
from noria.core.folder import sync
from noria.core.messages import message

from .committer import Committer
from .conversation import (
    CONVERSATION_TABLES,
    CONVERSATIONS_SCHEMA,
    Conversation,
    ConversationError,
    Turn,
    add,
    conversations_file,
    known,
    named,
    sent,
    store,
    turns_of,
)
from .event import microseconds, new_id
from .store import connect, storage, transaction

Operation = Callable[[sqlite3.Connection], Any]
Result = TypeVar("Result")
_HELD = ("claimed", "waiting")


@dataclass(frozen=True)
class Received:
    """A customer's message that is on the disk."""

    conversation: Conversation
    """As it stands with the message."""
    turn: Turn
    replies: tuple[Turn, ...] = ()
    """What was replied to it already: there is something only where the message was sent before."""
    again: bool = False
    """It was sent before."""

    @property
    def to_person(self) -> bool:
        """Return whether it came while a person had the conversation, or was to have it: nothing replies to it."""
        return bool(self.turn.facts.get("to_person"))


class Conversations:
    """The conversations of one application. Safe to use from many threads and event loops.

    Args:
        lake: the lake's folder.
        app: the application's name.
        clock: gives the time, UTC.

    Raises:
        ResourceError: the disk is full or cannot be written.
        InputError: a newer Noria wrote the file.
    """

    def __init__(
        self, lake: str | Path, app: str = "support", clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.path = conversations_file(lake, app)
        self._clock = clock
        self.listeners: list[Callable[[str], None]] = []
        """Told the id of every conversation that changed, once that is on the disk; on the event loop that changed it."""
        with plain_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            for folder in (self.path.parent, self.path.parent.parent):
                sync(folder)
        with storage(), closing(connect(self.path)) as connection, transaction(connection):
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > CONVERSATIONS_SCHEMA:
                raise InputError(
                    message("errors.newer", path=self.path),
                    found=message("lake.schema", version=version),
                    allowed=message("lake.up", schema=CONVERSATIONS_SCHEMA),
                )
            for statement in CONVERSATION_TABLES:
                connection.execute(statement)
        self._committer: Committer[Operation] = Committer(self.path, _commit, f"conversations-{app}")
        self._reading = threading.Lock()
        self._reader = connect(self.path)

    def close(self) -> None:
        """Write what waits, and stop."""
        self._committer.close()
        self._reader.close()

    async def message(
        self,
        tenant: str,
        name: str,
        text: str,
        *,
        client: str = "",
        user: str = "",
        consent: bool | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> Received:
        """Keep what a customer says; the conversation begins where there is none of that name.

        Args:
            tenant: whose key it came under.
            name: what the client calls the conversation; empty: a new one, called by its id.
            text: what was said.
            client: the client's own id of the message. The same one again is the same message.
            user: pseudonym of the customer.
            consent: the customer agreed that masked text may become training data; None: as they said before.
            facts: what else is known of it.

        Raises:
            ConversationError: the client's id stood with another text.
            ResourceError: the disk is full; nothing was kept.
        """
        now = self._clock()

        def operation(connection: sqlite3.Connection) -> Received:
            found = named(connection, tenant, name) if name else None
            if found is None:
                identity = new_id(now.timestamp)
                found = Conversation(identity, tenant, name or identity)
            elif before := _repeated(connection, found, "message", client, (text, "")):
                return Received(found, before, _replies(connection, before), again=True)
            changed = replace(
                found,
                state="open" if found.state == "resolved" else found.state,
                user=user or found.user,
                consent=found.consent if consent is None else consent,
            )
            known_facts = {**(facts or {}), **({"to_person": True} if changed.state in _HELD else {})}
            return Received(*add(connection, changed, now, "message", text, client=client, facts=known_facts))

        received: Received = await self._committer.record(operation)
        self._notify(received.conversation.id)
        return received

    async def reply(
        self,
        to: Turn,
        text: str,
        facts: Mapping[str, Any] | None = None,
        *,
        language: str = "",
        handover: str = "",
        note: str = "",
    ) -> tuple[Turn, ...]:
        """Keep the application's reply to a message, and with it the handover; where it was replied to already, return that.

        Args:
            to: the message.
            text: the reply.
            facts: what else is known of it.
            language: of the reply; the conversation's from now on.
            handover: why a person is needed; empty where none is. One that a person has, or is to have, is not handed over again.
            note: what colleagues should know with a handover; the customer never sees it.

        Raises:
            ConversationError: the conversation was removed meanwhile.
            ResourceError: the disk is full; nothing was kept.
        """
        now = self._clock()

        def operation(connection: sqlite3.Connection) -> tuple[Turn, ...]:
            conversation = known(connection, to.conversation)
            if replied := _replies(connection, to):
                return replied
            connection.execute("UPDATE turns SET unanswered = 0 WHERE id = ?", (to.id,))
            conversation = replace(conversation, language=language or conversation.language)
            conversation, turn = add(connection, conversation, now, "reply", text, about=to.number, facts=facts)
            if conversation.state in _HELD:
                return (turn,)
            if not handover:
                store(connection, replace(conversation, seen=turn.number))  # what was answered, nobody need read
                return (turn,)
            waiting = replace(conversation, state="waiting", agent="", since=now)
            waiting, handed = add(connection, waiting, now, "handover", handover, about=to.number)
            if not note:
                return turn, handed
            return turn, handed, add(connection, waiting, now, "note", note, about=to.number)[1]

        return await self._do(to.conversation, operation)

    async def claim(self, conversation: str, agent: str, minutes: float) -> Conversation:
        """Give a conversation to a person for so long, or for so much longer; one whose person was not heard of in time is free.

        Raises:
            ConversationError: somebody else has it, or there is none.
        """
        now = self._clock()
        return await self._do(conversation, lambda connection: _taken(connection, conversation, agent, now, minutes))

    async def person(self, conversation: str, agent: str, text: str, minutes: float, *, client: str = "") -> Turn:
        """Keep a person's reply; a conversation that nobody has is theirs with it. Else as `claim` and `message`."""
        now = self._clock()

        def operation(connection: sqlite3.Connection) -> Turn:
            if before := _repeated(connection, known(connection, conversation), "person", client, (text, agent)):
                return before
            mine = _taken(connection, conversation, agent, now, minutes)
            seen = replace(mine, seen=mine.length + 1)
            return add(connection, seen, now, "person", text, author=agent, client=client)[1]

        return await self._do(conversation, operation)

    async def note(self, conversation: str, agent: str, text: str, *, client: str = "") -> Turn:
        """Keep a note for colleagues; anybody may write one. Else as `message`."""
        now = self._clock()

        def operation(connection: sqlite3.Connection) -> Turn:
            found = known(connection, conversation)
            before = _repeated(connection, found, "note", client, (text, agent))
            return before or add(connection, found, now, "note", text, author=agent, client=client)[1]

        return await self._do(conversation, operation)

    async def transfer(self, conversation: str, agent: str, to: str, minutes: float) -> Conversation:
        """Hand a conversation on, to a person by name, who has it for so long, or to whoever is free. Else as `claim`."""
        now = self._clock()

        def operation(connection: sqlite3.Connection) -> Conversation:
            mine = _taken(connection, conversation, agent, now, minutes)
            handed = replace(mine, agent=to, state="claimed" if to else "waiting")
            return add(connection, handed, now, "transfer", to, author=agent)[0]

        return await self._do(conversation, operation)

    async def resolve(self, conversation: str, agent: str) -> Conversation:
        """Say that a conversation is done; one that is done already stays so. Else as `claim`."""
        now = self._clock()

        def operation(connection: sqlite3.Connection) -> Conversation:
            found = known(connection, conversation)
            if found.state == "resolved":
                return found
            mine = _taken(connection, conversation, agent, now, 0.0)
            done = replace(mine, state="resolved", agent="", seen=mine.length + 1)
            return add(connection, done, now, "resolve", author=agent)[0]

        return await self._do(conversation, operation)

    async def release(self, conversation: str, agent: str) -> Conversation:
        """Give a conversation back to those that wait; one that another person has, or nobody, stays as it is."""
        now = self._clock()

        def operation(connection: sqlite3.Connection) -> Conversation:
            found = known(connection, conversation)
            return _released(connection, found, now) if (found.state, found.agent) == ("claimed", agent) else found

        return await self._do(conversation, operation)

    async def see(self, conversation: str, agent: str, minutes: float) -> Conversation:
        """Note that a person has seen a conversation as it stands, which keeps their claim alive where it is theirs."""
        now = self._clock()

        def operation(connection: sqlite3.Connection) -> Conversation:
            found = known(connection, conversation)
            mine = found.state == "claimed" and found.agent == agent
            until = now + timedelta(minutes=minutes) if mine else found.until
            seen = replace(found, seen=found.length, until=until)
            store(connection, seen)
            return seen

        result: Conversation = await self._committer.record(operation)
        return result

    async def release_expired(self) -> list[str]:
        """Give back all whose person was not heard of in time; return their ids."""
        now = self._clock()
        late = "SELECT id FROM conversations WHERE state = 'claimed' AND until <= ?"

        def operation(connection: sqlite3.Connection) -> list[str]:
            ids = [one for (one,) in connection.execute(late, (microseconds(now),)).fetchall()]
            return [_released(connection, known(connection, one), now).id for one in ids]

        if not await self.read(lambda connection: connection.execute(late, (microseconds(now),)).fetchone()):
            return []
        released: list[str] = await self._committer.record(operation)
        for one in released:
            self._notify(one)
        return released

    async def write(self, operation: Callable[[sqlite3.Connection], Result]) -> Result:
        """Return what an operation gives, done whole or not at all, and on the disk; nobody is told of it."""
        result: Result = await self._committer.record(operation)
        return result

    async def read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Return what `work` reads of the file, in another thread."""

        def reading() -> Result:
            with self._reading, storage():
                return work(self._reader)

        return await asyncio.to_thread(reading)

    async def _do(self, conversation: str, operation: Callable[[sqlite3.Connection], Result]) -> Result:
        result: Result = await self._committer.record(operation)
        self._notify(conversation)
        return result

    def _notify(self, conversation: str) -> None:
        for listen in self.listeners:
            listen(conversation)


def _commit(connection: sqlite3.Connection, operations: Sequence[Operation]) -> list[Any]:
    """Do several operations in one transaction; what one refuses leaves no trace of it, and fails no other."""
    results: list[Any] = []
    with transaction(connection):
        for operation in operations:
            connection.execute("SAVEPOINT one")
            try:
                results.append(operation(connection))
            except NoriaError as error:
                connection.execute("ROLLBACK TO one")
                results.append(error)
            connection.execute("RELEASE one")
    return results


def _taken(
    connection: sqlite3.Connection, conversation: str, agent: str, now: datetime, minutes: float
) -> Conversation:
    found = known(connection, conversation)
    mine = found.state == "claimed" and found.agent == agent
    if found.state == "claimed" and not mine:
        if found.until > now:
            raise ConversationError(
                "claimed", message("lake.conversation_claimed"), found=found.agent, hint=message("lake.ask_transfer")
            )
        found = _released(connection, found, now)
    since = found.since if found.state in _HELD else now
    taken = replace(found, state="claimed", agent=agent, until=now + timedelta(minutes=minutes), since=since)
    if mine:
        store(connection, taken)
        return taken
    connection.execute("UPDATE turns SET unanswered = 0 WHERE unanswered AND conversation = ?", (found.id,))
    return add(connection, taken, now, "claim", author=agent)[0]


def _released(connection: sqlite3.Connection, found: Conversation, now: datetime) -> Conversation:
    return add(connection, replace(found, state="waiting", agent=""), now, "release", author=found.agent)[0]


def _repeated(
    connection: sqlite3.Connection, found: Conversation, kind: str, client: str, content: tuple[str, str]
) -> Turn | None:
    """Return the turn that a sender's id stood for before; None where it is new.

    Raises:
        ConversationError: it stood with another text, or came from another person.
    """
    before = sent(connection, found.id, kind, client)
    if before and (before.text, before.author) != content:
        raise ConversationError("message_id_reused", message("lake.message_id"), found=client)
    return before


def _replies(connection: sqlite3.Connection, to: Turn) -> tuple[Turn, ...]:
    return tuple(one for one in turns_of(connection, to.conversation, to.number) if one.about == to.number)
