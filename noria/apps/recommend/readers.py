"""Simulated readers, for judging a recommender before it has real ones. Whatever comes of them must be labelled simulated.

Each has one hidden topic and opens an item of it more often than another. Topics are told by lists of words, not by the
vectors that the recommender uses, so that it cannot win by construction. Whether a reader opens an item depends on the reader,
the item and the seed only: every policy meets the same readers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xxhash

from noria.apps.monitor.topics import read_topics
from noria.core.figure import Figure
from noria.core.messages import message, term
from noria.tasks.items import Item

from .shelf import Shelf
from .states import key_of

NEWS = Path(__file__).parent / "news_topics.json"
NOTE = "simulated readers"


@dataclass(frozen=True)
class SimulatedReader:
    """A made-up reader."""

    name: str
    topic: str
    """Their hidden topic."""


@dataclass(frozen=True)
class Habits:
    """How simulated readers behave; numbers chosen for the purpose, not measured on people."""

    keen: float = 0.5
    """Chance that a reader opens an item of their topic."""
    idle: float = 0.05
    """Chance that a reader opens any other item."""


@dataclass
class Visits:
    """What one reader was shown and opened, by round."""

    shown: list[int]
    opened: list[int]


def topics_of(items: Sequence[Item], path: str | Path = NEWS) -> dict[str, str]:
    """Return item id -> topic, told by the words of its text."""
    topics = read_topics(path)
    return {item.id: topics.of(item.text) for item in items}


def make_readers(count: int, topics: Mapping[str, str], seed: int = 0) -> list[SimulatedReader]:
    """Return readers whose topics are as frequent as the topics of the items; `other` is no one's."""
    random = np.random.default_rng(seed)
    pool = sorted(topic for topic in topics.values() if topic != "other")
    return [SimulatedReader(f"reader-{number:03d}", str(random.choice(pool))) for number in range(count)]


def opens(
    reader: SimulatedReader, item: str, topics: Mapping[str, str], seed: int, habits: Habits | None = None
) -> bool:
    """Return whether this reader opens this item when it is shown."""
    habits = habits or Habits()
    draw = xxhash.xxh64_intdigest(f"{seed}/{reader.name}/{item}".encode()) / 2**64
    return draw < (habits.keen if topics[item] == reader.topic else habits.idle)


def browsing(shelf: Shelf) -> tuple[Callable[[str], Sequence[str]], Callable[[str, str], None]]:
    """Return how readers, by name, are picked five items that count as shown, and how their clicks are told."""

    def pick(name: str) -> list[str]:
        picks = [one.item.id for one in shelf.choose(key_of("", name), 5)]
        for item in picks:
            shelf.show(key_of("", name), item)
        return picks

    return pick, lambda name, item: shelf.click(key_of("", name), item)


def visit(
    reader: SimulatedReader,
    visits: Visits,
    pick: Callable[[str], Sequence[str]],
    click: Callable[[str, str], None],
    opened: Callable[[str], bool],
) -> None:
    """Let a reader come once: items are picked, those they open are clicked."""
    shown = pick(reader.name)
    clicked = [item for item in shown if opened(item)]
    for item in clicked:
        click(reader.name, item)
    visits.shown.append(len(shown))
    visits.opened.append(len(clicked))


def figures_of(policies: Mapping[str, Sequence[Visits]], seed: int = 0, draws: int = 2_000) -> list[Figure]:
    """Return the click-through rate of each policy, and how far the first is ahead of each other one.

    Intervals are percentiles of a bootstrap over readers, whose clicks hang together; differences are paired by reader,
    since every policy met the same ones.
    """
    random = np.random.default_rng(seed)
    names = list(policies)
    shown = np.array([[sum(visits.shown) for visits in policies[name]] for name in names], dtype=float)
    opened = np.array([[sum(visits.opened) for visits in policies[name]] for name in names], dtype=float)
    chosen = random.integers(0, shown.shape[1], (draws, shown.shape[1]))
    rates = opened[:, chosen].sum(axis=2) / np.maximum(shown[:, chosen].sum(axis=2), 1)
    whole = opened.sum(axis=1) / np.maximum(shown.sum(axis=1), 1)
    figures = []
    for place, name in enumerate(names):
        low, high = np.percentile(rates[place], [2.5, 97.5])
        figures.append(
            Figure(
                message("figures.click_through.by", policy=term(name)),
                float(whole[place]),
                int(shown[place].sum()),
                float(low),
                float(high),
                source="newspaper articles",
                note=NOTE,
            )
        )
    for place, name in enumerate(names[1:], 1):
        low, high = np.percentile(rates[0] - rates[place], [2.5, 97.5])
        figures.append(
            Figure(
                message("figures.click_through.difference", policy=term(names[0]), other=term(name)),
                float(whole[0] - whole[place]),
                shown.shape[1],
                float(low),
                float(high),
                source="newspaper articles, paired by reader",
                note=NOTE,
            )
        )
    return figures
