"""A conversation with a customer as it is kept: its turns in their order, who has it, and the file's tables.

A conversation is `open` (the application replies), `waiting` (for a person), `claimed` (a person has it) or `resolved`. All that
happened to it are turns, numbered from 1 without a gap; no turn is ever changed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from noria.core.errors import InputError
from noria.core.messages import Message, message

from .event import EPOCH, from_microseconds, microseconds, new_id
from .store import connect, storage, transaction

TURNS = {
    "message": "the customer said something",
    "reply": "the application replied; `about` is the number of the message",
    "handover": "the application handed the conversation over; `text` says why",
    "claim": "a person took it",
    "release": "it went back: given back, or its person was not heard of any more",
    "person": "a person replied",
    "note": "a person wrote something for colleagues; the customer never sees it",
    "transfer": "a person handed it on; `text` is whom to, empty for whoever is free",
    "resolve": "a person said that it is done; what the customer says next opens it anew",
}
"""Kind of turn -> when there is one."""
VISIBLE = ("message", "reply", "person")
"""Kinds that the customer sees."""
STATES = ("open", "waiting", "claimed", "resolved")
CONVERSATIONS_SCHEMA = 1
DELIVERY_TABLE = (
    "CREATE TABLE IF NOT EXISTS deliveries (conversation TEXT PRIMARY KEY, delivered INTEGER NOT NULL, attempts INTEGER NOT NULL, "
    "due INTEGER NOT NULL) WITHOUT ROWID"
)
CONVERSATION_TABLES = (
    "CREATE TABLE IF NOT EXISTS conversations (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, name TEXT NOT NULL, user TEXT NOT NULL, "
    "language TEXT NOT NULL, consent INTEGER NOT NULL, state TEXT NOT NULL, agent TEXT NOT NULL, until INTEGER NOT NULL, "
    "since INTEGER NOT NULL, seen INTEGER NOT NULL, length INTEGER NOT NULL, updated INTEGER NOT NULL, UNIQUE (tenant, name)) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS by_state ON conversations (state, since)",
    "CREATE INDEX IF NOT EXISTS by_user ON conversations (user)",
    "CREATE TABLE IF NOT EXISTS turns (seq INTEGER PRIMARY KEY AUTOINCREMENT, conversation TEXT NOT NULL, number INTEGER NOT NULL, "
    "id TEXT NOT NULL UNIQUE, time INTEGER NOT NULL, kind TEXT NOT NULL, author TEXT NOT NULL, text TEXT NOT NULL, "
    "about INTEGER NOT NULL, client TEXT NOT NULL, facts TEXT NOT NULL, unanswered INTEGER NOT NULL, UNIQUE (conversation, number))",
    "CREATE UNIQUE INDEX IF NOT EXISTS once ON turns (conversation, kind, client) WHERE client != ''",
    DELIVERY_TABLE,
    "CREATE INDEX IF NOT EXISTS unanswered ON turns (time) WHERE unanswered",
    f"PRAGMA user_version = {CONVERSATIONS_SCHEMA}",
)
"""Statements that make the file's tables where they are missing."""


class ConversationError(InputError):
    """What was asked of a conversation cannot be done.

    Args:
        code: no_such_conversation, claimed or message_id_reused.
        what: what was wrong.
    """

    def __init__(self, code: str, what: Message, *, found: object = None, hint: str | None = None) -> None:
        self.code = code
        super().__init__(what, found=found, hint=hint)


@dataclass(frozen=True, slots=True)
class Turn:
    """One thing that happened in a conversation."""

    conversation: str
    """Id of the conversation."""
    number: int
    """Its place in it, from 1."""
    id: str
    """UUIDv7."""
    time: datetime
    """UTC."""
    kind: str
    """One of `TURNS`."""
    author: str = ""
    """Name of the person; empty for the customer and the application."""
    text: str = ""
    about: int = 0
    """Number of the turn it is about; 0 for none."""
    client: str = ""
    """The sender's own id of it: of one id and kind a conversation has one turn."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """What else is known, as of a reply its action and sources."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """One conversation as it stands."""

    id: str
    """UUIDv7; names it among those of all customers."""
    tenant: str
    """Whose key it came under."""
    name: str
    """What its client calls it; one of a tenant."""
    user: str = ""
    """Pseudonym of the customer."""
    language: str = ""
    consent: bool = False
    """The customer agreed that masked text may become training data."""
    state: str = "open"
    """One of `STATES`."""
    agent: str = ""
    """Who has it, where it is claimed."""
    until: datetime = EPOCH
    """When a claim goes back unless its person is heard of."""
    since: datetime = EPOCH
    """When it was handed over last."""
    seen: int = 0
    """Number of the last turn that a person has seen."""
    length: int = 0
    """Number of the last turn."""
    updated: datetime = EPOCH
    """Time of the last turn."""


@dataclass(frozen=True, slots=True)
class Queued:
    """A conversation as a list of them shows it."""

    conversation: Conversation
    last: Turn
    """What the customer said last."""
    unread: int
    """Messages of the customer that no person has seen."""


def conversations_file(lake: str | Path, app: str = "support") -> Path:
    """Return where an application's conversations lie."""
    return Path(lake) / "apps" / app / "conversations.sqlite"


