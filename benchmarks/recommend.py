"""A recommender beside what people would take otherwise: how well it ranks, known and new items apart, and what training costs.

MovieLens latest-small of 2015 (GroupLens; read where it lies, it may not be shipped), all ratings counting, all items ranked. Three ways
to hold out: by time (a fifth of the ratings, none of which any model has seen, nor anything later), the last fifth of each user's, and a
quarter by lot. Peers: popularity, ItemKNN and EASE as Noria has them, and ALS and BPR of implicit, each at the settings that are best on
the same held-out part of the training ratings; users whom a model has not seen are folded in by its own formula. Cold items: beside the
popularity of their genres, and of the genres that the user took. Training costs: a million simulated clicks on 20,000 items.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from noria.core.errors import PackageError
from noria.machine import cores
from noria.make.recommend.baselines import RIDGES, TRIED, best, by_category, fitted, linear
from noria.make.recommend.behaviour import Behaviour, Split, at_random, behaviour_of, by_time, last_of_each
from noria.make.recommend.judge import Measured, Score, best_of, interval
from noria.make.recommend.judge import measure as measured_on
from noria.make.recommend.settings import RecommendTraining
from noria.make.recommend.training import HEAD, Fitted, fit
from noria.tasks.deeds import KINDS, Deeds
from noria.tasks.items import read_items

from . import child, recommend_serve
from .environments import python_of
from .isa import named_here
from .line import Line, compare, machine

NAME = "recommend"
DATA = "movielens-small"
WANTED, WANTED_COLD, WANTED_MEGABYTES = 0.45, 2.0, 1_024.0
IMPLICIT = ("implicit>=0.7,<0.8", "numpy", "scipy")
ALS: Sequence[dict[str, float]] = (
    {"factors": 16, "regularization": 1.0, "alpha": 1.0, "iterations": 20},
    {"factors": 32, "regularization": 10.0, "alpha": 1.0, "iterations": 20},
    {"factors": 32, "regularization": 10.0, "alpha": 10.0, "iterations": 20},
    {"factors": 64, "regularization": 10.0, "alpha": 1.0, "iterations": 20},
    {"factors": 64, "regularization": 50.0, "alpha": 5.0, "iterations": 20},
)
BPR: Sequence[dict[str, float]] = (
    {"factors": 32, "learning_rate": 0.05, "regularization": 0.01, "iterations": 100},
    {"factors": 64, "learning_rate": 0.05, "regularization": 0.01, "iterations": 200},
    {"factors": 64, "learning_rate": 0.02, "regularization": 0.03, "iterations": 300},
)
"""Tried for the peers; what is not named is implicit's default."""


@dataclass(frozen=True)
class Protocol:
    """A way to hold out, and what it is called."""

    name: str
    split: Split
    training: RecommendTraining


def measure(*, quick: bool) -> list[Line]:
    """Return the lines of quality on MovieLens, of what training costs, and of how it serves."""
    folder = Path(os.environ.get("NORIA_DATA", "")) / NAME / DATA
    lines = []
    if (folder / "interactions.parquet").is_file():
        behaviour = movielens(folder)
        for protocol in protocols(behaviour, quick):
            lines += quality(protocol, quick)
    else:
        print(f"recommend: NORIA_DATA holds no {NAME}/{DATA}: nothing is ranked", file=sys.stderr)
    return lines + costs(quick) + recommend_serve.measure(quick=quick)


def movielens(folder: Path) -> Behaviour:
    """Return the ratings of MovieLens as behaviour, all of them counting."""
    import pyarrow.parquet as pq

    items = [replace(item, time=_released(item.title)) for item in read_items(folder / "items.jsonl")]
    table = pq.read_table(folder / "interactions.parquet").to_pydict()
    users, user = np.unique(table["user"], return_inverse=True)
    names, item = np.unique(table["item"], return_inverse=True)
    deeds = Deeds(
        [str(one) for one in users],
        [str(one) for one in names],
        user.astype(np.int32),
        item.astype(np.int32),
        np.full(len(user), KINDS.index("rating"), np.uint8),
        np.array(table["rating"], np.float32),
        np.array(table["time"], np.float64),
    )
    return behaviour_of(items, deeds, 0.0)


def _released(title: str) -> float | None:
    """Return the beginning of the year that stands behind a film's title, as a catalogue would have it in a column of its own."""
    found = re.search(r"\((\d{4})\)\s*$", title)
    return datetime(int(found[1]), 1, 1, tzinfo=UTC).timestamp() if found else None


def protocols(behaviour: Behaviour, quick: bool) -> list[Protocol]:
    """Return the ways to hold out, the measure's own first."""
    plain = RecommendTraining(positive=0.0)
    found = [
        Protocol("split by time 80/20", by_time(behaviour, 0.2), plain),
        Protocol("random 75/25", at_random(behaviour, 0.25, 0), plain.replace(split="random")),
    ]
    return (
        found
        if quick
        else [*found, Protocol("last fifth of each user", last_of_each(behaviour, 0.2), plain.replace(split="last"))]
    )


