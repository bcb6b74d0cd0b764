"""The questions and answers that customer service knows, read from any form people keep them in, and checked.

    {"question": "怎么退货？", "answer": "七天内……"}                                     one row a question; 问题 and 答案 will do
    {"id": "return", "questions": {"zh": [...], "en": [...]}, "answer": {"zh": ..., "en": ...}}
    plus "paraphrases": other ways people ask it, and "test": ways kept for judging, never shown to the service; several in a cell
    stand on lines of their own or between |

One language is enough, and so is one entry. Rows with one id, or with one answer where no id is given, are one entry. A second
file may hold questions that a person must answer: {"text"[, "language", "split": "calibrate" | "test"]}. The files here are
about Noria itself, and every question in them was written by Noria's authors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, RowError
from noria.core.messages import message
from noria.text.records import read_records

from .plain import language_of, plain, tokens

LANGUAGES = ("zh", "en")
HERE = Path(__file__).parent
BUNDLED, BUNDLED_OUTSIDE = HERE / "faq.jsonl", HERE / "outside.jsonl"
SHOWN = 5
"""Most examples of one oddity that are shown; all are counted."""
ALIKE = 0.85
"""Part of their characters that nearly identical questions share."""
RARE, COMPARED = 4, 50
"""By so many of its rarest words, and against so many others that have one, a question's near twins are looked for."""

_QUESTION = ("question", "questions", "问题", "标准问题", "标准问", "问", "q", "title")
_PHRASINGS = ("paraphrases", "phrasings", "similar", "相似问题", "相似问法", "相似问", "扩展问", "其他问法")
_TEST = ("test", "测试问题", "测试")
_ANSWER = ("answer", "答案", "回答", "回复", "答", "a")
_ID = ("id", "编号", "序号")
_KNOWN = {name for names in (_QUESTION, _PHRASINGS, _TEST, _ANSWER, _ID) for name in names}
_APART = re.compile(r"\s*(?:[\r\n]+|\|\||[|｜])\s*")


@dataclass(frozen=True)
class Entry:
    """One thing people ask, with its answer, in the languages it has."""

    id: str
    questions: Mapping[str, tuple[str, ...]]
    """Language -> plain forms of the question; the first one is its title."""
    paraphrases: Mapping[str, tuple[str, ...]]
    """Language -> other ways people ask it."""
    test: Mapping[str, tuple[str, ...]]
    """Language -> ways kept for judging, never shown to the service."""
    answers: Mapping[str, str]
    line: int = 0
    """Where it stands in its file."""

    def title(self, language: str) -> str:
        """Return the question in a language, or in the one it has."""
        return (self.questions.get(language) or next(iter(self.questions.values())))[0]

    def answer(self, language: str) -> str:
        """Return the answer in a language, or in the one it has."""
        return self.answers.get(language) or next(iter(self.answers.values()))

    def known(self) -> Iterator[tuple[str, str]]:
        """Yield language and text of every form that the service may know."""
        for group in (self.questions, self.paraphrases):
            for language, texts in group.items():
                yield from ((language, text) for text in texts)


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
    notes: tuple[str, ...] = ()
    """What its writer should look at, and what was left out, by count."""

    @property
    def languages(self) -> tuple[str, ...]:
        """Return the languages in which it knows questions."""
        return tuple(one for one in LANGUAGES if any(one in entry.questions for entry in self.entries))


def read_faq(path: str | Path = BUNDLED, outside: str | Path | None = None) -> Faq:
    """Return the checked questions and answers.

    Args:
        path: the questions and answers.
        outside: questions that a person must answer. The bundled ones, about everyday things and about Noria, are always
            there as well: how sure to be can only be told beside questions that have no answer.

    Raises:
        InputError: a file is missing or empty, or one question stands under two entries.
        RowError: a line cannot be used.
    """
    notes: list[str] = []
    entries = _merged(_records(path, notes), path, notes)
    if not entries:
        raise InputError(message("apps.holds_question", path=path), allowed=message("apps.question_answer"))
    entries = _once(entries, path, notes)
    own: list[Outside] = []
    known = {plain(text): entry for entry in entries for text in (*_texts(entry), *entry.answers.values())}
    for line, value in [] if outside is None else _records(outside, notes):
        row = _outside(value, outside or "", line)
        if entry := known.get(plain(row.text)):
            raise RowError(
                message("apps.question_handed", id=entry.id, line=entry.line),
                file=outside or "",
                line=line,
                found=row.text,
                hint=message("apps.keep_one"),
            )
        own.append(row)
    given = {plain(row.text) for row in own}
    bundled = [_outside(value, BUNDLED_OUTSIDE, line) for line, value in _records(BUNDLED_OUTSIDE, notes)]
    common = [row for row in bundled if plain(row.text) not in known and plain(row.text) not in given]
    notes += _near(entries)
    return Faq(tuple(entries), (*own, *common), tuple(notes))


