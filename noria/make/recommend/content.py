"""Texts of items, and their vectors where there is an encoder -> places by text, and what a place leads one to expect.

Words: TF-IDF, its main directions (latent semantic analysis; Deerwester et al. 1990). Vectors: centred, their main directions. Both
together are whitened by half: what all items share, as that they are films, is turned down; what tells them apart is turned up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sparse

from noria.core.errors import FolderError, SettingError
from noria.core.messages import message
from noria.infer.item_text import BUCKETS, TextPlaces, bags
from noria.infer.recommend import ByText

WORDS, VECTORS, WIDTH = 64, 64, 96
"""Directions of the words, of the vectors, and of a place by both: as many as 100,000 items' are read through in milliseconds."""
VECTOR_FILE = "vectors.safetensors"
"""The encoder's vectors of all texts, by hash: what does not learn is not computed again."""
_SHRINK = 0.03
"""Of the whole variance, added to each direction's before it is divided by its root: small ones are noise."""
_RIDGE = 0.5
"""Of the mean of the diagonal, added to it: places are noisy, and few items are well known. Not fitted."""


def low_rank(matrix: Any, rank: int, seed: int = 0, rounds: int = 3) -> np.ndarray:
    """Return the right singular vectors of the largest singular values of a sparse matrix, float32 [columns, rank].

    By random projection with power iterations (Halko, Martinsson and Tropp 2011, algorithm 4.4).
    """
    rank = max(1, min(rank, *matrix.shape))
    draw = np.random.default_rng(seed)
    width = min(rank + 8, *matrix.shape)
    right = draw.standard_normal((matrix.shape[1], width)).astype(np.float32)
    turned = matrix.T.tocsr()
    for _ in range(rounds - 1):
        right = _independent(turned @ _independent(matrix @ right))
    right, _ = np.linalg.qr(turned @ _independent(matrix @ right))
    _, _, rows = np.linalg.svd(matrix @ right, full_matrices=False)
    return np.ascontiguousarray(right @ rows[:rank].T, np.float32)


def _independent(columns: np.ndarray) -> np.ndarray:
    """Return columns that span the same and are near to orthogonal, by their Gram matrix: a fraction of a QR's time."""
    spread, turn = np.linalg.eigh((columns.T @ columns).astype(np.float64))
    return np.asarray(columns @ (turn / np.sqrt(np.maximum(spread, 1e-9 * max(spread[-1], 1e-30)))), np.float32)


def fit_places(texts: Sequence[str], vectors: np.ndarray | None, seed: int = 0) -> TextPlaces:
    """Return the projections that suit a catalogue.

    Args:
        texts: what is told of each item.
        vectors: of an encoder, float32 [items, W]; None where there is none.
        seed: of the random projections.
    """
    starts, buckets = bags(texts)
    counts = np.bincount(buckets, minlength=BUCKETS)
    idf = np.where(counts > 0, np.log((1 + len(texts)) / (1 + counts)) + 1, 0).astype(np.float32)
    weighed = sparse.csr_matrix((idf[buckets], buckets, starts), shape=(len(texts), BUCKETS), dtype=np.float32)
    sizes = np.sqrt(np.asarray(weighed.multiply(weighed).sum(axis=1)).ravel())
    weighed = sparse.diags(1 / np.maximum(sizes, 1e-9)).astype(np.float32) @ weighed
    used = np.flatnonzero(counts)
    found = low_rank(weighed[:, used], WORDS, seed) if len(used) else np.zeros((0, 1), np.float32)
    words = np.zeros((BUCKETS, found.shape[1]), np.float32)
    words[used] = found
    mean, directions = np.zeros(0, np.float32), np.zeros((0, 0), np.float32)
    if vectors is not None:
        mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred = vectors - mean
        _, found = np.linalg.eigh(centred.T @ centred)
        directions = np.ascontiguousarray(found[:, ::-1][:, :VECTORS], np.float32)
    width = words.shape[1] + directions.shape[1]
    plain = TextPlaces(idf, words, mean, directions, np.eye(width, dtype=np.float32))
    both = plain.content(vectors, texts)
    spread, found = np.linalg.eigh(both.T @ both / max(len(texts), 1))
    best = np.argsort(-spread)[:WIDTH]
    whole = max(float(spread.sum()), 1e-9)
    scale = 1 / np.sqrt(np.maximum(spread[best], 0) / whole + _SHRINK)
    return TextPlaces(idf, words, mean, directions, np.asarray(found[:, best] * scale, np.float32))


