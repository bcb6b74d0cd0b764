"""A file of users' rows as a table to ask, whatever it is: CSV of any dialect and encoding, packed or not, JSON Lines, XLSX, Parquet.

    loaded = load_table(connection, Path("orders.csv.gz"), "log", ("user", "time"))
    loaded.name              # a table with these columns, and `row number`
    loaded.line(7)           # the line on which row number 7 stands
    loaded.problems          # the lines that are no rows, by reason

How a text is divided is judged by `noria.text` and told to the parser (Arrow's, which reads in blocks and hands each on), so that none
guesses. Where a file does not keep to what it began with, its rows are read one by one instead: slower, and none is lost.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet as pq

from noria.core.errors import InputError, RowError
from noria.core.messages import message
from noria.text.formats import ENDINGS, FORMATS
from noria.text.records import Records
from noria.text.sources import Source
from noria.text.tables import OTHER_CELLS

from .problems import Problem

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

NUMBER = "row number"
_BLOCK_BYTES = 1 << 22
_BATCH_ROWS = 1 << 15
_MANY_CELLS = "more cells than columns"


@dataclass
class Loaded:
    """A file's rows in a table."""

    name: str
    kinds: dict[str, str]
    """All columns of the file with their types, those that were not asked for, too."""
    line: Callable[[int], int]
    """Row number -> the line where it stands."""
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a person should know of how it was read."""


def load_table(connection: Backend, path: Path, what: str = "table", columns: Collection[str] | None = None) -> Loaded:
    """Return a table of the file's rows, numbered in `row number`, all of text but Parquet's.

    Args:
        connection: where to put it.
        path: the file.
        what: the file is, for the message.
        columns: those that are wanted, of which some may be absent; all where none are named.

    Raises:
        InputError: no such file, or one that cannot be read.
    """
    if not path.is_file():
        raise InputError(message("grow.such_2", what=what), found=str(path), allowed=message("grow.csv_json"))
    records = _records(path)
    if records.format.kind == "parquet":
        return _parquet(connection, path, columns)
    if _even(records):
        try:
            return _blocks(connection, records, columns)
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
    return Records(source)


class UnevenError(Exception):
    """The file does not keep to the dialect that it began with."""


def _parquet(connection: Backend, path: Path, columns: Collection[str] | None) -> Loaded:
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
        wanted = ", ".join(quoted(column) for column in kinds if columns is None or column in columns)
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


def _even(records: Records) -> bool:
    """Return whether a file is one that the parser of blocks reads rightly."""
    dialect = records.dialect
    return (
        records.format.kind == "table"
        and dialect is not None
        and dialect.line_end == "\n"
        and not dialect.skip_space
        and dialect.delimiter.isascii()
        and not any("\n" in name or "\r" in name for name in dialect.columns)
    )


def _blocks(connection: Backend, records: Records, columns: Collection[str] | None) -> Loaded:
    """Return the rows of a text, parsed in blocks while the engine takes them in."""
    dialect = records.dialect
    assert dialect is not None
    names = [name or f"\0{place}" for place, name in enumerate(dialect.columns)]
    wanted = [name for name in names if not name.startswith("\0") and (columns is None or name in columns)]
    kinds = {name: "VARCHAR" for name in names if not name.startswith("\0")}
    if not wanted:
        raise UnevenError
    uneven: list[tuple[int, str]] = []

    def take(row: Any) -> str:
        uneven.append((row.number, row.text))
        return "skip"

    schema = pa.schema([*((name, pa.string()) for name in wanted), (NUMBER, pa.int64())])
    saved: dict[str, Any] = {"broken": False}
    with records.source.open() as stream:
        parse = pa.csv.ParseOptions(
            delimiter=dialect.delimiter,
            quote_char=dialect.quote or False,
            double_quote=bool(dialect.quote and not dialect.escape),
            escape_char=dialect.escape or False,
            newlines_in_values=bool(dialect.quote),
            invalid_row_handler=take,
        )
        kept = {name: pa.string() if name in wanted else pa.binary() for name in (names if dialect.quote else wanted)}
        convert = pa.csv.ConvertOptions(include_columns=list(kept), column_types=kept, strings_can_be_null=False)
        read = pa.csv.ReadOptions(
            column_names=names,
            skip_rows=dialect.header_line,
            block_size=_BLOCK_BYTES,
            use_threads=False,
            encoding="utf8" if records.encoding == "utf-8-sig" else records.encoding,
        )

        def batches() -> Iterator[pa.RecordBatch]:
            at = dialect.header_line
            try:
                for batch in pa.csv.open_csv(stream, read, parse, convert):
                    numbers = _numbers(at, batch.num_rows, uneven)
                    at = int(numbers[-1]) if len(numbers) else at
                    # A quote that nothing closes runs on over lines: whether any was is looked at in all columns.
                    saved["broken"] = saved["broken"] or (bool(dialect.quote) and any(map(_breaks, batch.columns)))
                    yield pa.RecordBatch.from_arrays(
                        [*(batch[name] for name in wanted), pa.array(numbers)], schema=schema
                    )
                good, saved["problems"], saved["short"] = _mended(uneven, records, wanted)
                if good:
                    yield pa.RecordBatch.from_pylist(good, schema=schema)
            except Exception as error:
                saved["error"] = error
                raise

        raw = _filled(connection, pa.RecordBatchReader.from_batches(schema, batches()), saved)
    if saved["broken"] and not _strict(records):
        connection.con.execute(f'DROP TABLE "{raw}"')
        raise UnevenError
    return Loaded(
        raw,
        kinds,
        lru_cache(maxsize=64)(lambda number: _line_of(records, number)),
        saved["problems"],
        [*_notes_of(records), *records.notes(), *saved["short"]],
    )


def _breaks(column: pa.Array) -> bool:
    """Return whether any cell of a column goes over several lines."""
    return bool(pa.compute.any(pa.compute.match_substring(column, "\n")).as_py())


def _strict(records: Records) -> bool:
    """Return whether every quote of a text with cells over several lines opens or closes a cell."""
    dialect = records.dialect
    assert dialect is not None
    with records.lines() as stream:
        try:
            return all(len(cells) >= 0 for cells in dialect.reader(islice(stream, dialect.header_line - 1, None)))
        except csv.Error:
            return False


def _filled(connection: Backend, batches: pa.RecordBatchReader, saved: dict[str, Any]) -> str:
    """Return the name of a new table with all rows of the batches; what went wrong on their side is raised as it was."""
    raw: str = ibis.util.gen_name("raw")
    given = ibis.util.gen_name("given")
    connection.con.register(given, batches)
    try:
        connection.con.execute(f'CREATE TEMP TABLE "{raw}" AS SELECT * FROM "{given}"')
    except Exception:
        if "error" in saved:
            raise saved["error"] from None
        raise
    finally:
        connection.con.unregister(given)
    return raw


def _numbers(at: int, rows: int, uneven: list[tuple[int, str]]) -> Any:
    """Return the numbers of the next rows after `at`, those of rows with other than the header's cells left out."""
    numbers = np.arange(at + 1, at + 1 + rows, dtype=np.int64)
    for number, _ in uneven:
        place = np.searchsorted(numbers, number)
        if number > at and place < rows:
            numbers[place:] += 1
    return numbers


