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
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from noria.core.errors import InputError, RowError, unknown
from noria.core.messages import Message, joined, message
from noria.text.sources import Source

from .calendars import between, regular
from .cells import MARKS, Flag, PointReader, kind_of, read_headed
from .units import scale_of

COLUMNS = ("time", "entity", "segment", "measure", "value", "unit")
_HEADER = ("source", "licence", "as_of", "changes", "notice")
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
class Provenance:
    """Where a series came from."""

    source: str
    """Who published it, where."""
    licence: str
    as_of: date
    """The day on which the publisher's figures stood as they are here."""
    changes: str = ""
    """What was changed against the source."""
    notice: str = ""
    """Name of the file with the licence's notice, beside the series."""
    days: Message | None = None
    """Whose days, weeks and months its times are, where they were counted here."""

    def text(self) -> Message:
        """Return the citation that goes under a chart."""
        cited = message("series.cited", source=self.source, licence=self.licence, as_of=self.as_of.isoformat())
        return joined("join.nothing", [cited, message("log.cited_days", days=self.days)]) if self.days else cited


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


def read_series(path: str | Path) -> Series:
    """Return the series in a table of text, a spreadsheet or a Parquet file; `flags` tell what was understood in a way of its own.

    A text may be in any encoding and dialect that `noria.text` reads, and any file packed or not. Every row is a point, or the file is refused
    with the row's line and the reason.

    Raises:
        InputError: no such file, no provenance, or no points.
        RowError: a row that breaks the contract: names file, line and field.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(message("grow.such_series"), found=str(path), allowed=message("grow.csv_xlsx"))
    if kind_of(path) == "parquet":
        return _read_parquet(path)
    table = read_headed(path, COLUMNS)
    return _series(table.rows, table.head, path, table.flags(set(SCHEMA.names)), commas_divide=table.delimiter == ",")


def _read_parquet(path: Path) -> Series:
    try:
        table = pq.read_table(pa.BufferReader(Source(str(path)).read()))
    except (pa.ArrowException, OSError) as error:
        raise InputError(message("errors.unreadable", path=path), found=str(error).splitlines()[0]) from None
    head = json.loads((table.schema.metadata or {}).get(b"noria.series", b"{}"))
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise InputError(
            message("grow.lacks_columns_series", path=path), found=", ".join(table.column_names), allowed=COLUMNS
        )
    rows = [
        (line, {name: "" if value is None else str(value) for name, value in row.items()})
        for line, row in enumerate(table.to_pylist(), 1)
    ]
    return _series(rows, head, path, [], commas_divide=True)


def _series(
    rows: Sequence[tuple[int, dict[str, str]]],
    head: dict[str, str],
    path: Path,
    flags: list[Flag],
    *,
    commas_divide: bool,
) -> Series:
    provenance = _provenance(head, path)
    reader = PointReader(rows, path, commas_divide=commas_divide)
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


def _provenance(head: dict[str, str], path: Path) -> Provenance:
    missing = [key for key in ("source", "licence", "as_of") if not head.get(key)]
    if missing:
        raise InputError(
            message("grow.does_say", path=path),
            found="no " + ", no ".join(missing),
            allowed=message("grow.lines_such"),
        )
    extra = [key for key in head if key not in _HEADER]
    if extra:
        raise unknown("key of provenance", extra[0], _HEADER)
    try:
        as_of = date.fromisoformat(head["as_of"])
    except ValueError:
        raise InputError(message("grow.day", path=path), found=head["as_of"], allowed="YYYY-MM-DD") from None
    return Provenance(head["source"], head["licence"], as_of, head.get("changes", ""), head.get("notice", ""))


def _one(kind: str, name: str | None, names: tuple[str, ...]) -> str:
    if name is None:
        if len(names) > 1:
            raise InputError(
                message("grow.series_several_must", kind=kind),
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