def conversation_files(lake: str | Path) -> list[Path]:
    """Return the files of conversations in a lake."""
    return sorted((Path(lake) / "apps").glob("*/conversations.sqlite"))


TURN_COLUMNS = "conversation, number, id, time, kind, author, text, about, client, facts"
"""What `turn_of_row` takes."""
_NAMES = tuple(one.name for one in fields(Conversation))
CONVERSATION_COLUMNS = ", ".join(_NAMES)
_STORE = (
    f"INSERT INTO conversations ({CONVERSATION_COLUMNS}) VALUES ({', '.join('?' * len(_NAMES))}) "
    f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _NAMES if name != 'id')}"
)


def conversation_of(row: tuple[Any, ...]) -> Conversation:
    """Return the conversation of a row of `CONVERSATION_COLUMNS`."""
    values = dict(zip(_NAMES, row, strict=True))
    values["consent"] = bool(values["consent"])
    return Conversation(**values | {name: from_microseconds(values[name]) for name in ("until", "since", "updated")})


def known(connection: sqlite3.Connection, conversation: str) -> Conversation:
    """Return a conversation by its id.

    Raises:
        ConversationError: there is none.
    """
    row = connection.execute(
        f"SELECT {CONVERSATION_COLUMNS} FROM conversations WHERE id = ?", (conversation,)
    ).fetchone()
    if row is None:
        raise ConversationError("no_such_conversation", message("lake.no_conversation"), found=conversation)
    return conversation_of(row)


def named(connection: sqlite3.Connection, tenant: str, name: str) -> Conversation | None:
    """Return a tenant's conversation by the name that its client gave it; None where there is none."""
    query = f"SELECT {CONVERSATION_COLUMNS} FROM conversations WHERE tenant = ? AND name = ?"
    row = connection.execute(query, (tenant, name)).fetchone()
    return conversation_of(row) if row else None


def turns_of(connection: sqlite3.Connection, conversation: str, after: int = 0) -> list[Turn]:
    """Return the turns of a conversation after the one of a number, in their order."""
    query = f"SELECT {TURN_COLUMNS} FROM turns WHERE conversation = ? AND number > ? ORDER BY number"
    return [turn_of_row(row) for row in connection.execute(query, (conversation, after))]


def visible(connection: sqlite3.Connection, conversation: str, after: int = 0) -> list[Turn]:
    """Return what the customer sees of a conversation, after the turn of a number."""
    return [turn for turn in turns_of(connection, conversation, after) if turn.kind in VISIBLE]


def last_message(connection: sqlite3.Connection, conversation: str) -> Turn:
    """Return what the customer said last; every conversation begins with a message."""
    query = f"SELECT {TURN_COLUMNS} FROM turns WHERE conversation = ? AND kind = 'message' ORDER BY number DESC LIMIT 1"
    return turn_of_row(connection.execute(query, (conversation,)).fetchone())


def sent(connection: sqlite3.Connection, conversation: str, kind: str, client: str) -> Turn | None:
    """Return the turn that its sender gave an id of their own; None where there is none, or no id."""
    query = f"SELECT {TURN_COLUMNS} FROM turns WHERE conversation = ? AND kind = ? AND client = ? AND client != ''"
    row = connection.execute(query, (conversation, kind, client)).fetchone()
    return turn_of_row(row) if row else None


def unanswered(connection: sqlite3.Connection, before: datetime) -> list[Turn]:
    """Return the messages older than `before` that the application was to reply to and did not, oldest first."""
    query = f"SELECT {TURN_COLUMNS} FROM turns WHERE unanswered AND time < ? ORDER BY seq"
    return [turn_of_row(row) for row in connection.execute(query, (microseconds(before),))]


