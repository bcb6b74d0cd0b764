"""Continual learning: old rows seen again among new ones, and what was forgotten of them, measured.

A model that learns only new rows loses what it knew (McCloskey and Cohen 1989, "catastrophic interference"); a share of
old rows among the new keeps it (Robins 1995, "rehearsal"). Some of the old rows are never replayed: on them the base, as it
was, and the model that came of it are judged, pair by pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from torch import nn

from noria.core.errors import FolderError
from noria.core.figure import Figure
from noria.core.messages import joined
from noria.core.progress import Report
from noria.make.evaluate.card import figures_of
from noria.make.evaluate.intervals import paired
from noria.make.evaluate.predict import answer_rows
from noria.make.models.load import load_for
from noria.make.training.settings import FinetuneSettings
from noria.tasks.companion import open_task
from noria.tasks.task import Answer, Row, Task


def mixed(new: Sequence[Row], old: Sequence[Row], share: float, *, seed: int) -> list[Row]:
    """Return the new rows, and so many old ones drawn by the seed that they are `share` of all; all of them where fewer.

    The order is that of the new rows with the old ones behind: batches are shuffled anyway.
    """
    count = min(len(old), round(len(new) * share / (1 - share)))
    chosen = np.random.default_rng(seed).permutation(len(old))[:count]
    return [*new, *(old[int(place)] for place in sorted(chosen))]


def known_before(task: Task, base: Path | None, rows: Sequence[Row], max_length: int) -> list[Answer] | None:
    """Return what the base itself answers to rows, as it is; None where it was not made for the task.

    Args:
        task: what the rows are for.
        base: the model folder that the run starts from.
        rows: old rows.
        max_length: tokens of a window.
    """
    if base is None:
        return None
    try:
        own = open_task(base)
    except FolderError:
        return None
    if own.name != task.name:
        return None
    module, tokenizer = load_for(base, own)
    return answer_rows(own, module, tokenizer, rows, max_length)


def remembered(
    task: Task,
    module: nn.Module,
    tokenizer: Tokenizer | None,
    base: Path | None,
    old: Sequence[Row],
    settings: FinetuneSettings,
    report: Report,
) -> list[Figure]:
    """Judge the trained module on the old rows that it has not seen again, beside its base; tell it, and return the figures.

    Args:
        task: as it was trained.
        module, tokenizer: the trained model, in evaluation mode.
        base: the model folder that the run started from.
        old: rows that it has not seen again; none, no figures.
        settings: of the run.
        report: where the result is reported.
    """
    if not old:
        return []
    after = answer_rows(task, module, tokenizer, old, settings.length)
    before = known_before(task, base, old, settings.length)
    figures = forgetting(task, old, before, after, source="old rows not replayed")
    report.ledger(joined("join.clauses", [figure.line() for figure in figures]))
    return figures


def forgetting(
    task: Task, rows: Sequence[Row], before: Sequence[Answer] | None, after: Sequence[Answer], *, source: str
) -> list[Figure]:
    """Return what is still known of old rows: the task's measure before and after, and what was forgotten.

    Forgotten is how much worse the first measure has become, with a paired bootstrap over rows; below zero, more is known
    than before.

    Args:
        task: judges the answers.
        rows: old rows that the model has not been trained on in this run.
        before: the base's answers; None where it could give none, and only the measure after is returned.
        after: the new model's answers.
        source: name of the old rows, for the figures.
    """
    now = figures_of(task, rows, after, source=source)[0]
    now = _named(now, f"{now.name} on old rows, after")
    if before is None:
        return [now]
    then = figures_of(task, rows, before, source=source)[0]
    then = _named(then, f"{then.name} on old rows, before")
    first, last = task.scores(rows, before)[0], task.scores(rows, after)[0]
    worse = (last, first) if first.lower_is_better else (first, last)
    lost = paired(worse[0].counts, worse[1].counts, first.statistic)
    forgotten = Figure(
        f"forgotten {first.name}",
        lost.value,
        len(rows),
        lost.low,
        lost.high,
        unit=first.unit,
        source=source,
        level=lost.level,
        note="paired bootstrap over old rows; below 0 is gained",
    )
    return [then, now, forgotten]


def _named(figure: Figure, name: str) -> Figure:
    return Figure(**{**figure.as_dict(), "name": name})
