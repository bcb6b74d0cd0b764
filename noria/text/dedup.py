"""Exact and near duplicates, and splits that never leak: who repeats whom, and whole groups on one side, chosen by hash."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from noria.core.progress import Report

from . import minhash
from .minhash import key_of


@dataclass(frozen=True)
class Duplicates:
    """What was found about each text, in the order they were given."""

    reason: list[str]
    """Why it goes: "exact duplicate", "near duplicate", "conflicting labels", or "" for a text to keep."""
    group: list[str]
    """The cluster it belongs to; texts of one cluster must stay in one split. Named by content, not by order."""


def find_duplicates(
    texts: Sequence[str],
    *,
    labels: Sequence[object] | None = None,
    near: float = 0.8,
    seed: int = 0,
    report: Report | None = None,
) -> Duplicates:
    """Return who repeats whom.

    Of exact duplicates the first stays; with different labels none does. Of near duplicates a text goes when one before
    it that stays is as similar as `near` and has the same label; with another label both stay, in one group.

    Args:
        texts: the texts, cleaned.
        labels: their labels, where they have one.
        near: Jaccard similarity of character shingles from which texts are near duplicates; 0 looks for none.
        seed: seed of the hash functions.
    """
    keys = [key_of(text) for text in texts]
    names = [xxhash.xxh3_64_hexdigest(key.encode("utf-8", "surrogatepass")) for key in keys]
    label_names = [None] * len(texts) if labels is None else [repr(label) for label in labels]
    first: dict[str, int] = {}
    labels_of: dict[str, set[object]] = {}
    reason = [""] * len(texts)
    for index, name in enumerate(names):
        if first.setdefault(name, index) != index:
            reason[index] = "exact duplicate"
        labels_of.setdefault(name, set()).add(label_names[index])
    for index, name in enumerate(names):
        if len(labels_of[name]) > 1:
            reason[index] = "conflicting labels"
    group = {name: name for name in names}
    alone = list(first.values())
    edges = [np.empty((0, 2), dtype=np.int64)]
    more = near > 0
    while more:
        found, cut = near_pairs([keys[index] for index in alone], near, seed=seed, report=report)
        edges.append(np.array(alone, dtype=np.int64)[found])
        dropped = _drop_near(edges[-1], label_names, reason)
        # Boilerplate beyond the reach of one pass: go on with the texts that no other one stands for yet.
        more = cut and dropped
        alone = [index for index in alone if reason[index] != "near duplicate"]
    _join(np.concatenate(edges), names, group)
    return Duplicates(reason, [group[name] for name in names])


def near_pairs(
    keys: Sequence[str], threshold: float, *, seed: int = 0, report: Report | None = None
) -> tuple[NDArray[np.int64], bool]:
    """Return the pairs (i < j) of different keys whose Jaccard similarity is at least `threshold`, (pairs, 2).

    Every pair is checked exactly; a pair at the threshold is found with a probability of 0.99, a more similar one more
    surely. The flag says that some texts have so many alike that not all of their pairs were looked at.
    """
    report = report or Report()
    widths = np.array([minhash.width_of(key) for key in keys], dtype=np.int64)
    edges = [np.empty((0, 2), dtype=np.int64)]
    any_cut = False
    with report.bar("near duplicates", total=len(keys), unit="text") as bar:
        for width in minhash.WIDTHS:
            indices = np.flatnonzero(widths == width)
            if not len(indices):
                continue
            part = [keys[index] for index in indices.tolist()]
            bands, rows = minhash.bands_for(threshold)
            pairs, cut = minhash.candidates(minhash.signatures(part, width, seed, bar.advance), bands, rows)
            edges.append(indices[pairs[minhash.jaccard(part, width, pairs) >= threshold]])
            any_cut = any_cut or cut
    return np.concatenate(edges), any_cut


def _drop_near(edges: NDArray[np.int64], label_names: Sequence[object], reason: list[str]) -> bool:
    dropped = False
    for earlier, later in sorted(edges.tolist(), key=lambda pair: (pair[1], pair[0])):
        if not reason[earlier] and not reason[later] and label_names[earlier] == label_names[later]:
            reason[later] = "near duplicate"
            dropped = True
    return dropped


def _join(edges: NDArray[np.int64], names: Sequence[str], group: dict[str, str]) -> None:
    """Name every cluster that the edges join by the least of its names."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not len(edges):
        return
    ones = np.ones(len(edges), dtype=bool)
    graph = coo_array((ones, (edges[:, 0], edges[:, 1])), shape=(len(names), len(names)))
    component = connected_components(graph, directed=False)[1]
    least: dict[int, str] = {}
    for index in np.unique(edges).tolist():
        part = int(component[index])
        least[part] = min(least.get(part, names[index]), names[index])
    for index in np.unique(edges).tolist():
        group[names[index]] = least[int(component[index])]


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
