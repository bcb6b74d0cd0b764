"""A lake's own events as a market series: who is used how much, by requests, tokens, users and revenue, each a base of its own.

series = served_series(events("runs/demo/lake"), by="app", period="day")
series.measures                       # requests, tokens, users, reach ...
shares(series, "requests").latest()

Users may use several applications. `users` counts each user once a period, where they sent most requests, so its shares sum
to one; `reach` is the part of all users that an entity reached, and its shares overlap, which is flagged and not hidden.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any, Literal

import ibis

from noria.core.errors import InputError, unknown
from noria.core.messages import message
from noria.grow.log.log import SERVER_EVENTS
from noria.grow.log.read import covering
from noria.grow.log.times import day_number
from noria.grow.log.zones import UTC_DAYS, LocalCalendar
from noria.grow.series.series import Point, Provenance, Series
from noria.grow.users.periods import Period, number_of, period_of, series_time

By = Literal["app", "model", "tenant", "segment"]
BASES = ("requests", "tokens", "items", "users", "reach", "revenue")
"""Measures that a lake can give: what they count is told by their unit. They are never mixed."""
NOBODY = "(none)"
"""The name of an entity that the events leave empty."""
_UNITS = {
    "requests": "requests",
    "tokens": "tokens",
    "items": "items",
    "users": "users",
    "reach": "share",
    "revenue": "value",
}


def served_series(
    events: ibis.Table,
    by: str = "app",
    period: Period = "week",
    *,
    split: str | None = None,
    calendar: LocalCalendar = UTC_DAYS,
) -> Series:
    """Return how much each entity was used in each period, on every base that the events carry.

    Args:
        events: what `noria.grow.log.lake.events` returned.
        by: the column whose values are the entities: app, model, tenant or segment.
        period: day, week, month, quarter or year.
        split: a second column whose values are the series' segments; none where not given.
        calendar: what days and weeks are counted by.

    A period in which anything was used is known for all entities: what is not counted there is a true zero. Periods in which
    nothing was used at all are missing. The last period, which may go on, is provisional.

    Raises:
        SettingError: the events have no such column.
        InputError: there is no request.
    """
    for column in (by, split or by):
        if column not in ("app", "model", "tenant", "segment"):
            raise unknown("column to share by", column, ("app", "model", "tenant", "segment"))
    calendar = covering(calendar, events)

    def placed(rows: ibis.Table) -> ibis.Table:
        number = period_of(day_number(rows.time, calendar), period, calendar)
        return rows.mutate(period=number, entity=rows[by], part=rows[split] if split else ibis.literal(""))

    named = placed(events.filter(events.kind == "request"))
    used = _rows(
        named.group_by(["period", "entity", "part"]).aggregate(
            requests=named.count(),
            tokens=named.units.sum(where=named.unit == "tokens"),
            items=named.units.sum(where=named.unit == "items"),
        )
    )
    if not used:
        raise InputError(message("grow.lake_holds"), hint=message("grow.send_request"))
    counts = {name: {_key(row): float(row[name] or 0) for row in used} for name in ("requests", "tokens", "items")}
    counts["users"], counts["reach"] = _users(named)
    bought = events.filter((events.kind == "conversion") & events.value.notnull() & (events.value > 0))
    counts["revenue"] = _revenue(placed(bought))
    last = _rows(events.aggregate(last=day_number(events.time, calendar).max()))[0]["last"]
    return _series(counts, period, date(1970, 1, 1) + timedelta(days=int(last)), calendar)


Key = tuple[int, str, str]
"""The number of a period, an entity, a part."""


def _key(row: dict[str, Any]) -> Key:
    return int(row["period"]), row["entity"] or NOBODY, row["part"] or ""


def _users(named: ibis.Table) -> tuple[dict[Key, float], dict[Key, float]]:
    """Return users by their main entity, and the part of a period's users that each entity reached."""
    known = named.filter(named.user != "")
    each = known.group_by(["period", "part", "user", "entity"]).aggregate(n=known.count())
    window = ibis.window(group_by=["period", "part", "user"], order_by=[ibis.desc("n"), "entity"])
    ranked = each.mutate(place=ibis.row_number().over(window))
    main = ranked.filter(ranked.place == 0)
    mine = _rows(main.group_by(["period", "entity", "part"]).aggregate(n=main.count()))
    reached = _rows(each.group_by(["period", "entity", "part"]).aggregate(n=each.count()))
    all_users: dict[tuple[int, str], float] = {}
    for row in mine:
        place = (int(row["period"]), row["part"] or "")
        all_users[place] = all_users.get(place, 0.0) + row["n"]
    return (
        {_key(row): float(row["n"]) for row in mine},
        {_key(row): row["n"] / all_users[int(row["period"]), row["part"] or ""] for row in reached},
    )


def _revenue(bought: ibis.Table) -> dict[Key, float]:
    """Return the amounts of conversions; nothing where no conversion carries one."""
    rows = _rows(bought.group_by(["period", "entity", "part"]).aggregate(value=bought.value.sum()))
    return {_key(row): float(row["value"]) for row in rows}


def _series(counts: dict[str, dict[Key, float]], period: Period, last: date, calendar: LocalCalendar) -> Series:
    used = counts["requests"]
    keys = [*used, *counts["revenue"]]  # what was bought may name an entity, or fall into a period, without a request
    periods = sorted({key[0] for key in keys})
    entities = sorted({key[1] for key in keys})
    parts = sorted({key[2] for key in keys})
    open_since = number_of(last, period, calendar)
    points = [
        Point(
            series_time(number, period, calendar),
            entity,
            part,
            base,
            counts[base].get((number, entity, part), 0.0),
            _UNITS[base],
            provisional=number == open_since,
        )
        for base in BASES
        if any(counts[base].values())
        for number in periods
        for part in parts
        for entity in entities
    ]
    return Series(
        tuple(sorted(points, key=lambda point: point.time)),
        Provenance(SERVER_EVENTS, "own data", last, days=calendar.text()),
    )


def _rows(table: ibis.Table) -> list[dict[str, Any]]:
    return list(table.to_pyarrow().to_pylist())
