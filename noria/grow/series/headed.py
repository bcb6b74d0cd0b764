"""A table with lines above and below it: provenance, titles, units and sources, in a text of any dialect or in a spreadsheet.

    table = read_headed(Path("market.csv"), ("time", "entity", ...))
    table.head["source"], table.rows[0]           # (5, {"time": "2024-01", ...}): line and cells

Nothing here knows what a table is for.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from noria.core.errors import InputError, RowError, shorten
from noria.core.messages import joined, message, term
from noria.text.dialects import dialect_of
from noria.text.encoding import SAMPLE_BYTES, decoded, guess
from noria.text.formats import ENDINGS, FORMATS, Kind, format_of
from noria.text.sheets import sheet_rows
from noria.text.sources import Source
from noria.text.tables import Dialect, Notes, read_cells, table_rows

from .cells import Flag

_SEPARATOR = re.compile(r'\ufeff?"?sep=[^"]"?\s*', re.IGNORECASE)
_HEADED: tuple[Kind, ...] = ("table", "text", "columns", "sheet")
"""Kinds of files that can hold lines above the names of their columns."""


@dataclass(frozen=True)
class Headed:
    """A table with lines of `# key: value` above it."""

    head: dict[str, str]
    rows: list[tuple[int, dict[str, str]]]
    """Lines and cells."""
    columns: tuple[str, ...]
    delimiter: str
    encoding: str
    notes: Notes = field(default_factory=Notes)
    titles: tuple[str, ...] = ()
    """Lines above the names of the columns that are no provenance."""
    remarks: tuple[Flag, ...] = ()
    """What else is to be told of how it was read."""

    def flags(self, known: Collection[str]) -> list[Flag]:
        """Return what is to be told of how the file was read; `known` are the columns that are used."""
        found = [*self.remarks]
        if self.encoding not in ("utf-8", "utf-8-sig"):
            found.append(Flag("encoding", "", message("flags.encoding.not_utf_8_read", encoding=self.encoding)))
        if unread := [name for name in self.columns if name and name not in known]:
            found.append(
                Flag("columns", "", message("flags.columns.columns_not_read", names=joined("join.list", unread)))
            )
        for what, count in self.notes.counts.items():
            line = self.notes.first[what]
            found.append(Flag("rows", "", message("flags.rows.first", count=count, what=what, line=line)))
        return found


def read_headed(path: Path, columns: Sequence[str], what: str = "a series") -> Headed:
    """Return a table that has these columns, as `read_table` does.

    Raises:
        InputError: no text, no header, or columns that are missing.
        RowError: a line that is no row, or has more cells than columns.
    """
    table = read_table(path, columns, what)
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise InputError(
            message("grow.lacks_columns", path=path, what=term(what)),
            found=", ".join(table.columns),
            allowed=columns,
            hint=message("grow.missing", missing=", ".join(missing)),
        )
    return table


def read_table(path: Path, columns: Sequence[str], what: str = "a series") -> Headed:
    """Return a table and the lines of provenance above it, whatever its encoding and dialect; packed or not, or in a spreadsheet.

    Args:
        path: the file.
        columns: what it should hold, for messages.
        what: the file is, for messages.

    Raises:
        InputError: no text, or no header.
        RowError: a line that is no row, or has more cells than columns.
    """
    notes = Notes()
    text, encoding = _text(path, what, notes)
    lines = text.split("\n")
    head: dict[str, str] = {}
    above = 0
    separator = [f"{lines.pop(0)}\n"] if _SEPARATOR.fullmatch(lines[0]) else []  # a spreadsheet's, for the table below
    for line in lines:
        told = _remark(line)
        if told is None and line.strip(" \t,;|\ufeff"):
            break
        above += 1
        key, _, value = re.sub("：", ":", told or "", count=1).partition(":")
        if told:
            head[key.strip()] = value.strip()
    body = [*separator, *(f"{line}\n" for line in lines[above:])]
    if len(body) == len(separator):
        raise InputError(
            message("grow.holds_table", path=path), allowed=message("grow.line_columns", columns=", ".join(columns))
        )
    source = str(path)
    dialect = dialect_of("".join(body), Source(source).suffix, source=path, blanks=True)
    flags = []
    if names := _two_rows_of_names(body, dialect):
        dialect = replace(dialect, columns=names)
        body[dialect.header_line] = "\n"
        flags.append(Flag("shape", "", message("flags.shape.two_rows", names=joined("join.list", names))))
    if not dialect.columns[0] and len(dialect.columns) > 1:  # the corner of a pivot table
        dialect = replace(dialect, columns=("name", *dialect.columns[1:]))
    for title in dialect.titles:
        notes.count(message("rows.title", title=shorten(title.strip(",;\t| "), 40)), 1)
    rows = []
    for place, row in table_rows(body, dialect, source, notes):
        if isinstance(row, RowError):
            raise RowError(
                row.wrong,
                file=path,
                line=place + above,
                found=row.found,
                allowed=row.allowed,
                hint=row.hint,
            )
        rows.append((place + above, row))
    notes.first = {what: place + above for what, place in notes.first.items()}
    return Headed(head, rows, dialect.columns, dialect.delimiter, encoding, notes, dialect.titles, tuple(flags))


def _two_rows_of_names(body: Sequence[str], dialect: Dialect) -> tuple[str, ...]:
    """Return the names of columns that stand in two rows, as under merged cells: 2024 above first and second half; else nothing."""
    rows = [cells for _, cells in islice(read_cells(body[dialect.header_line - 1 :], dialect), 3)]
    if len(rows) < 3 or any(isinstance(cells, str) or "\n" in "".join(cells) for cells in rows):
        return ()
    above, below, first = ([cell.strip() for cell in cells] for cells in rows)
    gaps = [place for place, cell in enumerate(above) if place and not cell]
    if len(above) != len(below) or not gaps or not all(below[place] for place in gaps):
        return ()
    if any(re.search(r"\d[\d.,]*$", cell) and not re.search(r"[^\d.,%-]", cell) for cell in below) or not any(
        re.fullmatch(r"[\d.,%¥$€ -]+", cell) for cell in first
    ):
        return ()
    names, over = [], ""
    for upper, lower in zip(above, below, strict=True):
        over = upper or over
        blank = "" if over[-1:] > "\u2e80" or lower[:1] > "\u2e80" else " "
        names.append(f"{over}{blank}{lower}".strip() if lower else over)
    return tuple(names) if len(set(names)) == len(names) else ()


def kind_of(path: Path, what: str = "a series") -> Kind:
    """Return how a file is written, of those that hold a table, or rows of JSON where a series is meant; any text is a table here.

    Raises:
        InputError: it is written otherwise.
    """
    source = Source(str(path))
    if source.suffix not in ENDINGS:
        return "table"
    found = format_of(source)
    if found.kind not in (*_HEADED, "parquet") and not (what == "a series" and found.kind in ("lines", "json")):
        raise _no_place(path, found.name, what)
    return found.kind


def _no_place(path: Path, form: str, what: str) -> InputError:
    endings = [ending for one in FORMATS if one.kind in _HEADED for ending in one.endings]
    return InputError(
        message("grow.place_lines", path=path, form=form, what=term(what)),
        allowed=message("grow.or_parquet", endings=", ".join(endings)) if what == "a series" else ", ".join(endings),
        hint=message("grow.copy_into"),
    )


def _text(path: Path, what: str, notes: Notes) -> tuple[str, str]:
    """Return a file as the text of a table, and its encoding; of a spreadsheet its first sheet as CSV."""
    source, kind = Source(str(path)), kind_of(path, what)
    if kind == "parquet":
        raise _no_place(path, "Parquet", what)
    if kind != "sheet":
        image = source.read()
        return decoded(image, path).replace("\r\n", "\n").replace("\r", "\n"), guess(image[:SAMPLE_BYTES])
    above, rows = sheet_rows(source, notes)
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([cell.replace("\n", " ") for cell in cells] for cells in rows)
    return "\n" * above + out.getvalue(), "utf-8"


def _remark(line: str) -> str | None:
    """Return what stands behind # in a line of provenance, without what a spreadsheet added; None for other lines."""
    bare = line.strip().lstrip("\ufeff")
    if bare.startswith('"#'):
        bare = next(csv.reader([bare]))[0]
    return re.sub(r"[,;|\t\s]+$", "", bare[1:]) if bare.startswith("#") else None
