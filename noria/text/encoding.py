"""Bytes to text when nobody says which encoding they are in: UTF-8, UTF-16, GB18030, Big5, Windows-1252, Japanese, Korean."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable
from pathlib import Path

from noria.core.errors import InputError
from noria.core.messages import message

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# The most frequent characters of Chinese text, Simplified and Traditional, with its punctuation. Almost any bytes decode
# as GB18030 and many as Big5; only in the right one do these make up a good part of the text.
_COMMON = frozenset(
    "，。、；：？！“”的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分对成会可主发年动同工也能下过子说产"
    "种面而方后多定行学法所民得经十三之进着等部度家电力里如水化高自二理起小现实加量都两体制机当使点从业本去把性好应开它"
    "還這個為時來們對會發動過說產種後學經進電裡現實兩體機當點從業應開國與關書"
)
_WIDE = re.compile("[\u00a0\u00a5\u2000-\u206f\u20ac\u3000-\u303f\uff01-\uffe6]")
"""Digits, letters and punctuation of full width, blanks between thousands and signs of money: of no language by themselves."""
SAMPLE_BYTES = 1 << 20
"""Bytes by which an encoding is judged."""
MARKED = "\udcff"
"""Stands where bytes are none of the encoding, so that a reader can say which row it is; no right text holds it."""
_MOSTLY = 4
"""A text is UTF-8 with some bad bytes if it has this many times as many good sequences of several bytes as bad ones."""

ALLOWED = "UTF-8, UTF-16, GB18030, Big5, Windows-1252, Shift-JIS, EUC-JP, EUC-KR"
_NEIGHBOURS = {
    "cp932": ("\u3041", "\u30ff", 0.3),
    "euc_jp": ("\u3041", "\u30ff", 0.3),
    "euc_kr": ("\uac00", "\ud7a3", 0.95),
}
"""Encoding -> the letters that make up this share of its texts: kana, Hangul. Chinese bytes read so have few kana, some Hangul."""
_FEW = 8
"""Different foreign characters below which a share says nothing: a name that comes again and again is one piece of evidence."""

codecs.register_error("marked", lambda error: (MARKED, getattr(error, "end", 1)))


def decoded(image: bytes, source: str | Path) -> str:
    """Return the text of a file or a body, without a byte-order mark. Line ends stay as they are.

    Raises:
        InputError: the bytes are binary, in none of the known encodings, or not throughout in the one they begin with.
    """
    try:
        encoding = guess(image[:SAMPLE_BYTES] if len(image) > SAMPLE_BYTES else image)
    except InputError as error:
        raise InputError(
            message("text.text_2", source=source), found=error.found, allowed=error.allowed, hint=error.hint
        ) from None
    try:
        return image.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        raise InputError(
            message("text.throughout", source=source, encoding=encoding),
            found=message("text.byte", reason=error.reason, start=error.start),
        ) from None


def text_of(sample: bytes, source: str | Path) -> str:
    """Return the beginning of a text, with `MARKED` in place of bytes that are none of its encoding.

    Raises:
        InputError: the bytes are binary or in none of the known encodings.
    """
    return sample.decode(named(sample, source), errors="marked")


def named(sample: bytes, source: str | Path) -> str:
    """Return the encoding of a text that begins so, as `guess` does; the error names the source.

    Raises:
        InputError: the bytes are binary or in none of the known encodings.
    """
    try:
        encoding = guess(sample)
    except InputError as error:
        raise InputError(
            message("text.text_2", source=source), found=error.found, allowed=error.allowed, hint=error.hint
        ) from None
    return "utf-8-sig" if encoding == "utf-8" else encoding


def guess(sample: bytes) -> str:
    """Return the name of the encoding that `sample` most plausibly is in.

    Raises:
        InputError: it is binary or in none of the known encodings.
    """
    for mark, name in _MARKS:
        if sample.startswith(mark):
            return name
    if b"\x00" in sample:
        if wide := _wide(sample):
            return wide
        raise InputError(message("text.text"), found=message("text.zero_bytes"), allowed=ALLOWED)
    if _decodes(sample, "utf-8") is not None:
        return "utf-8"
    text = sample.decode("utf-8", errors="marked")
    bad = text.count(MARKED)
    # A row or two from elsewhere do not make a file of another encoding; other encodings are nearly all bad as UTF-8.
    if sum(character > "\x7f" for character in text) - bad >= _MOSTLY * bad:
        return "utf-8"
    if japanese := _neighbour(sample, ("cp932", "euc_jp")):
        return japanese
    scores = {name: _score(_decodes(sample, name)) for name in ("gb18030", "big5hkscs")}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] >= 0.1:
        return best
    western = _decodes(sample, "cp1252")
    if western is not None and _is_western(western):
        return "cp1252"
    if korean := _neighbour(sample, ("euc_kr",)):
        return korean
    if scores[best] >= 0 and _is_plain_chinese(sample):
        return "gb18030"
    raise InputError(
        message("text.text"), found=message("text.bytes_known"), allowed=ALLOWED, hint=message("text.save_utf")
    )


def plain_name(encoding: str) -> str:
    """Return what people call an encoding."""
    names = {
        "utf-8-sig": "UTF-8",
        "gb18030": "GB18030",
        "big5hkscs": "Big5",
        "cp1252": "Windows-1252",
        "cp932": "Shift-JIS",
        "euc_jp": "EUC-JP",
        "euc_kr": "EUC-KR",
        "utf-16-le": "UTF-16 without a mark",
        "utf-16-be": "UTF-16 without a mark",
    }
    return names.get(encoding, encoding.upper())


def _wide(sample: bytes) -> str:
    """Return which UTF-16 without a mark bytes are in: commas, digits and line ends have their zeros on one side only."""
    sides = {"utf-16-le": sample[1::2].count(0), "utf-16-be": sample[::2].count(0)}
    name = max(sides, key=lambda one: sides[one])
    other = min(sides.values())
    if other:
        return ""
    try:
        text = sample[: len(sample) // 2 * 2].decode(name)
    except UnicodeDecodeError as error:
        if error.start < len(sample) - 4:
            return ""
        text = sample[: error.start].decode(name)
    # A stray zero in other bytes makes no line end, comma or bracket of them.
    plain = not any(one < " " and one not in "\t\r\n\f" for one in text)
    return name if plain and any(one in text for one in "\n,;\t{") else ""


def _is_western(text: str) -> bool:
    """Say whether letters beyond ASCII stand as they do in Western words: seldom two in a row, and then small ones."""
    runs: list[str] = [run for run in re.findall(r"[^\x00-\x7f]+", text) if any(one.isalpha() for one in run)]
    return sum(len(run) == 1 or (len(run) == 2 and run.islower()) for run in runs) >= 0.5 * len(runs)


def _neighbour(sample: bytes, names: Iterable[str]) -> str:
    """Return the encoding of Japanese or Korean in which a text is one, or nothing."""
    for name in names:
        first, last, share = _NEIGHBOURS[name]
        text = _decodes(sample, name)
        foreign = [one for one in text or "" if one > "\x7f" and one.isalpha()]
        if len(set(foreign)) >= _FEW and sum(first <= one <= last for one in foreign) >= share * len(foreign):
            return name
    return ""


def _is_plain_chinese(sample: bytes) -> bool:
    """Say whether a text without frequent characters, such as a list of names, has only those of GB2312."""
    text = _decodes(sample, "gb18030")
    foreign = [one for one in text or "" if one > "\x7f" and not _WIDE.match(one)]
    if text is None or _decodes("".join(foreign).encode("gb18030"), "gb2312") is None:
        return False
    return sum("\u4e00" <= one <= "\u9fff" for one in foreign) >= 0.5 * len(foreign)


def _decodes(sample: bytes, name: str) -> str | None:
    try:
        return sample.decode(name)
    except UnicodeDecodeError as error:
        # A sample cut inside its last character still decodes up to there.
        cut = len(sample) == SAMPLE_BYTES and error.start >= len(sample) - 4
        return sample[: error.start].decode(name) if cut else None


def _score(text: str | None) -> float:
    if text is None:
        return -1.0
    foreign = [character for character in text if ord(character) > 127]
    return sum(character in _COMMON for character in foreign) / max(len(foreign), 1)
