"""The rows that a compressed model is shown and judged on: read as its task reads them, as many as asked for, none in both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from noria.core.folder import read_manifest
from noria.core.messages import message
from noria.core.progress import Report
from noria.make.corpus.texts import texts_of
from noria.make.training.settings import ReadSettings
from noria.tasks.remembered import given_for, rows_for
from noria.tasks.task import Row, task_of

_READ = ("text", "pair", "question", "context", "anchor", "positive")
"""Fields that a model reads; what a row holds beside them is the truth."""


def calibration_texts(model: Path, file: Path, reading: ReadSettings, report: Report) -> list[str | Row]:
    """Return what shows a model what is to come: rows as its task reads them, the truth apart, else the texts of documents.

    Raises:
        FolderError: `model` is no model folder.
        InputError, RowError: the file cannot be used.
    """
    rows = given_for(read_manifest(model), file, reading.columns, skip_bad=reading.skip_bad_rows, report=report)
    return list(texts_of(file, report=report)) if rows is None else list(rows)


def held_out_rows(model: Path, file: Path, reading: ReadSettings, report: Report) -> list[Row]:
    """Return the rows that a model is judged on; for one that embeds, pairs, or texts alone.

    Raises:
        FolderError: `model` is no model folder.
        InputError, RowError: the file cannot be used.
    """
    manifest = read_manifest(model)
    if task_of(manifest).name != "embed":
        return rows_for(manifest, file, reading.columns, skip_bad=reading.skip_bad_rows, report=report)
    rows = given_for(manifest, file, reading.columns, skip_bad=reading.skip_bad_rows, report=report)
    return [{"text": text} for text in texts_of(file, report=report)] if rows is None else rows


def spread(rows: list[Row], most: int | None) -> list[Row]:
    """Return at most that many rows, evenly over all: a file may stand in the order of its labels."""
    if most is None or len(rows) <= most:
        return rows
    return [rows[place * len(rows) // most] for place in range(most)]


def report_calibrated(calibration: Sequence[str | Row], held_out: Sequence[Row], report: Report) -> None:
    """Say how many held-out rows are also calibration texts: an engine that was fitted to a text is no judge of it."""
    known = {_whole(row) for row in calibration}
    met = sum(_whole(row) in known for row in held_out)
    if met:
        report.note(
            message("work.calibrated", met=met, rows=len(held_out)),
            leaked=met,
        )


def _whole(row: str | Row) -> tuple[str, ...]:
    return (row,) if isinstance(row, str) else tuple(str(row[name]) for name in _READ if name in row)
