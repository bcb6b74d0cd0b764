"""An HTML page: its encoding, and its main text under its headings, with its tables; menus, scripts and what is hidden left out.

Parsed by selectolax (Lexbor, the parsing of the HTML standard): MIT and Apache-2.0, no dependencies. trafilatura, which guesses the
main text by density, drops short texts and every offset: `noria.text.article` has it, where only a news article is wanted.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterator
from typing import Any

from noria.core.errors import InputError
from noria.core.messages import message

from .confined import Part
from .encoding import SAMPLE_BYTES, named
from .script import HAN

_DECLARED = re.compile(
    rb"""<meta[^>]{0,512}?charset\s*=\s*["']?\s*([\w:.-]{1,40})|<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w:.-]{1,40})""",
    re.IGNORECASE,
)
_DECLARED_WITHIN = 4096
# What browsers take a declared encoding for (WHATWG Encoding Standard): the wider one of its family.
_WIDER = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "gb18030": "gb18030",
    "hz": "hz",
    "big5": "big5hkscs",
    "big5hkscs": "big5hkscs",
    "shift_jis": "cp932",
    "cp932": "cp932",
    "euc_jp": "euc_jp",
    "iso2022_jp": "iso2022_jp",
    "euc_kr": "cp949",
    "cp949": "cp949",
    "iso8859-1": "cp1252",
    "ascii": "cp1252",
    "utf-16": "utf-8",
    "utf-16-le": "utf-8",
    "utf-16-be": "utf-8",
}
_ALIASES = {
    b"x-gbk": "gbk",
    b"gb_2312-80": "gb2312",
    b"x-sjis": "shift_jis",
    b"big5-hkscs": "big5hkscs",
    b"x-x-big5": "big5",
}
_FEW_BAD = 1000
"""A page of a declared encoding may have one bad character in so many: one pasted from elsewhere makes it no other."""

