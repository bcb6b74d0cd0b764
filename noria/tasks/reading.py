"""Records of a file as rows of a task: other tools' forms turned, columns named, labels cut, joined and reported.

    for line, row in rows_in(read_records("客服.csv"), Reading("classify", ("text", "label")), report):
        ...                     # {"text": "我要退货", "label": "退货"}, or the RowError in its place

A file is read whole, since what divides its labels and which of them are one is judged by all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from noria.core.errors import InputError, RowError
from noria.core.messages import message
from noria.core.progress import Report
from noria.text.labels import STRONG, Joined, one_label, parts_of, separator_of
from noria.text.records import Records

from .coded import NULLS, from_columns, refuse_codes, report_compound
from .forms import own_rows
from .records import as_row, columns_for, columns_text, opened

Row = dict[str, Any]
_LABELLED = ("classify", "numeric", "tag")


@dataclass(frozen=True)
class Reading:
    """What a task wants of a file."""

    task: str
    fields: tuple[str, ...]
    """Fields of its rows, the most important first."""
    labels: tuple[str, ...] = ()
    """Labels that a model already has; rows keep to the names it has for them."""
    many: bool = False
    """Whether a text may have several labels."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Field -> the column, or key, that holds it, as far as the person has said."""


def rows_in(records: Records, reading: Reading, report: Report | None = None) -> list[tuple[int, Row | RowError]]:
    """Return the rows of a file with their lines, and the errors that stand in the place of others."""
    table = records.format.has_columns
    known: dict[str, str] | None = None
    if records.columns is not None:
        known = _columns(records.source.name, records.columns, reading, report)
    entries: list[tuple[int, Row | RowError]] = []
    cells: set[int] = set()
    lists: set[int] = set()
    strong_separators: set[str] = set()
    for line, record in records:
        if isinstance(record, RowError):
            entries.append((line, record))
            continue
        try:
            rows = own_rows(opened(record) if table else record, reading.task, file=records.source.name, line=line)
        except RowError as error:
            entries.append((line, error))
            continue
        if records.format.kind == "text" and reading.task != "complete" and list(rows[0]) == ["text"]:
            raise InputError(
                message("tasks.plain_text", name=records.source.name, task=reading.task),
                found=record["text"],
                allowed=message("tasks.fields", fields=", ".join(reading.fields)),
                hint=message("tasks.write_table"),
            )
        if known is None:
            # Objects may differ: a key that was named need not be in the first.
            there = [*rows[0], *(column for column in reading.columns.values() if column not in rows[0])]
            known = _columns(records.source.name, there, reading, report)
        for row in rows:
            given = row.get(known.get("labels", "labels"))
            cell = isinstance(given, str) and not given.lstrip().startswith("[")
            strong_separators |= set(given) & set(STRONG) if isinstance(given, str) and cell else set()
            listed = "labels" in row and "labels" not in record
            row = as_row(row, known, table=table, numbers="features" in reading.fields)
            if table and str(row.get("label")).strip().casefold() in NULLS:
                row["label"] = None
            for one in ("spans", *(["labels"] if reading.many else [])):
                if row.get(one, ()) is None:
                    row[one] = []  # null is none
            if cell and "labels" in row:
                cells.add(len(entries))
            if listed and isinstance(row.get("labels"), list):
                lists.add(len(entries))
            entries.append((line, row))
    if reading.task == "classify":
        refuse_codes(records.source.name, entries)
        from_columns(records.source.name, entries, many=reading.many, report=report)
    if reading.task in _LABELLED or not reading.task:
        _cut(records.source.name, entries, cells, strong_separators, report)
        _join(records.source.name, entries, reading, report)
        _single(records.source.name, entries, lists, reading, report)
    return entries


def columns_used(records: Records, reading: Reading) -> dict[str, str]:
    """Return field -> column for a table, as `rows_in` takes them."""
    return _columns(records.source.name, records.columns, reading, None) if records.columns is not None else {}


def _columns(name: str, columns: Any, reading: Reading, report: Report | None) -> dict[str, str]:
    # A column that was named for one of the two is the truth: none is guessed for the other.
    named = {"label", "labels"} & reading.columns.keys()
    fields = [one for one in reading.fields if not named or one not in ("label", "labels") or one in named]
    found = columns_for(fields, columns, reading.columns)
    guessed = {one: column for one, column in found.items() if one not in reading.columns}
    if reading.many and "labels" not in found and ("labels" not in columns or "label" in named):
        if "label" in found:
            found["labels"] = found.pop("label")
        elif "label" in columns:
            found["labels"] = "label"
    if guessed and report:
        report.note(message("work.named", name=name, text=columns_text(guessed)), columns=found)
    return found


