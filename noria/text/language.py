"""Which language a text is in: by its script alone, in microseconds; or by a classifier of 97 languages (py3langid)."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable, Collection

_SAMPLE = 400
_IDENTIFIED = 2000
_LETTERS = 20
"""Letters below which a classifier only guesses."""
_WRITTEN_AS = {"wuu": "zh", "yue": "zh"}  # told apart from zh by a few words only: short texts are taken for them


def language_of(text: str) -> str:
    """Return zh, ja, ko, en ... by the script of a text, or "" where it tells none.

    Scripts that one language uses name it; Latin letters are called "en" only where they are plain ASCII, else "latin".

    >>> language_of("物流很快，包装完好"), language_of("fast delivery"), language_of("12.5 €")
    ('zh', 'en', '')
    """
    counts = dict.fromkeys(("zh", "ja", "ko", "latin", "other"), 0)
    plain = True
    for letter in text[:_SAMPLE]:
        code = ord(letter)
        if 0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or 0x20000 <= code <= 0x3FFFF:
            counts["zh"] += 1
        elif 0x3040 <= code <= 0x30FF:
            counts["ja"] += 1
        elif 0xAC00 <= code <= 0xD7AF:
            counts["ko"] += 1
        elif letter.isalpha():
            latin = code < 0x80 or unicodedata.name(letter, "").startswith("LATIN")
            counts["latin" if latin else "other"] += 1
            plain = plain and (code < 0x80 or not latin)
    if not any(counts.values()):
        return ""
    if counts["ja"] and counts["ja"] * 10 >= counts["zh"]:
        return "ja"
    # One Chinese character says about as much as four Latin letters.
    best = max(counts, key=lambda name: counts[name] * (1 if name in ("latin", "other") else 4))
    return ("en" if plain else "latin") if best == "latin" else best


def identified(text: str, among: Collection[str] = ()) -> str | None:
    """Return the ISO 639-1 code of a text's language, or None of a text too short to tell.

    Args:
        text: of which the first 2,000 characters are judged.
        among: codes that stand as they are; else those of China's languages that are written as Chinese are zh.
    """
    if sum(character.isalpha() for character in text[:_IDENTIFIED]) < _LETTERS:
        return None
    code = _classifier()(text[:_IDENTIFIED])[0]
    return code if code in among else _WRITTEN_AS.get(code, code)


@functools.cache
def _classifier() -> Callable[[str], tuple[str, float]]:
    import py3langid

    classify: Callable[[str], tuple[str, float]] = py3langid.classify
    return classify
