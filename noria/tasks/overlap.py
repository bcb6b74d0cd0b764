"""How near a written text is to the true one: exact match and F1 of answers, BLEU, chrF, ROUGE-L; as counts a text.

All of them are computed as their official scripts do; what a text adds to them is a row of counts, so that corpus scores
can be resampled.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

import numpy as np

from .measure import Measure, mean_measure

ORDERS = 4
"""BLEU counts runs of up to this many words."""
CHARACTER_ORDERS = 6
"""chrF counts runs of up to this many characters."""
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_ASCII = str.maketrans("", "", string.punctuation)
_DROPPED = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
"""Marks that the CMRC 2018 evaluation takes out (its list also names "……", which never equals one character)."""
_WESTERN = re.compile(r"\d+(?:[.,:]\d+)*|\w+(?:\.\w)*|\S")


def answer_measures(truth: Sequence[Sequence[str]], predicted: Sequence[str], *, chinese: bool) -> list[Measure]:
    """Return exact match and F1 of short answers, each against the nearest of its true ones ([]: there is no answer).

    Args:
        truth: the true answers to every question.
        predicted: the answers given; "" for none.
        chinese: judge as CMRC 2018 does, by characters, instead of as SQuAD v1.1 does, by words.
    """
    exact, near = (chinese_exact, chinese_f1) if chinese else (english_exact, english_f1)
    pairs = list(zip([list(one) or [""] for one in truth], predicted, strict=True))
    return [
        mean_measure("exact match", [max(exact(true, given) for true in trues) for trues, given in pairs]),
        mean_measure("answer F1", [max(near(true, given) for true in trues) for trues, given in pairs]),
    ]


def plain_english(text: str) -> list[str]:
    """Return the words that SQuAD's evaluation compares: lower case, without punctuation and articles (Rajpurkar et al. 2016)."""
    return _ARTICLES.sub(" ", text.lower().translate(_ASCII)).split()


def english_exact(true: str, predicted: str) -> float:
    """Return 1 where both are the same words, else 0 (SQuAD v1.1)."""
    return float(plain_english(true) == plain_english(predicted))


def english_f1(true: str, predicted: str) -> float:
    """Return the F1 of the words in common, as bags (SQuAD v1.1); of two empty answers 1, as SQuAD v2.0 has it."""
    left, right = plain_english(true), plain_english(predicted)
    if not left or not right:
        return float(left == right)
    return _harmonic(sum((Counter(left) & Counter(right)).values()), len(right), len(left))


def chinese_parts(text: str) -> list[str]:
    """Return what CMRC 2018's evaluation compares: Chinese characters one by one, other text by words, marks left out.

    Its words come from NLTK, which needs data of its own; numbers and words are cut by a regular expression here.
    """
    parts: list[str] = []
    other = ""
    for character in text.lower().strip():
        if character in _DROPPED:
            continue
        if "\u4e00" <= character <= "\u9fa5":
            parts += [*_WESTERN.findall(other), character]
            other = ""
        else:
            other += character
    return [*parts, *_WESTERN.findall(other)]


def chinese_exact(true: str, predicted: str) -> float:
    """Return 1 where both are the same but for case and marks, else 0 (CMRC 2018, Cui et al. 2019)."""
    left, right = ("".join(one for one in text.lower().strip() if one not in _DROPPED) for text in (true, predicted))
    return float(left == right)


def chinese_f1(true: str, predicted: str) -> float:
    """Return the F1 of the longest run that both share (CMRC 2018: longest common string of `chinese_parts`)."""
    left, right = chinese_parts(true), chinese_parts(predicted)
    if not left or not right:
        return float(left == right)
    best, before = 0, [0] * (len(right) + 1)
    for one in left:
        row = [0] * (len(right) + 1)
        for place, other in enumerate(right):
            if one == other:
                row[place + 1] = before[place] + 1
        best, before = max(best, *row), row
    return _harmonic(best, len(right), len(left))


def written_measures(truth: Sequence[str], predicted: Sequence[str], *, chinese: bool) -> list[Measure]:
    """Return BLEU (Papineni et al. 2002) and chrF (Popović 2015) of a corpus, 0 to 100, as sacreBLEU computes them.

    Chinese is cut into characters for BLEU, other text by the rules of mteval-v13a.
    """
    return [
        Measure("BLEU", bleu_counts(truth, predicted, chinese=chinese), bleu),
        Measure("chrF", chrf_counts(truth, predicted), chrf),
    ]


