"""A file of users' rows as a table to ask, whatever it is: CSV of any dialect and encoding, packed or not, JSON Lines, XLSX, Parquet.

    loaded = load_table(connection, Path("orders.csv.gz"), "log", lambda header: ("user", "time"))
    loaded.name              # a table with these columns, and `row number`
    loaded.line(7)           # the line on which row number 7 stands
    loaded.problems          # the lines that are no rows, by reason

How a text is divided is judged by `noria.text` and told to the parser (Arrow's, which reads in blocks and hands each on), so that none
guesses. Where a file does not keep to what it began with, its rows are read one by one instead: slower, and none is lost.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from noria.core.errors import InputError, RowError
from noria.core.messages import message, name_of
from noria.text.formats import ENDINGS, FORMATS
from noria.text.records import Records
from noria.text.sources import Source
from noria.text.tables import OTHER_CELLS

from .blocks import UnevenError, is_even, read_blocks
from .loaded import NUMBER, Loaded, Wanted, notes_of, quoted, surplus
from .problems import Problem

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

_BATCH_ROWS = 1 << 15


def load_table(connection: Backend, path: Path, what: str = "table", columns: Wanted | None = None) -> Loaded:
    """Return a table of the file's rows, numbered in `row number`, all of text but Parquet's.

    Args:
        connection: where to put it.
        path: the file.
        what: the file is, for the message.
        columns: what says which are wanted; all where none is given.

    Raises:
        InputError: no such file, or one that cannot be read.
    """
    if not path.is_file():
        raise InputError(message("grow.such_2", what=name_of(what)), found=str(path), allowed=message("grow.csv_json"))
    records = _records(path)
    if records.format.kind == "parquet":
        return _parquet(connection, path, columns)
    if is_even(records):
        try:
            return read_blocks(connection, records, columns)
        except (UnevenError, pa.ArrowInvalid, UnicodeError):
            records = _records(path)
    return _rows(connection, records, columns)


class _Table(Source):
    """A file whose name does not say that it is a table, taken for one."""

    @property
    def suffix(self) -> str:
        """Return the ending of a table."""
        return ".csv"


def _records(path: Path) -> Records:
    """Return the records of a file; a text is a table here, whatever its name."""
    source = Source(str(path))
    if source.suffix not in ENDINGS or next(one for one in FORMATS if source.suffix in one.endings).kind in (
        "text",
        "columns",
    ):
        source = _Table(str(path))
    return Records(source, blanks=True)


def _parquet(connection: Backend, path: Path, columns: Wanted | None) -> Loaded:
    raw, name = ibis.util.gen_name("raw"), str(path).replace("'", "''")
    reader, source = f"read_parquet('{name}', file_row_number = true)", Source(str(path))
    try:
        if source.plain_name != source.name:  # packed: the engine reads none such
            unpacked = pq.read_table(pa.BufferReader(source.read()))
            rows = pa.array(range(unpacked.num_rows), pa.int64())
            reader = f'"{ibis.util.gen_name("given")}"'
            connection.con.register(reader.strip('"'), unpacked.append_column("file_row_number", rows))
        described = connection.con.execute(f"DESCRIBE SELECT * FROM {reader}").fetchall()
        kinds = {row[0]: str(row[1]) for row in described if row[0] != "file_row_number"}
        chosen = columns(list(kinds)) if columns else kinds
        wanted = ", ".join(quoted(column) for column in kinds if column in chosen)
        connection.con.execute(
            f'CREATE TEMP TABLE "{raw}" AS SELECT {wanted}{"," if wanted else ""} file_row_number + 1 AS "{NUMBER}" FROM {reader}'
        )
    except Exception as error:
        raise InputError(
            message("errors.unreadable", path=path),
            found=str(error).splitlines()[0],
            allowed=message("grow.csv_header"),
        ) from None
    return Loaded(raw, kinds, lambda number: number)


def _rows(connection: Backend, records: Records, columns: Wanted | None) -> Loaded:
    """Return the rows of a file read one by one."""
    known: dict[str, str] = dict.fromkeys((name for name in records.columns or () if name), "VARCHAR")
    faults: dict[str, list[RowError]] = {}
    parts: list[pa.Table] = []
    rows: list[dict[str, Any]] = []

    def close() -> None:
        chosen = columns(list(known)) if columns else known
        names = [name for name in known if name in chosen]
        schema = pa.schema([*((name, pa.string()) for name in names), (NUMBER, pa.int64())])
        parts.append(pa.Table.from_pylist(rows, schema=schema))
        rows.clear()

    for line, record in records:
        if isinstance(record, RowError):
            faults.setdefault(_reason(record), []).append(record)
            continue
        if not records.columns:
            known.update(dict.fromkeys(record, "VARCHAR"))
        rows.append({name: _plain(value) for name, value in record.items()} | {NUMBER: line})
        if len(rows) >= _BATCH_ROWS:
            close()
    close()
    raw, given = ibis.util.gen_name("raw"), ibis.util.gen_name("given")
    connection.con.register(given, pa.concat_tables(parts, promote_options="default"))
    connection.con.execute(f'CREATE TEMP TABLE "{raw}" AS SELECT * FROM "{given}"')
    connection.con.unregister(given)
    return Loaded(
        raw,
        known,
        lambda number: number,
        [_fault(what, errors) for what, errors in faults.items()],
        [*notes_of(records), *records.notes()],
    )


def _reason(error: RowError) -> str:
    """Return what is wrong with a row, without where it stands."""
    return error.what.removeprefix(f"{error.file}, line {error.line}").split(": ", 1)[-1]


def _fault(what: str, errors: list[RowError]) -> Problem:
    first = errors[0]
    found = "" if first.found is None else str(first.found)
    if what == OTHER_CELLS:
        return surplus(len(errors), f"line {first.line}", found)
    return Problem(what, len(errors), f"line {first.line}", found, first.hint or "")


def _plain(value: Any) -> str | None:
    """Return a value of JSON as the text that a table would hold."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, float) else repr(value)
