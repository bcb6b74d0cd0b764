"""A log in any table of any engine that has a user and a time: checked where it lies, by what every engine knows.

    log = log_of_table(connection.table("orders"), LogSettings(user="customer", value="amount"), source="orders")

Where a file's rows are texts that must be read first (`noria.grow.log.log`), a table's columns have types, so that what is left to
find are words for nobody, times that cannot be, amounts below zero and repeated ids. Where there are none, nothing is looked for again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import ibis

from noria.core.errors import InputError
from noria.core.messages import message
from noria.grow.settings import LogSettings
from noria.grow.users.bits import user_bits

from .log import COLUMNS, Log
from .names import NO_IDS, PLACEHOLDERS
from .problems import Problem
from .times import from_local, microseconds, utc
from .user_days import extended, measured, nameless, tally
from .zones import LocalCalendar, Steps, ahead_of, from_wall, steps_of

_REASONS = ("the time is missing", "the time is before 1970", "the time lies in the future", "the id came before")
"""What is wrong with an act, by number from 1; 0 is nothing. An empty user, and one that stands for nobody, come before all of them."""
_NO_USER, _NOBODY = "the user is empty", "the user stands for nobody"
_AMOUNTS = ("the value is negative, as of a refund", "the units are negative")
"""What is wrong with an amount alone, by number from 1: its act is kept."""


def log_of_table(
    table: ibis.Table, settings: LogSettings | None = None, *, source: str, now: datetime | None = None
) -> Log:
    """Return the log in a table.

    Args:
        table: of any engine whose session is in UTC.
        settings: what its columns are called, and the zones of its times and of its days.
        source: what figures cite.
        now: acts after it are set aside.

    Raises:
        InputError: no such column, a column of another type, times without a zone, or not one usable row.
    """
    settings = settings or LogSettings()
    calendar = settings.calendar()
    acts = _named(table, settings, calendar, source)
    moment = (now or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None)
    flagged = acts.mutate(wrong=_wrong(acts, moment), odd=_odd(acts))
    ends = _ends(table[settings.time], _steps(table[settings.time], settings, calendar), moment)
    if ends["timely"]:
        calendar = calendar.between(ends["first"], ends["last"])
    placeholders = nobodies(settings.keep_users, table[settings.user])
    log = Log(
        _whole(acts).select(*COLUMNS),
        source,
        settings.licence,
        settings.unit,
        calendar=calendar,
        placeholders=placeholders,
    )
    sure = ends["timely"] and not {"value", "units", "copy"} & set(acts.columns)  # no row has to be asked
    wrong = ((flagged.wrong > 0) | (flagged.odd > 0)).ifelse(1, 0).sum()
    if ends["first"] is not None and (sure or not flagged.aggregate(wrong=wrong).to_pyarrow().to_pylist()[0]["wrong"]):
        first, last = calendar.day(ends["first"]), calendar.day(ends["last"])
        log = extended(log, first, last, ends["rows"], 0)
        bits = user_bits(log, settings.period)
        if bits is not None:
            log.kept["names"] = bits.select(name="user")
        names = tally(log)
        if not names.blank:
            return extended(log, first, last, ends["rows"], names.named)
    named = flagged.filter(~nameless(flagged.user, placeholders))
    good = _whole(named.filter(named.wrong == 0)).select(*COLUMNS)
    return measured(
        Log(good, source, settings.licence, settings.unit, problems=_problems(flagged, placeholders), calendar=calendar)
    )


def nobodies(keep: tuple[str, ...], user: Any) -> tuple[str, ...]:
    """Return the words that stand for nobody in a column of users; a zero is one of the numbers where they are counted from it."""
    words = tuple(word for word in PLACEHOLDERS if word not in {kept.strip().lower() for kept in keep})
    if "0" not in words or not user.type().is_integer():
        return words
    table = user.as_table()
    column = table[user.get_name()]
    found = table.aggregate(least=column.min(), most=column.max()).to_pyarrow().to_pylist()[0]
    if found["least"] != 0 or found["most"] + 1 != int(column.nunique().to_pyarrow().as_py()):
        return words
    return tuple(word for word in words if word not in ("0", "0.0"))


def _steps(time: Any, settings: LogSettings, calendar: LocalCalendar) -> Steps:
    """Return the steps from what a column's clock shows to UTC: of the zone of days for a day, of that of times for one without a zone."""
    kind = time.type()
    if kind.is_date():
        return calendar.steps
    return steps_of("UTC") if kind.timezone else steps_of(settings.zone or "UTC")


