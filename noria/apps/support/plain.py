"""A question -> the form in which two askings of it are one, and the tokens it is compared by; symbols that mean something stay.

>>> plain("怎么学 C＋＋？"), plain("怎么学C#"), plain(" How do I  learn C ?!")
('怎么学 c++', '怎么学 c#', 'how do i learn c')
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from noria.text.script import HAN, has_han, simplified

_INVISIBLE = re.compile(r"[\u200b-\u200f\u2060\ufeff\u00ad\ufe0e\ufe0f\u20e3]")
# Marks of a sentence say nothing of what is asked; `+ # % & < > = / @ $ * ^ ~ |` and signs of currency may be all that does.
_SENTENCE = re.compile(r"[?!。，、；：…“”‘’\"()\[\]{}【】《》〈〉「」『』`·—–_~]+")
# A full stop, comma, colon, quotation mark or hyphen within a word or a number belongs to it (Node.js, .NET, 1,000, e-mail).
_LOOSE = re.compile(r"(?<![0-9a-z])(?:[,;:'’]+|-+(?![0-9]))|[.,;:'’-]+(?![0-9a-z])|(?<=[^\sa-z0-9])\.(?=[0-9])|;")
_BESIDE_CHINESE = re.compile(rf"(?<=[{HAN}])\s+|\s+(?=[{HAN}])")
_WORD_BESIDE = re.compile(rf"(?<=[{HAN}])(?=[^\s{HAN}])|(?<=[^\s{HAN}])(?=[{HAN}])")
_TOKEN = re.compile(rf"[{HAN}]|[^\s{HAN}]+")
_MARK = re.compile(rf"[^\w{HAN}'’-]|\d|^[b-hj-z]$")
_TIGHT = re.compile(r"(?<=[<>=≥≤≠$€£¥#]) +(?=\d)|(?<=\d) +(?=%)|(?<=\b[a-z]) +(?=[+#]+(?:\s|$))")


@lru_cache(maxsize=1 << 14)
def plain(text: str) -> str:
    """Return a text in one width, case, script and spacing, without the marks of a sentence and without pictures."""
    folded = simplified(_INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).casefold())
    kept = "".join(" " if unicodedata.category(one) in ("So", "Cc", "Zl", "Zp") else one for one in folded)
    kept = _SENTENCE.sub(" ", kept)
    kept = _LOOSE.sub(" ", kept)
    kept = _TIGHT.sub("", kept)
    kept = _BESIDE_CHINESE.sub("", " ".join(kept.split()))
    kept = _WORD_BESIDE.sub(" ", kept)
    return kept or " ".join(folded.split())


def tokens(text: str) -> list[str]:
    """Return what a text is compared by: its words with their symbols, its Chinese characters and pairs of them.

    >>> tokens("学 C++ 编程")
    ['学', 'c++', '编', '程', '编程']
    """
    found: list[str] = []
    for run in re.findall(rf"[{HAN}]+|[^\s{HAN}]+", plain(text)):
        found += _TOKEN.findall(run)
        found += [run[at : at + 2] for at in range(len(run) - 1)] if has_han(run) else []
    return found


@lru_cache(maxsize=1 << 14)
def symbols(text: str) -> frozenset[str]:
    """Return the numbers, symbols and single letters of a text: what tells C++ from C#, >100 from <100, 5G from 4G."""
    return frozenset(token for token in tokens(text) if _MARK.search(token))
