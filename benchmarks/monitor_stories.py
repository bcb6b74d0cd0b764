"""Joining of reposts and rewrites: real texts and what people make of them, beside different stories about one company or name.

`measure` returns pair F1 beside MinHash alone and beside what is wanted. A pair is a text with an edit of it (one story), or two texts
that share a ticker or a name and are as similar as any such pair of the set (two stories), or two tweets in the same words about
companies with other tickers (another company). All texts of a set stand in one stream, so what
is judged is what a watcher would see. Thresholds, Noria's and the peer's, are those of the training rows; the figures are of the test rows.

Two texts about one company that share all numbers and six tenths of their shingles are left out: they are as likely to be one story.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np

from noria.apps.monitor.likeness import compared, facts_of, is_short
from noria.apps.monitor.stories import Stories
from noria.apps.monitor.surge import Mention
from noria.text import minhash
from noria.text.dedup import find_duplicates, near_pairs

from .isa import named_here
from .line import Line, machine
from .monitor_edits import EDITS, LINK

NAME = "monitor"
WANTED = 0.95
START = datetime(2026, 11, 1, tzinfo=UTC)
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Of MinHash alone: the best on the training rows is taken."""
_AMBIGUOUS = 0.6
Side = Literal["train", "test"]
Embed = Callable[[Sequence[str]], Sequence[Sequence[float]]]


@dataclass(frozen=True)
class Pair:
    """Two places in the stream, and whether they tell one story."""

    first: int
    second: int
    same: bool
    unit: int
    """The text that it comes of: what is drawn anew for the interval."""
    kind: str


@dataclass
class Stream:
    """Texts in their order, and pairs of them."""

    texts: list[str]
    pairs: list[Pair]


def measure(*, quick: bool, embed: Embed | None = None) -> list[Line]:
    """Return pair F1 in both languages: beside MinHash alone, and beside what is wanted; none without the folder of data sets.

    Args:
        quick: a fifth of the texts.
        embed: gives embeddings of length one; None compares words alone.
    """
    if "NORIA_DATA" not in os.environ:
        return []
    data = Path(os.environ["NORIA_DATA"])
    found: list[Line] = []
    for language in ("en", "zh"):
        most = 80 if quick else 400
        train, test = stream(data, language, "train", most), stream(data, language, "test", most)
        best = max(THRESHOLDS, key=lambda near: f1(train.pairs, minhash_alone(train.texts, near)))
        ours, theirs = joined(test.texts, embed), minhash_alone(test.texts, best)
        how = "words and embeddings" if embed else "words"
        for name, groups in (("Noria", ours), (f"MinHash alone, {best}", theirs)):
            print(f"monitor, {language}, {name}: {by_kind(test.pairs, groups)}", file=sys.stderr)
        measure = f"joining of reposts and rewrites, {language}, {most} texts edited, pair F1, by {how}"
        found += compared_lines(
            test.pairs, ours, theirs, measure, f"MinHash alone, Jaccard >= {best}, best on training rows"
        )
    return found


def compared_lines(
    pairs: Sequence[Pair], ours: Sequence[str], theirs: Sequence[str], measure: str, peer: str
) -> list[Line]:
    """Return the line beside the peer and that beside what is wanted, with intervals (95 %) over texts drawn anew."""
    units = sorted({pair.unit for pair in pairs})
    counts = [_counts(pairs, groups, units) for groups in (ours, theirs)]
    draws = np.random.default_rng(0).integers(len(units), size=(1000, len(units)))
    a, b = (_f1(one[draws].sum(axis=1)) for one in counts)
    mine, other = f1(pairs, ours), f1(pairs, theirs)
    made = []
    for value, ratios, name in ((other, a / b, peer), (WANTED, a / WANTED, f"wanted: {WANTED:g}")):
        low, high = np.quantile(ratios, (0.025, 0.975))
        made.append(
            Line(
                NAME,
                measure,
                mine,
                value,
                named_here(name),
                "F1",
                mine / value,
                len(units),
                float(low),
                float(high),
                machine(),
            )
        )
    return made


