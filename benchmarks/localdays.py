"""Local days: growth accounting and retention of a public log in three zones, every cell beside pandas with zones.

The log is MovieLens latest-small (GroupLens; research use), 100,023 ratings of 19 years, whose times are seconds since 1970; the folder
is that which NORIA_DATA names. Zones: Asia/Shanghai, America/New_York, and Australia/Lord_Howe, whose summer is half an hour. pandas
converts each time (`tz_convert`), takes its day (`normalize`), and weeks, months, quarters and years by its own periods and
offsets: a retailer's year is its `FY5253Quarter`. Noria is asked for the same of a Parquet file, of a CSV of local times, of a server's
lake, and of PostgreSQL and ClickHouse where they are installed. A cell is one number: of users active, new, resurrected or
churned in a period, or of a cohort's users active so many periods later. Time is the processor's, of both in one process.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from noria.core.errors import InputError
from noria.grow.log.engines import connect_engine, open_engine
from noria.grow.log.log import Log
from noria.grow.settings import LogSettings
from noria.grow.users.activity import growth
from noria.grow.users.periods import PERIODS, Period
from noria.grow.users.retention import retention
from noria.grow.users.study import open_log
from noria.lake.event import day_folder, new_id
from noria.lake.read import ARROW

from .engines import clickhouse, postgres, stored
from .line import Line, compare, machine

ZONES = ("Asia/Shanghai", "America/New_York", "Australia/Lord_Howe")
WEEKDAYS = {"monday": 0, "sunday": 6, "saturday": 5}
PANDAS = "pandas with zones (tz_convert, normalize)"
Cells = dict[tuple[Any, ...], int]
"""(what, first day of a period, column or age) -> users; without those that are zero."""
CALENDARS: dict[str, dict[str, Any]] = {
    "monday": {"week_starts": "monday"},
    "sunday": {"week_starts": "sunday"},
    "saturday, years from April": {"week_starts": "saturday", "year_starts": 4},
    "whole ISO weeks": {"fiscal": "iso"},
    "retail 4-5-4": {"fiscal": "4-5-4", "week_starts": "sunday", "year_starts": 2},
    "4-4-5 to the last Saturday of September": {
        "fiscal": "4-4-5",
        "week_starts": "sunday",
        "year_starts": 10,
        "year_week": "holding",
    },
}


def measure(*, quick: bool) -> list[Line]:
    """Return how many cells are equal by engine, and the time beside pandas; quick asks for fewer calendars, once."""
    calendars = dict(list(CALENDARS.items())[:: 4 if quick else 1])
    lines, log = [], _ratings()
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as name, ExitStack() as held:
        for engine, opened in _engines(Path(name), log, held):
            found = [_compared(opened, engine, log, zone, calendars) for zone in ZONES]
            equal, cells = (sum(one[at] for one in found) for at in (0, 1))
            said = f"cells of local-day accounting, {engine}, {len(ZONES)} zones, {len(calendars)} calendars"
            lines.append(compare("localdays", said, [equal], [cells], PANDAS, "cells equal"))
            wrong = f"cells that differ, {engine}"
            lines.append(
                Line(
                    "localdays",
                    wrong,
                    cells - equal,
                    0,
                    "wanted: none",
                    "cells",
                    equal / cells,
                    1,
                    0.0,
                    math.inf,
                    machine(),
                )
            )
            if engine == "Parquet":
                lines += _times(opened, log, repeats=1 if quick else 3)
    return lines


def _ratings() -> pa.Table:
    file = Path(os.environ.get("NORIA_DATA", "")) / "recommend" / "movielens-small" / "interactions.parquet"
    if not file.is_file():
        raise InputError("no MovieLens there", found=str(file), hint="let NORIA_DATA name the folder of data sets")
    rows = pq.read_table(file, columns=["user", "time"])
    moments = (
        pa.array(rows["time"].to_pylist(), pa.int64()).cast(pa.timestamp("s", "UTC")).cast(pa.timestamp("us", "UTC"))
    )
    return pa.table({"user": rows["user"].cast(pa.string()).combine_chunks(), "time": moments})


def _engines(folder: Path, log: pa.Table, held: ExitStack) -> Iterator[tuple[str, Callable[[LogSettings], Log]]]:
    """Give each engine that is there, by a function that opens the log in it."""
    parquet, lake = folder / "log.parquet", folder / "lake"
    pq.write_table(log, parquet)
    yield "Parquet", lambda settings: open_log(parquet, settings)
    yield "CSV of local times", lambda settings: open_log(_written(folder, log, settings), settings)
    _fill(lake, log)
    yield "a server's lake", lambda settings: open_log(lake, settings)
    for name, address in (("PostgreSQL", held.enter_context(postgres())), ("ClickHouse", clickhouse())):
        if address is None:
            print(f"localdays: {name} is not installed, and is left out", file=sys.stderr)
            continue
        with _kept(address, log):
            yield name, lambda settings, where=address: open_engine(where, settings.replace(table="ratings"))  # type: ignore[misc]


@contextmanager
def _kept(address: str, log: pa.Table) -> Iterator[None]:
    """Keep the log in an engine's table as long as the block lasts."""
    backend = connect_engine(address)
    stored(backend, "ratings", log)
    try:
        yield
    finally:
        backend.disconnect()


