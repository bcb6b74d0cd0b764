"""The questions and answers that customer service knows, read and checked.

One JSON object a line: {"id", "questions": {zh: [...], en: [...]}, "paraphrases": {...}, "test": {...}, "answer": {zh, en}}.
`questions` and `paraphrases` are known to the service, `test` are kept for judging it. A second file holds questions that
it must not answer: {"text", "language", "split": "calibrate" | "test"}. The files here are about Noria itself, and every
question in them was written by Noria's authors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, RowError

LANGUAGES = ("zh", "en")
HERE = Path(__file__).parent
BUNDLED, BUNDLED_OUTSIDE = HERE / "faq.jsonl", HERE / "outside.jsonl"


@dataclass(frozen=True)
class Entry:
    """One thing people ask, with its answer, in every language."""

    id: str
    questions: Mapping[str, tuple[str, ...]]
    """Language -> plain forms of the question; the first one is its title."""
    paraphrases: Mapping[str, tuple[str, ...]]
    """Language -> other ways people ask it."""
    test: Mapping[str, tuple[str, ...]]
    """Language -> ways kept for judging, never shown to the service."""
    answer: Mapping[str, str]


@dataclass(frozen=True)
class Outside:
    """A question that the service has no answer to."""

    text: str
    language: str
    split: str


@dataclass(frozen=True)
class Faq:
    """Everything that customer service knows and is judged by."""

    entries: tuple[Entry, ...]
    outside: tuple[Outside, ...]


def read_faq(path: str | Path = BUNDLED, outside: str | Path | None = BUNDLED_OUTSIDE) -> Faq:
    """Return the checked questions and answers.

    Raises:
        InputError: a file is missing, or holds fewer than two entries.
        RowError: a line lacks a field, or a question stands twice.
    """
    entries = [_entry(value, path, line) for line, value in _lines(path)]
    unknown = [_outside(value, outside, line) for line, value in _lines(outside)] if outside else []
    if len(entries) < 2:
        raise InputError("a list of questions needs at least two entries", found=len(entries))
    if len({entry.id for entry in entries}) < len(entries):
        raise InputError(f"{path}: two entries share an id")
    seen: set[str] = set()
    for text in [text for entry in entries for text in _texts(entry)] + [row.text for row in unknown]:
        if text in seen:
            raise InputError("a question stands twice", found=text)
        seen.add(text)
    return Faq(tuple(entries), tuple(unknown))


def _texts(entry: Entry) -> Iterator[str]:
    for group in (entry.questions, entry.paraphrases, entry.test):
        for texts in group.values():
            yield from texts


def _lines(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError("no such file of questions", found=str(path)) from None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            raise RowError("not JSON", file=path, line=number, found=str(error)) from None
        if not isinstance(value, dict):
            raise RowError("not a JSON object", file=path, line=number, found=line)
        yield number, value


def _entry(value: dict[str, Any], path: str | Path, line: int) -> Entry:
    name = _string(value.get("id"), "id", path, line)
    answers = value.get("answer")
    if not isinstance(answers, dict):
        raise RowError("needs an answer in every language", file=path, line=line, field="answer", found=answers)
    return Entry(
        name,
        _forms(value, "questions", path, line, least=1),
        _forms(value, "paraphrases", path, line),
        _forms(value, "test", path, line),
        {language: _string(answers.get(language), f"answer.{language}", path, line) for language in LANGUAGES},
    )


def _forms(
    value: dict[str, Any], field: str, path: str | Path, line: int, least: int = 0
) -> dict[str, tuple[str, ...]]:
    group = value.get(field, {})
    forms = {}
    for language in LANGUAGES:
        texts = group.get(language, []) if isinstance(group, dict) else None
        if not isinstance(texts, list) or len(texts) < least:
            raise RowError(f"needs a list of texts for {language}", file=path, line=line, field=field, found=texts)
        forms[language] = tuple(_string(text, f"{field}.{language}", path, line) for text in texts)
    return forms


def _outside(value: dict[str, Any], path: str | Path, line: int) -> Outside:
    for field, allowed in (("language", LANGUAGES), ("split", ("calibrate", "test"))):
        if value.get(field) not in allowed:
            raise RowError(
                "not allowed", file=path, line=line, field=field, found=value.get(field, "nothing"), allowed=allowed
            )
    return Outside(_string(value.get("text"), "text", path, line), value["language"], value["split"])


def _string(value: object, field: str, path: str | Path, line: int) -> str:
    if not isinstance(value, str) or not value.strip():
        raise RowError("needs a text", file=path, line=line, field=field, found="nothing" if value is None else value)
    return value
