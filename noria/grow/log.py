"""A log of who was active when: from the lake's events, or from any table with a user and a time.

log = read_log("purchases.csv", user="customer", value="amount", zone="Asia/Shanghai")
log.table         # user, time (UTC), value, units, segment: one row an act
user_days(log)    # the same folded once into user-days: what growth, retention and lifetime read
log.problems      # what was set aside, why, and how often
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa

from noria.core.errors import InputError, unknown

from .files import columns_of, load_table, quoted
from .fold import ROLLUPS, measured, user_days
from .lake import connect

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

SERVER_EVENTS = "server events"
"""The source that figures from a lake's events name."""
COLUMNS = ("user", "time", "value", "units", "segment")


@dataclass(frozen=True)
class Problem:
    """Rows that were set aside, and why."""

    what: str
    rows: int
    example: str
    """Where the first one stands."""

    def text(self) -> str:
        """Return the problem on one line."""
        return f"{self.rows:,} rows set aside: {self.what} (first at {self.example})"


@dataclass(frozen=True)
class Log:
    """Activity with its provenance. `table` has `COLUMNS`; one row is one act of one user."""

    table: ibis.Table
    source: str
    licence: str = ""
    unit: str = ""
    """Unit of `value`."""
    first: date = date.min
    """First day with activity, UTC."""
    as_of: date = date.min
    """Last day the log covers, UTC; what comes later is not known rather than none."""
    rows: int = 0
    users: int = 0
    problems: tuple[Problem, ...] = ()
    facts: ibis.Table | None = None
    """All events of the lake, of every kind, where the log was taken from one."""
    kept: dict[str, Any] = field(init=False, repr=False, compare=False, default_factory=dict)
    """What was folded from the log so far: tables of its own engine, each made once and gone with the session, and small counts."""

    def texts(self) -> dict[str, str]:
        """Return the citation that goes under a chart, in English and in Chinese."""
        name = {"en": self.source, "zh": "服务事件" if self.source == SERVER_EVENTS else self.source}
        licence = {"en": f" ({self.licence})", "zh": f"（{self.licence}）"} if self.licence else {"en": "", "zh": ""}
        return {
            "en": f"{name['en']}{licence['en']}, as of {self.as_of}",
            "zh": f"{name['zh']}{licence['zh']}，截至 {self.as_of}",
        }

    def close(self) -> None:
        """Let go of the engine that holds the log, and of what was folded there."""
        self.table.get_backend().disconnect()

    def between(self, first: date, last: date) -> Log:
        """Return the log of the days `first` to `last`, both included.

        Raises:
            InputError: no activity falls into these days.
        """
        day = self.table.time.date()
        part = replace(self, table=self.table.filter((day >= ibis.literal(first)) & (day <= ibis.literal(last))))
        days = user_days(self)
        since, until = ((end - date(1970, 1, 1)).days for end in (first, last))
        part.kept["days"] = days.filter((days.day >= since) & (days.day <= until))
        part.kept["people"] = self.kept["people"]
        return measured(part, last)


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
    source: str = "",
    licence: str = "",
    unit: str = "",
    now: datetime | None = None,
    connection: Backend | None = None,
) -> Log:
    """Return the log in a CSV or Parquet file.

    Args:
        path: the file. CSV has a header line.
        user: the column that names the user; so for `time`, and for `value`, `units`, `segment`, `id`, which may be absent.
        time: ISO 8601 or YYYYMMDD. A bare date is a UTC day.
        value: an amount, not negative.
        units: how much was used; 1 where absent.
        segment: what analytics may split by.
        id: rows with one id are one act.
        zone: the time zone of times that name none, such as "UTC" or "Asia/Shanghai".
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
    raw, _ = load_table(connection, path, "log")
    names = {"user": user, "time": time, "value": value, "units": units, "segment": segment, "id": id}
    first_line = 1 if path.suffix == ".parquet" else 2
    table, problems = _checked(connection, raw, names, str(path), first_line, zone, now or datetime.now(UTC))
    return measured(Log(table, source or path.name, licence, unit, problems=problems))


def log_of_rows(
    rows: pa.Table,
    *,
    source: str,
    licence: str = "",
    unit: str = "",
    now: datetime | None = None,
    connection: Backend | None = None,
) -> Log:
    """Return the log in an Arrow table that has at least `user` and `time`.

    Raises:
        InputError: as `read_log`.
    """
    connection = connection or connect()
    raw, given = ibis.util.gen_name("raw"), ibis.util.gen_name("given")
    connection.con.register(given, rows)
    connection.con.execute(
        f'CREATE TEMP TABLE "{raw}" AS SELECT *, row_number() OVER () AS "row number" FROM "{given}"'
    )
    connection.con.unregister(given)
    names = {name: name for name in (*COLUMNS, "id")}
    table, problems = _checked(connection, raw, names, source, 1, None, now or datetime.now(UTC))
    return measured(Log(table, source, licence, unit, problems=problems))


def log_of_events(
    table: ibis.Table, *, segment: str = "app", kinds: Sequence[str] = ("request",), source: str = SERVER_EVENTS
) -> Log:
    """Return the activity in a lake's events: one act per event of `kinds` that names a user.

    Args:
        table: what `noria.grow.lake.events` returned.
        segment: the column of the events to split by: app, model, tenant, segment ...
        kinds: which events count as being active.
        source: what the figures cite.

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
    return measured(Log(acts, source, facts=table))