def fit_expected(places: TextPlaces, content: np.ndarray, touched: np.ndarray, inward: np.ndarray) -> ByText:
    """Return what places lead one to expect: ridge regressions on the items that were taken, each weighing as that is sure.

    Args:
        places: the projections.
        content: of every item, [N, D].
        touched: how many users took each item, [N].
        inward: the factors of every item, [N, K].
    """
    known = touched > 0
    rows = np.concatenate([content[known], np.ones((int(known.sum()), 1), np.float32)], axis=1)
    to_factors = _ridge(rows, inward[known], np.sqrt(touched[known]))
    to_count = _ridge(rows, np.log1p(touched[known])[:, None], np.ones(len(rows), np.float32))
    return ByText(places, to_factors, np.ascontiguousarray(to_count[:, 0]))


def _ridge(rows: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the coefficients from rows, whose last column is 1, to targets; all but the constant are drawn to zero."""
    weighed = (rows * weights[:, None]).T
    left = (weighed @ rows).astype(np.float64)
    ridge = np.full(len(left), max(_RIDGE * float(np.trace(left)) / len(left), 1e-3))
    ridge[-1] = 1e-3
    return np.linalg.solve(left + np.diag(ridge), weighed @ targets).astype(np.float32)


def vectors_of(
    texts: Sequence[str], folder: Path, kept: Mapping[str, np.ndarray], step: Callable[[int], None]
) -> tuple[str, np.ndarray]:
    """Return the identity of an encoder and its vectors of texts, float32 [texts, W]; those of `kept` are not made again.

    Args:
        texts: what is told of each item.
        folder: of a model for the task embed.
        kept: identity and text, as `key_of`, -> vector, from an earlier run.
        step: told how many texts more are done.

    Raises:
        SettingError: the model is for another task. FolderError: the folder is missing or damaged.
    """
    from noria.infer.brought import model_folder
    from noria.infer.choose import open_engine
    from noria.infer.engine import answer

    engine = open_engine(model_folder(folder))
    try:
        if engine.task.name != "embed":
            raise SettingError(
                message("commands.takes_model"), found=engine.task.name, allowed=message("commands.model_task")
            )
        identity = engine.manifest.identity()[:12]
        found = {text: kept[key] for text in texts if (key := vector_key(identity, text)) in kept}
        step(len(found))
        left = [text for text in dict.fromkeys(texts) if text not in found]
        for start in range(0, len(left), 64):
            some = left[start : start + 64]
            for text, one in zip(some, answer(engine, some), strict=True):
                found[text] = np.asarray(one["embedding"], np.float32)
            step(len(some))
    finally:
        engine.close()
    return identity, np.stack([found[text] for text in texts]) if texts else np.zeros((0, 0), np.float32)


def vector_key(identity: str, text: str) -> str:
    """Return the name under which an encoder's vector of a text is kept."""
    import xxhash

    return f"{identity}/{xxhash.xxh3_128_hexdigest(text.encode())}"


def kept_vectors(folder: Path) -> dict[str, np.ndarray]:
    """Return the vectors that an earlier run left in a recommender's folder; none where there is none."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        arrays = load_file(folder / VECTOR_FILE)
        return dict(zip(bytes(arrays["keys"]).decode().split("\n"), arrays["vectors"], strict=True))
    except (OSError, SafetensorError, FolderError, KeyError, ValueError):
        return {}


def keep_vectors(folder: Path, identity: str, texts: Sequence[str], vectors: np.ndarray) -> None:
    """Leave the vectors of texts in a recommender's folder, for the next run."""
    from safetensors.numpy import save_file

    last = {vector_key(identity, text): number for number, text in enumerate(texts)}
    keys = np.frombuffer("\n".join(last).encode(), np.uint8)
    save_file({"keys": keys, "vectors": np.ascontiguousarray(vectors[list(last.values())])}, folder / VECTOR_FILE)
