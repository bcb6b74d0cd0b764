"""What valid and test rows say of a model that was just trained: always something, and always beside its baseline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from tokenizers import Tokenizer
from torch import nn

from noria.core.figure import Figure
from noria.core.messages import joined, message, name_of
from noria.core.progress import Report
from noria.make.evaluate.card import Assessment, assess, baseline_answers, companion_gain, figures_of
from noria.make.evaluate.predict import answers_by
from noria.make.training.loop.budget import Budget
from noria.make.training.loop.result import TrainResult
from noria.tasks.companion import ChainCompanion, NgramCompanion, write_companion
from noria.tasks.task import Answer, Row, Task

from .examples import Examples, evenly
from .fuse import Light, fitting_of, read_kept

Learned = TypeVar("Learned")
CHOSE = "which chose the weights"
"""What a reader must know of figures on valid rows: they flatter a little."""
BASELINES = 0.2
"""Most of a time budget that the baselines take."""
MANY, FEW, PART = 4_000, 500, 8
"""Of so many training rows one in so many is tried first: what the baselines take grows with them; of fewer where a tagger is learned."""
ANSWERED = 50
"""Texts that the companion answers to see how long that takes."""
TRIED = 500
"""Rows whose figures are made to see how long that takes."""


@dataclass(frozen=True)
class Held:
    """Rows that only judge, with what the baselines answer to them: found out before the first step, so that its time is known."""

    rows: list[Row]
    others: dict[str, list[Answer]]
    companion: Light | None = None
    """The light model that may answer with the trained one."""

    def some(self, most: int) -> Held:
        """Return so many of them at most, evenly over all."""
        chosen = evenly(len(self.rows), most)
        others = {name: [told[place] for place in chosen] for name, told in self.others.items()}
        return replace(self, rows=[self.rows[place] for place in chosen], others=others)


def hold(
    task: Task, training: Examples, rows: Sequence[Row], budget: Budget, report: Report, file: Path, *, wanted: bool
) -> Held:
    """Return rows with what the task's baselines answer to them, in a share of the budget; the budget keeps time for their figures.

    Args:
        task: what the rows are for.
        training: what the baselines, and the companion, learn from; of more than the time allows some, evenly over all.
        rows: the rows that the trained model will be assessed on.
        budget: of the run.
        report: where it is told that not all rows were learned from.
        file: keeps the companion until the run is over, so that one that goes on has the same.
        wanted: whether the companion may answer with the model.
    """
    companion, fit = read_kept(file), fitting_of(task, wanted)
    if fit is not None and companion is None:
        fitted, _ = _in_time(training, fit, budget, many=MANY if task.name == "classify" else FEW)
        write_companion(fitted, file)
        companion = fitted
    if isinstance(companion, NgramCompanion):
        others, used = baseline_answers(task, training.rows, rows, companion), companion.rows
    else:
        others, used = _in_time(training, lambda some: baseline_answers(task, some.rows, rows), budget)
    if used < len(training.rows):
        report.note(message("make.baseline_fewer", used=used, rows=len(training.rows)), used=used)
    if isinstance(companion, ChainCompanion) and companion.rows < len(training.rows):
        report.note(message("make.companion_fewer", used=companion.rows, rows=len(training.rows)), used=companion.rows)
    held = Held(list(rows), others, companion)
    first = next(iter(held.others.values()), None)
    if first:
        start, tried = budget.clock(), held.some(TRIED)
        for known in figures_of(task, tried.rows, next(iter(tried.others.values())), source="")[:1]:
            # Curves of a run are read beside it before the run is over.
            told = message("make.to_beat", name=name_of(next(iter(held.others))), figure=known.line())
            report.note(told, to_beat=known.as_dict())
        if budget.seconds is not None:
            # The model's figures, the baselines', their difference, and every label by itself.
            budget.figure_seconds = 4 * (budget.clock() - start) / len(tried.rows)
    if wanted and companion is not None and budget.seconds is not None:
        asked, some = replace(task, companion=companion), training.features[:ANSWERED]
        width = len(task.outputs)
        start = budget.clock()
        for one in some:
            asked.answer(one, np.zeros((len(one.ids), width) if task.head == "token" else width))
        budget.figure_seconds += (budget.clock() - start) / len(some)
    return held


def _in_time(
    training: Examples, learn: Callable[[Examples], Learned], budget: Budget, *, many: int = MANY
) -> tuple[Learned, int]:
    """Return what is learned from all rows, or from as many, evenly over all, as a share of the budget allows; and how many."""
    count = len(training.rows)
    if budget.seconds is None or count < many:
        return learn(training), count
    learn(training.some(count // (8 * PART)))  # what is loaded once is not the rows'
    start, part = budget.clock(), count // PART
    found = learn(training.some(part))
    most = int(part * BASELINES * budget.seconds / (budget.clock() - start))
    if most <= 2 * part:
        return found, part
    return learn(training.some(most)), min(most, count)


def assess_model(
    task: Task,
    module: nn.Module,
    tokenizer: Tokenizer | None,
    training: Sequence[Row],
    valid: Examples,
    held: Held,
    files: tuple[Path | None, Path | None],
    max_length: int,
    result: TrainResult,
    report: Report,
) -> tuple[Assessment | None, list[Figure]]:
    """Tell what the rows say, and return the assessment on test rows, or on valid rows without them, and the figures on valid rows.

    Args:
        task: calibrated.
        module, tokenizer: the trained model, in evaluation mode.
        training: rows from which the baseline learns.
        valid: the valid rows that judged the weights.
        held: test rows, or where there are none those valid rows.
        files: names of the valid and of the test file, where there are any.
        max_length: tokens of a window.
        result: of the run; where answers have to be written token by token, what it found on valid rows is told instead.
        report: where the result is reported.
    """
    valid_file, test_file = files
    test = held.rows if test_file else []
    name = f"{_named(valid_file) if valid_file else 'rows set aside'}, {CHOSE}"
    known: list[Figure] = []
    assessment = None
    asked = [task, *([replace(task, companion=None)] if task.companion else [])]
    if task.head == "seq2seq" or (task.head == "causal" and test):
        # Reading them once more would say the same, and take time from learning.
        if result.best_score is not None:
            report.ledger(message("work.loss", name=name, loss=-result.best_score))
    else:
        predicted, *alone = answers_by(asked, module, tokenizer, valid.rows, max_length, windows=valid)
        if test:
            known = figures_of(task, valid.rows, predicted, source=name)
            report.ledger(message("work.named", name=name, text=known[0].line()))
        else:
            assessment = assess(task, training, valid.rows, predicted, source=name, report=report, others=held.others)
            known = assessment.metrics
    if test and test_file:
        predicted, *alone = answers_by(asked, module, tokenizer, test, max_length)
        assessment = assess(
            task, training, test, predicted, source=_named(test_file), report=report, others=held.others
        )
    if assessment and alone:
        source = assessment.metrics[0].source
        assessment = replace(assessment, joined=companion_gain(task, held.rows, predicted, alone[0], source=source))
        report.ledger(joined("join.clauses", [figure.line() for figure in assessment.joined]))
    return assessment, known


def _named(file: Path) -> str:
    return f"{file.resolve().parent.name}/{file.name}"
