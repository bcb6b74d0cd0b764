"""Times as whole numbers: microseconds since 1970 in UTC, and days of a calendar, by what every engine knows, and in DuckDB by its
fastest way."""

from __future__ import annotations

from typing import Any

import ibis

from .zones import DAY, LocalCalendar, Steps, added, from_wall

__all__ = ["DAY", "day_number", "from_local", "in_duckdb", "microseconds", "utc"]


def _epoch_us(moment) -> int:  # type: ignore[no-untyped-def,empty-body]
    """Stand for DuckDB's function: microseconds of a time since 1970."""


def _make_timestamp(microseconds: int):  # type: ignore[no-untyped-def]
    """Stand for DuckDB's function: the time at so many microseconds since 1970."""


_MICROSECONDS: Any = ibis.udf.scalar.builtin(
    _epoch_us, name="epoch_us", signature=((ibis.expr.datatypes.Timestamp(),), ibis.dtype("int64"))
)
_TIMESTAMP: Any = ibis.udf.scalar.builtin(
    _make_timestamp, name="make_timestamp", signature=((ibis.dtype("int64"),), ibis.dtype("timestamp(6)"))
)


def utc(time: Any) -> Any:
    """Return a column of times or of days as UTC without a zone, to the microsecond; the engine's session is in UTC."""
    kind = time.type()
    if not (kind.is_date() or kind.timezone):
        return time
    if kind.is_timestamp() and in_duckdb(time):
        return _TIMESTAMP(_MICROSECONDS(time))  # its cast asks the calendar of every time zone
    return time.cast("timestamp(6)")  # told to the microsecond: ClickHouse would round to seconds


def from_local(time: Any, steps: Steps) -> Any:
    """Return a column of times as a zone's own clock shows them, or of its days, as UTC; `steps` are the zone's."""
    local = utc(time)
    if len(steps) == 1 and not steps[0][1]:
        return local
    seconds = local.truncate("s").epoch_seconds().cast("int64")
    ahead = _added(seconds, from_wall(steps))
    return local - ahead.as_interval("s")


def day_number(time: Any, calendar: LocalCalendar) -> Any:
    """Return the day of a time, itself UTC, counted from 1970."""
    steps = calendar.steps
    at_utc = len(steps) == 1 and not steps[0][1]
    if in_duckdb(time):
        instant = _MICROSECONDS(time)
        local = instant if at_utc else instant + _added(instant, steps, 1)
        return (local // DAY).cast("int32")
    if at_utc:
        return time.date().epoch_days().cast("int32")
    seconds = time.truncate("s").epoch_seconds().cast("int64")
    return ((seconds + _added(seconds, steps)) / (DAY // 1_000_000)).floor().cast("int32")


def _added(instant: Any, steps: Steps, unit: int = 1_000_000) -> Any:
    """Return what is added at an instant, which is counted, as what is added, in units of so many microseconds."""
    return added(
        steps,
        lambda at, early, late: (instant < at // unit).ifelse(early, late),
        lambda ahead: ibis.literal(ahead // unit, "int64"),
    )


def microseconds(time: Any) -> Any:
    """Return a time in microseconds since 1970."""
    if in_duckdb(time):
        return _MICROSECONDS(time)
    return time.truncate("s").epoch_seconds().cast("int64") * 1_000_000 + time.microsecond().cast("int64")


def in_duckdb(column: Any) -> bool:
    """Return whether a column lies in DuckDB."""
    return str(column.get_backend().name) == "duckdb"
