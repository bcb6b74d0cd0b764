"""Lakes as earlier versions of Noria wrote them."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from noria.lake.event import Event, outbox_file
from noria.lake.read import batch_of

VERSION_1 = """
CREATE TABLE events (id TEXT PRIMARY KEY, time INTEGER NOT NULL, kind TEXT NOT NULL, user TEXT NOT NULL, tenant TEXT NOT NULL,
  app TEXT NOT NULL, model TEXT NOT NULL, version TEXT NOT NULL, units INTEGER NOT NULL, unit TEXT NOT NULL,
  latency_ms REAL NOT NULL, outcome TEXT NOT NULL, segment TEXT NOT NULL, consent INTEGER NOT NULL, subject TEXT NOT NULL,
  value REAL) WITHOUT ROWID;
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE sealing (id TEXT PRIMARY KEY, file TEXT NOT NULL) WITHOUT ROWID;
"""


def old_lake(lake: Path, events: list[Event], noted: int) -> Path:
    """Write an outbox as version 1 did, its first `noted` events noted for a file."""
    path = outbox_file(lake)
    path.parent.mkdir(parents=True)
    base = sqlite3.connect(path)
    base.executescript(VERSION_1)
    base.executemany(f"INSERT INTO events VALUES ({', '.join('?' * 16)})", [one.row()[:16] for one in events])
    base.execute("INSERT INTO counters VALUES ('acknowledged', ?)", (len(events),))
    base.executemany("INSERT INTO sealing VALUES (?, 'main-1.parquet')", [(one.id,) for one in events[:noted]])
    base.commit()
    base.close()
    return path


def old_file(lake: Path, events: list[Event], name: str = "main-1.parquet") -> Path:
    """Write a sealed file as version 1 did."""
    folder = lake / "events" / f"day={events[0].time:%Y-%m-%d}"
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_batches([batch_of([one.row() for one in events])])
    pq.write_table(table.drop_columns(["text", "propensity"]).replace_schema_metadata(None), folder / name)
    return folder / name
