"""Funnels: how many users went all the steps, in order and in time, and where they stopped.

    steps = parse_steps("impression > click > conversion", log)
    found = funnel(log, steps, days=7)
    found.rate(2).text()                   # conversion, of those who clicked
    found.hours(2)                         # how long it took them

`ordered`: each step comes after the one before, other acts may lie between. `strict`: each step is the user's very next act.
`any`: all steps in one window, in whatever order. A user enters as often as they take the first step, and counts as far as
their best entry came; the window runs from that entry. Acts at one instant have no order, and do not follow one another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import reduce
from operator import add, or_
from typing import Any, Literal

import ibis

from noria.core.errors import SettingError, unknown
from noria.core.figure import Figure, proportion
from noria.core.messages import message
from noria.grow.log.log import COLUMNS, Log
from noria.grow.log.tables import scratch
from noria.grow.log.times import DAY, microseconds
from noria.grow.log.user_days import keyed

Order = Literal["ordered", "strict", "any"]
ORDERS: tuple[Order, ...] = ("ordered", "strict", "any")
_LONG_AGO = -(1 << 62)
"""Before every act, in microseconds; no NULL, which not every engine knows in a window."""


@dataclass(frozen=True)
class Step:
    """One step: the columns that an act must show, and what it must show there."""

    name: str
    where: Mapping[str, str]


@dataclass(frozen=True)
class Funnel:
    """Users that came to each step."""

    steps: tuple[str, ...]
    users: tuple[int, ...]
    """Users that came so far, or farther."""
    order: Order
    days: float | None
    """Length of the window; None where there is none."""
    source: str
    times: tuple[tuple[float, ...], ...] = ()
    """Hours from the entry to each step, of each user's quickest entry: the median's order statistic and both ends of its interval."""

    def rate(self, step: int) -> Figure:
        """Return the part of the users at the step before that came to this one, with Wilson's interval."""
        name = f"{self.steps[step - 1]} → {self.steps[step]}"
        return proportion(name, self.users[step], self.users[step - 1], source=self.source)

    def whole(self, step: int = -1) -> Figure:
        """Return the part of those who entered that came to a step, the last one unless told, with Wilson's interval."""
        step %= len(self.steps)
        return proportion(f"{self.steps[0]} → {self.steps[step]}", self.users[step], self.users[0], source=self.source)

    def hours(self, step: int) -> Figure | None:
        """Return the median hours from the entry to a step, between order statistics; None where no one came."""
        if not step or not self.times[step]:
            return None
        middle, low, high = self.times[step]
        name = f"{self.steps[0]} → {self.steps[step]}, median hours"
        return Figure(name, middle, self.users[step], low, high, unit="h", source=self.source)

    def rows(self) -> list[dict[str, Any]]:
        """Return a JSON-able dict a step."""
        rows = []
        for at, name in enumerate(self.steps):
            row: dict[str, Any] = {"step": name, "users": self.users[at]}
            if at:
                rate, whole, hours = self.rate(at), self.whole(at), self.hours(at)
                row |= {
                    "of_before": rate.value,
                    "low": rate.low,
                    "high": rate.high,
                    "of_first": whole.value,
                    "median_hours": hours.value if hours else None,
                }
            rows.append(row)
        return rows


def parse_steps(text: str, log: Log) -> tuple[Step, ...]:
    """Return the steps in a text such as "impression > click > app=shop, kind=conversion".

    A bare word is a kind of event, or, of a log that is no lake, a segment.

    Raises:
        SettingError: fewer than two steps, or a column that the log has not.
    """
    known = _acts(log).columns
    bare = "kind" if "kind" in known else "segment"
    steps = []
    for part in text.split(">"):
        where = {}
        for condition in filter(None, map(str.strip, part.split(","))):
            column, equals, value = (word.strip() for word in condition.partition("="))
            if equals and column not in known:
                raise unknown("column of a step", column, known)
            where[column if equals else bare] = value if equals else column
        if where:
            steps.append(Step(", ".join(where.values()), where))
    if len(steps) < 2:
        raise SettingError(message("grow.funnel_two"), found=text, allowed=message("grow.such_impression"))
    return tuple(steps)


