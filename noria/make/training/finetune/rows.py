"""Files of labelled rows -> the rows to learn from, those that choose the weights, those that only judge.

    task, sets = read_sets(task_for("classify"), Path("客服.csv"), None, None, RowSettings(), seed=0, report=report)
    task.labels, len(sets.training), len(sets.valid)

Where no valid file is given a share of the training rows is set aside. Rows that are nearly the same stay on one side: a
valid row that the model has all but seen would choose weights that only remember.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from noria.core.errors import InputError
from noria.core.folder import Source, sha256_file
from noria.core.messages import message, term
from noria.core.progress import Report
from noria.core.settings import Settings, fingerprint
from noria.make.training.settings import RowSettings
from noria.tasks.task import Features, Row, Task, labels_in, read_rows
from noria.text.dedup import find_duplicates, split_of
from noria.text.labels import counted

from .leaks import NEAR, LeakReport, find_leaks
from .publish import lineage
from .replay import mixed

MOST_VALID = 2_000
"""Rows set aside at most: more would hardly choose better weights, and are missed in training."""
OLD_JUDGED = 0.2
"""Share of replayed rows that is not learned from, so that what is forgotten can be measured."""


@dataclass(frozen=True)
class Sets:
    """Rows by what they are for, and the files they came from."""

    training: list[Row]
    valid: list[Row]
    test: list[Row]
    sources: list[Source]
    old: list[Row]
    """Rows of the replayed file that are not learned from."""
    seen: LeakReport
    """Which texts of valid and test rows training rows hold already."""


def read_sets(
    task: Task,
    train_file: Path,
    valid_file: Path | None,
    test_file: Path | None,
    settings: RowSettings,
    *,
    seed: int,
    report: Report,
) -> tuple[Task, Sets]:
    """Return the task with the labels of its training rows, and the rows of all sets.

    Args:
        task: what the rows are for; labels it already has are kept.
        train_file, valid_file, test_file: JSON Lines, CSV, TSV or Parquet; without a valid file a share of the training
            rows is set aside.
        settings: columns, bad rows, and how much is set aside.
        seed: seed of what is set aside.
        report: where skipped rows, what was set aside and leaks are reported.

    Raises:
        RowError, InputError: a file cannot be used, holds nothing to learn, or labels that no training row has.
    """

    def read(file: Path) -> list[Row]:
        return read_rows(file, task, skip_bad=settings.skip_bad_rows, report=report, columns=settings.columns)

    training = read(train_file)
    valid = read(valid_file) if valid_file else []
    test = read(test_file) if test_file else []
    old: list[Row] = []
    if settings.replay:
        pool, old = set_aside(task, read(settings.replay), OLD_JUDGED, seed=seed, file=settings.replay)
        new, training = len(training), mixed(training, pool, settings.replay_share, seed=seed)
        report.note(
            message(
                "work.replayed",
                again=len(training) - new,
                name=settings.replay.name,
                new=new,
                others=len(old),
            ),
            replayed=len(training) - new,
        )
    fitted = task.fitted(training)
    if task.head in ("sequence", "token", "vector") and len(fitted.outputs) < 2:
        raise InputError(
            message("make.holds_nothing", train_file=train_file),
            found=", ".join(fitted.labels) or message("make.label"),
            allowed=message("make.rows_two"),
        )
    report_labels(fitted, training, report)
    if getattr(fitted, "by_mention", False):
        report.note(message("make.by_mention", rows=len(training)), by_mention=True)
    valid, test, old = (_as_fitted(fitted, rows) for rows in (valid, test, old))
    valid = _known(valid, fitted, valid_file, settings, report)
    test = _known(test, fitted, test_file, settings, report)
    old = _known(old, fitted, settings.replay, settings, report)
    seen = find_leaks(task, training, {"valid": valid, "test": test}, report)
    seen.report_to(report)
    if valid_file is None:
        training, valid = set_aside(task, training, settings.valid_share, seed=seed, file=train_file)
        report.note(
            message("work.set_aside", valid=len(valid), rows=len(training) + len(valid), seed=seed),
            set_aside=len(valid),
        )
    files = [file for file in (train_file, valid_file, settings.replay) if file]
    return fitted, Sets(training, valid, test, [Source(file.name, sha256_file(file)) for file in files], old, seen)


def report_labels(task: Task, rows: Sequence[Row], report: Report) -> None:
    """Say how often each label is learned from: what a file's labels are seldom is what one thought."""
    if not task.labels:
        return
    labels = [label for row in rows for label in _row_labels(row)]
    missing = sorted(set(task.labels) - set(labels))
    report.note(
        message(
            "work.labels",
            labels=len(set(labels)),
            rows=len(rows),
            what=term("spans" if task.head == "token" else "rows"),
            counted=counted(labels),
            missing=message("work.without_any", labels=", ".join(missing)) if missing else "",
        ),
        labels=dict(Counter(labels)),
    )


