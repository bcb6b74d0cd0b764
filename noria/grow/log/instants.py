"""A file's column of times as instants: read in SQL where they are written as usual, one by one where not, and told in a zone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa

from noria.core.errors import InputError
from noria.core.messages import Message, message
from noria.text.times import DateOrder, read_times

from .columns import day_beside
from .date_order import Order, order_of
from .loaded import NUMBER, Loaded, quoted
from .tables import drop, put
from .zones import LocalCalendar, Steps, added_sql, from_wall, steps_of

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

_MICROSECONDS = 1_000_000
_BARE_CLOCK = "(上午|下午)? *[0-9]{1,2}[:时点][0-9]{1,2}([:分][0-9]{1,2}([.][0-9]+)?)?[秒分]?( *[AaPp][.]?[Mm][.]?)?"
"""A time of no day."""
_ALSO = ("____-__-__ __:__", "____-__-__T__:__", "____/__/__ __:__:__", "____/__/__ __:__")
"""Clocks without a zone that the engine reads as it stands."""


def times_sql(column: str, kind: str) -> str:
    """Return the SQL of what a column of times says: `raw_time`, and of those written as usual `wall`, `ahead` and `day`.

    They are those of a `Stamp`; what is left NULL in `wall` is either empty or to be looked at by `odd_times`.
    """
    name = quoted(column)
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        ahead = "0::BIGINT" if kind.endswith("TIME ZONE") else "NULL::BIGINT"
        return (
            f"CAST({name} AS VARCHAR) AS raw_time, CASE WHEN isfinite({name}) THEN epoch_us({name}) END AS wall, {ahead} AS ahead, "
            f'{str(kind == "DATE").lower()} AS "day"'
        )
    stamp = name if kind == "VARCHAR" else f"CAST({name} AS VARCHAR)"
    bare = f"(strlen({stamp}) = 10 AND {stamp} LIKE '____-__-__')"
    clock = f"({stamp} LIKE '____-__-__T__:__:__%' OR {stamp} LIKE '____-__-__ __:__:__%')"
    tail = f"substr({stamp}, 20)"
    signed = f"regexp_full_match({tail}, '([.][0-9]+)?[+-](0[0-9]|1[0-5]):?[0-5][0-9]')"
    wall = f"regexp_replace({stamp}, '(Z|z|[+-][0-9]{{2}}:?[0-9]{{2}})$', '')"
    part = f"regexp_full_match({tail}, '([.][0-9]+)?[Zz]?')"
    ahead = f"right(replace({tail}, ':', ''), 5)"
    offset = (
        f"(CASE left({ahead}, 1) WHEN '-' THEN -{_MICROSECONDS} ELSE {_MICROSECONDS} END "
        f"* (CAST(substr({ahead}, 2, 2) AS BIGINT) * 3600 + CAST(right({ahead}, 2) AS BIGINT) * 60))"
    )
    digits = f"(strlen({stamp}) IN (10, 13, 16) AND regexp_full_match({stamp}, '[0-9]+'))"
    other = " OR ".join(f"{stamp} LIKE '{form}'" for form in _ALSO)
    since = f"CAST({stamp} AS BIGINT) * CASE strlen({stamp}) WHEN 10 THEN {_MICROSECONDS} WHEN 13 THEN 1000 ELSE 1 END"
    return (
        f"{stamp} AS raw_time, "
        f"CASE WHEN {bare} THEN epoch_us(TRY_CAST({stamp} AS TIMESTAMP)) "
        f"WHEN {clock} THEN CASE WHEN {tail} IN ('', 'Z') THEN epoch_us(TRY_CAST({stamp} AS TIMESTAMP)) "
        f"WHEN {part} OR {signed} THEN epoch_us(TRY_CAST({wall} AS TIMESTAMP)) END "
        f"WHEN {digits} THEN {since} WHEN {other} THEN epoch_us(TRY_CAST({stamp} AS TIMESTAMP)) END AS wall, "
        f"CASE WHEN {bare} THEN NULL WHEN {clock} THEN CASE WHEN suffix({stamp}, 'Z') OR suffix({stamp}, 'z') THEN 0 "
        f"WHEN {tail} <> '' AND {signed} THEN {offset} END WHEN {digits} THEN 0 END AS ahead, coalesce({bare}, false) AS \"day\""
    )


def odd_times(
    connection: Backend, parsed: str, number: str, place: str, line: Callable[[int], int], order: DateOrder = ""
) -> tuple[str, list[Message]]:
    """Return a table of the times in a table of `times_sql` that are written otherwise: raw_time -> wall, ahead, day; and what to say of it.

    Args:
        connection: where the table is.
        parsed: its name.
        number: its column by which the rows are in the order of the file.
        place: what the times are of, for messages.
        line: number of a row -> the line where it stands.
        order: of days and months, where the person has told it.

    Raises:
        InputError: days and months cannot be told apart.
    """
    rows = connection.con.execute(
        f"SELECT raw_time, min({quoted(number)}) FROM \"{parsed}\" WHERE wall IS NULL AND trim(raw_time) <> '' GROUP BY 1 ORDER BY 2"
    ).fetchall()
    texts = [row[0] for row in rows]
    judged = Order(order) if order else order_of(texts, place, lambda at: line(rows[at][1]))
    stamps = read_times(texts, judged.order or "dmy")
    found = [(text, *stamp) for text, stamp in zip(texts, stamps, strict=True) if stamp is not None]
    notes = [note] if (note := judged.note()) else []
    if month := next((text for text, stamp in zip(texts, stamps, strict=True) if stamp and stamp.month), None):
        notes.append(message("log.note.months", example=month))
    columns: list[Sequence[Any]] = list(zip(*found, strict=True)) if found else [[], [], [], []]
    table = pa.table(
        {
            "raw_time": pa.array(columns[0], pa.string()),
            "wall": pa.array(columns[1], pa.int64()),
            "ahead": pa.array(columns[2], pa.int64()),
            "day": pa.array(columns[3], pa.bool_()),
        }
    )
    return put(connection, table), notes


def zoned_or_refused(
    connection: Backend, parsed: str, odd: str, zone: str | None, number: str, place: str, line: Callable[[int], int]
) -> None:
    """Refuse times that name no zone where none was told; the rest as `odd_times` has it.

    Raises:
        InputError: there are such times.
    """
    if zone is not None:
        return
    example = connection.con.execute(
        f"""SELECT raw_time, {quoted(number)} FROM "{parsed}" AS one LEFT JOIN "{odd}" AS other USING (raw_time)
        WHERE coalesce(one.wall, other.wall) IS NOT NULL AND coalesce(one.ahead, other.ahead) IS NULL
            AND NOT coalesce(other."day", one."day") ORDER BY 2 LIMIT 1"""
    ).fetchone()
    if example:
        raise InputError(
            message("grow.times_name_time", place=message("log.at_line", place=place, line=line(example[1]))),
            found=example[0],
            allowed=message("grow.bare_days"),
            hint=message("grow.say_zone_they"),
        )


def instant_sql(zone: str | None, calendar: LocalCalendar) -> str:
    """Return the SQL of the instant, in microseconds of UTC, that `wall`, `ahead` and `day` tell."""
    days, clock = (from_wall(steps) for steps in (steps_of(calendar.zone), steps_of(zone or calendar.zone)))
    return f'CASE WHEN "day" THEN wall - {_back(days)} WHEN ahead IS NOT NULL THEN wall - ahead ELSE wall - {_back(clock)} END'


def _back(steps: Steps) -> str:
    return f"({added_sql('wall', steps)})"


def join_clocks(connection: Backend, loaded: Loaded, time: str) -> Message | None:
    """Put the day before each clock of a column of clocks that stands beside one of days; return what is to be said of it.

    >>> join_clocks(connection, loaded, "time")     # date 2026-01-31, time 08:00 -> time 2026-01-31 08:00
    """
    day = day_beside(time, loaded.kinds)
    if (
        not day
        or not loaded.kinds.get(time, "").startswith(("VARCHAR", "TIME"))
        or loaded.kinds[time].startswith("TIMESTAMP")
    ):
        return None
    run = connection.con.execute
    clock, days = f"trim(CAST({quoted(time)} AS VARCHAR))", f"trim(CAST({quoted(day)} AS VARCHAR))"
    told = run(
        f"SELECT count(*), count(*) FILTER (NOT regexp_full_match({clock}, '{_BARE_CLOCK}')) FROM \"{loaded.name}\" WHERE {clock} <> ''"
    ).fetchone()
    if not told or not told[0] or told[1] > told[0] // 20:
        return None
    if loaded.kinds[time] != "VARCHAR":
        run(f'ALTER TABLE "{loaded.name}" ALTER {quoted(time)} TYPE VARCHAR')
        loaded.kinds[time] = "VARCHAR"
    run(f"UPDATE \"{loaded.name}\" SET {quoted(time)} = trim({days} || ' ' || coalesce({clock}, ''))")
    return message("log.note.clocks", day=day, clock=time)


LOCAL = "local time"
"""Name of the column that `add_local_times` adds."""


def add_local_times(
    connection: Backend, loaded: Loaded, column: str, zone: str | None, place: str, order: DateOrder = ""
) -> str:
    """Give a file's table one more column, the time as the clocks of `zone` show it, and return its name in SQL.

    What says how far it is from UTC is told in the zone, in UTC where none is named; what does not stays as it stands.

    Raises:
        InputError: there is no such zone, times name none and none is told, or days and months cannot be told apart.
    """
    run = connection.con.execute
    steps = steps_of(zone or "UTC")
    parsed, whole = ibis.util.gen_name("times"), ibis.util.gen_name("raw")
    run(
        f'CREATE TEMP TABLE "{parsed}" AS SELECT "{NUMBER}", {times_sql(column, loaded.kinds[column])} FROM "{loaded.name}"'
    )
    odd, notes = odd_times(connection, parsed, NUMBER, place, loaded.line, order)
    loaded.notes += notes
    zoned_or_refused(connection, parsed, odd, zone, NUMBER, place, loaded.line)
    run(
        f"""CREATE TEMP TABLE "{whole}" AS
        WITH times AS (
            SELECT "{NUMBER}", coalesce(one.wall, other.wall) AS wall, coalesce(one.ahead, other.ahead) AS ahead
            FROM "{parsed}" AS one LEFT JOIN "{odd}" AS other USING (raw_time)),
        instants AS (SELECT "{NUMBER}", wall, ahead, wall - ahead AS instant FROM times)
        SELECT raw.*, make_timestamp(CASE WHEN ahead IS NULL THEN wall ELSE instant + {added_sql("instant", steps)} END) AS "{LOCAL}"
        FROM "{loaded.name}" AS raw JOIN instants USING ("{NUMBER}")"""
    )
    drop(connection, parsed, odd, loaded.name)
    loaded.name = whole
    return quoted(LOCAL)
