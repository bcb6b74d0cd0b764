"""Splits that never leak: a whole group goes to one side, chosen by its hash alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import xxhash

SPLITS = ("train", "valid", "test")


def split_of(groups: Sequence[str], *, valid: float = 0.1, test: float = 0.1, seed: int = 0) -> list[str]:
    """Return "train", "valid" or "test" for each group named.

    A group's side hangs on its name and the seed only, so new data never moves old data across; the shares are those of
    groups, met on average. Where a set is so small that a split asked for would stay empty, it gets the group whose hash
    comes next.

    Args:
        groups: the group of each document, in any order, with repeats.
        valid: share of the groups for validation.
        test: share of the groups for the test.
    """
    place = {group: xxhash.xxh3_64_intdigest(group.encode(), seed=seed & 0xFFFFFFFF) / 2**64 for group in set(groups)}
    side = {
        group: "test" if share < test else "valid" if share < test + valid else "train"
        for group, share in place.items()
    }  # fmt: skip
    _fill(side, sorted(place, key=lambda group: (place[group], group)), [("test", test), ("valid", valid)])
    return [side[group] for group in groups]


def _fill(side: dict[str, str], in_order: list[str], wanted: Iterable[tuple[str, float]]) -> None:
    for name, share in wanted:
        spare = [group for group in in_order if side[group] == "train"]
        if share > 0 and name not in side.values() and len(spare) > 1:
            side[spare[0]] = name