def set_aside(
    task: Task, rows: Sequence[Row], share: float, *, seed: int, file: Path | str = "<memory>"
) -> tuple[list[Row], list[Row]]:
    """Return the rows to learn from, and about that share of the rows for another use; both in the order they came in.

    Raises:
        InputError: there are too few rows that differ.
    """
    groups = groups_of(task, rows)
    share = min(share, MOST_VALID / len(rows))
    side = dict(zip(groups, split_of(groups, valid=share, test=0.0, seed=seed), strict=True))
    # A label that all went to one side must not be missing from training.
    learned = {
        label for row, group in zip(rows, groups, strict=True) if side[group] == "train" for label in _labels(row)
    }
    for row, group in zip(rows, groups, strict=True):
        missing = set(_labels(row)) - learned
        if missing:
            side[group] = "train"
            learned |= missing
    training = [row for row, group in zip(rows, groups, strict=True) if side[group] == "train"]
    aside = [row for row, group in zip(rows, groups, strict=True) if side[group] != "train"]
    if not training or not aside:
        raise InputError(
            message("make.too_few", file=file),
            found=message("make.rows_them", rows=len(rows), groups=len(set(groups))),
            hint=message("make.give_more"),
        )
    return training, aside


def folds_of(task: Task, rows: Sequence[Row], folds: int, *, seed: int) -> list[int]:
    """Return the fold of every row, 0 to `folds` - 1: near duplicates in one, labels spread evenly over all.

    Groups are dealt out in an order fixed by the seed, each to the fold that has fewest rows of its most frequent label.

    Raises:
        InputError: there are fewer groups of rows than folds.
    """
    groups = groups_of(task, rows)
    members: dict[str, list[int]] = {}
    for place, group in enumerate(groups):
        members.setdefault(group, []).append(place)
    if len(members) < folds:
        raise InputError(
            message("make.too_few_different"),
            found=message("make.different_rows", members=len(members)),
            allowed=message("make.least_one", folds=folds),
        )
    names = sorted(members)
    # The largest groups first: what comes last evens the folds out.
    order = sorted(np.random.default_rng(seed).permutation(len(names)), key=lambda place: -len(members[names[place]]))
    count: list[Counter[str]] = [Counter() for _ in range(folds)]
    fold = [0] * len(rows)
    for place in order:
        indices = members[names[place]]
        labels = Counter(label for index in indices for label in _labels(rows[index]))
        main = min(labels, key=lambda label: (-labels[label], label)) if labels else ""
        chosen = min(range(folds), key=lambda one: (count[one][main], count[one]["\0rows"], one))
        count[chosen].update(labels)
        count[chosen]["\0rows"] += len(indices)
        for index in indices:
            fold[index] = chosen
    return fold


def groups_of(task: Task, rows: Sequence[Row]) -> list[str]:
    """Return for every row the name of those that are nearly the same; rows of numbers, those that are equal."""
    if task.head == "vector":
        return [fingerprint(row["features"]) for row in rows]
    texts = ["\n".join(_apart(task.texts(row))) or fingerprint(row) for row in rows]
    return find_duplicates(texts, near=NEAR).group


def _apart(texts: list[str]) -> list[str]:
    """Return the texts of a row less those that stand in its first: two mentions in one text make no two texts of it."""
    return [text for place, text in enumerate(texts) if place == 0 or text not in texts[0]]


def report_truncated(features: Iterable[Features], max_length: int, report: Report) -> int:
    """Return how many rows are over length and were cut, and tell it."""
    whole = list(features)
    cut = sum(bool(one.meta.get("truncated")) for one in whole)
    if cut:
        report.note(
            message("work.cut_rows", cut=cut, rows=len(whole), tokens=max_length),
            cut=cut,
        )
    return cut


def _labels(row: Row) -> tuple[str, ...]:
    return labels_in([row])


def _row_labels(row: Row) -> list[str]:
    if "spans" in row:
        return [span["label"] for span in row["spans"]]
    return row["labels"] if "labels" in row else [row["label"]] if "label" in row else []


def _as_fitted(task: Task, rows: list[Row]) -> list[Row]:
    """Return rows in the form of the training rows: one label, or a list of them."""
    if getattr(task, "many", False):
        return [
            {**{key: value for key, value in row.items() if key != "label"}, "labels": [row["label"]]}
            if "label" in row
            else row
            for row in rows
        ]
    return [
        {**{key: value for key, value in row.items() if key != "labels"}, "label": row["labels"][0]}
        if len(row.get("labels", ())) == 1
        else row
        for row in rows
    ]


def _known(rows: list[Row], task: Task, file: Path | None, settings: RowSettings, report: Report) -> list[Row]:
    """Return the rows whose labels the task knows; the others are refused, or counted where bad rows are skipped."""
    if not task.labels:
        return rows
    strange = [set(_labels(row)) - set(task.labels) for row in rows]
    names = sorted(set().union(*strange))
    if not names:
        return rows
    count = sum(map(bool, strange))
    what = message("make.rows_labels", file=file, count=count, rows=len(rows))
    if not settings.skip_bad_rows:
        raise InputError(
            what,
            found=", ".join(names),
            hint=message("make.add_training"),
        )
    report.note(message("work.labels_left_out", what=what, labels=", ".join(names)), skipped=count)
    kept = [row for row, unknown in zip(rows, strange, strict=True) if not unknown]
    if not kept:
        raise InputError(message("make.holds_row", file=file), found=", ".join(names), allowed=task.labels)
    return kept


def identity_of(task: Task, base: Path | None, files: Sequence[Path], *settings: Settings) -> str:
    """Return a hash of all that decides what comes of files of rows."""
    return fingerprint(
        [
            task.facts(),
            [one.sha256 for one in lineage(base)],
            [sha256_file(file) for file in files],
            [one.fingerprint() for one in settings],
        ]
    )
