"""A model folder judged on a file of rows: its figures with intervals, and its baseline where training rows are given."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from noria.core.errors import SettingError
from noria.core.figure import Figure
from noria.core.folder import read_manifest
from noria.core.messages import message
from noria.core.progress import Report
from noria.infer.device import chosen, placed
from noria.machine import allowed_here, computing
from noria.make.models.load import load_for
from noria.make.training.finetune.leaks import find_leaks
from noria.tasks.companion import open_task
from noria.tasks.remembered import report_made_from, rows_for

from .card import assess, figures_of
from .labels import by_label, line
from .predict import answer_rows


def judge(
    folder: Path,
    rows_file: Path,
    report: Report,
    *,
    training_file: Path | None = None,
    columns: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    device: str = "cpu",
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

    Raises:
        FolderError: the folder is no usable model.
        SettingError: its task has no rows to be judged by, or there is no such device.
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
    place = chosen(device)
    module, tokenizer = load_for(folder, task)
    module = placed(module, place)
    # As it was judged when it was made, so that the figures are the same; but never in numbers that this machine emulates.
    made = manifest.facts.get("number_type", "fp32")
    number_type = allowed_here(made, str(place))
    told = "" if made == number_type else f", made in {made}, which is no faster here: last digits may differ"
    report.plan(f"evaluate {folder.name}: {len(rows):,} rows, {number_type}{told}")
    with computing(number_type):
        predicted = answer_rows(task, module, tokenizer, rows, manifest.facts["max_length"])
    if labels := by_label(task, rows, predicted, source=rows_file.name):
        report.ledger(line(labels))
    if training is None:
        return figures_of(task, rows, predicted, source=rows_file.name)
    return assess(task, training, rows, predicted, source=rows_file.name).metrics
