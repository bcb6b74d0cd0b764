"""The characteristic words of groups of texts, Chinese or not: what many texts of one say, and few of the others.

Candidates are words of scripts that put blanks between them, by their stems, and runs of two to four Chinese characters; no dictionary is
asked, so that a new name is found as any other word is. A run that hardly ever stands outside a longer one is a part of that. Weights are
those of c-TF-IDF (Grootendorst 2022, equation 2), of texts instead of occurrences: one text that repeats itself says it once.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from noria.text.script import HAN, normal
from noria.text.terms import question_terms, stem

WORDS = 5
"""Words of a name."""
_LONGEST_RUN = 4
_CHARACTERS = 240
"""Of a text that are read: what it is about stands there."""
_PART = 0.8
"""Share of a run's texts in which it stands within one longer run, from which it is a part of that."""
_LEAST_SHARE = 0.1
_RUN = re.compile(rf"[{HAN}]+|[^\W\d_{HAN}][^\W_{HAN}]+")
_HAN_RUN = re.compile(rf"[{HAN}]")
_NOISE = re.compile(r"https?://\S+|<[A-Z_]+>|@\w+")
"""Addresses, handles, and what stands in the place of personal data."""


def names(groups: Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    """Return the characteristic words of every group, the most telling first; fewer where a group has no more.

    Args:
        groups: the texts of each.
    """
    shown: dict[str, Counter[str]] = defaultdict(Counter)
    counts = [_counted(texts, shown) for texts in groups]
    everywhere: Counter[str] = Counter()
    for one in counts:
        everywhere.update(one)
    average = sum(map(len, groups)) / max(1, len(groups))
    named = []
    for texts, own in zip(groups, counts, strict=True):
        least = max(2, _LEAST_SHARE * len(texts))
        weights = {
            term: count * float(np.log1p(average / everywhere[term])) for term, count in own.items() if count >= least
        }
        chosen: list[str] = []
        for term in sorted(weights, key=lambda term: (-weights[term], -len(term), term)):
            if len(chosen) == WORDS:
                break
            if not any(_overlap(term, other) for other in chosen):
                chosen.append(term)
        named.append(tuple(shown[term].most_common(1)[0][0] for term in chosen))
    return named


def _counted(texts: Sequence[str], shown: dict[str, Counter[str]]) -> Counter[str]:
    """Return in how many texts each candidate stands, without what is but a part of a longer one."""
    counts: Counter[str] = Counter()
    for text in texts:
        found = set()
        for run in _RUN.findall(normal(_NOISE.sub(" ", text[:_CHARACTERS]))):
            if _HAN_RUN.match(run):
                found |= _inside(run)
            elif _is_telling(run):
                found.add(stem(run))
                shown[stem(run)][run] += 1
        counts.update(found)
    for term in counts:
        if _HAN_RUN.match(term):
            shown[term][term] += 1
    parts = {
        part
        for term, count in counts.items()
        if _HAN_RUN.match(term) and len(term) > 2
        for part in (term[1:], term[:-1])
        if count >= _PART * counts.get(part, 0)
    }
    return Counter({term: count for term, count in counts.items() if term not in parts})


def _inside(run: str) -> set[str]:
    """Return the runs of two to four characters within a run of Chinese that neither begin nor end with one that says little."""
    telling = [_is_telling(character) for character in run]
    return {
        run[start : start + length]
        for length in range(2, _LONGEST_RUN + 1)
        for start in range(len(run) - length + 1)
        if telling[start] and telling[start + length - 1]
    }


@lru_cache(maxsize=1 << 14)
def _is_telling(word: str) -> bool:
    """Return whether a word, or a Chinese character, says more than that there is a sentence."""
    _, weights = question_terms(word)
    return bool(len(weights)) and float(weights.max()) >= 1


def _overlap(one: str, other: str) -> bool:
    """Return whether two runs of Chinese share two characters in a row: they are parts of one phrase."""
    if not _HAN_RUN.match(one) or not _HAN_RUN.match(other):
        return one == other
    return any(one[at : at + 2] in other for at in range(len(one) - 1))
