"""A file of prose as passages, each with where it stands: the page of a PDF, the heading above it, the character it begins at.

    document = read_document("handbook.docx")
    document.text                                   # the whole of it, passages apart by an empty line
    for passage in document.passages:
        passage.text, passage.heading, passage.page, passage.start

What cites a source later cites it by these. It knows nothing of rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from noria.core.messages import message
from noria.core.progress import Report

from .confined import LARGEST_BYTES, Part, parts_of, too_large
from .encoding import decoded
from .formats import Kind, format_of
from .sources import Source
from .tables import Notes
from .web_page import page_text

APART = "\n\n"
"""What stands between the passages of a document."""
_MARKDOWN_HEADING = re.compile(r"(#{1,6})[ \t]+(.+?)[ \t#]*$")
_PARAGRAPH = re.compile(r"[^\S\n]*\n(?:[^\S\n]*\n)+")


@dataclass(frozen=True)
class Passage:
    """A paragraph, a heading, a table or a page of a document."""

    text: str
    start: int
    """Where it begins in the document's text, in characters."""
    heading: str = ""
    """The headings it stands under, from the top down, with " > " between."""
    page: int | None = None
    """1-based; None where a format has no pages."""

    @property
    def place(self) -> dict[str, Any]:
        """Return where it stands, as JSON has it."""
        page = {} if self.page is None else {"page": self.page}
        return {"start": self.start} | page | ({"heading": self.heading} if self.heading else {})


@dataclass(frozen=True)
class TextDocument:
    """What a file of prose says."""

    passages: tuple[Passage, ...]
    title: str = ""
    tables: tuple[list[list[str]], ...] = ()
    """The cells of its tables, whose text also stands among the passages, a row a line with bars between the cells."""
    encoding: str = ""
    """Name of the codec; "" where the format is not text."""
    notes: Notes = field(default_factory=Notes)
    """What was passed over."""

    @cached_property
    def text(self) -> str:
        """Return the whole text."""
        return APART.join(passage.text for passage in self.passages)

    def places(self) -> list[dict[str, Any]]:
        """Return where each page, or each part under a heading, begins in the text."""
        found: list[dict[str, Any]] = []
        for passage in self.passages:
            place = passage.place
            if len(place) > 1 and (not found or {**found[-1], "start": 0} != {**place, "start": 0}):
                found.append(place)
        return found


def read_document(path: str | Path, report: Report | None = None) -> TextDocument:
    """Return the text of a file of prose: HTML, PDF, Word, Markdown or plain text, packed or not.

    Args:
        path: the file.
        report: told of an older encoding, and of what was passed over.

    Raises:
        InputError: the file is missing, of another kind, locked, empty, damaged or too large.
    """
    source = Source(str(path))
    document = document_in(source, format_of(source).kind)
    if report:
        for note in document.notes.lines():
            report.note(message("work.named", name=source.name, text=note))
    return document


def document_in(source: Source, kind: Kind) -> TextDocument:
    """Return the text of a source of a kind that `noria.text.formats` judged.

    Raises:
        InputError: as of `read_document`.
    """
    image = source.head(LARGEST_BYTES + 1)
    if len(image) > LARGEST_BYTES:
        raise too_large(source.name)
    encoding = ""
    if kind in ("page", "markup"):
        text, encoding = page_text(image, source.name)
        parts = parts_of("page", text.encode("utf-8", "replace"), source.name)
    elif kind == "pdf":
        parts = parts_of("pdf", image, source.name)
    elif kind == "word":
        parts = parts_of("word", image, source.name)
    else:
        parts = list(_plain(decoded(image, source.name), marked=source.suffix in (".md", ".markdown")))
    return _document(parts, encoding)


def _plain(text: str, *, marked: bool) -> Iterator[Part]:
    """Yield the paragraphs of a text; of Markdown its headings, too, outside of code."""
    fenced = False
    for paragraph in _PARAGRAPH.split(text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")):
        lines: list[str] = []
        for line in paragraph.split("\n"):
            fenced ^= line.lstrip().startswith(("```", "~~~"))
            found = _MARKDOWN_HEADING.match(line) if marked and not fenced else None
            if found is None:
                lines.append(line)
                continue
            if any(map(str.strip, lines)):
                yield {"text": "\n".join(lines).strip("\n")}
            lines = []
            yield {"text": line.strip(), "level": len(found[1]), "heading": found[2]}
        if any(map(str.strip, lines)):
            yield {"text": "\n".join(lines).strip("\n")}


def _document(parts: list[Part], encoding: str) -> TextDocument:
    notes, title, start = Notes(), "", 0
    passages: list[Passage] = []
    tables: list[list[list[str]]] = []
    above: list[tuple[int, str]] = []
    for part in parts:
        if "note" in part:
            notes.count(part["note"], part["line"])
        if "title" in part:
            title = part["title"]
        if "table" in part:
            tables.append(part["table"])
        if not (text := _part_text(part)):
            continue
        if level := part.get("level"):
            above = [one for one in above if one[0] < level]
            above.append((level, " ".join(part.get("heading", text).split())))
        passages.append(Passage(text, start, " > ".join(name for _, name in above), part.get("page")))
        start += len(text) + len(APART)
    return TextDocument(tuple(passages), title, tuple(tables), encoding, notes)


def _part_text(part: Part) -> str:
    if "table" not in part:
        return str(part.get("text", ""))
    return "\n".join(" | ".join(" ".join(cell.split()) for cell in cells) for cells in part["table"])