def quality(protocol: Protocol, quick: bool) -> list[Line]:
    """Return the lines of one way to hold out: all, warm and cold items."""
    split = protocol.split
    texts = [item.described for item in split.train.items]
    trained = fit(split.train, texts, None, protocol.training)
    ranker = trained.ranker
    scorers: dict[str, Score] = {"noria": lambda cases: ranker.logits([case.history for case in cases])}
    own = fitted(trained.split, split.train, trained.choice)
    ridges = {one: linear(trained.split.train, one, HEAD) for one in ((trained.choice.plain,) if quick else RIDGES[2:])}
    scorers |= {**own, "EASE": linear(split.train, best(ridges, trained.split), len(texts))}
    scorers |= implicits(protocol, trained, quick)
    warm = ranker.signals.touched > 0
    lines: list[Line] = []
    for part in ("all", "warm"):
        measured = measured_on(split.cases, scorers, warm, part)
        others = [name for name in scorers if name != "noria"]
        told = f"{DATA}, {protocol.name}, {len(measured['noria'].ndcg)} users, {_PARTS[part]}"
        for name in others:
            lines.append(
                _line(f"nDCG@10, {told}", measured["noria"].ndcg, measured[name].ndcg, f"{name}, best settings")
            )
            lines.append(
                _line(f"Recall@20, {told}", measured["noria"].recall, measured[name].recall, f"{name}, best settings")
            )
        if part == "all":
            lines.append(_above(f"nDCG@10, {told}", measured, best_of(measured, others)))
            if "random" in protocol.name:
                mean = measured["noria"].ndcg
                lines.append(_line(f"nDCG@10, {told}", mean, np.full(len(mean), WANTED), "wanted: .45"))
    return lines + _cold(protocol, scorers, warm)


_PARTS = {"all": "all items", "warm": "known items", "cold": "new items"}


def _cold(protocol: Protocol, scorers: Mapping[str, Score], warm: np.ndarray) -> list[Line]:
    split = protocol.split
    names = {"popularity by genre": False, "popularity by the user's genres": True}
    beside = {name: by_category(split.train, personal=personal) for name, personal in names.items()}
    measured = measured_on(split.cases, {"noria": scorers["noria"], **beside}, warm, "cold")
    ours = measured["noria"]
    if len(ours.ndcg) < 20:
        return []
    told = f"{DATA}, {protocol.name}, {len(ours.ndcg)} users, {int((~warm).sum())} new items"
    lines = []
    for name in names:
        lines.append(_line(f"nDCG@10, {told}", ours.ndcg, measured[name].ndcg, name))
        lines.append(_line(f"Recall@20, {told}", ours.recall, measured[name].recall, name))
    one = _line(
        f"nDCG@10, {told}",
        ours.ndcg,
        WANTED_COLD * measured["popularity by genre"].ndcg,
        "wanted: twice popularity by genre",
    )
    return [*lines, one]


def _line(what: str, ours: np.ndarray, theirs: np.ndarray, peer: str, draws: int = 2_000) -> Line:
    """Return a line of two means over the same users, the ratio's interval by a paired bootstrap over users."""
    random = np.random.default_rng(0)
    ratios = []
    for _ in range(draws):
        chosen = random.integers(0, len(ours), len(ours))
        ratios.append(float(ours[chosen].mean() / max(theirs[chosen].mean(), 1e-9)))
    low, high = np.percentile(ratios, [2.5, 97.5])
    mean, other = float(ours.mean()), float(theirs.mean())
    ratio = mean / max(other, 1e-9)
    return Line(NAME, what, mean, other, named_here(peer), "", ratio, len(ours), float(low), float(high), machine())


def _above(what: str, measured: Mapping[str, Measured], name: str) -> Line:
    """Return the line of the bar: the lower end of the paired interval of the difference lies above nothing."""
    away = measured["noria"].ndcg - measured[name].ndcg
    low, high = interval(away)
    other = float(measured[name].ndcg.mean())
    ends = [1 + end / other for end in (low, high)]
    peer = named_here(f"wanted: above {name}, the best peer, by the lower end of the paired interval")
    return Line(NAME, what, other + low, other, peer, "", ends[0], len(away), ends[0], ends[1], machine())


def implicits(protocol: Protocol, trained: Fitted, quick: bool) -> dict[str, Score]:
    """Return ALS and BPR of implicit at the settings that are best on held-out users; none where it cannot be had."""
    try:
        python = python_of("implicit", *IMPLICIT)
    except PackageError as error:
        print(f"recommend: without implicit: {error}", file=sys.stderr)
        return {}
    found = {}
    inner = replace(trained.split, cases=trained.split.cases[:TRIED])
    for name, tried in (("ALS", ALS), ("BPR", BPR)):
        chosen = list(tried)[1:2] if quick else list(tried)
        if len(chosen) > 1:
            scores = {number: _of_peer(python, name, one, inner) for number, one in enumerate(chosen)}
            chosen = [chosen[best(scores, inner)]]
        found[f"implicit {name}"] = _of_peer(python, name, chosen[0], protocol.split)
    return found


