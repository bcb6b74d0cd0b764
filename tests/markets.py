"""Markets made for tests: simulated shares with known drivers, events of a server, ranges of a size."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from noria.core.folder import write_bytes
from noria.grow.log.lake import SCHEMA, connect
from noria.grow.market.potential import Range
from noria.grow.series.calendars import following
from noria.grow.series.series import SCHEMA as SERIES
from noria.grow.series.series import Floats, Point, Provenance, Series

PROVENANCE = Provenance("simulated", "CC0", date(2026, 1, 1))


def measured(
    measures: dict[str, Floats], units: dict[str, str] | None = None, breaks: tuple[tuple[int, int], ...] = ()
) -> Series:
    """Return a series of (times, entities) for each measure; nan is missing."""
    periods = len(next(iter(measures.values())))
    times = ["2020-01", *following(["2020-01"], periods - 1)]
    points = [
        Point(
            times[row],
            f"e{column}",
            "",
            name,
            None if np.isnan(value) else float(value),
            (units or {}).get(name, "units"),
            broken=name == "share" and (row, column) in breaks,
        )
        for name, table in measures.items()
        for (row, column), value in np.ndenumerate(table)
    ]
    return Series(tuple(sorted(points, key=lambda point: point.time)), PROVENANCE)


def simulated(entities: int, periods: int, seed: int, *, effects: dict[str, float], spread: float = 0.1) -> Series:
    """Return a simulated market of MNL shares: levels of entities, walks of drivers, autocorrelated errors."""
    random = np.random.default_rng(seed)
    drivers = {
        name: 50 + random.normal(0, 1, entities) * 3 + np.cumsum(random.normal(0, 1, (periods, entities)), axis=0)
        for name in effects
    }
    error = np.zeros((periods, entities))
    for row in range(1, periods):
        error[row] = 0.6 * error[row - 1] + random.normal(0, spread, entities)
    pull = random.normal(0, 1, entities) + sum(effect * drivers[name] for name, effect in effects.items()) + error
    parts = np.exp(pull - pull.max(1, keepdims=True))
    return measured({"share": parts / parts.sum(1, keepdims=True), **drivers}, {"share": "share"})


def table_of(*rows: dict[str, object]) -> ibis.Table:
    blank: dict[str, object] = {
        "kind": "request",
        "user": "u",
        "tenant": "t",
        "app": "support",
        "model": "m",
        "version": "",
        "units": 10,
        "unit": "tokens",
        "latency_ms": 1.0,
        "outcome": "ok",
        "segment": "zh",
        "consent": False,
        "subject": "",
        "value": None,
    }
    filled = [
        {**blank, "id": str(place), **row, "time": datetime.fromisoformat(str(row["time"]))}
        for place, row in enumerate(rows)
    ]
    naive = pa.schema([field.with_type(pa.timestamp("us")) if field.name == "time" else field for field in SCHEMA])
    return connect().create_table("events", pa.Table.from_pylist(filled, naive))


def a_range(industry: str, approach: str, factor: str, low: float, high: float, unit: str = "USD") -> Range:
    return Range(industry, approach, factor, low, high, unit, "assumed")


def operating_systems(data: Path, target: Path) -> Path:
    """Write the real shares of Windows among one site's visitors, 2008 on (before, every second month was filled in)."""
    rows = list(csv.DictReader((data / "market" / "generations-windows.csv").read_text(encoding="utf-8").splitlines()))
    return published(
        ((row["month"], row["generation"], row["share_percent"]) for row in rows if row["month"] >= "2008"), target
    )


def browsers(data: Path, target: Path) -> Path:
    """Write the real shares of four browsers among one site's visitors, from Chrome's launch on."""
    rows = list(csv.DictReader((data / "market" / "browser-share.csv").read_text(encoding="utf-8").splitlines()))
    names = ("Chrome", "Firefox", "Internet Explorer", "Safari")
    return published(
        ((row["Date"], name, row[name]) for row in rows if row["Date"] >= "2008-09" for name in names if row[name]),
        target,
    )


def published(rows: Iterable[tuple[str, str, str]], target: Path) -> Path:
    """Write time, entity and percent as a series."""
    points = [Point(time, entity, "", "share of visits", float(value), "percent") for time, entity, value in rows]
    provenance = Provenance("W3Schools", "figures of one site, for tests alone", date(2017, 3, 1))
    write_series(Series(tuple(sorted(points, key=lambda point: point.time)), provenance), target)
    return target


def write_series(series: Series, path: str | Path) -> None:
    """Write a series as CSV, or as Parquet where the name ends so; whole or not at all."""
    path = Path(path)
    head = {key: str(value) for key, value in asdict(series.provenance).items() if value}
    if path.suffix == ".parquet":
        rows = [dict(zip(SERIES.names, _row(point), strict=True)) for point in series.points]
        table = pa.Table.from_pylist(rows, SERIES)
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata({"noria.series": json.dumps(head, ensure_ascii=False)}), sink)
        write_bytes(path, sink.getvalue().to_pybytes())
        return
    out = io.StringIO()
    out.writelines(f"# {key}: {value}\n" for key, value in head.items())
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(SERIES.names)
    writer.writerows(_row(point) for point in series.points)
    write_bytes(path, out.getvalue().encode())


def _row(point: Point) -> list[str | float | None]:
    marks = ["yes" if mark else "" for mark in (point.provisional, point.broken)]
    return [point.time, point.entity, point.segment, point.measure, point.value, point.unit, *marks]
