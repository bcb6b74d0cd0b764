"""The baseline of a language model: unigrams and longer n-grams with modified Kneser-Ney smoothing.

    model = NgramModel(train_documents, vocab_size=8192, order=4)
    bits = model.bits(test_documents)              # bits of each document, the end of the document included
    model.write(folder / "ngram.npz"); NgramModel.read(folder / "ngram.npz")

It knows nothing of text: a document is an array of token numbers (or of bytes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noria.core.errors import FolderError
from noria.core.messages import message

Documents = Sequence[np.ndarray]


@dataclass(frozen=True)
class _Level:
    """All n-grams of one length: a context (an n-gram one shorter) and the token after it."""

    keys: np.ndarray
    """Sorted: number of the context times the number of symbols, plus the token."""
    counts: np.ndarray
    """How often each was seen; for shorter ones, after how many different tokens."""
    totals: np.ndarray
    """Context -> sum of its counts."""
    left: np.ndarray
    """Context -> what discounting took from its counts, as a share of the sum: the weight of the shorter n-gram."""
    discounts: np.ndarray
    """Taken from a count of 0, 1, 2, and 3 or more."""


class NgramModel:
    """Interpolated Kneser-Ney with three discounts (Chen and Goodman 1999, equations 22 to 26).

    Args:
        documents: token numbers of each document, below `vocab_size`.
        vocab_size: how many different tokens there are.
        order: length of the longest n-grams; 1 knows no context.
    """

    def __init__(self, documents: Documents, vocab_size: int, order: int) -> None:
        self._name_symbols(vocab_size, order)
        tokens, depth = self._joined(documents)
        ids, kept = tokens, []
        for length in range(2, order + 1):
            keys = np.where(depth >= length - 1, _before(ids) * self._symbols + tokens, -1)
            found, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
            skip = int(found[0] == -1)
            first = np.full(len(found), -1, dtype=np.int64)
            first[inverse] = ids
            kept.append((found[skip:], counts[skip:], first[skip:]))
            ids = inverse - skip
        tables = [
            (keys, _continuations(counts, kept[number + 1][2]) if number + 1 < len(kept) else counts)
            for number, (keys, counts, _) in enumerate(kept)
        ]
        self._levels = self._leveled(tables)
        self._unigram = self._unigrams(tokens[depth > 0], kept)

    def _name_symbols(self, vocab_size: int, order: int) -> None:
        self.vocab_size, self.order = vocab_size, order
        # Two symbols above the tokens: the end, predicted like a token, and the beginning, seen but never predicted.
        self._end, self._begin, self._symbols = vocab_size, vocab_size + 1, vocab_size + 2

    def _leveled(self, tables: list[tuple[np.ndarray, np.ndarray]]) -> list[_Level]:
        """Return the levels of keys and counts, those of two tokens first."""
        levels, contexts = [], self._symbols
        for keys, counts in tables:
            levels.append(_level(keys, counts, keys // self._symbols, contexts))
            contexts = len(keys)
        return levels

    @property
    def size(self) -> int:
        """Return how many n-grams it holds, those of one token apart."""
        return sum(len(level.keys) for level in self._levels)

    def write(self, file: Path) -> None:
        """Write the model into a compressed file of plain arrays: of keys, which are sorted, only the differences."""
        arrays = {"sizes": np.array([self.vocab_size, self.order]), "unigram": self._unigram}
        for number, level in enumerate(self._levels):
            arrays[f"keys{number}"] = np.diff(level.keys, prepend=0).astype(np.uint64)
            arrays[f"counts{number}"] = level.counts.astype(np.uint32)
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # numpy's stub takes a bool for any name

    @classmethod
    def read(cls, file: Path) -> NgramModel:
        """Return the model of a file, which gives the same probabilities as the one that was written.

        Raises:
            FolderError: the file is missing or damaged.
        """
        model = cls.__new__(cls)
        try:
            with np.load(file, allow_pickle=False) as arrays:
                model._name_symbols(*(int(one) for one in arrays["sizes"]))
                tables = [
                    (
                        np.cumsum(arrays[f"keys{number}"].astype(np.int64)),
                        arrays[f"counts{number}"].astype(np.int64),
                    )
                    for number in range(model.order - 1)
                ]
                model._unigram = arrays["unigram"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FolderError(message("make.cannot_read_3", file=file), found=str(error)) from None
        model._levels = model._leveled(tables)
        return model

    def bits(self, documents: Documents) -> np.ndarray:
        """Return what each document costs, its end included, in bits; shape (documents,)."""
        cost = -np.log2(self.probabilities(documents))
        lengths = np.array([len(document) + 1 for document in documents], dtype=np.int64)
        return np.add.reduceat(cost, np.cumsum(lengths) - lengths) if len(lengths) else np.zeros(0)

    def probabilities(self, documents: Documents) -> np.ndarray:
        """Return the probability of every token, given those before it, and of every end, in one row."""
        return self.predictions(documents)[0]

    def predictions(self, documents: Documents) -> tuple[np.ndarray, np.ndarray]:
        """Return `probabilities`, and how many tokens long the longest run before each is that was seen in training."""
        tokens, depth = self._joined(documents)
        probability: np.ndarray = self._unigram[tokens]
        longest = np.zeros(len(tokens), dtype=np.int64)
        ids = tokens
        for length, level in enumerate(self._levels, start=2):
            context = np.where(depth >= length - 1, _before(ids), -1)
            known = (context >= 0) & (level.totals[context] > 0)
            keys = np.where(known, context * self._symbols + tokens, -1)
            place = np.minimum(np.searchsorted(level.keys, keys), len(level.keys) - 1)
            seen = known & (level.keys[place] == keys)
            count = np.where(seen, level.counts[place], 0)
            own = (count - level.discounts[np.minimum(count, 3)]) / np.maximum(level.totals[context], 1)
            probability = np.where(known, own + level.left[context] * probability, probability)
            longest[known] = length - 1
            ids = np.where(seen, place, -1)
        return probability[depth > 0], longest[depth > 0]

    def _joined(self, documents: Documents) -> tuple[np.ndarray, np.ndarray]:
        """Return all symbols in one array, and how far each stands from its document's beginning."""
        parts = [np.concatenate(([self._begin], document, [self._end])) for document in documents]
        if not parts:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        return np.concatenate(parts).astype(np.int64), np.concatenate([np.arange(len(part)) for part in parts])

    def _unigrams(self, predicted: np.ndarray, kept: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> np.ndarray:
        counts = np.bincount(kept[0][0] % self._symbols if kept else predicted, minlength=self._symbols)
        counts[self._begin] = 0
        discounts = _discounts(counts)
        total = max(1, counts.sum())
        taken = discounts[np.minimum(counts, 3)]
        uniform = np.full(self._symbols, 1.0 / (self.vocab_size + 1))
        if counts.sum() == 0:
            return uniform
        shares: np.ndarray = (counts - taken) / total + taken.sum() / total * uniform
        return shares


def _continuations(counts: np.ndarray, suffixes: np.ndarray) -> np.ndarray:
    """Return after how many different tokens each n-gram was seen; at a beginning, where none can stand, how often."""
    after = np.bincount(suffixes, minlength=len(counts))
    return np.where(after > 0, after, counts)


def _before(ids: np.ndarray) -> np.ndarray:
    return np.concatenate(([-1], ids[:-1])) if len(ids) else ids


def _level(keys: np.ndarray, counts: np.ndarray, context: np.ndarray, contexts: int) -> _Level:
    discounts = _discounts(counts)
    totals = np.bincount(context, weights=counts, minlength=contexts)
    taken = np.bincount(context, weights=discounts[np.minimum(counts, 3)], minlength=contexts)
    return _Level(keys, counts, totals, taken / np.maximum(totals, 1), discounts)


def _discounts(counts: np.ndarray) -> np.ndarray:
    """Return what is taken from counts of 0, 1, 2 and more (Chen and Goodman 1999, equation 26)."""
    one, two, three, four = (float(np.count_nonzero(counts == count)) for count in (1, 2, 3, 4))
    if min(one, two, three, four) == 0:
        return np.array([0.0, 0.5, 0.75, 0.9])  # too few n-grams to estimate from
    base = one / (one + 2 * two)
    taken = [0.0, 1 - 2 * base * two / one, 2 - 3 * base * three / two, 3 - 4 * base * four / three]
    return np.clip(taken, [0.0, 0.05, 0.05, 0.05], [0.0, 0.95, 1.9, 2.9])
