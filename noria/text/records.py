"""The one reader of rows: a file or a body in any format and encoding -> each record with its line, or what is wrong with it.

    records = read_records("客服.csv.gz")           # or records_in(body, "rows.jsonl") for bytes in memory
    for line, record in records:                    # {"内容": "我要退货", "标签": "退货"}, or a RowError
        ...
    records.notes()                                 # ["2 repeated headers passed over, the first on line 9"]

Every row of a file is given or stands as an error with its line; what is passed over (a repeated header, a row of empty
cells) is counted in the notes. It knows nothing of tasks: the fields are those of the file.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, RowError, shorten
from noria.core.messages import Message, message
from noria.core.progress import Report

from .arrays import array_rows
from .dialects import SAMPLE, dialect_of
from .encoding import MARKED, SAMPLE_BYTES, named, plain_name
from .formats import Format, allowed, format_of
from .lines import Numbered, filled_lines, json_rows
from .passages import TextDocument, document_in
from .sheets import Table, cells_below, sheet_cells
from .sources import Source
from .tables import Dialect, Notes, check_header, rows_below, table_rows


class Records:
    """The records of one source, to be read once or more; formats, encoding and dialect are known before the first.

    Args:
        source: the file or the body.
        report: told of an older encoding, and of what was passed over.
        blanks: whether blanks may part the cells of a table, where nothing else does.

    Raises:
        InputError: the source is missing, is of a kind that is not read, is no text, or has no header.
    """

    def __init__(self, source: Source, report: Report | None = None, *, blanks: bool = False) -> None:
        self.source = source
        self.format: Format = format_of(source)
        self.encoding = ""
        """Name of the codec; "" where the format is not text."""
        self.dialect: Dialect | None = None
        """Of a text with columns."""
        self._line_end = "\n"
        self._report = report
        self._before = Notes()
        self._columns: tuple[str, ...] | None = None
        self._sheet: list[tuple[int, list[str] | str]] = []
        if self.format.kind == "sheet":
            self._columns, self._sheet = sheet_cells(source, self._before)
        elif self.format.kind == "parquet":
            self._columns = tuple(_parquet_file(source).schema_arrow.names)
        elif not self.format.is_document:
            self._judge_text(blanks)
        self._notes = self._before

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Return the names of a table's columns; None where each record has fields of its own.

        Raises:
            InputError: a document of prose holds no table.
        """
        if self._columns is None and self.format.is_document:
            self._columns, self._sheet = self._table()
        return self._columns

    @property
    def has_rows(self) -> bool:
        """Return whether there are records; a document of prose may hold no table."""
        return not self.format.is_prose or bool(self.format.has_columns and _tables(self.document))

    @cached_property
    def document(self) -> TextDocument:
        """Return the text as passages, each with its place; of prose.

        Raises:
            InputError: it is locked, empty, damaged or too large.
        """
        found = document_in(self.source, self.format.kind)
        self.encoding = found.encoding
        self._note_encoding()
        if self._report:
            for note in found.notes.lines():
                self._report.note(message("work.named", name=self.source.name, text=note))
        return found

    def notes(self) -> list[Message]:
        """Return what was passed over, once the records are read: counts, and the first line of each."""
        return self._notes.lines()

    def __iter__(self) -> Iterator[Numbered]:
        if self.format.is_document:
            assert self.columns
        self._notes = Notes(self._before.counts.copy(), dict(self._before.first))
        yield from self._read()
        if self._report:
            for note in self.notes():
                self._report.note(message("work.named", name=self.source.name, text=note))

    def text(self) -> str:
        """Return a text whole; bytes that are none of its encoding are an error.

        Raises:
            InputError: there are such bytes.
        """
        with self.lines() as stream:
            text = stream.read().removeprefix("\ufeff")
        if MARKED in text:
            line = text.count("\n", 0, text.index(MARKED)) + 1
            raise InputError(
                message("text.throughout_2", name=self.source.name, encoding=plain_name(self.encoding)),
                found=message("text.line", line=line),
            )
        return text

    @contextmanager
    def lines(self) -> Iterator[io.TextIOWrapper]:
        """Give the lines of a text, each with its end; bytes that are none of its encoding are `MARKED`."""
        with self.source.open() as stream:
            text = io.TextIOWrapper(stream, self.encoding, errors="marked", newline=self._line_end)
            yield text
            text.detach()

    def _judge_text(self, blanks: bool) -> None:
        image = self.source.head(SAMPLE_BYTES)
        self.encoding = named(image, self.source.name)
        self._note_encoding()
        start = image.decode(self.encoding, errors="marked")
        self._line_end = "\n" if "\n" in start or "\r" not in start else "\r"
        if self.format.kind != "table":
            return
        self._line_end = ""
        with self.lines() as stream:
            sample = stream.read(SAMPLE)
            whole = not stream.read(1)
        self.dialect = dialect_of(sample, self.source.suffix, whole=whole, source=self.source.name, blanks=blanks)
        self._columns, self._line_end = self.dialect.columns, self.dialect.line_end
        for title in self.dialect.titles:
            self._before.count(message("rows.title", title=shorten(title, 40)), 1)

    def _note_encoding(self) -> None:
        if self._report and self.encoding not in ("", "utf-8", "utf-8-sig", "utf-16", "utf-32"):
            told = message("work.encoded", name=self.source.name, encoding=plain_name(self.encoding))
            self._report.note(told, encoding=self.encoding)

    def _table(self) -> Table:
        """Return the rows of the first table of a document: a page or a letter may hold one, and a PDF only looks as if it did."""
        name, what = self.source.name, self.format.name
        if self.format.kind == "pdf":
            raise InputError(
                message("text.pdf_table", name=name), allowed=allowed(rows=True), hint=message("text.noria_build")
            )
        found = _tables(self.document)
        if not found:
            raise InputError(
                message("text.holds_table", name=name),
                found=message("text.without_table", what=what),
                allowed=allowed(rows=True),
            )
        if len(found) > 1:
            self._before.count(message("rows.tables", tables=len(found) - 1), 1)
        return cells_below(found[0], 0, name, self._before)

    def _read(self) -> Iterator[Numbered]:
        name, kind = self.source.name, self.format.kind
        if kind == "sheet" or self.format.is_document:
            assert self.columns is not None
            yield from rows_below(self.columns, self._sheet, name, self._notes)
        elif kind == "parquet":
            yield from _parquet(self.source)
        elif kind == "json":
            yield from array_rows(self.text(), name)
        else:
            with self.lines() as stream:
                if kind == "table":
                    assert self.dialect is not None
                    yield from table_rows(stream, self.dialect, name, self._notes)
                elif kind == "lines":
                    yield from json_rows(stream, name)
                elif kind == "columns":
                    yield from _columns(stream, name)
                else:
                    yield from _texts(stream, name)