def funnel(log: Log, steps: Sequence[Step], *, days: float | None = 7.0, order: Order = "ordered") -> Funnel:
    """Return how many users came to each step.

    Args:
        log: the activity; of a lake's all its events, whatever their kind, that name a user.
        steps: two or more.
        days: length of the window, from the first step; None for no bound.
        order: one of `ORDERS`.

    Raises:
        SettingError: the order is not known, the window is not positive, or a step names an unknown column.
    """
    if order not in ORDERS:
        raise SettingError(message("grow.unknown_order"), found=order, allowed=ORDERS)
    if days is not None and not 0 < days < 36_525:
        raise SettingError(message("grow.window_funnel"), found=days, allowed=message("grow.above_days"))
    acts = _acts(log)
    matches = [_match(acts, step) for step in steps]
    window = int((days or 36_525) * DAY)
    some = acts if order == "strict" else acts.filter(ibis.or_(*matches))
    kept = "people" if log.facts is None else "everyone"
    kind = "int32" if len(steps) < 32 else "int64"
    bits = reduce(or_, [match.ifelse(1 << number, 0).cast(kind) for number, match in enumerate(matches)])
    taken = keyed(log, some.select(user=some.user, at=microseconds(some.time), steps=bits), kept)
    with ExitStack() as held:
        acts = held.enter_context(scratch(taken, "taken"))
        come = _ordered if order == "ordered" else _strict if order == "strict" else _any
        first = acts if order == "any" else acts.filter(_is(acts, 0))  # whoever did any one of them has entered
        users: list[int] = [int(first.user.nunique().to_pyarrow().as_py())]
        times: list[tuple[float, ...]] = [()]
        for took in come(acts, len(steps), window, held):
            count, hours = _counted(took)
            users.append(count)
            times.append(hours)
    names = tuple(step.name for step in steps)
    if order == "any":
        names = tuple(f"{number} of {len(steps)}" for number in range(1, len(steps) + 1))
        times[1:-1] = [()] * (len(steps) - 2)  # what some of the steps took is not told apart from what all took
    return Funnel(names, tuple(users), order, days, log.source, tuple(times))


def _acts(log: Log) -> ibis.Table:
    """Return what the steps are looked for in."""
    if log.facts is None:
        return log.table.select(*COLUMNS)
    return log.facts.filter(log.facts.user != "")


def _match(acts: ibis.Table, step: Step) -> Any:
    for column in step.where:
        if column not in acts.columns:
            raise unknown("column of a step", column, acts.columns)
    return ibis.and_(*[acts[column].cast("string") == value for column, value in step.where.items()])


def _is(acts: ibis.Table, step: int) -> Any:
    return (acts.steps & (1 << step)) != 0


def _ordered(acts: ibis.Table, steps: int, window: int, held: ExitStack) -> Iterator[ibis.Table]:
    """Yield, step after step, who came there and how long it took since the entry: `user`, `took`.

    Of all entries before an act the latest is the one whose window lasts longest, and so the only one to remember.
    """
    before = acts.filter(_is(acts, 0)).select(user="user", at="at", start="at")
    find = _joined if acts.get_backend().name == "duckdb" else _seen
    for number in range(1, steps):
        found = find(before, acts.filter(_is(acts, number)))
        before = found.filter((found.start > _LONG_AGO) & (found.at - found.start <= window))
        if number + 1 < steps:  # who comes to the last step is counted once
            before = held.enter_context(scratch(before, "reached"))
        yield before.select(user=before.user, took=before.at - before.start)


def _seen(before: ibis.Table, after: ibis.Table) -> ibis.Table:
    """Return each act of `after` with the latest start that the same user's acts of `before` had by then: `user`, `at`, `start`."""
    # At one instant what comes after sorts first, so that it finds no entry of that very instant.
    both = before.select(user="user", place=before.at * 2 + 1, start="start").union(
        after.select(user="user", place=after.at * 2, start=ibis.literal(_LONG_AGO, "int64"))
    )
    so_far = ibis.window(group_by="user", order_by="place", preceding=None, following=0)
    seen = both.mutate(start=both.start.max().over(so_far)).filter(ibis._.place % 2 == 0)
    return seen.select(user=seen.user, at=seen.place >> 1, start=seen.start)


