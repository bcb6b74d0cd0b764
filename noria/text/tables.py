"""Text with columns: how its cells are divided, found out from a sample; and its rows, none of them lost or shifted.

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
from typing import Any

from noria.core.errors import InputError, RowError

from .titles import header_place

LONGEST_CELL = 1 << 24
SAMPLE = 1 << 20
"""Characters by which a dialect is judged."""
MARKED = "\udcff"
"""Stands in a text where its bytes are none of its encoding; no file that is read rightly holds it."""
_DELIMITERS = (",", "\t", ";", "|", "，")
_SCORED = 300
_RUN_ON = 4
"""Lines of one row from which it is asked whether each is a row of its own; a text over that many lines has other breaks."""
_SEPARATOR_LINE = re.compile(r'\ufeff?"?sep=([^"\r\n])"?[ \t]*', re.IGNORECASE)
_RULE = re.compile(r"(?:\s*:?-{3,}:?\s*)+")
"""What programs that draw tables put below the names of the columns."""
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
    line_end: str = "\n"
    """What ends a line: "\\n", with or without a "\\r" before it, or "\\r" alone."""
    header_line: int = 1
    """1-based line on which the names of the columns begin; `sep=;` and empty lines stand before it."""
    columns: tuple[str, ...] = ()
    """Names of the columns, bare of outer blanks; "" for one without a name."""
    titles: tuple[str, ...] = ()
    """Lines above the header that name no columns."""

    def reader(self, lines: Iterable[str]) -> Any:
        """Return a strict reader of cells."""
        csv.field_size_limit(LONGEST_CELL)
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
            **how,  # type: ignore[arg-type]
        )


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

    def lines(self) -> list[str]:
        """Return one line a kind: how many, of what, and where the first stands."""
        return [f"{count:,} {what}, the first on line {self.first[what]:,}" for what, count in self.counts.items()]


def dialect_of(sample: str, suffix: str = "", *, whole: bool = True, source: str | Path = "<memory>") -> Dialect:
    """Return how a table is written, by evidence in `sample`: the division that leaves the fewest rows unlike the header.

    Args:
        sample: its beginning, `SAMPLE` characters or so.
        suffix: ending of the file's name; `.tsv` and `.tab` speak for tabs, where evidence does not speak against them.
        whole: whether the sample is all of it; else its last row may be cut and is not judged.
        source: the file's name, for messages.

    Raises:
        InputError: there is no header, or one that cannot be read or names two columns alike.
    """
    sample = sample.removeprefix("\ufeff")
    skipped, given = 0, ""
    if found := _SEPARATOR_LINE.match(sample):
        rest = sample[found.end() :]
        if not rest or rest[0] in "\r\n":
            given, skipped = found[1], 1
            sample = rest[2:] if rest.startswith("\r\n") else rest[1:]
    lead = re.match(r"(?:[ \t,;|\ufeff]*(?:\r\n|\n|\r))*", sample)
    assert lead
    skipped += len(re.findall(r"\r\n|\n|\r", lead[0]))
    sample = sample[lead.end() :]
    line_end = _line_end(sample)
    lines = [line + line_end for line in sample.split(line_end)]
    if not lines[-1].removesuffix(line_end) or (not whole and len(lines) > 1):
        lines.pop()
    titles = next(
        (
            place
            for one in ((given,) if given else _DELIMITERS)
            if (place := header_place([line.split(one) for line in lines[:_SCORED]]))
        ),
        0,
    )
    above = tuple(line.strip() for line in lines[:titles] if line.strip(" \t,;|\r\n"))
    lines = lines[titles:]
    base = Dialect(line_end=line_end, header_line=skipped + titles + 1, titles=above)
    order = sorted(_DELIMITERS, key=lambda one: one != "\t") if suffix in (".tsv", ".tab") else _DELIMITERS
    candidates = [replace(base, delimiter=one) for one in ((given,) if given else order)]
    first = lines[:_SCORED]
    surveys = [(one, _survey(first, one, len(first) == len(lines) and whole)) for one in candidates]
    divided = [pair for pair in surveys if pair[1].columns > 1] or surveys[:1]
    chosen = min(divided, key=lambda pair: (min(pair[1].bad, _bare(first, pair[0]).bad), -pair[1].columns))[0]
    chosen = _quoted(lines, chosen, whole)
    return replace(chosen, columns=_header(lines, chosen, source))


def check_header(names: Sequence[str], source: str | Path) -> None:
    """Refuse a table without names of columns, or with one twice.

    Raises:
        InputError: either of these.
    """
    named = [name for name in names if name]
    if not named:
        raise InputError(f"{source} is empty", allowed="a first line with the names of the columns")
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise InputError(f"{source} has two columns of one name", found=", ".join(twice))


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
    cells_of = _cells(islice(lines, dialect.header_line - 1, None), dialect, dialect.header_line)
    next(cells_of, None)
    return rows_below(dialect.columns, cells_of, source, notes)


def rows_below(
    names: tuple[str, ...], rows: Iterable[tuple[int, list[str] | str]], source: str | Path, notes: Notes
) -> Iterator[tuple[int, dict[str, str] | RowError]]:
    """Yield cells under the names of their columns; of a spreadsheet as of text. A text in place of cells is a fault."""
    known = frozenset(names)
    for line, cells in rows:
        if isinstance(cells, str):
            yield line, RowError("not a line of a table", file=source, line=line, hint=cells)
            continue
        if not any(cell.strip() for cell in cells):
            if len(cells) > 1:
                notes.count("rows of empty cells passed over", line)
            continue
        if _RULE.fullmatch("".join(cells)):
            notes.count("rows of dashes passed over", line)
            continue
        if any(MARKED in cell for cell in cells):
            yield line, RowError("bytes that are not of the file's encoding", file=source, line=line)
            continue
        if cells[0].strip(" \ufeff") in known and known.issuperset(again := _padded(bare_names(cells), len(names))):
            if again == names:
                notes.count("repeated headers passed over", line)
                continue
            if len(again) == len(names) and sorted(again) == sorted(names):
                names = again
                notes.count("headers with the columns in another order: followed from there", line)
                continue
        if any(cell.strip() for cell in cells[len(names) :]):
            yield (
                line,
                RowError(
                    OTHER_CELLS,
                    file=source,
                    line=line,
                    found=f"{len(cells)} cells",
                    allowed=f"{len(names)} ({', '.join(names)})",
                    hint="put a cell that holds the delimiter between quotes",
                ),
            )
            continue
        if len(cells) < len(names):
            cells = [*cells, *[""] * (len(names) - len(cells))]
        if "" in known:
            for place, (name, cell) in enumerate(zip(names, cells, strict=False), 1):
                if not name and cell.strip():
                    notes.count(f"cells of column {place}, which has no name, left out", line)
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


def _cells(lines: Iterable[str], dialect: Dialect, first: int = 1) -> Iterator[tuple[int, list[str] | str]]:
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


@dataclass
class _Survey:
    """What a division makes of a sample."""

    columns: int = 0
    bad: int = 0
    """Rows that cannot be read, or have other than the header's number of cells."""
    unread: int = 0
    well_quoted: int = 0
    """Cells, as they stand, that begin and end with a double quote."""
    doubled: int = 0
    """Those among them with a doubled quote inside."""
    opened: int = 0
    """Cells, as they stand, that begin with a double quote and do not end with one."""
    header_quoted: bool = False


