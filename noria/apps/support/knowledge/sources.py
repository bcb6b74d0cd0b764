"""What a team has, file by file: documents, questions and answers, past dialogues or rules; told apart by columns, never by names.

| a file | is |
| --- | --- |
| HTML, PDF, Word, Markdown, text | a document, cut into passages |
| rows with a question and an answer | FAQ |
| rows with a conversation, who speaks and a text; or with a list of turns; or one column of whole conversations | dialogues |
| rows with a pattern or words, and an answer, a handover or an action | rules |
| rows with a text | a document a row |
| any other rows | a table, read as lines of "column: cell" |
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from noria.apps.support.columns import role_of
from noria.apps.support.dialogues import holds_dialogues, read_dialogues
from noria.apps.support.faq import read_faq
from noria.core.errors import InputError, RowError
from noria.core.messages import Message, message
from noria.text.columns import names_of
from noria.text.formats import format_of, why_not
from noria.text.passages import Passage as Part
from noria.text.passages import TextDocument
from noria.text.personal_data import mask
from noria.text.records import Records, read_records
from noria.text.sources import Source

from .passages import Passage, cut
from .rules import is_rules, rule_of

Kind = Literal["documents", "faq", "dialogues", "rules"]
_TEXT, _TITLE, _LINK, _ID = (names_of("documents", part) for part in ("text", "title", "link", "id"))
TABLE_LINES = 50
"""Rows of a table that one passage holds at most."""


@dataclass(frozen=True)
class Found:
    """A file that is to be known."""

    path: Path
    name: str
    """By which its passages cite it: the path below the folder that was given."""
    link: str = ""
    """Address at which people read it."""


@dataclass
class Content:
    """What a file holds. `passages` and `rows` are read as they are asked for, once."""

    kind: Kind
    passages: Iterator[Passage]
    rows: Iterator[dict[str, Any]]
    """Of FAQ, dialogues and rules: plain JSON."""
    notes: list[str] = field(default_factory=list)


def gather(sources: Sequence[str | Path], link: str = "") -> tuple[list[Found], list[tuple[Path, Message]]]:
    """Return the files that sources stand for, by name, and those in folders that are not read, with the reason.

    Args:
        sources: files and folders.
        link: address under which the files of the folders are published; a file's name is put behind it.

    Raises:
        InputError: a source is missing or of a kind that is not read, or there is none.
    """
    if not sources:
        raise InputError(message("errors.nothing_to_read"), allowed=message("errors.one_file"))
    found: dict[str, Found] = {}
    left: list[tuple[Path, Message]] = []
    for source in map(Path, sources):
        if not source.exists():
            raise InputError(message("errors.no_file_or_folder"), found=str(source))
        if not source.is_dir():
            format_of(Source(str(source)))
        for path in _below(source) if source.is_dir() else [source]:
            if source.is_dir() and (reason := why_not(path)):
                left.append((path, reason))
                continue
            name = path.relative_to(source).as_posix() if source.is_dir() else path.name
            if name in found and found[name].path.resolve() != path.resolve():
                name = path.as_posix()
            found[name] = Found(path, name, f"{link.rstrip('/')}/{name}" if link else "")
    return [found[name] for name in sorted(found)], left


def read(found: Found) -> Content:
    """Return what a file holds.

    Raises:
        InputError: it cannot be read: damaged, locked, a scan without text; or it holds nothing.
        RowError: a row of questions, dialogues or rules cannot be used; also while its rows are read.
    """
    source = Source(str(found.path))
    form = format_of(source)
    if form.is_prose or form.kind in ("text", "columns"):
        return _document(found, form.is_prose)
    records = read_records(found.path)
    rows = _rows(records, found)
    first = next(rows, None)
    if first is None:
        raise InputError(message("knowledge.empty_file", name=found.name))
    rows = chain([first], rows)
    names = {name.strip().casefold() for name in (records.columns or first[1])}
    kind = _kind(names, first[1])
    nothing: Iterator[Any] = iter(())
    if kind == "faq":
        faq = read_faq(found.path)  # refuses what the desk could not answer from, with file and line
        return Content("faq", nothing, (value for _, value in rows), list(faq.notes))
    if kind == "dialogues":
        return Content("dialogues", nothing, _turns(found))
    if kind == "rules":
        return Content("rules", nothing, (rule_of(value, found.name, line) for line, value in rows))
    return Content("documents", _documents(rows, found) if kind == "documents" else _table(rows, found), nothing)


def _kind(names: set[str], first: Mapping[str, Any]) -> Kind | Literal["table"]:
    if is_rules(names):
        return "rules"
    if holds_dialogues(first):
        return "dialogues"
    roles = {found[0] for name in names if (found := role_of(name))}
    if "answer" in roles and roles & {"questions", "paraphrases"} and "context" not in names:
        return "faq"
    return "documents" if isinstance(_first(first, _TEXT), str) else "table"


def _document(found: Found, is_prose: bool) -> Content:
    from noria.text.passages import document_in

    source = Source(str(found.path))
    document = document_in(source, format_of(source).kind if is_prose else "text")
    if not document.passages:
        raise InputError(message("knowledge.empty_file", name=found.name))
    passages = cut(document, name=found.name, title=Path(source.plain_name).stem, link=found.link)
    return Content("documents", passages, iter(()), [str(note) for note in document.notes.lines()])


def _documents(rows: Iterator[tuple[int, dict[str, Any]]], found: Found) -> Iterator[Passage]:
    for line, value in rows:
        text = _first(value, _TEXT)
        if not isinstance(text, str) or not text.strip():
            raise RowError(message("apps.needs_text_2"), file=found.path, line=line, field="text", found=text)
        name = str(_first(value, _ID) or f"{found.name}#{line}")
        title, link = str(_first(value, _TITLE) or ""), str(_first(value, _LINK) or found.link)
        parts, at = [], 0
        for paragraph in re.split(r"(\n\s*\n)", text):
            if paragraph.strip():
                parts.append(Part(paragraph, at))
            at += len(paragraph)
        yield from cut(TextDocument(tuple(parts)), name=name, title=title, link=link)


def _table(rows: Iterator[tuple[int, dict[str, Any]]], found: Found) -> Iterator[Passage]:
    """Yield the rows of a table, each a line that names its cells: a price list answers, too."""
    held: list[str] = []
    first = 0
    title = Path(Source(found.name).plain_name).stem
    for line, value in chain(rows, [(-1, {})]):
        text = "; ".join(f"{name}: {_cell(cell)}" for name, cell in value.items() if _cell(cell))
        if held and (line < 0 or len(held) >= TABLE_LINES or sum(map(len, held)) > 400):
            document = TextDocument((Part("\n".join(held), 0),))
            yield from cut(document, name=f"{found.name}#{first}", title=title, link=found.link)
            held = []
        if text:
            first = first if held else line
            held.append(text)


def _turns(found: Found) -> Iterator[dict[str, Any]]:
    for number, dialogue in enumerate(read_dialogues(found.path), 1):
        for place, turn in enumerate(dialogue, 1):
            yield {"conversation": number, "turn": place, "speaker": turn.speaker, "text": mask(turn.text)[0]}


def _rows(records: Records, found: Found) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, value in records:
        if isinstance(value, RowError):
            raise value
        yield line, {str(name).strip().casefold(): one for name, one in value.items()}


def _below(folder: Path) -> Iterator[Path]:
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(top) / name for name in sorted(names))


def _first(value: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((value[name] for name in names if value.get(name) not in (None, "")), None)


def _cell(value: object) -> str:
    return "" if value is None else " ".join(str(value).split())