def _joined(before: ibis.Table, after: ibis.Table) -> ibis.Table:
    """Return the same by DuckDB's join to the nearest row, in half the time: of later acts the latest start is no earlier."""
    acts = after.select("user", "at")
    entries = before.select(entered="user", since="at", start="start")
    joined = acts.asof_join(entries, on=acts.at > entries.since, predicates=[acts.user == entries.entered])
    return joined.select("user", "at", start=joined.start.fill_null(_LONG_AGO))


def _strict(acts: ibis.Table, steps: int, window: int, held: ExitStack) -> Iterator[ibis.Table]:
    """Yield the same where each step is the user's very next act."""
    table = _moments(acts)
    each = ibis.window(group_by="user", order_by="at")
    table = table.mutate(start=_is(table, 0).ifelse(table.at, _LONG_AGO))
    for number in range(1, steps):
        table = table.mutate(start=table.start.lag(1, ibis.literal(_LONG_AGO, "int64")).over(each))
        goes_on = _is(table, number) & (table.start > _LONG_AGO) & (table.at - table.start <= window)
        table = table.mutate(start=goes_on.ifelse(table.start, _LONG_AGO))
        there = table.filter(table.start > _LONG_AGO)
        yield there.select(user=there.user, took=there.at - there.start)


def _any(acts: ibis.Table, steps: int, window: int, held: ExitStack) -> Iterator[ibis.Table]:
    """Yield who did 2, 3 ... of the steps in one window that ends with an act of theirs."""
    table = _moments(acts)
    so_far = ibis.window(group_by="user", order_by="at", preceding=None, following=0)
    names = [f"step{number}" for number in range(steps)]
    table = table.mutate(
        **{name: _is(table, number).ifelse(table.at, _LONG_AGO).max().over(so_far) for number, name in enumerate(names)}
    )
    near = [table[name] >= table.at - window for name in names]
    done = reduce(add, [one.cast("int32") for one in near])
    first = ibis.least(*[one.ifelse(table[name], table.at) for one, name in zip(near, names, strict=True)])
    made = table.select(user=table.user, took=table.at - first, done=done)
    table = held.enter_context(scratch(made, "done"))
    for count in range(2, steps + 1):
        yield table.filter(table.done >= count).select("user", "took")


def _moments(acts: ibis.Table) -> ibis.Table:
    """Return each user's moments once, with all steps that the acts of that moment are: `user`, `at`, `steps`."""
    return acts.group_by("user", "at").aggregate(steps=acts.steps.bit_or())


def _counted(took: ibis.Table) -> tuple[int, tuple[float, ...]]:
    """Return how many users there are, and the median of their quickest hours between its order statistics."""
    quickest = took.group_by("user").aggregate(took=took.took.min())
    ranked = quickest.select(
        took=quickest.took,
        rank=ibis.row_number().over(ibis.window(order_by=["took", "user"])).cast("int64") + 1,
        users=quickest.count().over(ibis.window()).cast("int64"),
    )
    users, half = (
        ranked.users,
        ranked.users.cast("float64").sqrt() * 0.98,
    )  # ranks of the 95 % interval: normal approximation of the binomial
    ends = [(users / 2 + shift - ranked["rank"]).abs() <= 2 for shift in (0.5, -half, half + 1)]
    near = ranked.filter(
        ibis.or_(*ends, ranked["rank"].isin([1]), ranked["rank"] == users)
    )  # few; which of them is settled here
    found = {int(row["rank"]): row for row in near.to_pyarrow().to_pylist()}
    if not found:
        return 0, ()
    count = int(found[1]["users"])
    spread = 0.98 * count**0.5
    ranks = [min(max(round(count / 2 + shift), 1), count) for shift in (0.5, -spread, spread + 1)]
    return count, tuple(int(found[rank]["took"]) / 3_600_000_000 for rank in ranks)
