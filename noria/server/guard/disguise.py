"""What a text says under its disguise: width, case, accents, look-alikes, hidden characters, spaced letters, digits for letters, encodings.

Every step is linear in the text, and only a bounded part of what looks encoded is decoded.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Collection, Iterator
from functools import partial
from urllib.parse import unquote

from .lexicon import CLASSES, SIMPLIFIED

_HIDDEN = "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0"
_LOOKALIKE = dict(
    zip(
        "аеорсухкмтнвіјѕԁԛԝһӏгпυοαερτικνηωχγσβɑɡıⅼ℮øłđħ",
        "aeopcyxkmthbijsdqwhlrnuoaeptikvnwxysbagileoldh",
        strict=True,
    )
)
"""Letters of other scripts, small, that look like a Latin one (compare Unicode Technical Standard 39, confusables)."""

_FOLDED: dict[int, str | None] = {ord(old): new for old, new in (_LOOKALIKE | SIMPLIFIED).items()}
_FOLDED |= dict.fromkeys((*range(0x300, 0x370), *range(9), *range(0x0E, 0x20), 0x7F))
_FOLDED |= {code: None for one in re.findall(r".-.|.", _HIDDEN, re.S) for code in range(ord(one[0]), ord(one[-1]) + 1)}
_FOLDED |= dict.fromkeys(range(0xE0100, 0xE01F0))
_FOLDED |= {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)}
"""Tag characters say ASCII that nobody sees: they are read as what they say."""

_STRONG = {word for letter in "UpNRFnsSTGM" for word in CLASSES[letter][0].split() if len(word) > 4}
_BACKWARDS = frozenset(word[::-1] for word in _STRONG)
_BACKWARDS_CHINESE = ("令指", "示提", "则规", "略忽", "视无", "记忘")
_ROTATED = frozenset(codecs.encode(word, "rot13") for word in _STRONG)

_SPACED = re.compile(r"(?<![a-z0-9])[a-z0-9@$!](?:[ \t.\-_*|/,+~]{1,3}[a-z0-9@$!]){5,}(?![a-z0-9])")
_PARTS = frozenset(".-_*~^|+`")
_SPLIT = re.compile(r"[.\-_*~^|+`]+")
_PIECES = re.compile(r"[a-z]+(?:[.\-_*~^|+`][a-z]+)+")
_SPACED_HAN = re.compile(r"(?:[\u4e00-\u9fff][ \t.\-_*|/·,+~、。，]{1,3}){4,}[\u4e00-\u9fff]")
_PARTS_HAN = frozenset(" \t.-_*|/·,+~、。，")
_BETWEEN = re.compile(r"[ \t.\-_*|/·,+~、。，]+")
_LEET = re.compile(r"[a-z][013457@$!|][a-z]|(?<![a-z0-9])[013457@$][a-z][a-z013457@$]")
_DIGITS = frozenset("013457@$|")
_RUN = re.compile(r"[a-z0-9@$!|]+")
_LETTERS = str.maketrans("013457@$!|", "oieastasil")
_LETTERS_L = str.maketrans("013457@$!|", "oleastasil")

_ENCODED = re.compile(r"[!-~]{16}|(?:[0-9A-Fa-f]{2}[ ,:]){6}|[01]{8} [01]{8}|&#")
_BASE64 = re.compile(r"(?<![A-Za-z0-9+/_\-])[A-Za-z0-9+/_\-]{16,}={0,2}")
_BASE32 = re.compile(r"(?<![A-Z2-7])[A-Z2-7]{16,}={0,6}")
_HEX = re.compile(r"(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[ ,:]?){10,}")
_BITS = re.compile(r"(?:[01]{8}\s?){6,}")
_PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2}|[A-Za-z0-9+._\-]){12,}")
_ESCAPED = re.compile(r"(?:\\u[0-9A-Fa-f]{4}|[A-Za-z ]){4,}")
_MOST_SPANS, _MOST_CHARACTERS = 8, 4000


def fold(text: str) -> str:
    """Return a text in small plain letters: no width, accents, look-alikes or hidden characters; Chinese simplified."""
    if text.isascii():
        text = text.lower()
        return text if text.isprintable() else text.translate(_FOLDED)
    return unicodedata.normalize("NFKD", text).lower().translate(_FOLDED)


def origins(text: str) -> list[int]:
    """Return for each character of `fold(text)` where it came from."""
    return [place for place, character in enumerate(text) for _ in fold(character)]


def readings(folded: str, words: Collection[str]) -> Iterator[str]:
    """Yield what a folded text of these words may say besides: spaced or split words, digits for letters, backwards, rot13."""
    characters = set(folded)
    if len([word for word in words if len(word) == 1]) > 3 and _SPACED.search(folded):
        yield _SPACED.sub(_closed, folded)
    if not folded.isascii() and not characters.isdisjoint(_PARTS_HAN) and _SPACED_HAN.search(folded):
        yield _SPACED_HAN.sub(_closed, folded)
    if not characters.isdisjoint(_PARTS) and any(_SPLIT.sub("", hit[0]) in _STRONG for hit in _PIECES.finditer(folded)):
        yield _PIECES.sub(_joined, folded)
    if not characters.isdisjoint(_DIGITS) and _LEET.search(folded):
        for letters in (_LETTERS, _LETTERS_L):
            if any(not run.isalpha() and run.translate(letters) in _STRONG for run in _RUN.findall(folded)):
                yield _RUN.sub(partial(_lettered, letters), folded)
    if not _BACKWARDS.isdisjoint(words) or (
        not folded.isascii() and any(word in folded for word in _BACKWARDS_CHINESE)
    ):
        yield folded[::-1]
    if not _ROTATED.isdisjoint(words):
        yield codecs.encode(folded, "rot13")


def decoded(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield where something encoded stands and what it says, if that is text: Base64, hexadecimal, bits, percent, escapes."""
    spans = 0
    if not _ENCODED.search(text):
        return
    for pattern, decode in _DECODERS:
        for hit in pattern.finditer(text):
            if spans >= _MOST_SPANS:
                return
            decoded_text = decode(hit[0][:_MOST_CHARACTERS])
            if decoded_text and decoded_text != hit[0] and _is_readable(decoded_text):
                spans += 1
                yield hit.start(), hit.end(), decoded_text
    if "&#" in text and (decoded_text := html.unescape(text[:_MOST_CHARACTERS])) != text[:_MOST_CHARACTERS]:
        yield 0, len(text), decoded_text


