"""Behaviour and places by text -> the signals: linear item model, neighbours, what came next, factors, popularity; numpy and scipy.

    signals, by_text = fit_signals(behaviour, places, content, Choice())

Everything is sums over likings and one solve; nothing is drawn but the random projections. The linear model in closed form covers the
items that most users took, as many as its square matrix may hold; the rest are known by neighbours, factors and text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sparse
from scipy.linalg import lapack

from noria.core.errors import InternalError
from noria.infer.item_text import TextPlaces
from noria.infer.recommend import ByText, logs_of, times_of
from noria.infer.signals import Links, Signals

from .behaviour import Behaviour
from .content import fit_expected, low_rank

FACTORS = 64
LINKS = 100
"""Strongest neighbours of an item that are kept."""
_SHRINK = 10.0
"""Users by whom a similarity is drawn to zero (Bell and Koren 2007, section 4): of few it is chance."""
_KAPPA = 5.0
"""Users after whom an item's own factors weigh as much as those that its text leads one to expect."""
_AFTER = (1.0, 0.5, 0.25)
"""Weight of what came right after an item, second, third."""
_TOGETHER = 200
"""Likings of a user, the last ones, whose items are neighbours: pairs grow with the square, and say less of who likes everything."""
_ROWS = 512


@dataclass(frozen=True)
class Choice:
    """What is chosen on held-out behaviour."""

    ridge: float = 100.0
    """Of the linear item model, in users (Steck 2019)."""
    damping: float = 0.0
    """Power by which a user's row is divided by its length there: 0 counts deeds alike, 1/2 and 1 count users more alike."""
    dropout: float = 0.0
    """Share of a history that the linear item model must do without while it is learned (Steck 2020)."""
    plain: float = 100.0
    """The ridge that is best with neither, for the baseline."""
    half_life: float = np.inf
    """Of the trend, in seconds."""
    head: int = 4_096
    """Most items in the linear item model."""


def fit_signals(
    behaviour: Behaviour, places: TextPlaces, content: np.ndarray, choice: Choice, seed: int = 0
) -> tuple[Signals, ByText]:
    """Return the signals that behaviour gives, and what text leads one to expect of items that it does not hold.

    Args:
        behaviour: to learn from.
        places: projections of texts, fitted on the catalogue.
        content: of each item, [N, D].
        choice: what was chosen.
        seed: of the random projection of the factors.
    """
    likings = behaviour.likings()
    matrix = likings.matrix()
    users = np.diff(matrix.indptr).astype(np.float32)
    touched = np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.float32)
    head, closed = closed_form(matrix, touched, choice)
    inward = _factors(matrix, users, touched, seed)
    by_text = fit_expected(places, content, touched, inward)
    expected, placed = by_text.expected(content)
    own = (touched / (touched + _KAPPA))[:, None]
    inward = np.where(touched[:, None] > 0, own * inward + (1 - own) * placed, placed).astype(np.float32)
    count = np.where(touched > 0, touched, expected).astype(np.float32)
    trend = _trend(likings, choice.half_life)
    of_late = trend.sum() / max(float(touched.sum()), 1e-9)
    signals = Signals(
        count=count,
        trend=np.where(touched > 0, trend, expected * of_late).astype(np.float32),
        touched=touched,
        neighbours=_neighbours(likings),
        next=_next(likings),
        head=head,
        closed=closed,
        inward=inward,
        outward=inward * count[:, None],
        content=content,
        price=logs_of([item.price for item in behaviour.items]),
        released=times_of([item.time for item in behaviour.items]),
    )
    return signals, by_text


def closed_form(matrix: Any, touched: np.ndarray, choice: Choice) -> tuple[np.ndarray, np.ndarray]:
    """Return the items of the linear model, int32 [M], and its weights from item to item, float32 [M, M].

    B = I - P / diag(P), P the inverse of X'X + ridge (Steck 2019, equation 8); of X'WX where users are damped; the ridge
    grows with an item's own count where there is dropout p, by p / (1 - p) of it (Steck 2020, equation 5).

    Args:
        matrix: weights of likings, sparse [U, N].
        touched: how many users took each item, [N].
        choice: ridge, damping, dropout and the most items.
    """
    head = leading(touched, choice.head)
    if not len(head):
        return head, np.zeros((0, 0), np.float32)
    return head, solved(gram_of(matrix[:, head].tocsr(), choice.damping), choice.ridge, choice.dropout)


def leading(touched: np.ndarray, most: int) -> np.ndarray:
    """Return the places of the items that most users took, ascending, int32 [at most `most`]."""
    head = np.argsort(-touched, kind="stable")[:most]
    return np.sort(head[touched[head] > 0]).astype(np.int32)


def gram_of(matrix: Any, damping: float) -> np.ndarray:
    """Return X'WX of a sparse matrix, float32 [M, M]: W weighs a row by its length to the power -damping, on average 1."""
    lengths = np.maximum(np.diff(matrix.indptr), 1)
    weights = lengths.astype(np.float64) ** -damping
    mean = float((weights * lengths).sum() / lengths.sum())
    scaled = sparse.diags(np.sqrt(weights / mean).astype(np.float32)) @ matrix
    return np.asarray((scaled.T @ scaled).toarray(), np.float32)