def _written(folder: Path, log: pa.Table, settings: LogSettings) -> Path:
    """Return a CSV of the log whose times are what clocks of the zone showed, without a word on the zone."""
    path = folder / f"{(settings.zone or 'UTC').replace('/', '-')}.csv"
    if not path.exists():
        frame = log.to_pandas()
        frame["time"] = frame["time"].dt.tz_convert(settings.zone).dt.strftime("%Y-%m-%d %H:%M:%S")
        frame.to_csv(path, index=False)
    return path


def _fill(lake: Path, log: pa.Table) -> None:
    """Write the log as the sealed events of a server: a file for each year."""
    users, times = log["user"].to_pylist(), log["time"].to_pylist()
    by_year: dict[int, list[dict[str, Any]]] = {}
    for user, moment in zip(users, times, strict=True):
        event = {"id": new_id(), "time": moment, "kind": "request", "user": user, "app": "films", "units": 1}
        by_year.setdefault(moment.year, []).append(event)
    blank = {"string": "", "bool": False, "int64": 0, "int32": 0, "double": None}
    for year, events in by_year.items():
        folder = day_folder(lake, f"{year}-01-01")
        folder.mkdir(parents=True)
        rows = [{field.name: event.get(field.name, blank.get(str(field.type))) for field in ARROW} for event in events]
        pq.write_table(pa.Table.from_pylist(rows, ARROW), folder / "events.parquet")


def _settings(engine: str, zone: str, calendar: dict[str, Any]) -> LogSettings:
    named = {"zone": zone} if engine.startswith("CSV") else {"zone": "UTC", "day_zone": zone}
    return LogSettings.make(**named, **calendar)


def _compared(
    opened: Callable[[LogSettings], Log], engine: str, log: pa.Table, zone: str, calendars: dict[str, dict[str, Any]]
) -> tuple[int, int]:
    """Return how many cells of one zone are equal, and how many there are on either side."""
    equal = cells = 0
    for name, calendar in calendars.items():
        with closing(opened(_settings(engine, zone, calendar))) as here:
            ours = {unit: counted(here, unit) for unit in PERIODS}
        for unit in PERIODS:
            theirs = _by_pandas(log, zone, unit, name, engine.startswith("CSV"))
            keys = ours[unit].keys() | theirs.keys()
            same = sum(ours[unit].get(key, 0) == theirs.get(key, 0) for key in keys)
            equal, cells = equal + same, cells + len(keys)
            if same < len(keys):
                wrong = next(key for key in sorted(keys) if ours[unit].get(key, 0) != theirs.get(key, 0))
                print(
                    f"localdays: {engine}, {zone}, {name}, {unit}: {wrong}: {ours[unit].get(wrong)} {theirs.get(wrong)}",
                    file=sys.stderr,
                )
    print(f"localdays: {engine}, {zone}: {equal:,} of {cells:,} cells are equal", file=sys.stderr)
    return equal, cells


@cache
def _known() -> dict[tuple[Any, ...], Cells]:
    """Return what pandas has counted so far: the same for every engine."""
    return {}


def _by_pandas(log: pa.Table, zone: str, unit: Period, name: str, clock: bool) -> Cells:
    known = _known()
    if (zone, unit, name, clock) not in known:
        known[zone, unit, name, clock] = by_pandas(log, zone, unit, CALENDARS[name], clock=clock)
    return known[zone, unit, name, clock]


def _times(opened: Callable[[LogSettings], Log], log: pa.Table, repeats: int) -> list[Line]:
    """Return the processor's time for all zones, periods as they are by default."""
    ours, theirs = [], []
    for _ in range(repeats):
        start = time.process_time()
        for zone in ZONES:
            with closing(opened(_settings("Parquet", zone, {}))) as here:
                for unit in PERIODS:
                    counted(here, unit)
        middle = time.process_time()
        for zone in ZONES:
            for unit in PERIODS:
                by_pandas(log, zone, unit, {})
        ours.append(middle - start)
        theirs.append(time.process_time() - middle)
    what = f"growth and retention by {len(PERIODS)} periods in {len(ZONES)} zones, processor time"
    return [compare("localdays", what, ours, theirs, PANDAS, "s", higher_is_better=False)]


def counted(log: Log, unit: Period) -> Cells:
    """Return Noria's cells of one period."""
    cells: Cells = {}
    for row in growth(log, unit).segment():
        for column in ("active", "new", "resurrected", "churned"):
            cells["growth", row.period, column] = getattr(row, column)
    for kind in ("first", "recurring") if unit != "day" else ():
        for cohort, kept in retention(log, unit, kind).counts.items():
            cells.update({(kind, cohort, age): users for age, users in enumerate(kept)})
    return {key: users for key, users in cells.items() if users}


