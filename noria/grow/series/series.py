"""Market series with their provenance: who says so, under which licence, as of when, and on which base.

    series = read_series("chatbots.csv")
    times, entities, values = series.matrix("share of visits")     # missing is nan, never 0

A file is CSV with a header of provenance, or Parquet with the same in its metadata:

    # source: StatCounter Global Stats, AI Chatbot Market Share, https://gs.statcounter.com
    # licence: CC BY-SA 3.0
    # as_of: 2026-03-31
    time,entity,segment,measure,value,unit
    2025-04,ChatGPT,world,share of visits,84.21,percent

`measure` names the base. Shares of revenue, of tokens, of visits and of users are different measures; nothing here
adds or compares across two of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from noria.core.errors import InputError, RowError, unknown
from noria.core.messages import message, name_of
from noria.text.records import read_records
from noria.text.sources import Source

from .calendars import between, regular
from .cells import MARKS, Flag, PointReader
from .headed import Headed, kind_of, read_table
from .provenance import Provenance as Provenance
from .provenance import keep_options, kept_options, provenance_of
from .shapes import SeriesOptions, shaped_rows
from .units import scale_of

COLUMNS = ("time", "entity", "segment", "measure", "value", "unit")
SCHEMA = pa.schema(
    [
        ("time", pa.string()),
        ("entity", pa.string()),
        ("segment", pa.string()),
        ("measure", pa.string()),
        ("value", pa.float64()),
        ("unit", pa.string()),
        *((name, pa.string()) for name in MARKS),
    ]
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """One published value."""

    time: str
    """YYYY, YYYY-MM or YYYY-MM-DD: the period, told by its first day; all points of a series have one form."""
    entity: str
    segment: str
    measure: str
    """What is counted and, for a share, on which base."""
    value: float | None
    """None is missing."""
    unit: str
    provisional: bool = False
    """The publisher may still revise it."""
    broken: bool = False
    """Not comparable with the period before: tracking began, or a definition changed. Column `break`."""


@dataclass(frozen=True)
class Series:
    """Points in order of time, and their provenance."""

    points: tuple[Point, ...]
    provenance: Provenance
    flags: tuple[Flag, ...] = ()
    """What was found in the file and what was done about it."""

    @property
    def measures(self) -> tuple[str, ...]:
        """The measures present, in order of appearance."""
        return tuple(dict.fromkeys(point.measure for point in self.points))

    @property
    def segments(self) -> tuple[str, ...]:
        """The segments present, in order of appearance."""
        return tuple(dict.fromkeys(point.segment for point in self.points))

    def only(self, measure: str | None = None, segment: str | None = None) -> Series:
        """Return the points of one measure and one segment; either may be left out where the series has just one.

        Raises:
            SettingError: no such measure or segment.
            InputError: left out although there are several: they must not be mixed.
        """
        measure = _one("measure", measure, self.measures)
        segment = _one("segment", segment, self.segments)
        kept = tuple(point for point in self.points if point.measure == measure and point.segment == segment)
        if not kept:
            raise InputError(
                message("grow.points_measure", measure=measure, segment=segment), found=self.provenance.source
            )
        return replace(self, points=kept)

    def matrix(self, measure: str | None = None, segment: str | None = None) -> tuple[list[str], list[str], Floats]:
        """Return times, entities and values, (times x entities); nan where a value is missing.

        Times run in even steps without a gap: one for which nothing was published is a row of nan. Entities are in order of
        their latest value, the largest first.
        """
        chosen = self.only(measure, segment)
        times = between(point.time for point in chosen.points)
        place = {time: row for row, time in enumerate(times)}
        entities = list(dict.fromkeys(point.entity for point in chosen.points))
        values = np.full((len(times), len(entities)), np.nan)
        for point in chosen.points:
            if point.value is not None:
                values[place[point.time], entities.index(point.entity)] = point.value
        latest = [_latest(values[:, column]) for column in range(len(entities))]
        order = sorted(range(len(entities)), key=lambda column: (-latest[column], entities[column]))
        return times, [entities[column] for column in order], values[:, order]

    @property
    def unit(self) -> str:
        """The unit of a series of one measure."""
        return self.points[0].unit

    @property
    def provisional_times(self) -> tuple[str, ...]:
        """The times with a value that may still be revised."""
        return tuple(dict.fromkeys(point.time for point in self.points if point.provisional))


def read_series(path: str | Path, options: SeriesOptions | None = None) -> Series:
    """Return the series in a table of text, a spreadsheet or a Parquet file; `flags` tell what was understood in a way of its own.

    A text may be in any encoding and dialect that `noria.text` reads, and any file packed or not. Every row is a point, or the file is refused
    with the row's line and the reason. Columns may have names of their own, and times or entities may stand side by side.

    Args:
        path: the file.
        options: what the person says of it. It is kept beside the file, so that it need not be said again.

    Raises:
        InputError: no such file, no provenance, or no points.
        RowError: a row that breaks the contract: names file, line and field.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(message("grow.such_series"), found=str(path), allowed=message("grow.csv_xlsx"))
    given = options or SeriesOptions()
    options, kept = kept_options(path, given)
    kind = kind_of(path)
    table = (
        _parquet(path) if kind == "parquet" else _json(path) if kind in ("lines", "json") else read_table(path, COLUMNS)
    )
    shaped = shaped_rows(table, options, path)
    standard = {"time", "entity", "value"} <= set(table.columns)
    flags = [*table.flags(SCHEMA.names if standard else table.columns), *shaped.flags]
    provenance, more = provenance_of(table.head, kept, options, path, shaped.source)
    series = _series(shaped.rows, provenance, path, [*flags, *more], options, commas_divide=table.delimiter == ",")
    return replace(series, flags=(*series.flags, *keep_options(path, given, options, provenance)))