def _of_peer(python: str, name: str, settings: Mapping[str, float], split: Split) -> Score:
    """Return the scores that a model of implicit gives to the users of a split."""
    matrix = split.train.likings().matrix()
    matrix.data[:] = 1
    sizes = np.cumsum([0, *(len(case.history.places) for case in split.cases)])
    users = [case.user if case.known else -1 for case in split.cases]
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        given, answered = Path(folder) / "given.npz", Path(folder) / "scores.npy"
        np.savez(
            given,
            indptr=matrix.indptr,
            indices=matrix.indices,
            items=matrix.shape[1],
            histories=np.concatenate([case.history.places for case in split.cases]),
            starts=sizes,
            users=np.array(users),
        )
        _run(python, name, settings, given, answered)
        scores = np.load(answered)
    rows = {id(case.history): row for row, case in enumerate(split.cases)}
    return lambda cases: scores[[rows[id(case.history)] for case in cases]]


def _run(python: str, name: str, settings: Mapping[str, float], *files: Path) -> dict[str, Any]:
    import json

    script = Path(__file__).with_name("recommend_peer.py")
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # as implicit asks for
    command = [
        python,
        "-P",
        "-W",
        "ignore",
        str(script),
        name,
        json.dumps({**settings, "threads": cores()}),
        *map(str, files),
    ]
    return child.measured(command, f"implicit {name}", environment)


def costs(quick: bool) -> list[Line]:
    """Return the seconds and memory of training on a million simulated clicks, beside implicit's."""
    repeats = 1 if quick else 3
    what = "train on 1,000,000 simulated clicks, 25,000 users, 20,000 items"
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        given = Path(folder) / "given.npz"
        simulate(given)
        ours = [child.run("benchmarks.recommend_train", str(given)) for _ in range(repeats)]
        seconds, megabytes = [one["seconds"] for one in ours], [one["megabytes"] for one in ours]
        wanted = "wanted: within 1 GiB"
        lines = [
            compare(
                NAME,
                f"most memory, {what}",
                megabytes,
                [WANTED_MEGABYTES] * repeats,
                wanted,
                "MB",
                higher_is_better=False,
            )
        ]
        try:
            python = python_of("implicit", *IMPLICIT)
        except PackageError as error:
            print(f"recommend: without implicit: {error}", file=sys.stderr)
            return lines
        for name in ("ALS", "BPR"):
            theirs = [_run(python, name, {}, given) for _ in range(repeats)]
            peer = f"implicit {name}, defaults"
            times = [float(one["seconds"]) for one in theirs]
            memory = [float(one["megabytes"]) for one in theirs]
            lines.append(compare(NAME, f"seconds, {what}", seconds, times, peer, "s", higher_is_better=False))
            lines.append(compare(NAME, f"most memory, {what}", megabytes, memory, peer, "MB", higher_is_better=False))
            wanted = f"wanted: at most the time of {peer}"
            lines.append(compare(NAME, f"seconds, {what}", seconds, times, wanted, "s", higher_is_better=False))
    return lines


def simulate(file: Path, users: int = 25_000, items: int = 20_000, clicks: int = 1_000_000, seed: int = 0) -> None:
    """Write simulated clicks, each user's with two of fifty topics and items as unequal as by Zipf's law, users' numbers of clicks too."""
    random = np.random.default_rng(seed)
    topic = random.integers(0, 50, items)
    popular = 1 / np.arange(1, items + 1) ** 0.8
    members = [np.flatnonzero(topic == one) for one in range(50)]
    odds = [popular[one] / popular[one].sum() for one in members]
    active = random.lognormal(0, 1, users)
    counts = np.maximum(1, np.round(active / active.sum() * clicks * 1.15)).astype(int)
    rows, columns = [], []
    for number, count in enumerate(counts.tolist()):
        # Twice as many are drawn as are kept, for some come again.
        wide = random.choice(items, 2 * (count // 5 + 1), p=popular / popular.sum())
        liked = [random.choice(members[one], count + 1, p=odds[one]) for one in random.integers(0, 50, 2)]
        chosen = random.permutation(np.unique(np.concatenate([wide, *liked])))[:count]
        rows.append(np.full(len(chosen), number))
        columns.append(chosen)
    user, item = np.concatenate(rows), np.concatenate(columns)
    kept = np.sort(random.choice(len(user), min(clicks, len(user)), replace=False))
    indptr = np.searchsorted(user[kept], np.arange(users + 1))
    np.savez(file, indptr=indptr, indices=item[kept], items=items)
