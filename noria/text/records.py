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
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, RowError, shorten
from noria.core.progress import Report

from .dialects import SAMPLE, dialect_of
from .encoding import MARKED, SAMPLE_BYTES, named
from .formats import ALLOWED, Format, format_of
from .lines import filled_lines, json_rows
from .sources import Source
from .tables import Dialect, Notes, check_header, rows_below, table_rows

Numbered = tuple[int, dict[str, Any] | RowError]
LISTED = ("data", "rows", "records", "examples", "items", "samples", "instances", "train", "annotations", "results")
"""Names under which an object of JSON may hold its rows."""


class Records:
    """The records of one source, to be read once or more; formats, encoding and dialect are known before the first.

    Raises:
        InputError: the source is missing, is of a kind that is not read, is no text, or has no header.
    """

    def __init__(self, source: Source, report: Report | None = None) -> None:
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
            from .sheets import sheet_cells

            self._columns, self._sheet = sheet_cells(source, self._before)
        elif self.format.kind == "parquet":
            self._columns = tuple(_parquet_file(source).schema_arrow.names)
        else:
            self._judge_text()
        self._notes = self._before

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Return the names of a table's columns; None where each record has fields of its own."""
        return self._columns

    def notes(self) -> list[str]:
        """Return what was passed over, once the records are read: counts, and the first line of each."""
        return self._notes.lines()

    def __iter__(self) -> Iterator[Numbered]:
        self._notes = Notes(self._before.counts.copy(), dict(self._before.first))
        yield from self._read()
        if self._report:
            for note in self.notes():
                self._report.note(f"{self.source.name}: {note}")

    def text(self) -> str:
        """Return a text whole; bytes that are none of its encoding are an error.

        Raises:
            InputError: there are such bytes.
        """
        with self.lines() as stream:
            text = stream.read().removeprefix("\ufeff")
        if MARKED in text:
            line = text.count("\n", 0, text.index(MARKED)) + 1
            raise InputError(f"{self.source.name} is not {_plain(self.encoding)} throughout", found=f"line {line:,}")
        return text

    @contextmanager
    def lines(self) -> Iterator[io.TextIOWrapper]:
        """Give the lines of a text, each with its end; bytes that are none of its encoding are `MARKED`."""
        with self.source.open() as stream:
            text = io.TextIOWrapper(stream, self.encoding, errors="marked", newline=self._line_end)
            yield text
            text.detach()

    def _judge_text(self) -> None:
        image = self.source.head(SAMPLE_BYTES)
        self.encoding = named(image, self.source.name)
        if self._report and self.encoding not in ("utf-8-sig", "utf-16", "utf-32"):
            self._report.note(
                f"{self.source.name} is not UTF-8: read as {_plain(self.encoding)}", encoding=self.encoding
            )
        start = image.decode(self.encoding, errors="marked")
        self._line_end = "\n" if "\n" in start or "\r" not in start else "\r"
        if self.format.kind != "table":
            return
        self._line_end = ""
        with self.lines() as stream:
            sample = stream.read(SAMPLE)
            whole = not stream.read(1)
        self.dialect = dialect_of(sample, self.source.suffix, whole=whole, source=self.source.name)
        self._columns, self._line_end = self.dialect.columns, self.dialect.line_end
        for title in self.dialect.titles:
            self._before.count(f"lines above the names of the columns passed over: {shorten(title, 40)}", 1)

    def _read(self) -> Iterator[Numbered]:
        name, kind = self.source.name, self.format.kind
        if kind == "sheet":
            assert self._columns is not None
            yield from rows_below(self._columns, self._sheet, name, self._notes)
        elif kind == "parquet":
            yield from _parquet(self.source)
        elif kind == "json":
            yield from _json(self.text(), name)
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
        raise InputError("a folder, not a file of rows", found=str(path), allowed=ALLOWED)
    return Records(Source(str(path)), report)


def records_in(image: bytes, name: str, report: Report | None = None) -> Records:
    """Return the records in bytes, such as a body sent over HTTP, read exactly as the file of that name would be.

    Raises:
        InputError: as `read_records`.
    """
    return Records(Source(name, image), report)


def _plain(encoding: str) -> str:
    names = {
        "utf-8-sig": "UTF-8",
        "gb18030": "GB18030",
        "big5hkscs": "Big5",
        "cp1252": "Windows-1252",
        "cp932": "Shift-JIS",
        "euc_jp": "EUC-JP",
        "euc_kr": "EUC-KR",
        "utf-16-le": "UTF-16 without a mark",
        "utf-16-be": "UTF-16 without a mark",
    }
    return names.get(encoding, encoding.upper())


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


