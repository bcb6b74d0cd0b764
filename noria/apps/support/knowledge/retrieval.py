"""A question -> the passages that may answer it, likeliest first.

Three facts of a passage say how likely it is the one: the share that it has of the most that BM25 could give it; the weight of the
question's terms that it holds at all, for long passages and repeated words sway BM25; and, where passages are embedded, how near its
vector is to the question's. All are shares of one, and none depends on how many passages there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noria.core.folder import read_manifest
from noria.text.lexical import Lexical

WORDS = np.array([29.8, 0.0])
"""Weights of share and held terms, in nats, as a conditional logit (McFadden 1974) found them: `benchmarks/support_knowledge_fit.py`.
Held terms count for nothing by words alone: on the trial questions they helped, in a base five times as large they did not."""
BOTH = np.array([1.5, 13.4, 2.04])
"""Those of share, held terms and nearness."""
FIRST = 0.1
"""Weight of nearness beside the share where candidates are chosen. What a passage holds at all counts only among these: in a large base
some long passage holds anything."""
CANDIDATES = 8
"""Passages that are looked at closely."""
LEAST_GAP = 0.02
"""Cosines between what belongs together and what does not, at least: of a model that tells them apart no better, noise."""


@dataclass(frozen=True)
class Hits:
    """The passages that may answer a question, likeliest first, each array [hits]."""

    rows: np.ndarray
    """Places among the passages of the base."""
    scores: np.ndarray
    """Log odds of one against another, in nats."""
    facts: np.ndarray
    """Share, held terms, and nearness where passages are embedded, [hits, facts]."""


class Postings:
    """The searchable half of a base: postings, and vectors where passages are embedded.

    Args:
        folder: what `build` wrote of the postings.

    Raises:
        FolderError: there is nothing, or it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        read_manifest(folder)
        self.ids = np.load(folder / "ids.npy", allow_pickle=False)
        self.lexical = Lexical(folder)
        self.vectors: np.ndarray | None = None
        """[passages, width] of length one, float32; None where passages are not embedded."""
        self.probes: np.ndarray | None = None
        if (folder / "vectors.npy").is_file():
            self.vectors = np.load(folder / "vectors.npy", mmap_mode="r", allow_pickle=False).astype(np.float32)
            self.probes = np.load(folder / "probes.npy", allow_pickle=False)
            self._apart, self._together = np.load(folder / "cosines.npy", allow_pickle=False)

    def hits(self, question: str, vector: np.ndarray | None, without: np.ndarray | None = None) -> Hits:
        """Return the likeliest passages.

        Args:
            question: as it was asked.
            vector: its embedding [width]; None finds by words alone.
            without: places of passages that are passed over.
        """
        overlap = self.lexical.overlap(question)
        facts = [overlap.scores / overlap.most, overlap.held]
        likely = facts[0].astype(np.float64)
        weights = WORDS
        if vector is not None and self.vectors is not None:
            # No product of BLAS: its threads wait awake for the next one, on cores that the embedding model needs.
            cosines = np.einsum("ij,j->i", self.vectors, np.asarray(vector, dtype=np.float32))
            facts.append((cosines - self._apart) / max(self._together - self._apart, LEAST_GAP))
            likely += FIRST * facts[2]
            weights = BOTH
        if without is not None:
            likely[without] = -np.inf
        rows = _highest(likely, CANDIDATES)
        rows = rows[np.isfinite(likely[rows])]
        found = np.stack([fact[rows] for fact in facts], axis=1).astype(np.float64)
        best = _highest(found @ weights, CANDIDATES)
        return Hits(rows[best], (found @ weights)[best], found[best])


def _highest(scores: np.ndarray, most: int) -> np.ndarray:
    """Return the places of the highest scores, highest first, `most` at most."""
    most = min(most, len(scores))
    places = np.argpartition(-scores, most - 1)[:most] if most else np.zeros(0, dtype=np.int64)
    return np.asarray(places[np.argsort(-scores[places], kind="stable")])