def _closed(hit: re.Match[str]) -> str:
    # Two blanks or more part words where one parts letters.
    return " ".join(_BETWEEN.sub("", word) for word in re.split(r"[ \t]{2,}", hit[0]))


def _joined(hit: re.Match[str]) -> str:
    return _SPLIT.sub("", hit[0])


def _lettered(letters: dict[int, int], hit: re.Match[str]) -> str:
    return hit[0] if hit[0].isdigit() else hit[0].translate(letters)


def _is_readable(decoded_text: str) -> bool:
    return (
        len(decoded_text) >= 4
        and decoded_text.isprintable() | ("\n" in decoded_text)
        and sum(map(str.isalpha, decoded_text)) * 2 > len(decoded_text)
    )


def _from_bytes(made: bytes) -> str:
    try:
        return made.decode("utf-8")
    except UnicodeDecodeError:
        return ""


def _from_base64(span: str) -> str:
    core = span.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return _from_bytes(base64.b64decode(core + "=" * (-len(core) % 4), validate=True))
    except (binascii.Error, ValueError):
        return ""


def _from_base32(span: str) -> str:
    core = span.rstrip("=")
    try:
        return _from_bytes(base64.b32decode(core + "=" * (-len(core) % 8)))
    except (binascii.Error, ValueError):
        return ""


def _from_hex(span: str) -> str:
    digits = re.sub(r"0x|\\x|[ ,:]", "", span)
    return _from_bytes(bytes.fromhex(digits[: len(digits) // 2 * 2]))


def _from_bits(span: str) -> str:
    digits = re.sub(r"\s", "", span)
    return _from_bytes(bytes(int(digits[place : place + 8], 2) for place in range(0, len(digits) // 8 * 8, 8)))


def _from_percent(span: str) -> str:
    return unquote(span.replace("+", " ")) if span.count("%") > 1 else ""


def _from_escapes(span: str) -> str:
    return re.sub(r"\\u([0-9A-Fa-f]{4})", lambda hit: chr(int(hit[1], 16)), span) if "\\u" in span else ""


_DECODERS = (
    (_BASE64, _from_base64),
    (_BASE32, _from_base32),
    (_HEX, _from_hex),
    (_BITS, _from_bits),
    (_PERCENT, _from_percent),
    (_ESCAPED, _from_escapes),
)
