"""Growth accounting, weekly retention and a funnel: Noria beside hand-written DuckDB SQL and pandas, on the same simulated events.

Each run is a process of its own that reads one Parquet file and ends with three results: growth accounting week by week, the
triangle of first-time retention, and the funnel impression > click > conversion within 7 days of the impression, with the median
hours to each step between its order statistics. All must agree to the last user and the last microsecond, or the benchmark fails.
The SQL is what a person who knows DuckDB writes: three queries over the file, or, as its best settings, the same over a table of
user-weeks made once. pandas reads users as they stand, or turns them into the codes of a category first; it gets 10 million
events, as its intermediates of 100 million leave no room. Noria asks besides whether a user is blank, or a time missing or in the
future; the others take it that the file is clean, as it is. No one's libraries are loaded on the clock.
Reading alone hashes each cell of the three columns once, so that none is left unread: what is above it is counting.
Memory is the peak of the process. Linear means: ten times the events take no more than ten times as long.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import zlib
from collections.abc import Iterable, Sequence
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

from .child import run
from .line import Line, compare

PEERS = ("DuckDB SQL by hand, three queries", "DuckDB SQL by hand, user-weeks made once")
PANDAS = ("pandas, defaults", "pandas, users as category codes")
READING = "DuckDB, reading the columns and nothing else"
"""What no one can be faster than: pandas' time over it is the most that could be gained on pandas."""
CHECKS = (
    "active",
    "new",
    "resurrected",
    "churned",
    "account",
    "retained",
    "triangle",
    "reached1",
    "reached2",
    "reached3",
    "low2",
    "median2",
    "high2",
    "low3",
    "median3",
    "high3",
)
"""What must agree: totals, digests of all rows of the accounting and the triangle, users at each step, and hours to it."""
STEPS = ("impression", "click", "conversion")
MEMORY = "6GB"
"""What DuckDB may hold, in Noria and by hand, before it goes on in files."""


def measure(*, quick: bool) -> list[Line]:
    """Return speed and memory against each peer, by size; quick has a million events, else 1, 10 and 100 million."""
    sizes = (1,) if quick else (1, 10, 100)
    lines = []
    seconds: dict[int, list[float]] = {}
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
            file = Path(folder) / "events.parquet"
            run("benchmarks.growth_data", str(file), str(size * 1_000_000))
            names = ["noria", *PEERS, *(PANDAS if size <= 10 else ()), READING]
            found = _alternating(file, names, repeats=2 if size > 10 else 3, size=size)
        seconds[size] = [one["seconds"] for one in found["noria"]]
        for peer in names[1:]:
            for key, unit in (("seconds", "s"), ("megabytes", "MB")):
                ours, theirs = ([one[key] for one in found[name]] for name in ("noria", peer))
                what = "wall time" if key == "seconds" else "peak memory"
                lines.append(
                    compare(
                        "growth", f"{what}, {size} M simulated events", ours, theirs, peer, unit, higher_is_better=False
                    )
                )
    for small, large in pairwise(sizes):
        pairs = list(zip(seconds[large], seconds[small], strict=False))
        lines.append(
            compare(
                "growth",
                f"time of {large} M beside ten times that of {small} M",
                [one for one, _ in pairs],
                [10 * other for _, other in pairs],
                "a straight line",
                "s",
                higher_is_better=False,
            )
        )
    return lines


def _alternating(file: Path, names: list[str], repeats: int, size: int) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    told: dict[str, dict[str, float]] = {}
    for number in range(repeats):
        for name in sorted(names, reverse=bool(number % 2)):
            one = run("benchmarks.growth", str(file), name)
            found[name].append(one)
            print(f"growth {size} M {number + 1}/{repeats}: {name}: {one}", file=sys.stderr)
            if name == READING:
                continue
            told.setdefault("first", one)
            first = told["first"]
            if any(one[key] != first[key] for key in CHECKS):
                raise RuntimeError(f"{name} counted other users: {[(one[key], first[key]) for key in CHECKS]}")
    return found


def _told(
    account: Sequence[Sequence[float]],
    cells: Iterable[Sequence[float]],
    users: Sequence[float],
    hours: Sequence[Sequence[float]],
) -> dict[str, float]:
    """Return what must agree, of rows (active, new, resurrected, churned), cells (cohort, age, users), users and hours of the steps."""
    rows = [[int(value) for value in row] for row in account]
    triangle = sorted([int(value) for value in cell] for cell in cells)
    values = (
        *(sum(column) for column in zip(*rows, strict=True)),
        _digest(rows),
        sum(cell[2] for cell in triangle),
        _digest(triangle),
        *users,
        *(value for step in hours for value in sorted(step)),
    )
    return dict(zip(CHECKS, (float(value) for value in values), strict=True))


