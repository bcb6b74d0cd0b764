"""The questions and answers that customer service knows, read from any form people keep them in, and checked.

    {"question": "怎么退货？", "answer": "七天内……"}                                     one row a question; 问题 and 答案 will do
    {"id": "return", "questions": {"zh": [...], "de": [...]}, "answer": {"zh": ..., "de": ...}}
    plus "paraphrases": other ways people ask it, and "test": ways kept for judging, never shown to the service

`columns` knows the names of columns. Any languages, one or several; one entry is enough. Rows with one id, or with one answer
where no id is given, are one entry, and so are rows of one question where they say for whom (`conditions`); where a table has a column "accepted", only rows that a person accepted count. A second
file may hold questions that a person must answer: {"text"[, "language", "split": "calibrate" | "test"]}. The files here are
about Noria itself, and every question in them was written by Noria's authors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path
from typing import Any

import xxhash

from noria.core.errors import InputError, RowError
from noria.core.messages import message
from noria.text.records import read_records
from noria.text.script import has_han

from .columns import Row, language_named, role_of, row_of, string
from .conditions import Case, all_of, case_of
from .languages import language_among, main_language
from .plain import plain, tokens

HERE = Path(__file__).parent
BUNDLED, BUNDLED_OUTSIDE = HERE / "faq.jsonl", HERE / "outside.jsonl"
SHOWN = 5
"""Most examples of one oddity that are shown; all are counted."""
ALIKE = 0.85
"""Part of their characters that nearly identical questions share."""
RARE, COMPARED = 4, 50
"""By so many of its rarest words, and against so many others that have one, a question's near twins are looked for."""


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
    """Language -> answer; of several under conditions all, each with its condition."""
    line: int = 0
    """Where it stands in its file."""
    cases: tuple[Case, ...] = ()
    """Its answers under conditions, where it has several."""

    def title(self, language: str) -> str:
        """Return the question in a language, or in the first it has."""
        texts = self.questions.get(language) or self.paraphrases.get(language)
        return (texts or next(iter(self.questions.values())))[0]

    def answer(self, language: str) -> str:
        """Return the answer in a language, or in the first it has."""
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

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Return the languages in which it knows questions, the one it knows most in first."""
        counts = Counter(language for entry in self.entries for language, _ in entry.known())
        return tuple(language for language, _ in counts.most_common())


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
    entries = entries_of([row_of(value, path, line) for line, value in _records(path, notes)], path, notes)
    if not entries:
        raise InputError(message("apps.holds_question", path=path), allowed=message("apps.question_answer"))
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


def entries_of(rows: Sequence[Row], path: str | Path, notes: list[str]) -> list[Entry]:
    """Return the entries that rows make, of those that a person accepted; none where no row is.

    Args:
        rows: as they stand in a file.
        path: the file, for what is said of it.
        notes: what its writer should look at is put here.

    Raises:
        InputError: one question stands under two entries.
        RowError: a row cannot be used.
    """
    return _once(_merged(rows, path, notes), path, notes)


def with_more(faq: Faq, entries: Sequence[Entry], prefix: str = "") -> Faq:
    """Return a list with further entries. What it knows stays as it is: of an answer that it has, an entry is more ways to ask.

    Args:
        faq: the list, which may be empty.
        entries: what is put to it; ways to ask that it knows are left out.
        prefix: begins the ids of what is new, which then come from the question: they outlive a row that moves. Else they stay.
    """
    held = {entry.id: entry for entry in faq.entries}
    known = {plain(text) for entry in faq.entries for text in _texts(entry)}
    by_answer = {plain(text): entry.id for entry in faq.entries for text in entry.answers.values()}
    for entry in entries:
        forms = {
            language: tuple(text for of, text in entry.known() if of == language and plain(text) not in known)
            for language, _ in entry.known()
        }
        forms = {language: texts for language, texts in forms.items() if texts}
        if not forms:
            continue
        owner = next((by_answer[key] for text in entry.answers.values() if (key := plain(text)) in by_answer), None)
        if owner is None or held[owner].cases or entry.cases:
            first = plain(next(iter(forms.values()))[0])
            name = f"{prefix}{xxhash.xxh3_64_hexdigest(first.encode())}" if prefix else entry.id
            held[name] = replace(entry, id=name, questions=forms, paraphrases={}, test={})
            continue
        before = held[owner].paraphrases
        more = {language: (*before.get(language, ()), *texts) for language, texts in forms.items()}
        held[owner] = replace(held[owner], paraphrases={**before, **more})
    found = tuple(held.values())
    now = {plain(text) for entry in found for text in (*_texts(entry), *entry.answers.values())}
    outside = faq.outside or tuple(
        _outside(value, BUNDLED_OUTSIDE, line) for line, value in _records(BUNDLED_OUTSIDE, [])
    )
    return Faq(found, tuple(row for row in outside if plain(row.text) not in now), faq.notes) if entries else faq


def _records(path: str | Path, notes: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    records = read_records(path)
    for line, value in records:
        if isinstance(value, RowError):
            raise value
        yield line, value
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
    cases: list[Case] = field(default_factory=list)


def _merged(rows: Sequence[Row], path: str | Path, notes: list[str]) -> list[Entry]:
    drafts: dict[str, _Draft] = {}
    by_answer: dict[str, str] = {}
    by_question = {plain(text): f"line-{row.line}" for row in reversed(rows) if row.when for _, text in row.questions}
    if passed := sum(not row.accepted for row in rows):
        notes.append(message("apps.not_accepted", path=path, count=passed))
        rows = [row for row in rows if row.accepted]
    _name_languages(rows)
    for row in rows:
        name = row.id or next(
            (by_question[key] for _, text in row.questions if (key := plain(text)) in by_question), ""
        )
        if not name:
            key = "\n".join(plain(text) for _, text in sorted(row.answers))
            fresh = f"line-{row.line}" if f"line-{row.line}" not in drafts else f"line-{row.line}-{len(drafts) + 1}"
            name = by_answer.setdefault(key, fresh) if key else _above(drafts, path, row.line)
        _add(drafts.setdefault(name, _Draft(name, row.line)), row, path)
    entries = [_entry(draft, path) for draft in drafts.values()]
    ignored = Counter(name for row in rows for name in row.unused)
    notes += [f"{path}: field {name!r} of {count:,} rows is not used" for name, count in sorted(ignored.items())]
    foreign = [entry for entry in entries if set(entry.questions) - set(entry.answers)]
    if foreign:
        shown = ", ".join(f"{entry.id} (line {entry.line})" for entry in foreign[:SHOWN])
        notes.append(message("apps.answered_elsewhere", path=path, count=len(foreign), shown=shown))
    return entries


def _name_languages(rows: Sequence[Row]) -> None:
    """Give every text that was put under no language the one it is in; an answer that of its row's questions, where it can be."""
    groups = [texts for row in rows for texts in (row.questions, row.paraphrases, row.test)]
    open_texts = [text for texts in (*groups, *(row.answers for row in rows)) for of, text in texts if not of]
    main = main_language(open_texts)
    named = tuple(dict.fromkeys([main, *(of for texts in groups for of, _ in texts if of)]))
    for texts in groups:
        texts[:] = [(of or language_among(text, named), text) for of, text in texts]
    for row in rows:
        asked = list(dict.fromkeys(language for language, _ in row.asked))
        row.answers = [
            (language, text)
            for of, text in row.answers
            for language in ([of] if of else asked or [language_among(text, named)])
        ]


