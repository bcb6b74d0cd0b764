"""Labels that are not written as names: a column for each with 0 and 1, lists of 0 and 1, words for nothing, names in one."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from noria.core.errors import InputError, RowError
from noria.core.messages import message
from noria.core.progress import Report

Entries = list[tuple[int, dict[str, Any] | RowError]]
NULLS = frozenset(("nan", "null", "#n/a", "#na", "<na>", "nat", "\\n"))
"""What other programs write into a table's cell for no value at all. None and N/A may be names of labels."""
_INPUTS = ("text", "pair")
_OTHER_MARKS = re.compile(r"[/／+＋&＆#\\·\t >]+")
"""Marks that stand between names in some files and inside a name in others: nothing is cut at them, but it is told."""


def refuse_codes(name: str, entries: Entries) -> None:
    """Refuse lists of 0 and 1 in the place of labels: they say nothing of the labels' names.

    Raises:
        InputError: every list of labels is one of zeros and ones, all of one length.
    """
    lists = [row["labels"] for _, row in entries if isinstance(row, dict) and isinstance(row.get("labels"), list)]
    sizes = {len(one) for one in lists}
    if len(sizes) != 1 or sizes == {0} or sizes == {1}:
        return
    if all(isinstance(code, int | float) and code in (0, 1) for one in lists for code in one):
        raise InputError(
            message("tasks.lists_place", name=name),
            found=lists[0],
            allowed='["a", "b"]',
            hint=message("tasks.write_names"),
        )


def from_columns(name: str, entries: Entries, *, many: bool, report: Report | None) -> None:
    """Give rows without a label those of their columns that hold 1, where two columns or more hold 0 and 1 alone.

    Raises:
        InputError: a text has none of them or several, and one label is wanted.
    """
    rows = [row for _, row in entries if isinstance(row, dict)]
    if not rows or any("label" in row or "labels" in row for row in rows):
        return
    names = [key for key in rows[0] if key not in _INPUTS and all(_bit(row.get(key)) is not None for row in rows)]
    if len(names) < 2:
        return
    counts = Counter(sum(bool(_bit(row[key])) for key in names) for row in rows)
    if not many and set(counts) != {1}:
        raise InputError(
            message("tasks.columns_rows", name=name, names=len(names), rows=len(rows) - counts[1], rows_2=len(rows)),
            found=", ".join(names),
            hint=message("tasks.many_reads"),
        )
    for row in rows:
        found = [key for key in names if _bit(row[key])]
        row |= {"labels": found} if many else {"label": found[0]}
    if report:
        report.note(
            message("work.named", name=name, text=message("work.coded", columns=", ".join(names))), columns=names
        )


def report_compound(name: str, entries: Entries, report: Report | None) -> None:
    """Tell where one label looks like several, for all its parts between other marks stand alone elsewhere."""
    labels = Counter(
        label
        for _, row in entries
        if isinstance(row, dict) and isinstance(row.get("labels"), list)
        for label in row["labels"]
        if isinstance(label, str)
    )
    compound = [
        label
        for label in labels
        if len(parts := [part for part in _OTHER_MARKS.split(label) if part]) > 1
        and any(part in labels for part in parts)
    ]
    if compound and report:
        report.note(
            message(
                "work.named", name=name, text=message("work.compound", labels=len(compound), first=repr(compound[0]))
            )
        )


def _bit(value: object) -> bool | None:
    """Return what 0, 1, 0.0, true and the like say; None of anything else."""
    told = str(value).strip().casefold()
    return {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}.get(told)
