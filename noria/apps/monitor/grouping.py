"""Embeddings -> groups of texts about one thing, without their number being told; and which group of today is which of yesterday.

Average linkage (Sokal and Michener 1958) cuts a tree of the texts where groups lie too far apart to be one; what it finds are the seeds of
spherical k-means (Dhillon and Modha 2001), which mends what linkage put in the wrong place too early. A text that lies near to none
belongs to none.

Lines of one encoder have most in common with all others; what is compared is what is left when the mean is taken out.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

CUT = 0.8
"""Mean distance (1 - cosine) of two groups from which they are two; without the mean two texts at random lie 1 apart."""
WITHIN = 0.25
"""Cosine of a text and its group's middle below which it belongs to none."""
ROUNDS = 5
SAME, NEAR = 0.25, 0.75
"""Share of two groups' texts in both, and cosine of their middles where no text of then is left, from which they are one."""
Matrix = NDArray[np.float32]
Labels = NDArray[np.int64]


def centred(vectors: Matrix) -> tuple[Matrix, Matrix]:
    """Return vectors of length one without what they have in common, [texts, width], and that, [width]."""
    mean = vectors.mean(axis=0)
    return unit(vectors - mean), mean


def unit(vectors: Matrix) -> Matrix:
    """Return vectors with length one; those of length zero stay."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9), dtype=np.float32)


def grouped(vectors: Matrix, least: int) -> Labels:
    """Return the group of every text, from 0 the largest first; -1 of those in none.

    Args:
        vectors: centred, [texts, width]; memory is 20 bytes for every pair of them.
        least: texts of a group.
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    count = len(vectors)
    if count < max(2, least):
        return np.full(count, -1, dtype=np.int64)
    distances = np.clip(1 - vectors @ vectors.T, 0, 2)
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(distances, checks=False), "average")
    labels = by_size(fcluster(tree, CUT, "distance"), least)
    for _ in range(ROUNDS):
        if labels.max() < 0:
            break
        cosines = vectors @ middles(vectors, labels).T
        labels = by_size(np.where(cosines.max(axis=1) >= WITHIN, cosines.argmax(axis=1), -1), least)
    return labels


def by_size(labels: NDArray[np.integer], least: int) -> Labels:
    """Return groups numbered by size, the first of equals before the others, and -1 for those that are too small."""
    found, first, counts = np.unique(labels[labels >= 0], return_index=True, return_counts=True)
    order = [at for at in np.lexsort((first, -counts)) if counts[at] >= least]
    made = np.full(len(labels), -1, dtype=np.int64)
    for number, at in enumerate(order):
        made[labels == found[at]] = number
    return made


def middles(vectors: Matrix, labels: Labels) -> Matrix:
    """Return the middle of every group, of length one, [groups, width]."""
    sums = np.zeros((int(labels.max()) + 1, vectors.shape[1]), dtype=np.float32)
    inside = labels >= 0
    np.add.at(sums, labels[inside], vectors[inside])
    return unit(sums)


def matched(
    new: Sequence[Collection[str]],
    old: Sequence[Collection[str]],
    common: Collection[str],
    cosines: Matrix,
) -> dict[int, int]:
    """Return which group of before each new one is, of those that are one: by the texts that both knew, else by where they lie.

    No old group is two new ones, so that of one that split the larger part goes on, and of two that became one the larger.

    Args:
        new: ids of every group's texts.
        old: the same of before.
        common: ids that were there then and are now.
        cosines: of the middles, [new, old].
    """
    from scipy.optimize import linear_sum_assignment

    if not new or not old:
        return {}
    shared = set(common)
    now, then = [set(one) & shared for one in new], [set(one) & shared for one in old]
    scores = np.zeros((len(new), len(old)))
    for row, mine in enumerate(now):
        for column, theirs in enumerate(then):
            both = len(mine | theirs)
            if theirs and both:
                overlap = len(mine & theirs) / both
                scores[row, column] = overlap if overlap >= SAME else 0.0
            elif not theirs and cosines[row, column] >= NEAR:
                # Below any overlap: what is known by its texts is known better.
                scores[row, column] = SAME * float(cosines[row, column])
    rows, columns = linear_sum_assignment(scores, maximize=True)
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True) if scores[row, column] > 0}


def flat(middle: Matrix, sizes: Sequence[int], before: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return places on a map, [groups, 2], within -1 to 1: principal components, turned as they lay before.

    Args:
        middle: of every group, [groups, width].
        sizes: texts of each.
        before: where each lay, NaN where it is new, [groups, 2].
    """
    weights = np.sqrt(np.asarray(sizes, dtype=np.float64))[:, None]
    spread = (middle - np.average(middle, axis=0, weights=weights[:, 0])) * weights
    _, _, axes = np.linalg.svd(spread, full_matrices=False)
    places = np.zeros((len(middle), 2))
    wide = min(2, len(axes))
    places[:, :wide] = (middle - middle.mean(axis=0)) @ axes[:wide].T
    known = ~np.isnan(before).any(axis=1)
    if (
        known.sum() >= 2
    ):  # orthogonal Procrustes (Schoenemann 1966): a map that is turned is another map to who knows it
        left, _, right = np.linalg.svd(places[known].T @ before[known])
        places = places @ (left @ right)
    return places / max(float(np.abs(places).max()), 1e-9)
