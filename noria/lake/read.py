"""The lake's files read as they lie: outboxes and sealed days, of any schema version, in batches of bounded size.

    for batch in scan("runs/lake", ("id", "kind", "subject")):     # pyarrow batches; an event may come twice
        ...

Nothing here writes. Outboxes are read before sealed files: an event that is sealed in between then comes twice, told by
its id. The other way round it would not come at all.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from noria.core.errors import InputError
from noria.core.messages import message

from .event import COLUMNS, OUTBOX_TABLE, SCHEMA, Event

BATCH = 20_000
"""Most events in a batch: about 20 MB while it is made."""
VERSION_KEY = b"noria.schema"
"""Key of a Parquet file's metadata that holds the version of its columns; files of version 1 have none."""
_TYPES = {
    "TEXT": pa.string(),
    "TIMESTAMP": pa.timestamp("us", "UTC"),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
}
ARROW = pa.schema([(name, _TYPES[kind]) for name, kind in COLUMNS.items()], {VERSION_KEY: str(SCHEMA).encode()})
"""An event in Arrow, and in the lake's Parquet files."""
ADDED: dict[str, str | None] = {"text": "", "propensity": None}
"""Columns that earlier versions had not, and what their events hold there."""


def outboxes(lake: str | Path) -> list[Path]:
    """Return the outboxes of a lake."""
    return sorted((Path(lake) / "outbox").glob("*.sqlite"))


def sealed_files(lake: str | Path) -> list[Path]:
    """Return the sealed files of a lake, oldest day first; what is only half written is not among them."""
    return sorted(path for path in (Path(lake) / "events").glob("day=*/*.parquet") if not path.name.startswith("."))


def check_lake(lake: str | Path) -> Path:
    """Return the lake's folder.

    Raises:
        InputError: there is no lake there.
    """
    lake = Path(lake)
    if not (lake / "events").is_dir() and not (lake / "outbox").is_dir():
        raise InputError(
            message("lake.lake_events"),
            found=str(lake),
            allowed=message("lake.folder_holds"),
            hint=message("lake.noria_ship"),
        )
    return lake


def scan(lake: str | Path, columns: Sequence[str] = tuple(COLUMNS)) -> Iterator[pa.RecordBatch]:
    """Yield all events, those in outboxes first; whether one comes twice is for the caller to see by its id.

    Raises:
        InputError: there is no lake, or one of its files cannot be read.
    """
    lake = check_lake(lake)
    for path in outboxes(lake):
        yield from read_outbox(path, columns)
    for path in sealed_files(lake):
        yield from read_sealed(path, columns)


def recall(lake: str | Path, kinds: Collection[str], subjects: Collection[str], earliest: datetime) -> list[Event]:
    """Return the events of some kinds about some subjects since `earliest`, UTC, that went well: in order of time, each once.

    Of an event only id, time, kind, user, tenant, app, segment, subject and value are read. Sealed days before are not opened.

    Raises:
        InputError: there is no lake, or one of its files cannot be read.
    """
    columns = ("id", "time", "kind", "user", "tenant", "app", "segment", "subject", "value", "outcome")
    lake, first_day = check_lake(lake), earliest.strftime("day=%Y-%m-%d")
    days = [path for path in sealed_files(lake) if path.parent.name >= first_day]
    found: dict[str, Event] = {}
    among = pa.array(list(subjects), pa.string())
    for batch in chain.from_iterable(
        [*(read_outbox(path, columns) for path in outboxes(lake)), *(read_sealed(path, columns) for path in days)]
    ):
        wanted = pc.and_(
            pc.and_(pc.is_in(batch["kind"], pa.array(list(kinds))), pc.is_in(batch["subject"], among)),
            pc.and_(
                pc.equal(batch["outcome"], "ok"),
                pc.greater_equal(batch["time"], pa.scalar(earliest, batch["time"].type)),
            ),
        )
        found |= {row["id"]: Event(**row) for row in batch.filter(wanted).to_pylist()}
    return sorted(found.values(), key=lambda event: (event.time, event.id))


def read_outbox(path: Path, columns: Sequence[str] = tuple(COLUMNS)) -> Iterator[pa.RecordBatch]:
    """Yield the events in an outbox as they stood at one moment, while its server goes on writing.

    Raises:
        InputError: it cannot be read, is no outbox, or was written by a newer Noria.
    """
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
        try:
            _check_version(path, connection.execute("PRAGMA user_version").fetchone()[0])
            there = {row[1] for row in connection.execute(f"PRAGMA table_info({OUTBOX_TABLE})")}
            if not there:  # a server that has just started and stored nothing yet
                return
            names = ", ".join(
                f'"{name}"' if name in there else "NULL" if ADDED[name] is None else f"'{ADDED[name]}'"
                for name in columns
            )
            cursor = connection.execute(f"SELECT {names} FROM {OUTBOX_TABLE}")
            while rows := cursor.fetchmany(BATCH):
                yield batch_of(rows, columns)
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        raise InputError(message("errors.unreadable", path=path), found=str(error)) from None
    except sqlite3.DatabaseError as error:
        raise InputError(message("lake.outbox", path=path), found=str(error)) from None


def batch_of(rows: Sequence[tuple[Any, ...]], columns: Sequence[str] = tuple(COLUMNS)) -> pa.RecordBatch:
    """Return rows as SQLite keeps them (time in microseconds, 0 and 1 for no and yes) as one Arrow batch."""
    schema = pa.schema([ARROW.field(name) for name in columns])
    arrays = [_array(values, kind) for values, kind in zip(zip(*rows, strict=True), schema.types, strict=True)]
    return pa.record_batch(arrays, schema=schema)


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_boolean(kind):
        return pa.array(list(map(bool, values)), kind)
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(kind)
    return pa.array(values, kind)


def sealed_columns(path: Path) -> list[str]:
    """Return the columns of an event that a sealed file has, after reading its footer.

    Raises:
        InputError: it cannot be read, lacks a column, or was written by a newer Noria.
    """
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            message("errors.unreadable", path=path),
            found=str(error).splitlines()[0],
            hint=message("lake.move_away"),
        ) from None
    _check_version(path, version_of(schema))
    missing = set(COLUMNS) - set(schema.names) - set(ADDED)
    if missing:
        raise InputError(message("lake.lacks_columns", path=path), found="no " + ", ".join(sorted(missing)))
    return [name for name in COLUMNS if name in schema.names]


def read_sealed(path: Path, columns: Sequence[str] = tuple(COLUMNS)) -> Iterator[pa.RecordBatch]:
    """Yield the events of a sealed file; columns that its version had not are empty.

    Raises:
        InputError: as `sealed_columns`.
    """
    there = [name for name in sealed_columns(path) if name in columns]
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(BATCH, columns=there):
            yield filled(batch, columns)


def filled(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    """Return a batch of a sealed file with the columns that were asked for; those that its version had not are empty."""
    arrays = [
        batch.column(name)
        if name in batch.schema.names
        else pa.repeat(pa.scalar(ADDED[name], ARROW.field(name).type), batch.num_rows)
        for name in columns
    ]
    return pa.record_batch(arrays, schema=pa.schema([ARROW.field(name) for name in columns]))


def version_of(schema: pa.Schema) -> int:
    """Return the version of a sealed file's columns."""
    return int((schema.metadata or {}).get(VERSION_KEY, b"1"))


def _check_version(path: Path, version: int) -> None:
    if version > SCHEMA:
        raise InputError(
            message("errors.newer", path=path),
            found=message("lake.schema", version=version),
            allowed=message("lake.up", schema=SCHEMA),
        )