def _above(drafts: Mapping[str, _Draft], path: str | Path, line: int) -> str:
    if not drafts:
        found, allowed = message("apps.nothing"), message("apps.answer_beside")
        raise RowError(message("apps.needs_answer"), file=path, line=line, field="answer", found=found, allowed=allowed)
    return next(reversed(list(drafts)))  # a table that writes an answer once, before several ways to ask


def _add(draft: _Draft, row: Row, path: str | Path) -> None:
    if row.when:
        draft.cases.append(case_of(row.when, dict(row.answers), path, row.line))
    for language, text in [] if row.when else row.answers:
        before = draft.answers.setdefault(language, text)
        if plain(before) != plain(text):
            raise RowError(
                message("apps.entry_another", id=draft.id, line=draft.line),
                file=path,
                line=row.line,
                field="answer",
                found=text,
                hint=message("apps.give_two"),
            )
    for group in draft.groups:
        for language, text in getattr(row, group):
            forms = draft.groups[group].setdefault(language, [])
            forms += [text] if text not in forms or not draft.cases else []


def _entry(draft: _Draft, path: str | Path) -> Entry:
    groups = draft.groups
    if not groups["questions"]:
        groups["questions"], groups["paraphrases"] = groups["paraphrases"], {}
    if not groups["questions"]:
        raise RowError(
            message("apps.needs_question"), file=path, line=draft.line, field="question", found=message("apps.nothing")
        )
    if draft.cases:
        draft.cases += [case_of("", draft.answers, path, draft.line)] if draft.answers else []
        draft.answers = all_of(draft.cases)
    if not draft.answers:
        raise RowError(
            message("apps.needs_answer"), file=path, line=draft.line, field="answer", found=message("apps.nothing")
        )
    kept = {group: {of: tuple(texts) for of, texts in forms.items()} for group, forms in groups.items()}
    groups_kept = (kept["questions"], kept["paraphrases"], kept["test"])
    return Entry(draft.id, *groups_kept, draft.answers, draft.line, tuple(draft.cases))


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
        questions, paraphrases, test = groups.values()
        kept.append(replace(entry, questions=questions, paraphrases=paraphrases, test=test))
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


def _outside(value: Mapping[str, Any], path: str | Path, line: int) -> Outside:
    fields = {name.strip().casefold(): one for name, one in value.items()}
    asked = next((one for name, one in fields.items() if (role := role_of(name)) and role[0] == "questions"), None)
    text = string(fields.get("text") or asked, "text", path, line).strip()
    language, split = fields.get("language"), fields.get("split") or "calibrate"
    if split not in ("calibrate", "test"):
        raise RowError(
            message("apps.allowed"), file=path, line=line, field="split", found=split, allowed=("calibrate", "test")
        )
    by_script = "zh" if has_han(text) else "en"
    return Outside(text, language_named(language, "language", path, line) if language else by_script, split)
