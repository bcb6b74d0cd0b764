"""A knowledge base, opened: a question -> the sentences that answer it with where they stand, or nothing where it is not known.

knowledge = Knowledge.open("kb")
quote = await knowledge.answer("保修期多久？", embed)      # Quote(text="整机保修两年。", title="用户手册", page=12, ...), or None

What stands in a document is text that is quoted, whatever it says: nothing of it is ever followed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from noria.apps.embedding import Embed
from noria.core.errors import FolderError
from noria.core.messages import message
from noria.text.terms import LONGEST, question_terms

from . import LEAST
from .building import FAQ, INDEX, PROBES
from .certainty import certainty
from .passages import Passage
from .quotes import Quote, Sentences, conflicting, quoted
from .retrieval import Hits, Postings
from .rules import Rule, first_match
from .store import SourceRecord, Store

ALIKE = 0.9
"""Cosine of a probe's two embeddings from which two models are taken for one: a compressed one differs by less."""
COMPARED = 3
"""First passages among which contradictions are looked for."""


class Knowledge:
    """A base that answers. It is read anew when it was made anew.

    Args:
        folder: what `build` made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._store = Store(folder)
        self._lock = Lock()
        self._made = self._changes = -1
        self._fits: bool | None = None
        self._refresh()

    @classmethod
    def open(cls, folder: str | Path) -> Knowledge:
        """Open a base.

        Raises:
            FolderError: there is none, it is not finished, or it is damaged.
        """
        return cls(Path(folder))

    def __len__(self) -> int:
        return len(self._postings.ids)

    @property
    def sources(self) -> list[SourceRecord]:
        """Return what it was made of."""
        return self._store.sources()

    @property
    def faq(self) -> Path | None:
        """Return the file of its questions and answers, or None where no source holds any."""
        file = self.folder / FAQ
        return file if file.is_file() else None

    def turns(self) -> Iterator[dict[str, Any]]:
        """Yield {source, conversation, turn, speaker, text} of its past dialogues, masked."""
        for name, value in self._store.rows("dialogues"):
            yield {"source": name, **value}

    def rule(self, text: str) -> Rule | None:
        """Return the first rule that a message matches, or None."""
        if self._lock.acquire(blocking=False):  # a question that is being answered has just looked
            try:
                self._refresh()
            finally:
                self._lock.release()
        return first_match(self._rules, text)

    async def answer(self, question: str, embed: Embed | None = None, *, least: float = LEAST) -> Quote | None:
        """Return the sentences that answer a question, or None where that is not known.

        Args:
            question: as it was asked, of any length.
            embed: the model that embedded the passages; without it, or where it is another one, words alone decide.
            least: probability below which nothing is known.
        """
        vector = None
        if embed is not None and self._postings.probes is not None:
            if self._fits is None:
                self._fits = self._embeds_alike(await embed(PROBES))
            vector = (await embed([question[:LONGEST]]))[0] if self._fits else None
        found = await asyncio.to_thread(self.find, question, vector)
        return found if found is not None and found.probability >= least else None

    def find(self, question: str, vector: np.ndarray | None = None, without: np.ndarray | None = None) -> Quote | None:
        """Return the likeliest sentences with their probability, however small; None where nothing has a word in common.

        Args:
            question: as it was asked.
            vector: its embedding [width].
            without: places of passages that are passed over, as if they were not there.
        """
        with self._lock:
            self._refresh()
            return self._found(question, vector, without)

    def _found(self, question: str, vector: np.ndarray | None, without: np.ndarray | None) -> Quote | None:
        hits, held = self._held(question, vector, without)
        if not len(hits.rows) or hits.scores[0] <= 0:
            return None
        said = self._sentences(question, int(hits.rows[0]), held[0][1])
        probability = certainty(hits, embedded=hits.facts.shape[1] > 2)
        ids = [int(one) for one in self._postings.ids[hits.rows]]
        quote = _quote(ids[0], held[0], said, probability)
        others = []
        for number, row, other in zip(ids[1:COMPARED], hits.rows[1:], held[1:], strict=False):
            if other[0] != held[0][0]:
                theirs = self._sentences(question, int(row), other[1])
                if conflicting(said, theirs):
                    others.append(_quote(number, other, theirs, probability))
        return replace(quote, conflicting=tuple(others[:1]))

    def _held(
        self, question: str, vector: np.ndarray | None, without: np.ndarray | None
    ) -> tuple[Hits, list[tuple[str, Passage]]]:
        """Return the likeliest passages by their places, and as they stand in the store.

        Raises:
            FolderError: the store lacks what the postings are of: one of the two was copied alone.
        """
        while True:
            made = self._made
            hits = self._postings.hits(question, vector, without)
            held = self.passages(hits.rows)
            self._refresh()
            if made != self._made:
                continue  # the base was made anew meanwhile, and what the older postings knew may be gone
            if len(held) < len(hits.rows):
                raise FolderError(message("knowledge.damaged", name=INDEX), hint=message("knowledge.make_base"))
            return hits, held

    def vector_by(self, embed: Callable[[Sequence[str]], np.ndarray], question: str) -> np.ndarray | None:
        """Return a question's embedding by a model in this process, or None where it is not the one that embedded the passages."""
        if self._postings.probes is None or not self._embeds_alike(embed(PROBES)):
            return None
        return np.asarray(embed([question[:LONGEST]])[0])

    def hits(self, question: str, vector: np.ndarray | None = None, without: np.ndarray | None = None) -> Hits:
        """Return the likeliest passages by their places, and what speaks for each; see `find`."""
        with self._lock:
            self._refresh()
            return self._postings.hits(question, vector, without)

    def passages(self, rows: np.ndarray) -> list[tuple[str, Passage]]:
        """Return name of the source and passage for places, those that are gone left out."""
        ids = [int(one) for one in self._postings.ids[rows]]
        found = self._store.chosen(ids)
        return [found[one] for one in ids if one in found]

    def close(self) -> None:
        """Close its file."""
        self._store.close()

    def _sentences(self, question: str, row: int, passage: Passage) -> Sentences:
        asked, counts = question_terms(question)
        weights = self._postings.lexical.idf(asked)[self._postings.lexical.groups[row]] * counts
        return quoted(passage.text, asked, weights)

    def _embeds_alike(self, now: np.ndarray) -> bool:
        probes = self._postings.probes
        if probes is None or np.shape(now) != probes.shape:
            return False
        return bool(((np.asarray(now) * probes).sum(axis=1) >= ALIKE).all())

    def _refresh(self) -> None:
        changes, index = self._store.changes(), self.folder / INDEX
        try:
            # Looked at once more after they are read: postings that were replaced meanwhile were read half and half.
            while (made := (index / "noria.json").stat().st_mtime_ns) != self._made:
                self._postings = Postings(index)
                self._made, self._fits = made, None
        except (FileNotFoundError, FolderError) as error:
            if self._made >= 0:
                return  # the older ones have just stepped aside, and answer until the newer ones are in their place
            if isinstance(error, FolderError):
                raise
            raise FolderError(
                message("knowledge.unfinished"), found=str(self.folder), hint=message("knowledge.make_base")
            ) from None
        if changes != self._changes:
            self._rules = [Rule(**_frozen(value)) for _, value in self._store.rows("rules")]
            self._changes = changes


def _frozen(value: dict[str, Any]) -> dict[str, Any]:
    return {**value, "words": tuple(map(tuple, value["words"]))}


def _quote(number: int, found: tuple[str, Passage], sentences: Sentences, probability: float) -> Quote:
    source, passage = found
    return Quote(
        sentences.text,
        source,
        passage.title,
        passage.section,
        passage.page,
        passage.start + sentences.start,
        passage.link,
        passage.language,
        probability,
        number,
    )
