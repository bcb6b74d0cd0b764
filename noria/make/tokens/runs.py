"""Cut texts into runs that no token crosses, and count the distinct ones, in bounded memory.

A run is at most 4 digits (a year, or what Chinese counts in one group), 32 Han characters, 32 letters of other scripts,
8 marks with the line's end after them, or 16 spaces; a single space goes with what comes after it. The cuts are those of `RUNS`, done on whole arrays of code points instead of by a regular expression. Distinct runs grow
almost as fast as Chinese text does, so a table of all of them would grow without bound: when the table holds more than
its share of characters, rare runs are drawn by threshold sampling (Duffield, Lund and Thorup 2007, "Priority sampling",
section 2). A run seen c times stays with chance c / t and then counts for t, one seen t times or more stays as it is, so
that every count of pairs within runs is still expected to be right, and what is frequent is exact.
"""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache

import numpy as np

DIGIT_RUN, HAN_RUN, LETTER_RUN, MARK_RUN, SPACE_RUN = 4, 32, 32, 8, 16
RUNS = (
    rf" ?\p{{Han}}{{1,{HAN_RUN}}}| ?[\p{{N}}&&[^\p{{Han}}]]{{1,{DIGIT_RUN}}}"
    rf"| ?[\p{{L}}\p{{M}}&&[^\p{{Han}}]]{{1,{LETTER_RUN}}}"
    rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}\p{{Han}}]{{1,{MARK_RUN}}}\n?|\s{{1,{SPACE_RUN}}}"
)
"""What the tokenizer cuts by (Oniguruma)."""
CHUNK = 2_000_000
"""Characters cut at a time: some 100 MB of arrays."""
MOST = 32_000_000
"""Characters of distinct runs that are kept."""

_SPACE, _DIGIT, _HAN, _LETTER, _MARK, _TAIL, _BORDER = range(7)
_LIMITS = np.array([SPACE_RUN, DIGIT_RUN, HAN_RUN, LETTER_RUN, MARK_RUN, 1, 1], dtype=np.int32)
BETWEEN = "\U0010ffff"  # no character, and never will be: stands between texts
_HAN_BLOCKS = (
    (0x2E80, 0x2E9A),
    (0x2E9B, 0x2EF4),
    (0x2F00, 0x2FD6),
    (0x3005, 0x3006),
    (0x3007, 0x3008),
    (0x3021, 0x302A),
    (0x3038, 0x303C),
    (0x3400, 0x4DC0),
    (0x4E00, 0xA000),
    (0xF900, 0xFA6E),
    (0xFA70, 0xFADA),
    (0x20000, 0x2A6E0),
    (0x2A700, 0x2EBE1),
    (0x2F800, 0x2FA1E),
    (0x30000, 0x323B0),
)


@dataclass(frozen=True)
class Runs:
    """Distinct runs and how often each was seen."""

    codes: np.ndarray
    """Code points of all runs, one after the other (uint32)."""
    lengths: np.ndarray
    """Characters of each run."""
    counts: np.ndarray
    """How often each was seen, or is expected to have been."""
    hashes: np.ndarray
    """64 bits that stand for each, ascending."""
    least: int = 1
    """Runs seen less often than this were drawn, and count for this; 1 where all are there."""


@dataclass
class Seen:
    """What went by while runs were counted."""

    characters: int = 0
    texts: int = 0


def count_runs(texts: Iterable[str], *, seen: Seen, threads: int, most: int = MOST) -> Runs:
    """Return the distinct runs of texts, normalised to NFC, with their counts.

    Args:
        texts: read once.
        seen: filled with what went by.
        threads: chunks that are cut at a time; the result does not depend on it.
        most: characters of distinct runs that are kept.
    """
    parts: list[Runs] = []
    random = np.random.default_rng(0)
    with ThreadPoolExecutor(max(1, threads)) as pool:
        waiting: deque[Future[Runs]] = deque()
        for chunk in _chunks(texts, seen):
            waiting.append(pool.submit(_count, chunk))
            if len(waiting) > threads:
                parts.append(waiting.popleft().result())
            if sum(len(part.codes) for part in parts) > 2 * most:
                parts = [_sampled(_joined(parts), most, random)]
        parts += [one.result() for one in waiting]
    return _sampled(_joined(parts), most, random)


def cut(text: str) -> list[str]:
    """Return the runs of a text, in order.

    >>> cut("在2026年,the fox")
    ['在', '2026', '年', ',', 'the', ' fox']
    """
    codes = _codes(text)
    starts = _starts(codes)
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(codes)], strict=False)]


def _chunks(texts: Iterable[str], seen: Seen) -> Iterator[str]:
    part: list[str] = []
    size = 0
    for text in texts:
        seen.texts += 1
        seen.characters += len(text)
        for start in range(0, len(text), CHUNK):
            piece = text[start : start + CHUNK]
            part.append(piece)
            size += len(piece)
            if size >= CHUNK:
                yield BETWEEN.join(part)
                part, size = [], 0
    if part:
        yield BETWEEN.join(part)


def _codes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "replace"), dtype=np.uint32)


