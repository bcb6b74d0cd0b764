"""A CSV or Parquet file as a table to ask: what every reader of users' rows begins with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import ibis

from noria.core.errors import InputError

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend


def load_table(connection: Backend, path: Path, what: str = "table") -> tuple[str, dict[str, str]]:
    """Return the name of a table with the file's rows, numbered in `row number`, and its columns with their types.

    `what` the file is, for the message.

    Raises:
        InputError: no such file, or one that cannot be read.
    """
    if not path.is_file():
        raise InputError(f"no such {what}", found=str(path), allowed="a CSV or Parquet file")
    raw = ibis.util.gen_name("raw")
    name = str(path).replace("'", "''")
    reader = (
        f"read_parquet('{name}')"
        if path.suffix == ".parquet"
        else f"read_csv('{name}', all_varchar = true, header = true)"
    )
    try:
        connection.con.execute(
            f'CREATE TEMP TABLE "{raw}" AS SELECT *, row_number() OVER () AS "row number" FROM {reader}'
        )
    except Exception as error:
        raise InputError(
            f"{path} cannot be read", found=str(error).splitlines()[0], allowed="CSV with a header, or Parquet"
        ) from None
    return raw, columns_of(connection, raw)


def columns_of(connection: Backend, raw: str) -> dict[str, str]:
    """Return a table's columns with their types, without `row number`."""
    kinds = {row[0]: str(row[1]) for row in connection.con.execute(f'DESCRIBE "{raw}"').fetchall()}
    return {column: kind for column, kind in kinds.items() if column != "row number"}


def number_sql(column: str) -> str:
    """Return the SQL that reads a column as a number; true and false are 1 and 0, and what is none is NULL."""
    text = f"lower(trim(CAST({quoted(column)} AS VARCHAR)))"
    return f"CASE {text} WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 ELSE TRY_CAST({text} AS DOUBLE) END"


def quoted(name: str) -> str:
    """Return a column's name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'
