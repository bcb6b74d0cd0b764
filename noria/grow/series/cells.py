"""What stands in a series' file: a head of provenance above a table, and in its rows times, names, numbers and marks.

    table = read_headed(Path("market.csv"), ("time", "entity", ...))
    table.head["source"], table.rows[0]           # (5, {"time": "2024-01", ...}): line and cells

Nothing here knows what a series is for. A cell is read in the one way in which it can be meant, or its row is refused.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, RowError
from noria.core.messages import Message, joined, message, term
from noria.grow.log.amounts import currencies
from noria.grow.log.names import alike, one_spelling, plain
from noria.text.dialects import dialect_of
from noria.text.encoding import SAMPLE_BYTES, decoded, guess
from noria.text.formats import ENDINGS, FORMATS, Kind, format_of
from noria.text.numbers import Number, number_of, style_of
from noria.text.sheets import sheet_rows
from noria.text.sources import Source
from noria.text.tables import Notes, table_rows

from .calendars import is_time, read_time
from .units import scale_of

MARKS = ("provisional", "break")
"""Columns that may be absent; yes or nothing."""
_YES = ("yes", "y", "true", "1", "x", "是", "✓")
_NO = ("", "no", "n", "false", "0", "否")
_SEPARATOR = re.compile(r'\ufeff?"?sep=[^"]"?\s*', re.IGNORECASE)
_NOBODY = ("null", "(null)", "nan", "n/a", "#n/a", "undefined", "-", "--", "?")
_NAMED = ("entity", "segment", "measure", "unit")
_HEADED: tuple[Kind, ...] = ("table", "text", "columns", "sheet")
"""Kinds of files that can hold lines above the names of their columns."""


@dataclass(frozen=True)
class Flag:
    """Something that a reader of a series, or of what is made of it, must know."""

    code: str
    """Of a file: spelling, blank, step, encoding ...; of a market: total, others, unit, bounded, missing, entry ..."""
    time: str
    """Where it holds; nothing where it holds of all."""
    what: Message

    def text(self) -> Message:
        """Return the flag with its time."""
        return message("flags.at", time=self.time, what=self.what) if self.time else self.what

    def as_dict(self) -> dict[str, str]:
        """Return a JSON-able dict."""
        return {"code": self.code, "time": self.time, **self.what.both()}


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

    def flags(self, known: Collection[str]) -> list[Flag]:
        """Return what is to be told of how the file was read; `known` are the columns that are used."""
        found = []
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
    """Return a table and the lines of provenance above it, whatever its encoding and dialect; packed or not, or in a spreadsheet.

    Raises:
        InputError: no text, no header, or columns that are missing.
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
    missing = [name for name in columns if name not in dialect.columns]
    if missing:
        raise InputError(
            message("grow.lacks_columns", path=path, what=term(what)),
            found=", ".join(dialect.columns),
            allowed=columns,
            hint=message("grow.missing", missing=", ".join(missing)),
        )
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
    return Headed(head, rows, dialect.columns, dialect.delimiter, encoding, notes)


def kind_of(path: Path, what: str = "a series") -> Kind:
    """Return how a file is written, of those that can hold lines of provenance above their columns; any text is a table here.

    Raises:
        InputError: it is written otherwise.
    """
    source = Source(str(path))
    if source.suffix not in ENDINGS:
        return "table"
    found = format_of(source)
    if found.kind not in (*_HEADED, "parquet"):
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