def _json(text: str, name: str) -> Iterator[Numbered]:
    """Yield the rows of an array, or of an object that holds them, each with the line it begins on."""
    start = len(text) - len(text.lstrip())
    if text[start : start + 1] == "[":
        yield from _array(text, start, name)
        return
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        yield from _array(text, start - 1, name, closing="")  # objects one after another, each over many lines
        return
    if not isinstance(whole, dict):
        raise InputError(f"{name} holds no rows", found=whole, allowed="[{...}, ...]")
    lists = {key: value for key, value in whole.items() if isinstance(value, list) and any(map(_is_row, value))}
    held = [key for key in LISTED if key in lists] or list(lists)
    if len(lists) == 1 or (held and held[0] == "data"):
        yield from enumerate((_object(one, name, number) for number, one in enumerate(lists[held[0]], 1)), 1)
    elif lists:
        raise InputError(
            f"{name} holds several lists of rows", found=", ".join(lists), hint="put each into a file of its own"
        )
    elif rows := _split(whole) or _by_columns(whole):
        yield from enumerate(rows, 1)
    else:
        raise InputError(
            f"{name} holds no rows",
            found=f"an object with {', '.join(whole) or 'nothing'}",
            allowed='[{...}, ...], {"data": [{...}, ...]}, or an object a line',
        )


def _array(text: str, start: int, name: str, closing: str = "]") -> Iterator[Numbered]:
    decode = json.JSONDecoder().raw_decode
    place, line, counted, number = start + 1, 1, 0, 0
    # An array on one line has rows 1, 2, 3; one over many lines has the lines that its rows begin on.
    on_lines = "\n" in text.strip()
    closed = False
    while not closed:
        while text[place : place + 1].isspace():
            place += 1
        line, counted = line + text.count("\n", counted, place), place
        if not closing and place >= len(text):
            return
        if closing and text[place : place + 1] == closing and text[:place].rstrip()[-1:] == "[":
            place, closed = place + 1, True
            continue
        try:
            value, place = decode(text, place)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{name} is not JSON from line {line:,} on", found=str(error)) from None
        number += 1
        there = line if on_lines else number
        yield there, _object(value, name, there)
        while text[place : place + 1].isspace():
            place += 1
        mark = text[place : place + 1]
        if not closing:
            place += mark == ","
            continue
        if mark not in (",", "]"):
            raise InputError(
                f"{name} is not JSON from line {line:,} on",
                found=text[place : place + 20] or "the end",
                allowed=", or ]",
            )
        place, closed = place + 1, mark == "]"
    if rest := text[place:].strip():
        raise InputError(f"{name} goes on after its array", found=rest)


def _is_row(value: object) -> bool:
    return isinstance(value, dict)


def _object(value: Any, name: str, line: int) -> dict[str, Any] | RowError:
    if isinstance(value, dict):
        return value
    return RowError("not a JSON object", file=name, line=line, found=value, allowed="{...}")


def _split(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of columns and data, as pandas writes them with orient="split"; none where they do not pair."""
    names, data = whole.get("columns"), whole.get("data")
    if not isinstance(names, list) or not isinstance(data, list) or not all(isinstance(name, str) for name in names):
        return []
    if not all(isinstance(cells, list) and len(cells) == len(names) for cells in data):
        return []
    return [dict(zip(names, cells, strict=True)) for cells in data]


def _by_columns(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of an object of columns, as pandas writes by default; none where its columns do not pair."""
    if all(isinstance(value, dict) and value and not all(map(str.isdigit, value)) for value in whole.values()) and all(
        map(str.isdigit, whole)
    ):
        return list(whole.values())  # orient="index"
    columns = {name: list(value.values()) if isinstance(value, dict) else value for name, value in whole.items()}
    if not columns or not all(isinstance(value, list) for value in columns.values()):
        return []
    if len({len(value) for value in columns.values()}) != 1 or len(columns) < 2:
        return []
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


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
                "not a token and its tag",
                file=name,
                line=number,
                found=line.strip("\r\n"),
                hint="the whole sentence is left out",
            )
            continue
        tokens.append(cells[0])
        tags.append(cells[-1])
    if tokens or fault:
        yield first, fault or {"tokens": tokens, "tags": tags}


def _texts(lines: Iterable[str], name: str) -> Iterator[Numbered]:
    for number, line in filled_lines(lines):
        if MARKED in line:
            yield number, RowError("bytes that are not of the file's encoding", file=name, line=number)
        else:
            yield number, {"text": line}
