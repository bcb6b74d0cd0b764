"""A log folded once: its people by number, and what each did on each day. What growth, retention and lifetime read.

    days = user_days(log)      # user (a number), day (since 1970), acts, value, units

A user's number is the rank of their name: the same in every run, and many times faster to sort by than a name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import ibis

from noria.core.errors import InputError, unknown
from noria.core.messages import message

from .log import Log
from .tables import made, scratch
from .times import day_number, in_duckdb
from .zones import LocalCalendar, day_of

ROLLUPS = ("app", "model", "version", "tenant", "topic")
"""What the acts of a lake may be told apart by beside `segment`; an event's own segment is its topic here."""
NO_SEGMENT = "(none)"
"""The segment of acts that name none, where "" stands for all users together."""


def _hash(text: str) -> int:  # type: ignore[empty-body]
    """Stand for DuckDB's function, whose number ibis would write out in bits to give it a sign."""


_HASH: Any = ibis.udf.scalar.builtin(_hash, name="hash", signature=((ibis.dtype("string"),), ibis.dtype("uint64")))


def keep(log: Log, name: str, make: Callable[[], ibis.Table]) -> ibis.Table:
    """Return a table folded from the log, made the first time it is asked for and kept in the log's own engine."""
    if name not in log.kept:
        log.kept[name] = made(make(), name.split()[0])
    table: ibis.Table = log.kept[name]
    return table


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
        with scratch(_folded(log.table, by, log.calendar), "folded") as folded:
            people = everyone(log, folded.select(name="user") if not by else log.table.select(name="user"))
            numbered = folded.join(people, folded.user == people.name).drop("user", "name")
            log.kept[wanted] = made(numbered.rename(user="user_id"), "days")
    return log.kept[wanted]


def everyone(log: Log, names: ibis.Table, kept: str = "people") -> ibis.Table:
    """Return the distinct `name`s of a table with their ranks as `user_id`; what is no name has none. Made once for each `kept`."""
    if kept not in log.kept:
        with ExitStack() as held:  # made first: so only few are asked whether they are blank
            known = log.kept.get("names" if kept == "people" else "names of all")
            distinct = held.enter_context(scratch(names.distinct(), "names")) if known is None else known
            named = distinct.filter(~nameless(distinct.name, log.placeholders))
            rank = ibis.row_number().over(ibis.window(order_by="name"))
            log.kept[kept] = made(named.mutate(user_id=rank.cast("int32")), kept)
    return log.kept[kept]


@dataclass(frozen=True)
class Tally:
    """What is asked of names before they are counted by."""

    named: int
    blank: int
    """Names that are missing or blank."""
    unlike: bool
    """No two names share a hash."""


def names_of(log: Log, kept: str = "people") -> ibis.Table:
    """Return a table of the distinct `name`s of a log's users; of "everyone", of all whom a lake's events name."""
    if kept in log.kept:
        return log.kept[kept]
    if kept == "people":
        return keep(log, "names", lambda: log.table.select(name="user").distinct())
    facts = log.table if log.facts is None else log.facts
    return keep(log, "names of all", lambda: facts.filter(facts.user != "").select(name="user").distinct())


def tally(log: Log, kept: str = "people") -> Tally:
    """Return what the names are like, looked at once."""
    place = f"tally of {kept}"
    if place not in log.kept:
        table = names_of(log, kept)
        named = ~nameless(table.name, log.placeholders)
        counts = table.aggregate(
            names=table.count(), named=named.ifelse(1, 0).sum(), keys=hashed(table.name).nunique(where=named)
        )
        found = {name: int(count or 0) for name, count in counts.to_pyarrow().to_pylist()[0].items()}
        log.kept[place] = Tally(found["named"], found["names"] - found["named"], found["keys"] == found["named"])
    told: Tally = log.kept[place]
    return told


def keyed(log: Log, acts: ibis.Table, kept: str = "people") -> ibis.Table:
    """Return acts with a whole number for the name in their column `user`; the acts of who has no name are left out.

    The number is the name's hash where no two names share one, which is seen first: then nothing has to be looked up. Should two
    share one, it is the rank.
    """
    told = tally(log, kept)
    if not told.unlike:
        people = everyone(log, names_of(log, kept).select("name"), kept)
        return acts.join(people, acts.user == people.name).drop("user", "name").rename(user="user_id")
    if told.blank:
        acts = acts.filter(~nameless(acts.user, log.placeholders))
    return acts.mutate(user=hashed(acts.user))


def hashed(name: Any) -> Any:
    """Return a whole number of 64 bits for a name."""
    return _HASH(name) if in_duckdb(name) else name.hash()


def nameless(name: Any, words: Sequence[str] = ()) -> Any:
    """Return whether a user's name is missing or blank, or one of the words that stand for nobody, in small letters."""
    blank = name.isnull() | (name.strip() == "")
    return blank | name.strip().lower().isin(list(words)) if words else blank


def segment_of(column: Any) -> Any:
    """Return a column to split by, told by name where it is missing or empty."""
    return (column.isnull() | (column == "")).ifelse(NO_SEGMENT, column)


def numbered_acts(log: Log) -> ibis.Table:
    """Return a log's acts by `user` (a number) and `day`."""
    people = everyone(log, log.table.select(name="user"))
    acts = log.table.select(name="user", day=day_number(log.table.time, log.calendar))
    return acts.join(people, "name").select("day", user="user_id")


def _folded(table: ibis.Table, by: Sequence[str], calendar: LocalCalendar) -> ibis.Table:
    days = table.mutate(day=day_number(table.time, calendar), **{name: segment_of(table[name]) for name in by})
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
            message("grow.holds_activity", source=log.source),
            found=reasons or message("grow.rows"),
            allowed=message("grow.rows_user"),
        )
    begin, end = (date(1970, 1, 1) + timedelta(days=int(day)) for day in (first, last))
    calendar = replace(log.calendar, days=(int(first), day_of(as_of or end) + 1))
    counted = replace(log, first=begin, as_of=as_of or end, rows=int(rows), users=int(users), calendar=calendar)
    counted.kept.update(log.kept)
    return counted


def between(log: Log, first: date, last: date) -> Log:
    """Return the log of the days `first` to `last`, both included.

    Raises:
        InputError: no activity falls into these days.
    """
    day = day_number(log.table.time, log.calendar)
    since, until = day_of(first), day_of(last)
    part = replace(log, table=log.table.filter((day >= since) & (day <= until)))
    days = user_days(log)
    part.kept["days"] = days.filter((days.day >= since) & (days.day <= until))
    part.kept["people"] = log.kept["people"]
    return measured(part, last)
