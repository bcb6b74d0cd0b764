"""Texts and rows that a command was given, read for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from noria.core.folder import Source, read_manifest, sha256_file
from noria.core.progress import Report
from noria.make.training.settings import ReadSettings
from noria.tasks.remembered import given_for, rows_for
from noria.tasks.task import Row, task_of

_READ = ("text", "pair", "question", "context", "anchor", "positive")
"""Fields that a model reads; what a row holds beside them is the truth."""


def texts_of(*sources: Path) -> Iterator[str]:
    """Yield the texts of files and folders of documents.

    Raises:
        InputError: one is missing, of an unknown kind, or holds a row without text.
    """
    from noria.make.corpus.documents import files_of, read_documents
    from noria.make.corpus.settings import CleanSettings

    return (document.text for document in read_documents(files_of(sources), CleanSettings()))


def calibration_texts(model: Path, file: Path, reading: ReadSettings, report: Report) -> list[str | Row]:
    """Return what shows a model what is to come: rows as its task reads them, the truth apart, else the texts of documents.

    Raises:
        FolderError: `model` is no model folder.
        InputError, RowError: the file cannot be used.
    """
    rows = given_for(read_manifest(model), file, reading.columns, skip_bad=reading.skip_bad_rows, report=report)
    return list(texts_of(file)) if rows is None else list(rows)


def report_calibrated(calibration: Sequence[str | Row], held_out: Sequence[Row], report: Report) -> None:
    """Say how many held-out rows are also calibration texts: an engine that was fitted to a text is no judge of it."""
    known = {_whole(row) for row in calibration}
    met = sum(_whole(row) in known for row in held_out)
    if met:
        report.note(
            f"{met:,} of {len(held_out):,} held-out rows are also calibration texts: the certificate flatters",
            leaked=met,
        )


def _whole(row: str | Row) -> tuple[str, ...]:
    return (row,) if isinstance(row, str) else tuple(str(row[name]) for name in _READ if name in row)


def training_texts(corpus: Path) -> tuple[Iterator[str], list[Source]]:
    """Return the texts to learn from, and their lineage: of a corpus folder its train.jsonl files, else all there is."""
    from noria.make.corpus.documents import files_of

    files = sorted(corpus.rglob("train.jsonl")) if corpus.is_dir() else []
    files = files or files_of([corpus])
    return texts_of(*files), [Source(file.name, sha256_file(file)) for file in files]


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
    return [{"text": text} for text in texts_of(file)] if rows is None else rows
