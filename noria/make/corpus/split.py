"""Splits that never leak: a whole group goes to one side, chosen by its hash alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import xxhash

SPLITS = ("train", "valid", "test")


def split_of(groups: Sequence[str], *, valid: float = 0.1, test: float = 0.1, seed: int = 0) -> list[str]:
    """Return "train", "valid" or "test" for each group named.

    A group's side hangs on its name and the seed only, so new data never moves old data across; the shares are those of
    groups, met on average. Only where a set is so small that a split asked for would stay empty does it get the group with
    the least hash of the fullest split; training comes first.

    Args:
        groups: the group of each document, in any order, with repeats.
        valid: share of the groups for validation.
        test: share of the groups for the test.
    """
    place = {group: xxhash.xxh3_64_intdigest(group.encode(), seed=seed & 0xFFFFFFFF) / 2**64 for group in set(groups)}
    side = {
        group: "test" if share < test else "valid" if share < test + valid else "train"
        for group, share in place.items()
    }
    in_order = sorted(place, key=lambda group: (place[group], group))
    for name in (name for name, share in (("train", 1.0), ("test", test), ("valid", valid)) if share > 0):
        _fill(side, in_order, name)
    return [side[group] for group in groups]


def _fill(side: dict[str, str], in_order: list[str], name: str) -> None:
    sizes = Counter(side.values())
    if not sizes or sizes[name]:
        return
    fullest = max(SPLITS, key=lambda split: sizes[split])
    if sizes[fullest] > 1 or name == "train":
        side[next(group for group in in_order if side[group] == fullest)] = name
