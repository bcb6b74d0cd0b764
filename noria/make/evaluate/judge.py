"""A model folder judged on a file of rows: its figures with intervals, its baseline where training rows are given, another model beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from noria.core.errors import SettingError
from noria.core.figure import Figure
from noria.core.folder import Manifest, read_manifest
from noria.core.messages import message, term
from noria.core.progress import Report
from noria.infer.device import chosen, placed
from noria.machine import allowed_here, computing
from noria.make.models.load import load_for
from noria.make.training.finetune.leaks import find_leaks
from noria.tasks.companion import open_task
from noria.tasks.remembered import report_made_from, rows_for
from noria.tasks.task import Answer, Row, Task

from .card import assess, figures_of, paired_difference
from .labels import by_label, line
from .predict import answer_rows

APART = 20
"""Texts that are shown on which two models differ."""
_LONGEST = 300
"""Characters of them."""


def judge(
    folder: Path,
    rows_file: Path,
    report: Report,
    *,
    training_file: Path | None = None,
    columns: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    device: str = "cpu",
    beside: Path | None = None,
) -> list[Figure]:
    """Return the figures of a fine-tuned model on rows it was not trained on.

    Args:
        folder: a model folder of any task that learns from rows.
        rows_file: held-out rows.
        report: where the plan goes.
        training_file: rows from which the baseline learns; without it there is none beside the figures.
        columns: field -> column of the files; stands above the columns that the folder remembers from its training.
        skip_bad: count bad rows instead of refusing the first.
        device: where the model computes; see `noria.infer.device.chosen`.
        beside: folder of another model for the same task, judged on the same rows: the last figure is the difference of the two, pair by pair.

    Raises:
        FolderError: the folder is no usable model.
        SettingError: its task has no rows to be judged by, the other model has another task, or there is no such device.
        RowError, InputError: a file of rows cannot be used.
    """
    manifest = read_manifest(folder)
    task = open_task(folder, manifest)
    if task.name == "complete":
        raise SettingError(message("make.model_completes"), found=task.name)
    rows = rows_for(manifest, rows_file, columns, skip_bad=skip_bad, report=report)
    training = rows_for(manifest, training_file, columns, skip_bad=skip_bad, report=report) if training_file else None
    report_made_from(manifest, rows_file, report)
    if training:
        find_leaks(task, training, {"test": rows}, report).report_to(report)
    predicted = _answers(folder, manifest, task, rows, report, device)
    if labels := by_label(task, rows, predicted, source=rows_file.name):
        report.ledger(line(labels))
    if training is None:
        found = figures_of(task, rows, predicted, source=rows_file.name)
    else:
        found = assess(task, training, rows, predicted, source=rows_file.name).metrics
    if beside is None:
        return found
    return [*found, *_beside(beside, task, rows, predicted, rows_file, report, device)]


def _answers(
    folder: Path, manifest: Manifest, task: Task, rows: Sequence[Row], report: Report, device: str
) -> list[Answer]:
    place = chosen(device)
    module, tokenizer = load_for(folder, task)
    module = placed(module, place)
    # As it was judged when it was made, so that the figures are the same; but never in numbers that this machine emulates.
    made = manifest.facts.get("number_type", "fp32")
    number_type = allowed_here(made, str(place))
    told = "" if made == number_type else message("work.made_in", number_type=made)
    report.plan(message("work.evaluate", name=folder.name, rows=len(rows), number_type=number_type, made=told))
    with computing(number_type):
        return answer_rows(task, module, tokenizer, rows, manifest.facts["max_length"])


def _beside(
    folder: Path,
    task: Task,
    rows: Sequence[Row],
    predicted: Sequence[Answer],
    rows_file: Path,
    report: Report,
    device: str,
) -> list[Figure]:
    """Return the measures of another model on the same rows, and by how much the first lies above it; texts on which they differ are told."""
    manifest = read_manifest(folder)
    other = open_task(folder, manifest)
    if other.name != task.name:
        raise SettingError(message("make.beside_task", name=folder.name), found=other.name, allowed=task.name)
    answers = _answers(folder, manifest, other, rows, report, device)
    apart = [_apart(task, row, one, two) for row, one, two in zip(rows, predicted, answers, strict=True)]
    shown = [one for one in apart if one is not None]
    report.note(message("make.apart", count=len(shown), rows=len(rows)), apart=shown[:APART])
    model, beside = task.scores(rows, predicted), other.scores(rows, answers)
    figures = figures_of(other, rows, answers, source=rows_file.name)
    named = [
        replace(one, name=message("figures.of_model", measure=term(one.name), model=folder.name)) for one in figures
    ]
    return [*named, paired_difference(model[0], beside[0], rows_file.name, folder.name)]


def _apart(task: Task, row: Row, one: Answer, other: Answer) -> dict[str, Any] | None:
    """Return a text with the truth and what two models made of it, where that differs."""
    said = [_as_text(answer) for answer in (one, other)]
    if said[0] == said[1]:
        return None
    text = " / ".join(task.texts(row))
    return {
        "text": text[:_LONGEST],
        "truth": _as_text(row)[:_LONGEST],
        "one": said[0][:_LONGEST],
        "other": said[1][:_LONGEST],
    }


def _as_text(answer: Mapping[str, Any]) -> str:
    """Return what an answer, or the truth of a row, comes to, without its probabilities; empty where it has no such form."""
    if "spans" in answer:
        return "; ".join(f"{span['label']} {span['start']}–{span['end']}" for span in answer["spans"])
    found = next((answer[name] for name in ("label", "labels", "text", "target", "answer") if name in answer), "")
    return ", ".join(map(str, found)) if isinstance(found, list) else str(found)