def _digest(rows: list[list[int]]) -> int:
    return zlib.crc32(json.dumps(rows).encode())


def noria(file: str) -> dict[str, float]:
    """Count with Noria."""
    from noria.grow.log.acts import log_of_table
    from noria.grow.log.lake import connect
    from noria.grow.settings import LogSettings
    from noria.grow.users.activity import growth
    from noria.grow.users.funnel import funnel, parse_steps
    from noria.grow.users.retention import retention

    table = connect(memory=MEMORY).read_parquet(file)
    log = log_of_table(table, LogSettings(segment="kind"), source="simulated")
    account = growth(log, "week")
    kept = retention(log, "week")
    steps = funnel(log, parse_steps(" > ".join(STEPS), log), days=7)
    rows = [(row.active, row.new, row.resurrected, row.churned) for row in account.rows]
    cells = [(at, age, users) for at, row in enumerate(kept.counts.values()) for age, users in enumerate(row) if users]
    return _told(rows, cells, steps.users, steps.times[1:])


def reading(file: str) -> dict[str, float]:
    """Read the columns, and count nothing."""
    import duckdb

    run = duckdb.connect().execute
    run(f"SET memory_limit = '{MEMORY}'; SET TimeZone = 'UTC'")
    run(_EVENTS.format(file=file))
    run("SELECT max(hash(user)), max(time), max(hash(kind)) FROM events").fetchall()
    return {}


_EVENTS = "CREATE VIEW events AS SELECT user, epoch_us(time) AS time, kind FROM '{file}'"
"""Microseconds: DuckDB's casts of times with a zone ask the calendar of every zone, and take twice as long."""
_WEEK = "CAST((time // 86400000000 + 3) // 7 AS INTEGER)"
_GROWTH = """
    SELECT active, new, resurrected, lag(leaving, 1, 0) OVER (ORDER BY week) FROM (
        SELECT week, count(*) AS active, count(*) FILTER (before IS NULL) AS new, count(*) FILTER (before < week - 1) AS resurrected,
               count(*) FILTER (after IS NULL OR after > week + 1) AS leaving
        FROM (SELECT user, week, lag(week) OVER w AS before, lead(week) OVER w AS after FROM weeks WINDOW w AS (PARTITION BY user ORDER BY week))
        GROUP BY week) ORDER BY week"""
_RETENTION = """
    SELECT first - min(first) OVER () AS cohort, age, users FROM (SELECT first, week - first AS age, count(*) AS users
        FROM weeks JOIN (SELECT user, min(week) AS first FROM weeks GROUP BY user) USING (user) GROUP BY ALL)"""
_FUNNEL = """
    WITH one AS (SELECT user, time FROM events WHERE kind = 'impression'),
    two AS (SELECT user, time, max(start) OVER w AS start FROM (
                SELECT user, time, time AS start, 1 AS entry FROM one
                UNION ALL SELECT user, time, NULL, 0 FROM events WHERE kind = 'click')
            WINDOW w AS (PARTITION BY user ORDER BY time, entry ROWS UNBOUNDED PRECEDING) QUALIFY entry = 0),
    came AS MATERIALIZED (SELECT user, time, start FROM two WHERE time - start <= 604800000000),
    three AS (SELECT user, time, max(start) OVER w AS start FROM (
                SELECT user, time, start, 1 AS entry FROM came
                UNION ALL SELECT user, time, NULL, 0 FROM events WHERE kind = 'conversion')
              WINDOW w AS (PARTITION BY user ORDER BY time, entry ROWS UNBOUNDED PRECEDING) QUALIFY entry = 0),
    took AS (SELECT 2 AS step, min(time - start) AS took FROM came GROUP BY user
             UNION ALL SELECT 3, min(time - start) FROM three WHERE time - start <= 604800000000 GROUP BY user),
    ranked AS (SELECT step, took, row_number() OVER (PARTITION BY step ORDER BY took) AS place, count(*) OVER (PARTITION BY step) AS users FROM took)
    SELECT 1, count(DISTINCT user), NULL FROM one UNION ALL
    SELECT step, users, took / 3600000000 FROM ranked
    WHERE place IN (round_even(users / 2 + 0.5, 0), round_even(users / 2 - 0.98 * sqrt(users), 0), round_even(users / 2 + 0.98 * sqrt(users) + 1, 0))"""


