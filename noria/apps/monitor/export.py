"""What the monitor knows, as files for other programs: windows, alerts, stories and texts as CSV or Parquet, some rows at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import datetime
from tempfile import TemporaryFile
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from starlette.responses import StreamingResponse

from noria.lake.texts import KeptText

from .stories import Story

_PIECE = 1 << 18
_KINDS = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet"}
_LEADS = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet takes for a formula."""
Row = dict[str, Any]
_MOMENT, _TEXT, _COUNT, _NUMBER = pa.timestamp("us", "UTC"), pa.string(), pa.int64(), pa.float64()
TABLES: dict[str, tuple[str, pa.Schema]] = {
    "windows": (
        "start",
        pa.schema(
            {
                "start": _MOMENT,
                "of": _TEXT,
                "name": _TEXT,
                "texts": _COUNT,
                "negatives": _COUNT,
                "reposts": _COUNT,
                "surge": pa.bool_(),
            }
        ),
    ),
    "alerts": (
        "start",
        pa.schema(
            dict.fromkeys(("id", "kind", "of", "topic"), _TEXT)
            | dict.fromkeys(("start", "end"), _MOMENT)
            | dict.fromkeys(("found", "expected", "low", "high", "p", "a_week", "history_hours"), _NUMBER)
            | dict.fromkeys(("negative", "total", "reposts"), _COUNT)
            | dict.fromkeys(("verdict", "by"), _TEXT)
        ),
    ),
    "stories": (
        "last",
        pa.schema(
            {"id": _TEXT, "time": _MOMENT, "last": _MOMENT, "texts": _COUNT, "authors": _COUNT}
            | dict.fromkeys(("sources", "source", "author", "link", "text"), _TEXT)
        ),
    ),
    "texts": (
        "time",
        pa.schema(
            {"id": _TEXT, "time": _MOMENT}
            | dict.fromkeys(("source", "author", "topic", "label"), _TEXT)
            | {"score": _NUMBER}
            | dict.fromkeys(("story", "link", "entities", "text"), _TEXT)
        ),
    ),
}
"""What can be taken away: its time, and its columns."""


def sent(what: str, format: Literal["csv", "parquet"], rows: Iterator[list[Row]]) -> StreamingResponse:
    """Return a table as the answer to a request, written to a file that has no name and goes with the answer.

    Args:
        what: one of `TABLES`.
        format: how it is written.
        rows: some at a time.
    """
    file: IO[bytes] = TemporaryFile()  # noqa: SIM115 - it is closed with the last piece that is sent
    (write_csv if format == "csv" else write_parquet)(file, TABLES[what][1], rows)
    length = str(file.tell())
    file.seek(0)
    headers = {"content-disposition": f'attachment; filename="{what}.{format}"', "content-length": length}
    return StreamingResponse(_pieces(file), media_type=_KINDS[format], headers=headers)


def write_csv(file: IO[bytes], schema: pa.Schema, rows: Iterator[list[Row]]) -> None:
    """Write rows as CSV in UTF-8, with a mark by which spreadsheets know it, and no cell that they would take for a formula."""
    out = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(schema.names)
    for some in rows:
        writer.writerows([_cell(row[name]) for name in schema.names] for row in some)
    out.detach()


def write_parquet(file: IO[bytes], schema: pa.Schema, rows: Iterator[list[Row]]) -> None:
    """Write rows as Parquet, some at a time."""
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for some in rows:
            writer.write_table(pa.Table.from_pylist(some, schema))


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(_LEADS):
        return f"'{value}"
    return value


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(_PIECE):
            yield piece


def text_row(text: KeptText) -> Row:
    """Return a kept text as a row."""
    return {**vars(text), "entities": "; ".join(text.entities)}


def window_rows(window: Mapping[str, Any]) -> Iterator[Row]:
    """Yield a row for every topic and name of a closed window."""
    start = datetime.fromisoformat(window["start"])
    for of, part in (("topic", "counts"), ("entity", "entities"), ("aspect", "aspects")):
        for name, one in window.get(part, {}).items():
            told = {"texts": one["total"], "negatives": one["negative"], "reposts": one.get("reposts", 0)}
            yield {"start": start, "of": of, "name": name, **told, "surge": bool(one.get("surge"))}


def alert_row(alert: Mapping[str, Any]) -> Row:
    """Return an alert as a row, without its texts."""
    row = {name: alert.get(name) for name in TABLES["alerts"][1].names}
    return row | {name: datetime.fromisoformat(alert[name]) for name in ("start", "end")}


def story_row(story: Story) -> Row:
    """Return a story as a row, with its first text."""
    row: Row = {name: story.first.get(name, "") for name in ("source", "author", "link", "text")}
    row |= {"id": story.id, "texts": story.texts, "authors": len(story.authors), "sources": "; ".join(story.sources)}
    return row | {"time": datetime.fromisoformat(story.first["time"]), "last": datetime.fromisoformat(story.last)}
