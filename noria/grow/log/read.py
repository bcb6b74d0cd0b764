"""A log out of a file, of rows or of a lake's events: read, checked and folded."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import ibis
import pyarrow as pa

from noria.core.errors import unknown
from noria.text.times import DateOrder

from .amounts import DecimalMark
from .checked import Reading, checked
from .columns import columns_note, day_beside, named_columns
from .files import load_table
from .instants import join_clocks
from .lake import connect
from .loaded import NUMBER, Loaded, columns_of
from .log import COLUMNS, SERVER_EVENTS, Log
from .times import microseconds
from .user_days import ROLLUPS, measured
from .zones import UTC_DAYS, Fiscal, LocalCalendar, YearWeek, local_calendar, steps_of

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend


def read_log(
    path: str | Path,
    *,
    user: str = "user",
    time: str = "time",
    value: str = "value",
    units: str = "units",
    segment: str = "segment",
    id: str = "id",
    zone: str | None = None,
    day_zone: str | None = None,
    week_starts: str = "monday",
    fiscal: Fiscal = "",
    year_starts: int = 1,
    year_week: YearWeek = "nearest",
    date_order: DateOrder = "",
    decimal: DecimalMark = "",
    keep_users: Sequence[str] = (),
    source: str = "",
    licence: str = "",
    unit: str = "",
    now: datetime | None = None,
    connection: Backend | None = None,
) -> Log:
    """Return the log in a file: CSV of any dialect and encoding, JSON Lines, XLSX or Parquet, packed or not.

    Args:
        path: the file. A table has a header line.
        user: the column that names the user; so for `time`, and for `value`, `units`, `segment`, `id`, which may be absent. Where none is
            called user, time or value, that is read which `noria.grow.log.columns` knows by another name, and told.
        time: ISO 8601, a day, or seconds since 1970, and what `noria.grow.log.stamps` reads besides.
        value: an amount; one that cannot be read or is negative is set aside, and its act kept.
        units: how much was used; 1 where absent.
        segment: what analytics may split by.
        id: rows with one id are one act; an empty id is none.
        zone: the time zone of times that name none, such as "UTC" or "Asia/Shanghai".
        day_zone: the time zone that days, weeks and months are counted in; `zone`, or UTC, where not given. A bare date is a day there.
        week_starts: monday, sunday or saturday.
        fiscal: "" for the calendar's months, iso, 4-4-5, 4-5-4 or 5-4-4 for those of whole weeks.
        year_starts: the month in which years begin.
        year_week: nearest to the first of that month, or holding it: the week with which a fiscal year begins.
        date_order: of dates in numbers that end with the year: dmy, mdy or ymd; told by the data where it can be.
        decimal: what stands before the decimals of amounts; told by the data where it can be.
        keep_users: words for nobody (`noria.grow.log.names.PLACEHOLDERS`) that are users here.
        source: what the figures cite; the file's name where not given.
        licence: under which the log may be used.
        unit: unit of `value`.
        now: acts after it are set aside.
        connection: where to put the table.

    Raises:
        InputError: no such file, no such column, times without a zone, or not one usable row.
    """
    path = Path(path)
    connection = connection or connect()
    calendar = local_calendar(day_zone or zone, week_starts, fiscal, year_starts, year_week)
    if zone is not None:
        steps_of(zone)
    asked = {"user": user, "time": time, "value": value, "units": units, "segment": segment, "id": id}
    names, found = dict(asked), dict[str, str]()

    def wanted(header: Sequence[str]) -> list[str]:
        nonlocal names, found
        names, found = named_columns(header, asked)
        return [*names.values(), day_beside(names["time"], header)]

    loaded = load_table(connection, path, "log", wanted)
    loaded.notes += columns_note(found)
    if note := join_clocks(connection, loaded, names["time"]):
        loaded.notes.append(note)
    how = Reading(names, str(path), now or datetime.now(UTC), zone, calendar, date_order, decimal, tuple(keep_users))
    return _log(connection, loaded, how, source or path.name, licence, unit)


def _log(connection: Backend, loaded: Loaded, how: Reading, source: str, licence: str, unit: str) -> Log:
    table, problems, notes = checked(connection, loaded, how)
    return measured(
        Log(
            table,
            source,
            licence,
            unit,
            problems=tuple(problems),
            calendar=covering(how.calendar, table),
            notes=tuple(notes),
        )
    )


def covering(calendar: LocalCalendar, table: ibis.Table) -> LocalCalendar:
    """Return the calendar with the steps that a table's times need."""
    if len(calendar.steps) == 1 and not calendar.years.fiscal:
        return calendar
    ends = table.aggregate(first=microseconds(table.time.min()), last=microseconds(table.time.max()))
    found = ends.to_pyarrow().to_pylist()[0]
    return calendar if found["first"] is None else calendar.between(int(found["first"]), int(found["last"]))


def log_of_rows(
    rows: pa.Table,
    *,
    source: str,
    licence: str = "",
    unit: str = "",
    now: datetime | None = None,
    connection: Backend | None = None,
    calendar: LocalCalendar = UTC_DAYS,
) -> Log:
    """Return the log in an Arrow table that has at least `user` and `time`.

    Raises:
        InputError: as `read_log`.
    """
    connection = connection or connect()
    raw, given = ibis.util.gen_name("raw"), ibis.util.gen_name("given")
    numbered = rows.append_column(NUMBER, pa.array(range(1, rows.num_rows + 1), pa.int64()))
    connection.con.register(given, numbered)
    connection.con.execute(f'CREATE TEMP TABLE "{raw}" AS SELECT * FROM "{given}"')
    connection.con.unregister(given)
    names = {name: name for name in (*COLUMNS, "id")}
    loaded = Loaded(raw, columns_of(connection, raw), lambda number: number)
    how = Reading(names, source, now or datetime.now(UTC), calendar=calendar)
    return _log(connection, loaded, how, source, licence, unit)


def log_of_events(
    table: ibis.Table,
    *,
    segment: str = "app",
    kinds: Sequence[str] = ("request",),
    source: str = SERVER_EVENTS,
    calendar: LocalCalendar = UTC_DAYS,
) -> Log:
    """Return the activity in a lake's events: one act per event of `kinds` that names a user.

    Args:
        table: what `noria.grow.log.lake.events` returned.
        segment: the column of the events to split by: app, model, tenant, segment ...
        kinds: which events count as being active.
        source: what the figures cite.
        calendar: what days and weeks are counted by.

    Raises:
        SettingError: the events have no column `segment`.
        InputError: no event of these kinds names a user.
    """
    if segment not in (*table.columns, "topic"):
        raise unknown("column of events", segment, table.columns)
    acts = table.filter(table.kind.isin(list(kinds)) & (table.user != ""))
    more = {name: acts.segment if name == "topic" else acts[name] for name in ROLLUPS}
    named = acts.segment if segment == "topic" else acts[segment]
    acts = acts.select(user=acts.user, time=acts.time, value=acts.value, units=acts.units, segment=named, **more)
    return measured(Log(acts, source, facts=table, calendar=covering(calendar, table)))
