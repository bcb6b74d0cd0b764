"""The next token of two models: how often they agree, how far their distributions are apart, and how much of it are near ties.

Agreement is the share of places where both find the same token likeliest. Divergence is the mean Kullback-Leibler divergence in
nats of the trained model's distribution from the other's (Kullback and Leibler 1951), over the tokens whose log probabilities the
other tells and all others as one: it is never above that over all of them (data processing inequality; Cover and Thomas 2006,
2.8), and is that where all are told.

A near tie is a place where the trained model finds its two likeliest tokens as likely within `NEAR` nats: which of them comes
first may hang on the last bits of a product.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from noria.core.figure import Figure, proportion

from .certify import ratio_of_sums

NEAR = 0.1
"""Nats within which two tokens are as likely."""
_LEAST = 1e-12
"""Least probability that a logarithm is taken of."""
_REST = 1e-6
"""Least probability of all tokens that are not told: those told come rounded, and may sum to one or more."""


def divergence(ours: Sequence[float] | np.ndarray, logprobs: Sequence[float] | np.ndarray) -> float:
    """Return the divergence at one place, nats; see the module.

    Args:
        ours: the trained model's probabilities of the tokens that are told.
        logprobs: the other's log probabilities of the same tokens.
    """
    mine, theirs = np.asarray(ours, np.float64), np.exp(np.minimum(np.asarray(logprobs, np.float64), 0.0))
    total = float((mine * np.log(np.maximum(mine, _LEAST) / np.maximum(theirs, _LEAST))).sum())
    rest, other = max(1.0 - float(mine.sum()), 0.0), max(1.0 - float(theirs.sum()), _REST)
    # A rest as small as what rounding leaves of one tells nothing of the other's.
    return max(0.0, total + (rest * math.log(rest / other) if rest > _REST else 0.0))


def is_near_tie(probabilities: np.ndarray) -> bool:
    """Return whether the two likeliest of probabilities [vocabulary] are as likely within `NEAR` nats."""
    second, first = np.partition(probabilities, len(probabilities) - 2)[-2:]
    return bool(first < second * math.exp(NEAR))


def compared(
    same: Sequence[bool], near: Sequence[bool], apart: Sequence[float], *, name: str, source: str, seed: int
) -> list[Figure]:
    """Return agreement, agreement where nothing is nearly tied, and, where any is known, divergence; with intervals.

    Args:
        same: of every place whether both find the same token likeliest.
        near: of every place whether it is a near tie.
        apart: divergence at every place where it is known.
        name: what agreement is called.
        source: of the places.
        seed: of the resampling.
    """
    clear = [one for one, tied in zip(same, near, strict=True) if not tied]
    figures = [
        proportion(name, sum(same), len(same), source=source),
        proportion("agreement without near ties", sum(clear), len(clear), source=source),
    ]
    if apart:
        value, low, high = ratio_of_sums(np.array(apart), np.ones(len(apart)), seed)
        figures.append(Figure("next-token divergence", value, len(apart), low, high, unit="nats", source=source))
    return figures
