"""Needs: what users ask for, by topic, how that changes, and how often they did not get it.

    for need in needs(log):
        print(need.topic, need.asked.text(), need.unmet.text() if need.unmet else "")

A topic is what the server noted of a request in its event's `segment`: the topic of a mention, the language of a question, or
whatever the client named. What was said is not read. Of a log that is no lake the topics are its segments.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import ibis

from noria.core.figure import Figure, proportion
from noria.core.messages import message
from noria.core.progress import stage
from noria.grow.log.log import Log
from noria.grow.log.times import day_number
from noria.grow.log.user_days import segment_of

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Need:
    """One topic in one application."""

    app: str
    topic: str
    requests: int
    asked: Figure
    """Part of the users active in the time looked at that asked for it."""
    change: Figure | None
    """`asked` less the same of as many days before; None where the log does not cover those."""
    unmet: Figure | None
    """Part of the requests that failed, were refused or blocked, handed over to a person, or judged wrong by the last word on
    them; None where the log says nothing of that."""


@stage(message("progress.habits"))
def needs(log: Log, days: int = 28) -> tuple[Need, ...]:
    """Return what was asked for in the last `days` of a log, most asked first; of a shorter log, in all of its days.

    Intervals: Wilson (1927); of a change, Newcombe (1998, method 10), which takes both times' users for different people and
    is wide where they are the same.
    """
    days = min(days, (log.as_of - log.first).days + 1)
    last = (log.as_of - _EPOCH).days
    asked = _requests(log)
    now = _window(asked, last - days, last)
    active = int(now.user.nunique().to_pyarrow().as_py())
    covered = (log.first - _EPOCH).days <= last - 2 * days + 1
    before = _window(asked, last - 2 * days, last - days)
    earlier = int(before.user.nunique().to_pyarrow().as_py()) if covered else 0
    past = _counts(before) if earlier else {}
    unmet = _counts(_unmet(log, now)) if log.facts is not None else None
    found = []
    for (app, topic), (users, requests) in _counts(now).items():
        share = proportion(message("figures.needs.asking", topic=topic), users, active, source=log.source)
        then = proportion("", past.get((app, topic), (0, 0))[0], earlier) if earlier else None
        lost = unmet.get((app, topic), (0, 0))[1] if unmet is not None else None
        found.append(
            Need(
                app,
                topic,
                requests,
                share,
                difference(message("figures.needs.change", topic=topic), share, then) if then else None,
                None
                if lost is None
                else proportion(message("figures.needs.unmet", topic=topic), lost, requests, source=log.source),
            )
        )
    return tuple(sorted(found, key=lambda need: (-need.asked.value, -need.requests, need.app, need.topic)))


def difference(name: str, one: Figure, other: Figure) -> Figure:
    """Return one proportion less another, with the hybrid score interval (Newcombe 1998, method 10)."""
    ends = (one.low, one.high, other.low, other.high)
    low, high, other_low, other_high = (0.0 if end is None else end for end in ends)
    value = one.value - other.value
    down = ((one.value - low) ** 2 + (other_high - other.value) ** 2) ** 0.5
    up = ((high - one.value) ** 2 + (other.value - other_low) ** 2) ** 0.5
    return Figure(name, value, one.n + other.n, value - down, value + up, source=one.source)


def _requests(log: Log) -> ibis.Table:
    """Return the acts that ask for something: `id`, `user`, `day`, `app`, `topic`, `failed`."""
    if log.facts is None:
        table = log.table
        columns = {"id": ibis.literal(""), "app": ibis.literal(""), "failed": ibis.literal(0)}
    else:
        table = log.facts.filter((log.facts.kind == "request") & (log.facts.user != ""))
        columns = {"id": table.id, "app": table.app, "failed": (table.outcome != "ok").cast("int32")}
    topic = segment_of(table.segment)
    return table.select(user=table.user, day=day_number(table.time, log.calendar), topic=topic, **columns)


def _window(asked: ibis.Table, after: int, until: int) -> ibis.Table:
    return asked.filter((asked.day > after) & (asked.day <= until))


def _counts(asked: ibis.Table) -> dict[tuple[str, str], tuple[int, int]]:
    """Return application and topic -> users and requests."""
    found = asked.group_by("app", "topic").aggregate(users=asked.user.nunique(), requests=asked.count())
    rows = found.to_pyarrow().to_pylist()
    return {(row["app"], row["topic"]): (int(row["users"]), int(row["requests"])) for row in rows}


def _unmet(log: Log, now: ibis.Table) -> ibis.Table:
    """Return the requests that did not get what they asked for."""
    assert log.facts is not None
    facts = log.facts
    feedback = facts.filter((facts.kind == "feedback") & facts.value.notnull())
    ordered = ibis.window(group_by="subject", order_by=[ibis.desc("time"), ibis.desc("id")])
    last = feedback.mutate(place=ibis.row_number().over(ordered))
    wrong = last.filter((last.place == 0) & (last.value < 0)).select(id="subject")
    handed = facts.filter(facts.kind == "handover").select(id="subject")
    failed = now.filter(now.failed == 1).select("id")
    return now.semi_join(wrong.union(handed).union(failed), "id")
