"""Events, sealed and not yet sealed, as one table: each event once, told by its id.

    table = events("runs/demo/lake")
    table.group_by("app").agg(requests=table.count()).to_pyarrow()

Nothing here writes to the lake. Times leave it as UTC without a zone, so that no engine's own zone can move a day.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import ibis
import pyarrow as pa

from noria.lake.event import FACTS
from noria.lake.read import ARROW, check_lake, outboxes, read_outbox, sealed_columns, sealed_files

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

SCHEMA = pa.schema([ARROW.field(name) for name in FACTS])
"""What analytics read of an event, in Arrow: all but what was said."""


def connect(threads: int | None = None, memory: str | None = None) -> Backend:
    """Return a DuckDB inside this process, with every session setting that a result could depend on fixed.

    Args:
        threads: how many to use; as many as there are cores where not given.
        memory: how much it may hold before it goes on in files, such as "2GB"; a quarter of the machine's where not given.
    """
    connection = ibis.duckdb.connect(**({"threads": threads} if threads else {}))
    memory = memory or f"{max(_memory_bytes() // 4, 1 << 30) >> 20}MiB"
    spill = (Path(tempfile.gettempdir()) / f"noria-duckdb-{os.getpid()}").as_posix().replace("'", "''")
    connection.con.execute(
        "SET TimeZone = 'UTC'; SET enable_progress_bar = false; SET preserve_insertion_order = false; "
        f"SET memory_limit = '{memory}'; SET temp_directory = '{spill}'"
    )
    return connection


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def events(lake: str | Path, connection: Backend | None = None) -> ibis.Table:
    """Return all events of a lake as a table with the columns of `noria.lake.event.FACTS`, `time` as UTC.

    The lake may be written meanwhile: the table is what was acknowledged when it was asked for.

    Raises:
        InputError: there is no lake there, or one of its files cannot be read.
    """
    lake = check_lake(lake)
    connection = connection or connect()
    # The outbox is read first: an event sealed in between then stands in both and counts once. The other way round
    # it would stand in neither. DuckDB reads SQLite only through an extension it would have to download.
    waiting = pa.Table.from_batches(
        [batch for path in outboxes(lake) for batch in read_outbox(path, tuple(FACTS))], schema=SCHEMA
    )
    sealed = sealed_files(lake)
    for path in sealed:
        sealed_columns(path)  # DuckDB would name neither the file nor the fault, and only when it comes to it
    name = ibis.util.gen_name("waiting")
    connection.con.register(name, waiting)
    columns = ", ".join(
        "make_timestamp(epoch_us(time)) AS time" if column == "time" else f'"{column}"' for column in FACTS
    )
    query = f"SELECT {columns} FROM {name}"
    if sealed:
        listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in sealed)
        query += f" UNION ALL SELECT {columns} FROM read_parquet([{listed}], hive_partitioning = false)"
    table = connection.sql(query, dialect="duckdb")
    return table.distinct(on="id", keep="first").select(*FACTS)