def solved(gram: np.ndarray, ridge: float, dropout: float = 0.0) -> np.ndarray:
    """Return the weights of the linear item model for X'WX, which is overwritten, float32 [M, M]."""
    size = len(gram)
    gram[np.diag_indices(size)] *= np.float32(1 / (1 - dropout))
    gram[np.diag_indices(size)] += np.float32(ridge)
    # Symmetric: its transpose is the same, in the order that LAPACK works in without a copy.
    factor, wrong = lapack.spotrf(gram.T, lower=1, overwrite_a=1, clean=0)
    inverse, wrong_too = lapack.spotri(factor, lower=1, overwrite_c=1)
    if wrong or wrong_too:
        raise InternalError("the Gram matrix of likings is not positive definite", found=ridge)
    for start in range(0, size, _ROWS):  # mirrored in blocks: no second matrix of that size
        stop = start + _ROWS
        inverse[start:stop, stop:] = inverse[stop:, start:stop].T
        block = inverse[start:stop, start:stop]
        inverse[start:stop, start:stop] = np.tril(block) + np.tril(block, -1).T
    diagonal = inverse.diagonal().copy()
    inverse /= -diagonal[None, :]
    inverse[np.diag_indices(size)] = 0
    return np.ascontiguousarray(inverse, np.float32)


def _neighbours(likings: Behaviour) -> Links:
    """Return cosines of items by the users they share, each user weighing 1 / sqrt(how many items they took), drawn to zero by few."""
    matrix = likings.last(_TOGETHER).matrix()
    users = np.diff(matrix.indptr).astype(np.float32)
    damped = sparse.diags(np.maximum(users, 1) ** -0.25).astype(np.float32) @ matrix
    return links_of(
        damped.tocsr(), _SHRINK * float(np.mean(np.maximum(users[users > 0], 1) ** -0.5)) if users.any() else 0.0
    )


def links_of(matrix: Any, shrink: float, most: int = LINKS) -> Links:
    """Return each item's nearest other items by shrunk cosine of its column, the `most` nearest.

    Args:
        matrix: sparse [U, N].
        shrink: added to the product of the columns' lengths.
        most: links of an item.
    """
    sizes = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=0)).ravel()).astype(np.float32)
    columns = matrix.T.tocsr()
    rows = []
    for start in range(0, matrix.shape[1], _ROWS):
        block = (columns[start : start + _ROWS] @ matrix).tocsr()
        for row in range(block.shape[0]):
            within = slice(block.indptr[row], block.indptr[row + 1])
            item, others = start + row, block.indices[within]
            near = block.data[within] / (sizes[others] * sizes[item] + shrink + 1e-9)
            near[others == item] = 0
            rows.append(_strongest(others, near, most))
    return _links(rows)


def _strongest(places: np.ndarray, weights: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    if len(places) > most:
        kept = np.argpartition(-weights, most)[:most]
        places, weights = places[kept], weights[kept]
    above = weights > 0
    order = np.argsort(places[above])
    return places[above][order], weights[above][order]


def _links(rows: list[tuple[np.ndarray, np.ndarray]]) -> Links:
    starts = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(places) for places, _ in rows], out=starts[1:])
    places = np.concatenate([places for places, _ in rows] or [np.zeros(0)]).astype(np.int32)
    weights = np.concatenate([weights for _, weights in rows] or [np.zeros(0)]).astype(np.float32)
    return Links(starts, places, weights)


def _next(likings: Behaviour) -> Links:
    """Return how surely an item comes soon after another, counts over the root of both items', drawn to zero by few."""
    deeds, size = likings.deeds, len(likings.items)
    total = sparse.csr_matrix((size, size), dtype=np.float32)
    for lag, weight in enumerate(_AFTER, 1):
        same = deeds.user[lag:] == deeds.user[:-lag]
        first, then = deeds.item[:-lag][same], deeds.item[lag:][same]
        total = total + sparse.csr_matrix((np.full(len(first), weight, np.float32), (first, then)), shape=(size, size))
    out, into = (np.asarray(total.sum(axis=axis)).ravel() for axis in (1, 0))
    rows = []
    for item in range(size):
        within = slice(total.indptr[item], total.indptr[item + 1])
        others = total.indices[within]
        rows.append(_strongest(others, total.data[within] / (np.sqrt(out[item] * into[others]) + _SHRINK), LINKS))
    return _links(rows)


def _factors(matrix: Any, users: np.ndarray, touched: np.ndarray, seed: int) -> np.ndarray:
    """Return the factors that a liking of each item adds to a user's, float32 [N, K].

    The right singular vectors V of Du^-1/2 X Di^-1/2, over the root of each item's users: what a history adds up to times
    V Di^1/2, which is the ideal low-pass filter of users and items (Shen et al. 2021, equation 9).
    """
    by_item = np.maximum(touched, 1) ** -0.5
    normal = sparse.diags(np.maximum(users, 1) ** -0.5) @ matrix @ sparse.diags(by_item)
    if not normal.nnz:
        return np.zeros((matrix.shape[1], 1), np.float32)
    return np.asarray(low_rank(normal.astype(np.float32).tocsr(), FACTORS, seed) * by_item[:, None])


def _trend(likings: Behaviour, half_life: float) -> np.ndarray:
    """Return how many users took each item, each halved with the age of the deed, float32 [N]."""
    age = likings.end - likings.deeds.time
    fading = np.exp2(-age / half_life) if np.isfinite(half_life) else np.ones(len(age))
    return np.bincount(likings.deeds.item, fading, minlength=len(likings.items)).astype(np.float32)
