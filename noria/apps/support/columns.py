"""One row of a list of questions: which of its columns holds what, under the names people give them, and what they hold.

    question / 问题 / 标准问, similar question 1, 2, ... / 相似问题1, answer / 答案, test, id / 编号, language / 语言, accepted / 采纳;
    a language behind or before one: question_de, answer (en), 英文问题; when / 条件: for whom, or when, the answer holds (`conditions`)

Several texts in a cell stand on lines of their own or between |.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from noria.core.errors import RowError
from noria.core.messages import message
from noria.text.columns import names_of

from .languages import NAMES, code_of

Role = Literal["questions", "paraphrases", "test", "answer", "id", "language", "accepted", "asked", "when", "source"]

_COLUMNS = {name.replace(" ", ""): role for role in get_args(Role) for name in names_of("faq", role)}
# Not `id` and `no`: question_id and question_no are numbers, in no language.
_SUFFIXES = {*NAMES, *re.findall("..", "zhenjakodefresitptruarthvinlpltrhisvcselukhefamsdafihuro")}
_APART = re.compile(r"\s*(?:[\r\n]+|\|\||[|｜])\s*")
_YES = frozenset(
    [
        "yes",
        "y",
        "true",
        "t",
        "1",
        "x",
        "ok",
        "accept",
        "accepted",
        "approved",
        "是",
        "采纳",
        "接受",
        "通过",
        "已采纳",
        "√",
        "✓",
        "✔",
        "对",
    ]
)


@dataclass
class Row:
    """What one row holds: texts with their language, "" where it is told by the text alone."""

    line: int
    id: str = ""
    questions: list[tuple[str, str]] = field(default_factory=list)
    paraphrases: list[tuple[str, str]] = field(default_factory=list)
    test: list[tuple[str, str]] = field(default_factory=list)
    answers: list[tuple[str, str]] = field(default_factory=list)
    when: str = ""
    """For whom, or when, the answer holds."""
    accepted: bool = True
    """Whether a person has accepted it; of a list without such a column all is."""
    unused: list[str] = field(default_factory=list)
    """Names of columns that say nothing here."""

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Return every form of the question, with its language."""
        return [*self.questions, *self.paraphrases, *self.test]


@lru_cache(maxsize=1 << 10)
def role_of(name: str) -> tuple[Role, str] | None:
    """Return what a column holds, and its language where its name tells one; None of a name that is not known.

    >>> role_of("相似问题 2"), role_of("Answer (EN)"), role_of("英文问题"), role_of("question_de"), role_of("topic")
    (('paraphrases', ''), ('answer', 'en'), ('questions', 'en'), ('questions', 'de'), None)
    """
    key = unicodedata.normalize("NFKC", name).strip().casefold()
    plain = re.sub(r"[\s_.-]*\d*$", "", key)
    if role := _COLUMNS.get(re.sub(r"[\s_-]+", "", plain)):
        return role, ""
    parts = re.fullmatch(r"(.+?)\s*[(\[]\s*([^()\[\]]+?)\s*[)\]]", plain) or re.fullmatch(
        r"(.+?)[\s_.-]+([^\s_.-]+)", plain
    )
    pairs = [parts.groups(), parts.groups()[::-1]] if parts else []
    pairs += [(plain[at:], plain[:at]) for at in range(2, min(5, len(plain))) if plain[:at] in NAMES]
    for base, language in pairs:
        role = _COLUMNS.get(re.sub(r"[\s_-]+", "", base))
        if role and language in _SUFFIXES:
            return role, code_of(language)
    return None


def row_of(value: Mapping[str, Any], path: str | Path, line: int) -> Row:
    """Return what a record holds.

    Raises:
        RowError: a field holds what it cannot.
    """
    row = Row(line)
    language = ""
    for name, found in value.items():
        told = role_of(name)
        if told is None:
            if name.strip():
                row.unused.append(name.strip().casefold())
            continue
        role, of = told
        if role in ("asked", "source"):
            continue  # of proposals: how often and where, which is the person's to see
        if _empty(found):
            if role == "accepted":
                row.accepted = False
        elif role == "id":
            row.id = _identity(found, path, line)
        elif role == "when":
            row.when = str(found).strip()
        elif role == "language":
            language = language_named(found, name, path, line)
        elif role == "accepted":
            row.accepted = found is True or str(found).strip().casefold() in _YES
        elif role == "answer":
            row.answers += _answers(found, of, name, path, line)
        else:
            getattr(row, role).extend(_forms(found, of, name, path, line))
    if language:
        for texts in (row.questions, row.paraphrases, row.test, row.answers):
            texts[:] = [(of or language, text) for of, text in texts]
    return row


def language_named(name: object, field: str, path: str | Path, line: int) -> str:
    """Return the code of a language by its name.

    Raises:
        RowError: it is none.
    """
    code = code_of(name)
    if not code:
        allowed = message("apps.language_codes")
        raise RowError(message("apps.unknown_language"), file=path, line=line, field=field, found=name, allowed=allowed)
    return code


def string(value: object, field: str, path: str | Path, line: int) -> str:
    """Return a text that is not empty.

    Raises:
        RowError: it is none.
    """
    if not isinstance(value, str) or not value.strip():
        found = message("apps.nothing") if value is None else value
        raise RowError(message("apps.needs_text_2"), file=path, line=line, field=field, found=found)
    return value


def _empty(found: object) -> bool:
    return found is None or (isinstance(found, str) and not found.strip()) or found == [] or found == {}


def _identity(found: object, path: str | Path, line: int) -> str:
    if isinstance(found, bool) or not isinstance(found, str | int):
        allowed = message("apps.text_whole")
        raise RowError(message("apps.needs_name"), file=path, line=line, field="id", found=found, allowed=allowed)
    return str(found).strip()


def _answers(found: object, language: str, name: str, path: str | Path, line: int) -> list[tuple[str, str]]:
    if isinstance(found, Mapping):
        return [
            (language_named(key, name, path, line), string(text, f"{name}.{key}", path, line))
            for key, text in found.items()
            if not _empty(text)
        ]
    return [(language, string(found, name, path, line))]


def _forms(found: object, language: str, name: str, path: str | Path, line: int) -> list[tuple[str, str]]:
    """Return texts with their language, from a text, a list of texts, or either of them by language."""
    if isinstance(found, Mapping):
        return [
            (language_named(key, name, path, line), text)
            for key, texts in found.items()
            for text in _list(texts, f"{name}.{key}", path, line)
        ]
    return [(language, one) for text in _list(found, name, path, line) for one in _APART.split(text) if one]


def _list(found: object, field: str, path: str | Path, line: int) -> list[str]:
    if _empty(found):
        return []
    if isinstance(found, list):
        return [string(text, field, path, line).strip() for text in found]
    if isinstance(found, str):
        return [found.strip()]
    raise RowError(message("apps.needs_text"), file=path, line=line, field=field, found=found)