def _starts(codes: np.ndarray) -> np.ndarray:
    """Return where each run begins."""
    kinds = _kinds()[codes]
    # A new line right after a mark belongs to it.
    kinds[1:][(codes[1:] == 0x0A) & (kinds[:-1] == _MARK)] = _TAIL
    index = np.arange(len(codes), dtype=np.int32)
    fresh = np.empty(len(codes), dtype=bool)
    fresh[:1] = True
    np.not_equal(kinds[1:], kinds[:-1], out=fresh[1:])
    place = index - np.maximum.accumulate(np.where(fresh, index, 0))
    begins = (place % _LIMITS[kinds] == 0) & (kinds != _TAIL)
    # A space that ends a stretch of spaces, and would begin a run, goes with what comes after it.
    joins = fresh[1:] & (kinds[1:] != _SPACE) & (kinds[1:] < _TAIL) & (codes[:-1] == 0x20) & begins[:-1]
    begins[1:] &= ~joins
    return np.flatnonzero(begins)


def _count(chunk: str) -> Runs:
    """Return the distinct runs of a chunk."""
    if not unicodedata.is_normalized("NFC", chunk):
        chunk = unicodedata.normalize("NFC", chunk)
    codes = _codes(chunk)
    starts = _starts(codes)
    lengths = np.diff(starts, append=len(codes))
    place = np.arange(len(codes), dtype=np.uint64) - np.repeat(starts.astype(np.uint64), lengths)
    hashes = np.add.reduceat(_mixed(codes.astype(np.uint64) | (place << np.uint64(32))), starts)
    kept = codes[starts] != ord(BETWEEN)
    hashes, starts, lengths = hashes[kept], starts[kept], lengths[kept]
    order = np.argsort(hashes, kind="stable")
    hashes = hashes[order]
    first = np.flatnonzero(np.diff(hashes, prepend=hashes[:1] + np.uint64(1)) != 0)
    chosen = order[first]
    counts = np.diff(first, append=len(hashes)).astype(np.int64)
    return Runs(
        _gathered(codes, starts[chosen], lengths[chosen]), lengths[chosen].astype(np.int32), counts, hashes[first]
    )


def _mixed(values: np.ndarray) -> np.ndarray:
    """Return 64 well mixed bits of each value (Steele, Lea and Flood 2014, "SplitMix", in place)."""
    values += np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values ^= values >> np.uint64(shift)
        values *= np.uint64(factor)
    values ^= values >> np.uint64(31)
    return values


def _joined(parts: list[Runs]) -> Runs:
    """Return the runs of several tables as one."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        empty = np.zeros(0, dtype=np.int64)
        return Runs(empty.astype(np.uint32), empty, empty, empty)
    hashes = np.concatenate([part.hashes for part in parts])
    counts = np.concatenate([part.counts for part in parts])
    lengths = np.concatenate([part.lengths for part in parts])
    codes = np.concatenate([part.codes for part in parts])
    least = max(part.least for part in parts)
    parts.clear()  # frees them
    order = np.argsort(hashes, kind="stable")
    hashes, counts = hashes[order], counts[order]
    first = np.flatnonzero(np.diff(hashes, prepend=hashes[:1] + np.uint64(1)) != 0)
    chosen = order[first]
    starts = np.cumsum(lengths, dtype=np.int64) - lengths
    return Runs(
        _gathered(codes, starts[chosen], lengths[chosen]),
        lengths[chosen],
        np.add.reduceat(counts, first),
        hashes[first],
        least,
    )


def _sampled(runs: Runs, most: int, random: np.random.Generator) -> Runs:
    """Return at most about `most` characters of runs, the rare ones drawn."""
    if len(runs.codes) <= most:
        return runs
    low, high = 1, int(runs.counts.max())
    while low < high:  # the least threshold that keeps the table within its share
        middle = (low + high) // 2
        if (runs.lengths * np.minimum(1.0, runs.counts / middle)).sum() <= most:
            high = middle
        else:
            low = middle + 1
    kept = random.random(len(runs.counts)) * low < runs.counts
    starts = np.cumsum(runs.lengths, dtype=np.int64) - runs.lengths
    return Runs(
        _gathered(runs.codes, starts[kept], runs.lengths[kept]),
        runs.lengths[kept],
        np.maximum(runs.counts[kept], low),
        runs.hashes[kept],
        max(low, runs.least),
    )


def _gathered(codes: np.ndarray, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the code points of the runs that begin at `starts`, one run after the other."""
    before = np.cumsum(lengths, dtype=np.int64) - lengths
    return codes[np.repeat((starts - before).astype(np.int64), lengths) + np.arange(int(lengths.sum()))]


@cache
def _kinds() -> np.ndarray:
    """Return the kind of every code point."""
    groups = {"N": _DIGIT, "L": _LETTER, "M": _LETTER, "Z": _SPACE}
    kinds = np.array(
        [groups.get(unicodedata.category(chr(code))[0], _MARK) for code in range(0x110000)], dtype=np.uint8
    )
    for code in (*range(0x09, 0x0E), 0x85):
        kinds[code] = _SPACE
    for start, end in _HAN_BLOCKS:
        kinds[start:end] = _HAN
    kinds[ord(BETWEEN)] = _BORDER
    return kinds
