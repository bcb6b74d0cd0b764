"""What speaks for every item, given what a user did: ten signals over all items, joined into one score; arrays and numpy alone.

    raw = signals.of([History(places, weights)])         # {"closed": [users, items], "next": ...}, each 0 or above
    score = join.scores(raw, lengths, signals.cold)      # [users, items], larger is better

A signal is looked at relative to its own mean for that user, as a logarithm: so the score is a product of powers, and neither the
length of a history nor the size of a catalogue changes what a weight means. U users, N items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

SIGNALS = ("closed", "neighbours", "next", "factors", "text", "recent_text", "popular", "trend", "fresh", "price")
"""closed: a linear item model in closed form (Steck 2019). neighbours: items that the same users took (Sarwar et al. 2001), users
damped by how much they did. next: what came right after. factors: the low frequencies of users and items (Shen et al. 2021), new
items by their text. text, recent_text: what all, and the last, items of the history are about. popular, trend: how many took an
item, ever and of late. fresh: how new it is, where that is told. price: near to the history's prices."""
RECENT = 5.0
"""Items of the history after which the weight of an older one has halved, where the last ones count most."""
PRICE_WIDTH = 0.7
"""Standard deviation of a liking for prices, in their logarithm: half or double the price is one off. Not fitted."""
LONGEST = 2_000
"""Items of a history that are looked at, the last ones."""
MONTH = 30 * 86_400.0
"""Age at which what is new counts half as much as at first: an age is looked at by its logarithm, so another would do as well."""
ALIKE = ("popular", "trend", "fresh")
"""Signals that are the same for all users, and all that is known of one without a history."""


@dataclass(frozen=True)
class History:
    """What a user did, as the signals take it."""

    places: np.ndarray
    """Places of the items, each once, the last one last, int [H]."""
    weights: np.ndarray
    """How much each deed speaks for its item, float32 [H]."""

    def recent(self) -> np.ndarray:
        """Return the weights halved with every `RECENT` items that came later, of sum 1, float32 [H]."""
        fading = self.weights * np.float32(0.5) ** (np.arange(len(self.places) - 1, -1, -1) / RECENT)
        return np.asarray(fading / fading.sum(), np.float32)


