"""Tables that an engine makes once and reads often, whatever engine it is; they are gone with its session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import ibis
import pyarrow as pa

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend


def made(expression: ibis.Table, name: str) -> ibis.Table:
    """Return a temporary table with the rows of an expression, in the engine that holds what it reads."""
    return expression.get_backend().create_table(ibis.util.gen_name(name), expression, temp=True)


@contextmanager
def scratch(expression: ibis.Table, name: str) -> Iterator[ibis.Table]:
    """Give such a table for as long as the block lasts."""
    table = made(expression, name)
    try:
        yield table
    finally:
        expression.get_backend().drop_table(table.get_name(), force=True)


def drop(connection: Backend, *tables: str) -> None:
    """Remove tables from DuckDB."""
    for table in tables:
        connection.con.execute(f'DROP TABLE "{table}"')


def put(connection: Backend, rows: pa.Table) -> str:
    """Copy rows into a temporary table of DuckDB and return its name."""
    name: str = ibis.util.gen_name("odd")
    given = ibis.util.gen_name("given")
    connection.con.register(given, rows)
    connection.con.execute(f'CREATE TEMP TABLE "{name}" AS SELECT * FROM "{given}"')
    connection.con.unregister(given)
    return name
