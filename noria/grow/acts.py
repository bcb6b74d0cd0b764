"""A log in any table of any engine that has a user and a time: checked where it lies, by what every engine knows.

    log = log_of_table(connection.table("orders"), LogSettings(user="customer", value="amount"), source="orders")

Where a file's rows are texts that must be read first (`noria.grow.log`), a table's columns have types, so that what is left to
find are empty users, times that cannot be, amounts below zero and repeated ids.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import ibis

from noria.core.errors import InputError

from .log import COLUMNS, Log, Problem, measured
from .settings import LogSettings


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
    names = {name: getattr(settings, name) for name in (*COLUMNS, "id")}
    for needed in ("user", "time"):
        if names[needed] not in table.columns:
            raise InputError(f"{source}: no column for the {needed}", allowed=f"one named {names[needed]!r}", found=", ".join(table.columns),
                             hint=f"name it with --{needed}")  # fmt: skip
    acts = table.select(
        user=table[names["user"]].cast("string"),
        time=_time(table[names["time"]], settings.zone, source),
        value=_number(table, names["value"], "float64", source),
        units=_number(table, names["units"], "int64", source).fill_null(1) if names["units"] in table.columns else ibis.literal(1, "int64"),
        segment=table[names["segment"]].cast("string").fill_null("") if names["segment"] in table.columns else ibis.literal(""),
        copy=ibis.row_number().over(ibis.window(group_by=names["id"], order_by=names["time"]))
        if names["id"] in table.columns else ibis.literal(0, "int64"),
    )  # fmt: skip
    moment = (now or datetime.now(UTC)).astimezone(UTC).replace(tzinfo=None)
    wrong = {
        "the user is empty": acts.user.isnull() | (acts.user.strip() == ""),
        "the time is missing": acts.time.isnull(),
        "the time is before 1970": acts.time < ibis.timestamp("1970-01-01 00:00:00"),
        "the time lies in the future": acts.time > ibis.timestamp(moment.isoformat(sep=" ")),
        "the value is no number": acts.value.isnan() if names["value"] in table.columns else ibis.literal(False),
        "the value is negative": acts.value < 0,
        "the units are negative": acts.units < 0,
        "the id came before": acts["copy"] > 0,
    }
    problem = ibis.cases(*[(test.fill_null(False), what) for what, test in wrong.items()], else_="")
    told = acts.mutate(problem=problem)
    return measured(
        Log(
            told.filter(told.problem == "").select(*COLUMNS),
            source,
            settings.licence,
            settings.unit,
            problems=_problems(told),
        )
    )


def _problems(told: ibis.Table) -> tuple[Problem, ...]:
    counts = told.filter(told.problem != "").group_by("problem").aggregate(rows=ibis._.count(), at=ibis._.time.min())
    rows = sorted(counts.to_pyarrow().to_pylist(), key=lambda row: (-row["rows"], row["problem"]))
    return tuple(
        Problem(
            row["problem"],
            int(row["rows"]),
            "an unknown time" if row["at"] is None else f"{row['at']:%Y-%m-%d %H:%M:%S}",
        )
        for row in rows
    )


def _time(column: Any, zone: str | None, source: str) -> Any:
    kind = column.type()
    if kind.is_date():
        return column.cast("timestamp(6)")
    if not kind.is_timestamp():
        raise InputError(f"{source}: the time is no time", found=f"{column.get_name()}: {kind}", allowed="a date or a timestamp",
                         hint="a view with a cast will do")  # fmt: skip
    if kind.timezone:
        return column.cast("timestamp(6)")
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
    if name not in table.columns:
        return ibis.null().cast(kind)
    if not table[name].type().is_numeric():
        raise InputError(f"{source}: {name} is no number", found=str(table[name].type()), allowed="a column of numbers")
    return table[name].cast(kind)
