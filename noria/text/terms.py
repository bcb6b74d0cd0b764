"""A text -> the numbers of its terms: Chinese characters and pairs of them, words of other scripts by their stems.

A term's number is a hash of 24 bits, so that a base needs no dictionary: two terms of a base of a million meet by chance in one
case of seventeen, and then count as one. Traditional characters count as their Simplified forms, full width as half.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

import numpy as np
import xxhash

from .script import HAN, normal

BITS = 24
_RUN = re.compile(rf"[{HAN}]+|[^\W_{HAN}]+(?:[.,'’](?=[^\W_{HAN}])[^\W_{HAN}]+)*")
_HAN_RUN = re.compile(rf"[{HAN}]")
_MIX, _PAIR = np.uint64(0x9E3779B97F4A7C15), np.uint64(0x100000001B3)
_SHIFT = np.uint64(64 - BITS)
LONGEST = 2_000
"""Characters of a question that are looked for: where a message is longer, its first and last thousand."""
FUNCTION = 0.25
_WORDS = (
    "a an the of in on at to for and or is are was were be been do does did it its this that these those i you he she we they my your "
    "me us what which who whom whose when where why how can could would should will shall may might must have has had with by from "
    "as there here any some please about if not no"
)
_CHARACTERS = (
    "的了吗呢吧啊是在我你您他她它们这那有和与及就都也还请问什么怎哪谁几多少何为要能可以会不没被把对从到给让呀哦"
)
_PAIRS = (
    "什么 怎么 怎样 多少 多久 哪个 哪些 哪里 哪儿 哪一 如何 为何 何时 何地 是否 可以 能否 请问 我想 你们 我们 他们 么样 为什 是什 是谁 有哪 有多 有什 的是 "
    "一个 几个 是哪 样的 是怎 时候 么时"
)


def terms(text: str) -> np.ndarray:
    """Return the numbers of a text's terms in no order, with repeats, uint32.

    >>> len(terms("退货要几天")), len(terms("Returns take 7 days"))
    (9, 4)
    """
    plain = normal(text)
    runs = _RUN.findall(plain)
    words = np.fromiter((_word(run) for run in runs if not _HAN_RUN.match(run)), dtype=np.uint32)
    chinese = "\n".join(run for run in runs if _HAN_RUN.match(run))
    if not chinese:
        return words
    codes = np.frombuffer(chinese.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    inside = codes != ord("\n")
    pairs = inside[:-1] & inside[1:]
    firsts, seconds = codes[:-1][pairs], codes[1:][pairs]
    return np.concatenate([words, _hashed(codes[inside]), _hashed((firsts + np.uint64(1)) * _PAIR ^ seconds)])


def question_terms(text: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct terms of a question, and the weight of each.

    A term that stands twice weighs twice, and no more than that: a further repetition says little. One that only makes a question
    of the others (how, is, the, 什么, 吗) weighs a quarter: documents answer and do not ask, so that it is rare there and would count
    for much. A quarter was chosen on CMRC 2018's trial questions.
    """
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}\n{text[-LONGEST // 2 :]}"
    found, counts = np.unique(terms(text), return_counts=True)
    return found, np.minimum(counts, 2) * np.where(np.isin(found, _function_terms()), FUNCTION, 1.0)


def stem(word: str) -> str:
    """Return a word without the endings of English plurals and verbs (Harman 1991's S stemmer, with -ed and -ing).

    >>> [stem(word) for word in ("policies", "returned", "running", "glass", "is")]
    ['policy', 'return', 'run', 'glass', 'is']
    """
    if len(word) < 4 or not word.isascii():
        return word
    word = word.removesuffix("'s")
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith("sses"):
        return word[:-2]
    for ending in ("ing", "ed"):
        bare = word.removesuffix(ending)
        if bare != word and len(bare) > 2 and re.search("[aeiouy]", bare):
            doubled = len(bare) > 3 and bare[-1] == bare[-2] and bare[-1] not in "lsz"
            return bare[:-1] if doubled else bare.removesuffix("e")
    if word.endswith("s") and word[-2] not in "us":
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 4 else word


@lru_cache(maxsize=1 << 18)
def _word(word: str) -> int:
    return xxhash.xxh64_intdigest(stem(word).encode()) >> (64 - BITS)


def _hashed(codes: np.ndarray) -> np.ndarray:
    return np.asarray((codes * _MIX) >> _SHIFT, dtype=np.uint32)


@cache
def _function_terms() -> np.ndarray:
    pairs = np.array([terms(pair)[-1] for pair in _PAIRS.split()], dtype=np.uint32)
    return np.unique(np.concatenate([terms(_WORDS), terms("\n".join(_CHARACTERS)), pairs]))
