"""A network and an n-gram that predict the same tokens together: their probabilities mixed, by weights fitted on valid documents.

    mixture = fit(network, ngram, seen)                    # bits of every token by each, and how far back the n-gram has seen
    bits = mixture.bits(network, ngram, seen)              # never far above the better of the two

The n-gram knows by heart what it has counted, the network what words are like; so the n-gram's share rises with the length of
the run that it has seen before. It is linear interpolation (Jelinek and Mercer 1980), a weight for each such length. Nothing
here knows text or models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from noria.core.figure import Figure
from noria.core.messages import message

from .intervals import paired
from .language import bits_per_byte

NGRAM_FILE = "ngram.npz"
"""Of the n-gram in a model folder, beside the network that plain transformers loads alone."""
ROUNDS = 50
"""Rounds of expectation and maximisation; a weight has settled by then."""
PRIOR = 50.0
"""The weight of a length is as if so many tokens more had been shared out as those of all lengths are: rare ones tell little."""


@dataclass(frozen=True)
class Mixture:
    """How much of the probability is the network's."""

    weights: tuple[float, ...]
    """For a longest seen run of 0 tokens, of 1, ..."""

    def bits(self, network: np.ndarray, ngram: np.ndarray, seen: np.ndarray) -> np.ndarray:
        """Return the bits of every token together; arguments as for `fit`."""
        weight = np.array(self.weights)[seen]
        mixed: np.ndarray = -np.log2(weight * np.exp2(-network) + (1 - weight) * np.exp2(-ngram))
        return mixed


def fit(network: np.ndarray, ngram: np.ndarray, seen: np.ndarray, order: int) -> Mixture:
    """Return the weights that make tokens likeliest, by expectation and maximisation.

    Args:
        network: bits of each token by the network.
        ngram: bits of each by the n-gram.
        seen: tokens of the longest run before each that the n-gram has counted, below `order`.
        order: length of its longest n-grams.
    """
    one, other = np.exp2(-network), np.exp2(-ngram)
    (overall,) = _likeliest(one, other, np.zeros_like(seen), np.full(1, 0.5), 0.0)
    weights = _likeliest(one, other, seen, np.full(order, overall), PRIOR)
    return Mixture(tuple(float(weight) for weight in weights))


def _likeliest(one: np.ndarray, other: np.ndarray, seen: np.ndarray, before: np.ndarray, prior: float) -> np.ndarray:
    """Return a weight for each number in `seen`, as if `prior` tokens more had been shared out as before."""
    weights, counts = before, np.bincount(seen, minlength=len(before)) + prior
    for _ in range(ROUNDS):
        share = weights[seen] * one
        share = share / (share + (1 - weights[seen]) * other)
        weights = (np.bincount(seen, weights=share, minlength=len(before)) + prior * before) / np.maximum(counts, 1e-9)
    return weights


def compared(
    network: np.ndarray, ngram: np.ndarray, both: np.ndarray, sizes: np.ndarray, *, order: int, source: str
) -> list[Figure]:
    """Return bits per byte of both together, then by how much less: the network than the n-gram, both than each, pair by pair.

    Args:
        network: bits of each document by the network.
        ngram: bits by the n-gram.
        both: bits by both.
        sizes: UTF-8 bytes of each document.
        order: of the n-gram.
        source: which documents.
    """
    name = message("figures.mixed", order=order)
    first = bits_per_byte(both, sizes, source=source, name=name, baseline=float(ngram.sum() / sizes.sum()))
    pairs: Sequence[tuple[str, np.ndarray, np.ndarray]] = (
        (message("figures.network_below_ngram", order=order), ngram, network),
        (message("figures.mixed_below_ngram", order=order), ngram, both),
        (message("figures.mixed_below_network"), network, both),
    )
    return [first, *(_below(told, more, less, sizes, source) for told, more, less in pairs)]


def _below(name: str, more: np.ndarray, less: np.ndarray, sizes: np.ndarray, source: str) -> Figure:
    left, right = np.stack([more, sizes], axis=1), np.stack([less, sizes], axis=1)
    gain = paired(left, right, lambda sums: np.asarray(sums[:, 0] / sums[:, 1]))
    return Figure(
        name,
        gain.value,
        len(sizes),
        gain.low,
        gain.high,
        unit="bits/byte",
        source=source,
        level=gain.level,
        note="paired bootstrap over texts",
    )
