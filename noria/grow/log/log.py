"""A log of who was active when: from the lake's events, or from any table with a user and a time.

log = read_log("purchases.csv", user="customer", value="amount", zone="Asia/Shanghai")
log.table         # user, time (UTC), value, units, segment: one row an act
user_days(log)    # the same folded once into user-days: what growth, retention and lifetime read
log.problems      # what was set aside, why, and how often
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

import ibis

from noria.core.messages import Message, as_is, joined, message

from .problems import Problem
from .zones import UTC_DAYS, LocalCalendar

if TYPE_CHECKING:
    pass

SERVER_EVENTS = "server events"
"""The source that figures from a lake's events name."""
COLUMNS = ("user", "time", "value", "units", "segment")


@dataclass(frozen=True)
class Log:
    """Activity with its provenance. `table` has `COLUMNS`; one row is one act of one user."""

    table: ibis.Table
    source: str
    licence: str = ""
    unit: str = ""
    """Unit of `value`."""
    first: date = date.min
    """First day with activity, of the calendar."""
    as_of: date = date.min
    """Last day the log covers; what comes later is not known rather than none."""
    rows: int = 0
    users: int = 0
    problems: tuple[Problem, ...] = ()
    facts: ibis.Table | None = None
    """All events of the lake, of every kind, where the log was taken from one."""
    calendar: LocalCalendar = UTC_DAYS
    """The zone that days are counted in, and when weeks begin."""
    notes: tuple[Message, ...] = ()
    """What a person should know of how it was read."""
    placeholders: tuple[str, ...] = ()
    """Names, in small letters, that stand for no one: whose acts `table` may hold are left out of every count."""
    kept: dict[str, Any] = field(init=False, repr=False, compare=False, default_factory=dict)
    """What was folded from the log so far: tables of its own engine, each made once and gone with the session, and small counts."""

    def text(self) -> Message:
        """Return the citation that goes under a chart."""
        parts = [message("log.server_events") if self.source == SERVER_EVENTS else as_is(self.source)]
        parts += [message("report.cited.licence", licence=self.licence)] if self.licence else []
        parts.append(message("report.cited.as_of", as_of=self.as_of))
        parts.append(message("log.cited_days", days=self.calendar.text()))
        return joined("join.nothing", parts)

    def close(self) -> None:
        """Let go of the engine that holds the log, and of what was folded there."""
        self.table.get_backend().disconnect()
