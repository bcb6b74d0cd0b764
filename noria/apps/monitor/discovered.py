"""Topics that nobody listed: texts of the last days that lie near to each other, named by their characteristic words, known again from day to day.

    found = Discovered(folder)
    found.add(mentions, vectors)          # each story once
    found.update()                        # groups them anew, and gives each topic of before its id again
    found.topics                          # the largest first

A sample of every day is kept, the same whatever order its texts came in, so that memory and time are bounded: `MOST` texts of `DAYS` days.
A topic whose texts are all gone is remembered for `REMEMBERED`, and has its id again when it comes back.
"""

from __future__ import annotations

import heapq
import io
import json
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import xxhash
from numpy.typing import NDArray

from noria.core.folder import write_bytes

from .grouping import Matrix, centred, flat, grouped, matched, middles, unit
from .naming import names
from .surge import Mention

DAYS, MOST = 7, 2_100
"""Days that are grouped together, and texts of them."""
REMEMBERED = timedelta(days=30)
_MOST_REMEMBERED = 200
LEAST = 5
"""Texts of a topic."""
_FIRST = 4 * LEAST
"""Texts below which there are no topics yet."""
EXAMPLES = 3
_NAMED = 60
"""Texts of a topic, those nearest to its middle, that its words are taken from."""
_CHARACTERS = 400
"""Of a text that are kept here."""


@dataclass(frozen=True)
class Sampled:
    """One text of the sample."""

    id: str
    time: datetime
    text: str
    author: str
    source: str
    link: str
    story: str
    negative: bool

    @property
    def day(self) -> str:
        """Return its day, UTC."""
        return self.time.date().isoformat()


@dataclass
class Topic:
    """One topic as of the last update."""

    id: str
    words: tuple[str, ...]
    """Its characteristic words, the most telling first."""
    since: datetime
    """When the first text of it was said that is known."""
    texts: int
    negatives: int
    days: dict[str, int]
    """Day, UTC -> its texts of that day's sample."""
    x: float
    y: float
    """Where it lies on a map of all, within -1 to 1: what is near to each other is about similar things."""
    examples: list[dict[str, Any]]
    """The texts nearest to its middle."""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-able dict."""
        return asdict(self) | {"words": list(self.words), "since": self.since.isoformat()}


@dataclass
class _Known:
    """What a topic is known again by."""

    id: str
    middle: Matrix
    """Mean of its texts' vectors, as they came."""
    members: frozenset[str]
    since: datetime
    seen: datetime
    """Time of its last text."""
    place: tuple[float, float]


