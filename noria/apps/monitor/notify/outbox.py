"""What subscribers are still to be sent, on the disk before it is sent; and which alerts were seen, so that each is planned once.

    outbox = Outbox(folder, known, now)
    outbox.plan({alert: [Planned(...), ...]}, now)      # once an alert, whatever comes between
    for one in outbox.due(now, 16):
        attempts = outbox.begin(one.key, content, now)  # noted before the try: a killed one may have arrived
        outbox.end(one.key, now)                        # taken; or postpone(...), or end(..., why) where it is given up

A killed process sends again what it may have sent: the same words, under the same key. A receiver that knows keys sees it once; others may
see it twice where the kill fell between their answer and the note of it, and are told so. Nothing that was planned is lost.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from noria.core.errors import plain_errors
from noria.lake.event import from_microseconds, microseconds, new_id
from noria.lake.store import Database

LISTED = 1_000
"""Deliveries of a subscription that are remembered after they ended."""
_TABLES = (
    "CREATE TABLE IF NOT EXISTS begun (place INTEGER PRIMARY KEY CHECK (place = 1))",
    "CREATE TABLE IF NOT EXISTS alerts (id TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS subscriptions (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS paused (name TEXT PRIMARY KEY) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS digests (subscription TEXT PRIMARY KEY, until TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS deliveries (place INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, "
    "subscription TEXT NOT NULL, about TEXT NOT NULL, made INTEGER NOT NULL, due INTEGER NOT NULL, attempts INTEGER NOT NULL, "
    "state TEXT NOT NULL, content TEXT NOT NULL, why TEXT NOT NULL, verdict TEXT NOT NULL, UNIQUE (subscription, about))",
    "CREATE INDEX IF NOT EXISTS waiting ON deliveries (due) WHERE state = 'waiting'",
)
_COLUMNS = "key, subscription, about, made, due, attempts, state, content, why, verdict"


@dataclass(frozen=True)
class Planned:
    """One message to one subscriber."""

    subscription: str
    about: str
    """The alert, or from when until when a brief tells."""
    due: datetime
    """When it is sent at the earliest."""
    joined: str = ""
    """The alert that is sent in its place, for it is about the same texts."""


@dataclass(frozen=True)
class Kept:
    """A message as it is kept."""

    key: str
    """Names it for good: the idempotency key of a webhook, the id of a letter."""
    subscription: str
    about: str
    made: datetime
    due: datetime
    attempts: int
    state: str
    """waiting, trying, sent or given up; or joined: another alert on the same texts was sent in its place."""
    content: str
    """What is sent, from its first try to its end."""
    why: str
    """What went wrong at last; of what is joined the other alert."""
    verdict: str
    """What its reader said of the alert by its link."""


class Outbox:
    """The outbox in a folder. For one process; safe to use from its threads.

    Args:
        folder: made where it is missing.
        known: alerts of before: where nothing was kept yet they are news to nobody.
        make_key: gives the key of a message.

    Raises:
        ResourceError: the folder cannot be written.
    """

    def __init__(self, folder: Path, known: Iterable[str] = (), make_key: Callable[[], str] = new_id) -> None:
        with plain_errors():
            folder.mkdir(parents=True, exist_ok=True)
        self._make_key = make_key
        self._file = Database(folder / "notify.sqlite", _TABLES)
        with self._file.writing() as connection:
            if connection.execute("INSERT OR IGNORE INTO begun VALUES (1)").rowcount:
                connection.executemany("INSERT OR IGNORE INTO alerts VALUES (?)", [(one,) for one in known])
            # What a killed process was sending is tried again at once: no other one has this file.
            connection.execute("UPDATE deliveries SET due = 0 WHERE state = 'trying'")
            connection.execute("UPDATE deliveries SET state = 'waiting' WHERE state = 'trying'")
            self._seen = {one for (one,) in connection.execute("SELECT id FROM alerts")}

    def close(self) -> None:
        """Let the file go."""
        self._file.close()

    def is_new(self, alert: str) -> bool:
        """Return whether an alert was not planned yet."""
        return alert not in self._seen

    def plan(self, plans: Mapping[str, Sequence[Planned]], now: datetime) -> None:
        """Keep what alerts are sent to, all of it or nothing; once an alert.

        Args:
            plans: alert -> its messages.
            now: the present time.

        Raises:
            ResourceError: the disk is full; the alerts are as new as before.
        """
        with self._file.writing() as connection:
            for alert, planned in plans.items():
                if connection.execute("INSERT OR IGNORE INTO alerts VALUES (?)", (alert,)).rowcount:
                    self._insert(connection, planned, now)
        self._seen |= plans.keys()

    def plan_digest(self, planned: Planned, until: datetime, now: datetime) -> None:
        """Keep a brief to be sent, and until when it tells: the next one goes on from there."""
        with self._file.writing() as connection:
            self._insert(connection, [planned], now)
            self._note_digest(connection, planned.subscription, until)

    def digested(self, subscription: str, now: datetime) -> datetime:
        """Return until when a subscriber was sent briefs; from now on where there is none."""
        with self._file.reading() as connection:
            row = connection.execute("SELECT until FROM digests WHERE subscription = ?", (subscription,)).fetchone()
        if row is not None:
            return datetime.fromisoformat(row[0])
        with self._file.writing() as connection:
            self._note_digest(connection, subscription, now)
        return now

    def due(self, now: datetime, most: int) -> list[Kept]:
        """Return what is to be sent now, the oldest first; not what goes to a subscription that is paused."""
        where = "state = 'waiting' AND due <= ? AND subscription NOT IN (SELECT name FROM paused) ORDER BY due, place LIMIT ?"
        return self._select(where, (microseconds(now), most))

    def begin(self, key: str, content: str) -> tuple[str, int]:
        """Note that a message is being sent; return its words, those of its first try, and which try this is."""
        with self._file.writing() as connection:
            connection.execute(
                "UPDATE deliveries SET attempts = attempts + 1, state = 'trying', "
                "content = CASE content WHEN '' THEN ? ELSE content END WHERE key = ?",
                (content, key),
            )
            row = connection.execute("SELECT content, attempts FROM deliveries WHERE key = ?", (key,)).fetchone()
        return str(row[0]), int(row[1])

    def postpone(self, key: str, until: datetime, why: str) -> None:
        """Note that a message was not taken, and when it is tried again."""
        with self._file.writing() as connection:
            connection.execute(
                "UPDATE deliveries SET state = 'waiting', due = ?, why = ? WHERE key = ?",
                (microseconds(until), why, key),
            )

    def end(self, key: str, why: str = "", *, sent: bool = True) -> None:
        """Note that a message was taken, or is given up; its words leave."""
        with self._file.writing() as connection:
            connection.execute(
                "UPDATE deliveries SET state = ?, why = ?, content = '' WHERE key = ?",
                ("sent" if sent else "given up", str(why), key),
            )
            (name,) = connection.execute("SELECT subscription FROM deliveries WHERE key = ?", (key,)).fetchone()
            connection.execute(
                "DELETE FROM deliveries WHERE subscription = ? AND state IN ('sent', 'given up', 'joined') AND place <= "
                "(SELECT max(place) FROM deliveries) - ?",
                (name, LISTED),
            )

    def forget_words(self) -> None:
        """Forget what messages that were not taken yet say: they are worded anew, of what is kept then."""
        with self._file.writing() as connection:
            connection.execute("UPDATE deliveries SET content = '' WHERE content != ''")
        with self._file.reading() as connection:  # the log of what was written holds them, too
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def judge(self, key: str, verdict: str) -> None:
        """Note what the reader of a message said of its alert; the first word stands."""
        with self._file.writing() as connection:
            connection.execute("UPDATE deliveries SET verdict = ? WHERE key = ? AND verdict = ''", (verdict, key))

    def of_key(self, key: str) -> Kept | None:
        """Return a message; None where it is not kept any more."""
        return next(iter(self._select("key = ?", (key,))), None)

    def of_subscription(self, name: str) -> list[Kept]:
        """Return the messages of a subscription that are kept, the oldest first."""
        return self._select("subscription = ? ORDER BY place", (name,))

    def subscriptions(self) -> list[dict[str, Any]]:
        """Return the subscriptions that were made over the API."""
        with self._file.reading() as connection:
            rows = connection.execute("SELECT value FROM subscriptions ORDER BY name").fetchall()
        return [json.loads(value) for (value,) in rows]

    def subscribe(self, name: str, value: dict[str, Any]) -> None:
        """Keep a subscription, in the place of the one of its name."""
        with self._file.writing() as connection:
            kept = json.dumps(value, ensure_ascii=False)
            connection.execute("INSERT OR REPLACE INTO subscriptions VALUES (?, ?)", (name, kept))

    def paused(self) -> frozenset[str]:
        """Return the subscriptions to which nothing is sent."""
        with self._file.reading() as connection:
            return frozenset(name for (name,) in connection.execute("SELECT name FROM paused"))

    def pause(self, name: str, *, paused: bool) -> None:
        """Keep that nothing is sent to a subscription, or that something is again."""
        with self._file.writing() as connection:
            if paused:
                connection.execute("INSERT OR IGNORE INTO paused VALUES (?)", (name,))
            else:
                connection.execute("DELETE FROM paused WHERE name = ?", (name,))

    def unsubscribe(self, name: str) -> bool:
        """Forget a subscription and what it was still to be sent; return whether there was one."""
        with self._file.writing() as connection:
            found = connection.execute("DELETE FROM subscriptions WHERE name = ?", (name,)).rowcount
            if found:
                connection.execute("DELETE FROM deliveries WHERE subscription = ?", (name,))
                connection.execute("DELETE FROM digests WHERE subscription = ?", (name,))
                connection.execute("DELETE FROM paused WHERE name = ?", (name,))
        return bool(found)

    def _insert(self, connection: sqlite3.Connection, planned: Sequence[Planned], now: datetime) -> None:
        connection.executemany(
            f"INSERT OR IGNORE INTO deliveries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, 0, ?, '', ?, '')",
            [
                (
                    *(self._make_key(), one.subscription, one.about, microseconds(now), microseconds(one.due)),
                    *("joined" if one.joined else "waiting", one.joined),
                )
                for one in planned
            ],
        )

    def _note_digest(self, connection: sqlite3.Connection, subscription: str, until: datetime) -> None:
        connection.execute(
            "INSERT OR REPLACE INTO digests VALUES (?, ?)", (subscription, until.astimezone(UTC).isoformat())
        )

    def _select(self, where: str, values: tuple[object, ...]) -> list[Kept]:
        with self._file.reading() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM deliveries WHERE {where}", values).fetchall()
        return [
            Kept(key, name, about, from_microseconds(made), from_microseconds(due), *rest)
            for key, name, about, made, due, *rest in rows
        ]
