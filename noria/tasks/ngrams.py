"""A linear model over n-grams of a text, or of two, that answers with numpy alone.

Chinese is cut into runs of one to three characters, other text into words and pairs of words; a gram weighs
(1 + ln count) x idf, the vector of a text has length one (Salton and Buckley 1988), and logits are linear in it: what
scikit-learn's TfidfVectorizer and LogisticRegression give for the same text, without loading them.

Grams are numbers, not strings: three characters fit 63 bits, and words are numbered first. So a text is looked up in a few
calls of numpy, and no gram is taken for another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

Unit = Literal["characters", "words"]
CHARACTERS = 3
"""Characters of the longest run."""
_BITS = 21
"""A character, or none, is a number below 2^21."""
_SPACES = re.compile(r"\s\s+")
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class NgramModel:
    """TF-IDF of the grams of a text, and a linear model over it.

    V grams. A pair of texts has 4 V columns: of its first text, its second, their product and the size of their difference.
    """

    unit: Unit
    keys: np.ndarray
    """Numbers of the known grams, ascending, uint64 [V]."""
    idf: np.ndarray
    """Inverse document frequencies, float32 [V]."""
    words: Mapping[str, int]
    """Word -> its number from 1 on; empty where the unit is the character."""
    coefficients: np.ndarray
    """Weights of the columns, float32 [V or 4 V, outputs]."""
    intercept: np.ndarray
    """Of every output, float64 [outputs]."""

    def __call__(self, text: str, pair: str | None = None) -> np.ndarray:
        """Return the outputs for a text, or for two where the model was made for pairs, float64 [outputs]."""
        columns, values = self.vector(text)
        if len(self.coefficients) == len(self.keys):
            return np.asarray(values @ self.coefficients[columns] + self.intercept)
        others, weights = self.vector(pair or "")
        both = np.union1d(columns, others)
        left, right = np.zeros(len(both)), np.zeros(len(both))
        left[np.searchsorted(both, columns)] = values
        right[np.searchsorted(both, others)] = weights
        blocks = np.concatenate([both + number * len(self.keys) for number in range(4)])
        values = np.concatenate([left, right, left * right, np.abs(left - right)])
        return np.asarray(values @ self.coefficients[blocks] + self.intercept)

    def vector(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the columns of the grams that a text has, ascending, and how much they weigh; empty where it has none."""
        grams = self.grams(text)
        place = np.searchsorted(self.keys, grams)
        place[place == len(self.keys)] = 0
        known = place[self.keys[place] == grams] if len(self.keys) else place[:0]
        columns, counts = np.unique(known, return_counts=True)
        values = (1.0 + np.log(counts)) * self.idf[columns]
        return columns, values / (np.sqrt(values @ values) or 1.0)

    def grams(self, text: str) -> np.ndarray:
        """Return the numbers of a text's grams as often as they occur, uint64; grams of unknown words are left out."""
        if self.unit == "characters":
            return character_grams(text)
        get = self.words.get
        return word_grams([get(word, 0) for word in _WORD.findall(text.lower())])

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all of it as arrays; `of_tensors` makes it again."""
        return {
            "keys": self.keys,
            "idf": self.idf,
            "words": np.frombuffer("\n".join(self.words).encode(), dtype=np.uint8),
            "coefficients": self.coefficients,
            "intercept": self.intercept,
        }

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Any], unit: Unit) -> Self:
        """Return the model whose `tensors` these are.

        Raises:
            KeyError, ValueError: they are not those of such a model.
        """
        words = bytes(tensors["words"]).decode().split("\n") if len(tensors["words"]) else []
        numbers = {word: number for number, word in enumerate(words, 1)}
        found = cls(unit, tensors["keys"], tensors["idf"], numbers, tensors["coefficients"], tensors["intercept"])
        size, outputs = len(found.keys), len(found.intercept)
        if found.coefficients.shape not in ((size, outputs), (4 * size, outputs)) or len(found.idf) != size:
            raise ValueError(f"{found.coefficients.shape} weights for {size} grams")
        return found


def character_grams(text: str) -> np.ndarray:
    """Return the numbers of a text's runs of one to three characters, uint64: small letters, white space in runs taken as one blank."""
    plain = _SPACES.sub(" ", text.lower())
    one = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64) + np.uint64(1)
    runs = [one]
    for length in range(1, CHARACTERS):
        runs.append(runs[-1][:-1] | (one[length:] << np.uint64(length * _BITS)))
    return np.concatenate(runs)


def word_grams(numbers: Sequence[int]) -> np.ndarray:
    """Return the numbers of words and of pairs of words, uint64, from the words' own; 0, an unknown word, is in none of them."""
    one = np.array(numbers, dtype=np.uint64)
    first, second = one[:-1], one[1:]
    both = (first > 0) & (second > 0)
    return np.concatenate([one[one > 0], (first[both] << np.uint64(32)) | second[both]])
