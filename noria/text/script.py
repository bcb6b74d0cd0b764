"""What a text is written in, Chinese or not: its script, its sentences and words, and its length in units that are fair to both."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

HAN = "\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Ranges of Chinese characters, for a class of a regular expression."""
_HAN_CHARACTER = re.compile(f"[{HAN}]")
_UNIT = re.compile(f"[{HAN}]|[^\\W_{HAN}]+(?:['’-][^\\W_{HAN}]+)*")
# Full-width letters and digits (ＡＢＣ１２３) become plain ones; full-width punctuation stays: it is right in Chinese.
_FULL_WIDTH = {code: code - 0xFEE0 for code in (*range(0xFF10, 0xFF1A), *range(0xFF21, 0xFF3B), *range(0xFF41, 0xFF5B))}


def han_share(text: str) -> float:
    """Return the share of the text's characters, white space aside, that are Chinese characters."""
    visible = len("".join(text.split()))
    return len(_HAN_CHARACTER.findall(text)) / visible if visible else 0.0


def has_han(text: str) -> bool:
    """Return whether a Chinese character stands in a text."""
    return bool(_HAN_CHARACTER.search(text))


def is_chinese(texts: Sequence[str]) -> bool:
    """Say whether at least a tenth of the characters of these texts, the first 2,000 of them, are Chinese."""
    sample = "".join(texts[:2000])
    return len(_HAN_CHARACTER.findall(sample)) >= 0.1 * max(1, len(sample))


def length(text: str) -> int:
    """Return the length of a text: its Chinese characters plus its words of other scripts.

    >>> length("我爱北京"), length("I don't like it"), length("买了2台iPhone，不错")
    (4, 4, 7)
    """
    return len(_UNIT.findall(text))


def narrow(text: str) -> str:
    """Return the text with full-width letters and digits made plain, character for character: offsets stay true."""
    return text.translate(_FULL_WIDTH)


_SENTENCE = re.compile(r"(?:[^。！？!?\n.]|\.(?!\s|$))*(?:[。！？!?\n]+|\.|$)")
WORDS = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
"""A word of a script that puts blanks between words, or a mark."""


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, Chinese or not, without white space at their ends."""
    return [part.strip() for part in _SENTENCE.findall(text) if part.strip()]


_CLOSING = "”’\"'」』)）"
# A full stop before a small letter or a digit ends no sentence (No. 3, e.g. this), nor does one after a single capital (J. Smith).
_STOP = rf"(?<!\b[A-Z])[.…]+(?=[{_CLOSING}]|\s+[^\sa-z\d]|\s*$)"
_SENTENCE_SPAN = re.compile(
    rf"(?:(?!{_STOP})[^。！？!?\n])*(?:(?:[。！？!?]|{_STOP})[。！？!?.…]*[{_CLOSING}]*|(?=\n)|$)\s*"
)


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return from where to where the sentences of a text go, closing quotation marks included; a line ends one, too.

    >>> text = "第一句。“第二句！”No. 3 is 2.5 m."
    >>> [text[low:high] for low, high in sentence_spans(text)]
    ['第一句。', '“第二句！”', 'No. 3 is 2.5 m.']
    """
    found = []
    for match in _SENTENCE_SPAN.finditer(text):
        if match.group().strip():
            found.append((match.start(), match.end()))
    return found


def words(text: str) -> list[str]:
    """Return the words and marks of a text; Chinese is cut by a dictionary."""
    return [word for word in segmented(text) if word.strip()] if is_chinese([text]) else WORDS.findall(text)


def segmented(text: str) -> list[str]:
    """Return the pieces of a text, which together are the text: Chinese words by rjieba's dictionary, runs of anything else."""
    import rjieba

    pieces: list[str] = rjieba.cut(text)
    return pieces


def normal(text: str) -> str:
    """Return a text in one width, case and script; with as many characters only where it has nothing to change."""
    return simplified(unicodedata.normalize("NFKC", text).casefold())


def simplified(text: str) -> str:
    """Return a text with its Traditional characters as Simplified ones (OpenCC, by phrase).

    >>> simplified("怎麼退貨"), simplified("How?")
    ('怎么退货', 'How?')
    """
    return str(_converter().convert(text)) if has_han(text) else text


@cache
def _converter() -> Any:
    import opencc

    return opencc.OpenCC("t2s")
