"""The light model of a run: fitted to its training rows, kept while it lasts, joined with the trained one where that is better."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
from safetensors import SafetensorError

from noria.core.messages import message
from noria.core.progress import Report
from noria.make.evaluate.calibration import fit_outside_penalty
from noria.make.evaluate.chain_tagger import fit_chain
from noria.make.evaluate.fusion import EVEN, LEAST_ROWS, fit_chain_weights, fit_weights
from noria.make.evaluate.intervals import sums_of_draws
from noria.make.evaluate.predict import answers, joined
from noria.tasks.classify import Classify
from noria.tasks.companion import ChainCompanion, NgramCompanion, read_companion
from noria.tasks.measure import Measure
from noria.tasks.ngram_classifier import fit_ngrams
from noria.tasks.tag import Tag
from noria.tasks.task import Task, Weights

from .examples import Examples, evenly

Light = NgramCompanion | ChainCompanion
MOST_TOKENS = 1_500_000
"""That a chain is fitted to at most: each takes 0.4 kB of memory."""
WEIGHED = 300
"""Valid rows by which a tagger's weights are fitted at most: two numbers need no more, and every row is gone over often."""


def fitting_of(task: Task, wanted: bool) -> Callable[[Examples], Light] | None:
    """Return what fits the light model of a task to training rows; None where it has none, or where it is not wanted and no baseline."""
    if task.name == "classify":
        return lambda training: fit_ngrams(task, training.rows)
    if wanted and task.name == "tag" and isinstance(task, Tag):
        return lambda training: _chain(task, training.within(MOST_TOKENS))
    return None


def _chain(task: Tag, some: Examples) -> ChainCompanion:
    return ChainCompanion(fit_chain(task, some.rows, some.features, some.targets, some.owners), len(some.rows))


def read_kept(file: Path) -> Light | None:
    """Return the companion that a killed run left, if one did."""
    try:
        return cast(Light, read_companion(file, Weights()))
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None


def joined_with(companion: Light, task: Task, valid: Examples, logits: Sequence[np.ndarray], report: Report) -> Task:
    """Return the task with its companion, where both together are better on valid rows than the model alone; it is told.

    Args:
        companion: of the task.
        task: calibrated.
        valid: the valid rows that judged the weights.
        logits: of the trained model for each of their windows.
        report: where it is told.
    """
    if isinstance(task, Tag) and isinstance(companion, ChainCompanion):
        return _tagger(companion, task, valid, logits, report)
    if isinstance(task, Classify) and isinstance(companion, NgramCompanion):
        return _classifier(companion, task, valid, logits, report)
    return task


def _classifier(
    companion: NgramCompanion, task: Classify, valid: Examples, logits: Sequence[np.ndarray], report: Report
) -> Task:
    others = np.stack([companion.logits(one) for one in valid.features])
    found = fit_weights(np.stack(logits) / task.temperature, others, valid.targets, many=task.many)
    rows, model, light, both = len(valid.rows), found.model_loss, found.companion_loss, found.loss
    if not found.kept:
        report.note(message("make.not_joined", rows=rows, model=model, companion=light, both=both), joined=False)
        return task
    weights = found.weights
    told = message(
        "make.joined_by",
        model_weight=weights.model,
        companion_weight=weights.companion,
        rows=rows,
        model=model,
        companion=light,
        both=both,
    )
    report.note(told, joined=True)
    return replace(task, companion=replace(companion, weights=weights))


def _tagger(
    companion: ChainCompanion, task: Tag, valid: Examples, logits: Sequence[np.ndarray], report: Report
) -> Task:
    valid, logits = _some(valid, logits)
    weights = EVEN
    if len(valid.rows) >= LEAST_ROWS:
        weights = fit_chain_weights(task, companion.chain, valid.features, logits, valid.targets)

    def measured(one: Tag) -> Measure:
        return one.scores(valid.rows, joined(one, answers(one, valid.features, logits), valid.owners))[0]

    both = replace(task, companion=replace(companion, weights=weights))
    penalty = fit_outside_penalty(both, valid.rows, valid.features, valid.owners, logits)
    both = replace(both, outside_penalty=penalty)
    single = replace(task, companion=replace(companion, weights=Weights(0.0, 1.0)), outside_penalty=0.0)
    model, light, fused = (measured(one) for one in (task, single, both))
    values = sums_of_draws(np.concatenate([fused.counts, model.counts], axis=1))
    left, right = np.split(values, 2, axis=1)
    noise = float(np.std(fused.statistic(left) - model.statistic(right)))
    sure = len(valid.rows) >= LEAST_ROWS and fused.value - model.value > noise
    kept = fused.value > model.value and (sure or light.value > model.value)
    told = message(
        "make.tags_joined" if kept else "make.tags_not_joined",
        model_weight=weights.model,
        companion_weight=weights.companion,
        rows=len(valid.rows),
        model=model.value,
        companion=light.value,
        both=fused.value,
    )
    report.note(told, joined=kept)
    return both if kept else task


def _some(valid: Examples, logits: Sequence[np.ndarray]) -> tuple[Examples, list[np.ndarray]]:
    """Return so many valid rows as weights are fitted by, and the logits of their windows."""
    chosen = set(evenly(len(valid.rows), WEIGHED))
    kept = [one for one, owner in zip(logits, valid.owners, strict=True) if owner in chosen]
    return valid.some(WEIGHED), kept
