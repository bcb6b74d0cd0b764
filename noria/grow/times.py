"""Times as whole numbers: days and microseconds since 1970, UTC, by what every engine knows, and in DuckDB by its fastest way."""

from __future__ import annotations

from typing import Any

import ibis

DAY = 86_400_000_000
"""Microseconds of a day."""


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


def day_number(time: Any) -> Any:
    """Return the day of a time, counted from 1970."""
    if in_duckdb(time):
        return (_MICROSECONDS(time) // DAY).cast("int32")
    return time.date().epoch_days().cast("int32")


def microseconds(time: Any) -> Any:
    """Return a time in microseconds since 1970."""
    if in_duckdb(time):
        return _MICROSECONDS(time)
    return time.truncate("s").epoch_seconds().cast("int64") * 1_000_000 + time.microsecond().cast("int64")


def in_duckdb(column: Any) -> bool:
    """Return whether a column lies in DuckDB."""
    return str(column.get_backend().name) == "duckdb"
