"""Where an item stands by what it is about: its words, and its vector where there is an encoder -> a place among all items; numpy alone.

    places.content(vectors, ["Toy Story (1995)\nAnimation Children"])       # [items, width], each of length 1 or 0

Words are hashed, so that no list of them is kept: of two of 10,000 words in 32,768 buckets every seventh shares its bucket, and weighs
as the commoner one. Chinese is read in pairs of characters, as it has no blanks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import xxhash

from noria.text.script import HAN, narrow

BUCKETS = 1 << 15
_RUN = re.compile(rf"([{HAN}]+)|[^\W_{HAN}]+")


def buckets_of(text: str) -> list[int]:
    """Return the buckets of a text's words, each once, ascending."""
    found: set[str] = set()
    for run in _RUN.finditer(narrow(text).casefold()):
        if (chinese := run[1]) and len(chinese) > 1:
            found.update(chinese[place : place + 2] for place in range(len(chinese) - 1))
        else:
            found.add(run[0])
    return sorted({xxhash.xxh32_intdigest(word.encode()) % BUCKETS for word in found})


def bags(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the words of texts as rows of a sparse matrix: starts int64 [texts + 1], buckets int32 [words]."""
    found = [buckets_of(text) for text in texts]
    starts = np.zeros(len(found) + 1, np.int64)
    np.cumsum([len(one) for one in found], out=starts[1:])
    return starts, np.fromiter((bucket for one in found for bucket in one), np.int32, int(starts[-1]))


@dataclass(frozen=True)
class TextPlaces:
    """Projections of words and vectors, fitted on a catalogue. W width of an encoder's vectors, D of a place."""

    idf: np.ndarray
    """Inverse document frequency of each bucket, float32 [BUCKETS]."""
    words: np.ndarray
    """From weighed words to their latent dimensions, float32 [BUCKETS, A]."""
    mean: np.ndarray
    """Mean of the catalogue's vectors, float32 [W]; W is 0 without an encoder."""
    vectors: np.ndarray
    """From centred vectors to their main directions, float32 [W, B]."""
    mix: np.ndarray
    """From both to a place, float32 [A + B, D]."""

    @property
    def width(self) -> int:
        """Return the length of an encoder's vector; 0 without one."""
        return len(self.mean)

    def content(self, vectors: np.ndarray | None, texts: Sequence[str]) -> np.ndarray:
        """Return the places of items, float32 [items, D]; of length 1, or 0 where nothing is known of what an item is about.

        Args:
            vectors: of the encoder, [items, W]; None where there are none.
            texts: what is told of each item.
        """
        told = self._of_words(texts)
        if self.width and vectors is not None:
            known = np.any(vectors != 0, axis=1, keepdims=True)
            seen = unit((np.asarray(vectors, np.float32) - self.mean) @ self.vectors) * known
        else:
            seen = np.zeros((len(texts), self.vectors.shape[1]), np.float32)
        return unit(np.concatenate([told, seen], axis=1) @ self.mix)

    def _of_words(self, texts: Sequence[str]) -> np.ndarray:
        starts, buckets = bags(texts)
        sums = np.zeros((len(texts), self.words.shape[1]), np.float32)
        for place in range(len(texts)):
            found = buckets[starts[place] : starts[place + 1]]
            weights = self.idf[found]
            if len(found) and (size := float(np.linalg.norm(weights))):
                sums[place] = (weights / size) @ self.words[found]
        return unit(sums)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what it is made of, by name: of the buckets only those that words fell into."""
        used = np.flatnonzero(self.idf).astype(np.int32)
        whole = {f"text.{one.name}": getattr(self, one.name) for one in fields(self)}
        return whole | {"text.used": used, "text.idf": self.idf[used], "text.words": self.words[used]}

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Return it from what `arrays` gave."""
        found = {one.name: arrays[f"text.{one.name}"] for one in fields(cls)}
        for name in ("idf", "words"):
            every = np.zeros((BUCKETS, *found[name].shape[1:]), np.float32)
            every[arrays["text.used"]] = found[name]
            found[name] = every
        return cls(**found)


def unit(rows: np.ndarray) -> np.ndarray:
    """Return rows of length 1, float32; rows of zeros stay."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), np.float32)