def by_hand(file: str, *, once: bool) -> dict[str, float]:
    """Count with SQL written for just this; `once` makes the table of user-weeks first."""
    import duckdb

    run = duckdb.connect().execute
    run(
        f"SET memory_limit = '{MEMORY}'; SET preserve_insertion_order = false; SET TimeZone = 'UTC'; SET temp_directory = '{file}.spill'"
    )
    run(_EVENTS.format(file=file))
    weeks = f"SELECT DISTINCT user, {_WEEK} AS week FROM events"
    run(f"CREATE TEMP TABLE weeks AS {weeks}" if once else f"CREATE TEMP VIEW weeks AS {weeks}")
    account = run(_GROWTH).fetchall()
    cells = run(_RETENTION).fetchall()
    steps = run(_FUNNEL).fetchall()
    users = {step: count for step, count, _ in steps}
    hours = [[value for at, _, value in steps if at == step] for step in (2, 3)]
    return _told(account, cells, [users[step] for step in (1, 2, 3)], hours)


def pandas(file: str, *, codes: bool) -> dict[str, float]:
    """Count with pandas: users as they are, or as the codes of a category."""
    import numpy as np
    import pandas as pd

    events = pd.read_parquet(file, columns=["user", "time", "kind"])
    if codes:
        events["user"] = events["user"].astype("category").cat.codes
        events["kind"] = events["kind"].astype("category")
    week = (((events["time"] - pd.Timestamp("1970-01-01", tz="UTC")).dt.days + 3) // 7).rename("week")
    weeks = (
        pd.DataFrame({"user": events["user"], "week": week})
        .drop_duplicates()
        .sort_values(["user", "week"], ignore_index=True)
    )
    by_user = weeks.groupby("user")["week"]
    before, after = by_user.shift(1), by_user.shift(-1)
    flags = pd.DataFrame(
        {
            "week": weeks["week"],
            "active": 1,
            "new": before.isna(),
            "resurrected": before < weeks["week"] - 1,
            "leaving": after.isna() | (after > weeks["week"] + 1),
        }
    )
    account = flags.groupby("week").sum()
    account["leaving"] = account["leaving"].shift(1, fill_value=0)
    age = weeks["week"] - by_user.transform("min")
    first = weeks["week"] - age
    kept = weeks.assign(age=age, first=first - first.min()).groupby(["first", "age"]).size().reset_index()
    entries = events.loc[events["kind"] == STEPS[0], ["user", "time"]].assign(start=lambda rows: rows["time"])
    reached, hours = [entries["user"].nunique()], []
    for step in STEPS[1:]:
        acts = events.loc[events["kind"] == step, ["user", "time"]]
        came = pd.merge_asof(
            acts.sort_values("time"), entries.sort_values("time"), on="time", by="user", allow_exact_matches=False
        )
        entries = came[came["time"] - came["start"] <= np.timedelta64(7, "D")]
        took = np.sort(
            (entries["time"] - entries["start"])
            .groupby(entries["user"])
            .min()
            .to_numpy()
            .astype("timedelta64[us]")
            .astype(np.int64)
        )
        users, half = len(took), 0.98 * len(took) ** 0.5
        reached.append(users)
        hours.append([took[round(users / 2 + shift) - 1] / 3_600_000_000 for shift in (0.5, -half, half + 1)])
    return _told(account.to_numpy().tolist(), kept.to_numpy().tolist(), reached, hours)


def _load(name: str) -> None:
    """Import what a part needs, and no more: its memory is its own."""
    needed = (
        (
            "ibis.backends.duckdb",
            "pandas",
            "noria.grow.log.acts",
            "noria.grow.users.activity",
            "noria.grow.users.funnel",
            "noria.grow.users.retention",
        )
        if name == "noria"
        else ("pandas", "pyarrow.parquet")
        if name in PANDAS
        else ("duckdb",)
    )
    for module in needed:
        import_module(module)


def main(file: str, name: str) -> None:
    """Do one child's part and print what it found, and how long it took."""
    _load(name)
    start = time.perf_counter()
    found: dict[str, Any] = (
        noria(file)
        if name == "noria"
        else pandas(file, codes=name == PANDAS[1])
        if name in PANDAS
        else reading(file)
        if name == READING
        else by_hand(file, once=name == PEERS[1])
    )
    print(json.dumps({**found, "seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main(*sys.argv[1:])
