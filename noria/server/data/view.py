"""Rows of a version as a person looks at them: a page at a time, searched and filtered, with the labels given since.

page(index, given, found, Wanted(search="退货", show="unlabelled", limit=20))     # Page(rows, total)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from noria.tasks.task import Row

from .labels import Mark
from .rows import Index, found_in, is_labelled, labels_in, rows_of

Show = Literal["all", "labelled", "unlabelled", "doubtful", "repeats"]
SHOWS: tuple[Show, ...] = ("all", "unlabelled", "labelled", "doubtful", "repeats")


@dataclass(frozen=True)
class Wanted:
    """Which rows of a version, and which page of them."""

    search: str = ""
    """Text that stands in one of the fields, in small or capital letters."""
    label: str = ""
    """Label that they have."""
    show: Show = "all"
    start: int = 0
    """Rows before the page."""
    limit: int = 50


@dataclass(frozen=True)
class Page:
    """Rows, and how many there are in all."""

    rows: list[dict[str, Any]]
    """Each {"row", "by", "doubt", "repeats"}: the row with its label of now, who gave it since the version, what speaks against it."""
    total: int


def page(index: Index, given: Mapping[str, Mark], found: Mapping[str, Any] | None, wanted: Wanted, task: str) -> Page:
    """Return a page of rows.

    Args:
        index: of the version.
        given: labels given since the version, by the id of the row.
        found: what `review` found of the version, if it was asked.
        wanted: which rows.
        task: what the rows are for.
    """
    doubts = {one["id"]: one for one in (found or {}).get("doubtful", ())}
    repeats = {one["id"]: one for one in (found or {}).get("repeats", ())}

    def shown(row: Row) -> dict[str, Any]:
        mark = given.get(row["id"])
        return {
            "row": marked(row, mark),
            "by": mark.by if mark else None,
            "doubt": doubts.get(row["id"]) if not mark else None,
            "repeats": repeats.get(row["id"]),
        }

    if wanted == Wanted(start=wanted.start, limit=wanted.limit):
        rows = index.rows(wanted.start, wanted.start + wanted.limit)
        return Page([shown(row) for row in rows], len(index))
    among: Iterator[Row] = rows_of(index.path)
    if wanted.show in ("doubtful", "repeats"):
        among = _among(index, doubts if wanted.show == "doubtful" else _whole_groups(repeats))
    needle, rows, total = wanted.search.casefold().strip(), [], 0
    for row in among:
        mark = given.get(row["id"])
        if wanted.show == "doubtful" and mark:
            continue  # a person has looked at it
        row = marked(row, mark)
        if (
            (wanted.show == "labelled" and not is_labelled(row, task))
            or (wanted.show == "unlabelled" and is_labelled(row, task))
            or (wanted.label and wanted.label not in labels_in(row))
            or (needle and not found_in(row, needle))
        ):
            continue
        if wanted.start <= total < wanted.start + wanted.limit:
            rows.append(shown(row))
        total += 1
    return Page(rows, total)


def marked(row: Row, mark: Mark | None) -> Row:
    """Return a row with what a person gave it, or without where they took it away."""
    if mark is None:
        return row
    kept = {name: value for name, value in row.items() if name != mark.field}
    return kept if mark.label is None else {**kept, mark.field: mark.label}


def _among(index: Index, wanted: Mapping[str, Any]) -> Iterator[Row]:
    for id in wanted:
        if (row := index.row(id)) is not None:
            yield row


def _whole_groups(repeats: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the ids of texts that come again, each after the one that it repeats, those of one group together."""
    groups: dict[str, dict[str, Any]] = {}
    for id, one in repeats.items():
        groups.setdefault(one["group"], {one["of"]: None})[id] = None
    return {id: None for ids in groups.values() for id in ids}