class PointReader:
    """Reads the cells of points, in the light of all of them: what a comma means, which spellings are one."""

    def __init__(self, rows: Sequence[tuple[int, dict[str, str]]], path: Path, *, commas_divide: bool) -> None:
        self._path = path
        self._missing: Counter[str] = Counter()
        self._times: dict[str, str] = {}
        self._spelling = {name: one_spelling(Counter(row.get(name, "") for _, row in rows)) for name in _NAMED}
        self._currencies = currencies(row.get("value", "") for _, row in rows)
        try:
            self._style = style_of((row.get("value", "") for _, row in rows), commas_divide=commas_divide)
        except ValueError as error:
            raise InputError(
                message("grow.numbers_written", path=path), found=str(error), allowed=message("grow.one_way")
            ) from None

    def fields(self, line: int, row: dict[str, str]) -> tuple[Any, ...]:
        """Return time, entity, segment, measure, value, unit, and the two marks.

        Raises:
            RowError: a cell that cannot be read.
        """
        text = {name: self._spelling[name][row.get(name, "")] for name in _NAMED}
        text["time"] = row.get("time", "").strip()
        cell = row.get("value", "").strip()
        number = self._number(cell, line)
        if number and number.sign and not text["unit"]:
            text["unit"] = number.sign
        for name in ("time", "entity", "measure", "unit"):
            if not text[name]:
                raise self._wrong(message("grow.empty"), line, name)
        if plain(text["entity"]) in _NOBODY:
            raise self._wrong(
                message("grow.word_nobody"),
                line,
                "entity",
                text["entity"],
                allowed=message("grow.name_other"),
            )
        time = text["time"] if is_time(text["time"]) else read_time(text["time"])
        if time is None:
            raise self._wrong(
                message("grow.time"),
                line,
                "time",
                text["time"],
                allowed=message("grow.yyyy_yyyy"),
                hint=message("grow.say") if re.search(r"\d+[/.-]\d+[/.-]\d{4}", text["time"]) else None,
            )
        if time != text["time"]:
            self._times.setdefault(text["time"], time)
        value = self._value(number, text["unit"], cell, line)
        marks = []
        for name in MARKS:
            mark = row.get(name, "").strip().lower()
            if mark not in (*_YES, *_NO):
                raise self._wrong(message("grow.yes"), line, name, mark, allowed=message("grow.yes_nothing"))
            marks.append(mark in _YES)
        return (time, text["entity"], text["segment"], text["measure"], value, text["unit"], *marks)

    def flags(self) -> list[Flag]:
        """Return what was understood in a way of its own, once all rows are read."""
        found = []
        if len(self._currencies) > 1:
            listed = ", ".join(map(repr, self._currencies.values()))
            found.append(
                Flag(
                    "currency",
                    "",
                    message("flags.currency.values_several_currencies_taken", listed=listed),
                )
            )
        for column, spelling in self._spelling.items():
            for used, others in alike(spelling).items():
                if others := [other for other in others if other.strip() != used]:
                    listed = ", ".join(map(repr, others))
                    found.append(
                        Flag(
                            "spelling",
                            "",
                            message("flags.spelling.differs_from_only_letter", column=column, listed=listed, used=used),
                        )
                    )
        if self._times:
            first, time = next(iter(self._times.items()))
            found.append(
                Flag(
                    "form",
                    "",
                    message("flags.form.times_such_as_read", count=len(self._times), first=first, time=time),
                )
            )
        if self._style.decimal == ",":
            found.append(
                Flag(
                    "decimal",
                    "",
                    message("flags.decimal.numbers_have_decimal_comma"),
                )
            )
        for cell, count in self._missing.items():
            found.append(
                Flag(
                    "missing cells",
                    "",
                    message("flags.missing_cells.values_read_as_missing", count=count, cell=cell),
                )
            )
        return found

    def _number(self, cell: str, line: int) -> Number | None:
        try:
            number = number_of(cell, self._style)
        except ValueError as error:
            if self._style.open:
                raise self._wrong(str(error), line, "value", cell, allowed=message("grow.without_mark")) from None
            raise self._wrong(
                message("grow.number_2"),
                line,
                "value",
                cell,
                allowed=message("grow.number_nothing"),
                hint=message("grow.write_value") if cell[:1] in "<>≤≥~约" else None,
            ) from None
        if number is None and cell:
            self._missing[cell] += 1
        return number

    def _value(self, number: Number | None, unit: str, cell: str, line: int) -> float | None:
        if number is None:
            return None
        value = number.value
        if number.sign:
            one, wanted = scale_of(number.sign), scale_of(unit)
            assert one is not None
            if wanted is None:
                raise self._wrong(
                    message("grow.share_among", unit=unit), line, "value", cell, allowed=message("grow.amount_unit")
                )
            value = value if wanted == one else value / one * wanted
        if not math.isfinite(value):
            raise self._wrong(message("grow.number_2"), line, "value", cell, allowed=message("grow.number_nothing"))
        if value < 0:
            raise self._wrong(message("grow.negative"), line, "value", cell, allowed=message("grow.more_12"))
        return value

    def _wrong(
        self,
        what: str,
        line: int,
        name: str,
        found: object = None,
        allowed: str | Iterable[str] | None = None,
        hint: str | None = None,
    ) -> RowError:
        return RowError(what, file=self._path, line=line, field=name, found=found, allowed=allowed, hint=hint)
