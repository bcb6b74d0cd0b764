"""How sure to be that the first passage answers: logistic regressions on what the question and the passage have in common.

That of words was fitted on the 1,002 trial questions of CMRC 2018 (Cui et al. 2019), each asked twice: of all passages, and of all but
the one that answers; `python -m benchmarks.support_knowledge [MODEL]` fits them anew. All facts are shares and cosines, so that they hold for a base
of any size and language; of a base of another kind the probabilities are a prior, and what people say of the answers tells more.
"""

from __future__ import annotations

import numpy as np

from .quotes import Sentences
from .retrieval import Hits

WORDS = np.array([-6.361, 11.379, 13.366, 4.199])
"""Intercept and slopes on `facts` of a base without embeddings."""
BOTH = np.array([*WORDS, 0.0, 0.0])
"""The same where passages are embedded; cosines count for nothing yet, for nobody has fitted what they say."""


def facts(hits: Hits, sentences: Sentences, embedded: bool) -> np.ndarray:
    """Return what tells whether the first passage answers.

    Its share of BM25; how far that is above the next one's; the part of the question that the quoted sentences cover. With embeddings,
    the cosine, and how far the first is ahead of the others by it. What no passage of the base knows of the question is in the share.
    """
    values = [float(hits.shares[0]), _ahead(hits.shares), sentences.covered]
    if embedded:
        values += [float(hits.cosines[0]), _ahead(hits.cosines)]
    return np.array(values)


def _ahead(values: np.ndarray) -> float:
    return float(values[0] - (values[1:].max() if len(values) > 1 else 0.0))


def certainty(hits: Hits, sentences: Sentences, embedded: bool) -> float:
    """Return the probability that the first passage answers the question."""
    slopes = BOTH if embedded else WORDS
    value = slopes[0] + float(facts(hits, sentences, embedded) @ slopes[1:])
    return float(1 / (1 + np.exp(-np.clip(value, -30, 30))))
