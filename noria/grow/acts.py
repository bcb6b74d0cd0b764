"""A log in any table of any engine that has a user and a time: checked where it lies, by what every engine knows.

    log = log_of_table(connection.table("orders"), LogSettings(user="customer", value="amount"), source="orders")

Where a file's rows are texts that must be read first (`noria.grow.log`), a table's columns have types, so that what is left to
find are empty users, times that cannot be, amounts below zero and repeated ids. One pass over the table finds them and folds the
rest into user-days.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import ibis

from noria.core.errors import InputError

from .fold import everyone, measured, nameless
from .log import COLUMNS, Log, Problem
from .settings import LogSettings
from .tables import made
from .times import day_number, utc

_REASONS = ("the time is missing", "the time is before 1970", "the time lies in the future", "the value is no number", "the value is negative",
            "the units are negative", "the id came before")  # fmt: skip
"""What is wrong with an act, by number from 1; 0 is nothing. An empty user is found first, as one who has no number."""
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
    log = Log(_whole(told).select(*COLUMNS), source, settings.licence, settings.unit)
    # People are numbered before they are folded: numbers take a third of the memory of names, and a table is cheap to read twice.
    people = everyone(log, told.user)
    named = told.join(people, told.user == people.name).drop("user", "name").rename(user="user_id")
    folded = made(_folded(named), "folded")
    rows = {-int(row["wrong"]): int(row["rows"]) for row in folded.group_by(wrong=ibis.least(folded.day, 0))
            .aggregate(rows=folded.acts.sum()).to_pyarrow().to_pylist()}  # fmt: skip
    problems = _problems(told, rows, int(told.count().to_pyarrow().as_py()))
    log.kept["days"] = _whole(folded.filter(folded.day >= 0) if set(rows) - {0} else folded)
    kept = log.kept
    if problems:  # what was not found need not be looked for again
        good = told.filter((told.wrong == 0) & ~nameless(told.user))
        log = replace(log, table=_whole(good).select(*COLUMNS))
    return measured(replace(log, problems=problems), kept=kept)


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
        columns["segment"] = table[names["segment"]].cast("string").fill_null("")
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


def _folded(told: ibis.Table) -> ibis.Table:
    """Return user-days; the day of an act that something is wrong with is less than 0, and says what."""
    days = told.mutate(day=(told.wrong == 0).ifelse(day_number(told.time), -told.wrong).cast("int32"))
    sums: dict[str, Any] = {"value": days.value.sum().cast("float64")} if "value" in days.columns else {}
    if "units" in days.columns:
        sums["units"] = days.units.fill_null(1).sum().cast("int64")
    return days.group_by("user", "day").aggregate(acts=days.count().cast("int64"), **sums)


def _whole(table: ibis.Table) -> ibis.Table:
    """Return acts, or user-days, with every column that they should have."""
    missing: dict[str, Any] = {}
    if "value" not in table.columns:
        missing["value"] = ibis.null().cast("float64")
    if "units" not in table.columns:
        missing["units"] = table.acts if "acts" in table.columns else ibis.literal(1, "int64")
    elif "acts" not in table.columns:
        missing["units"] = table.units.fill_null(1)
    if "acts" not in table.columns and "segment" not in table.columns:
        missing["segment"] = ibis.literal("")
    return table.mutate(**missing) if missing else table


def _problems(told: ibis.Table, rows: dict[int, int], total: int) -> tuple[Problem, ...]:
    """Return what was set aside; where it begins is asked of the table only where there is something."""
    wrong = {number: many for number, many in rows.items() if number}
    if total > sum(rows.values()):
        wrong[0] = total - sum(rows.values())
    found = []
    for number, many in wrong.items():
        nobody = nameless(told.user)
        first = told.filter((told.wrong == number) & ~nobody if number else nobody).time.min().to_pyarrow().as_py()
        found.append(
            Problem(
                _REASONS[number - 1] if number else _NO_USER,
                many,
                f"{first:%Y-%m-%d %H:%M}" if first else "an unknown time",
            )
        )
    return tuple(sorted(found, key=lambda problem: (-problem.rows, problem.what)))


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