def _mended(
    uneven: list[tuple[int, str]], records: Records, wanted: list[str]
) -> tuple[list[dict[str, Any]], list[Problem], list[str]]:
    """Return the rows that are short, or long by empty cells, what is wrong with the others, and what is to be told of the short."""
    dialect = records.dialect
    assert dialect is not None
    good, bad, short = [], [], []
    for number, text in uneven:
        if "\n" in text.rstrip("\r\n"):
            raise UnevenError  # a quote that nothing closes on its line has taken others with it
        try:
            cells = next(dialect.reader([text]))
        except Exception:
            raise UnevenError from None
        if any(cell.strip() for cell in cells[len(dialect.columns) :]):
            bad.append((number, len(cells)))
        elif any(cell.strip() for cell in cells):
            padded = dict.fromkeys(wanted, "") | dict(zip(dialect.columns, cells, strict=False))
            good.append({**{name: padded[name] for name in wanted}, NUMBER: number})
            if any(dialect.columns[len(cells) :]):
                short.append(number)
    notes = [_short(len(short), _line_of(records, short[0]))] if short else []
    if not bad:
        return good, [], notes
    first, count = bad[0]
    found = f"{count} cells for {len(dialect.columns)} columns"
    return good, [_many(len(bad), f"line {_line_of(records, first)}", found)], notes


