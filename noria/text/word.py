"""A Word document (.docx) as headings, paragraphs and tables in their order, with footnotes, by python-docx (MIT).

The text is what a reader sees: insertions that are tracked are in it, deletions are not; of a table of contents nothing is.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from noria.core.errors import InputError
from noria.core.messages import message

from .confined import MEMORY_BYTES, Part

_OLE = b"\xd0\xcf\x11\xe0"
_LOCKED = "EncryptedPackage".encode("utf-16-le")
_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_HEADING = re.compile(r"(?:heading|标题)\s*([1-9])$", re.IGNORECASE)
_WIDEST_SPAN = 100
"""Columns that one cell stands for at most."""


def parts(image: bytes, name: str) -> Iterator[Part]:
    """Yield the title, and headings, paragraphs, tables and footnotes.

    Raises:
        InputError: no Word document, a locked one, or one that unpacks to more than is opened.
    """
    import docx

    check_archive(image, name)
    try:
        file = docx.Document(io.BytesIO(image))
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(message("text.word_document", name=name), found=" ".join(str(error).split())) from None
    if title := " ".join((file.core_properties.title or "").split()):
        yield {"title": title}
    levels = _levels(file)
    yield from _blocks(file.element.body, levels)
    for kind in ("footnotes", "endnotes"):
        for relation in file.part.rels.values():
            if relation.reltype.endswith(f"/{kind}"):
                yield from _notes(relation.target_part.blob)


def check_archive(image: bytes, name: str) -> None:
    """Refuse what is no archive that can be opened, or says that it unpacks to more than is opened.

    Raises:
        InputError: the reason.
    """
    if image.startswith(_OLE):
        if _LOCKED in image:
            raise InputError(message("text.locked_password", name=name), hint=message("text.save_without"))
        raise InputError(message("text.office", name=name), hint=message("text.save_docx"))
    try:
        with zipfile.ZipFile(io.BytesIO(image)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile as error:
        raise InputError(message("errors.damaged", name=name), found=str(error)) from None
    if size > MEMORY_BYTES // 4:
        raise InputError(
            message("text.too_large", name=name),
            found=message("text.mib_unpacked", size=size >> 20),
            allowed=message("text.most_mib_2", memory_bytes=MEMORY_BYTES >> 22),
        )


def _levels(file: Any) -> dict[str, int]:
    """Return the styles that make a paragraph a heading -> its level."""
    levels: dict[str, int] = {}
    for style in file.styles.element.iter(f"{_W}style"):
        named, outline = style.find(f"{_W}name"), style.find(f"{_W}pPr/{_W}outlineLvl")
        found = _HEADING.match(named.get(f"{_W}val", "")) if named is not None else None
        level = int(found[1]) if found else int(outline.get(f"{_W}val", "9")) + 1 if outline is not None else 0
        if 1 <= level <= 9:
            levels[style.get(f"{_W}styleId", "")] = level
    return levels


def _blocks(root: Any, levels: dict[str, int]) -> Iterator[Part]:
    for element in root:
        if element.tag == f"{_W}p":
            yield from _paragraph(element, levels)
        elif element.tag == f"{_W}tbl":
            if rows := _rows(element):
                yield {"table": rows}
        elif element.tag == f"{_W}sdt":
            gallery = element.find(f"{_W}sdtPr/{_W}docPartObj/{_W}docPartGallery")
            inside = element.find(f"{_W}sdtContent")
            if inside is not None and (gallery is None or gallery.get(f"{_W}val") != "Table of Contents"):
                yield from _blocks(inside, levels)
        elif element.tag in (f"{_W}ins", f"{_W}customXml", f"{_W}smartTag"):
            yield from _blocks(element, levels)


def _paragraph(element: Any, levels: dict[str, int]) -> Iterator[Part]:
    text = _text(element)
    if text.strip():
        style, own = element.find(f"{_W}pPr/{_W}pStyle"), element.find(f"{_W}pPr/{_W}outlineLvl")
        level = levels.get(style.get(f"{_W}val", ""), 0) if style is not None else 0
        if own is not None and own.get(f"{_W}val", "9").isdigit() and int(own.get(f"{_W}val", "9")) < 9:
            level = int(own.get(f"{_W}val", "9")) + 1
        yield {"text": text.strip()} | ({"level": level} if level else {})
    for box in element.iter(f"{_W}txbxContent"):
        if not any(above.tag == _FALLBACK for above in box.iterancestors()):
            yield from _blocks(box, levels)


def _text(paragraph: Any) -> str:
    """Return a paragraph's text without that of the boxes anchored to it."""
    pieces: list[str] = []
    inside: list[Any] = [iter(paragraph)]
    while inside:
        element = next(inside[-1], None)
        if element is None:
            inside.pop()
        elif element.tag == f"{_W}t":
            pieces.append(element.text or "")
        elif element.tag in (f"{_W}tab", f"{_W}ptab") and element.getparent().tag == f"{_W}r":
            pieces.append("\t")
        elif element.tag in (f"{_W}br", f"{_W}cr"):
            pieces.append("\n")
        elif element.tag == f"{_W}noBreakHyphen":
            pieces.append("-")
        elif element.tag not in (
            f"{_W}del",
            f"{_W}moveFrom",
            f"{_W}pict",
            f"{_W}drawing",
            _FALLBACK,
            f"{_W}pPr",
            f"{_W}rPr",
        ):
            inside.append(iter(element))
    return "".join(pieces)


def _rows(table: Any) -> list[list[str]]:
    """Return a table's cells, each merged one at every place it stands for; a table inside a cell is that cell's text."""
    rows: list[list[str]] = []
    for line in table.iter(f"{_W}tr"):
        if _above(line, "tbl") is not table:
            continue
        cells: list[str] = []
        for cell in line.iter(f"{_W}tc"):
            if _above(cell, "tr") is not line:
                continue
            span, merged = cell.find(f"{_W}tcPr/{_W}gridSpan"), cell.find(f"{_W}tcPr/{_W}vMerge")
            text = "\n".join(told for one in cell.iter(f"{_W}p") if (told := _text(one).strip()))
            if merged is not None and merged.get(f"{_W}val") != "restart" and rows and len(cells) < len(rows[-1]):
                text = rows[-1][len(cells)]
            wide = span.get(f"{_W}val", "1") if span is not None else "1"
            cells += [text] * (min(max(int(wide), 1), _WIDEST_SPAN) if wide.isdecimal() else 1)
        if any(cells):
            rows.append(cells)
    return rows


def _above(element: Any, tag: str) -> Any:
    return next(element.iterancestors(f"{_W}{tag}"), None)


def _notes(blob: bytes) -> Iterator[Part]:
    """Yield footnotes; those of a type are the lines that divide them from the text."""
    from docx.oxml import parse_xml

    for note in parse_xml(blob):
        if note.get(f"{_W}type") is None:
            yield from _blocks(note, {})