def bleu_counts(truth: Sequence[str], predicted: Sequence[str], *, chinese: bool) -> np.ndarray:
    """Return [words predicted, words true, right runs of 1 to 4 words, runs predicted of 1 to 4 words] of every text [texts, 10]."""
    from sacrebleu.metrics.bleu import BLEU

    judge = BLEU(tokenize="zh" if chinese else "13a", effective_order=True)
    rows = []
    for true, given in zip(truth, predicted, strict=True):
        found = judge.sentence_score(given, [true])
        rows.append([found.sys_len, found.ref_len, *found.counts, *found.totals])
    return np.array(rows, dtype=np.float64).reshape(-1, 2 + 2 * ORDERS)


def bleu(sums: np.ndarray) -> np.ndarray:
    """Return BLEU from sums of `bleu_counts`: orders without a hit are smoothed exponentially, as sacreBLEU does by default."""
    predicted, true = sums[:, 0], sums[:, 1]
    hits, total = sums[:, 2 : 2 + ORDERS], sums[:, 2 + ORDERS :]
    missed = (hits == 0) & (total > 0)
    smoothed = np.where(missed, 0.5 ** np.cumsum(missed, axis=1), hits)
    shares = np.divide(smoothed, total, out=np.zeros_like(total), where=total > 0)
    with np.errstate(divide="ignore"):
        mean = np.log(shares).mean(axis=1)
        brevity = np.minimum(
            0.0, 1 - np.divide(true, predicted, out=np.full_like(predicted, np.inf), where=predicted > 0)
        )
    return np.where(hits.any(axis=1), 100 * np.exp(mean + brevity), 0.0)


def chrf_counts(truth: Sequence[str], predicted: Sequence[str]) -> np.ndarray:
    """Return [runs predicted, runs true, runs in common] for runs of 1 to 6 characters, white space left out [texts, 18]."""
    rows = []
    for true, given in zip(truth, predicted, strict=True):
        left, right = "".join(true.split()), "".join(given.split())
        row: list[int] = []
        for size in range(1, CHARACTER_ORDERS + 1):
            wanted, found = _runs(left, size), _runs(right, size)
            # sacreBLEU counts no runs predicted of an order that the truth is too short for.
            row += [found.total() if wanted else 0, wanted.total(), (wanted & found).total()]
        rows.append(row)
    return np.array(rows, dtype=np.float64).reshape(-1, 3 * CHARACTER_ORDERS)


def chrf(sums: np.ndarray) -> np.ndarray:
    """Return chrF from sums of `chrf_counts`: recall counts twice as much as precision (beta = 2)."""
    predicted, true, hits = sums[:, 0::3], sums[:, 1::3], sums[:, 2::3]
    used = (predicted > 0) & (true > 0)
    orders = np.maximum(used.sum(axis=1), 1)
    precision, recall = (
        np.divide(hits, below, out=np.zeros_like(hits), where=used).sum(axis=1) / orders for below in (predicted, true)
    )
    below = 4 * precision + recall
    return np.asarray(100 * np.divide(5 * precision * recall, below, out=np.zeros_like(below), where=below > 0))


def rouge_l(true: str, predicted: str, *, chinese: bool) -> float:
    """Return the F1 of the longest common subsequence, of characters or of words (ROUGE-L, Lin 2004, with beta = 1)."""
    left, right = ([*"".join(one.split())] if chinese else re.findall(r"\w+", one.lower()) for one in (true, predicted))
    if not left or not right:
        return float(left == right)
    return _harmonic(common_subsequence(left, right), len(right), len(left))


def common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    """Return the length of the longest common subsequence, by bits of one long integer (Hyyrö 2004)."""
    places: dict[str, int] = {}
    for index, item in enumerate(left):
        places[item] = places.get(item, 0) | 1 << index
    full = (1 << len(left)) - 1
    state = full
    for item in right:
        met = state & places.get(item, 0)
        state = (state + met | state - met) & full
    return len(left) - state.bit_count()


def _runs(text: str, size: int) -> Counter[str]:
    return Counter(text[start : start + size] for start in range(len(text) - size + 1))


def _harmonic(hits: int, predicted: int, true: int) -> float:
    return 2 * hits / (predicted + true)
