"""The rows of a text taken into an engine in blocks: Arrow parses them by the dialect that `noria.text` judged, and hands each on."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from noria.core.messages import Message, message
from noria.text.records import Records

from .loaded import NUMBER, Loaded, Wanted, notes_of, surplus
from .problems import Problem

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

_BLOCK_BYTES = 1 << 22


class UnevenError(Exception):
    """The file does not keep to the dialect that it began with."""


def is_even(records: Records) -> bool:
    """Return whether a file is one that the parser of blocks reads rightly."""
    dialect = records.dialect
    return (
        records.format.kind == "table"
        and dialect is not None
        and dialect.line_end == "\n"
        and not (dialect.skip_space or dialect.clocks)
        and dialect.delimiter.isascii()
        and not any("\n" in name or "\r" in name for name in dialect.columns)
    )


def read_blocks(connection: Backend, records: Records, columns: Wanted | None) -> Loaded:
    """Return the rows of a text, parsed in blocks while the engine takes them in."""
    dialect = records.dialect
    assert dialect is not None
    names = [name or f"\0{place}" for place, name in enumerate(dialect.columns)]
    named = [name for name in names if not name.startswith("\0")]
    chosen = columns(named) if columns else named
    wanted = [name for name in named if name in chosen]
    kinds = dict.fromkeys(named, "VARCHAR")
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
        [*notes_of(records), *records.notes(), *saved["short"]],
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
) -> tuple[list[dict[str, Any]], list[Problem], list[Message]]:
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
    return good, [surplus(len(bad), f"line {_line_of(records, first)}", found)], notes


def _short(rows: int, line: int) -> Message:
    return message("log.note.short", rows=message(f"log.rows.{'one' if rows == 1 else 'many'}", rows=rows), line=line)


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
