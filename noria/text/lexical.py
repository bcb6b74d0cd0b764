"""BM25 over the terms of passages, by language: arrays on disk, mapped into memory, made in blocks that bound it.

score(q, d) = sum over terms of q of idf(t) tf (k1 + 1) / (tf + k1 (1 - b + b |d| / mean)), idf(t) = ln(1 + (N - n + 1/2) / (n + 1/2))
(Robertson and Zaragoza 2009, equation 3.15, with the idf of Lucene, which is never negative). N, n and the mean length are those of
the passages in d's language, and N counts a few more: in a base of ten Chinese handbooks and an English one, "the" is rare, and says nothing all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from .terms import BITS, question_terms, terms

K1, B = 1.2, 0.6
"""Usual are 1.2 and 0.75; of a plateau from 0.4 to 0.75 on CMRC 2018's trial questions this is the middle."""
BACKGROUND = 20
"""Passages that are taken to stand beside those of each language and to hold none of their terms: of a base of one passage every
term would else say nothing."""
BLOCK = 2_048
"""Passages of which postings are sorted together."""
_CHUNK = 1 << 21
"""Postings that are weighted together."""
FEW = 64
"""Passages of a language below which they count with the largest language of their script: what is rare in it cannot be told from so
few, and a short text in one language is at times taken for another."""
_SCRIPTS = {"en": "latin", "latin": "latin", "zh": "han", "ja": "han"}
NAMES = ("terms", "starts", "places", "weights", "idf", "groups")
OTHER = "other"


@dataclass(frozen=True)
class Overlap:
    """What a question and passages have in common."""

    scores: np.ndarray
    """BM25, [passages]."""
    most: np.ndarray
    """What a passage would score at most that held every term of the question again and again, by language, [passages]."""
    held: np.ndarray
    """Weight of the question's terms that stand in a passage, however often, as a share of all, [passages]."""


class Lexical:
    """Postings of a folder, looked up without being read whole.

    Args:
        folder: what `write_lexical` wrote.
    """

    def __init__(self, folder: Path) -> None:
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in NAMES}
        self._terms, self._starts, self._idf = arrays["terms"], arrays["starts"], arrays["idf"]
        self._places, self._weights = arrays["places"], arrays["weights"]
        self.groups = np.asarray(arrays["groups"])
        """Number of each passage's language, [passages]."""
        counts = np.bincount(self.groups, minlength=self._idf.shape[0])
        self._unseen = np.log1p((counts + BACKGROUND + 0.5) / 0.5)

    def __len__(self) -> int:
        return len(self.groups)

    def idf(self, found: np.ndarray) -> np.ndarray:
        """Return the weight of terms in each language, [languages, terms]; one that stands in no passage weighs most."""
        rows = np.minimum(np.searchsorted(self._terms, found), max(len(self._terms) - 1, 0))
        weights = np.repeat(self._unseen[:, None], len(found), axis=1)
        known = self._terms[rows] == found if len(self._terms) else np.zeros(len(found), dtype=bool)
        weights[:, known] = self._idf[:, rows[known]]
        return weights

    def overlap(self, question: str) -> Overlap:
        """Return how well each passage's terms cover those of a question."""
        asked, counts = question_terms(question)
        weights = self.idf(asked)
        scores, held = np.zeros((2, len(self)), dtype=np.float32)
        for own, term, count in zip(weights.T.astype(np.float32), asked, counts.astype(np.float32), strict=True):
            at = int(np.searchsorted(self._terms, term))
            if at < len(self._terms) and self._terms[at] == term:
                inside = slice(int(self._starts[at]), int(self._starts[at + 1]))
                places = self._places[inside]
                scores[places] += count * self._weights[inside].astype(np.float32)
                held[places] += count * own[self.groups[places]]
        most = np.maximum(weights @ counts, 1e-9)[self.groups].astype(np.float32)
        return Overlap(scores, (K1 + 1) * most, held / most)


def write_lexical(folder: Path, passages: Iterable[tuple[str, str]], count: int) -> None:
    """Write the postings of passages.

    Args:
        folder: an empty one.
        passages: text and language of each, in order.
        count: how many there are.
    """
    languages: dict[str, int] = {}
    groups, lengths = np.zeros(count, dtype=np.uint8), np.zeros(count, dtype=np.float32)
    totals = np.zeros(1 << BITS, dtype=np.int32)
    with TemporaryFile(dir=folder) as spool:
        sizes = []
        for first, block in _blocks(passages):
            for at, (_, language) in enumerate(block):
                # What few write in has no statistics of its own to speak of, and a byte holds 256.
                groups[first + at] = languages.setdefault(language if len(languages) < 200 else OTHER, len(languages))
            found, places, times = _postings([text for text, _ in block], lengths[first : first + len(block)])
            once, times_found = np.unique(found, return_counts=True)
            totals[once] += times_found.astype(np.int32)
            for array in (found, places + np.int32(first), times):
                spool.write(array.tobytes())
            sizes.append(len(found))
        spool.seek(0)
        groups = _with_their_script(groups, list(languages))
        known = np.flatnonzero(totals).astype(np.uint32)
        starts = np.concatenate([[0], np.cumsum(totals[known], dtype=np.int64)])
        _save(folder, "terms", known)
        _save(folder, "starts", starts)
        _save(folder, "groups", groups)
        rows = totals  # used again: a term's row among those known
        rows[known] = np.arange(len(known), dtype=np.int32)
        shape = (int(starts[-1]),)
        held = np.lib.format.open_memmap(folder / "places.npy", mode="w+", dtype=np.int32, shape=shape)
        weights = np.lib.format.open_memmap(folder / "weights.npy", mode="w+", dtype=np.float16, shape=shape)
        _sorted(spool, sizes, rows, starts, held, weights)
    _weigh(folder, starts, held, weights, groups, lengths, max(len(languages), 1))
    held.flush()
    weights.flush()


