"""Event and the lake's layout: what ship writes and grow reads.

An event is first acknowledged in a server's outbox (SQLite, `<lake>/outbox/<server>.sqlite`) and later sealed into
Parquet by UTC day (`<lake>/events/day=YYYY-MM-DD/<name>.parquet`). Both hold the same columns, `COLUMNS`; an event that
stands in both is one event, told by its id. One table; new facts are new kinds, never new meanings.

What was said stands in `text`, masked, and only of a user who consented; how likely an item was to be shown where it was, in
`propensity`. `FACTS` are the columns without these two, and all that analytics of use read.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Any

from noria.core.errors import InputError
from noria.core.messages import message

KINDS = {
    "request": "a model or an application was asked",
    "feedback": "a user said whether an answer, `subject`, was right: `value` is 1 or -1",
    "impression": "an item, `subject`, was shown to a user; `value` is its place in the list, from 1",
    "click": "a user opened an item, `subject`",
    "conversion": "a user did what it is all for, such as buying an item, `subject`; `value` may be an amount",
    "handover": "a question, the request `subject`, was handed over to a person; `value` is the confidence",
    "reply": "a person replied to a customer whose question, the request `subject`, was handed over",
    "alert": "something needs a person's eyes, such as a surge of negative texts",
}
"""Kind of event -> when there is one."""
OUTCOMES = {
    "ok": "answered",
    "refused": "the request could not be used, or had to wait (HTTP 4xx)",
    "failed": "the server could not answer (HTTP 5xx), or the client left before the end",
    "blocked": "the guard held it back",
}
"""Outcome of an event -> what it means."""
SCHEMA = 3
"""Version of the columns; 1 had no `text`, 1 and 2 no `propensity`. Older files are read as if they had the new columns, empty."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_MOST = 1 << 63


@dataclass(frozen=True, slots=True)
class Event:
    """One fact of use. Times are UTC; user and tenant are pseudonyms."""

    id: str
    """UUIDv7: sorts by time; two events with one id are one event."""
    time: datetime
    """When it happened, UTC."""
    kind: str
    """One of `KINDS`."""
    user: str = ""
    """Pseudonym of the user; empty where there is none."""
    tenant: str = ""
    """Pseudonym of the customer or key the request came under."""
    app: str = ""
    """support, monitor, recommend, or api for a direct call."""
    model: str = ""
    version: str = ""
    """First 12 digits of the model folder's identity."""
    units: int = 0
    """How much was used, in `unit`."""
    unit: str = "items"
    """tokens or items."""
    latency_ms: float = 0.0
    outcome: str = "ok"
    """One of `OUTCOMES`."""
    segment: str = ""
    """Language, industry, topic: what analytics may split by."""
    consent: bool = False
    """The user agreed that their masked text may become training data."""
    subject: str = ""
    """Id of the event this one is about: the request of a feedback or a handover, the item of a click."""
    value: float | None = None
    """A kind's own number: 1 and -1 for right and wrong feedback, an amount for a conversion."""
    text: str = ""
    """What was said, as a JSON object with personal data masked; only with `consent`, empty else."""
    propensity: float | None = None
    """Probability with which an impression's item was shown at its place, by whoever chose it; None where nobody knows."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(message("lake.unknown_kind"), found=self.kind, allowed=KINDS)
        if self.outcome not in OUTCOMES:
            raise InputError(message("lake.unknown_outcome"), found=self.outcome, allowed=OUTCOMES)
        if self.time.tzinfo is None:
            raise InputError(message("lake.time_event"), found=self.time.isoformat(), allowed="UTC")
        if not -_MOST <= self.units < _MOST:
            raise InputError(message("lake.units_event"), found=self.units, allowed=message("lake.bits"))
        if self.text and not self.consent:
            raise InputError(message("lake.event_holds"), allowed=message("lake.text_user"))

    def row(self) -> tuple[Any, ...]:
        """Return the values in the order of `COLUMNS`, time as microseconds since 1970."""
        identity, time, *rest = _values(self)
        return (identity, microseconds(time), *rest)

    @classmethod
    def from_row(cls, row: tuple[Any, ...]) -> Event:
        """Return the event that `row` returned these values for."""
        values = dict(zip(COLUMNS, row, strict=True))
        values["time"] = from_microseconds(values["time"])
        values["consent"] = bool(values["consent"])
        return cls(**values)


COLUMNS: dict[str, str] = {
    "id": "TEXT",
    "time": "TIMESTAMP",
    "kind": "TEXT",
    "user": "TEXT",
    "tenant": "TEXT",
    "app": "TEXT",
    "model": "TEXT",
    "version": "TEXT",
    "units": "BIGINT",
    "unit": "TEXT",
    "latency_ms": "DOUBLE",
    "outcome": "TEXT",
    "segment": "TEXT",
    "consent": "BOOLEAN",
    "subject": "TEXT",
    "value": "DOUBLE",
    "text": "TEXT",
    "propensity": "DOUBLE",
}
"""Column -> type, in order, as in DuckDB's SQL. In Parquet `time` is timestamp[us, UTC]; in SQLite microseconds."""
FACTS = {name: kind for name, kind in COLUMNS.items() if name not in ("text", "propensity")}
"""The columns that analytics of use read: all but what was said, and how likely an item was to be shown."""

