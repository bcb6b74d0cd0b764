"""Sealed events: Parquet files by UTC day, written whole; only an erasure ever replaces one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from noria.core.folder import sync

from .read import ARROW


def write_events(target: Path, batches: Iterable[pa.RecordBatch]) -> int:
    """Write batches as one Parquet file, a row group each: whole, on the disk, or not at all; return its events.

    Raises:
        OSError: the disk is full or cannot be written; an older file at `target` stays.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    work = target.with_name(f".{target.name}.part")
    rows = 0
    # An id hardly repeats: a dictionary of ids would only cost time and room.
    repeating = [name for name in ARROW.names if name not in ("id", "text", "subject")]
    try:
        with work.open("wb") as stream:
            with pq.ParquetWriter(stream, ARROW, compression="zstd", use_dictionary=repeating) as writer:
                for batch in batches:
                    writer.write_batch(batch)
                    rows += batch.num_rows
            stream.flush()
            os.fsync(stream.fileno())
        work.replace(target)
    finally:
        work.unlink(missing_ok=True)
    sync(target.parent)
    sync(target.parent.parent)
    return rows


def clear_unfinished(folder: Path) -> None:
    """Remove what a killed writer left in a day's folder."""
    for path in folder.glob(".*.part"):
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Group:
    """A row group of a sealed file, and the range its ids lie in."""

    path: Path
    number: int
    first: str
    last: str


def groups_of(folder: Path) -> list[Group]:
    """Return the row groups of a day's sealed files."""
    groups = []
    for path in sorted(folder.glob("*.parquet")):
        metadata = pq.read_metadata(path)
        for number in range(metadata.num_row_groups):
            told = metadata.row_group(number).column(0).statistics
            known = told is not None and told.has_min_max
            groups.append(Group(path, number, told.min if known else "", told.max if known else "\U0010ffff"))
    return groups


def known_ids(groups: Sequence[Group], ids: Sequence[str]) -> set[str]:
    """Return those of `ids` that a sealed file holds already.

    Ids sort by time, so groups mostly hold ranges apart from those asked and are ruled out unread.
    """
    first, last, asked = min(ids), max(ids), set(ids)
    found: set[str] = set()
    for group in groups:
        if group.first <= last and group.last >= first:
            with pq.ParquetFile(group.path) as file:
                found.update(asked.intersection(file.read_row_group(group.number, ["id"]).column(0).to_pylist()))
    return found
