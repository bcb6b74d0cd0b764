"""A recommender's folder, as it ranks: behaviour and text of items -> scores of all items for any history; numpy alone.

ranker = Ranker.open("runs/shop")
scores = ranker.scores([history])            # [users, items]; histories are lists of Deed
ranker.reasons(history, "item 7")            # [Reason(item="item 3", kind="taste", weight=0.61), ...]
ranker.extend(["new"], vectors, ["title and text"])
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from noria.core.errors import FolderError, InputError
from noria.core.folder import read_manifest
from noria.core.messages import message
from noria.tasks.deeds import Deed, weight_of

from .item_text import TextPlaces
from .signals import ALIKE, LONGEST, SIGNALS, History, Join, Signals, length_of, relative

KIND = "recommend"
"""Kind of the folder, as its manifest says."""
ARRAYS, FACTS = "ranker.safetensors", "ranker.json"
REASONS = 3
_AT_ONCE = 2_000_000
"""Scores computed at a time: with all signals 80 MB."""
_BY_TEXT = ("text", "recent_text")
_BY_BEHAVIOUR = ("closed", "neighbours", "next", "factors")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an item is ranked where it is."""

    item: str
    """The item of the history that speaks for it; empty where `kind` is popular."""
    kind: Literal["taste", "popular", "text"]
    """What people did with both items, how many take it, or what both are about."""
    weight: float
    """Its share of what speaks for the item, 0 to 1."""