OUTBOX_TABLE = "events"
_STORED = {"TEXT": "TEXT", "TIMESTAMP": "INTEGER", "BIGINT": "INTEGER", "BOOLEAN": "INTEGER", "DOUBLE": "REAL"}
OUTBOX_DDL = (
    f"CREATE TABLE IF NOT EXISTS {OUTBOX_TABLE} (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, "
    + ", ".join(
        f'"{name}" {_STORED[kind]}{"" if name in ("value", "propensity") else " NOT NULL"}'
        for name, kind in COLUMNS.items()
        if name != "id"
    )
    + ")"
)
"""The outbox's table: the columns of an event after `seq`, which counts events in the order they were committed."""

_values = attrgetter(*COLUMNS)
# `asdict` copies deeply, and takes half the time of storing an event.

assert tuple(COLUMNS) == tuple(field.name for field in fields(Event))


def outbox_file(lake: str | Path, server: str = "main") -> Path:
    """Return where a server's outbox lies."""
    return Path(lake) / "outbox" / f"{server}.sqlite"


def day_folder(lake: str | Path, day: str) -> Path:
    """Return the folder of one UTC day's sealed events; `day` is YYYY-MM-DD."""
    return Path(lake) / "events" / f"day={day}"


def microseconds(moment: datetime) -> int:
    """Return whole microseconds since 1970-01-01 UTC."""
    return (moment - EPOCH) // _MICROSECOND  # seconds as a float would lose the last digit from 2106 on


def from_microseconds(stamp: int) -> datetime:
    """Return the moment, in UTC, of whole microseconds since 1970-01-01 UTC."""
    return EPOCH + stamp * _MICROSECOND


_last_stamp = 0


def new_id(now: Callable[[], float] = time.time) -> str:
    """Return a UUIDv7 (RFC 9562, 5.7): 48 bits of milliseconds, then 12 bits that count within the millisecond.

    Ids of one process sort in the order they were made, even when the clock steps back.
    """
    return new_ids(1, now)[0]


def new_ids(count: int, now: Callable[[], float] = time.time) -> list[str]:
    """Return so many UUIDv7, in the order of their making; see `new_id`."""
    global _last_stamp
    drawn, made = os.urandom(8 * count), []
    for begin in range(0, 8 * count, 8):
        stamp = int(now() * 1000) << 12
        _last_stamp = stamp = max(stamp, _last_stamp + 1)
        random = int.from_bytes(drawn[begin : begin + 8]) & ((1 << 62) - 1)
        value = (stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64 | 0b10 << 62 | random
        digits = f"{value:032x}"
        made.append(f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}")
    return made


def pseudonym(name: str, secret: bytes) -> str:
    """Return a stand-in for a user's name that cannot be turned back without `secret` (HMAC-SHA-256, 16 digits)."""
    return hmac.new(secret, name.encode(), hashlib.sha256).hexdigest()[:16] if name else ""
