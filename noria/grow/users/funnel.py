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
from operator import add
from typing import Any, Literal

import ibis

from noria.core.errors import SettingError, unknown
from noria.core.figure import Figure, proportion

from ..log import COLUMNS, Log
from ..tables import scratch

Order = Literal["ordered", "strict", "any"]
ORDERS: tuple[Order, ...] = ("ordered", "strict", "any")
_LONG_AGO = -(1 << 62)
"""Before every act, in microseconds; no NULL, which not every engine knows in a window."""
_DAY = 86_400_000_000


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
                row |= {"of_before": rate.value, "low": rate.low, "high": rate.high, "of_first": whole.value,
                        "median_hours": hours.value if hours else None}  # fmt: skip
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
        raise SettingError(
            "a funnel has two steps or more", found=text, allowed="such as: impression > click > conversion"
        )
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
        raise SettingError("unknown order of a funnel", found=order, allowed=ORDERS)
    if days is not None and not 0 < days < 36_525:
        raise SettingError(
            "the window of a funnel is out of range", found=days, allowed="above 0 days, up to a century"
        )
    acts = _acts(log)
    matches = [_match(acts, step) for step in steps]
    window = int((days or 36_525) * _DAY)
    entered = int(acts.filter(matches[0]).user.nunique().to_pyarrow().as_py())
    come = _ordered if order == "ordered" else _strict if order == "strict" else _any
    users: list[int] = [entered]
    times: list[tuple[float, ...]] = [()]
    for took in come(acts, matches, window):
        count, hours = _counted(took)
        users.append(count)
        times.append(hours)
    names = tuple(step.name for step in steps)
    if order == "any":  # whoever did any one of them has entered
        users[0] = int(acts.filter(ibis.or_(*matches)).user.nunique().to_pyarrow().as_py())
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


def _at(time: Any) -> Any:
    """Return a time in whole microseconds since 1970, by parts that every engine has."""
    return time.truncate("s").epoch_seconds().cast("int64") * 1_000_000 + time.microsecond().cast("int64")


def _ordered(acts: ibis.Table, matches: Sequence[Any], window: int) -> Iterator[ibis.Table]:
    """Yield, step after step, who came there and how long it took since the entry: `user`, `took`.

    Of all entries before an act the latest is the one whose window lasts longest, and so the only one to remember.
    """
    with ExitStack() as held:
        before = acts.filter(matches[0]).select(user=acts.user, at=_at(acts.time)).mutate(start=ibis._.at)
        for match in matches[1:]:
            after = acts.filter(match).select(user=acts.user, at=_at(acts.time))
            # At one instant what comes after sorts first, so that it finds no entry of that very instant.
            both = before.select(user="user", place=before.at * 2 + 1, start="start").union(
                after.select(user="user", place=after.at * 2, start=ibis.literal(_LONG_AGO, "int64"))
            )
            latest = both.start.max().over(ibis.window(group_by="user", order_by="place", preceding=None, following=0))
            seen = both.mutate(start=latest).filter(ibis._.place % 2 == 0)
            seen = seen.select(user=seen.user, at=_half(seen.place), start=seen.start)
            reached = seen.filter((seen.start > _LONG_AGO) & (seen.at - seen.start <= window))
            before = held.enter_context(scratch(reached, "reached"))
            yield before.select(user=before.user, took=before.at - before.start)


def _strict(acts: ibis.Table, matches: Sequence[Any], window: int) -> Iterator[ibis.Table]:
    """Yield the same where each step is the user's very next act."""
    table = _moments(acts, matches)
    each = ibis.window(group_by="user", order_by="at")
    table = table.mutate(start=(table.step0 == 1).ifelse(table.at, _LONG_AGO))
    for number in range(1, len(matches)):
        table = table.mutate(start=table.start.lag(1, ibis.literal(_LONG_AGO, "int64")).over(each))
        goes_on = (table[f"step{number}"] == 1) & (table.start > _LONG_AGO) & (table.at - table.start <= window)
        table = table.mutate(start=goes_on.ifelse(table.start, _LONG_AGO))
        there = table.filter(table.start > _LONG_AGO)
        yield there.select(user=there.user, took=there.at - there.start)


def _any(acts: ibis.Table, matches: Sequence[Any], window: int) -> Iterator[ibis.Table]:
    """Yield who did 2, 3 ... of the steps in one window that ends with an act of theirs."""
    table = _moments(acts, matches)
    so_far = ibis.window(group_by="user", order_by="at", preceding=None, following=0)
    names = [f"step{number}" for number in range(len(matches))]
    table = table.mutate(**{name: (table[name] == 1).ifelse(table.at, _LONG_AGO).max().over(so_far) for name in names})
    near = [table[name] >= table.at - window for name in names]
    done = reduce(add, [one.cast("int32") for one in near])
    first = ibis.least(*[one.ifelse(table[name], table.at) for one, name in zip(near, names, strict=True)])
    table = table.select(user=table.user, took=table.at - first, done=done)
    for count in range(2, len(matches) + 1):
        yield table.filter(table.done >= count).select("user", "took")


def _moments(acts: ibis.Table, matches: Sequence[Any]) -> ibis.Table:
    """Return each user's moments once, with the steps that an act of that moment is: `user`, `at`, `step0`, `step1` ..."""
    flags = {f"step{number}": match.cast("int32") for number, match in enumerate(matches)}
    moments = acts.select(user=acts.user, at=_at(acts.time), **flags)
    return moments.group_by("user", "at").aggregate(**{name: moments[name].max() for name in flags})


def _counted(took: ibis.Table) -> tuple[int, tuple[float, ...]]:
    """Return how many users there are, and the median of their quickest hours between its order statistics."""
    quickest = took.group_by("user").aggregate(took=took.took.min())
    with scratch(quickest, "quickest") as each:
        users = int(each.count().to_pyarrow().as_py())
        if not users:
            return 0, ()
        half = 0.98 * users**0.5  # ranks of the 95 % interval: normal approximation of the binomial
        ranks = [min(max(round(users / 2 + shift), 1), users) for shift in (0.5, -half, half + 1)]
        ranked = each.mutate(rank=ibis.row_number().over(ibis.window(order_by=["took", "user"])))
        found = ranked.filter(ranked["rank"].isin([rank - 1 for rank in ranks])).select("rank", "took")
        hours = {int(row["rank"]) + 1: int(row["took"]) / 3_600_000_000 for row in found.to_pyarrow().to_pylist()}
    return users, tuple(hours[rank] for rank in ranks)


def _half(place: Any) -> Any:
    return (place / 2).floor().cast("int64")
