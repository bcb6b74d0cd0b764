"""Rows for a model that is there: read as those that it was trained on, by the columns that its folder remembers.

    rows = rows_for(read_manifest(folder), Path("工单.csv"))        # judged on, certified on
    given = given_for(read_manifest(folder), Path("工单.csv"))      # only what a model is asked: no truth needed

`remembered(...)` is what training writes into the folder's facts for it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from noria.core.errors import InputError, RowError
from noria.core.folder import Manifest, sha256_file
from noria.core.messages import message
from noria.core.progress import Report
from noria.text.records import read_records

from .forms import form_of
from .records import as_row, columns_for, opened
from .task import Row, Task, read_rows, task_of

ASKED: dict[str, tuple[str, ...]] = {"embed": ("anchor", "positive", "negative"), "answer": ("question", "context")}
"""Task -> fields of a row that it reads, the truth apart; of other tasks text and pair."""


def remembered(rows: Sequence[Row], columns: Mapping[str, str]) -> dict[str, Any]:
    """Return the facts by which `rows_for` reads other rows like these: the columns that were named, and whether they are pairs."""
    return {"columns": dict(columns), "pairs": bool(rows) and all("pair" in row for row in rows)}


def rows_for(
    manifest: Manifest,
    file: Path,
    columns: Mapping[str, str] | None = None,
    *,
    skip_bad: bool = False,
    report: Report | None = None,
) -> list[Row]:
    """Return the checked rows of a file, as the model's task has them.

    Args:
        manifest: of the model folder; the columns that its training named are taken where the file has them.
        file: in any format that is read.
        columns: field -> column of this file; stands above what is remembered.
        skip_bad: count bad rows instead of refusing the first.
        report: where skipped rows and guessed columns are reported.

    Raises:
        FolderError: the folder is no model.
        InputError, RowError: the file cannot be used, or lacks the second texts of pairs.
    """
    task = task_of(manifest)
    rows = read_rows(file, task, skip_bad=skip_bad, report=report, columns=_known(manifest, _fields(file), columns))
    _check_pairs(manifest, rows, file)
    return rows


def given_for(
    manifest: Manifest,
    file: Path,
    columns: Mapping[str, str] | None = None,
    *,
    skip_bad: bool = False,
    report: Report | None = None,
) -> list[Row] | None:
    """Return what the rows of a file ask a model, without the truth, which they need not hold; None where it holds no rows for it.

    Arguments and errors as of `rows_for`.
    """
    task = task_of(manifest)
    if _in_a_form_for(task, file):
        return [_asked(task, row) for row in rows_for(manifest, file, columns, skip_bad=skip_bad, report=report)]
    present = _fields(file)
    known = _known(manifest, present, columns)
    if present is None:
        return None
    records = read_records(file)
    if records.columns is not None:
        known = columns_for(task.columns, records.columns, known)
    held = {*present, *known}
    if held & {"label", "labels", "spans", "tokens", "anchor"} and held & set(task.columns):
        return [_asked(task, row) for row in rows_for(manifest, file, columns, skip_bad=skip_bad, report=report)]
    if "text" not in held:
        return None
    given, skipped = [], 0
    for line, record in records:
        row = record if isinstance(record, RowError) else as_row(record, known, table=records.format.has_columns)
        if isinstance(row, RowError) or not isinstance(row.get("text"), str) or not row["text"].strip():
            fault = (
                row
                if isinstance(row, RowError)
                else RowError(message("tasks.text"), file=file, line=line, field="text")
            )
            if not skip_bad:
                raise fault
            skipped += 1
            continue
        given.append({name: row[name] for name in ("text", "pair") if isinstance(row.get(name), str)})
    if skipped and report:
        report.note(message("work.named", name=file, text=message("work.textless", rows=skipped)), skipped=skipped)
    _check_pairs(manifest, given, file)
    return given


def report_made_from(manifest: Manifest, file: Path, report: Report) -> bool:
    """Say where a file of held-out rows is one that the model was made from, byte for byte; return whether it is."""
    found = file.is_file() and sha256_file(file) in {one.sha256 for one in manifest.sources}
    if found:
        report.note(
            message("work.remembered", name=file.name),
            leaked=True,
        )
    return found


def _asked(task: Task, row: Row) -> Row:
    return {name: row[name] for name in ASKED.get(task.name, ("text", "pair", "places")) if name in row}


def _known(manifest: Manifest, present: Collection[str] | None, columns: Mapping[str, str] | None) -> dict[str, str]:
    """Return field -> column: what is named now, and what training named where the file has such a column."""
    before = manifest.facts.get("columns") or {}
    return {**{field: column for field, column in before.items() if column in (present or ())}, **(columns or {})}


def _fields(file: Path) -> Collection[str] | None:
    """Return the columns of a table, or the fields of the first record that can be read; None of a folder or of prose."""
    if file.is_dir():
        return None
    records = read_records(file)
    if records.format.kind == "text" or not records.has_rows:
        return None
    if records.columns is not None:
        return records.columns
    return next((record for _, record in records if not isinstance(record, RowError)), None)


def _in_a_form_for(task: Task, file: Path) -> bool:
    """Say whether a file's first record is in another tool's form for the task: its text stands elsewhere, or not alone."""
    if file.is_dir():
        return False
    records = read_records(file)
    if not records.has_rows:
        return False
    first = next((record for _, record in records if not isinstance(record, RowError)), None)
    form = form_of(opened(first) if records.format.has_columns else first, task.name) if first else None
    return form is not None and task.name in form.tasks


def _check_pairs(manifest: Manifest, rows: Sequence[Row], file: Path) -> None:
    alone = sum("pair" not in row for row in rows)
    if manifest.facts.get("pairs") and alone:
        raise InputError(
            message("tasks.holds_texts", file=file),
            found=message("tasks.rows", alone=alone, rows=len(rows)),
            allowed=message("tasks.text_pair"),
            hint=message("tasks.name_column"),
        )
