"""A log folded once: its people by number, and what each did on each day. What growth, retention and lifetime read.

    days = user_days(log)      # user (a number), day (since 1970), acts, value, units

A user's number is the rank of their name: the same in every run, and many times faster to sort by than a name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import ibis

from noria.core.errors import InputError, unknown

from .tables import made, scratch
from .times import day_number

if TYPE_CHECKING:
    from .log import Log

ROLLUPS = ("app", "model", "version", "tenant", "topic")
"""What the acts of a lake may be told apart by beside `segment`; an event's own segment is its topic here."""
NO_SEGMENT = "(none)"
"""The segment of acts that name none, where "" stands for all users together."""


def keep(log: Log, name: str, make: Callable[[], ibis.Table]) -> ibis.Table:
    """Return a table folded from the log, made the first time it is asked for and kept in the log's own engine."""
    if name not in log.kept:
        log.kept[name] = made(make(), name.split()[0])
    return log.kept[name]


def user_days(log: Log, by: Sequence[str] = ()) -> ibis.Table:
    """Return the log folded into user-days: `user` (a number), `day` (since 1970), the columns `by`, and `acts`, `value`, `units`.

    Raises:
        SettingError: the log has no such column.
    """
    allowed = [name for name in ("segment", *ROLLUPS) if name in log.table.columns]
    for name in by:
        if name not in allowed:
            raise unknown("column to split by", name, allowed)
    wanted = " by ".join(["days", *by])
    if wanted not in log.kept:
        with scratch(_folded(log.table, by), "folded") as folded:
            people = everyone(log, folded.select(name="user") if not by else log.table.select(name="user"))
            numbered = folded.join(people, folded.user == people.name).drop("user", "name")
            log.kept[wanted] = made(numbered.rename(user="user_id"), "days")
    return log.kept[wanted]


def everyone(log: Log, names: ibis.Table, kept: str = "people") -> ibis.Table:
    """Return the distinct `name`s of a table with their ranks as `user_id`; what is no name has none. Made once for each `kept`."""
    if kept not in log.kept:
        with scratch(names.distinct(), "names") as distinct:  # made first: so only few are asked whether they are blank
            named = distinct.filter(~nameless(distinct.name))
            rank = ibis.row_number().over(ibis.window(order_by="name"))
            log.kept[kept] = made(named.mutate(user_id=rank.cast("int32")), kept)
    return log.kept[kept]


def nameless(name: Any) -> Any:
    """Return whether a user's name is missing or blank."""
    return name.isnull() | (name.strip() == "")


def segment_of(column: Any) -> Any:
    """Return a column to split by, told by name where it is missing or empty."""
    return (column.isnull() | (column == "")).ifelse(NO_SEGMENT, column)


def numbered_acts(log: Log) -> ibis.Table:
    """Return a log's acts by `user` (a number) and `day`."""
    people = everyone(log, log.table.select(name="user"))
    acts = log.table.select(name="user", day=day_number(log.table.time))
    return acts.join(people, "name").select("day", user="user_id")


def _folded(table: ibis.Table, by: Sequence[str]) -> ibis.Table:
    days = table.mutate(day=day_number(table.time), **{name: segment_of(table[name]) for name in by})
    return days.group_by("user", "day", *by).aggregate(
        acts=days.count().cast("int64"), value=days.value.sum().cast("float64"), units=days.units.sum().cast("int64")
    )


def measured(log: Log, as_of: date | None = None) -> Log:
    """Return the log with its extent counted, and folded into user-days on the way.

    Raises:
        InputError: it holds no activity.
    """
    days = user_days(log)
    found = days.aggregate(first=days.day.min(), last=days.day.max(), rows=days.acts.sum()).to_pyarrow().to_pylist()[0]
    # Of a part of a log not all people are in it.
    users = days.user.nunique() if as_of else log.kept["people"].count()
    return extended(log, found["first"], found["last"], found["rows"] or 0, users.to_pyarrow().as_py(), as_of)


def extended(log: Log, first: int | None, last: int | None, rows: int, users: int, as_of: date | None = None) -> Log:
    """Return the log with its extent: first and last day since 1970, rows and users.

    Raises:
        InputError: it holds no activity.
    """
    if first is None or last is None or not rows:
        reasons = "; ".join(problem.text() for problem in log.problems)
        raise InputError(
            f"{log.source} holds no activity", found=reasons or "no rows", allowed="rows with a user and a time"
        )
    begin, end = (date(1970, 1, 1) + timedelta(days=int(day)) for day in (first, last))
    counted = replace(log, first=begin, as_of=as_of or end, rows=int(rows), users=int(users))
    counted.kept.update(log.kept)
    return counted