@dataclass(frozen=True)
class Links:
    """A sparse matrix from items to items, by rows. E links."""

    starts: np.ndarray
    """int64 [N + 1]"""
    places: np.ndarray
    """int32 [E]"""
    weights: np.ndarray
    """float32 [E]"""

    def onto(self, rows: np.ndarray, weights: np.ndarray, size: int) -> np.ndarray:
        """Return weighted rows, summed, float32 [size]; rows beyond the matrix have no links."""
        inside = rows < len(self.starts) - 1
        rows, weights = rows[inside], weights[inside]
        first, lengths = self.starts[rows], self.starts[rows + 1] - self.starts[rows]
        total = int(lengths.sum())
        at = np.arange(total) + np.repeat(first - np.cumsum(lengths) + lengths, lengths)
        found = np.bincount(self.places[at], np.repeat(weights, lengths) * self.weights[at], minlength=size)
        return np.asarray(found, np.float32)

    def row(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the places and weights of a row."""
        if place >= len(self.starts) - 1:
            return self.places[:0], self.weights[:0]
        within = slice(int(self.starts[place]), int(self.starts[place + 1]))
        return self.places[within], self.weights[within]


@dataclass
class Signals:
    """All that is known of N items. K factors, D dimensions of content, M items in the closed form."""

    count: np.ndarray
    """How many users took each item; of one that nobody did, how many its text leads one to expect. float32 [N]"""
    trend: np.ndarray
    """The same, halved with age. float32 [N]"""
    touched: np.ndarray
    """How many users took each item, float32 [N]."""
    neighbours: Links
    next: Links
    head: np.ndarray
    """Places of the items in the closed form, int32 [M]."""
    closed: np.ndarray
    """Weights from items to items, float32 [M, M]."""
    inward: np.ndarray
    """From histories to factors, float32 [N, K]."""
    outward: np.ndarray
    """From factors to items, float32 [N, K]."""
    content: np.ndarray
    """Places by text, float32 [N, D]."""
    price: np.ndarray
    """Logarithms of prices, NaN where there is none, float32 [N]."""
    released: np.ndarray
    """When each item came out, Unix seconds, NaN where that is not told, float64 [N]."""

    def __post_init__(self) -> None:
        self._rows = np.full(len(self), -1, np.int64)
        self._rows[self.head] = np.arange(len(self.head))

    def __len__(self) -> int:
        return len(self.count)

    @property
    def cold(self) -> np.ndarray:
        """Return how new each item is to the behaviour: 1 where nobody took it, 1/2 after three, float32 [N]."""
        return np.asarray(1 / (1 + self.touched / 3), np.float32)

    def fresh(self, now: float) -> np.ndarray:
        """Return 1 / (1 + age in months) of each item, 0 where it is not told or a month ahead, float32 [N]."""
        age = np.maximum((now - self.released) / MONTH, -1)
        return np.nan_to_num(np.where(age > -1, 1 / (1 + np.maximum(age, 0)), 0), nan=0.0).astype(np.float32)

    def of(self, histories: Sequence[History], now: float) -> dict[str, np.ndarray]:
        """Return the signals of some histories, each float32 [U, N] or, where it is the same for all, [1, N]; none is below 0."""
        users, items = len(histories), len(self)
        found = {name: np.zeros((users, items), np.float32) for name in SIGNALS if name not in ALIKE}
        likes = np.zeros((users, self.inward.shape[1]), np.float32)
        tastes = np.zeros((2, users, self.content.shape[1]), np.float32)
        for user, history in enumerate(histories):
            if not len(history.places):
                continue
            places, weights = history.places, history.weights
            recent = history.recent()
            found["closed"][user, self.head] = self._closed_of(places, weights)
            found["neighbours"][user] = self.neighbours.onto(places, weights, items)
            found["next"][user] = self.next.onto(places, recent, items)
            likes[user] = weights @ self.inward[places]
            tastes[:, user] = np.stack([weights, recent]) @ self.content[places]
            found["price"][user] = self._priced(places)
        np.matmul(likes, self.outward.T, out=found["factors"])
        # In one product, for it is the reading of all items' places that takes the time.
        both = tastes.reshape(2 * users, self.content.shape[1]) @ self.content.T
        found["text"], found["recent_text"] = both[:users], both[users:]
        for name in ("closed", "factors", "text", "recent_text"):
            np.maximum(found[name], 0, out=found[name])
        return found | {"popular": self.count[None], "trend": self.trend[None], "fresh": self.fresh(now)[None]}

    def towards(self, place: int, history: History) -> dict[str, np.ndarray]:
        """Return what each item of a history gives to the signals of one item, by signal, float32 [H]."""
        places, weights = history.places, history.weights
        recent = history.recent()
        closed = np.zeros(len(places), np.float32)
        if (column := self._rows[place]) >= 0:
            rows = self._rows[places]
            closed[rows >= 0] = self.closed[rows[rows >= 0], column]
        return {
            "closed": weights * closed,
            "neighbours": weights * _column(self.neighbours, places, place),
            "next": recent * _column(self.next, places, place),
            "factors": weights * (self.inward[places] @ self.outward[place]),
            "text": weights * (self.content[places] @ self.content[place]),
            "recent_text": recent * (self.content[places] @ self.content[place]),
        }

    def extend(
        self,
        count: np.ndarray,
        inward: np.ndarray,
        content: np.ndarray,
        price: np.ndarray,
        released: np.ndarray,
    ) -> None:
        """Add items that nobody took yet: what their text leads one to expect of each, their prices' logarithms and times."""
        more, of_late = len(count), float(self.trend.sum() / max(self.count.sum(), 1e-9))
        self.count = np.concatenate([self.count, count])
        self.trend = np.concatenate([self.trend, count * np.float32(of_late)])
        self.touched = np.concatenate([self.touched, np.zeros(more, np.float32)])
        self.inward = np.concatenate([self.inward, inward])
        self.outward = np.concatenate([self.outward, inward * count[:, None]])
        self.content = np.concatenate([self.content, content])
        self.price = np.concatenate([self.price, price])
        self.released = np.concatenate([self.released, released])
        self.__post_init__()

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what it is made of, by name."""
        found: dict[str, np.ndarray] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            parts = (
                {part.name: getattr(value, part.name) for part in fields(Links)}
                if isinstance(value, Links)
                else {"": value}
            )
            found |= {f"signals.{one.name}.{part}".rstrip("."): array for part, array in parts.items()}
        return found

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Return it from what `arrays` gave."""
        links = {
            name: Links(**{part.name: arrays[f"signals.{name}.{part.name}"] for part in fields(Links)})
            for name in ("neighbours", "next")
        }
        rest = {one.name: arrays[f"signals.{one.name}"] for one in fields(cls) if one.name not in links}
        parts: dict[str, Any] = {**links, **rest}
        return cls(**parts)

    def _closed_of(self, places: np.ndarray, weights: np.ndarray) -> np.ndarray:
        rows = self._rows[places]
        return np.asarray(weights[rows >= 0] @ self.closed[rows[rows >= 0]])

    def _priced(self, places: np.ndarray) -> np.ndarray | float:
        known = self.price[places]
        known = known[~np.isnan(known)]
        if not len(known):
            return 0.0
        away = (self.price - known.mean()) / PRICE_WIDTH
        return np.asarray(np.nan_to_num(np.exp(-0.5 * away * away), nan=0.0))


def _column(links: Links, rows: np.ndarray, place: int) -> np.ndarray:
    found = np.zeros(len(rows), np.float32)
    for number, row in enumerate(rows.tolist()):
        places, weights = links.row(row)
        found[number] = weights[places == place].sum()
    return found


def relative(signal: np.ndarray) -> np.ndarray:
    """Return ln(1 + signal / its mean over all items) of each user, float32, same shape; 0 where there is none of it."""
    mean = signal.mean(axis=-1, keepdims=True, dtype=np.float32)
    scaled = signal / np.where(mean > 0, mean, np.float32(1))
    scaled += 1
    return np.asarray(np.log(scaled, out=scaled))


def length_of(history: History) -> float:
    """Return how long a history is, as the weights see it: 0 at twenty items, -1 at none.

    >>> length_of(History(np.arange(20), np.ones(20, np.float32)))
    0.0
    """
    return float(np.log1p(len(history.places)) / np.log1p(20)) - 1


@dataclass(frozen=True)
class Join:
    """The weights of the signals: linear in their logarithms, in how long a history is and in how new an item is."""

    weights: np.ndarray
    """Of each signal: at a history of twenty items, what each unit of `length_of` adds, what being new adds. float32 [10, 3]"""
    cold: float
    """Of being new, by itself."""
    empty: np.ndarray
    """Of `ALIKE` and of being new, where there is no history, float32 [4]."""
    slope: float = 1.0
    """Of the score, in the logit of the probability that an item is taken."""
    intercepts: tuple[float, float] = (0.0, 0.0)
    """The logit's constant, and what each unit of `length_of` adds."""

    def scores(self, raw: Mapping[str, np.ndarray], lengths: Sequence[float], cold: np.ndarray) -> np.ndarray:
        """Return the score of every item, float32 [U, N].

        Args:
            raw: what `Signals.of` gave.
            lengths: of the histories, by `length_of`.
            cold: how new each item is, [N].
        """
        users = np.asarray(lengths, np.float32)[:, None]
        known = users > -1
        total = np.zeros((len(users), len(cold)), np.float32)
        new = np.full_like(total, self.cold)
        empty = self.empty[-1] * cold[None]
        for name, (base, by_length, by_cold) in zip(SIGNALS, self.weights, strict=True):
            if name in ALIKE:
                one = relative(raw[name])
                empty = empty + self.empty[ALIKE.index(name)] * one
            elif base or by_length or by_cold:
                one = relative(raw[name])
            else:
                continue
            total += one * (base + by_length * users)
            new += one * by_cold
        new *= cold
        total += new
        return np.where(known, total, empty).astype(np.float32)

    def probabilities(self, scores: np.ndarray, lengths: Sequence[float]) -> np.ndarray:
        """Return the probability that each item is taken, float32 [U, N]; in the order of the scores."""
        users = np.asarray(lengths, np.float32)[:, None]
        logits = self.slope * scores + self.intercepts[0] + self.intercepts[1] * users
        return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), np.float32)
