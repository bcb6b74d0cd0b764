"""Near-duplicate pairs by MinHash and banding, vectorised in numpy, each pair checked by exact Jaccard similarity.

Broder, "On the resemblance and containment of documents" (1997): two sets agree in a random minimum with the probability
of their Jaccard similarity. Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", 3.4: with b bands of r minima, a
pair of similarity s meets in some band with probability 1 - (1 - s^r)^b.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .script import han_share

WIDTHS = (3, 6)
"""Characters of a shingle: three Chinese ones carry about as much as six letters."""
_MOSTLY_HAN = 0.3
MINIMA = 126
_RECALL = 0.99
_CHUNK = 4_000_000  # shingles hashed at a time: about 100 MB
_REACH = 64  # neighbours compared within one bucket; a larger bucket is boilerplate
_HASH_BITS = 40  # of a shingle within a text: two of 10^4 shingles collide with a chance of 5e-5
Pairs = NDArray[np.int64]


def key_of(text: str) -> str:
    """Return what is compared: the text without case, width, white space, punctuation or control characters.

    So letters that somebody spaced out, or parted by points, are the words that they were.

    >>> key_of("Hello,  World！") == key_of("ｈｅｌｌｏ world") == key_of("h.e.l.l.o w o r l d")
    True
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return _ignored().sub("", plain) or text


def width_of(key: str) -> int:
    """Return how many characters a shingle of a text has, by what it is written in."""
    return WIDTHS[han_share(key) <= _MOSTLY_HAN]


@functools.cache
def _ignored() -> re.Pattern[str]:
    """Punctuation, separators and control characters; symbols such as emoji carry meaning and count."""
    ignored = (chr(code) for code in range(0x10000) if not 0xD800 <= code <= 0xDFFF)
    return re.compile("[" + "".join(re.escape(c) for c in ignored if unicodedata.category(c)[0] in "PZC") + "]+")


def bands_for(threshold: float, minima: int = MINIMA) -> tuple[int, int]:
    """Return (bands, rows): the most rows for which a pair at the threshold is met with a probability of 0.99.

    >>> bands_for(0.8), bands_for(0.5)
    ((21, 6), (42, 3))
    """
    fits = [rows for rows in range(1, 33) if 1 - (1 - threshold**rows) ** (minima // rows) >= _RECALL]
    rows = max(fits, default=1)
    return minima // rows, rows


def shingle_hashes(texts: Sequence[str], width: int) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Return the hashes of all runs of `width` characters, and where each text's begin, with the end of the last.

    A text shorter than `width` is one shingle.
    """
    padded = [text if len(text) >= width else text.ljust(width, "\0") for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    lengths = np.fromiter(map(len, padded), dtype=np.int64, count=len(padded))
    hashes = np.zeros(max(len(codes) - width + 1, 0), dtype=np.uint64)
    for shift in range(width):
        hashes *= np.uint64(0x9E3779B97F4A7C15)
        hashes += codes[shift : shift + len(hashes)]
    whole = np.ones(len(hashes), dtype=bool)
    ends = np.cumsum(lengths)
    for shift in range(1, width):  # runs that begin here would reach into the next text
        whole[(ends - shift)[:-1]] = False
    starts = np.concatenate([[0], np.cumsum(lengths - width + 1)])
    return _mixed(hashes[whole]), starts


def signatures(texts: Sequence[str], width: int, seed: int, step: Callable[..., None]) -> NDArray[np.uint32]:
    """Return the minima of every text under `MINIMA` random hash functions, (texts, MINIMA)."""
    random = np.random.default_rng(seed)
    factors = random.integers(0, 2**63, MINIMA, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    offsets = random.integers(0, 2**63, MINIMA, dtype=np.uint64)
    rows = np.empty((len(texts), MINIMA), dtype=np.uint32)
    for first, last in _chunks([len(text) for text in texts]):
        hashes, starts = shingle_hashes(texts[first:last], width)
        for column in range(MINIMA):
            mixed = ((hashes * factors[column] + offsets[column]) >> np.uint64(32)).astype(np.uint32)
            rows[first:last, column] = np.minimum.reduceat(mixed, starts[:-1])
        step(last - first)
    return rows


def band_key(rows: NDArray[np.uint32], band: int, per_band: int) -> NDArray[np.uint64]:
    """Return what each text is looked up by in one band, (texts,): texts whose minima agree throughout it share it."""
    key = np.full(len(rows), band, dtype=np.uint64)
    for column in range(band * per_band, (band + 1) * per_band):
        key = _mixed(key * np.uint64(0x9E3779B97F4A7C15) + rows[:, column])
    return key


def candidates(rows: NDArray[np.uint32], bands: int, per_band: int) -> tuple[Pairs, bool]:
    """Return the pairs (i < j) that share a band, (pairs, 2), and whether some bucket was too large to take whole."""
    found = [np.empty(0, dtype=np.int64)]
    cut = False
    count = len(rows)
    for band in range(bands):
        key = band_key(rows, band, per_band)
        order = np.argsort(key, kind="stable")
        key = key[order]
        for reach in range(1, min(_REACH, count - 1) + 1):
            same = np.flatnonzero(key[reach:] == key[:-reach])
            if not len(same):
                break
            found.append(order[same] * count + order[same + reach])
            cut = cut or reach == _REACH
    pairs = np.unique(np.concatenate(found))
    return np.stack([pairs // count, pairs % count], axis=1) if count else pairs.reshape(0, 2), cut


def jaccard(texts: Sequence[str], width: int, pairs: Pairs) -> NDArray[np.float64]:
    """Return the Jaccard similarity of the shingle sets of each pair of texts."""
    similarity = np.zeros(len(pairs))
    if not len(pairs):
        return similarity
    for first, last in _chunks([len(texts[i]) + len(texts[j]) for i, j in pairs.tolist()]):
        used, local = np.unique(pairs[first:last], return_inverse=True)
        local = local.reshape(-1, 2)
        hashes, starts = shingle_hashes([texts[index] for index in used.tolist()], width)
        owner = np.repeat(np.arange(len(used), dtype=np.uint64), np.diff(starts))
        keys = np.unique(owner << np.uint64(_HASH_BITS) | hashes >> np.uint64(64 - _HASH_BITS))
        bounds = np.searchsorted(keys, np.arange(len(used) + 1, dtype=np.uint64) << np.uint64(_HASH_BITS))
        sizes = np.diff(bounds)
        # every shingle of a pair's first text, looked up among those of its second
        counts = sizes[local[:, 0]]
        pair = np.repeat(np.arange(len(local)), counts)
        within = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
        shingle = keys[bounds[local[pair, 0]] + within] & np.uint64((1 << _HASH_BITS) - 1)
        wanted = local[pair, 1].astype(np.uint64) << np.uint64(_HASH_BITS) | shingle
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        shared = np.bincount(pair[keys[place] == wanted], minlength=len(local))
        similarity[first:last] = shared / (sizes[local[:, 0]] + sizes[local[:, 1]] - shared)
    return similarity


def _chunks(sizes: Sequence[int]) -> list[tuple[int, int]]:
    bounds = [0]
    total = 0
    for index, size in enumerate(sizes):
        if total and total + size > _CHUNK:
            bounds.append(index)
            total = 0
        total += size
    return list(zip(bounds, [*bounds[1:], len(sizes)], strict=True))


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the values well mixed (the finaliser of SplitMix64; Steele, Lea and Flood, 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
