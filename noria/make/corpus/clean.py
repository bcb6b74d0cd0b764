"""Repair text: encoding, Unicode, markup, white space, and Traditional to Simplified on request.

Every repair is repeated until it changes nothing, so cleaning a clean text gives it back unchanged.
"""

from __future__ import annotations

import functools
import html
import itertools
import re
import unicodedata
from collections.abc import Callable
from html.parser import HTMLParser

from noria.text.script import narrow, simplified

from .settings import CleanSettings

Repair = Callable[[str], str]

# Private use (glyphs lost with the font that had them), byte order marks, soft hyphens, zero-width spaces, non-characters.
_INVISIBLE = re.compile("[\ue000-\uf8ff\ufeff\u00ad\u200b\u2060\ufffe\uffff\ufdd0-\ufdef\U000f0000-\U0010ffff]")
_TAG_NAMES = (
    "a|abbr|article|aside|b|blockquote|body|br|button|center|code|dd|div|dl|dt|em|font|footer|form|h[1-6]|head|header|"
    "hr|html|i|iframe|img|input|li|link|main|meta|nav|ol|option|p|pre|script|section|select|small|span|strong|style|"
    "sub|sup|table|tbody|td|th|thead|title|tr|u|ul"
)
_TAG = re.compile(
    rf"</?(?:{_TAG_NAMES})(?:\s[^<>]*)?/?>|<!--(?:(?!<!--).)*?-->|<!doctype[^<>]*>", re.IGNORECASE | re.DOTALL
)
_PAGE = re.compile(r"<(?:!doctype html|html|body|head)\b", re.IGNORECASE)
_CLOSED = re.compile(r"</[a-z]|<(?:br|hr|img|p)\b", re.IGNORECASE)  # prose about a tag seldom closes it
_TAGS_PER_CHARACTER = 0.01  # a page has a tag every few dozen characters; prose about HTML has far fewer
_MAX_ROUNDS = 50


def clean(text: str, settings: CleanSettings | None = None) -> str:
    """Return the text repaired.

    >>> clean("Ｎｏｒｉａ　２０２６：ä½\\xa0å¥½ \\r\\n")
    'Noria 2026：你好'
    """
    settings = settings or CleanSettings()
    repairs: list[Repair] = [repair_unicode]
    if settings.markup == "strip":
        repairs.append(strip_markup)
    elif settings.markup == "auto":
        repairs.append(lambda text: strip_markup(text) if is_page(text) else text)
    if settings.simplify:
        repairs.append(simplified)
    repairs.append(tidy_spaces)
    # Plain blanks at the ends are what most texts lose: without them the costly repairs need no second round.
    text = re.sub(r"(?<![ \t])[ \t]+(?=\r?\n)", "", text).strip(" \t\r\n")
    unchanged = 0
    for repair in itertools.islice(itertools.cycle(repairs), _MAX_ROUNDS * len(repairs)):
        before, text = text, repair(text)
        unchanged = unchanged + 1 if text == before else 0
        if unchanged == len(repairs):
            break
    return text


def repair_unicode(text: str) -> str:
    """Undo wrong decoding (mojibake), drop control and lost characters, compose (NFC), narrow full-width letters."""
    fixed: str = _ftfy()(text)
    return narrow(unicodedata.normalize("NFC", _INVISIBLE.sub("", fixed)))


def is_page(text: str) -> bool:
    """Tell whether a text is an HTML page or a part of one, rather than prose that mentions a tag."""
    if "<" not in text:
        return False
    tags = len(_TAG.findall(text))
    dense = tags >= max(2, _TAGS_PER_CHARACTER * len(text)) and bool(_CLOSED.search(text))
    return dense or bool(tags and _PAGE.search(text))


def strip_markup(text: str) -> str:
    """Return the text of an HTML page: no tags, scripts or styles; blocks on lines of their own; entities as characters."""
    if not _TAG.search(text):
        return html.unescape(text)
    parser = _Text()
    parser.feed(text)
    parser.close()
    return "".join(parser.pieces)


def tidy_spaces(text: str) -> str:
    """Return the text with single spaces inside lines, no blanks at their ends, and at most one empty line in a row.

    Indentation by spaces and tabs stays, for code; indentation by ideographic spaces goes.
    """
    text = re.sub(r"\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", "\n", text)
    text = re.sub(r"(?m)^[ \t]*\u3000[\u3000 \t]*", "", text)
    text = re.sub(r"[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\x1f]", " ", text)
    text = re.sub(r"(?<=\S)[ \t]+(?=\S)", " ", text)
    text = re.sub(r"(?m)(?<![ \t])[ \t]+$", "", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


class _Text(HTMLParser):
    """Collects the text of a page."""

    _BLOCKS = re.compile(
        "address article aside blockquote body br center dd div dl dt footer form h1 h2 h3 h4 h5 h6 header hr html li main "
        "nav ol p pre section table td th title tr ul".replace(" ", "|")
    )
    _HIDDEN = frozenset({"script", "style", "noscript", "template"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._hidden += tag in self._HIDDEN
        if self._BLOCKS.fullmatch(tag):
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in self._HIDDEN and self._hidden > 0
        if self._BLOCKS.fullmatch(tag):
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.pieces.append(data)


@functools.cache
def _ftfy() -> Repair:
    import ftfy

    # ftfy's own full-width and quotation repairs are right for English only; entities are markup's business.
    config = ftfy.TextFixerConfig(
        unescape_html=False,
        uncurl_quotes=False,
        fix_character_width=False,
        fix_latin_ligatures=False,
        normalization=None,
        explain=False,
    )
    return functools.partial(ftfy.fix_text, config=config)
