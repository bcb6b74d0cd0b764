"""implicit's part of `recommend`, run by an environment of its own: `recommend_peer.py ALS|BPR SETTINGS GIVEN [SCORES]`.

GIVEN holds the training likings as a sparse matrix, and histories of users to score all items for; without SCORES only the training is
timed. A user whom the model has not seen is folded in: by the least squares of ALS (Hu, Koren and Volinsky 2008, equation 4), in BPR by
the mean of the history's items. Knows nothing of Noria.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import numpy as np
import scipy.sparse as sparse


def trained(name: str, settings: dict[str, Any], matrix: Any) -> tuple[Any, float]:
    """Return a model of implicit, and the seconds that it took."""
    if name == "ALS":
        from implicit.cpu.als import AlternatingLeastSquares as Model
    else:
        from implicit.cpu.bpr import BayesianPersonalizedRanking as Model
    whole = {key: int(value) if key in ("factors", "iterations") else value for key, value in settings.items()}
    threads = int(whole.pop("threads"))
    model = Model(num_threads=threads, random_state=0, **whole)
    started = time.perf_counter()
    model.fit(matrix, show_progress=False)
    return model, time.perf_counter() - started


def scores(name: str, settings: dict[str, Any], model: Any, given: Any) -> np.ndarray:
    """Return the scores of all items for each history, float32 [histories, items]."""
    items, people = np.asarray(model.item_factors, np.float32), np.asarray(model.user_factors, np.float32)
    regularization, alpha = float(settings.get("regularization", 0.01)), float(settings.get("alpha", 1.0))
    base = items.T @ items + regularization * np.eye(items.shape[1], dtype=np.float32)
    rows = []
    for number, user in enumerate(given["users"].tolist()):
        own = items[given["histories"][given["starts"][number] : given["starts"][number + 1]]]
        if user >= 0:
            rows.append(people[user])
        elif not len(own):
            rows.append(people.mean(axis=0))
        elif name == "ALS":
            # A liking's confidence is alpha, as implicit has it since 0.6; what is not known has 1.
            left = base + max(alpha - 1, 0) * own.T @ own
            rows.append(np.linalg.solve(left, alpha * own.sum(axis=0)))
        else:
            mean = own.mean(axis=0)
            mean[-1] = 1  # the place of the items' biases
            rows.append(mean)
    return np.asarray(np.stack(rows) @ items.T, np.float32)


def main(name: str, told: str, file: str, out: str = "") -> None:
    """Train, and score where asked to; print the seconds as JSON."""
    settings = json.loads(told)
    given = np.load(file)
    shape = (len(given["indptr"]) - 1, int(given["items"]))
    ones = np.ones(len(given["indices"]), np.float32)
    matrix = sparse.csr_matrix((ones, given["indices"], given["indptr"]), shape=shape)
    matrix.sort_indices()
    model, seconds = trained(name, settings, matrix)
    if out:
        np.save(out, scores(name, settings, model, given))
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
