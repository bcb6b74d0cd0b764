"""A question -> the passages that may answer it, likeliest first.

A passage's score is the share that it has of the most that BM25 could give it, plus, where passages are embedded, the cosine of its
vector and the question's. Both are shares of one, and neither needs to know how many passages there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noria.core.errors import FolderError
from noria.core.folder import read_manifest

from .lexical import Lexical

NEARNESS = 2.0
"""Weight of the cosine beside the share of BM25: a first guess."""
CANDIDATES = 8
"""Passages that are looked at closely."""


@dataclass(frozen=True)
class Hits:
    """The passages that may answer a question, likeliest first, each array [hits]."""

    rows: np.ndarray
    """Places among the passages of the base."""
    scores: np.ndarray
    shares: np.ndarray
    """What BM25 gives them, as a share of the most it could."""
    cosines: np.ndarray
    """Of their vectors and the question's; 0 without embeddings."""


class Postings:
    """The searchable half of a base: postings, and the vectors that belong to them.

    Args:
        folder: of the base.

    Raises:
        FolderError: the base has no postings, or they are damaged.
    """

    def __init__(self, folder: Path, index: str, vectors: str) -> None:
        manifest = read_manifest(folder / index)
        self.state = str(manifest.settings["passages"])
        self.ids = np.load(folder / index / "ids.npy", allow_pickle=False)
        self.lexical = Lexical(folder / index)
        self.vectors: np.ndarray | None = None
        """[passages, width] of length one, float32; None where they are not of these passages."""
        self.probes: np.ndarray | None = None
        try:
            embedded = read_manifest(folder / vectors)
        except FolderError:
            return
        if str(embedded.settings["passages"]).rpartition(":")[0] == self.state:
            held = np.load(folder / vectors / "vectors.npy", mmap_mode="r", allow_pickle=False)
            self.vectors = held.astype(np.float32)
            self.probes = np.load(folder / vectors / "probes.npy", allow_pickle=False)

    def hits(self, question: str, vector: np.ndarray | None, without: np.ndarray | None = None) -> Hits:
        """Return the likeliest passages.

        Args:
            question: as it was asked.
            vector: its embedding [width]; None finds by words alone.
            without: places of passages that are passed over.
        """
        overlap = self.lexical.overlap(question)
        shares = overlap.scores / overlap.most
        cosines = np.zeros_like(shares)
        if vector is not None and self.vectors is not None:
            cosines = self.vectors @ np.asarray(vector, dtype=np.float32)
        scores = shares + NEARNESS * cosines
        if without is not None:
            scores[without] = -np.inf
        most = min(CANDIDATES, len(scores))
        rows = np.argpartition(-scores, most - 1)[:most] if most else np.zeros(0, dtype=np.int64)
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        rows = rows[np.isfinite(scores[rows])]
        return Hits(rows, scores[rows], shares[rows], cosines[rows])
