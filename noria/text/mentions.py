"""Which names of a list a text holds, and where: by names and aliases alone, so that every count can be traced to a word.

    finder = Finder([Brand("智谱", ("智谱", "GLM", "ChatGLM")), Brand("Apple", ("Apple", "苹果"), ambiguous=("苹果",))])
    [(one.brand, one.start) for one in finder.find("ChatGLM3 由智谱推出").mentions]          # [("智谱", 0), ("智谱", 9)]

The longest name at a place counts, over all brands: "GitHub Copilot" is not "Copilot" where both are brands. A name in letters
stands for itself only, not inside a longer word; digits may follow it ("GLM4"), and Chinese has no borders. A name that is a
capitalised word, such as Apple, does not count where it stands in small letters. Judges nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from .script import narrow

_LETTERS = r"A-Za-z\u00aa\u00b5\u00ba\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u058f\u1e00-\u1fff"
"""Letters of scripts that part words by spaces; of Chinese, Japanese, Korean and Thai words none."""
_LETTER, _DIGIT = re.compile(f"[{_LETTERS}]"), re.compile(r"\d")
_CAPITALISED = re.compile(r"[A-Z][a-z]+")


@dataclass(frozen=True)
class Brand:
    """A brand, a company or whoever is looked for, and what it is called."""

    name: str
    aliases: tuple[str, ...]
    """Names that count, its own among them."""
    ambiguous: tuple[str, ...] = ()
    """Those of the aliases that are words of other meaning too."""
    excluded: tuple[str, ...] = ()
    """Phrases that hold an alias and do not mean the brand, such as 苹果汁."""


@dataclass(frozen=True)
class Mention:
    """A brand named at a place of the text as `readable` gives it."""

    brand: str
    alias: str
    start: int
    end: int
    ambiguous: bool


@dataclass(frozen=True)
class Found:
    """What one text names."""

    text: str
    """As it was read: places are places in it."""
    mentions: tuple[Mention, ...]
    """In order of their places."""
    small: tuple[str, ...] = ()
    """Aliases that stand there in small letters only, and so did not count."""


class Finder:
    """Finds brands in texts. Brands whose names differ by case alone are the caller's to refuse."""

    def __init__(self, brands: Sequence[Brand]) -> None:
        self.brands = tuple(brands)
        self._meant: list[tuple[str | None, str, bool]] = []
        patterns = []
        for brand in self.brands:
            for alias in brand.aliases:
                self._meant.append((brand.name, alias, alias in brand.ambiguous))
                patterns.append(_pattern(alias))
            for phrase in brand.excluded:
                self._meant.append((None, phrase, False))
                patterns.append(_pattern(phrase))
        self._patterns = [re.compile(pattern, re.IGNORECASE) for pattern in patterns]
        self._starts = [
            _plain(alias).split()[0].casefold() for brand in self.brands for alias in (*brand.aliases, *brand.excluded)
        ]
        """Of each pattern the first part, which stands in every text that the pattern is in: looked for in a fraction of the time."""

    def find(self, text: str) -> Found:
        """Return what a text names, as its reader sees it: of names that overlap the longest, of equals the first."""
        return self.find_in(readable(text))

    def find_in(self, text: str) -> Found:
        """Return what a text names as it stands, but for letters in full width: places are places in it."""
        plain = narrow(text)
        folded = plain.casefold()
        spans = [
            (found.start(), found.end(), place)
            for place, start in enumerate(self._starts)
            if start in folded
            for found in self._patterns[place].finditer(plain)
        ]
        taken: list[tuple[int, int, int]] = []
        covered = bytearray(len(text))
        small: list[tuple[int, str]] = []
        for start, end, place in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):
            if any(covered[start:end]):
                continue
            alias = self._meant[place][1]
            if _CAPITALISED.fullmatch(alias) and plain[start:end].islower():
                small.append((start, alias))
                continue
            taken.append((start, end, place))
            covered[start:end] = b"\1" * (end - start)
        mentions = [
            Mention(brand, alias, start, end, ambiguous)
            for start, end, place in sorted(taken)
            for brand, alias, ambiguous in [self._meant[place]]
            if brand is not None
        ]
        counted = {start for start, _, _ in taken}
        return Found(
            text, tuple(mentions), tuple(dict.fromkeys(alias for start, alias in small if start not in counted))
        )


_THOUGHTS = re.compile(r"\A\s*<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)


def readable(text: str) -> str:
    """Return a text as its reader sees it: without the thoughts that a reasoning model put before its answer, full width narrowed.

    >>> readable("<think>maybe GLM</think>Ｋｉｍｉ")
    'Kimi'
    """
    return unicodedata.normalize("NFKC", _THOUGHTS.sub("", text)).strip()


def _plain(alias: str) -> str:
    return unicodedata.normalize("NFKC", alias).strip()


def _pattern(alias: str) -> str:
    """Return the pattern of a name: spaces in it may be hyphens or line ends, its borders those of its own script."""
    alias = _plain(alias)
    body = r"[\s\-_]+".join(re.escape(part) for part in alias.split())
    first, last = alias[0], alias[-1]
    before = rf"(?<![{_LETTERS}\d])" if _LETTER.match(first) else r"(?<![\d.])" if _DIGIT.match(first) else ""
    # What follows letters may be a version, GLM4; what follows digits may not: GPT-4 is neither GPT-4.5 nor GPT-4o.
    after = rf"(?![{_LETTERS}])" if _LETTER.match(last) else rf"(?![{_LETTERS}\d]|\.\d)" if _DIGIT.match(last) else ""
    return f"{before}{body}{after}"
