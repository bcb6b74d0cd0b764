"""A log in any table of any engine that has a user and a time: checked where it lies, by what every engine knows.

    log = log_of_table(connection.table("orders"), LogSettings(user="customer", value="amount"), source="orders")

Where a file's rows are texts that must be read first (`noria.grow.log`), a table's columns have types, so that what is left to
find are empty users, times that cannot be, amounts below zero and repeated ids. Where there are none, nothing is looked for again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import ibis

from noria.core.errors import InputError

from .fold import extended, measured, nameless, tally
from .log import COLUMNS, Log, Problem
from .settings import LogSettings
from .times import DAY, microseconds, utc
from .users.bits import user_bits

_REASONS = ("the time is missing", "the time is before 1970", "the time lies in the future", "the value is no number", "the value is negative",
            "the units are negative", "the id came before")  # fmt: skip
"""What is wrong with an act, by number from 1; 0 is nothing. An empty user comes before all of them."""
_NO_USER = "the user is empty"


def log_of_table(
    table: ibis.Table, settings: LogSettings | None = None, *, source: str, now: datetime | None = None
) -> Log:
    """Return the log in a table.

    Args:
        table: of any engine whose session is in UTC.
        settings: what its columns are called; `zone` may only be UTC, for times that name none.
        source: what figures cite.
        now: acts after it are set aside.

    Raises:
        InputError: no such column, a column of another type, times without a zone, or not one usable row.
    """
    settings = settings or LogSettings()
    acts = _named(table, settings, source)
    moment = (now or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None)
    told = acts.mutate(wrong=_wrong(acts, moment))
    log = Log(_whole(acts).select(*COLUMNS), source, settings.licence, settings.unit)
    ends = _ends(table[settings.time], moment)
    sure = ends["timely"] and not {"value", "units", "copy"} & set(acts.columns)  # no row has to be asked
    if sure or not told.aggregate(wrong=(told.wrong > 0).ifelse(1, 0).sum()).to_pyarrow().to_pylist()[0]["wrong"]:
        log = extended(log, ends["first"], ends["last"], ends["rows"], 0)
        bits = user_bits(log, settings.period)
        if bits is not None:
            log.kept["names"] = bits.select(name="user")
        names = tally(log)
        if not names.blank:
            return extended(log, ends["first"], ends["last"], ends["rows"], names.named)
    named = told.filter(~nameless(told.user))
    good = _whole(named.filter(named.wrong == 0)).select(*COLUMNS)
    return measured(Log(good, source, settings.licence, settings.unit, problems=_problems(told)))


def _ends(time: Any, now: datetime) -> dict[str, Any]:
    """Return the first and last day of a column of times, its rows, and whether each is a time from 1970 until now.

    The column is asked as it stands: what a file or an engine knows of it (its least and its greatest) then needs no reading.
    """
    table = time.as_table()
    time = table[time.get_name()]
    ends = table.aggregate(
        first=microseconds(utc(time.min())), last=microseconds(utc(time.max())), rows=table.count(), timed=time.count()
    )
    found: dict[str, Any] = ends.to_pyarrow().to_pylist()[0]
    first, last = found["first"], found["last"]
    if first is None or last is None:
        return {**found, "timely": False}
    until = (now - datetime(1970, 1, 1)) // timedelta(microseconds=1)
    timely = found["timed"] == found["rows"] and first >= 0 and last <= until
    return {"first": first // DAY, "last": last // DAY, "rows": found["rows"], "timely": timely}


def _named(table: ibis.Table, settings: LogSettings, source: str) -> ibis.Table:
    """Return the columns that are there, by the names that acts give them."""
    names = {name: getattr(settings, name) for name in (*COLUMNS, "id")}
    for needed in ("user", "time"):
        if names[needed] not in table.columns:
            raise InputError(f"{source}: no column for the {needed}", allowed=f"one named {names[needed]!r}", found=", ".join(table.columns),
                             hint=f"name it with --{needed}")  # fmt: skip
    columns: dict[str, Any] = {
        "user": table[names["user"]].cast("string"),
        "time": _time(table[names["time"]], settings.zone, source),
    }
    for name, kind in (("value", "float64"), ("units", "int64")):
        if names[name] in table.columns:
            columns[name] = _number(table, names[name], kind, source)
    if names["segment"] in table.columns:
        columns["segment"] = table[names["segment"]].cast("string")
    if names["id"] in table.columns:
        columns["copy"] = ibis.row_number().over(ibis.window(group_by=names["id"], order_by=names["time"]))
    return table.select(**columns)


def _wrong(acts: ibis.Table, now: datetime) -> Any:
    """Return the number of the first thing wrong with an act, 0 where nothing is."""
    tests = [
        acts.time.isnull(),
        acts.time < ibis.timestamp("1970-01-01 00:00:00"),
        acts.time > ibis.timestamp(now.isoformat(sep=" ")),
    ]
    if "value" in acts.columns:
        tests += [acts.value.isnan().fill_null(False), (acts.value < 0).fill_null(False)]
    else:
        tests += [ibis.literal(False)] * 2
    tests.append((acts.units < 0).fill_null(False) if "units" in acts.columns else ibis.literal(False))
    tests.append(acts["copy"] > 0 if "copy" in acts.columns else ibis.literal(False))
    asked = [
        (test, number)
        for number, test in enumerate(tests, 1)
        if not isinstance(test.op(), ibis.expr.operations.Literal)
    ]
    return ibis.cases(*asked, else_=0).cast("int32")


def _whole(acts: ibis.Table) -> ibis.Table:
    """Return acts with every column that they should have."""
    return acts.mutate(
        value=acts.value if "value" in acts.columns else ibis.null().cast("float64"),
        units=acts.units.fill_null(1) if "units" in acts.columns else ibis.literal(1, "int64"),
        segment=acts.segment if "segment" in acts.columns else ibis.literal(""),
    )


def _problems(told: ibis.Table) -> tuple[Problem, ...]:
    """Return what is set aside, by reason, and the time of the first of each."""
    reason = told.mutate(wrong=nameless(told.user).ifelse(-1, told.wrong))
    found = reason.filter(reason.wrong != 0).group_by("wrong").aggregate(rows=ibis._.count(), first=ibis._.time.min())
    problems = []
    for row in found.to_pyarrow().to_pylist():
        number, first = int(row["wrong"]), row["first"]
        what = _NO_USER if number < 0 else _REASONS[number - 1]
        problems.append(Problem(what, int(row["rows"]), f"{first:%Y-%m-%d %H:%M}" if first else "an unknown time"))
    return tuple(sorted(problems, key=lambda problem: (-problem.rows, problem.what)))


def _time(column: Any, zone: str | None, source: str) -> Any:
    kind = column.type()
    if kind.is_date():
        return utc(column)
    if not kind.is_timestamp():
        raise InputError(f"{source}: the time is no time", found=f"{column.get_name()}: {kind}", allowed="a date or a timestamp",
                         hint="a view with a cast will do")  # fmt: skip
    if kind.timezone:
        return utc(column)
    if zone is None:
        raise InputError(f"{source}: times name no time zone", found=f"{column.get_name()}: {kind}", allowed="a timestamp with time zone",
                         hint="say that they are UTC: --zone UTC")  # fmt: skip
    if zone.upper() != "UTC":
        raise InputError(
            f"{source}: an engine's times without a zone are taken for UTC only",
            found=zone,
            hint="a view with a cast will do",
        )
    return column


def _number(table: ibis.Table, name: str, kind: str, source: str) -> Any:
    if not table[name].type().is_numeric():
        raise InputError(f"{source}: {name} is no number", found=str(table[name].type()), allowed="a column of numbers")
    return table[name].cast(kind)
