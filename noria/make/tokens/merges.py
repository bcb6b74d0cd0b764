"""Learn the merges of byte-level BPE from counted runs, on arrays: the pairs of all runs lie in one array of symbols.

The rule is that of Sennrich, Haddow and Birch (2016): the most frequent pair of neighbours becomes a symbol, again and
again. Symbols begin as whole characters; the merges of a character's bytes are put in when it becomes frequent enough to
have earned its token, which is where byte-level training would put them. Three things make it fast:
- a pair's count only falls once both of its symbols exist, so a heap of counts as they were is an upper bound: the pair
  on top is counted anew, and goes back if it is no longer the most frequent;
- only pairs above a bar are followed, with their places; when none is left, the bar is lowered and the array is read once
  more, without the places that merges have freed;
- a merge touches its own places only, all at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from .runs import Runs

LEAST = 2
"""A pair or a character seen less often makes no token."""
_BUCKETS = 1 << 22
_SLICE = 1 << 21
_LOWER = 4
_FOLLOWED = 64

Merge = tuple[bytes, bytes]


def byte_letters() -> dict[int, str]:
    """Return the letter that stands for each byte in a byte-level vocabulary: itself where it can be seen."""
    seen = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in set(seen)]
    return {byte: chr(byte) for byte in seen} | {byte: chr(256 + index) for index, byte in enumerate(hidden)}


def learn_merges(runs: Runs, tokens: int, advance: Callable[[float], None] = lambda by: None) -> list[Merge]:
    """Return merges, the most frequent first, that make up to `tokens` tokens beside the 256 bytes.

    Args:
        runs: distinct runs and their counts.
        tokens: how many new tokens are wanted.
        advance: told how many tokens were found, now and then.
    """
    learner = _Learner(runs, tokens, advance)
    bar = learner.first_bar()
    while learner.left > 0 and bar >= LEAST:
        learner.follow(bar)
        learner.merge_all(bar)
        if bar == LEAST:
            break
        bar = max(LEAST, bar // _LOWER)
    return learner.merges


@dataclass
class _Learner:
    runs: Runs
    left: int
    advance: Callable[[float], None]
    merges: list[Merge] = field(default_factory=list)

    def __post_init__(self) -> None:
        codes, counts = self.runs.codes, self.runs.counts
        weights = np.repeat(counts, self.runs.lengths)
        seen = np.bincount(codes, weights=weights)
        found = np.flatnonzero(seen >= LEAST)
        found = found[np.argsort(-seen[found], kind="stable")]
        self.words = [chr(int(code)).encode("utf-8", "replace") for code in found]
        self.symbol_of = {word: index for index, word in enumerate(self.words)}
        self.made = {word for word in self.words if len(word) == 1} | {bytes([byte]) for byte in range(256)}
        # Characters that wait for their tokens, the most frequent last.
        self.characters = [(int(seen[code]), index) for index, code in enumerate(found) if code > 0x7F][::-1]
        symbols = np.full(len(seen), -1, dtype=np.int32)
        symbols[found] = np.arange(len(found), dtype=np.int32)
        # One place more after each run: no pair crosses it.
        places = np.arange(len(codes)) + np.repeat(np.arange(len(counts)), self.runs.lengths)
        self.symbols = np.full(len(codes) + len(counts) + 1, -1, dtype=np.int32)
        self.symbols[places] = symbols[codes]
        self.weights: np.ndarray = np.zeros(
            len(self.symbols), dtype=np.int64 if weights.max(initial=0) >= 2**31 else np.int32
        )
        self.weights[places] = np.where(symbols[codes] >= 0, weights, 0)
        self.heap: list[tuple[int, int, int]] = []
        self.places: dict[tuple[int, int], np.ndarray] = {}

    def first_bar(self) -> int:
        """Return a bar that some dozens of pairs reach."""
        totals = self._bucket_totals()
        # Without the empty ones: millions of equal values take a partition a second.
        totals = totals[totals > LEAST]
        return int(np.partition(totals, -_FOLLOWED)[-_FOLLOWED]) if len(totals) >= _FOLLOWED else LEAST

    def follow(self, bar: int) -> None:
        """Find every pair seen `bar` times or more, and its places."""
        self._close_up()
        totals = self._bucket_totals()
        reached = totals >= bar
        picks, keys = [], []
        for start, first, second, real in self._slices():
            chosen = np.flatnonzero(real & reached[_bucket(first, second)])
            picks.append((chosen + start).astype(np.int32))
            keys.append((first[chosen].astype(np.int64) << 32) | second[chosen])
        places, key = np.concatenate(picks), np.concatenate(keys)
        order = np.argsort(key, kind="stable")
        places, key = places[order], key[order]
        starts = np.flatnonzero(np.diff(key, prepend=-1))
        ends = np.append(starts[1:], len(key))
        counts = np.add.reduceat(self.weights[places], starts, dtype=np.int64) if len(starts) else starts
        self.heap, self.places = [], {}
        for index in np.flatnonzero(counts >= bar):
            pair = int(key[starts[index]])
            left, right = pair >> 32, pair & 0xFFFFFFFF
            self.heap.append((-int(counts[index]), left, right))
            self.places[left, right] = places[starts[index] : ends[index]]
        heapq.heapify(self.heap)

    def merge_all(self, bar: int) -> None:
        """Merge pairs, the most frequent first, until none is left above the bar or there are tokens enough."""
        while self.left > 0:
            top = -self.heap[0][0] if self.heap else 0
            # A character is never rarer than a pair it stands in: at a tie it goes first.
            while self.characters and self.characters[-1][0] >= max(top, bar) and self.left > 0:
                self._add_character(self.characters.pop()[1])
            if top < bar or self.left <= 0:
                return
            _, left, right = heapq.heappop(self.heap)
            places = self.places.pop((left, right), None)
            if places is None:
                continue
            places = places[(self.symbols[places] == left) & (self.symbols[self.after[places]] == right)]
            count = int(self.weights[places].sum())
            if self.heap and (-count, left, right) > self.heap[0]:
                if count >= bar:
                    self._put(left, right, places, count)
            elif count >= bar:
                self._merge(left, right, places, bar)

    def _merge(self, left: int, right: int, places: np.ndarray, bar: int) -> None:
        symbol = self._add(self.words[left], self.words[right])
        if left == right:
            places = _apart(places, self.after)
        second = self.after[places]
        beyond = self.after[second]
        self.symbols[places] = symbol
        self.symbols[second] = -1
        self.after[places] = beyond
        self.before[beyond] = places
        earlier = self.before[places]
        neighbours = self.symbols[earlier]
        # Of two merges in a row, their pair is counted once, as what follows the first.
        real = (neighbours >= 0) & (neighbours != symbol)
        self._found(neighbours[real], earlier[real], symbol, bar, is_left=True)
        neighbours = self.symbols[beyond]
        real = neighbours >= 0
        self._found(neighbours[real], places[real], symbol, bar, is_left=False)

    def _found(self, neighbours: np.ndarray, places: np.ndarray, symbol: int, bar: int, *, is_left: bool) -> None:
        """Follow the new pairs of a symbol that reach the bar."""
        if not len(neighbours):
            return
        order = np.argsort(neighbours, kind="stable")
        neighbours, places = neighbours[order], places[order]
        starts = np.flatnonzero(np.diff(neighbours, prepend=-1))
        counts = np.add.reduceat(self.weights[places], starts, dtype=np.int64)
        ends = np.append(starts[1:], len(neighbours))
        for index in np.flatnonzero(counts >= bar):
            other = int(neighbours[starts[index]])
            pair = (other, symbol) if is_left else (symbol, other)
            self._put(*pair, places[starts[index] : ends[index]], int(counts[index]))

    def _put(self, left: int, right: int, places: np.ndarray, count: int) -> None:
        known = self.places.get((left, right))
        if known is not None:  # the same token made in two ways
            places = np.union1d(known, places)
            count = int(self.weights[places].sum())
        self.places[left, right] = places
        heapq.heappush(self.heap, (-count, left, right))

    def _add(self, left: bytes, right: bytes) -> int:
        """Write a merge down; return the symbol it makes."""
        word = left + right
        self.merges.append((left, right))
        if word not in self.made:
            self.made.add(word)
            self.left -= 1
            if len(self.made) % 100 == 0:
                self.advance(100)
        symbol = self.symbol_of.setdefault(word, len(self.words))
        if symbol == len(self.words):
            self.words.append(word)
        return symbol

    def _add_character(self, symbol: int) -> None:
        """Write down the merges of a character's bytes."""
        word = self.words[symbol]
        for end in range(2, len(word) + 1):
            if word[:end] not in self.made and self.left > 0:
                self.made.add(word[:end])
                self.merges.append((word[: end - 1], word[end - 1 : end]))
                self.left -= 1

    def _close_up(self) -> None:
        """Drop the places that merges have freed; those that count for nothing stay between runs."""
        gone = (self.symbols < 0) & (self.weights > 0)
        self.symbols, self.weights = self.symbols[~gone], self.weights[~gone]
        self.after = np.arange(1, len(self.symbols) + 1, dtype=np.int32)
        self.after[-1] = len(self.symbols) - 1
        self.before = np.arange(-1, len(self.symbols) - 1, dtype=np.int32)
        self.before[0] = len(self.symbols) - 1

    def _slices(self) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        for start in range(0, len(self.symbols) - 1, _SLICE):
            end = min(start + _SLICE, len(self.symbols) - 1)
            first, second = self.symbols[start:end], self.symbols[start + 1 : end + 1]
            yield start, first, second, (first >= 0) & (second >= 0)

    def _bucket_totals(self) -> np.ndarray:
        """Return the counts of pairs by bucket: no pair is seen more often than its bucket."""
        totals = np.zeros(_BUCKETS)
        for start, first, second, real in self._slices():
            weights = self.weights[start : start + len(first)][real]
            totals += np.bincount(_bucket(first[real], second[real]), weights=weights, minlength=_BUCKETS)
        return totals


def _bucket(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    mixed: np.ndarray = first.astype(np.uint32) * np.uint32(0x9E3779B1) + second.astype(np.uint32) * np.uint32(
        0x85EBCA6B
    )
    mixed >>= np.uint32(10)
    return mixed.astype(np.int64)


def _apart(places: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return every second place of each chain of a symbol that follows itself: aaaa is two merges, not three."""
    if len(places) < 2:
        return places
    linked = np.concatenate(([False], places[1:] == after[places[:-1]]))
    index = np.arange(len(places))
    start = np.maximum.accumulate(np.where(linked, 0, index))
    kept: np.ndarray = places[(index - start) % 2 == 0]
    return kept
