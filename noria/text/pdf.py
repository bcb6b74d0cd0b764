"""The pages of a PDF as text, by pypdfium2 (PDFium: BSD and Apache-2.0); lines that only the page's width broke are joined."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from noria.core.errors import InputError
from noria.core.messages import message

from .confined import Part

_FULL = 0.85
"""Part of a page's longest line from which a line was broken by the page's width."""
_ENDS = "。！？；：…”’.!?:;"
_HYPHENATED = re.compile("[\ufffe\x02]\r?\n?")
"""What PDFium writes for the hyphen at a line's end."""
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")


def parts(image: bytes, name: str) -> Iterator[Part]:
    """Yield the title, and each page's text with its number; pages without text are named.

    Raises:
        InputError: no PDF, a locked one, or one whose pages are pictures.
    """
    import pypdfium2

    try:
        file = pypdfium2.PdfDocument(image)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower() or "security" in str(error).lower():
            raise InputError(message("text.locked_password", name=name), hint=message("text.save_without")) from None
        raise InputError(message("text.pdf_cut", name=name), found=str(error)) from None
    if title := " ".join(file.get_metadata_value("Title").split()):
        yield {"title": title}
    pages, without = len(file), []
    for number in range(1, pages + 1):
        text = _page(file, number - 1)
        if text:
            yield {"text": text, "page": number}
        else:
            without.append(number)
    if len(without) == pages:
        raise InputError(
            message("text.holds_text", name=name),
            found=message("text.pages_without", pages=pages),
            hint=message("text.run_ocr"),
        )
    if without:
        yield {"note": f"{len(without):,} of {pages:,} pages without text (scanned?)", "line": without[0]}


def _page(file: Any, place: int) -> str:
    import pypdfium2

    try:
        page = file[place]
    except pypdfium2.PdfiumError:
        return ""
    try:
        layer = page.get_textpage()
        text = layer.get_text_bounded()
        layer.close()
    finally:
        page.close()
    return joined(_CONTROL.sub("", _HYPHENATED.sub("", text)))


def joined(text: str) -> str:
    """Return a page's text with the lines of a paragraph on one line.

    A line goes on below where it is nearly as wide as the page's widest and ends no sentence; Chinese is joined without a blank.

    >>> joined("A paragraph that was broken by\\r\\nthe width of its page.\\r\\nAnother one.")
    'A paragraph that was broken by the width of its page.\\nAnother one.'
    """
    lines = [line.strip() for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    widest = max(map(_width, lines), default=0)
    found: list[str] = []
    goes_on = False
    for line in lines:
        if goes_on and line:
            apart = "" if _is_wide(found[-1][-1]) or _is_wide(line[0]) else " "
            found[-1] += apart + line
        elif line or (found and found[-1]):
            found.append(line)
        goes_on = bool(line) and _width(line) >= _FULL * widest and line[-1] not in _ENDS
    return "\n".join(found).strip()


def _width(line: str) -> int:
    return len(line) + sum(map(_is_wide, line))


def _is_wide(character: str) -> bool:
    return unicodedata.east_asian_width(character) in ("W", "F")
