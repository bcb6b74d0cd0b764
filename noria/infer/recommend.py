"""A recommender's folder, as it ranks: behaviour and text of items -> scores of all items for any history; numpy alone.

    ranker = Ranker.open("runs/shop")
    scores = ranker.scores([history])            # [users, items]; histories are lists of Deed
    ranker.reasons(history, "item 7")            # [Reason(item="item 3", kind="taste", weight=0.61), ...]
    ranker.extend(["new"], vectors, ["title and text"])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np

from noria.tasks.deeds import Deed


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an item is ranked where it is."""

    item: str
    """The item of the history that speaks for it; empty where `kind` is popular."""
    kind: Literal["taste", "popular", "text"]
    """What people did with both items, how many take it, or what both are about."""
    weight: float
    """Its share of what speaks for the item, 0 to 1."""


class Ranker:
    """Ranks all its items for a history. Not changed by scoring; `extend` alone changes it."""

    items: Sequence[str]
    """Ids, in the order of the columns."""
    calibrated: bool
    """Whether a score is a probability that the user takes the item in the time that the ranker was judged on."""
    encoder: str
    """Name of the encoder whose vectors `extend` wants; empty where it wants none."""
    width: int
    """Length of such a vector; 0 where it wants none."""

    @classmethod
    def open(cls, folder: str | Path) -> Self:
        """Return the ranker of a folder.

        Raises:
            FolderError: there is none, or it is cut short or of another kind.
        """
        raise NotImplementedError

    def scores(self, histories: Sequence[Sequence[Deed]], *, now: float | None = None) -> np.ndarray:
        """Return the score of every item for each history, float32 [users, items], without NaN.

        Args:
            histories: what each user did, oldest first; may be empty; items that are not among ours are passed over.
            now: Unix seconds, for what fades with time; None takes the time at which the ranker was trained.
        """
        raise NotImplementedError

    def reasons(self, history: Sequence[Deed], item: str) -> list[Reason]:
        """Return what speaks for an item, the strongest first, three at most; never empty.

        Raises:
            InputError: no such item.
        """
        raise NotImplementedError

    def extend(self, ids: Sequence[str], vectors: np.ndarray | None, texts: Sequence[str]) -> None:
        """Give items that nobody touched yet a place by what they are about; known ids are passed over.

        Args:
            ids: of N items.
            vectors: of `encoder`, [N, width]; None where the ranker wants none, or none is at hand (their words are then all).
            texts: `Item.told` of each: title, category, tags and text.
        """
        raise NotImplementedError
