"""A linear chain over the tokens of a text that tags them with numpy alone: a conditional random field (Lafferty et al. 2001).

What a token is known by: itself and its neighbours, characters at its ends, its shape, and whether it lies in a name that is known
from training rows. Each of these is a number, known numbers have weights for every code of the task, and every step from one code to the
next has one. The same tokens are read as the large model reads, so that the two can be added.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from .names import Names, Place, codes_of

_BASE = 0x9E3779B97F4A7C15
"""Odd, so that it has an inverse among numbers of 64 bits."""
BITS = 23
"""What a token is known by is one of 2^23 numbers; the few that share one share its weights (Weinberger et al. 2009)."""
AROUND = 40
"""Characters before the first and behind the last token that are looked at."""
_INVERSE = pow(_BASE, -1, 1 << 64)


@dataclass(frozen=True)
class ChainModel:
    """A conditional random field over tokens. V numbers that it knows, C codes of the task (`Tag.outputs`)."""

    keys: np.ndarray
    """What tokens may be known by, ascending, int32 [V]."""
    weights: np.ndarray
    """Of each for every code, and last of what is not known: nothing; float32 [V + 1, C]. Files hold them in float16."""
    steps: np.ndarray
    """What a step from one code to the next counts, the last row from the start, float32 [C + 1, C]."""
    rows: np.ndarray
    """Of every number its row among the weights, int32 [2^BITS]: looked up at once, where a search would take the most of the time."""
    names: Names
    """Of training rows."""
    labels: tuple[str, ...]
    """Of the names."""

    def __call__(self, text: str, places: Sequence[Place]) -> np.ndarray:
        """Return what each code counts for every token, not normalised, float64 [T, C]; `places` are the characters under each."""
        near = keys_near(text, places, self.names, self.labels)
        return np.asarray(self.weights[self.rows[near]].sum(axis=1), dtype=np.float64)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return all of it as arrays; `of_tensors` makes it again."""
        names = json.dumps({"labels": self.labels, "names": dict(self.names.labels)}, ensure_ascii=False)
        return {
            "keys": self.keys,
            "weights": self.weights[:-1].astype(np.float16),
            "steps": self.steps,
            "names": np.frombuffer(names.encode("utf-8", "surrogatepass"), dtype=np.uint8),
        }

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Any]) -> Self:
        """Return the model whose `tensors` these are.

        Raises:
            KeyError, ValueError: they are not those of such a model.
        """
        known = json.loads(bytes(tensors["names"]).decode("utf-8", "surrogatepass"))
        return cls.of_weights(
            tensors["keys"], tensors["weights"], tensors["steps"], Names.of(known["names"]), tuple(known["labels"])
        )

    @classmethod
    def of_weights(
        cls, keys: np.ndarray, weights: np.ndarray, steps: np.ndarray, names: Names, labels: tuple[str, ...]
    ) -> Self:
        """Return the model whose weights [V, C], rounded to float16, these are.

        Raises:
            ValueError: they are not as many as its keys, or not of its labels' codes.
        """
        codes = 1 + 2 * len(labels)
        if (
            weights.shape != (len(keys), codes)
            or steps.shape != (codes + 1, codes)
            or not 0 <= keys.min() <= keys.max() < 1 << BITS
        ):
            raise ValueError(f"weights {weights.shape} for {len(keys)} keys and {codes} codes")
        whole = np.zeros((len(keys) + 1, codes), dtype=np.float32)
        whole[:-1] = weights.astype(np.float16)
        rows = np.full(1 << BITS, len(keys), dtype=np.int32)
        rows[keys] = np.arange(len(keys), dtype=np.int32)
        return cls(keys, whole, steps.astype(np.float32), rows, names, labels)


def keys_near(text: str, places: Sequence[Place], names: Names, labels: Sequence[str]) -> np.ndarray:
    """Return what each token is known by, as numbers below 2^BITS, int32 [T, F]; of the text what lies near the tokens is looked at."""
    first, last = max(0, places[0][0] - AROUND), places[-1][1] + AROUND
    text, places = text[first:last], [(start - first, end - first) for start, end in places]
    return token_keys(text, places, codes_of(names.find(text), places, labels))


def token_keys(text: str, places: Sequence[Place], codes: np.ndarray) -> np.ndarray:
    """Return what each token is known by, as numbers below 2^BITS, int32 [T, F].

    Args:
        text: any text.
        places: characters under each of its T tokens, at least one, in order.
        codes: of the dictionary's names, as `codes_of` gives them.
    """
    spread = np.array(places, dtype=np.int64).reshape(-1, 2)
    starts, ends = spread[:, 0], spread[:, 1]
    small = text.lower()
    if len(small) != len(text):  # a letter whose small form is two characters stays as it is
        small = "".join(one.lower() if len(one.lower()) == 1 else one for one in text)
    points = np.frombuffer(small.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64) + np.uint64(1)
    letters, shapes = _substrings(points), _substrings(_shapes(text))
    low, high = np.zeros_like(starts), np.full_like(ends, len(text))
    token, shape, word = letters(starts, ends), shapes(starts, ends), letters(*_words(text, starts))
    first, last = letters(starts, starts + 1), letters(ends - 1, ends)
    head, tail = letters(starts, np.minimum(ends, starts + 2)), letters(np.maximum(starts, ends - 2), ends)
    before, after = letters(np.maximum(low, starts - 1), starts), letters(ends, np.minimum(high, ends + 1))
    before_2, after_2 = letters(np.maximum(low, starts - 2), starts), letters(ends, np.minimum(high, ends + 2))
    name = codes.astype(np.uint64) + np.uint64(1)
    left, left_2, right, right_2 = (_shift(token, by) for by in (1, 2, -1, -2))
    keys = [
        *((one,) for one in (token, left, right, left_2, right_2, head, tail, before, after, before_2, after_2)),
        *((left, token), (token, right), (left, right), (left_2, left), (right, right_2), (first, last)),
        *((before, first), (last, after), (before_2, first), (last, after_2)),
        *((shape,), (_shift(shape, 1), shape, _shift(shape, -1))),
        *((word,), (_shift(word, 1), shape), (_shift(word, -1), shape)),
        *((name,), (name, token), (_shift(name, 1), name, _shift(name, -1)), (name, before), (name, after)),
    ]
    parts = np.zeros((3, len(keys), len(places)), dtype=np.uint64)
    for number, some in enumerate(keys):
        parts[: len(some), number] = some
    return _mixed(parts).T


