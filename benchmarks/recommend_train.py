"""`python -m benchmarks.recommend_train GIVEN`: train Noria's recommender on simulated clicks, and print the seconds."""

from __future__ import annotations

import json
import sys
import time

import numpy as np

from noria.make.recommend.behaviour import behaviour_of
from noria.make.recommend.settings import RecommendTraining
from noria.make.recommend.training import fit
from noria.tasks.deeds import KINDS, Deeds
from noria.tasks.items import Item


def main(file: str) -> None:
    """Train on the clicks of a file, which come a second apart."""
    given = np.load(file)
    users, items = len(given["indptr"]) - 1, int(given["items"])
    size = len(given["indices"])
    catalogue = [Item(str(place), f"item {place}", f"item {place}") for place in range(items)]
    deeds = Deeds(
        [str(user) for user in range(users)],
        [item.id for item in catalogue],
        np.repeat(np.arange(users, dtype=np.int32), np.diff(given["indptr"])),
        given["indices"].astype(np.int32),
        np.full(size, KINDS.index("click"), np.uint8),
        np.ones(size, np.float32),
        1e9 + np.random.default_rng(0).random(size) * 1e7,
    )
    started = time.perf_counter()
    behaviour = behaviour_of(catalogue, deeds, None)
    fit(behaviour, [item.described for item in catalogue], None, RecommendTraining())
    print(json.dumps({"seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main(*sys.argv[1:])