def _json(path: Path) -> Headed:
    """Return the rows of JSON or of JSON Lines.

    Raises:
        RowError: a line that is none.
    """
    rows = []
    for line, record in read_records(path):
        if isinstance(record, RowError):
            raise record
        rows.append((line, {name: "" if value is None else str(value) for name, value in record.items()}))
    names = tuple(dict.fromkeys(name for _, row in rows for name in row))
    return Headed({}, rows, names, ",", "utf-8")


def _parquet(path: Path) -> Headed:
    try:
        table = pq.read_table(pa.BufferReader(Source(str(path)).read()))
    except (pa.ArrowException, OSError) as error:
        raise InputError(message("errors.unreadable", path=path), found=str(error).splitlines()[0]) from None
    head = json.loads((table.schema.metadata or {}).get(b"noria.series", b"{}"))
    if "" in table.column_names:  # the corner of a pivot table
        table = table.rename_columns([name or "name" for name in table.column_names])
    rows = [
        (line, {name: "" if value is None else str(value) for name, value in row.items()})
        for line, row in enumerate(table.to_pylist(), 1)
    ]
    return Headed(head, rows, tuple(table.column_names), ",", "utf-8")


def _series(
    rows: Sequence[tuple[int, dict[str, str]]],
    provenance: Provenance,
    path: Path,
    flags: list[Flag],
    options: SeriesOptions,
    *,
    commas_divide: bool,
) -> Series:
    reader = PointReader(
        rows,
        path,
        commas_divide=commas_divide,
        date_order=options.date_order,
        decimal=options.decimal,
        zone=options.zone,
    )
    points: dict[tuple[str, str, str, str], Point] = {}
    form: int | None = None
    for line, row in rows:
        point = Point(*reader.fields(line, row))
        parts = len(point.time.split("-"))
        if form not in (None, parts):
            raise RowError(message("grow.times_one"), file=path, line=line, field="time", found=point.time)
        form = parts
        key = (point.time, point.entity, point.segment, point.measure)
        if key in points:
            raise RowError(
                message("grow.point_came"),
                file=path,
                line=line,
                found=" ".join(key),
                hint=message("grow.names_differ"),
            )
        points[key] = point
    if not points:
        raise InputError(message("grow.holds_points", path=path))
    kept, more = _regular(list(points.values()))
    series = Series(tuple(sorted(kept, key=lambda point: point.time)), provenance, (*flags, *reader.flags(), *more))
    for measure in series.measures:
        units = {point.unit for point in series.points if point.measure == measure}
        scales = {scale_of(unit) for unit in units}
        if len(units) > 1 and (None in scales or len(scales) > 1):  # % and percent are one
            raise InputError(
                message("grow.measure_several", path=path, measure=measure),
                found=", ".join(sorted(units)),
                allowed=message("grow.one"),
            )
    return series


def _regular(points: list[Point]) -> tuple[list[Point], list[Flag]]:
    """Return points of measures whose days wander within their month or week with the month or the weekday instead."""
    flags, names = [], {}
    for measure in dict.fromkeys(point.measure for point in points):
        moved = regular(point.time for point in points if point.measure == measure)
        if not moved:
            continue
        names[measure] = moved
        first, last = min(moved), max(moved)
        flags.append(
            Flag(
                "step",
                "",
                message(
                    "flags.step.days_wander",
                    measure=measure,
                    unit=message(f"units.one.{'month' if len(moved[first]) == 7 else 'week'}"),
                    first=moved[first],
                    last=moved[last],
                ),
            )
        )
    if (
        len(
            {len(moved[time]) for moved in names.values() for time in moved}
            | ({10} if len(names) < len({p.measure for p in points}) else set())
        )
        > 1
    ):
        return points, []  # one grid of times holds all measures: as they stand, then
    return [replace(point, time=names.get(point.measure, {}).get(point.time, point.time)) for point in points], flags


def _one(kind: str, name: str | None, names: tuple[str, ...]) -> str:
    if name is None:
        if len(names) > 1:
            raise InputError(
                message("grow.series_several_must", kind=name_of(kind)),
                found=", ".join(names),
                allowed=message("grow.one_them"),
                hint=message("grow.name_one_3", value="measure" if kind == "measure" else "market"),
            )
        return names[0]
    if name not in names:
        raise unknown(kind, name, names)
    return name


def _latest(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known[-1]) if known.size else -math.inf
