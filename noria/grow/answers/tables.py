"""The two tables that a study of answers begins with: questions as customers ask them, and brands with what they are called.

questions = read_questions("questions.csv")        # a column question; or a text file with one a line
brands = read_brands("brands.csv")                 # brand, aliases, and where needed ambiguous and except
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, RowError
from noria.core.messages import Message, message
from noria.text.columns import as_it_should_be, cell_of, columns_among, names_of
from noria.text.headings import bare_name
from noria.text.language import language_of
from noria.text.mentions import Brand, readable
from noria.text.records import read_records

SHOWN = 8
"""Names of a column that an error shows."""
_PARTS = re.compile(r"[/|;；、,，\n]")


@dataclass(frozen=True)
class Question:
    """One question."""

    id: str
    text: str
    language: str
    """zh, en ... by its script, or as the table says."""


def read_questions(path: str | Path) -> tuple[list[Question], list[Message]]:
    """Return the questions of a file in any format that is read, and what a reader must know of them.

    Raises:
        InputError: no column of questions, or none in it.
        RowError: an id that two questions have.
    """
    found: dict[str, Question] = {}
    asked: set[str] = set()
    repeated = 0
    for line, row in _rows(path, "questions", "question", message("answers.needs_question")):
        text = " ".join(_cell(row, "questions", "question").split())
        if not text:
            continue
        if text in asked:
            repeated += 1
            continue
        asked.add(text)
        name = _cell(row, "questions", "id") or hashlib.sha256(text.encode()).hexdigest()[:8]
        if name in found:
            raise RowError(message("answers.id_twice"), file=path, line=line, field="id", found=name)
        found[name] = Question(name, text, (_cell(row, "questions", "language") or language_of(text)).lower()[:2])
    if not found:
        raise InputError(message("answers.no_questions", path=path))
    return list(found.values()), [message("answers.repeated", count=repeated)] if repeated else []


def read_brands(path: str | Path) -> list[Brand]:
    """Return the brands of a file, rows of one brand joined.

    Names in one cell are parted by / | ; or a comma, of Chinese too.

    Raises:
        InputError: no column of brands, or none in it.
        RowError: one name for two brands.
    """
    found: dict[str, Brand] = {}
    owners: dict[str, str] = {}
    for line, row in _rows(path, "brands", "brand", message("answers.needs_brand")):
        name = _cell(row, "brands", "brand")
        if not name:
            continue
        ambiguous, excluded = _names(row, "ambiguous"), _names(row, "except")
        aliases = tuple(dict.fromkeys([name, *_names(row, "aliases"), *ambiguous]))
        for alias in aliases:
            owner = owners.setdefault(readable(alias).casefold(), name)
            if owner != name:
                raise RowError(
                    message("answers.alias_twice", one=owner, other=name),
                    file=path,
                    line=line,
                    field="aliases",
                    found=alias,
                    allowed=message("answers.alias_once"),
                )
        known = found.get(name, Brand(name, ()))
        found[name] = replace(
            known,
            aliases=tuple(dict.fromkeys([*known.aliases, *aliases])),
            ambiguous=tuple(dict.fromkeys([*known.ambiguous, *ambiguous])),
            excluded=tuple(dict.fromkeys([*known.excluded, *excluded])),
        )
    if not found:
        raise InputError(message("answers.no_brands", path=path))
    return list(found.values())


def _rows(path: str | Path, kind: str, part: str, what: Message) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the rows of a file with their lines, keys in small letters.

    Raises:
        InputError: the column that is needed is not there.
    """
    checked = False
    for line, row in read_records(path):
        if isinstance(row, RowError):
            raise row
        if not checked and not columns_among(kind, part, row):
            raise InputError(
                what, found=", ".join(row), allowed=names_of(kind, part)[:SHOWN], hint=as_it_should_be([part])
            )
        checked = True
        yield line, {bare_name(str(key)): value for key, value in row.items()}


def _cell(row: Mapping[str, Any], kind: str, part: str) -> str:
    value = cell_of(kind, part, row)
    return "" if value is None else str(value).strip()


def _names(row: Mapping[str, Any], part: str) -> list[str]:
    value = cell_of("brands", part, row)
    parts = value if isinstance(value, list) else _PARTS.split("" if value is None else str(value))
    return [part for part in (str(one).strip() for one in parts) if part]