def _ends(time: Any, steps: Steps, now: datetime) -> dict[str, Any]:
    """Return the first and last microsecond of a column of times, its rows, and whether each is a time from 1970 until now.

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
    first, last = (end - ahead_of(end, from_wall(steps)) for end in (first, last))
    timely = found["timed"] == found["rows"] and first >= 0 and last <= until
    return {"first": first, "last": last, "rows": found["rows"], "timely": timely}


def _named(table: ibis.Table, settings: LogSettings, calendar: LocalCalendar, source: str) -> ibis.Table:
    """Return the columns that are there, by the names that acts give them."""
    names = {name: getattr(settings, name) for name in (*COLUMNS, "id")}
    for needed in ("user", "time"):
        if names[needed] not in table.columns:
            raise InputError(
                message("grow.column", source=source, needed=needed),
                allowed=message("grow.one_named", names=names[needed]),
                found=", ".join(table.columns),
                hint=message("grow.name", needed=needed),
            )
    columns: dict[str, Any] = {
        "user": table[names["user"]].cast("string"),
        "time": _time(table[names["time"]], settings, calendar, source),
    }
    for name, kind in (("value", "float64"), ("units", "int64")):
        if names[name] in table.columns:
            columns[name] = _number(table, names[name], kind, source)
    if names["segment"] in table.columns:
        columns["segment"] = table[names["segment"]].cast("string")
    if names["id"] in table.columns:
        columns["copy"] = ibis.row_number().over(ibis.window(group_by=names["id"], order_by=names["time"]))
        columns["no_id"] = nameless(table[names["id"]].cast("string"), NO_IDS)
    acts = table.select(**columns)
    return acts.mutate(copy=acts.no_id.ifelse(0, acts["copy"])).drop("no_id") if "no_id" in columns else acts


def _wrong(acts: ibis.Table, now: datetime) -> Any:
    """Return the number of the first thing wrong with an act, 0 where nothing is."""
    tests = [
        acts.time.isnull(),
        acts.time < ibis.timestamp("1970-01-01 00:00:00"),
        acts.time > ibis.timestamp(now.isoformat(sep=" ")),
    ]
    tests.append(acts["copy"] > 0 if "copy" in acts.columns else ibis.literal(False))
    return _first(tests)


def _odd(acts: ibis.Table) -> Any:
    """Return the number of the first thing wrong with an act's amounts, 0 where nothing is."""
    return _first(
        [
            (acts[name] < 0).fill_null(False) if name in acts.columns else ibis.literal(False)
            for name in ("value", "units")
        ]
    )


def _first(tests: list[Any]) -> Any:
    asked = [
        (test, number)
        for number, test in enumerate(tests, 1)
        if not isinstance(test.op(), ibis.expr.operations.Literal)
    ]
    return ibis.cases(*asked, else_=0).cast("int32") if asked else ibis.literal(0, "int32")


def _whole(acts: ibis.Table) -> ibis.Table:
    """Return acts with every column that they should have."""
    none = ibis.null().cast("float64")
    return acts.mutate(
        value=((acts.value >= 0) & ~acts.value.isnan()).ifelse(acts.value, none) if "value" in acts.columns else none,
        units=(acts.units >= 0).ifelse(acts.units, 1).fill_null(1)
        if "units" in acts.columns
        else ibis.literal(1, "int64"),
        segment=acts.segment if "segment" in acts.columns else ibis.literal(""),
    )


def _problems(flagged: ibis.Table, placeholders: tuple[str, ...]) -> tuple[Problem, ...]:
    """Return what is set aside, by reason, and the time of the first of each."""
    blank, word = nameless(flagged.user), nameless(flagged.user, placeholders)
    reasons = flagged.mutate(wrong=ibis.cases((blank, -2), (word, -1), else_=flagged.wrong))
    problems = []
    for row in _counted(reasons.filter(reasons.wrong != 0), "wrong"):
        number = int(row["place"])
        what = {-2: _NO_USER, -1: _NOBODY}.get(number) or _REASONS[number - 1]
        hint = message("log.hint.keep_users") if number == -1 else ""
        problems.append(Problem(what, int(row["rows"]), row["first"], row["name"] if number == -1 else "", hint))
    good = reasons.filter((reasons.wrong == 0) & (reasons.odd > 0))
    problems += [
        Problem(_AMOUNTS[int(row["place"]) - 1], int(row["rows"]), row["first"], kept=True)
        for row in _counted(good, "odd")
    ]
    return tuple(sorted(problems, key=lambda problem: (problem.kept, -problem.rows, problem.what)))


def _counted(rows: ibis.Table, by: str) -> list[dict[str, Any]]:
    found = rows.group_by(place=rows[by]).aggregate(
        rows=ibis._.count(), first=ibis._.time.min(), name=ibis._.user.min()
    )
    return [
        {**row, "first": f"{row['first']:%Y-%m-%d %H:%M}" if row["first"] else "an unknown time"}
        for row in found.to_pyarrow().to_pylist()
    ]


def _time(column: Any, settings: LogSettings, calendar: LocalCalendar, source: str) -> Any:
    kind = column.type()
    if kind.is_date():
        return from_local(column, calendar.steps)
    if not kind.is_timestamp():
        raise InputError(
            message("grow.time_time", source=source),
            found=f"{column.get_name()}: {kind}",
            allowed=message("grow.date_timestamp"),
            hint=message("grow.view_cast"),
        )
    if kind.timezone:
        return utc(column)
    if settings.zone is None:
        raise InputError(
            message("grow.times_name", source=source),
            found=f"{column.get_name()}: {kind}",
            allowed=message("grow.timestamp_time"),
            hint=message("grow.say_zone"),
        )
    return from_local(column, steps_of(settings.zone))


def _number(table: ibis.Table, name: str, kind: str, source: str) -> Any:
    if not table[name].type().is_numeric():
        raise InputError(
            message("grow.number", source=source, name=name),
            found=str(table[name].type()),
            allowed=message("grow.column_numbers"),
        )
    return table[name].cast(kind)
