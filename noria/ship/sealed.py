"""Sealed events: Parquet files by UTC day, written once and never changed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from noria.core.event import COLUMNS


def write_events(target: Path, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write rows (in the order of `COLUMNS`, time in microseconds) as one Parquet file: whole, on the disk, or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    target.parent.mkdir(parents=True, exist_ok=True)
    arrays = []
    for column, kind in zip(zip(*rows, strict=True), COLUMNS.values(), strict=True):
        values = map(bool, column) if kind == "BOOLEAN" else column  # SQLite keeps 0 and 1
        arrays.append(pa.array(list(values), type=_arrow(kind)))
    table = pa.table(dict(zip(COLUMNS, arrays, strict=True)))
    work = target.with_name(f".{target.name}.part")
    try:
        with work.open("wb") as stream:
            pq.write_table(table, stream, compression="zstd")
            stream.flush()
            os.fsync(stream.fileno())
        work.replace(target)
    finally:
        work.unlink(missing_ok=True)
    for folder in (target.parent, target.parent.parent):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def clear_unfinished(folder: Path) -> None:
    """Remove what a killed writer left in a day's folder."""
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)


def day_files(lake: Path) -> Iterator[list[Path]]:
    """Yield the sealed files of every day."""
    for folder in sorted((lake / "events").glob("day=*")):
        yield sorted(folder.glob("*.parquet"))


def ids_of(path: Path) -> list[str]:
    """Return the ids in one file."""
    import pyarrow.parquet as pq

    return [str(value) for value in pq.ParquetFile(path).read(columns=["id"]).column("id").to_pylist()]


def known_ids(folder: Path, ids: Sequence[str]) -> set[str]:
    """Return those of the sorted `ids` that a file of the day holds already.

    Ids sort by time, so files mostly hold ranges apart from each other and their statistics rule them out unread.
    """
    import pyarrow.parquet as pq

    found: set[str] = set()
    for path in sorted(folder.glob("*.parquet")):
        file = pq.ParquetFile(path)
        ranges = [file.metadata.row_group(group).column(0).statistics for group in range(file.num_row_groups)]
        if any(one is None or (one.min <= ids[-1] and one.max >= ids[0]) for one in ranges):
            found.update(set(ids).intersection(ids_of(path)))
    return found


def _arrow(kind: str) -> Any:
    import pyarrow as pa

    return {
        "TEXT": pa.string(), "TIMESTAMP": pa.timestamp("us", tz="UTC"), "BIGINT": pa.int64(), "DOUBLE": pa.float64(),
        "BOOLEAN": pa.bool_(),
    }[kind]  # fmt: skip