def handovers(connection: sqlite3.Connection, since: datetime) -> list[Turn]:
    """Return the handovers since then, oldest first."""
    query = f"SELECT {TURN_COLUMNS} FROM turns WHERE kind = 'handover' AND time >= ? ORDER BY seq"
    return [turn_of_row(row) for row in connection.execute(query, (microseconds(since),))]


def add(
    connection: sqlite3.Connection,
    conversation: Conversation,
    now: datetime,
    kind: str,
    text: str = "",
    *,
    author: str = "",
    about: int = 0,
    client: str = "",
    facts: Mapping[str, Any] | None = None,
) -> tuple[Conversation, Turn]:
    """Store a conversation with one turn more, and return both; its state says whether a message waits for the application."""
    number = conversation.length + 1
    turn = Turn(
        conversation.id, number, new_id(now.timestamp), now, kind, author, text, about, client, dict(facts or {})
    )
    told = json.dumps(turn.facts, ensure_ascii=False, separators=(",", ":"))
    waits = kind == "message" and conversation.state == "open"
    connection.execute(
        f"INSERT INTO turns ({TURN_COLUMNS}, unanswered) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (conversation.id, number, turn.id, microseconds(now), kind, author, text, about, client, told, waits),
    )
    longer = replace(conversation, length=number, updated=now)
    store(connection, longer)
    return longer, turn


def store(connection: sqlite3.Connection, conversation: Conversation) -> None:
    """Store a conversation as it now stands."""
    values = [getattr(conversation, name) for name in _NAMES]
    row = [microseconds(value) if isinstance(value, datetime) else value for value in values]
    connection.execute(_STORE, row)


def queued(connection: sqlite3.Connection, states: Sequence[str], agent: str = "", most: int = 200) -> list[Queued]:
    """Return conversations in some states, those handed over longest ago first; of those that are done the last ones first.

    Args:
        connection: what `Conversations.read` reads.
        states: see `STATES`.
        agent: only those that this person has; empty: everybody's.
        most: how many at most.
    """
    order = "updated DESC" if set(states) <= {"resolved", "open"} else "since, id"
    rows = connection.execute(
        f"SELECT {CONVERSATION_COLUMNS}, (SELECT count(*) FROM turns WHERE conversation = c.id AND number > c.seen AND "
        f"kind = 'message') FROM conversations c WHERE state IN ({', '.join('?' * len(states))}) "
        f"AND (? = '' OR agent = ?) ORDER BY {order} LIMIT ?",
        (*states, agent, agent, most),
    ).fetchall()
    found = [(conversation_of(row[:-1]), row[-1]) for row in rows]
    return [Queued(one, last_message(connection, one.id), unread) for one, unread in found]


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Return how many conversations are in each state; those in none are left out."""
    return dict(connection.execute("SELECT state, count(*) FROM conversations GROUP BY state").fetchall())


def dialogues(lake: str | Path, since: datetime = EPOCH) -> Iterator[tuple[Conversation, list[Turn]]]:
    """Yield the conversations of a lake that changed since then, oldest first, each with what its customer saw.

    What people replied in them are answers that a list of questions may lack.

    Raises:
        ResourceError: a file cannot be read.
    """
    query = f"SELECT {CONVERSATION_COLUMNS} FROM conversations WHERE updated >= ? ORDER BY id"
    for path in conversation_files(lake):
        with storage(), closing(connect(path)) as connection:
            for row in connection.execute(query, (microseconds(since),)).fetchall():
                conversation = conversation_of(row)
                yield conversation, visible(connection, conversation.id)


def forget(lake: Path, *, user: str = "", before: datetime = EPOCH) -> int:
    """Remove the conversations of a user, and those whose last turn is older than `before`; return how many turns they had."""
    turns, mine = 0, "(user = ? AND user != '') OR updated < ?"
    for path in conversation_files(lake):
        with storage(), closing(connect(path)) as connection:
            with transaction(connection):
                gone = f"SELECT id FROM conversations WHERE {mine}"
                place = (user, microseconds(before))
                turns += connection.execute(f"DELETE FROM turns WHERE conversation IN ({gone})", place).rowcount
                connection.execute(DELIVERY_TABLE)  # a file of before there were channels has none
                connection.execute(f"DELETE FROM deliveries WHERE conversation IN ({gone})", place)
                connection.execute(f"DELETE FROM conversations WHERE {mine}", place)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the log still holds the pages as they were
    return turns


def turn_of_row(row: tuple[Any, ...]) -> Turn:
    """Return the turn of a row of `TURN_COLUMNS`."""
    values = list(row)
    values[3], values[9] = from_microseconds(values[3]), json.loads(values[9])
    return Turn(*values)