# What is wrong with a row, in the order in which it is asked; the first that holds is the reason told.
_REASONS = (
    ("the user is empty", "coalesce(trim(raw_user), '') = ''"),
    ("the time cannot be read", "time IS NULL"),
    ("the time is before 1970", "time < TIMESTAMP '1970-01-01'"),
    ("the time lies in the future", "time > $now"),
    ("the value cannot be read", "coalesce(trim(raw_value), '') <> '' AND NOT coalesce(isfinite(value), false)"),
    ("the value is negative", "value < 0"),
    ("the units cannot be read", "coalesce(trim(raw_units), '') <> '' AND units IS NULL"),
    ("the units are negative", "units < 0"),
    ("the id came before", "copy > 1"),
)


def _checked(
    connection: Backend,
    raw: str,
    names: Mapping[str, str],
    place: str,
    first_line: int,
    zone: str | None,
    now: datetime,
) -> tuple[ibis.Table, tuple[Problem, ...]]:
    """Return the usable rows, and the others counted by reason."""
    run = connection.con.execute
    kinds = columns_of(connection, raw)
    for needed in ("user", "time"):
        if names[needed] not in kinds:
            raise InputError(f"{place}: no column for the {needed}", allowed=f"one named {names[needed]!r}",
                             found=", ".join(kinds),
                             hint=f"name it with --{needed}")  # fmt: skip
    text = {
        name: f"CAST({quoted(column)} AS VARCHAR)" if column in kinds else "NULL::VARCHAR"
        for name, column in names.items()
    }
    moment = moment_sql(connection, raw, names["time"], kinds[names["time"]], zone, place)
    repeats = (
        f'row_number() OVER (PARTITION BY {quoted(names["id"])} ORDER BY "row number")' if names["id"] in kinds else "1"
    )
    checked = ibis.util.gen_name("log")
    cases = " ".join(f"WHEN {test} THEN '{what}'" for what, test in _REASONS)
    run(
        f"""CREATE TEMP TABLE "{checked}" AS
        WITH named AS (
            SELECT "row number" + {first_line - 1} AS line, {text["user"]} AS raw_user, {moment} AS time,
                   {text["value"]} AS raw_value, {text["units"]} AS raw_units, {text["segment"]} AS raw_segment,
                   {repeats} AS copy
            FROM "{raw}"),
        typed AS (
            SELECT line, raw_user, raw_value, raw_units, copy, trim(raw_user) AS "user", time,
                   TRY_CAST(raw_value AS DOUBLE) AS value, coalesce(raw_segment, '') AS segment,
                   CASE WHEN coalesce(trim(raw_units), '') = '' THEN 1 ELSE TRY_CAST(raw_units AS BIGINT) END AS units
            FROM named)
        SELECT line, "user", time, value, units, segment, CASE {cases} END AS problem FROM typed""".replace(
            "$now", f"TIMESTAMP '{now.astimezone(UTC).replace(tzinfo=None).isoformat(sep=' ')}'"
        )
    )
    run(f'DROP TABLE "{raw}"')
    found = run(
        f'SELECT problem, count(*), min(line) FROM "{checked}" WHERE problem IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1'
    )
    problems = tuple(Problem(what, rows, f"line {line}") for what, rows, line in found.fetchall())
    table = connection.table(checked)
    return table.filter(table.problem.isnull()).select(*COLUMNS), problems


_HAS_ZONE = r"\d{2}:\d{2}.*(Z|[+-]\d{2}(:?\d{2})?)$"
_BARE_DAY = r"^\d{4}-?\d{2}-?\d{2}$"


def moment_sql(connection: Backend, raw: str, column: str, kind: str, zone: str | None, place: str) -> str:
    """Return the SQL that reads a column of times as UTC; bare days are UTC days."""
    name = quoted(column)
    if kind == "DATE":
        return f"CAST({name} AS TIMESTAMP)"
    if kind.endswith("TIME ZONE"):
        return f"make_timestamp(epoch_us({name}))"
    stamp = f"trim(CAST({name} AS VARCHAR))"
    zoneless = f"NOT regexp_matches({stamp}, '{_HAS_ZONE}') AND NOT regexp_matches({stamp}, '{_BARE_DAY}') AND TRY_CAST({stamp} AS TIMESTAMP) IS NOT NULL"
    if zone is None:
        example = connection.con.execute(f'SELECT {stamp} FROM "{raw}" WHERE {zoneless} LIMIT 1').fetchone()
        if example:
            raise InputError(f"{place}: times name no time zone", found=example[0], allowed="2026-01-31T08:00:00Z, or bare days",
                             hint="say which zone they are in: --zone UTC")  # fmt: skip
        local = "NULL::TIMESTAMP"
    else:
        try:
            connection.con.execute("SELECT TIMESTAMP '2000-01-01' AT TIME ZONE ?", [zone])
        except Exception:
            raise InputError("unknown time zone", found=zone, allowed="a name such as UTC or Asia/Shanghai") from None
        escaped = zone.replace("'", "''")
        local = f"make_timestamp(epoch_us(TRY_CAST({stamp} AS TIMESTAMP) AT TIME ZONE '{escaped}'))"
    day = f"coalesce(TRY_CAST({stamp} AS DATE), CAST(try_strptime({stamp}, '%Y%m%d') AS DATE))"
    return (
        f"CASE WHEN regexp_matches({stamp}, '{_BARE_DAY}') THEN CAST({day} AS TIMESTAMP) "
        f"WHEN regexp_matches({stamp}, '{_HAS_ZONE}') THEN make_timestamp(epoch_us(TRY_CAST({stamp} AS TIMESTAMPTZ))) ELSE {local} END"
    )
