"""Engines to ask beside DuckDB, where they are installed: a PostgreSQL of one's own in a temporary folder, ClickHouse in this process.

with postgres() as address: ...        # None where its programs or psycopg are missing
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

POSTGRES = Path("/usr/lib/postgresql")
CLICKHOUSE = "chdb://memory"
_KINDS = {
    "string": "String",
    "int64": "Int64",
    "double": "Nullable(Float64)",
    "bool": "Bool",
    "timestamp[us, tz=UTC]": "DateTime64(6, 'UTC')",
}


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, of the newest version there is."""
    named = shutil.which("initdb")
    found = sorted(POSTGRES.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else Path(named).resolve().parent if named else None


@contextmanager
def postgres() -> Iterator[str | None]:
    """Give the address of a cluster whose own zone is Asia/Shanghai, reached through a socket and gone afterwards."""
    there = programs()
    if there is None or importlib.util.find_spec("psycopg") is None:
        yield None
        return
    # PostgreSQL refuses to run as root: then as the least of users.
    least: dict[str, Any] = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="noria-pg-") as name:
        folder = Path(name)
        if least:
            shutil.chown(folder, **least)
        run = {
            "check": True,
            "capture_output": True,
            "cwd": folder,
            "env": {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": name},
            **least,
        }
        subprocess.run(
            [there / "initdb", "-D", folder / "data", "-U", "noria", "-A", "trust", "--no-sync", "-E", "UTF8"], **run
        )
        options = f"-k {folder} -c listen_addresses='' -c fsync=off -c timezone=Asia/Shanghai"
        subprocess.run(
            [there / "pg_ctl", "-D", folder / "data", "-w", "-l", folder / "log", "-o", options, "start"], **run
        )
        try:
            yield f"postgres://noria@/postgres?host={folder}"
        finally:
            subprocess.run([there / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop"], **run)


def clickhouse() -> str | None:
    """Return the address of ClickHouse inside this process, None where its packages are missing."""
    return CLICKHOUSE if all(importlib.util.find_spec(name) for name in ("chdb", "clickhouse_connect")) else None


def stored(backend: Any, name: str, rows: pa.Table) -> None:
    """Make a table of an engine; in ClickHouse by its own words, for ibis has none for its order."""
    if backend.name == "clickhouse":
        columns = ", ".join(f'"{field.name}" {_KINDS[str(field.type)]}' for field in rows.schema)
        backend.con.command(f'CREATE TABLE "{name}" ({columns}) ENGINE = MergeTree ORDER BY tuple()')
        backend.con.insert_arrow(name, rows)
    else:
        backend.create_table(name, rows)
