"""What stands in the rows of a series: times, names, numbers and marks, each read in the one way in which it can be meant, or refused."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, RowError
from noria.core.messages import Message, message
from noria.grow.log.amounts import currencies
from noria.grow.log.names import alike, one_spelling, plain
from noria.text.numbers import Number, Style, number_of, style_of
from noria.text.times import DateOrder

from .periods import read_periods
from .units import scale_of

MARKS = ("provisional", "break")
"""Columns that may be absent; yes or nothing."""
_YES = ("yes", "y", "true", "1", "x", "是", "✓")
_NO = ("", "no", "n", "false", "0", "否")
_NOBODY = ("null", "(null)", "nan", "n/a", "#n/a", "undefined", "-", "--", "?")
_NAMED = ("entity", "segment", "measure", "unit")


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


class PointReader:
    """Reads the cells of points, in the light of all of them: what a comma means, which spellings are one."""

    def __init__(
        self,
        rows: Sequence[tuple[int, dict[str, str]]],
        path: Path,
        *,
        commas_divide: bool,
        date_order: DateOrder = "",
        decimal: str = "",
        zone: str = "",
    ) -> None:
        self._path = path
        self._missing: Counter[str] = Counter()
        self._times: dict[str, str] = {}
        self._spelling = {name: one_spelling(Counter(row.get(name, "") for _, row in rows)) for name in _NAMED}
        self._currencies = currencies(row.get("value", "") for _, row in rows)
        lines: dict[str, int] = {}
        for line, row in rows:
            lines.setdefault(row.get("time", "").strip(), line)
        self._periods = read_periods(lines, date_order, zone or None, str(path), lines)
        if decimal:
            self._style = Style(decimal)
            return
        try:
            self._style = style_of((row.get("value", "") for _, row in rows), commas_divide=commas_divide)
        except ValueError as error:
            raise InputError(
                message("grow.numbers_written", path=path),
                found=str(error),
                allowed=message("grow.one_way"),
                hint=message("grow.say_decimal"),
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
        time = self._periods.times.get(text["time"])
        if time is None:
            raise self._wrong(
                message("grow.time"),
                line,
                "time",
                text["time"],
                allowed=message("grow.yyyy_yyyy"),
                hint=message("grow.say_zone_days") if text["time"] == self._periods.zoneless else None,
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
        found = [Flag("form", "", note) for note in self._periods.notes]
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
                raise self._wrong(
                    str(error),
                    line,
                    "value",
                    cell,
                    allowed=message("grow.without_mark"),
                    hint=message("grow.say_decimal"),
                ) from None
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