_BLOCKS = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "center",
        "dd",
        "details",
        "dialog",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "html",
        "legend",
        "li",
        "main",
        "menu",
        "nav",
        "ol",
        "option",
        "p",
        "pre",
        "section",
        "summary",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "title",
        "tr",
        "ul",
        "table",
    ]
)
_ROLES = ("navigation", "banner", "contentinfo", "search", "complementary", "menu", "menubar", "dialog", "alert")
_LEFT_OUT = (
    "script, style, noscript, template, nav, aside, footer, button, select, svg, math, iframe, object, canvas, audio, video, dialog, "
    "menu, datalist, textarea, [hidden], [aria-hidden=true], [style*='display:none'], [style*='display: none'], "
    + ", ".join(f"[role={role}]" for role in _ROLES)
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CHINESE = rf"{HAN}\u3000-\u303f\uff00-\uffef"
"""Chinese characters and marks."""
_BREAK_IN_CHINESE = re.compile(rf"(?<=[{_CHINESE}])[ \t\r\f]*\n\s*(?=[{_CHINESE}])")
_SPACES = re.compile(r"[ \t\r\n\f]+")
_MENU_LINKS = 4
"""Links from which a list of nothing else is a menu."""
_MENU_SHARE = 0.9
_WIDEST_SPAN = 100
"""Columns that one cell stands for at most."""


def page_text(image: bytes, name: str) -> tuple[str, str]:
    """Return a page's text, markup and all, and the encoding it is in: by its mark, by what it declares, else by its bytes.

    Raises:
        InputError: it is binary, or in none of the known encodings.
    """
    declared = _declared(image)
    if declared and not image.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = image.decode(declared, errors="replace")
        if b"\0" not in image[:SAMPLE_BYTES] and text.count("\ufffd") * _FEW_BAD <= len(text):
            return text, declared
    encoding = named(image[:SAMPLE_BYTES], name)
    text = image.decode(encoding, errors="replace")
    if text.count("\ufffd") * _FEW_BAD > len(text):
        raise InputError(message("text.throughout_2", name=name, encoding=encoding), hint=message("text.save_utf"))
    return text, encoding


def _declared(image: bytes) -> str | None:
    found = _DECLARED.search(image[:_DECLARED_WITHIN])
    label = (found[1] or found[2]).lower() if found else b""
    try:
        codec = codecs.lookup(_ALIASES.get(label, label.decode("ascii"))).name if label else None
    except LookupError:
        return None
    return _WIDER.get(codec, codec) if codec else None


def parts(image: bytes, name: str) -> Iterator[Part]:
    """Yield a page's title, and its headings, paragraphs and tables in their order. `image` is in UTF-8.

    A table is data where it has two columns and two rows at least and no table inside; any other is layout, and read through.
    """
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(image.decode("utf-8", errors="replace"))
    titled = tree.css_first("title")
    title = _inline(titled.text()) if titled is not None else ""
    if not title and (first := tree.css_first("h1")) is not None:
        title = _inline(first.text())
    if title:
        yield {"title": title}
    if tree.body is not None:
        main = _main(tree)
        yield from _Walk(main, _left_out(main)).parts()


def _main(tree: Any) -> Any:
    """Return the element with the main text: the one `main` or `article` where it is the page's only one, else the body."""
    for selector in ("main", "[role=main]", "article"):
        found = tree.css(selector)
        if len(found) == 1 and found[0].text(deep=True).strip():
            return found[0]
    return tree.body


class _Walk:
    """One way through a page, without recursion: pages of a hundred thousand nested elements are written to break it."""

    def __init__(self, root: Any, left_out: Collection[int]) -> None:
        self._root = root
        self._left_out = left_out
        self._pieces: list[str] = []
        self._heading = 0
        """Level of the heading inside which the way is."""
        self._kept = False
        """Whether white space stands as it is."""

    def parts(self) -> Iterator[Part]:
        """Yield what stands in the root, in its order."""
        node, entering, root = self._root, True, self._root.mem_id
        while True:
            if entering:
                goes_in = node.mem_id == root or node.mem_id not in self._left_out
                rows = _rows(node, self._left_out) if goes_in and node.tag == "table" else []
                inside = node.child if goes_in else None
                yield from self._enter(node)
                if rows:
                    yield {"table": rows}
                elif inside is not None:
                    node = inside
                    continue
            yield from self._leave(node)
            if node.mem_id == root:
                break
            entering = node.next is not None
            node = node.next if entering else node.parent
        yield from self._closed()

    def _enter(self, node: Any) -> Iterator[Part]:
        if node.is_text_node:
            text = node.text_content or ""
            self._pieces.append(text if self._kept else _folded(text))
        elif node.tag == "br":
            self._pieces.append("\n" if self._kept else "\v")
        elif node.tag in _BLOCKS:
            yield from self._closed()
            self._heading = _HEADINGS.get(node.tag, self._heading)
            self._kept = self._kept or node.tag == "pre"

    def _leave(self, node: Any) -> Iterator[Part]:
        if node.is_element_node and node.tag in _BLOCKS:
            yield from self._closed()
            if node.tag in _HEADINGS:
                self._heading = 0
            if node.tag == "pre":
                self._kept = False

    def _closed(self) -> Iterator[Part]:
        raw = "".join(self._pieces)
        text = raw.strip("\n") if self._kept else _inline(raw)
        self._pieces.clear()
        if text.strip():
            yield {"text": text} | ({"level": self._heading} if self._heading else {})


def _left_out(root: Any) -> set[int]:
    """Return the elements below the root, by their identities, that are no part of its text: menus, scripts, what is hidden."""
    found = [*root.css(_LEFT_OUT)]
    found += [header for header in root.css("header") if header.css_first("h1") is None]
    found += filter(_is_menu, root.css("ul, ol"))
    return {node.mem_id for node in found}


def _is_menu(node: Any) -> bool:
    links = node.css("a")
    if len(links) < _MENU_LINKS:
        return False
    linked = sum(len("".join(link.text().split())) for link in links)
    return linked >= _MENU_SHARE * len("".join(node.text().split()))


def _rows(table: Any, left_out: Collection[int]) -> list[list[str]]:
    """Return the cells of a table of data, each merged one at every place it stands for; [] where it is layout."""
    if table.css_first("table table, ul, ol, h1, h2, h3, form, p + p") is not None:
        return []
    rows: list[list[str]] = []
    waiting: dict[int, tuple[int, str]] = {}
    for line in table.css("tr"):
        cells: list[str] = []
        for cell in line.iter():
            if cell.tag not in ("td", "th"):
                continue
            _carried(cells, waiting)
            text = "\n".join(part["text"] for part in _Walk(cell, left_out).parts())
            for _ in range(_span(cell, "colspan", _WIDEST_SPAN)):
                if (down := _span(cell, "rowspan", 1 << 16)) > 1:
                    waiting[len(cells)] = (down - 1, text)
                cells.append(text)
        _carried(cells, waiting)
        if any(cells):
            rows.append(cells)
    wide = sum(len(cells) > 1 for cells in rows)
    return rows if wide > 1 else []


def _carried(cells: list[str], waiting: dict[int, tuple[int, str]]) -> None:
    """Put the cells that reach down from rows above where they stand."""
    while len(cells) in waiting:
        down, text = waiting.pop(place := len(cells))
        if down > 1:
            waiting[place] = (down - 1, text)
        cells.append(text)


def _span(cell: Any, name: str, most: int) -> int:
    told = (cell.attributes.get(name) or "1").strip()
    return min(max(int(told), 1), most) if told.isascii() and told.isdigit() and len(told) < 10 else 1


def _folded(text: str) -> str:
    return _SPACES.sub(" ", _BREAK_IN_CHINESE.sub("", text))


def _inline(text: str) -> str:
    lines = (_SPACES.sub(" ", line).strip() for line in _BREAK_IN_CHINESE.sub("", text).split("\v"))
    return "\n".join(line for line in lines if line)
