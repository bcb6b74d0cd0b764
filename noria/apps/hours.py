"""Hours by the clock of a place: of business, whether a person is there now and when the next one is; quiet ones, and when they end.

hours = Hours("Asia/Shanghai", ["mon-fri 09:00-18:00", "sat 10:00-14:00"], holidays=[date(2026, 10, 1)])
hours.opens(now)                # None while they are open, else the moment at which they open next
hours.closes(now)               # None while they are shut, else the moment at which they shut
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from noria.core.errors import SettingError
from noria.core.messages import Message, message

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FORM = re.compile(r"(?:(\w{3})(?:-(\w{3}))?\s+)?(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)", re.I)
_DAY_MINUTES = 24 * 60
_AHEAD_DAYS = 400
"""Days looked through for the next opening: more than a year of holidays is a shop that is shut."""


class Hours:
    """When people are there.

    Args:
        zone: name of the time zone that times are of, as in Asia/Shanghai.
        spans: as in "mon-fri 09:00-18:00"; without days every day, and past midnight where it ends before it begins. None: always.
        holidays: days on which nobody begins.

    Raises:
        SettingError: a span is none.
    """

    def __init__(self, zone: str = "UTC", spans: Sequence[str] = (), holidays: Collection[date] = ()) -> None:
        self.zone = ZoneInfo(zone)
        self.holidays = frozenset(holidays)
        self._spans = sorted(one for span in spans for one in _read(span))

    def opens(self, now: datetime) -> datetime | None:
        """Return when a person is there next, in the place's own time; None where one is there now, or never is."""
        here = now.astimezone(self.zone)
        if not self._spans or any(start <= here < end for start, end in self._openings(here.date(), -1, 0)):
            return None
        return next((start for start, _ in self._openings(here.date(), 0, _AHEAD_DAYS) if start > here), None)

    def closes(self, now: datetime) -> datetime | None:
        """Return when the hours that it is now are over, in the place's own time, those that follow at once among them; None outside of them.

        Hours that never end are over after a week.
        """
        moment = now
        for _ in range(7 * max(1, len(self._spans))):
            here = moment.astimezone(self.zone)
            ends = [end for start, end in self._openings(here.date(), -1, 0) if start <= here < end]
            if not ends or moment.astimezone(UTC) - now.astimezone(UTC) > timedelta(days=7):
                break
            end = max(ends)
            if end.astimezone(UTC) <= moment.astimezone(
                UTC
            ):  # it is the second of two hours that the clock shows twice
                end = end.replace(fold=1)
            moment = end
        return None if moment is now else moment

    def back(self, now: datetime) -> Message | None:
        """Return what tells a customer when a person is there next; None where one is there now, or never is."""
        moment = self.opens(now)
        if moment is None:
            return None
        day = message(f"apps.weekday_{moment.weekday()}")
        return message("apps.people_back", day=day, date=f"{moment:%Y-%m-%d}", time=f"{moment:%H:%M}", zone=self.zone)

    def _openings(self, day: date, first: int, last: int) -> Iterator[tuple[datetime, datetime]]:
        """Yield the openings that begin from `first` to `last` days from a day, in their order."""
        for place in range(first, last + 1):
            one = day + timedelta(days=place)
            for weekday, start, minutes in self._spans:
                if weekday == one.weekday() and one not in self.holidays:
                    # The end by the clock on the wall, not by hours passed: a night in which clocks are put back is longer.
                    days, end = divmod(start + minutes, _DAY_MINUTES)
                    yield self._at(one, start), self._at(one + timedelta(days=days), end)

    def _at(self, day: date, minute: int) -> datetime:
        return datetime.combine(day, time(*divmod(minute, 60)), self.zone)


def _read(span: str) -> list[tuple[int, int, int]]:
    """Return (day of the week, first minute, minutes) of a span, one a day."""
    found = _FORM.fullmatch(span.strip())
    if found:
        first, last = ((found[place] or "").lower() for place in (1, 2))
        start, end = (int(found[place]) * 60 + int(found[place + 1]) for place in (3, 5))
        minutes_fine = int(found[4]) < 60 and int(found[6]) < 60 and start < _DAY_MINUTES and end <= _DAY_MINUTES
        if minutes_fine and {first, last} <= {"", *DAYS} and start != end:
            days = _days(first, last)
            return [(day, start, (end - start) % _DAY_MINUTES or _DAY_MINUTES) for day in days]
    raise SettingError(message("apps.hours"), found=span, allowed=message("apps.hours_form"))


def _days(first: str, last: str) -> list[int]:
    if not first:
        return list(range(7))
    start = DAYS.index(first)
    count = (DAYS.index(last) - start) % 7 + 1 if last else 1
    return [(start + place) % 7 for place in range(count)]
