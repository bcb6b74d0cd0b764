"""Names that are known from rows, found in a text by the longest match, and spans as codes of tokens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Place = tuple[int, int]
"""First and past-the-last character."""


@dataclass(frozen=True)
class Names:
    """Names with their labels, found in a text by the longest match."""

    labels: Mapping[str, str]
    lengths: Mapping[str, Sequence[int]]
    """First character -> lengths of the names that begin with it, the longest first."""

    @classmethod
    def of(cls, labels: Mapping[str, str]) -> Names:
        """Return the dictionary of these names."""
        lengths: dict[str, set[int]] = defaultdict(set)
        for name in labels:
            lengths[name[0]].add(len(name))
        return cls(labels, {first: sorted(found, reverse=True) for first, found in lengths.items()})

    def find(self, text: str) -> list[tuple[int, int, str]]:
        """Return start, end and label of the names in a text: at every place the longest, from left to right; no word is cut."""
        found, place, lengths, labels = [], 0, self.lengths, self.labels
        while place < len(text):
            for length in lengths.get(text[place], ()):
                end = place + length
                name = text[place:end]
                if name in labels and not cuts_word(text, place) and not cuts_word(text, end):
                    found.append((place, end, labels[name]))
                    place = end
                    break
            else:
                place += 1
        return found


def cuts_word(text: str, place: int) -> bool:
    """Say whether a place lies within a word of letters that are written with spaces between words."""
    if not 0 < place < len(text):
        return False
    pair = text[place - 1 : place + 1]
    return pair.isalnum() and max(pair) < "\u2e80"


def codes_of(spans: Sequence[tuple[int, int, str]], places: Sequence[Place], labels: Sequence[str]) -> np.ndarray:
    """Return for each token 0, or 1 + 2 x label where it is the first of a span, one more where it goes on in it, int64 [T]."""
    codes = np.zeros(len(places), dtype=np.int64)
    number = {label: place for place, label in enumerate(labels)}
    at = 0
    for start, end, label in spans:
        while at < len(places) and places[at][1] <= start:
            at += 1
        opened = 0
        while at < len(places) and places[at][0] < end:
            codes[at] = 1 + 2 * number[label] + opened
            at, opened = at + 1, 1
    return codes