class Discovered:
    """The discovered topics of one stream. For any thread.

    Args:
        folder: where the sample and the topics are kept; None remembers nothing beyond this object.
        encoder: which model made the vectors: those of another one tell nothing here.
        days: that are grouped together.
        most: texts of the sample.
    """

    def __init__(self, folder: Path | None = None, encoder: str = "", days: int = DAYS, most: int = MOST) -> None:
        self.encoder, self.days, self.most = encoder, days, most
        self.topics: list[Topic] = []
        self._file = folder / "discovered.npz" if folder else None
        self._texts: dict[str, Sampled] = {}
        self._vectors: dict[str, NDArray[np.float16]] = {}
        self._sample: dict[str, list[tuple[int, str]]] = {}
        """Day -> a heap of its texts by their hash, the largest at its top."""
        self._stories: dict[str, str] = {}
        """Story -> the text that stands for it."""
        self._known: list[_Known] = []
        self._window: frozenset[str] = frozenset()
        """Ids that the last update saw."""
        self._new = 0
        self._lock = threading.Lock()
        if self._file and self._file.exists():
            self._read()

    def __len__(self) -> int:
        """Return how many texts are in the sample."""
        return len(self._texts)

    @property
    def has_new(self) -> bool:
        """Return whether anything has come since the last update."""
        return self._new > 0

    @property
    def is_stale(self) -> bool:
        """Return whether enough has come to group anew: a fiftieth of the sample, or what makes the first topics."""
        return self._new > max(LEAST, len(self._texts) // 50)

    def add(self, mentions: Sequence[Mention], vectors: Sequence[Sequence[float]]) -> None:
        """Take texts into the sample of their days; a story is taken once, an id too.

        Args:
            mentions: masked, in any order.
            vectors: an embedding of each.
        """
        with self._lock:
            for mention, vector in zip(mentions, vectors, strict=True):
                if mention.id not in self._texts and mention.story not in self._stories:
                    self._take(mention, np.asarray(vector, dtype=np.float16))
            self._forget()

    def _take(self, mention: Mention, vector: NDArray[np.float16]) -> None:
        facts = {name: getattr(mention, name) for name in ("id", "author", "source", "link", "story", "negative")}
        text = Sampled(time=mention.time.astimezone(UTC), text=mention.text[:_CHARACTERS], **facts)
        self._keep(text, vector)
        self._new += 1
        day = self._sample[text.day]
        if len(day) > max(1, self.most // self.days):
            self._drop(heapq.heappop(day)[1])

    def _keep(self, text: Sampled, vector: NDArray[np.float16]) -> None:
        self._texts[text.id], self._vectors[text.id] = text, vector
        if text.story:
            self._stories[text.story] = text.id
        # A sample by hashes is the same in whatever order texts come; a heap gives its least, which is the largest hash.
        heapq.heappush(self._sample.setdefault(text.day, []), (-xxhash.xxh64_intdigest(text.id.encode()), text.id))

    def _drop(self, id: str) -> None:
        text = self._texts.pop(id)
        del self._vectors[id]
        if self._stories.get(text.story) == id:
            del self._stories[text.story]

    def _forget(self) -> None:
        """Leave the days before the window, which ends with the latest text."""
        if not self._sample:
            return
        first = (datetime.fromisoformat(max(self._sample)) - timedelta(days=self.days - 1)).date().isoformat()
        for day in [day for day in self._sample if day < first]:
            for _, id in self._sample.pop(day):
                self._drop(id)

    def update(self) -> None:
        """Group the sample anew, name what was found, and give topics of before their ids again.

        Raises:
            ResourceError: the disk is full.
        """
        with self._lock:
            texts = sorted(self._texts.values(), key=lambda text: (text.time, text.id))
            topics: list[Topic] = []
            if len(texts) >= _FIRST:
                vectors = unit(np.array([self._vectors[text.id] for text in texts], dtype=np.float32))
                centre, mean = centred(vectors)
                labels = grouped(centre, LEAST)
                if labels.max() >= 0:
                    topics = self._found(texts, vectors, centre, labels, mean)
            self.topics = topics
            self._window = frozenset(text.id for text in texts)
            self._new = 0
            self._save()

    def _found(
        self,
        texts: Sequence[Sampled],
        vectors: Matrix,
        centre: Matrix,
        labels: NDArray[np.int64],
        mean: Matrix,
    ) -> list[Topic]:
        """Return the topics of groups, and know them from now on."""
        middle = middles(centre, labels)
        places = [np.flatnonzero(labels == number) for number in range(len(middle))]
        members = [frozenset(texts[place].id for place in some.tolist()) for some in places]
        latest = max(text.time for text in texts)
        old = [one for one in self._known if latest - one.seen <= REMEMBERED]
        cosines = (
            middle @ unit(np.array([one.middle - mean for one in old]).reshape(len(old), -1)).T
            if old
            else np.zeros((len(middle), 0), np.float32)
        )
        again = matched(members, [one.members for one in old], self._window & {text.id for text in texts}, cosines)
        before = np.full((len(middle), 2), np.nan)
        for number, at in again.items():
            before[number] = old[at].place
        flattened = flat(middle, [len(one) for one in places], before)
        nearest = [
            some[np.argsort(-(centre[some] @ middle[number]), kind="stable")] for number, some in enumerate(places)
        ]
        words = names([[texts[place].text for place in some[:_NAMED].tolist()] for some in nearest])
        taken = {one.id for one in self._known}
        topics, fresh = list[Topic](), list[_Known]()
        for number, some in enumerate(places):
            mine = [texts[place] for place in some.tolist()]
            known = old[again[number]] if number in again else None
            id = known.id if known else _new_id(mine[0].id, taken)
            since = min([mine[0].time, *([known.since] if known else [])])
            x, y = (round(float(value), 4) for value in flattened[number])
            days = dict(sorted(Counter(text.day for text in mine).items()))
            examples = [_shown(texts[place]) for place in nearest[number][:EXAMPLES].tolist()]
            negatives = sum(text.negative for text in mine)
            topics.append(Topic(id, words[number], since, len(mine), negatives, days, x, y, examples))
            fresh.append(_Known(id, vectors[some].mean(axis=0), members[number], since, mine[-1].time, (x, y)))
        gone = {one.id for one in fresh}
        self._known = [
            *fresh,
            *(replace(one, members=one.members & self._texts.keys()) for one in old if one.id not in gone),
        ][: len(fresh) + _MOST_REMEMBERED]
        return topics

    def topic_of(self) -> dict[str, str]:
        """Return the topic of every text of the sample that belongs to one, as of the last update: ids of both."""
        shown = {topic.id for topic in self.topics}
        return {id: one.id for one in self._known if one.id in shown for id in one.members}

    def forget(self, authors: frozenset[str]) -> None:
        """Remove the texts of authors, by pseudonym, from the sample and from the examples."""
        with self._lock:
            gone = {text.id for text in self._texts.values() if text.author in authors}
            for id in gone:
                self._drop(id)
            self._sample = {day: [one for one in some if one[1] not in gone] for day, some in self._sample.items()}
            for some in self._sample.values():
                heapq.heapify(some)
            for topic in self.topics:
                topic.examples = [one for one in topic.examples if one["author"] not in authors]
            if gone:
                self._save()

    def _save(self) -> None:
        """Keep sample and topics, whole or not at all."""
        if self._file is None:
            return
        ids = list(self._texts)
        state = {
            "encoder": self.encoder,
            "texts": [{**asdict(text), "time": text.time.isoformat()} for text in self._texts.values()],
            "topics": [topic.as_dict() for topic in self.topics],
            "known": [
                {
                    **{"id": one.id, "members": sorted(one.members), "place": one.place},
                    **{"since": one.since.isoformat(), "seen": one.seen.isoformat()},
                }
                for one in self._known
            ],
            "window": sorted(self._window),
        }
        out = io.BytesIO()
        np.savez(
            out,
            state=np.frombuffer(json.dumps(state, ensure_ascii=False).encode(), dtype=np.uint8),
            vectors=np.array([self._vectors[id] for id in ids], dtype=np.float16),
            middles=np.array([one.middle for one in self._known], dtype=np.float32),
        )
        write_bytes(self._file, out.getvalue())

    def _read(self) -> None:
        """Take up what was kept; what cannot be read, or what another encoder made, is as if there had been nothing."""
        assert self._file is not None
        try:
            with np.load(self._file, allow_pickle=False) as kept:
                state = json.loads(kept["state"].tobytes())
                vectors, middle = kept["vectors"], kept["middles"]
            if state["encoder"] != self.encoder:
                return
            texts = [Sampled(**{**one, "time": datetime.fromisoformat(one["time"])}) for one in state["texts"]]
            known = [
                _Known(
                    one["id"],
                    row,
                    frozenset(one["members"]),
                    datetime.fromisoformat(one["since"]),
                    datetime.fromisoformat(one["seen"]),
                    (one["place"][0], one["place"][1]),
                )
                for one, row in zip(state["known"], middle, strict=True)
            ]
            topics = [
                Topic(**{**one, "words": tuple(one["words"]), "since": datetime.fromisoformat(one["since"])})
                for one in state["topics"]
            ]
            window, pairs = frozenset(state["window"]), list(zip(texts, vectors, strict=True))
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
            return
        for text, vector in pairs:
            self._keep(text, vector)
        self._known, self.topics, self._window = known, topics, window


def _new_id(first: str, taken: set[str]) -> str:
    """Return an id that no topic of before has, of the first text's."""
    for number in range(len(taken) + 1):
        id = f"d{xxhash.xxh64_hexdigest(f'{number}:{first}'.encode())[:10]}"
        if id not in taken:
            taken.add(id)
            return id
    raise AssertionError


def _shown(text: Sampled) -> dict[str, Any]:
    return {**asdict(text), "time": text.time.isoformat()}