def by_pandas(log: pa.Table, zone: str, unit: Period, calendar: dict[str, Any], *, clock: bool = False) -> Cells:
    """Return the same cells by pandas; `clock` reads what clocks of the zone showed, the first of an hour that came twice."""
    import numpy as np
    import pandas as pd

    frame = log.to_pandas()
    local = frame["time"].dt.tz_convert(zone)
    if clock:
        bare = local.dt.tz_localize(None)
        local = bare.dt.tz_localize(zone, ambiguous=np.ones(len(bare), bool), nonexistent="shift_forward")
    days = local.dt.tz_localize(None).dt.normalize()
    every = pd.Series(pd.date_range(days.min(), days.max() + pd.Timedelta(days=1)))
    begins = first_days(every, unit, calendar)
    names = sorted(set(begins))
    number = {begin: place for place, begin in enumerate(names)}
    at = dict(zip(every, begins.map(number), strict=True))
    active = (
        pd.DataFrame({"user": frame["user"], "period": days.map(at)}).drop_duplicates().sort_values(["user", "period"])
    )
    by_user = active.groupby("user")["period"]
    active["first"], before, after = by_user.transform("min"), by_user.shift(1), by_user.shift(-1)
    told = [str(name.date()) for name in names]
    cells: Cells = {}
    last = int(active["period"].max())
    columns = {
        "active": active["period"],
        "new": active.loc[before.isna(), "period"],
        "resurrected": active.loc[before < active["period"] - 1, "period"],
        "churned": active.loc[~(after == active["period"] + 1), "period"] + 1,
    }
    for column, periods in columns.items():
        for period, users in periods.value_counts().items():
            if period <= last:
                cells["growth", told[period], column] = int(users)
    if unit == "day":
        return cells
    whole = active[active["period"] <= at[every.iloc[-1]] - 1]  # periods that the log covers to their end
    pairs = whole[["user", "period"]].merge(whole[["user", "period"]], on="user", suffixes=("", "_later"))
    pairs = pairs[pairs["period_later"] >= pairs["period"]]
    kinds = {
        "first": (whole["first"], whole["period"] - whole["first"]),
        "recurring": (pairs["period"], pairs["period_later"] - pairs["period"]),
    }
    for kind, (cohort, age) in kinds.items():
        for (begin, later), users in pd.DataFrame({"c": cohort, "a": age}).value_counts().items():
            cells[kind, told[begin], int(later)] = int(users)
    return cells


def first_days(days: Any, unit: Period, calendar: dict[str, Any]) -> Any:
    """Return the first day of each day's period, by pandas."""
    import pandas as pd

    fiscal, starts = calendar.get("fiscal", ""), calendar.get("year_starts", 1)
    week = days - pd.to_timedelta((days.dt.day_of_week - WEEKDAYS[calendar.get("week_starts", "monday")]) % 7, unit="D")
    if unit in ("day", "week"):
        return days if unit == "day" else week
    months = {"month": 1, "quarter": 3, "year": 12}[unit]
    if fiscal == "iso":
        return _iso_start(week, months)
    if not fiscal:
        month = days.dt.year * 12 + days.dt.month - 1
        begin = month - (month - (starts - 1)) % months
        return pd.to_datetime({"year": begin // 12, "month": begin % 12 + 1, "day": 1})
    ends = (starts - 2) % 12 + 1
    variation = "nearest" if calendar.get("year_week", "nearest") == "nearest" else "last"
    quarters = pd.offsets.FY5253Quarter(startingMonth=ends, weekday=5, qtr_with_extra_week=4, variation=variation)
    marks = pd.date_range(days.min() - pd.Timedelta(days=800), days.max() + pd.Timedelta(days=800), freq=quarters)
    begins = marks[:-1] + pd.Timedelta(days=1)
    years = pd.offsets.FY5253(startingMonth=ends, weekday=5, variation=variation)
    if unit == "year":
        begins = begins[[years.is_on_offset(mark) for mark in marks[:-1]]]
    if unit == "month":
        weeks = [int(number) for number in fiscal.split("-")]
        shifts = (0, weeks[0], weeks[0] + weeks[1])
        begins = pd.DatetimeIndex([begin + pd.Timedelta(weeks=shift) for begin in begins for shift in shifts])
    return pd.Series(begins[begins.searchsorted(days, side="right") - 1])


def _iso_start(week: Any, months: int) -> Any:
    """Return the first Monday of each week's month, quarter or year: that of the week of its first Thursday."""
    import pandas as pd

    thursday = week + pd.Timedelta(days=3)
    month = thursday.dt.year * 12 + thursday.dt.month - 1
    begin = month - month % months
    first = pd.to_datetime({"year": begin // 12, "month": begin % 12 + 1, "day": 1})
    return first + pd.to_timedelta((3 - first.dt.day_of_week) % 7 - 3, unit="D")
