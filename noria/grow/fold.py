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
        if by:
            user_days(log)
        with scratch(_folded(log.table, by), "folded") as folded:
            people = everyone(log, folded.user)
            numbered = folded.join(people, folded.user == people.name).drop("user", "name")
            log.kept[wanted] = made(numbered.rename(user="user_id"), "days")
    return log.kept[wanted]


def everyone(log: Log, users: Any, name: str = "people") -> ibis.Table:
    """Return the distinct names in a column with their ranks, `name` and `user_id`; what is no name has none. Kept by `name`."""
    if name not in log.kept:
        distinct = users.as_table().select(name=users.get_name()).distinct()
        with scratch(distinct, "names") as names:  # made first: so only few are asked whether they are blank
            named = names.filter(~nameless(names.name))
            rank = ibis.row_number().over(ibis.window(order_by="name"))
            log.kept[name] = made(named.mutate(user_id=rank.cast("int32")), name)
    return log.kept[name]


def nameless(name: Any) -> Any:
    """Return whether a user's name is missing or blank."""
    return name.isnull() | (name.strip() == "")


def _folded(table: ibis.Table, by: Sequence[str]) -> ibis.Table:
    segments = {name: (table[name] == "").ifelse(NO_SEGMENT, table[name]) for name in by}
    days = table.mutate(day=day_number(table.time), **segments)
    return days.group_by("user", "day", *by).aggregate(
        acts=days.count().cast("int64"), value=days.value.sum().cast("float64"), units=days.units.sum().cast("int64")
    )


def measured(log: Log, as_of: date | None = None, *, kept: dict[str, ibis.Table] | None = None) -> Log:
    """Return the log with its extent counted, and folded into user-days on the way.

    Args:
        log: the activity.
        as_of: the last day it covers; the last with activity where not given.
        kept: what was folded of it before.

    Raises:
        InputError: it holds no activity.
    """
    log.kept.update(kept or {})
    days = user_days(log)
    facts: dict[str, Any] = (
        days.aggregate(first=days.day.min(), last=days.day.max(), rows=days.acts.sum()).to_pyarrow().to_pylist()[0]
    )
    if not facts["rows"]:
        reasons = "; ".join(problem.text() for problem in log.problems)
        raise InputError(
            f"{log.source} holds no activity", found=reasons or "no rows", allowed="rows with a user and a time"
        )
    first, last = (date(1970, 1, 1) + timedelta(days=facts[name]) for name in ("first", "last"))
    # Of a part of a log not all people are in it.
    users = log.kept["people"].count() if as_of is None else days.user.nunique()
    counted = replace(
        log, first=first, as_of=as_of or last, rows=int(facts["rows"]), users=int(users.to_pyarrow().as_py())
    )
    counted.kept.update(log.kept)
    return counted
