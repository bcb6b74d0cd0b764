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
    """The zone that days are told in, and when weeks begin."""
    notes: tuple[str, ...] = ()
    """What a person should know of how it was read."""
    placeholders: tuple[str, ...] = ()
    """Names, in small letters, that stand for no one: whose acts `table` may hold are left out of every count."""
    kept: dict[str, Any] = field(init=False, repr=False, compare=False, default_factory=dict)
    """What was folded from the log so far: tables of its own engine, each made once and gone with the session, and small counts."""

    def texts(self) -> dict[str, str]:
        """Return the citation that goes under a chart, in English and in Chinese."""
        name = {"en": self.source, "zh": "服务事件" if self.source == SERVER_EVENTS else self.source}
        licence = {"en": f" ({self.licence})", "zh": f"（{self.licence}）"} if self.licence else {"en": "", "zh": ""}
        days = self.calendar.text() if self.calendar.zone != "UTC" else None
        return {
            "en": f"{name['en']}{licence['en']}, as of {self.as_of}" + (f", {days['en']}" if days else ""),
            "zh": f"{name['zh']}{licence['zh']}，截至 {self.as_of}" + (f"，{days['zh']}" if days else ""),
        }

    def close(self) -> None:
        """Let go of the engine that holds the log, and of what was folded there."""
        self.table.get_backend().disconnect()