def _survey(lines: Sequence[str], dialect: Dialect, whole: bool) -> _Survey:
    found = _Survey()
    rows = list(_cells(lines, dialect))
    if not whole and rows and isinstance(rows[-1][1], str):
        rows.pop()
    for _, cells in rows:
        if isinstance(cells, str):
            if not found.columns:
                return _Survey(bad=len(rows), unread=len(rows))  # names that cannot be read are not divided like this
            found.bad += 1
            found.unread += 1
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if not found.columns:
            found.columns = len(cells)
            found.header_quoted = all(_is_quoted(cell) for cell in cells)
        short, surplus = len(cells) < found.columns, any(cell.strip() for cell in cells[found.columns :])
        found.bad += short or surplus
        for cell in cells:
            if _is_quoted(cell):
                found.well_quoted += 1
                found.doubled += '""' in cell[1:-1]
            found.opened += cell.startswith('"') and not _is_quoted(cell)
    return found


def _is_quoted(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def _bare(lines: Sequence[str], dialect: Dialect) -> _Survey:
    return _survey(lines, replace(dialect, quote=""), True)


def _quoted(lines: Sequence[str], dialect: Dialect, whole: bool) -> Dialect:
    """Return the dialect with what its quotes are, if they are any."""
    bare = replace(dialect, quote="")
    text = "".join(lines)
    if '"' not in text:
        # An apostrophe is a letter of English: single quotes are quotes only where the names of the columns stand in them.
        if all(len(cell) > 1 and cell[0] == cell[-1] == "'" for cell in _first_cells(lines, bare)):
            return replace(dialect, quote="'")
        # Tabs need no quotes, and what has none so far is read as it stands.
        return bare if dialect.delimiter == "\t" else dialect
    quoted, plain = _survey(lines, dialect, whole), _survey(lines, bare, whole)
    if dialect.delimiter == "\t":
        meant = (
            plain.header_quoted
            or (quoted.unread == 0 and plain.doubled + plain.opened > 0)
            or quoted.unread < plain.unread
            or quoted.bad < plain.bad
        )
    else:
        # One quote gone astray is that row's fault; several, and none that is closed, were never meant as quotes.
        meant = quoted.unread <= max(1, plain.well_quoted) or plain.bad >= quoted.bad
    if not meant:
        return bare
    others = []
    if '\\"' in text:
        others.append(replace(dialect, escape="\\"))
    if re.search(re.escape(dialect.delimiter) + ' +"', text):
        others.append(replace(dialect, skip_space=True))
    for other in others:
        if _survey(lines, other, whole).bad < quoted.bad:
            return other
    return dialect


def _first_cells(lines: Sequence[str], dialect: Dialect) -> list[str]:
    _, cells = next(_cells(lines, dialect), (1, []))
    return [cell.strip() for cell in cells] if isinstance(cells, list) else []


def _header(lines: Sequence[str], dialect: Dialect, source: str | Path) -> tuple[str, ...]:
    _, cells = next(_cells(lines, dialect), (1, []))
    if isinstance(cells, str):
        raise InputError(f"{source}: the names of the columns cannot be read", found=lines[0], hint=cells)
    names = bare_names(cells)
    check_header(names, source)
    return names


def _line_end(sample: str) -> str:
    """Return what ends the first line; a break between quotes ends none."""
    quoted = False
    for found in re.finditer(r'["\r\n]', sample):
        if found[0] == '"':
            quoted = not quoted
        elif not quoted:
            return "\r" if found[0] == "\r" and sample[found.end() : found.end() + 1] != "\n" else "\n"
    return "\n" if "\n" in sample or "\r" not in sample else "\r"
