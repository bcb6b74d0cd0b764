"""Whether two texts tell one story: by shingles, which MinHash finds, by numbers and tickers, and by embeddings.

Compared is what is left without links, handles and the marks of a repost, in one case, width and script, without white space: letters that
were spaced out are the words that they were.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from noria.text import minhash
from noria.text.script import simplified

SIMILAR, CONTAINED = 0.5, 0.8
"""Jaccard similarity of shingles from which two texts tell one story; and the share of the shorter one's that is in the longer, for texts
that were cut or commented on."""
NEAR = 0.1
"""Distance of two embeddings, as a share of that of any two texts, up to which they tell one story. With multilingual-e5-small, 0.2 and more
joined different news about one company (pair F1 on training rows 0.98 and falling, 0.99 by words alone)."""
_SHORT = {3: 10, 6: 24}
"""Width of a shingle -> characters below which a text is an opinion rather than a story."""
_NOISE = re.compile(
    r"https?://\S+|\b(?:RT|via|MT)\s*@\w+:?|//@[^:：\s]{1,30}[:：]|@[\w.-]{1,30}[:：]?|转发微博|轉發微博|\[[^\[\]]{1,8}\]$"
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_TICKER = re.compile(r"\$[A-Za-z]{1,6}\b")
_AT_END = re.compile(r"\d[.,]?\s*(?:…|\.\.\.)?\s*$")


@dataclass(frozen=True)
class Facts:
    """What tells a text from another of the same words."""

    numbers: frozenset[str]
    tickers: frozenset[str]
    last: str = ""
    """The number that the text ends with: where it was cut, it may be one that was cut."""


def compared(text: str) -> str:
    """Return what of a text is compared with others.

    >>> compared("RT @anna: 手機 電池 爆炸！ https://t.co/x") == compared("手机电池爆炸")
    True
    """
    return minhash.key_of(simplified(_NOISE.sub(" ", text))) if text.strip() else ""


def is_short(key: str) -> bool:
    """Return whether a text says too little to be known again by its words: many people say it by themselves."""
    return len(key) < _SHORT[minhash.width_of(key)]


def facts_of(text: str) -> Facts:
    """Return the numbers and tickers of a text.

    >>> facts_of("$AAPL up 1.5% to 130...")
    Facts(numbers=frozenset({'1.5', '130'}), tickers=frozenset({'$aapl'}), last='130')
    """
    plain = _NOISE.sub(" ", text)
    numbers = [found[0].replace(",", "") for found in _NUMBER.finditer(plain)]
    ends = _AT_END.search(plain) is not None
    tickers = frozenset(found.lower() for found in _TICKER.findall(plain))
    return Facts(frozenset(numbers), tickers, numbers[-1] if numbers and ends else "")


def conflicting(one: Facts, other: Facts) -> bool:
    """Return whether each of two texts names a number, or a ticker, that the other does not."""
    numbers = _beyond(one, other) and _beyond(other, one)
    return numbers or bool(one.tickers - other.tickers and other.tickers - one.tickers)


def _beyond(one: Facts, other: Facts) -> bool:
    """Return whether a text names a number that the other does not, and that is not the beginning of one there."""
    return any(
        number != one.last or not any(whole.startswith(number) for whole in other.numbers)
        for number in one.numbers - other.numbers
    )


def unlike(one: Facts, other: Facts) -> bool:
    """Return whether two texts share no number though both name some: words of one meaning are no proof then."""
    return bool(one.numbers) and bool(other.numbers) and not one.numbers & other.numbers


def alike(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> float:
    """Return the similarity of two sets of shingles where they tell one story, else 0: Jaccard's, or the share of the smaller one's."""
    shared = len(np.intersect1d(one, other, assume_unique=True))
    union = len(one) + len(other) - shared
    if shared >= SIMILAR * union:
        return shared / union
    fewer = min(len(one), len(other))
    return 0.8 * shared / fewer if shared >= CONTAINED * fewer else 0.0


def signed(keys: Sequence[str], bands: int, rows: int) -> list[tuple[NDArray[np.uint64], tuple[int, ...]]]:
    """Return the shingles and the bands of each text."""
    found: list[Any] = [(np.empty(0, dtype=np.uint64), ())] * len(keys)
    for width in minhash.WIDTHS:
        places = [place for place, key in enumerate(keys) if key and minhash.width_of(key) == width]
        if not places:
            continue
        part = [keys[place] for place in places]
        hashes, starts = minhash.shingle_hashes(part, width)
        minima = minhash.signatures(part, width, 0, _nothing)
        banded = np.stack([minhash.band_key(minima, band, rows) for band in range(bands)], axis=1)
        for at, place in enumerate(places):
            found[place] = np.unique(hashes[starts[at] : starts[at + 1]]), tuple(banded[at].tolist())
    return found


def _nothing(*_: object) -> None:
    pass


class Vectors:
    """The embeddings of the last texts, and which of them are near to another one."""

    def __init__(self, most: int, width: int) -> None:
        self._rows = np.zeros((most, width), dtype=np.float32)
        self._numbers = np.full(most, -1, dtype=np.int64)
        self._at = 0
        self._sum = np.zeros(width)

    def add(self, number: int, vector: NDArray[np.float32]) -> None:
        """Keep one in the place of the oldest."""
        self._sum += vector - self._rows[self._at]
        self._rows[self._at], self._numbers[self._at] = vector, number
        self._at = (self._at + 1) % len(self._rows)

    def near(self, vector: NDArray[np.float32], most: int = 5) -> list[int]:
        """Return the texts whose distance is small beside the mean distance of any two, the nearest first."""
        count = int((self._numbers >= 0).sum())
        if count < 20:  # what is far and what is near is not known yet
            return []
        mean = self._sum / count
        apart = 1 - float(mean @ mean)
        cosines = self._rows[:count] @ vector
        order = np.argsort(-cosines)[:most]
        return [int(self._numbers[one]) for one in order if 1 - cosines[one] <= NEAR * apart]
