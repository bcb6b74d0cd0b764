"""Texts that ended and stay in a cache of keys and values: one that begins like one of them goes on from there.

    kept = PromptCache(cache)
    row, read = kept.open(ids, adapter)      # the row holds the first `read` of the ids
    ...
    kept.end(row, ids, adapter)              # of a text that ended, with all that its row holds

So the next turn of a conversation costs what is new in it. It belongs to one model in one process: another version, or another
LoRA, finds nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .kv_cache import KVCache

MOST_TEXTS, MOST_TOKENS = 8, 8_192
"""Kept at most; tokens of the table that kept texts and those at work share, for each row of it is as long as the longest."""
_LEAST = 16
"""Tokens below which going on is not worth it: most chats begin with the same few."""
_OTHERWISE = 8
"""Tokens at a text's end that its next turn may write otherwise: an end of turn, an answer cut off in a word."""


@dataclass(frozen=True)
class _Kept:
    row: int
    ids: np.ndarray
    adapter: str


class PromptCache:
    """What is kept of texts that ended, the one that was used last at the end."""

    def __init__(self, cache: KVCache) -> None:
        self._cache, self._kept, self._open = cache, list[_Kept](), 0
        self._longest = 0
        """Ids of the longest text: a table that has grown stays so."""

    def open(self, ids: Sequence[int], adapter: str) -> tuple[int, int]:
        """Begin a text; return its row and how many of its ids that holds already, one less than all at most."""
        self._open += 1
        self._longest = max(self._longest, len(ids))
        given = np.asarray(ids[:-1])
        shared = [_common(one.ids, given) if one.adapter == adapter else 0 for one in self._kept]
        best = max(range(len(shared)), key=lambda place: shared[place], default=-1)
        if best >= 0 and shared[best] >= _LEAST:
            found, length = self._kept.pop(best), shared[best]
            # Where it goes on otherwise than the other did, that one may go on, too: what they have in common is copied.
            copied = len(found.ids) - length > _OTHERWISE
            if copied:
                self._kept.append(found)
            row = self._cache.go_on(found.row, length, copied=copied)
            self._shrink()
            if row is not None:
                return row, length
        self._shrink()
        return self._cache.open(adapter), 0

    def end(self, row: int, ids: Sequence[int], adapter: str) -> None:
        """Keep a text that ended, and what its row holds."""
        self._open -= 1
        self._longest = max(self._longest, len(ids))
        if self._cache.go_on(row, len(ids), copied=False) is None:
            self._cache.close(row)
            return
        self._kept.append(_Kept(row, np.asarray(ids), adapter))
        self._shrink()

    def drop(self, row: int) -> None:
        """Forget a text whose row may hold anything."""
        self._open -= 1
        self._cache.close(row)

    def _shrink(self) -> None:
        """Forget what was used longest ago, until the rest is no more than may be kept."""
        while self._kept:
            tokens = (len(self._kept) + self._open) * self._longest
            if len(self._kept) <= MOST_TEXTS and tokens <= MOST_TOKENS:
                return
            self._cache.close(self._kept.pop(0).row)


def _common(one: np.ndarray, other: np.ndarray) -> int:
    """Return how many ids two texts have in common from their beginning."""
    length = min(len(one), len(other))
    differ = np.flatnonzero(one[:length] != other[:length])
    return int(differ[0]) if len(differ) else length