def read_records(path: str | Path, report: Report | None = None) -> Records:
    """Return the records of a file, packed or not.

    Args:
        path: the file.
        report: told of an older encoding, and of what was passed over once the records are read.

    Raises:
        InputError: the file is missing, a folder, of a kind that is not read, no text, or has no header.
    """
    if Path(path).is_dir():
        raise InputError(message("text.folder_file"), found=str(path), allowed=allowed())
    return Records(Source(str(path)), report)


def records_in(image: bytes, name: str, report: Report | None = None) -> Records:
    """Return the records in bytes, such as a body sent over HTTP, read exactly as the file of that name would be.

    Raises:
        InputError: as `read_records`.
    """
    return Records(Source(name, image), report)


def _tables(document: TextDocument) -> list[list[list[str]]]:
    """Return the tables of a document that may be rows: a header with two names at least, and a row below it."""
    return [cells for cells in document.tables if sum(len(row) > 1 for row in cells) > 1]


def _parquet_file(source: Source) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        plain = source.image is None and source.plain_name == source.name
        file = pyarrow.parquet.ParquetFile(source.name if plain else io.BytesIO(source.read()))
    except (pyarrow.ArrowException, OSError) as error:
        raise _as_damage(error, f"{source.name} is not Parquet, or is damaged") from None
    check_header(file.schema_arrow.names, source.name)
    return file


def _parquet(source: Source) -> Iterator[Numbered]:
    import pyarrow

    file = _parquet_file(source)
    line = 0
    try:
        for batch in file.iter_batches(batch_size=4096):
            for record in batch.to_pylist():
                line += 1
                yield line, record
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _as_damage(error, f"{source.name} is damaged after row {line:,}") from None


def _as_damage(error: Exception, what: str) -> Exception:
    """Return what to raise for an error of Arrow's: it takes the system's class for damage, too, but gives it no number."""
    return error if isinstance(error, OSError) and error.errno is not None else InputError(what, found=str(error))


def _columns(lines: Iterable[str], name: str) -> Iterator[Numbered]:
    """Yield {tokens, tags} of each sentence in lines of a token and its tag; a sentence ends at a blank line (CoNLL)."""
    tokens: list[str] = []
    tags: list[str] = []
    first, fault = 0, None
    for number, line in enumerate(lines, 1):
        cells = line.strip("\ufeff\r\n").split("\t") if "\t" in line else line.strip("\ufeff").split()
        cells = [cell.strip() for cell in cells]
        if not any(cells) or cells[0] == "-DOCSTART-":
            if tokens or fault:
                yield first, fault or {"tokens": tokens, "tags": tags}
            tokens, tags, fault = [], [], None
            continue
        first = first if tokens or fault else number
        if len(cells) < 2 or not cells[0] or MARKED in line:
            fault = fault or RowError(
                message("text.token_tag"),
                file=name,
                line=number,
                found=line.strip("\r\n"),
                hint=message("text.whole_sentence"),
            )
            continue
        tokens.append(cells[0])
        tags.append(cells[-1])
    if tokens or fault:
        yield first, fault or {"tokens": tokens, "tags": tags}


def _texts(lines: Iterable[str], name: str) -> Iterator[Numbered]:
    for number, line in filled_lines(lines):
        if MARKED in line:
            yield number, RowError(message("text.bytes_file"), file=name, line=number)
        else:
            yield number, {"text": line}