def _mixed(parts: np.ndarray) -> np.ndarray:
    """Return a number below 2^BITS for every place of several arrays and its row [n, F, T] -> [F, T] (SplitMix64, Steele et al. 2014)."""
    found = (np.arange(1, parts.shape[1] + 1, dtype=np.uint64) * np.uint64(_BASE))[:, None]
    for part in parts:
        found = (found ^ part) * np.uint64(0xBF58476D1CE4E5B9)
        found ^= found >> np.uint64(31)
    found *= np.uint64(0x94D049BB133111EB)
    return np.asarray((found >> np.uint64(64 - BITS)).astype(np.int32))


def _shift(values: np.ndarray, by: int) -> np.ndarray:
    """Return the values of tokens so far before (below 0: behind); an odd number beyond the ends."""
    found = np.full(len(values), _INVERSE, dtype=np.uint64)
    if by > 0:
        found[by:] = values[:-by]
    else:
        found[:by] = values[-by:]
    return found


def _shapes(text: str) -> np.ndarray:
    """Return the kind of each character: 1 Chinese or the like, 2 capital, 3 small letter, 4 digit, 5 blank, 6 anything else."""
    return np.array(
        [
            1
            if one >= "\u2e80" and one.isalpha()
            else 2
            if one.isupper()
            else 3
            if one.isalpha()
            else 4
            if one.isdigit()
            else 5
            if one.isspace()
            else 6
            for one in text
        ],
        dtype=np.uint64,
    )


def _substrings(values: np.ndarray) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return what gives from starts and ends numbers of what stands there: a polynomial of its values, modulo 2^64."""
    powers, inverse = (_powers(base, len(values)) for base in (_BASE, _INVERSE))
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(values * powers[:-1])])
    return lambda starts, ends: (sums[ends] - sums[starts]) * inverse[starts]


def _powers(base: int, most: int) -> np.ndarray:
    """Return the powers of a number from 0 up to `most`, modulo 2^64."""
    found = np.full(most + 1, base, dtype=np.uint64)
    found[0] = 1
    return np.cumprod(found)


def _words(text: str, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return first and past-the-last character of the run of letters and digits that each token begins in."""
    inside = np.array([one.isalnum() for one in text], dtype=bool)
    edge = np.flatnonzero(np.diff(inside.astype(np.int8)))
    cuts = np.concatenate([[0], edge + 1, [len(text)]])
    run = np.searchsorted(cuts, starts, side="right")
    return cuts[run - 1], cuts[run]


@dataclass(frozen=True)
class Expected:
    """What a chain expects of some texts: B texts, T tokens, C codes."""

    log_total: np.ndarray
    """Logarithm of the sum over all ways to code a text [B]."""
    codes: np.ndarray
    """Probability of every code of every token [B, T, C]; 0 beyond a text's end."""
    steps: np.ndarray
    """How often each step is expected in all texts, the last row from the start [C + 1, C]."""


def expected(scores: np.ndarray, steps: np.ndarray, lengths: np.ndarray) -> Expected:
    """Return what a chain expects, by the forward-backward algorithm with scaling (Rabiner 1989, section V.A).

    Args:
        scores: what each code counts for every token [B, T, C].
        steps: what each step counts, the last row from the start [C + 1, C]; -inf where one may not be.
        lengths: tokens of each text, at least one, the longest first [B].
    """
    texts, tokens, codes = scores.shape
    top = scores.max(axis=2, keepdims=True)
    odds = np.exp(scores - top).transpose(1, 0, 2)
    between, start = np.exp(steps[:-1]), np.exp(steps[-1])
    counts = (
        (np.arange(tokens)[:, None] < lengths).sum(axis=1).tolist()
    )  # the texts that have such a token are the first
    forward, scale = np.zeros((tokens, texts, codes)), np.ones((tokens, texts, 1))
    for place, on in enumerate(counts):
        came = (forward[place - 1, :on] @ between if place else start) * odds[place, :on]
        total = np.add.reduce(came, axis=1, keepdims=True, out=scale[place, :on])
        np.divide(came, total, out=forward[place, :on])
    backward = np.ones((tokens, texts, codes))
    pairs, turned = np.zeros((codes + 1, codes)), between.T
    for place in range(tokens - 1, 0, -1):
        on = counts[place]
        onward = odds[place, :on] * backward[place, :on] / scale[place, :on]
        pairs[:-1] += forward[place - 1, :on].T @ onward
        np.matmul(onward, turned, out=backward[place - 1, :on])
    found = (forward * backward).transpose(1, 0, 2)
    pairs[:-1] *= between
    pairs[-1] = found[:, 0].sum(axis=0)
    inside = np.arange(tokens) < lengths[:, None]
    return Expected(np.log(scale[..., 0]).sum(axis=0) + (top[..., 0] * inside).sum(axis=1), found, pairs)
