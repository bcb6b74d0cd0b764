"""How sure to be that the first passage answers: a logistic regression on how likely it is by itself, and beside the next one.

Fitted on the 1,002 trial questions of CMRC 2018 (Cui et al. 2019), each asked twice, of all passages and of all but the one that answers, of
a base of whole paragraphs and of one of pieces of them: `python -m benchmarks.support_knowledge_fit [MODEL]` does it anew. Of a base of
another kind the probabilities are a prior, and what people say of the answers tells more.
"""

from __future__ import annotations

import numpy as np

from .retrieval import Hits

WORDS = np.array([-5.522, 0.417, 0.513])
"""Intercept and slopes on `facts` of a base without embeddings."""
BOTH = np.array([-7.182, 0.605, 0.41])
"""The same where passages are embedded."""
FAR = 5.0
"""Nats by which the first passage is taken to be ahead where there is no other, and at most: beyond, the others are of something else."""


def facts(scores: np.ndarray) -> np.ndarray:
    """Return what tells whether the first passage answers: its score, and how far that is ahead of the next one's."""
    ahead = float(scores[0] - scores[1]) if len(scores) > 1 else FAR
    return np.array([float(scores[0]), min(ahead, FAR)])


def certainty(hits: Hits, *, embedded: bool) -> float:
    """Return the probability that the first passage answers the question."""
    slopes = BOTH if embedded else WORDS
    value = slopes[0] + float(facts(hits.scores) @ slopes[1:])
    return float(1 / (1 + np.exp(-np.clip(value, -30, 30))))
