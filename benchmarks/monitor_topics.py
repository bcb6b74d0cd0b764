"""Topics discovered in streams of real texts with known labels, beside k-means that is told how many there are.

English: questions of 150 intents (CLINC150, test) with such as belong to none; Chinese: sentences of encyclopaedia paragraphs (CMRC 2018, dev), a
paragraph a topic, with single sentences of others. Each topic goes on for some days of a made-up fortnight; every evening the last seven days
are grouped. Judged are the texts that belong to a topic: adjusted mutual information with their labels (Vinh, Epps and Bailey 2010), where
those that were put nowhere are a group of their own, and of the texts that had a topic yesterday and have one today how many have the same.
The peer's groups get their ids by the same matching. Bounds were chosen on training rows (CLINC150 train, CMRC 2018 trial).
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from noria.apps.monitor.discovered import DAYS, LEAST, Discovered
from noria.apps.monitor.grouping import matched
from noria.apps.monitor.surge import Mention

from .line import Line, compare
from .monitor_trained import bundled

NAME = "monitor"
START = datetime(2026, 11, 2, tzinfo=UTC)
LENGTH, TOPICS, NOISE = 14, 60, 0.1
"""Days of a stream, its topics, and texts of none as a share of all."""
QUICK_TOPICS = 12
WANTED_SAME = 0.9
Vectors = np.ndarray
Embed = Callable[[Sequence[str]], Vectors]


@dataclass(frozen=True)
class Labelled:
    """Texts of one language, with an embedding of each."""

    texts: list[str]
    labels: list[str]
    """Empty for a text of no topic."""
    vectors: Vectors


@dataclass(frozen=True)
class Outcome:
    """What one stream came to."""

    information: float
    """Adjusted mutual information, mean over the days."""
    same: float
    """Share of texts with the topic of the day before."""
    topics: float
    """Topics a day, beside those that there were."""
    wanted: float


def measure(*, quick: bool) -> list[Line]:
    """Return the lines of both languages, quick of a fifth of the topics in three streams instead of ten; none without the folder of data sets."""
    if "NORIA_DATA" not in os.environ:
        return []
    from noria.apps.support.knowledge.encoding import passage_embedder

    data, lines = Path(os.environ["NORIA_DATA"]), list[Line]()
    with passage_embedder(bundled("e5")) as embedder:
        assert embedder is not None
        for language in ("en", "zh"):
            rows = labelled(data, language, "test", embedder.probe, QUICK_TOPICS if quick else TOPICS)
            lines += compared(rows, language, range(3 if quick else 10))
    return lines


def compared(rows: Labelled, language: str, seeds: Sequence[int]) -> list[Line]:
    """Return the lines beside the peer and beside what is wanted."""
    ours = [run(rows, seed, discovered=True) for seed in seeds]
    theirs = [run(rows, seed, discovered=False) for seed in seeds]
    for name, some in (("Noria", ours), ("k-means", theirs)):
        print(f"monitor, topics, {language}, {name}: {some[0]}", file=sys.stderr)
    peer = "k-means (scikit-learn, n_init=10), told the number of topics"
    what = f"discovered topics, {language}, {len(set(rows.labels) - {''})} of them"
    near, stays = (
        f"{what}, adjusted mutual information",
        f"{what}, texts with the topic of the day before",
    )
    same = [one.same for one in ours]
    return [
        compare(NAME, near, [one.information for one in ours], [one.information for one in theirs], peer, "AMI"),
        compare(NAME, stays, same, [one.same for one in theirs], peer, "of 1"),
        compare(NAME, stays, same, [WANTED_SAME] * len(ours), f"wanted: {WANTED_SAME:g}", "of 1"),
    ]


def labelled(data: Path, language: str, side: str, embed: Embed, topics: int = TOPICS) -> Labelled:
    """Return texts with their topics, and some of none.

    Args:
        data: folder of the data sets.
        language: en or zh.
        side: train or test.
        embed: gives embeddings of length one.
        topics: how many.
    """
    pairs = _english(data, side, topics) if language == "en" else _chinese(data, side, topics)
    return Labelled([text for text, _ in pairs], [label for _, label in pairs], embed([text for text, _ in pairs]))


def _english(data: Path, side: str, topics: int) -> list[tuple[str, str]]:
    folder = data / "intent" / "clinc150"
    rows, noise = (
        [json.loads(line) for line in (folder / f"{name}{side}.jsonl").read_text(encoding="utf-8").splitlines()]
        for name in ("", "oos_")
    )
    names = np.random.default_rng(0).permutation(sorted({row["label"] for row in rows}))[:topics]
    counts: Counter[str] = Counter()
    pairs = []
    for row in rows:
        if row["label"] in names and counts[row["label"]] < 30:
            counts[row["label"]] += 1
            pairs.append((row["text"], row["label"]))
    return [*pairs, *((row["text"], "") for row in noise[: int(NOISE * len(pairs))])]


def _chinese(data: Path, side: str, topics: int) -> list[tuple[str, str]]:
    import pyarrow.parquet as pq

    from noria.text.script import sentences

    name = {"train": "trial", "test": "dev"}[side]
    contexts = pq.read_table(data / "qa" / "cmrc2018" / f"{name}.parquet").column("context").to_pylist()
    paragraphs = [[one for one in sentences(context) if 12 <= len(one) <= 120] for context in dict.fromkeys(contexts)]
    long = [some for some in paragraphs if len(some) >= 2 * LEAST][:topics]
    pairs = [(sentence, str(number)) for number, some in enumerate(long) for sentence in some]
    rest = [some[0] for some in paragraphs if some and len(some) < 2 * LEAST]
    return [*pairs, *((text, "") for text in rest[: int(NOISE * len(pairs))])]


def run(rows: Labelled, seed: int, *, discovered: bool) -> Outcome:
    """Return what a stream of the texts comes to, grouped by Noria or by the peer.

    Args:
        rows: texts with their topics.
        seed: of the days on which each is told.
        discovered: by Noria.
    """
    from sklearn.metrics import adjusted_mutual_info_score

    days = told_on(rows.labels, seed)
    grouping = _Ours() if discovered else _KMeans(seed)
    information, same, found, wanted = list[float](), [0, 0], list[int](), list[int]()
    before: dict[int, str] = {}
    for day in range(LENGTH):
        window = [place for place, when in enumerate(days) if day - DAYS < when <= day]
        counts = Counter(rows.labels[place] for place in window if rows.labels[place])
        true = sum(count >= LEAST for count in counts.values())
        topic_of = grouping.evening(rows, [place for place in window if days[place] == day], window, true, day)
        if day >= 2:
            judged = [place for place in window if rows.labels[place]]
            information.append(
                float(
                    adjusted_mutual_info_score(
                        [rows.labels[place] for place in judged], [topic_of.get(place, "") for place in judged]
                    )
                )
            )
            both = before.keys() & topic_of.keys() & set(judged)
            same[0] += sum(before[place] == topic_of[place] for place in both)
            same[1] += len(both)
            found.append(len(set(topic_of.values())))
            wanted.append(true)
        before = topic_of
    return Outcome(
        float(np.mean(information)), same[0] / max(1, same[1]), float(np.mean(found)), float(np.mean(wanted))
    )


def told_on(labels: Sequence[str], seed: int) -> list[int]:
    """Return the day of every text: each topic lasts two to ten days from one of its own, those of none come on any."""
    chooser = np.random.default_rng(seed)
    spans = {}
    for label in dict.fromkeys(labels):
        length = int(chooser.integers(2, 11)) if label else LENGTH
        spans[label] = int(chooser.integers(0, LENGTH - length + 1)), length
    return [spans[label][0] + int(chooser.integers(spans[label][1])) for label in labels]


class _Ours:
    def __init__(self) -> None:
        self.found = Discovered()

    def evening(self, rows: Labelled, new: list[int], window: list[int], true: int, day: int) -> dict[int, str]:
        mentions = [
            Mention(str(place), START + timedelta(days=day, seconds=place), "other", False, 0.9, rows.texts[place])
            for place in new
        ]
        self.found.add(mentions, [rows.vectors[place] for place in new])
        self.found.update()
        return {int(id): topic for id, topic in self.found.topic_of().items()}


class _KMeans:
    def __init__(self, seed: int) -> None:
        self.seed, self.count = seed, 0
        self.before: list[tuple[str, set[str], Vectors]] = []
        self.window: set[str] = set()

    def evening(self, rows: Labelled, new: list[int], window: list[int], true: int, day: int) -> dict[int, str]:
        from sklearn.cluster import KMeans

        if not window:
            return {}
        vectors = np.stack([rows.vectors[place] for place in window])
        model = KMeans(max(1, min(true, len(window))), n_init=10, random_state=self.seed).fit(vectors)
        groups = [
            {str(window[at]) for at in np.flatnonzero(model.labels_ == number)} for number in range(model.n_clusters)
        ]
        centres = model.cluster_centers_ - vectors.mean(axis=0)
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        ids = {str(place) for place in window}
        cosines = np.asarray(
            centres @ np.stack([middle for _, _, middle in self.before]).T
            if self.before
            else np.zeros((len(groups), 0)),
            dtype=np.float32,
        )
        again = matched(groups, [members for _, members, _ in self.before], self.window & ids, cosines)
        fresh = []
        for number, members in enumerate(groups):
            self.count += number not in again
            name = self.before[again[number]][0] if number in again else f"k{self.count}"
            fresh.append((name, members, centres[number]))
        self.before, self.window = fresh, ids
        return {int(one): name for name, members, _ in fresh for one in members}
