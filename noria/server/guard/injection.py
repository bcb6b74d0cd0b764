"""Marks of prompt injection in Chinese and English: words that try to undo, reveal or replace a model's instructions.

A text is freed of its disguise (`disguise`), its words become classes (`lexicon`), one letter each, and rules are patterns over
these letters within one sentence, each with a weight; `phrases.toml` says the rest. Weights near one another add up as those of independent signs do; from
`THRESHOLD` on the text is marked. An attack that says none of such words passes: this is a first sieve beside a classifier.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from .disguise import decoded, fold, origins, readings
from .lexicon import CLASSES, COMMON, KEYS, PARTICLES

THRESHOLD = 0.5
_NEAR = 240
"""Characters within which weights add up: some sentences."""
_MOST_HITS = 8
_MOST_CHARACTERS = 100_000
"""Characters looked at in one piece: of a longer text the first and the last so many."""


@dataclass(frozen=True)
class InjectionSpan:
    """A kind of mark in a text: override, reveal, persona, forged, send, hidden."""

    kind: str
    start: int
    end: int
    score: float


# Classes are explained in `lexicon`; "|" ends a sentence, "." is any other word or Chinese character, "l" an address.
_RULES: tuple[tuple[str, float, str], ...] = (
    # Undo what was said before: a verb, whose or which, the thing.
    ("override", 0.9, r"U[^|]{0,5}[EaQYcs][^|]{0,5}[Npn]"),
    ("override", 0.65, r"U[^|]{0,4}[EaQ][^|]{0,3}o"),
    ("override", 0.5, r"(?:^|\|)[^|h]{0,3}U[^|]{0,5}[Npn]"),
    ("override", 0.6, r"U[^|]{0,4}(?:Q[^|]{0,4}[Ea]|[Ea][^|]{0,4}[Qtc])|U[^|]{0,2}a[^|]{0,2}[Qtc]"),
    ("override", 0.5, r"(?:^|\|)\.{0,2}U[^|]{0,3}a"),
    ("override", 0.85, r"U[^|]{0,6}Y[^|]{0,5}[TqvwN]|U[^|]{0,5}[EQ]?[^|]{0,2}[qTv]Y"),
    ("override", 0.85, r"(?:O[^|]{0,1}|WL[^|]{0,2})C[^|]{0,3}[EaQYsc][^|]{0,4}[Npn]|C[^|]{0,4}W[^|]{0,3}[Npn]"),
    ("override", 0.8, r"[EaY][^|]{0,3}[Npn][^|]{0,4}(?:Z|WL|Ok)"),
    ("override", 0.6, r"[Ea][^|]{0,3}o[^|]{0,4}Z"),
    ("override", 0.8, r"Y[^|]{0,1}K[^|]{0,2}[Npj]"),
    ("override", 0.7, r"V[^|]{0,3}(?:Y[^|]{0,4}[NnopcS]|[cQ][^|]{0,3}n|[EasS][^|]{0,3}[Np])"),
    ("override", 0.7, r"[Npn][^|]{0,4}(?:Q|V)[^|]{0,2}[UVZ]|[Npn][^|]{0,3}U(?=$|\|)"),
    ("override", 0.75, r"O[^|]{0,2}[bP][^|]{0,3}A|O[^|]{0,1}A[^|]{0,3}$"),
    ("override", 0.6, r"[EauY][^|]{0,5}[wTqv][^|]{0,5}(?:Z|WL|Ok)|Y[^|]{0,3}[Tqvw][^|]{0,5}k"),
    ("override", 0.6, r"WL[^|]{0,3}C|O[^|]{0,2}C[^|]{0,2}E[^|]{0,2}o"),
    ("override", 0.5, r"[jt][^|]{0,2}Yb[^|]{0,1}[vTq]|U[^|]{0,2}[YKEQ][^|]{0,2}j|O[^|]{0,3}Y[^|]{0,2}j"),
    ("override", 0.8, r"U[^|]{0,4}st|U[^|]{0,3}sN|U[^|]{0,2}Yu"),
    ("override", 0.35, r"V[^|]{0,3}n"),
    (
        "override",
        0.55,
        r"u[^|]{0,4}[Tqvw][^|]{0,3}Y|u[^|]{0,3}Y[^|]{0,2}[Tqvw]|Yu[^|]{0,5}[TqvwNn]|u[^|]{0,5}[Tqvw][^|]{0,3}Z",
    ),
    ("override", 0.35, r"Yu"),
    ("override", 0.55, r"U[^|]{0,4}r[^|]{0,2}E|U[^|]{0,1}\.?j"),
    ("override", 0.6, r"u[^|]{0,2}Y[^|]{0,3}[Nnp]|[Rrq][^|]{0,6}[Nnp][^|]{0,3}Yu"),
    ("override", 0.6, r"n[^|]{0,2}E[^|]{0,3}[Zz]|E[^|]{0,4}n[^|]{0,2}W[^|]?(?:$|\|)|Z[^|]{0,3}[QEY][^|]{0,3}[Nnp]"),
    ("override", 0.6, r"[zV][^|]{0,2}Q?[^|]{0,2}n[^|]{0,3}Y|[zV][^|]{0,2}Y[^|]{0,6}Qn"),
    ("override", 0.4, r"[zV][^|]{0,2}Q[^|]{0,2}n|Y[^|]{0,4}n[^|]{0,5}V"),
    ("override", 0.3, r"Yn"),
    # Say what was told in secret.
    ("reveal", 0.9, r"[Rrq][^|]{0,6}Y[^|]{0,3}[SsE][^|]{0,2}[Npno]|Y[^|]{0,2}[SsE][^|]{0,2}[Npn][^|]{0,5}[Rrq]"),
    ("reveal", 0.8, r"[Rrq][^|]{0,5}[sSEu][^|]{0,1}[pN]|[sSE][^|]{0,1}[pN][^|]{0,6}[Rrq]"),
    ("reveal", 0.7, r"R[^|]{0,5}Y[^|]{0,2}[pNT]|Y[^|]{0,2}[pN][^|]{0,5}R"),
    ("reveal", 0.55, r"[rqw][^|]{1,8}Y[^|]{0,2}[pN]|[rqw][^|]{0,5}Yp|YN[^|]{0,5}[rRqw]"),
    ("reveal", 0.6, r"Y[^|]{0,1}[SsE][^|]{0,1}[Npn]|S[Npn]"),
    ("reveal", 0.35, r"[sE][pN]"),
    ("reveal", 0.55, r"[Rrq][^|]{0,5}(?:Q[^|]{0,6}a|a[^|]{0,3}Q|[Qt][^|]{0,5}a[^|]{0,2}t)|a[^|]{0,3}[Qt][^|]{0,4}[Rr]"),
    ("reveal", 0.55, r"[Rr][^|]{0,5}[Qtp][^|]{0,5}[aE][^|]{0,2}t|t[^|]{0,2}[Ea][^|]{0,4}t"),
    ("reveal", 0.5, r"R[^|]{0,3}[Qt]?[^|]{0,2}[a]"),
    ("reveal", 0.5, r"[Rrq][^|]{0,4}(?:Yb[^|]{0,2}|bY[^|]{0,1})[Tq]|[Rrq][^|]{0,3}Y[^|]{0,2}T"),
    ("reveal", 0.6, r"R[^|]{0,3}st|[Rrq][^|]{0,4}Y[^|]{0,1}[sS]t"),
    ("reveal", 0.6, r"[TqR][^|]{0,1}Y[^|]{0,3}[SO](?!G)|Y[^|]{0,4}[Tq][^|]{0,3}(?:S|R)"),
    ("reveal", 0.55, r"[Rf][^|]{0,5}(?:[sm][^|]{0,2})?y(?:\||$|[^|]{0,3}[Qs])|R[^|]{0,4}[msS][^|]{0,2}y"),
    # Play a model without rules.
    ("persona", 0.75, r"[PA][^|]{0,8}F|Yb?[^|]{0,5}F|F[^|]{0,3}A"),
    ("persona", 0.7, r"(?:[PA]|Yb|T)[^|]{0,9}(?:W|O[^|]{0,2}[HPbC]|WL[^|]{0,2}H)[^|]{0,4}[nc]"),
    (
        "persona",
        0.6,
        r"(?:OH|WLH|W[^|]{0,2}H|O[^|]{0,1}H)[^|]{0,5}[nNcp]|[nN]W[^|]{0,3}$|W[^|]{0,4}n[^|]{0,2}[nHO]?Y(?:\||$)",
    ),
    ("persona", 0.4, r"Y[^|]{0,3}(?:W|O[^|]{0,2}H)[^|]{0,4}n|W[^|]{0,2}[Qc][^|]{0,3}n"),
    ("persona", 0.75, r"[DF]M|dM|(?:Y|P)[^|]{0,3}d|d[Yp]"),
    ("persona", 0.6, r"e[^|]{0,4}[smu][^|]{0,1}M|[smu]Me|Y[^|]{0,4}[smu]M"),
    ("persona", -0.35, r"h[^|]{0,6}e[^|]{0,4}[smu][^|]{0,1}M"),
    ("persona", 0.6, r"O[^|]{0,2}G[^|]{0,3}[QNn]|Y[^|]{0,3}O[^|]{0,1}G(?=\||$)"),
    ("persona", 0.3, r"[OW][^|]{0,2}G"),
    ("persona", 0.3, r"P[^|]{0,7}A|YbK?[^|]{0,2}A"),
    ("persona", 0.6, r"P[^|]{0,6}g"),
    ("persona", 0.55, r"A[^|]{0,12}[UV][^|]{0,4}[nN]|P[^|]{0,8}n[^|]{0,4}[zV]"),
    ("persona", 0.4, r"n[^|]{0,3}z"),
    ("persona", 0.6, r"P[^|]{0,6}n[^|]{0,3}(?:O.?k|Z)"),
    ("persona", 0.5, r"W[^|]{0,1}N"),
    # Send what is not the sender's, or do what is hidden.
    ("send", 0.6, r"x[^|]{0,8}[yt][^|]{0,8}\|?l|t[^|]{0,3}x[^|]{0,6}\|?l|y[^|]{0,10}x[^|]{0,5}\|?l"),
    ("send", 0.3, r"[xr][^|]{0,4}\|?l"),
    ("send", 0.6, r"f[^|]{0,8}(?:C|e[^|]{0,3}[No])"),
)
"""Kind, weight, pattern over classes; a negative weight takes away."""

_TAGS = "[\U000e0020-\U000e007e]"
_HIDDEN = re.compile(
    rf"(?<![\U0001f3f4\U000e0020-\U000e007e]){_TAGS}{{4,}}|\U0001f3f4{_TAGS}{{7,}}"
    r"|[\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f]{8,}|[\u202d\u202e]"
)
"""Tag characters that make no flag (a flag has six at most), long runs of nothing, and text turned round."""

_LETTER = {
    word: letter for letter, (english, chinese) in reversed(CLASSES.items()) for word in f"{english} {chinese}".split()
}
_LETTER |= dict.fromkeys(("pay no attention", "take no notice", "never mind"), "U")
_LETTER |= dict.fromkeys(".!?\n;。！？；:：…", "|")
_KEY_WORDS = frozenset(word for word, letter in _LETTER.items() if letter in KEYS) - COMMON
_SENT_WORDS = frozenset(word for word, letter in _LETTER.items() if letter in "xy")
_ASCII = re.compile(
    r"https?://[!-~]+|(?:pay no attention|take no notice|never mind)\b|[a-z]+(?:'[a-z]+)?|@[a-z0-9.\-]{3,}|[.!?\n;:]"
)


def _chinese_words() -> str:
    words = sorted((word for word in _LETTER if word > "\u4e00"), key=lambda word: (-len(word), word))
    starts: dict[str, list[str]] = {}
    for word in words:
        starts.setdefault(word[0], []).append(word[1:])
    return "|".join(f"{start}(?:{'|'.join(ends)})" for start, ends in starts.items())


_MIXED = re.compile(
    rf"https?://[!-~]+|[a-z]+(?:'[a-z]+)?|{_chinese_words()}|@[a-z0-9.\-]{{3,}}|[.!?\n;:。！？；…]|(?![{PARTICLES}])[\u4e00-\u9fff]"
)
_NEGATED = re.compile(r"OU")
PHRASES: tuple[tuple[str, float, str, str], ...] = tuple(
    (one["kind"], one["weight"], one["words"], one["pattern"])
    for one in tomllib.loads(Path(__file__).with_name("phrases.toml").read_text(encoding="utf-8"))["phrase"]
)
"""Kind, weight, words without which the pattern cannot be, pattern over the folded text."""
_COMPILED = [(kind, weight, re.compile(pattern)) for kind, weight, pattern in _RULES]
_SPOKEN = [(kind, weight, re.compile(pattern)) for kind, weight, _, pattern in PHRASES]
_ANCHORS: dict[str, list[int]] = {}
for _place, _phrase in enumerate(PHRASES):
    for _word in _phrase[2].split():
        _ANCHORS.setdefault(_word, []).append(_place)


def _by_character(words: Iterable[str]) -> dict[str, list[str]]:
    """Return words that are looked for anywhere by one character of theirs: the first that is no Latin letter."""
    known: dict[str, list[str]] = {}
    for word in words:
        if character := next((one for one in word if not one.isascii() or not one.isalpha()), ""):
            known.setdefault(character, []).append(word)
    return known


_ANCHORS_BY_CHARACTER = _by_character(_ANCHORS)
_KEYS_BY_CHARACTER = _by_character(_KEY_WORDS)
_SENT_BY_CHARACTER = _by_character(_SENT_WORDS)
_WORDS = re.compile(r"[a-z]+(?:'[a-z]+)?")

Hit = tuple[int, int, float, str]
"""Start, end, weight, kind."""


def find_injections(text: str) -> list[InjectionSpan]:
    """Return the marks of injection in a text, in order; places are characters of it."""
    if len(text) > _MOST_CHARACTERS:
        last = max(_MOST_CHARACTERS, len(text) - _MOST_CHARACTERS)
        return find_injections(text[:_MOST_CHARACTERS]) + [
            replace(one, start=one.start + last, end=one.end + last) for one in find_injections(text[last:])
        ]
    # A character may fold into eighteen.
    folded = fold(text)[: 2 * _MOST_CHARACTERS]
    tokens, hits = _hits(folded)
    found = _near(hits)
    if found:
        places = [*origins(text), len(text)]
        found = [InjectionSpan(one.kind, places[one.start], places[one.end - 1] + 1, one.score) for one in found]
    for start, end, said in _other(text, folded, tokens) if not found else ():
        if inner := _near(_hits(fold(said)[: 2 * _MOST_CHARACTERS])[1]):
            best = max(inner, key=lambda one: one.score)
            return [InjectionSpan(best.kind, start, end, best.score)]
    if not text.isascii() and (hidden := _HIDDEN.search(text)):
        found.append(InjectionSpan("hidden", hidden.start(), hidden.end(), 0.6))
    return sorted(found, key=lambda one: (one.start, one.kind))


def _other(text: str, folded: str, words: set[str]) -> Iterator[tuple[int, int, str]]:
    for said in readings(folded, words):
        yield 0, len(text), said
    yield from decoded(text)


def _hits(folded: str) -> tuple[set[str], list[Hit]]:
    """Return the words of a folded text and the places of every rule that fits."""
    words, characters = set(_WORDS.findall(folded)), set(folded)
    hits: list[Hit] = []
    if _holds(_KEY_WORDS, _KEYS_BY_CHARACTER, folded, words, characters) or (
        ("://" in folded or "@" in characters) and _holds(_SENT_WORDS, _SENT_BY_CHARACTER, folded, words, characters)
    ):
        hits += _by_rules(folded)
    wanted = {place for word in words & _ANCHORS.keys() for place in _ANCHORS[word]}
    for one in characters & _ANCHORS_BY_CHARACTER.keys():
        for word in _ANCHORS_BY_CHARACTER[one]:
            if word in folded:
                wanted.update(_ANCHORS[word])
    for kind, weight, rule in [_SPOKEN[place] for place in sorted(wanted)]:
        hits += [
            (hit.start(), hit.end(), weight, kind)
            for hit, _ in zip(rule.finditer(folded), range(_MOST_HITS), strict=False)
        ]
    return words, hits


def _holds(
    known: frozenset[str], by_character: dict[str, list[str]], folded: str, words: set[str], characters: set[str]
) -> bool:
    return not words.isdisjoint(known) or any(
        word in folded for one in characters & by_character.keys() for word in by_character[one]
    )


def _by_rules(folded: str) -> list[Hit]:
    """Return where the rules over classes fit."""
    pattern = _ASCII if folded.isascii() else _MIXED
    get = _LETTER.get
    line = "".join(
        [get(token) or ("l" if "://" in token or token[0] == "@" else ".") for token in pattern.findall(folded)]
    )
    # "Never forget what you were told" undoes nothing.
    line = _NEGATED.sub("..", line)
    found = [
        (hit.start(), hit.end(), weight, kind)
        for kind, weight, rule in _COMPILED
        for hit, _ in zip(rule.finditer(line), range(_MOST_HITS), strict=False)
    ]
    spans = [token.span() for token in pattern.finditer(folded)] if found else []
    return [(spans[start][0], spans[end - 1][1], weight, kind) for start, end, weight, kind in found]


def _near(hits: list[Hit]) -> list[InjectionSpan]:
    """Return the kinds whose weights, near one another and apart in the text, reach the threshold together.

    Signs are taken as independent, so weights w give 1 - (1 - w1)(1 - w2)...; of signs that overlap the heaviest counts.
    """
    best: dict[str, InjectionSpan] = {}
    taken: list[Hit] = []
    for hit in sorted(hits, key=lambda hit: (-hit[2], hit[0])):
        if hit[2] < 0 or not any(hit[0] < one[1] and one[0] < hit[1] for one in taken):
            taken.append(hit)
    for middle in taken:
        missed, less = 1.0, 0.0
        for start, _, weight, _ in taken:
            if abs(start - middle[0]) <= _NEAR:
                missed *= 1 - max(weight, 0)
                less -= min(weight, 0)
        score = 1 - missed - less
        if middle[2] > 0 and score >= THRESHOLD and (middle[3] not in best or best[middle[3]].score < score):
            best[middle[3]] = InjectionSpan(middle[3], middle[0], middle[1], score)
    return list(best.values())