def _cut(
    name: str,
    entries: list[tuple[int, Row | RowError]],
    cells: set[int],
    strong_separators: set[str],
    report: Report | None,
) -> None:
    """Cut cells of several labels where their marks say so, and tell where."""
    rows = [entry for _, entry in entries if isinstance(entry, dict)]
    if not cells:
        _report_uncut(name, rows, report)
        return
    parts: list[str] = []
    for place in cells:
        entry = entries[place][1]
        assert isinstance(entry, dict)
        if isinstance(entry["labels"], str):  # of JSON: a table's cells are cut at | and the like already
            entry["labels"] = parts_of(entry["labels"], "".join(STRONG))
        if isinstance(entry["labels"], list):
            parts += [part for part in entry["labels"] if isinstance(part, str)]
    separators = separator_of(parts)
    cut, example = 0, None
    for place in sorted(cells):
        entry = entries[place][1]
        assert isinstance(entry, dict)
        given = entry["labels"]
        if isinstance(given, list) and all(isinstance(part, str) for part in given):
            entry["labels"] = [label for part in given for label in parts_of(part, separators)]
            if len(entry["labels"]) > 1:
                cut += 1
                example = example or entry["labels"]
    report_compound(name, entries, report)
    commas = sorted({part for part in parts if set(part) & {",", "，"}}) if not separators else []
    if report and example:
        told = " ".join(repr(mark) for mark in (*sorted(strong_separators), *separators))
        cut_at = message("work.cut_at", marks=told) if told else ""
        told = message("work.cells", cells=cut, cut_at=cut_at, first=" + ".join(example))
        report.note(message("work.named", name=name, text=told))
    if report and commas:
        report.note(message("work.named", name=name, text=message("work.commas", label=repr(commas[0]))))


def _report_uncut(name: str, rows: list[Row], report: Report | None) -> None:
    """Tell where one label looks like several, for a part of it stands alone elsewhere."""
    labels = Counter(row["label"] for row in rows if isinstance(row.get("label"), str))
    if not report or len(labels) > 10_000:
        return
    for label, count in labels.items():
        parts = parts_of(label, "".join(STRONG) + ",，")
        if len(parts) > 1 and any(part in labels for part in parts):
            other = next(part for part in parts if part in labels)
            told = message("work.one_label", rows=count, label=repr(label), other=repr(other))
            report.note(message("work.named", name=name, text=told))
            return


def _join(name: str, entries: list[tuple[int, Row | RowError]], reading: Reading, report: Report | None) -> None:
    """Give every label its one name, in place, and tell what was joined."""
    joined = Joined.for_labels(reading.labels)
    rows = [entry for _, entry in entries if isinstance(entry, dict)]
    for row in rows:
        if "label" in row:
            row["label"] = joined.take(row["label"])
        if isinstance(row.get("labels"), list):
            row["labels"] = [joined.take(label) for label in row["labels"]]
        if isinstance(row.get("spans"), list):
            row["spans"] = [
                {**span, "label": joined.take(span["label"])} if isinstance(span, dict) and "label" in span else span
                for span in row["spans"]
            ]
        if isinstance(row.get("tags"), list):
            row["tags"] = [_tag(tag) for tag in row["tags"]]
    if report:
        for line in joined.lines():
            report.note(message("work.named", name=name, text=line))
    if truths := joined.truths():
        for row in rows:
            if row.get("label") in truths:
                row["label"] = truths[row["label"]]
            if isinstance(row.get("labels"), list):
                row["labels"] = [truths.get(label, label) for label in row["labels"]]


def _tag(tag: object) -> object:
    return one_label(tag) if isinstance(tag, str) else tag


def _single(
    name: str, entries: list[tuple[int, Row | RowError]], lists: set[int], reading: Reading, report: Report | None
) -> None:
    """Read lists of one label each, as doccano writes them, as that label, unless some text has another number of them."""
    listed = [entries[place][1] for place in lists]
    if reading.many or not listed or not all(isinstance(row, dict) and len(row["labels"]) == 1 for row in listed):
        return
    for row in listed:
        assert isinstance(row, dict)
        row["label"] = row.pop("labels")[0]
    if report:
        report.note(message("work.named", name=name, text=message("work.lists_of_one")))