def _records(path: str | Path, notes: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    records = read_records(path)
    for line, value in records:
        if isinstance(value, RowError):
            raise value
        yield line, {name.strip().casefold(): one for name, one in value.items()}
    notes += [f"{path}: {note}" for note in records.notes()]


@dataclass
class _Draft:
    """An entry while its rows are gathered."""

    id: str
    line: int
    groups: dict[str, dict[str, list[str]]] = field(
        default_factory=lambda: {"questions": {}, "paraphrases": {}, "test": {}}
    )
    answers: dict[str, str] = field(default_factory=dict)


def _merged(records: Iterable[tuple[int, dict[str, Any]]], path: str | Path, notes: list[str]) -> list[Entry]:
    drafts: dict[str, _Draft] = {}
    by_answer: dict[str, str] = {}
    ignored: dict[str, int] = {}
    for line, value in records:
        for name in value.keys() - _KNOWN - {""}:
            ignored[name] = ignored.get(name, 0) + 1
        groups = {
            "questions": _forms(value, _QUESTION, path, line),
            "paraphrases": _forms(value, _PHRASINGS, path, line),
            "test": _forms(value, _TEST, path, line),
        }
        answers = _answers(value, groups, path, line)
        name = _identity(value, path, line)
        if not name:
            key = "\n".join(plain(text) for _, text in sorted(answers.items()))
            fresh = f"line-{line}" if f"line-{line}" not in drafts else f"line-{line}-{len(drafts) + 1}"
            name = by_answer.setdefault(key, fresh) if key else _above(drafts, path, line)
        draft = drafts.setdefault(name, _Draft(name, line))
        _add(draft, groups, answers, path, line)
    entries = [_entry(draft, path) for draft in drafts.values()]
    notes += [f"{path}: field {name!r} of {count:,} rows is not used" for name, count in sorted(ignored.items())]
    return entries


def _above(drafts: Mapping[str, _Draft], path: str | Path, line: int) -> str:
    if not drafts:
        found, allowed = message("apps.nothing"), message("apps.answer_beside")
        raise RowError(message("apps.needs_answer"), file=path, line=line, field="answer", found=found, allowed=allowed)
    return next(reversed(list(drafts)))  # a table that writes an answer once, before several ways to ask


def _add(
    draft: _Draft, groups: dict[str, dict[str, list[str]]], answers: dict[str, str], path: str | Path, line: int
) -> None:
    for language, text in answers.items():
        before = draft.answers.setdefault(language, text)
        if plain(before) != plain(text):
            raise RowError(
                message("apps.entry_another", id=draft.id, line=draft.line),
                file=path,
                line=line,
                field="answer",
                found=text,
                hint=message("apps.give_two"),
            )
    for group, forms in groups.items():
        for language, texts in forms.items():
            draft.groups[group].setdefault(language, []).extend(texts)


def _entry(draft: _Draft, path: str | Path) -> Entry:
    groups = draft.groups
    if not groups["questions"]:
        groups["questions"], groups["paraphrases"] = groups["paraphrases"], {}
    if not groups["questions"]:
        raise RowError(
            message("apps.needs_question"), file=path, line=draft.line, field="question", found=message("apps.nothing")
        )
    if not draft.answers:
        raise RowError(
            message("apps.needs_answer"), file=path, line=draft.line, field="answer", found=message("apps.nothing")
        )
    for language in groups["questions"]:
        if language not in draft.answers:
            raise RowError(
                message("apps.questions_answer", language=language),
                file=path,
                line=draft.line,
                field=f"answer.{language}",
                found=message("apps.nothing"),
                hint=message("apps.give_answer"),
            )
    kept = {
        group: {language: tuple(texts) for language in LANGUAGES if (texts := forms.get(language))}
        for group, forms in groups.items()
    }
    return Entry(draft.id, kept["questions"], kept["paraphrases"], kept["test"], draft.answers, draft.line)


def _once(entries: list[Entry], path: str | Path, notes: list[str]) -> list[Entry]:
    """Return the entries with every question once, or refuse a question that two of them answer."""
    owner: dict[str, Entry] = {}
    clashes: list[str] = []
    repeated = leaked = 0
    kept = []
    for entry in entries:
        groups: dict[str, dict[str, tuple[str, ...]]] = {"questions": {}, "paraphrases": {}, "test": {}}
        for group, forms in groups.items():
            for language, texts in getattr(entry, group).items():
                for text in texts:
                    key = plain(text)
                    other = owner.setdefault(key, entry)
                    if other is not entry:
                        clashes.append(
                            f"{text!r} under {other.id} (line {other.line}) and {entry.id} (line {entry.line})"
                        )
                    elif any(key == plain(one) for have in groups.values() for some in have.values() for one in some):
                        leaked += group == "test"
                        repeated += group != "test"
                    else:
                        forms[language] = (*forms.get(language, ()), text)
        kept.append(
            Entry(entry.id, groups["questions"], groups["paraphrases"], groups["test"], entry.answers, entry.line)
        )
    if clashes:
        more = f" and {len(clashes) - SHOWN:,} more" if len(clashes) > SHOWN else ""
        raise InputError(
            message("apps.one_question", path=path),
            found="; ".join(clashes[:SHOWN]) + more,
            hint=message("apps.leave_under"),
        )
    if repeated:
        notes.append(f"{path}: {repeated:,} questions repeat another of their entry and count once")
    if leaked:
        notes.append(f"{path}: {leaked:,} questions kept for judging are known already and judge nothing")
    return kept


def _near(entries: list[Entry]) -> list[str]:
    """Return a note on questions of two entries that differ by little: which of them is meant a typing error decides."""
    forms = [(plain(text), frozenset(tokens(text)), text, entry) for entry in entries for _, text in entry.known()]
    places: dict[str, list[int]] = {}
    for at, (_, words, _, _) in enumerate(forms):
        for word in words:
            places.setdefault(word, []).append(at)
    pairs: dict[tuple[str, str], str] = {}
    for at, (form, words, text, entry) in enumerate(forms):
        shared = sorted((word for word in words if len(places[word]) > 1), key=lambda word: len(places[word]))
        for other in {place for word in shared[:RARE] for place in places[word][:COMPARED] if place < at}:
            before, theirs, first, owner = forms[other]
            alike = owner is not entry and len(words & theirs) >= len(words | theirs) / 2
            if alike and SequenceMatcher(None, before, form, autojunk=False).ratio() >= ALIKE:
                pairs.setdefault(
                    (owner.id, entry.id),
                    f"{first!r} of {owner.id} (line {owner.line}) and {text!r} of {entry.id} (line {entry.line})",
                )
    if not pairs:
        return []
    shown = "; ".join(list(pairs.values())[:SHOWN]) + ("; ..." if len(pairs) > SHOWN else "")
    return [f"{len(pairs):,} pairs of entries have questions that are nearly the same: {shown}"]


def _texts(entry: Entry) -> Iterator[str]:
    for group in (entry.questions, entry.paraphrases, entry.test):
        for texts in group.values():
            yield from texts


def _identity(value: dict[str, Any], path: str | Path, line: int) -> str:
    found = _first(value, _ID)
    if found is None or (isinstance(found, str) and not found.strip()):
        return ""
    if isinstance(found, bool) or not isinstance(found, str | int):
        allowed = message("apps.text_whole")
        raise RowError(message("apps.needs_name"), file=path, line=line, field="id", found=found, allowed=allowed)
    return str(found).strip()


def _answers(
    value: dict[str, Any], groups: Mapping[str, dict[str, list[str]]], path: str | Path, line: int
) -> dict[str, str]:
    found = _first(value, _ANSWER)
    if isinstance(found, Mapping):
        return {
            _language(name, "answer", path, line): _string(text, f"answer.{name}", path, line)
            for name, text in found.items()
            if text is not None and text != ""
        }
    if found is None or (isinstance(found, str) and not found.strip()):
        return {}
    text = _string(found, "answer", path, line)
    languages = {language for forms in groups.values() for language in forms} or {language_of(text)}
    return {language: text for language in LANGUAGES if language in languages}


def _forms(value: dict[str, Any], names: tuple[str, ...], path: str | Path, line: int) -> dict[str, list[str]]:
    """Return texts by language, from a text, a list of texts, or either of them by language."""
    forms: dict[str, list[str]] = {}
    for name in names:
        found = value.get(name)
        if isinstance(found, Mapping):
            for key, texts in found.items():
                language = _language(key, name, path, line)
                forms.setdefault(language, []).extend(_list(texts, f"{name}.{key}", path, line))
        else:
            for text in _list(found, name, path, line):
                for one in _APART.split(text):
                    if one:
                        forms.setdefault(language_of(one), []).append(one)
    return forms


def _list(found: object, field: str, path: str | Path, line: int) -> list[str]:
    if found is None or found == "":
        return []
    if isinstance(found, str):
        found = [found]
    if not isinstance(found, list):
        raise RowError(message("apps.needs_text"), file=path, line=line, field=field, found=found)
    return [_string(text, field, path, line).strip() for text in found]


def _language(name: object, field: str, path: str | Path, line: int) -> str:
    key = str(name).casefold().replace("_", "-").split("-")[0]
    language = {"cn": "zh", "chinese": "zh", "中文": "zh", "english": "en", "英文": "en"}.get(key, key)
    if language not in LANGUAGES:
        raise RowError(
            message("apps.unknown_language"), file=path, line=line, field=field, found=name, allowed=LANGUAGES
        )
    return language


def _outside(value: dict[str, Any], path: str | Path, line: int) -> Outside:
    text = _string(_first(value, ("text", *_QUESTION)), "text", path, line).strip()
    language = value.get("language") or language_of(text)
    split = value.get("split") or "calibrate"
    if split not in ("calibrate", "test"):
        raise RowError(
            message("apps.allowed"), file=path, line=line, field="split", found=split, allowed=("calibrate", "test")
        )
    return Outside(text, _language(language, "language", path, line), split)


def _first(value: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((value[name] for name in names if value.get(name) is not None), None)


def _string(value: object, field: str, path: str | Path, line: int) -> str:
    if not isinstance(value, str) or not value.strip():
        found = message("apps.nothing") if value is None else value
        raise RowError(message("apps.needs_text_2"), file=path, line=line, field=field, found=found)
    return value
