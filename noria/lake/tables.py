"""Rows for other programs, as CSV, JSON lines or Parquet: made piece by piece, so that a table of any length takes no more memory than some rows.

    for piece in pieces("csv", schema, batches):           # bytes
        out.write(piece)

Rows come some at a time, as Arrow batches or lists of dicts. A cell that a spreadsheet would take for a formula is CSV with a mark before it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

Format = Literal["csv", "parquet", "jsonl"]
KINDS: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "jsonl": "application/x-ndjson",
}
"""Format -> its media type."""
Row = dict[str, Any]
Some: TypeAlias = "pa.RecordBatch | Sequence[Row]"
_LEADS = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet takes for a formula."""


def pieces(format: Format, schema: pa.Schema, rows: Iterable[Some]) -> Iterator[bytes]:
    """Yield a table, some rows at a time.

    Args:
        format: how it is written.
        schema: its columns.
        rows: some at a time.
    """
    return {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}[format](schema, rows)


def _csv(schema: pa.Schema, rows: Iterable[Some]) -> Iterator[bytes]:
    """Yield CSV in UTF-8, with a mark by which spreadsheets know it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(schema.names)
    yield ("\ufeff" + out.getvalue()).encode()
    for some in rows:
        out.seek(0)
        out.truncate()
        writer.writerows([_cell(row[name]) for name in schema.names] for row in _listed(some))
        yield out.getvalue().encode("utf-8", "replace")


def _jsonl(schema: pa.Schema, rows: Iterable[Some]) -> Iterator[bytes]:
    for some in rows:
        lines = [
            json.dumps({name: _plain(row[name]) for name in schema.names}, ensure_ascii=False) for row in _listed(some)
        ]
        yield "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def _parquet(schema: pa.Schema, rows: Iterable[Some]) -> Iterator[bytes]:
    sink = _Pieces()
    with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), schema, compression="zstd") as writer:
        for some in rows:
            if isinstance(some, pa.RecordBatch):
                writer.write_batch(some)
            else:
                writer.write_table(pa.Table.from_pylist(list(some), schema))
            yield sink.taken()
    yield sink.taken()


class _Pieces(io.RawIOBase):
    """A file that is only ever written on, and whose bytes are taken away as they come."""

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._held.append(bytes(content))
        self._at += len(self._held[-1])
        return len(self._held[-1])

    def tell(self) -> int:
        return self._at

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        held, self._held = self._held, []
        return b"".join(held)


def _listed(some: Some) -> Sequence[Row]:
    if isinstance(some, pa.RecordBatch):
        rows: Sequence[Row] = some.to_pylist()
        return rows
    return some


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_LEADS):
        return f"'{value}"
    return _plain(value)


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value