def by_kind(pairs: Sequence[Pair], groups: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return how many pairs of each kind were judged rightly, of how many."""
    found: dict[str, list[bool]] = defaultdict(list)
    for pair in pairs:
        found[pair.kind].append((groups[pair.first] == groups[pair.second]) == pair.same)
    return {kind: (sum(right), len(right)) for kind, right in sorted(found.items())}


def f1(pairs: Sequence[Pair], groups: Sequence[str]) -> float:
    """Return F1 of the pairs that are joined."""
    units = sorted({pair.unit for pair in pairs})
    return float(_f1(_counts(pairs, groups, units).sum(axis=0)[None])[0])


def _counts(pairs: Sequence[Pair], groups: Sequence[str], units: Sequence[int]) -> np.ndarray:
    """Return joined rightly, joined wrongly and missed of each unit, (units, 3)."""
    place = {unit: at for at, unit in enumerate(units)}
    counts = np.zeros((len(units), 3))
    for pair in pairs:
        joined_here = groups[pair.first] == groups[pair.second]
        if joined_here or pair.same:
            counts[place[pair.unit], 0 if joined_here and pair.same else 1 if joined_here else 2] += 1
    return counts


def _f1(counts: np.ndarray) -> np.ndarray:
    """Return 2 TP / (2 TP + FP + FN) of each row."""
    return np.asarray(2 * counts[:, 0] / np.maximum(2 * counts[:, 0] + counts[:, 1] + counts[:, 2], 1))


def joined(texts: Sequence[str], embed: Embed | None = None) -> list[str]:
    """Return the story of each text of a stream, a second apart."""
    stories = Stories()
    mentions = [
        Mention(str(place), START + timedelta(seconds=place), "", False, 0.0, text) for place, text in enumerate(texts)
    ]
    found: list[str] = []
    for start in range(0, len(mentions), 64):
        batch = mentions[start : start + 64]
        vectors = embed([one.text for one in batch]) if embed else None
        found += stories.place(batch, START + timedelta(days=1), vectors)
    return [stories.resolve(name) for name in found]


def minhash_alone(texts: Sequence[str], near: float) -> list[str]:
    """Return the group of each text by MinHash and Jaccard similarity alone."""
    return find_duplicates(texts, near=near).group


def stream(data: Path, language: str, side: Side, most: int) -> Stream:
    """Return a stream of real texts with edits of them, and its pairs.

    Args:
        data: the folder of shared data sets.
        language: en or zh.
        side: which rows.
        most: texts that are edited; each in every way.
    """
    draw = random.Random(f"{language} {side}")
    real = (_english if language == "en" else _chinese)(data, side)
    texts = list(dict.fromkeys(text for text, _ in real))
    names = dict(real)
    chosen = [text for text in texts if not is_short(compared(text))]
    draw.shuffle(chosen)
    chosen = chosen[:most]
    stream_texts, pairs = list(chosen), []
    for place, text in enumerate(chosen):
        for kind, edit in EDITS[language].items():
            edited = edit(text, draw)
            # One edit of each: what changes nothing, or leaves too little to be a story, is none.
            if edited != text and not is_short(compared(edited)):
                pairs.append(Pair(place, len(stream_texts), True, place, kind))
                stream_texts.append(edited)
    wanted = len(pairs)
    place_of = {text: place for place, text in enumerate(chosen)}
    hard = [(*pair, "two stories") for pair in _hard(texts, names, wanted)]
    hard += [(*pair, "another company") for pair in _other_company(texts, names)[: wanted // 2]]
    for first, second, kind in hard:
        for text in (first, second):
            if text not in place_of:
                place_of[text] = len(stream_texts)
                stream_texts.append(text)
        pairs.append(Pair(place_of[first], place_of[second], False, place_of[first], kind))
    return _shuffled(Stream(stream_texts, pairs), draw)


def _shuffled(made: Stream, draw: random.Random) -> Stream:
    """Return the stream in another order, the edits rather behind their texts."""
    edits = {pair.second for pair in made.pairs if pair.same}
    order = sorted(range(len(made.texts)), key=lambda place: draw.random() + (0.5 if place in edits else 0.0))
    to = {place: at for at, place in enumerate(order)}
    pairs = [Pair(to[one.first], to[one.second], one.same, one.unit, one.kind) for one in made.pairs]
    return Stream([made.texts[place] for place in order], pairs)


def _hard(texts: Sequence[str], names: dict[str, frozenset[str]], most: int) -> list[tuple[str, str]]:
    """Return pairs of texts that share a name, the most similar ones first, none that may well be one story."""
    groups: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        if not is_short(compared(text)):
            for name in names[text]:
                groups[name].append(text)
    found: dict[tuple[str, str], float] = {}
    for members in groups.values():
        shingles = {text: _shingles(text) for text in members[:60]}
        for at, first in enumerate(members[:60]):
            for second in members[at + 1 : 60]:
                shared = len(shingles[first] & shingles[second])
                similarity = shared / max(1, len(shingles[first] | shingles[second]))
                if similarity < _AMBIGUOUS or facts_of(first).numbers != facts_of(second).numbers:
                    found[first, second] = similarity
    return sorted(found, key=lambda pair: -found[pair])[:most]


def _other_company(texts: Sequence[str], names: dict[str, frozenset[str]]) -> list[tuple[str, str]]:
    """Return pairs of tweets in the same words about companies none of which is the other's, by their tickers; the most similar first."""
    tagged = [text for text in texts if any(name.startswith("$") for name in names[text])]
    pairs, _ = near_pairs([minhash.key_of(LINK.sub("", text)) for text in tagged], 0.4)
    found = [(tagged[first], tagged[second]) for first, second in pairs.tolist()]
    apart = [
        (a, b) for a, b in found if not names[a] & names[b] and not is_short(compared(a)) and not is_short(compared(b))
    ]
    alike = {
        pair: len(_shingles(pair[0]) & _shingles(pair[1])) / len(_shingles(pair[0]) | _shingles(pair[1]))
        for pair in apart
    }
    return sorted(alike, key=lambda pair: -alike[pair])


def _shingles(text: str) -> set[str]:
    """Return the runs of four characters of a text's words: a link is none."""
    key = minhash.key_of(LINK.sub("", text))
    return {key[at : at + 4] for at in range(max(1, len(key) - 3))}


def _rows(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]


def _english(data: Path, side: Side) -> list[tuple[str, frozenset[str]]]:
    """Return tweets with their tickers, and sentences of financial news with their companies."""
    found = []
    for row in _rows(data / "monitor" / "fin-tweets" / f"{'valid' if side == 'test' else 'train'}.jsonl"):
        text = str(row["text"])
        found.append((text, frozenset(re.findall(r"\$[A-Z]{1,6}\b", text))))
    for row in _rows(data / "monitor" / "finentity" / f"{side}.jsonl"):
        entities = row["entities"]
        assert isinstance(entities, list)
        found.append((str(row["text"]), frozenset(str(one["text"]).lower() for one in entities)))
    return found


def _chinese(data: Path, side: Side) -> list[tuple[str, frozenset[str]]]:
    """Return sentences of news and encyclopaedia with the names in them, and reviews, whose name is what they praise or not."""
    found = []
    for row in _rows(data / "ner" / "uner-zh" / f"{side}.jsonl"):
        tokens, tags = row["tokens"], row["tags"]
        assert isinstance(tokens, list)
        assert isinstance(tags, list)
        names, name = set(), ""
        for token, tag in [*zip(tokens, tags, strict=True), ("", "O")]:
            if name and not str(tag).startswith("I"):
                names.add(name)
                name = ""
            name += str(token) if tag != "O" else ""
        found.append(("".join(map(str, tokens)), frozenset(names)))
    for row in _rows(data / "monitor" / "asap-sample" / f"{side}.jsonl"):
        found.append((str(row["text"])[:140], frozenset(("a restaurant",))))
    return found


def main() -> None:
    """Print the lines; what was judged rightly by kind of pair goes to stderr."""
    for line in measure(quick=False):
        print(line.json())


if __name__ == "__main__":
    main()
