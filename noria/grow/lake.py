"""Events, sealed and not yet sealed, as one table: each event once, told by its id.

    table = events("runs/demo/lake")
    table.group_by("app").agg(requests=table.count()).to_pyarrow()

Nothing here writes to the lake. Times leave it as UTC without a zone, so that no engine's own zone can move a day.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from noria.core.errors import InputError
from noria.core.event import COLUMNS, OUTBOX_TABLE

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

_ARROW = {
    "TEXT": pa.string(), "TIMESTAMP": pa.timestamp("us", "UTC"), "BIGINT": pa.int64(), "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
}  # fmt: skip
SCHEMA = pa.schema([(name, _ARROW[kind]) for name, kind in COLUMNS.items()])
"""An event in Arrow, and in the lake's Parquet files."""


def connect(threads: int | None = None) -> Backend:
    """Return a DuckDB inside this process, with every session setting that a result could depend on fixed."""
    connection = ibis.duckdb.connect(**({"threads": threads} if threads else {}))
    connection.con.execute(
        "SET TimeZone = 'UTC'; SET enable_progress_bar = false; SET preserve_insertion_order = false"
    )
    return connection


def events(lake: str | Path, connection: Backend | None = None) -> ibis.Table:
    """Return all events of a lake as a table with the columns of `noria.core.event.COLUMNS`, `time` as UTC.

    Raises:
        InputError: there is no lake there, or one of its files cannot be read.
    """
    lake = Path(lake)
    if not (lake / "events").is_dir() and not (lake / "outbox").is_dir():
        raise InputError("no lake of events there", found=str(lake), allowed="a folder that holds events/ or outbox/",
                         hint="noria ship serve writes one")  # fmt: skip
    connection = connection or connect()
    # The outbox is read first: an event sealed in between then stands in both and counts once. The other way round
    # it would stand in neither.
    waiting = pa.concat_tables([SCHEMA.empty_table(), *(_read_outbox(path) for path in _outboxes(lake))])
    sealed = sorted(path for path in (lake / "events").glob("day=*/*.parquet") if not path.name.startswith("."))
    for path in sealed:
        _check_sealed(path)
    name = ibis.util.gen_name("waiting")
    connection.con.register(name, waiting)
    columns = ", ".join(
        "make_timestamp(epoch_us(time)) AS time" if column == "time" else f'"{column}"' for column in COLUMNS
    )
    query = f"SELECT {columns} FROM {name}"
    if sealed:
        listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in sealed)
        query += f" UNION ALL SELECT {columns} FROM read_parquet([{listed}], hive_partitioning = false)"
    table = connection.sql(query, dialect="duckdb")
    return table.distinct(on="id", keep="first").select(*COLUMNS)


def _outboxes(lake: Path) -> list[Path]:
    return sorted((lake / "outbox").glob("*.sqlite"))


def _read_outbox(path: Path) -> pa.Table:
    # DuckDB reads SQLite only through an extension it would have to download; Python brings its own reader.
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=30)
        try:
            names = ", ".join(f'"{column}"' for column in COLUMNS)
            rows = connection.execute(f"SELECT {names} FROM {OUTBOX_TABLE}").fetchall()
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):  # a server that has just started and stored nothing yet
            return SCHEMA.empty_table()
        raise InputError(f"{path} cannot be read", found=str(error)) from None
    except sqlite3.DatabaseError as error:
        raise InputError(f"{path} is not an outbox", found=str(error)) from None
    arrays = (
        [_array(column, kind) for column, kind in zip(zip(*rows, strict=True), SCHEMA.types, strict=True)]
        if rows
        else []
    )
    return pa.table(arrays, schema=SCHEMA) if rows else SCHEMA.empty_table()


def _array(values: Sequence[object], kind: pa.DataType) -> pa.Array:
    if pa.types.is_boolean(kind):
        return pa.array([bool(value) for value in values], kind)
    if pa.types.is_timestamp(kind):
        return pa.array(values, pa.int64()).cast(kind)
    return pa.array(values, kind)


def _check_sealed(path: Path) -> None:
    """Read the file's footer: DuckDB would name neither the file nor the fault, and only when it comes to it."""
    try:
        missing = set(COLUMNS) - set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read", found=str(error).splitlines()[0],
                         hint="move it away; events still in the outbox are not lost") from None  # fmt: skip
    if missing:
        raise InputError(f"{path} lacks columns of an event", found="no " + ", ".join(sorted(missing)))