def _short(rows: int, line: int) -> str:
    return f"{rows:,} {'row' if rows == 1 else 'rows'} with fewer cells than columns: those that lack are empty (first at line {line})"


def _many(rows: int, example: str, found: str) -> Problem:
    return Problem(_MANY_CELLS, rows, example, found, message("log.hint.quotes"))


def _line_of(records: Records, number: int) -> int:
    """Return the line on which a row begins; blank lines are no rows, and a row may go over several lines."""
    dialect = records.dialect
    assert dialect is not None
    seen, inside = dialect.header_line, False
    with records.lines() as stream:
        for line, text in enumerate(islice(stream, dialect.header_line, None), dialect.header_line + 1):
            if not inside and not text.strip("\r\n"):
                continue
            if not inside:
                seen += 1
                if seen >= number:
                    return line
            if dialect.quote and text.count(dialect.quote) % 2:
                inside = not inside
    return number


def _rows(connection: Backend, records: Records, columns: Collection[str] | None) -> Loaded:
    """Return the rows of a file read one by one."""
    known: dict[str, str] = dict.fromkeys((name for name in records.columns or () if name), "VARCHAR")
    faults: dict[str, list[RowError]] = {}
    parts: list[pa.Table] = []
    rows: list[dict[str, Any]] = []

    def close() -> None:
        names = [name for name in known if columns is None or name in columns]
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
        [*_notes_of(records), *records.notes()],
    )


def _reason(error: RowError) -> str:
    """Return what is wrong with a row, without where it stands."""
    return error.what.removeprefix(f"{error.file}, line {error.line}").split(": ", 1)[-1]


def _fault(what: str, errors: list[RowError]) -> Problem:
    first = errors[0]
    found = "" if first.found is None else str(first.found)
    if what == OTHER_CELLS:
        return _many(len(errors), f"line {first.line}", found)
    return Problem(what, len(errors), f"line {first.line}", found, first.hint or "")


def _plain(value: Any) -> str | None:
    """Return a value of JSON as the text that a table would hold."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, float) else repr(value)


def _notes_of(records: Records) -> list[str]:
    """Return how the file was read, where that is not what everyone would take it for."""
    told = []
    if records.encoding not in ("", "utf-8", "utf-8-sig"):
        told.append(f"read as {records.encoding.upper()}")
    if records.dialect is not None and records.dialect.delimiter != ",":
        told.append(
            "cells parted by "
            + {"\t": "tabs", " ": "blanks"}.get(records.dialect.delimiter, repr(records.dialect.delimiter))
        )
    return told


def columns_of(connection: Backend, raw: str) -> dict[str, str]:
    """Return a table's columns with their types, without `row number`."""
    kinds = {row[0]: str(row[1]) for row in connection.con.execute(f'DESCRIBE "{raw}"').fetchall()}
    return {column: kind for column, kind in kinds.items() if column != NUMBER}


def number_sql(column: str) -> str:
    """Return the SQL that reads a column as a number; true and false are 1 and 0, and what is none is NULL."""
    text = f"lower(trim(CAST({quoted(column)} AS VARCHAR)))"
    return f"CASE {text} WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 ELSE TRY_CAST({text} AS DOUBLE) END"


def quoted(name: str) -> str:
    """Return a column's name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'
