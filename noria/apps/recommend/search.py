"""Items found by words and by meaning: ranks of BM25 and of embeddings joined, over what is on offer at this moment.

    search = Search(folder)
    rows = search.find(catalogue, "red shoes", embedding, count=20)      # in a thread: the first call makes the index

Joined by reciprocal ranks, sum of 1 / (60 + rank) (Cormack, Clarke and Büttcher 2009, with their 60). The index of words is made of
segments: what is new gets one of its own, and all are made into one again when there are many.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from tempfile import mkdtemp

import numpy as np

from noria.tasks.items import Item
from noria.text.language import language_of
from noria.text.lexical import Lexical, write_lexical

from .catalogue import Catalogue, top

RANK = 60
DEPTH = 200
"""Best items of each of the two that are joined, at least."""
SEGMENTS = 8
"""Segments up to which nothing is made anew."""


class Search:
    """An index of items' words, kept up with a catalogue.

    Args:
        folder: where it lies; what lay there is removed, for it is made anew in seconds.
    """

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._segments: list[tuple[Path, Lexical, np.ndarray]] = []
        self._indexed: dict[str, Item] = {}
        self._known: Catalogue | None = None
        self._turn = threading.Lock()

    def find(
        self,
        catalogue: Catalogue,
        query: str,
        embedding: np.ndarray | None,
        count: int,
        allowed: np.ndarray | None = None,
    ) -> list[int]:
        """Return the rows of the best items for a query, the best first.

        Args:
            catalogue: what is on offer.
            query: words in any language.
            embedding: of the query, [width]; words alone decide without one.
            count: how many rows at most.
            allowed: which rows may be found, a mask; all on offer unless told.
        """
        mask = catalogue.offered if allowed is None else allowed & catalogue.offered
        joined: dict[int, float] = {}
        with self._turn:
            self._keep_up(catalogue)
            words = np.full(len(catalogue), -np.inf, dtype=np.float32)
            for _, lexical, rows in self._segments:
                there = rows >= 0
                scores = lexical.overlap(query).scores
                words[rows[there]] = np.where(scores[there] > 0, scores[there], -np.inf)
        depth = max(DEPTH, 4 * count)
        found = top(np.where(mask, words, -np.inf), depth)
        ranked = [found[np.lexsort((catalogue.salts[found], -words[found]))]]
        if embedding is not None:
            ranked.append(catalogue.nearest(catalogue.towards(embedding), depth, mask)[0])
        for rows in ranked:
            for rank, row in enumerate(rows.tolist(), 1):
                joined[row] = joined.get(row, 0.0) + 1 / (RANK + rank)
        return sorted(joined, key=lambda row: (-joined[row], int(catalogue.salts[row])))[:count]

    def _keep_up(self, catalogue: Catalogue) -> None:
        """Index what is new or was replaced; rows of a segment whose item is another one by now count no more."""
        if self._known is catalogue:
            return
        self._known = catalogue
        changed = [
            row
            for row, item in enumerate(catalogue.items)
            if catalogue.live[row] and self._indexed.get(item.id) is not item
        ]
        if not changed:
            return
        if len(self._segments) >= SEGMENTS or 4 * len(changed) > len(catalogue):
            for folder, _, _ in self._segments:
                shutil.rmtree(folder, ignore_errors=True)
            self._segments, changed = [], np.flatnonzero(catalogue.live).tolist()
        for _, _, rows in self._segments:
            rows[np.isin(rows, changed)] = -1
        self._segments.append(self._segment([catalogue.items[row] for row in changed], np.array(changed)))
        self._indexed |= {catalogue.items[row].id: catalogue.items[row] for row in changed}

    def _segment(self, items: Sequence[Item], rows: np.ndarray) -> tuple[Path, Lexical, np.ndarray]:
        folder = Path(mkdtemp(dir=self._folder))
        told = (item.described for item in items)
        write_lexical(folder, ((text, language_of(text)) for text in told), len(items))
        return folder, Lexical(folder), rows
