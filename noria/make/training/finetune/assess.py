"""What valid and test rows say of a model that was just trained: always something, and always beside its baseline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer
from torch import nn

from noria.core.figure import Figure
from noria.core.progress import Report
from noria.make.evaluate.card import Assessment, assess, figures_of
from noria.make.evaluate.predict import answer_rows
from noria.make.training.loop.result import TrainResult
from noria.tasks.task import Row, Task

from .examples import Examples

CHOSE = "which chose the weights"
"""What a reader must know of figures on valid rows: they flatter a little."""


def assess_model(
    task: Task,
    module: nn.Module,
    tokenizer: Tokenizer | None,
    training: Sequence[Row],
    valid: Examples,
    test: Sequence[Row],
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
        test: held-out rows; may be none.
        files: names of the valid and of the test file, where there are any.
        max_length: tokens of a window.
        result: of the run; where answers have to be written token by token, what it found on valid rows is told instead.
        report: where the result is reported.
    """
    valid_file, test_file = files
    name = f"{_named(valid_file) if valid_file else 'rows set aside'}, {CHOSE}"
    known: list[Figure] = []
    assessment = None
    if task.head == "seq2seq":
        if result.best_score is not None:
            report.ledger(f"{name}: loss {-result.best_score:.3f}")
    else:
        predicted = answer_rows(task, module, tokenizer, valid.rows, max_length, windows=valid)
        if test:
            known = figures_of(task, valid.rows, predicted, source=name)
            report.ledger(f"{name}: {known[0].text()}")
        else:
            assessment = assess(task, training, valid.rows, predicted, source=name, report=report)
            known = assessment.metrics
    if test and test_file:
        told = answer_rows(task, module, tokenizer, test, max_length)
        assessment = assess(task, training, test, told, source=_named(test_file), report=report)
    return assessment, known


def _named(file: Path) -> str:
    return f"{file.resolve().parent.name}/{file.name}"