@dataclass(frozen=True)
class ByText:
    """What an item's text leads one to expect of it, before anybody took it. D dimensions of content, K factors."""

    places: TextPlaces
    to_factors: np.ndarray
    """From a place and 1 to factors, float32 [D + 1, K]."""
    to_count: np.ndarray
    """From a place and 1 to ln(1 + how many will take it), float32 [D + 1]."""

    def expected(self, content: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return of places, float32 [items, D], how many users will take each item, [items], and its factors, [items, K]."""
        known = np.concatenate([content, np.ones((len(content), 1), np.float32)], axis=1)
        count = np.expm1(np.clip(known @ self.to_count, 0, 10))
        return count.astype(np.float32), np.asarray(known @ self.to_factors, np.float32)


class Ranker:
    """Ranks all its items for a history. Not changed by scoring; `extend` alone changes it."""

    def __init__(
        self, items: Sequence[str], signals: Signals, join: Join, by_text: ByText, facts: dict[str, Any]
    ) -> None:
        self.items: list[str] = list(items)
        """Ids, in the order of the columns."""
        self.signals, self.join, self.by_text = signals, join, by_text
        self.facts = facts
        """encoder, trained (Unix seconds), least (rating that counts), calibrated."""
        self.calibrated: bool = bool(facts["calibrated"])
        """Whether a score is a probability that the user takes the item in a time as long as the one that it was fitted on."""
        self.encoder: str = facts["encoder"]
        """Identity of the encoder whose vectors `extend` wants, as its folder's manifest gives it; empty where it wants none."""
        self.width: int = by_text.places.width
        """Length of such a vector; 0 where it wants none."""
        self._places = {item: place for place, item in enumerate(self.items)}

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Return the ranker of a folder.

        Raises:
            FolderError: there is none, or it is cut short or of another kind.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        if manifest.kind != KIND:
            raise FolderError(message("recommend.no_ranker"), found=f"{folder}: {manifest.kind}", allowed=KIND)
        try:
            arrays = load_file(folder / ARRAYS)
            told = json.loads((folder / FACTS).read_text(encoding="utf-8"))
            join = Join(
                arrays["join.weights"], told["cold"], arrays["join.empty"], told["slope"], tuple(told["intercepts"])
            )
            by_text = ByText(TextPlaces.of(arrays), arrays["text.to_factors"], arrays["text.to_count"])
            return cls(told["items"], Signals.of_arrays(arrays), join, by_text, told["facts"])
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            raise FolderError(
                message("errors.unreadable", path=folder), found=f"{type(error).__name__}: {error}"
            ) from None

    def write(self, folder: Path) -> None:
        """Write what `open` reads, beside a manifest that somebody else writes."""
        arrays = {
            **self.signals.arrays(),
            **self.by_text.places.arrays(),
            "text.to_factors": self.by_text.to_factors,
            "text.to_count": self.by_text.to_count,
            "join.weights": self.join.weights,
            "join.empty": self.join.empty,
        }
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, folder / ARRAYS)
        told = {
            "items": self.items,
            "cold": self.join.cold,
            "slope": self.join.slope,
            "intercepts": self.join.intercepts,
            "facts": self.facts,
        }
        (folder / FACTS).write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")

    def scores(self, histories: Sequence[Sequence[Deed]], *, now: float | None = None) -> np.ndarray:
        """Return the score of every item for each history, float32 [users, items], without NaN.

        Args:
            histories: what each user did, oldest first; may be empty; items that are not among ours are passed over.
            now: Unix seconds, by which items are new; deeds after it are passed over. None takes all deeds, and when it was trained.
        """
        known = [self.history(one if now is None else [deed for deed in one if deed.time <= now]) for one in histories]
        return self.probabilities(known, now) if self.calibrated else self.logits(known, now)

    def logits(self, histories: Sequence[History], now: float | None = None) -> np.ndarray:
        """Return the joined score of every item before it is calibrated, float32 [users, items]."""
        moment = self.facts["trained"] if now is None else now
        found = np.empty((len(histories), len(self.items)), np.float32)
        step = max(1, _AT_ONCE // len(self.items))
        for start in range(0, len(histories), step):
            some = histories[start : start + step]
            lengths = [length_of(one) for one in some]
            found[start : start + step] = self.join.scores(self.signals.of(some, moment), lengths, self.signals.cold)
        return found

    def probabilities(self, histories: Sequence[History], now: float | None = None) -> np.ndarray:
        """Return the calibrated probability of every item, float32 [users, items]."""
        return self.join.probabilities(self.logits(histories, now), [length_of(one) for one in histories])

    def history(self, deeds: Sequence[Deed]) -> History:
        """Return what the signals read of deeds, oldest first: each item once, where it came last, at its strongest."""
        least = self.facts["least"]
        found: dict[int, float] = {}
        for deed in deeds:
            if (place := self._places.get(deed.item)) is None:
                continue
            if deed.kind == "return":
                found.pop(place, None)
            elif weight := weight_of(deed, least):
                found[place] = max(found.pop(place, 0.0), weight)
        places = np.fromiter(found, np.int64, len(found))[-LONGEST:]
        return History(places, np.fromiter(found.values(), np.float32, len(found))[-LONGEST:])

    def reasons(self, history: Sequence[Deed], item: str) -> list[Reason]:
        """Return what speaks for an item, the strongest first, three at most; never empty.

        Each signal's part of the score is divided among the items of the history by what they give to it.

        Raises:
            InputError: no such item.
        """
        if (place := self._places.get(item)) is None:
            raise InputError(message("apps.unknown_item"), found=item)
        known = self.history(history)
        if not len(known.places):
            return [Reason("", "popular", 1.0)]
        raw, length = self.signals.of([known], self.facts["trained"]), length_of(known)
        cold = float(self.signals.cold[place])
        parts = {
            name: max(0.0, float(relative(raw[name])[0, place]) * (base + by_length * length + by_cold * cold))
            for name, (base, by_length, by_cold) in zip(SIGNALS, self.join.weights.tolist(), strict=True)
        }
        towards = self.signals.towards(place, known)
        sums = {kind: np.zeros(len(known.places)) for kind in ("taste", "text")}
        for kind, names in (("taste", _BY_BEHAVIOUR), ("text", _BY_TEXT)):
            for name in names:
                given = np.maximum(towards[name], 0)
                if whole := float(given.sum()):
                    sums[kind] += parts[name] * given / whole
        popular, total = sum(parts[name] for name in ALIKE), sum(parts.values()) or 1.0
        found = [Reason("", "popular", popular / total)]
        both = sums["taste"] + sums["text"]
        for number in np.argsort(-both)[:REASONS].tolist():
            if both[number] > 0:
                by_taste = sums["taste"][number] >= sums["text"][number]
                one = self.items[int(known.places[number])]
                found.append(Reason(one, "taste" if by_taste else "text", float(both[number] / total)))
        return sorted(found, key=lambda reason: -reason.weight)[:REASONS]

    def extend(
        self,
        ids: Sequence[str],
        vectors: np.ndarray | None,
        texts: Sequence[str],
        *,
        prices: Sequence[float | None] | None = None,
        times: Sequence[float | None] | None = None,
    ) -> None:
        """Give items that nobody touched yet a place by what they are about; known ids are passed over.

        Args:
            ids: of N items.
            vectors: of `encoder`, [N, width]; None where the ranker wants none, or none is at hand (their words are then all).
            texts: `Item.described` of each: title, category, tags and text.
            prices, times: of each, where there are any: `Item.price`, and `Item.time` in Unix seconds.
        """
        last = {one: number for number, one in enumerate(ids) if one not in self._places}
        new = list(last.values())
        if not new:
            return
        chosen = None if vectors is None or not self.width else np.asarray(vectors, np.float32)[new]
        content = self.by_text.places.content(chosen, [texts[number] for number in new])
        count, inward = self.by_text.expected(content)
        price, released = (
            logs_of([prices[number] if prices else None for number in new]),
            times_of([times[number] if times else None for number in new]),
        )
        self.signals.extend(count, inward, content, price, released)
        for number in new:
            self._places[ids[number]] = len(self.items)
            self.items.append(ids[number])


def logs_of(prices: Sequence[float | None]) -> np.ndarray:
    """Return the logarithms of prices, NaN where there is none or it is nothing, float32."""
    return np.array([np.log(price) if price else np.nan for price in prices], np.float32)


def times_of(times: Sequence[float | None]) -> np.ndarray:
    """Return moments, NaN where there is none, float64."""
    return np.array([np.nan if time is None else time for time in times], np.float64)
