"""A document -> passages of a bounded length, cut at headings, paragraphs and sentences, each with where it stands.

for passage in cut(read_document("handbook.docx"), title="Handbook"):
    passage.text, passage.section, passage.page, passage.start
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from noria.text.language import language_of
from noria.text.passages import TextDocument
from noria.text.script import HAN, sentence_spans

MOST = 400
"""Tokens of a passage, about: a model that embeds reads 512, its title and section among them."""
ENOUGH = 120
"""Tokens from which a passage takes no further paragraph in: shorter ones say too little to be found by."""
SHORT = 60
"""Tokens of an end that stays with what it ends."""
_WHOLE = f"{HAN}\u3040-\u30ff"
"""Characters, Chinese and Japanese, that are no parts of words between blanks."""
_COUNTED = re.compile(rf"([{_WHOLE}])|[^\W_{_WHOLE}]+|[^\w\s]")
_TABLE = " | "


@dataclass(frozen=True)
class Passage:
    """A part of a document that is found and quoted."""

    text: str
    document: str
    """Name of the document in its source: of a file of rows a row's id, else the source's own name."""
    title: str = ""
    section: str = ""
    """The headings it stands under, from the top down, with " > " between."""
    page: int | None = None
    """1-based; None where a format has no pages."""
    start: int = 0
    """Where it begins in the document's text, in characters."""
    link: str = ""
    """Address at which a person can read it."""
    language: str = ""
    """By its script: zh, en, ja, ko, latin, other; "" of numbers alone."""

    @property
    def context(self) -> str:
        """Return title and section, which say what a passage is about without saying it themselves."""
        return " > ".join(dict.fromkeys(part for part in (self.title, self.section) if part))

    @property
    def searched(self) -> str:
        """Return the text by which it is found."""
        return f"{self.context}\n{self.text}" if self.context else self.text


def cut(document: TextDocument, *, name: str, title: str = "", link: str = "") -> Iterator[Passage]:
    """Yield the passages of a document in their order.

    Args:
        document: as the one reader gives it.
        name: of the document in its source.
        title: where the document has none of its own.
        link: its address; that of a page is made of it.
    """
    title = " ".join(document.title.split()) or title
    held: Passage | None = None
    for part in document.passages:
        if part.heading and part.heading.rsplit(" > ", 1)[-1] == " ".join(part.text.lstrip("#").split()):
            continue  # a heading itself, which stands in `section`
        at = f"{link}#page={part.page}" if link and part.page else link
        base = Passage("", name, title, part.heading, part.page, part.start, at)
        for text, start in _pieces(part.text):
            one = replace(base, text=text, start=part.start + start)
            if held is None:
                held = one
            elif (held.section, held.page) == (one.section, one.page) and tokens(held.text) < ENOUGH:
                gap = "\n" * max(1, min(2, one.start - held.start - len(held.text)))
                joined = held.text + gap + one.text
                if tokens(joined) <= MOST:
                    held = replace(held, text=joined)
                else:
                    yield _finished(held)
                    held = one
            else:
                yield _finished(held)
                held = one
    if held is not None:
        yield _finished(held)


def tokens(text: str) -> int:
    """Return about how many tokens a text has, at 0.65 a Chinese or Japanese character and 1.3 a word."""
    total = 0.0
    for match in _COUNTED.finditer(text):
        total += 0.65 if match[1] else 1.3 if len(match.group()) > 1 else 0.9
    return round(total)


def _pieces(text: str) -> Iterator[tuple[str, int]]:
    """Yield the text, or what it is cut into where it is long, and where each begins; a table's header begins each of its pieces."""
    if tokens(text) <= MOST + SHORT:
        yield text.strip("\n"), len(text) - len(text.lstrip("\n"))
        return
    lines = text.split("\n")
    is_table = len(lines) > 2 and sum(_TABLE in line for line in lines) >= 0.9 * len(lines)
    header = f"{lines[0]}\n" if is_table and tokens(lines[0]) < MOST / 2 else ""
    spans = list(_bounded(text, sentence_spans(text) if not is_table else _lines(lines)))
    low = high = 0
    for start, end in spans:
        if low < high and tokens(text[low:end]) > MOST - (tokens(header) if low else 0):
            yield _with(header, text, low, high), low
            low = start
        high = end
    if low < high:
        yield _with(header, text, low, high), low


def _with(header: str, text: str, low: int, high: int) -> str:
    return (header if low else "") + text[low:high].strip()


def _lines(lines: Iterable[str]) -> Iterator[tuple[int, int]]:
    at = 0
    for line in lines:
        yield at, at + len(line)
        at += len(line) + 1


def _bounded(text: str, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the spans, those without an end in sight cut by characters."""
    for low, high in spans:
        step = high - low if tokens(text[low:high]) <= MOST else MOST // 2
        for start in range(low, high, max(step, 1)):
            yield start, min(start + step, high)


def _finished(passage: Passage) -> Passage:
    return replace(passage, language=language_of(passage.text))
