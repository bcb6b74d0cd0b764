"""Text with columns: its rows in a dialect that is known, none of them lost or shifted.

    dialect = dialect_of(sample, ".csv")           # Dialect(delimiter=";", quote='"', ..., columns=("text", "label"))
    for line, row in table_rows(lines, dialect, "rows.csv", Notes()):
        ...                                        # {"text": "很好", "label": "好评"}, or the RowError in its place

RFC 4180 is where it begins; what spreadsheets and other tools write beside it is told apart by evidence: `sep=;`, tabs
without quotes, short rows, surplus empty cells, quotes that were never meant as such, headers repeated by `cat`.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from noria.core.errors import InputError, RowError
from noria.core.messages import Message, message

LONGEST_CELL = 1 << 24
MARKED = "\udcff"
"""Stands in a text where its bytes are none of its encoding; no file that is read rightly holds it."""
_RUN_ON = 4
"""Lines of one row from which it is asked whether each is a row of its own; a text over that many lines has other breaks."""
_RULE = re.compile(r"(?:\s*:?-{3,}:?\s*)+")
"""What programs that draw tables put below the names of the columns."""
_CLOCK = re.compile(r"(?<!\S)(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}) +(\d{1,2}:\d{2})")
_INVISIBLE = re.compile("[\ufeff\u200b\u2060]")

OTHER_CELLS = "another number of cells than the header"
"""What is wrong with a row that has more cells than there are columns."""


@dataclass(frozen=True)
class Dialect:
    """How a text is divided into rows and cells."""

    delimiter: str = ","
    quote: str = '"'
    """What a cell that holds a delimiter stands between; "" where quotes are characters like others."""
    escape: str = ""
    """What stands before a quote inside a quoted cell; "": the quote is doubled."""
    skip_space: bool = False
    """Whether a blank after a delimiter belongs to no cell."""
    clocks: bool = False
    """Whether a day and the clock behind it are one cell, although what parts cells stands between them."""
    line_end: str = "\n"
    """What ends a line: "\\n", with or without a "\\r" before it, or "\\r" alone."""
    header_line: int = 1
    """1-based line on which the names of the columns begin; `sep=;` and empty lines stand before it."""
    columns: tuple[str, ...] = ()
    """Names of the columns, bare of outer blanks; "" for one without a name."""
    titles: tuple[str, ...] = ()
    """Lines above the header that name no columns."""

    def reader(self, lines: Iterable[str]) -> Iterator[list[str]]:
        """Return a strict reader of cells."""
        csv.field_size_limit(LONGEST_CELL)
        if self.delimiter == " ":
            lines = (_unpadded(line, clocks=self.clocks) for line in lines)
        how = (
            {"quotechar": self.quote, "quoting": csv.QUOTE_MINIMAL}
            if self.quote
            else {"quotechar": None, "quoting": csv.QUOTE_NONE}
        )
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            escapechar=self.escape or None,
            doublequote=not self.escape,
            skipinitialspace=self.skip_space,
            strict=True,
            **how,
        )


def _unpadded(line: str, *, clocks: bool) -> str:
    bare = line.rstrip("\r\n")
    end = line[len(bare) :]
    bare = bare.expandtabs(1).strip(" ")
    return (_CLOCK.sub(r"\1T\2", bare) if clocks else bare) + end


@dataclass
class Notes:
    """What a reader passed over or understood in its own way, by count, to be told once the file is read."""

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, int] = field(default_factory=dict)
    """What -> the first line where it was met."""

    def count(self, what: str, line: int) -> None:
        """Count one more."""
        self.counts[what] += 1
        self.first.setdefault(what, line)

    def lines(self) -> list[Message]:
        """Return one line a kind: how many, of what, and where the first stands."""
        return [
            message("rows.noted", count=count, what=what, line=self.first[what]) for what, count in self.counts.items()
        ]


def check_header(names: Sequence[str], source: str | Path) -> None:
    """Refuse a table without names of columns, or with one twice.

    Raises:
        InputError: either of these.
    """
    named = [name for name in names if name]
    if not named:
        raise InputError(message("errors.empty", name=source), allowed=message("errors.header_line"))
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise InputError(
            message("text.two_columns", source=source),
            found=", ".join(twice),
            allowed=message("text.columns_once"),
        )


def bare_names(cells: Iterable[str]) -> tuple[str, ...]:
    """Return the names of columns as they are meant: without outer blanks and invisible marks."""
    return tuple(_INVISIBLE.sub("", cell).strip() for cell in cells)


def table_rows(
    lines: Iterable[str], dialect: Dialect, source: str | Path, notes: Notes
) -> Iterator[tuple[int, dict[str, str] | RowError]]:
    """Yield each row below the header with its 1-based line, or the error that stands in its place.

    Cells that are missing at a row's end are empty; surplus ones are left out if they are empty, and else the row is an
    error: it is not known which of its cells belongs where. Rows without any content are passed over.

    Args:
        lines: all lines of the text, each with its end.
        dialect: how it is divided.
        source: the file's name, for messages.
        notes: takes what is passed over: repeated headers, rows of empty cells, cells below no name.
    """
    cells = read_cells(islice(lines, dialect.header_line - 1, None), dialect, dialect.header_line)
    next(cells, None)
    return rows_below(dialect.columns, cells, source, notes)


def rows_below(
    names: tuple[str, ...], rows: Iterable[tuple[int, list[str] | str]], source: str | Path, notes: Notes
) -> Iterator[tuple[int, dict[str, str] | RowError]]:
    """Yield cells under the names of their columns; of a spreadsheet as of text. A text in place of cells is a fault."""
    known = frozenset(names)
    for line, cells in rows:
        if isinstance(cells, str):
            yield line, RowError(message("text.line_table"), file=source, line=line, hint=cells)
            continue
        if not any(cell.strip() for cell in cells):
            if len(cells) > 1:
                notes.count(message("rows.empty"), line)
            continue
        if _RULE.fullmatch("".join(cells)):
            notes.count(message("rows.dashes"), line)
            continue
        if any(MARKED in cell for cell in cells):
            yield line, RowError(message("text.bytes_file"), file=source, line=line)
            continue
        if cells[0].strip(" \ufeff") in known and known.issuperset(again := _padded(bare_names(cells), len(names))):
            if again == names:
                notes.count(message("rows.header_again"), line)
                continue
            if len(again) == len(names) and sorted(again) == sorted(names):
                names = again
                notes.count(message("rows.other_order"), line)
                continue
        if any(cell.strip() for cell in cells[len(names) :]):
            yield (
                line,
                RowError(
                    OTHER_CELLS,
                    file=source,
                    line=line,
                    found=message("text.cells", cells=len(cells)),
                    allowed=f"{len(names)} ({', '.join(names)})",
                    hint=message("text.put_cell"),
                ),
            )
            continue
        if len(cells) < len(names):
            cells = [*cells, *[""] * (len(names) - len(cells))]
        if "" in known:
            for place, (name, cell) in enumerate(zip(names, cells, strict=False), 1):
                if not name and cell.strip():
                    notes.count(message("rows.no_name", place=place), line)
        yield line, {name: cell for name, cell in zip(names, cells, strict=False) if name}


def _padded(names: tuple[str, ...], width: int) -> tuple[str, ...]:
    """Return names with as many empty ones at their end as a header of that width has."""
    while len(names) > width and not names[-1]:
        names = names[:-1]
    return names + ("",) * (width - len(names))


class _Feed:
    """Lines handed to a reader of cells, remembered until its row is whole, so that they can be read again."""

    def __init__(self, lines: Iterable[str], first: int) -> None:
        self._lines = iter(lines)
        self._again: list[str] = []
        self.row: list[str] = []
        self.line = first - 1

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._lines)
        self.row.append(line)
        self.line += 1
        return line

    def back(self) -> None:
        """Take back all lines of the row but its first."""
        self._again += reversed(self.row[1:])
        self.line -= len(self.row) - 1
        del self.row[1:]


def read_cells(lines: Iterable[str], dialect: Dialect, first: int = 1) -> Iterator[tuple[int, list[str] | str]]:
    """Yield each row's line and cells, or what is wrong with it; a row that cannot be read takes no other with it."""
    feed = _Feed(lines, first)
    reader = dialect.reader(feed)
    width = 0
    while True:
        feed.row.clear()
        start = feed.line + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            told = "a quote that nothing closes" if "unexpected end" in str(error) else str(error)
            feed.back()
            reader = dialect.reader(feed)
            yield start, told
            continue
        if width and len(feed.row) >= _RUN_ON and _all_rows(feed.row, dialect, width):
            # A quote that was never meant as one has run on to another far below, over rows that are whole by themselves.
            feed.back()
            reader = dialect.reader(feed)
            yield start, "a quote that nothing closes on its line"
            continue
        width = width or len(cells)
        yield start, cells


def _all_rows(lines: Sequence[str], dialect: Dialect, width: int) -> bool:
    bare = replace(dialect, quote="", escape="")
    try:
        return all(len(next(bare.reader([line]))) == width for line in lines)
    except (csv.Error, StopIteration):
        return False
