"""A document -> keep, or the reason it was dropped."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable

from noria.text.language import identified
from noria.text.script import length

from .settings import CleanSettings

Filter = Callable[[str], str | None]
"""Takes a text; returns None to keep it, or the reason it goes."""

_SYMBOL = re.compile(r"([^\w\s]|_)\1*")
_COMPRESS_BYTES = 200
_SAMPLE_CHARACTERS = 20_000


def standard_filters(settings: CleanSettings) -> list[Filter]:
    """Return the filters that the settings ask for, cheapest first."""
    filters: list[Filter] = [
        by_length(settings.min_length, settings.max_length),
        by_symbols(settings.max_symbols),
        by_repetition(settings.max_repetition),
    ]
    if settings.languages:
        filters.append(by_language(settings.languages))
    return filters


def reason_to_drop(text: str, filters: list[Filter]) -> str | None:
    """Return the first filter's reason against the text, or None."""
    return next((reason for keeps in filters if (reason := keeps(text))), None)


def by_length(least: int, most: int) -> Filter:
    """Drop texts shorter or longer than these numbers of Chinese characters plus words of other scripts."""

    def reason(text: str) -> str | None:
        if not text.strip():
            return "empty"
        units = length(text)
        return "too short" if units < least else "too long" if units > most else None

    return reason


def by_symbols(most: float) -> Filter:
    """Drop texts in which more than this share of the characters is neither letter, digit nor white space.

    A symbol repeated counts once: people write "太美了。。。。。" and mean it.
    """

    def reason(text: str) -> str | None:
        runs = repeated = 0
        for match in _SYMBOL.finditer(text):
            runs += 1
            repeated += match.end() - match.start() - 1
        return "mostly symbols" if runs > most * (len(text) - repeated) else None

    return reason


def by_repetition(most: float) -> Filter:
    """Drop texts that repeat themselves by more than this share."""

    def reason(text: str) -> str | None:
        return "repeats itself" if repetition(text) > most else None

    return reason


def repetition(text: str) -> float:
    """Return how far a text repeats itself, 0 (not at all) to 1, alike for Chinese and English.

    The larger of two shares: lines that stood before (by characters, from five lines on), and what deflate saves beyond
    ordinary text. Ordinary UTF-8 text of either language deflates to 0.3 or more of its bytes; the share is 0 there, and
    rises to 1 as the deflated size falls to nothing. Texts under 200 bytes are judged by how few different characters
    they have.
    """
    text = text[:_SAMPLE_CHARACTERS]
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    repeated = 0.0
    if len(lines) >= 5:
        repeated = 1 - sum(map(len, set(lines))) / sum(map(len, lines))
    raw = text.encode("utf-8", "replace")
    if len(raw) >= _COMPRESS_BYTES:
        overhead = 12  # bytes of header and checksum
        return max(repeated, 1 - (len(zlib.compress(raw, 6)) - overhead) / len(raw) / 0.3)
    visible = "".join(text.split())
    if len(visible) < 10:
        return repeated
    return max(repeated, 1 - len(set(visible)) / (0.3 * len(visible)))


def by_language(languages: tuple[str, ...]) -> Filter:
    """Drop texts in any other language than these; texts too short to tell stay."""

    def reason(text: str) -> str | None:
        found = identified(text, languages)
        return None if found is None or found in languages else f"language {found}"

    return reason
