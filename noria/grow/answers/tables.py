"""The two tables that a study of answers begins with: questions as customers ask them, and brands with what they are called.

questions = read_questions("questions.csv")        # a column question; or a text file with one a line
brands = read_brands("brands.csv")                 # brand, aliases, and where needed ambiguous and except
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, RowError
from noria.core.messages import Message, message
from noria.text.language import language_of
from noria.text.mentions import Brand, readable
from noria.text.records import read_records

_QUESTION = ("question", "questions", "prompt", "query", "text", "问题", "提问", "问句", "题目")
_ID = ("id", "编号", "序号")
_LANGUAGE = ("language", "lang", "语言", "语种")
_BRAND = ("brand", "name", "entity", "品牌", "名称")
_ALIASES = ("aliases", "alias", "别名", "又名", "简称")
_AMBIGUOUS = ("ambiguous", "歧义", "多义")
_EXCEPT = ("except", "exclude", "excluded", "除外", "排除")
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
    for line, row in _rows(path, _QUESTION, message("answers.needs_question")):
        text = " ".join(_cell(row, _QUESTION).split())
        if not text:
            continue
        if text in asked:
            repeated += 1
            continue
        asked.add(text)
        name = _cell(row, _ID) or hashlib.sha256(text.encode()).hexdigest()[:8]
        if name in found:
            raise RowError(message("answers.id_twice"), file=path, line=line, field="id", found=name)
        found[name] = Question(name, text, (_cell(row, _LANGUAGE) or language_of(text)).lower()[:2])
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
    for line, row in _rows(path, _BRAND, message("answers.needs_brand")):
        name = _cell(row, _BRAND)
        if not name:
            continue
        ambiguous, excluded = _names(row, _AMBIGUOUS), _names(row, _EXCEPT)
        aliases = tuple(dict.fromkeys([name, *_names(row, _ALIASES), *ambiguous]))
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


def _rows(path: str | Path, wanted: Sequence[str], what: Message) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the rows of a file with their lines, keys in small letters.

    Raises:
        InputError: the column that is needed is not there.
    """
    checked = False
    for line, row in read_records(path):
        if isinstance(row, RowError):
            raise row
        row = {str(key).strip().lower(): value for key, value in row.items()}
        if not checked and not any(name in row for name in wanted):
            raise InputError(what, found=", ".join(row), allowed=wanted)
        checked = True
        yield line, row


def _cell(row: Mapping[str, Any], names: Sequence[str]) -> str:
    value = next((row[name] for name in names if row.get(name) not in (None, "")), "")
    return str(value).strip()


def _names(row: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    value = next((row[name] for name in columns if row.get(name) not in (None, "")), "")
    parts = value if isinstance(value, list) else _PARTS.split(str(value))
    return [part for part in (str(one).strip() for one in parts) if part]