def _with_their_script(groups: np.ndarray, languages: Sequence[str]) -> np.ndarray:
    """Return the number of each passage's language, or of the largest one of its script where a language has few passages."""
    counts = np.bincount(groups, minlength=len(languages))
    into = np.arange(len(languages), dtype=np.uint8)
    for number, language in enumerate(languages):
        script = _SCRIPTS.get(language, language)
        alike = [other for other, name in enumerate(languages) if _SCRIPTS.get(name, name) == script]
        if counts[number] < FEW:
            into[number] = max(alike, key=lambda other: counts[other])
    return np.asarray(into[groups])


def _blocks(passages: Iterable[tuple[str, str]]) -> Iterator[tuple[int, list[tuple[str, str]]]]:
    rest, first = iter(passages), 0
    while block := list(islice(rest, BLOCK)):
        yield first, block
        first += len(block)


def _postings(texts: Sequence[str], lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return terms (uint32), places in the block (int32) and times (uint8), sorted by place; fills in the lengths."""
    keys = []
    for at, text in enumerate(texts):
        found = terms(text)
        lengths[at] = len(found)
        keys.append(found.astype(np.int64) | np.int64(at << BITS))
    unique, times = np.unique(np.concatenate(keys), return_counts=True)
    places = (unique >> BITS).astype(np.int32)
    return (unique & ((1 << BITS) - 1)).astype(np.uint32), places, np.minimum(times, 255).astype(np.uint8)


def _sorted(
    spool: object, sizes: Sequence[int], rows: np.ndarray, starts: np.ndarray, held: np.ndarray, times: np.ndarray
) -> None:
    """Bring the postings of all blocks in the order of their terms."""
    cursors = starts[:-1].copy()
    for size in sizes:
        read = [
            np.frombuffer(spool.read(size * kind().itemsize), dtype=kind)  # type: ignore[attr-defined]
            for kind in (np.uint32, np.int32, np.uint8)
        ]
        mine = rows[read[0]]
        order = np.argsort(mine, kind="stable")
        mine = mine[order]
        unique, first, counts = np.unique(mine, return_index=True, return_counts=True)
        targets = cursors[mine] + np.arange(size) - np.repeat(first, counts)
        held[targets], times[targets] = read[1][order], read[2][order]
        cursors[unique] += counts


def _weigh(
    folder: Path,
    starts: np.ndarray,
    held: np.ndarray,
    weights: np.ndarray,
    groups: np.ndarray,
    lengths: np.ndarray,
    languages: int,
) -> None:
    """Write each term's idf by language, and put the weights in the place of how often a term stands in a passage."""
    counts = np.bincount(groups, minlength=languages).astype(np.float64)
    means = np.bincount(groups, weights=lengths, minlength=languages) / np.maximum(counts, 1)
    norms = (K1 * (1 - B + B * lengths / np.maximum(means[groups], 1e-9))).astype(np.float32)
    idf = np.zeros((languages, len(starts) - 1), dtype=np.float32)
    low = 0
    while low < len(starts) - 1:
        high = max(low + 1, int(np.searchsorted(starts, starts[low] + _CHUNK, side="right")) - 1)
        inside = slice(int(starts[low]), int(starts[high]))
        places, times = held[inside], weights[inside].astype(np.float32)
        own = np.repeat(np.arange(high - low), np.diff(starts[low : high + 1]))
        group = groups[places].astype(np.int64)
        holding = np.bincount(group * (high - low) + own, minlength=languages * (high - low))
        holding = holding.reshape(languages, high - low)
        idf[:, low:high] = np.log1p((counts[:, None] + BACKGROUND - holding + 0.5) / (holding + 0.5))
        weights[inside] = idf[group, low + own] * times * (K1 + 1) / (times + norms[places])
        low = high
    _save(folder, "idf", idf)


def _save(folder: Path, name: str, array: np.ndarray) -> None:
    np.save(folder / f"{name}.npy", array, allow_pickle=False)
