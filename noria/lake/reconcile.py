"""The books of a lake: every event acknowledged lies in an outbox or in the lake, or was removed on purpose; no other, none twice.

books = reconcile("runs/lake")
books.exact                          # acknowledged = waiting + sealed + removed
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.errors import InputError, plain_errors
from noria.core.messages import message

from .event import OUTBOX_TABLE
from .store import storage

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_MEMORY = "400MB"
"""What counting may hold at once; above it, it goes by way of the disk."""
_CHUNK = 100_000


@dataclass(frozen=True)
class Reconciled:
    """The result of reconciling outboxes and lake: every event acknowledged must lie in an outbox or in the lake, and no other."""

    acknowledged: int
    """Events that outboxes have said yes to, ever."""
    waiting: int
    """Events in outboxes and not yet in the lake."""
    sealed: int
    """Events in the lake, told apart by id."""
    twice: int = 0
    """Rows of the lake that repeat an id: more than 0 is a fault."""
    removed: int = 0
    """Events that retention or a user's wish took away; see `noria.lake.erase`."""
    missing: int = 0
    """Ids that clients were told are stored, and that are in neither; see `reconcile`."""

    @property
    def lost(self) -> int:
        """Return by how many events there are fewer than acknowledged; below 0 where there are more."""
        return self.acknowledged - self.waiting - self.sealed - self.removed

    @property
    def exact(self) -> bool:
        """Return whether outbox and lake agree to the event."""
        return self.lost == self.twice == self.missing == 0

    def text(self) -> str:
        """Return the result on one line."""
        wrong = f"NOT exact: {self.lost:,} lost, {self.twice:,} twice, {self.missing:,} missing"
        return (
            f"{self.acknowledged:,} acknowledged = {self.waiting:,} in outboxes + {self.sealed:,} in the lake "
            f"+ {self.removed:,} removed: {'exact' if self.exact else wrong}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the result for programs."""
        return {**asdict(self), "lost": self.lost, "exact": self.exact}


def reconcile(lake: str | Path, acknowledged_ids: Iterable[str] = ()) -> Reconciled:
    """Return how all outboxes and the lake agree.

    A server may go on storing: each outbox is read as of one moment, before the lake. Only events that are stored and
    sealed, or removed, between the two would seem to be too many or too few; then ask again.

    Args:
        lake: the lake's folder.
        told: ids that clients were told are stored, such as the `x-request-id` of their answers; each must be there.

    Raises:
        InputError: a file of the lake cannot be read.
        ResourceError: the disk is full: more ids than memory holds are sorted there.
    """
    import duckdb

    from .erase import removed_from_lake
    from .read import outboxes, sealed_files

    lake = Path(lake)
    acknowledged, removed = 0, removed_from_lake(lake)
    sealed = twice = 0
    with plain_errors(), closing(duckdb.connect()) as base:
        base.execute(f"SET memory_limit = '{_MEMORY}'; SET enable_progress_bar = false; SET threads = 1")
        base.execute("CREATE TABLE waiting (id TEXT); CREATE TABLE told (id TEXT)")
        for path in outboxes(lake):
            with storage(), closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as outbox:
                outbox.execute("BEGIN")
                acknowledged += _counter(outbox, "acknowledged")
                removed += _counter(outbox, "removed")
                _fill(base, "waiting", (row[0] for row in outbox.execute(f"SELECT id FROM {OUTBOX_TABLE}")))
        _fill(base, "told", acknowledged_ids)
        base.execute("DELETE FROM told WHERE id IN (SELECT id FROM waiting)")
        for _, files in groupby(sealed_files(lake), key=lambda path: path.parent):
            events, rows = _day(base, list(files))
            sealed += events
            twice += rows - events
        waiting, missing = (_one(base, f"SELECT count(DISTINCT id) FROM {table}") for table in ("waiting", "told"))
    return Reconciled(acknowledged, waiting, sealed, twice, removed, missing)


def _counter(outbox: sqlite3.Connection, name: str) -> int:
    row = outbox.execute("SELECT value FROM counters WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else 0


def _fill(base: DuckDBPyConnection, table: str, ids: Iterable[str]) -> None:
    import pyarrow as pa

    rest: Iterator[str] = iter(ids)
    while chunk := list(islice(rest, _CHUNK)):
        base.register("chunk", pa.table({"id": pa.array(chunk, pa.string())}))
        base.execute(f"INSERT INTO {table} SELECT id FROM chunk")
        base.unregister("chunk")


def _day(base: DuckDBPyConnection, files: list[Path]) -> tuple[int, int]:
    """Return the events, told apart by id, and the rows of one day; what they hold is no longer waiting nor missing."""
    import duckdb

    listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in files)
    source = f"read_parquet([{listed}], hive_partitioning = false)"
    try:
        rows = _one(base, f"SELECT count(*) FROM {source}")
        events = _one(base, f"SELECT count(*) FROM (SELECT id FROM {source} GROUP BY id)")
        for table in ("waiting", "told"):
            base.execute(f"DELETE FROM {table} WHERE id IN (SELECT id FROM {source})")
    except duckdb.Error as error:
        raise InputError(
            message("lake.cannot_read_2", parent=files[0].parent), found=str(error).splitlines()[0]
        ) from None
    return events, rows


def _one(base: DuckDBPyConnection, query: str) -> int:
    row = base.execute(query).fetchone()
    assert row
    return int(row[0])
