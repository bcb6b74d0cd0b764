"""What customers on other platforms are still to be sent: the replies of a conversation after the last one its channel took, in their order.

The turns themselves are the queue. A row tells how far a conversation was delivered; it is written before a reply is sent, so that a killed
server knows that it may have been, and so that of several servers of a lake one sends it.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime, timedelta

from .conversation import TURN_COLUMNS, Turn, turn_of_row
from .event import microseconds

PREFIX = "channel "
"""What the tenants of conversations that came through a channel begin with; no key's does."""
_MINE = f"c.tenant > '{PREFIX}' AND c.tenant < '{PREFIX[:-1]}!'"
"""Conversations of channels, as the index of tenants finds them: ! comes after the blank."""
LEASE = timedelta(seconds=60)
"""How long one server may take to send a reply before another one tries."""


def undelivered(connection: sqlite3.Connection, after: int = 0) -> tuple[list[str], int]:
    """Return conversations of channels with a reply that was not delivered, of turns after a place in the file; and the last place."""
    last = connection.execute("SELECT coalesce(max(seq), 0) FROM turns").fetchone()[0]
    rows = connection.execute(
        "SELECT DISTINCT t.conversation FROM turns t JOIN conversations c ON c.id = t.conversation "
        f"LEFT JOIN deliveries d ON d.conversation = t.conversation WHERE t.seq > ? AND t.seq <= ? AND {_MINE} "
        "AND t.kind IN ('reply', 'person') AND t.number > coalesce(d.delivered, 0)",
        (after, last),
    )
    return [one for (one,) in rows], last


def unreplied(connection: sqlite3.Connection) -> list[Turn]:
    """Return the messages of channels that the application was to reply to and did not yet, oldest first."""
    names = ", ".join(f"t.{name}" for name in TURN_COLUMNS.split(", "))
    query = f"SELECT {names} FROM turns t JOIN conversations c ON c.id = t.conversation WHERE t.unanswered AND {_MINE} ORDER BY t.seq"
    return [turn_of_row(row) for row in connection.execute(query)]


def retried(connection: sqlite3.Connection, now: datetime) -> list[str]:
    """Return the conversations whose next reply was tried in vain, or by a server that was killed, and may be tried again."""
    query = "SELECT conversation FROM deliveries WHERE attempts AND due <= ?"
    return [one for (one,) in connection.execute(query, (microseconds(now),))]


def begin(connection: sqlite3.Connection, conversation: str, now: datetime) -> tuple[Turn, int] | None:
    """Return the next reply to send and which try it is; None where there is none, or another server has it, or it is to wait."""
    row = connection.execute(
        "SELECT delivered, attempts, due FROM deliveries WHERE conversation = ?", (conversation,)
    ).fetchone()
    delivered, attempts, due = row or (0, 0, 0)
    if attempts and due > microseconds(now):
        return None
    found = connection.execute(
        f"SELECT {TURN_COLUMNS} FROM turns WHERE conversation = ? AND number > ? AND kind IN ('reply', 'person') "
        "ORDER BY number LIMIT 1",
        (conversation, delivered),
    ).fetchone()
    if found is None:
        return None
    _store(connection, conversation, delivered, attempts + 1, microseconds(now + LEASE))
    return turn_of_row(found), attempts + 1


def delivered(connection: sqlite3.Connection, turn: Turn) -> None:
    """Note that a reply was taken, or given up; the next one is tried at once."""
    _store(connection, turn.conversation, turn.number, 0, 0)


def postponed(connection: sqlite3.Connection, turn: Turn, until: datetime) -> None:
    """Note that a reply was not taken, and when it is tried again."""
    query = "UPDATE deliveries SET due = ? WHERE conversation = ? AND delivered < ?"
    connection.execute(query, (microseconds(until), turn.conversation, turn.number))


def _store(connection: sqlite3.Connection, conversation: str, number: int, attempts: int, due: int) -> None:
    # Nothing is kept of a conversation that was removed meanwhile.
    connection.execute(
        "INSERT INTO deliveries (conversation, delivered, attempts, due) SELECT id, ?, ?, ? FROM conversations WHERE id = ? "
        "ON CONFLICT (conversation) DO UPDATE SET delivered = excluded.delivered, attempts = excluded.attempts, due = excluded.due",
        (number, attempts, due, conversation),
    )
