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

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from noria.core.errors import InputError, RowError, unknown
from noria.core.folder import write_bytes

from .calendars import between, is_time

COLUMNS = ("time", "entity", "segment", "measure", "value", "unit")
MARKS = ("provisional", "break")
"""Columns that may be absent; yes or nothing."""
_HEADER = ("source", "licence", "as_of", "changes", "notice")
_SCHEMA = pa.schema([("time", pa.string()), ("entity", pa.string()), ("segment", pa.string()), ("measure", pa.string()),
                     ("value", pa.float64()), ("unit", pa.string()), *((name, pa.string()) for name in MARKS)])  # fmt: skip

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

    def text(self) -> str:
        """Return the citation that goes under a chart."""
        return f"{self.source} ({self.licence}), as of {self.as_of.isoformat()}"

    def texts(self) -> dict[str, str]:
        """Return the citation in English and in Chinese."""
        return {"en": self.text(), "zh": f"{self.source}（{self.licence}），截至 {self.as_of.isoformat()}"}


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
class Flag:
    """Something that a reader of a series, or of what is made of it, must know."""

    code: str
    """Of a file: spelling, blank, step, encoding ...; of a market: total, others, unit, bounded, missing, entry ..."""
    time: str
    """Where it holds; nothing where it holds of all."""
    en: str
    zh: str

    def texts(self) -> dict[str, str]:
        """Return the flag with its time, in English and in Chinese."""
        return {
            "en": f"{self.time}: {self.en}" if self.time else self.en,
            "zh": f"{self.time}：{self.zh}" if self.time else self.zh,
        }


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
            raise InputError(f"no points of measure {measure!r} in segment {segment!r}", found=self.provenance.source)
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
    """Return the series in a CSV or Parquet file.

    Raises:
        InputError: no such file, no provenance, or no points.
        RowError: a row that breaks the contract: names file, line and field.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such series", found=str(path), allowed="a CSV or Parquet file")
    if path.suffix == ".parquet":
        return _read_parquet(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8", found=str(error)) from None
    head: dict[str, str] = {}
    for line in lines:
        if not line.startswith("#"):
            break
        key, _, value = line[1:].partition(":")
        head[key.strip()] = value.strip()
    skipped = sum(1 for _ in _leading(lines))
    rows = csv.DictReader(lines[skipped:])
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or [])]
    if missing:
        raise InputError(
            f"{path} lacks columns of a series", found=", ".join(rows.fieldnames or ["no header"]), allowed=COLUMNS
        )
    return _series(((skipped + rows.line_num, row) for row in rows), head, path)


def write_series(series: Series, path: str | Path) -> None:
    """Write a series as CSV, or as Parquet where the name ends so; whole or not at all."""
    path = Path(path)
    head = {key: str(value) for key, value in asdict(series.provenance).items() if value}
    if path.suffix == ".parquet":
        rows = [dict(zip(_SCHEMA.names, _row(point), strict=True)) for point in series.points]
        table = pa.Table.from_pylist(rows, _SCHEMA)
        sink = pa.BufferOutputStream()
        pq.write_table(table.replace_schema_metadata({"noria.series": json.dumps(head, ensure_ascii=False)}), sink)
        write_bytes(path, sink.getvalue().to_pybytes())
        return
    out = io.StringIO()
    out.writelines(f"# {key}: {value}\n" for key, value in head.items())
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_SCHEMA.names)
    writer.writerows(_row(point) for point in series.points)
    write_bytes(path, out.getvalue().encode())


def _row(point: Point) -> list[str | float | None]:
    marks = ["yes" if mark else "" for mark in (point.provisional, point.broken)]
    return [point.time, point.entity, point.segment, point.measure, point.value, point.unit, *marks]


def _leading(lines: Sequence[str]) -> Iterable[str]:
    for line in lines:
        if not line.startswith("#"):
            return
        yield line


def _read_parquet(path: Path) -> Series:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read", found=str(error).splitlines()[0]) from None
    head = json.loads((table.schema.metadata or {}).get(b"noria.series", b"{}"))
    missing = [name for name in COLUMNS if name not in table.column_names]
    if missing:
        raise InputError(f"{path} lacks columns of a series", found=", ".join(table.column_names), allowed=COLUMNS)
    return _series(enumerate(table.to_pylist(), 1), head, path)


def _series(rows: Iterable[tuple[int, dict[str, object]]], head: dict[str, str], path: Path) -> Series:
    provenance = _provenance(head, path)
    points: dict[tuple[str, str, str, str], Point] = {}
    form: int | None = None
    for line, row in rows:
        point = _point(row, path, line)
        parts = len(point.time.split("-"))
        if form not in (None, parts):
            raise RowError("times of one series have one form", file=path, line=line, field="time", found=point.time)
        form = parts
        key = (point.time, point.entity, point.segment, point.measure)
        if key in points:
            raise RowError("this point came before", file=path, line=line, found=" ".join(key))
        points[key] = point
    if not points:
        raise InputError(f"{path} holds no points")
    series = Series(tuple(sorted(points.values(), key=lambda point: point.time)), provenance)
    for measure in series.measures:
        units = {point.unit for point in series.points if point.measure == measure}
        if len(units) > 1:
            raise InputError(
                f"{path}: measure {measure!r} has several units", found=", ".join(sorted(units)), allowed="one"
            )
    return series


def _provenance(head: dict[str, str], path: Path) -> Provenance:
    missing = [key for key in ("source", "licence", "as_of") if not head.get(key)]
    if missing:
        raise InputError(f"{path} does not say where its figures come from", found="no " + ", no ".join(missing),
                         allowed="lines such as '# source: ...' before the columns")  # fmt: skip
    extra = [key for key in head if key not in _HEADER]
    if extra:
        raise unknown("key of provenance", extra[0], _HEADER)
    try:
        as_of = date.fromisoformat(head["as_of"])
    except ValueError:
        raise InputError(f"{path}: as_of is not a day", found=head["as_of"], allowed="YYYY-MM-DD") from None
    return Provenance(head["source"], head["licence"], as_of, head.get("changes", ""), head.get("notice", ""))


def _point(row: dict[str, object], path: Path, line: int) -> Point:
    text = {name: str(row.get(name) if row.get(name) is not None else "").strip() for name in (*COLUMNS, *MARKS)}
    for name in ("time", "entity", "measure", "unit"):
        if not text[name]:
            raise RowError("empty", file=path, line=line, field=name)
    if not is_time(text["time"]):
        raise RowError("not a time", file=path, line=line, field="time", found=text["time"], allowed="YYYY, YYYY-MM or YYYY-MM-DD, 1900 to 2200")  # fmt: skip
    value: float | None = None
    if text["value"]:
        try:
            value = float(text["value"])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise RowError("not a number", file=path, line=line, field="value", found=text["value"], allowed="a number, or nothing where it is missing")  # fmt: skip
        if value < 0:
            raise RowError("negative", file=path, line=line, field="value", found=value, allowed="0 or more")
    marks = []
    for name in MARKS:
        if text[name].lower() not in ("", "no", "yes"):
            raise RowError(
                "not yes or no", file=path, line=line, field=name, found=text[name], allowed="yes, no or nothing"
            )
        marks.append(text[name].lower() == "yes")
    return Point(text["time"], text["entity"], text["segment"], text["measure"], value, text["unit"], *marks)


def _one(kind: str, name: str | None, names: tuple[str, ...]) -> str:
    if name is None:
        if len(names) > 1:
            raise InputError(f"the series has several {kind}s, which must not be mixed", found=", ".join(names),
                             allowed="one of them", hint="name one")  # fmt: skip
        return names[0]
    if name not in names:
        raise unknown(kind, name, names)
    return name


def _latest(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(known[-1]) if known.size else -math.inf
