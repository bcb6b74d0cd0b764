"""Versions of data sets as they are read: which there are, their files, pages of their rows, and how two of them differ."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from noria.core.errors import InputError
from noria.core.messages import message
from noria.server.errors import ApiError

from .kept import Change, DataSet, Store, check_name
from .labels import Journal
from .rows import TASKS, Index, labels_in, rows_of
from .view import Page, Wanted, page

_INDICES = 4
"""Versions of which it is remembered where their rows stand."""


class Versions:
    """The sets of a folder, read and not changed.

    Args:
        folder: where they lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._store = Store(folder)
        self._journals: dict[str, Journal] = {}
        self._indices: dict[Path, Index] = {}

    def list(self) -> Sequence[DataSet]:
        """Return all sets, those changed last first."""
        return sorted(self._store.sets().values(), key=lambda one: one.current.made, reverse=True)

    def get(self, name: str) -> DataSet:
        """Return a set.

        Raises:
            ApiError: there is none (404).
        """
        known = self._store.sets()
        if name not in known:
            raise ApiError(404, message("data.unknown"), code="not_found", found=name, allowed=list(known)[:20])
        return known[name]

    def versions(self, name: str) -> tuple[Change, ...]:
        """Return a set's changes, the first first; the last made what it is now."""
        return self.get(name).changes

    def place(self, name: str, *, add: bool = False, task: str = "") -> str:
        """Return the name under which a file may be taken, in its one form; what is wrong is known before the file is sent.

        Raises:
            InputError: the name or the task is none.
            ApiError: a set of that name is there already, or is not and should be (409, 404).
        """
        name = check_name(name)
        if task and task not in TASKS:
            raise InputError(message("data.task"), found=task, allowed=TASKS)
        if add:
            return self.get(name).name
        if name in self._store.sets():
            raise ApiError(409, message("data.exists"), code="exists", found=name, hint=message("data.add_to"))
        return name

    def page(self, name: str, wanted: Wanted, version: str = "") -> Page:
        """Return a page of a version's rows; of the current one with the labels given since."""
        one = self.get(name)
        marks = {} if version and version != one.current.version else self.journal(name).latest()
        at = version or one.current.version
        return page(self.index(name, at), marks, self.reviewed(name, at), wanted, one.task)

    def diff(self, name: str, before: str, after: str = "") -> dict[str, Any]:
        """Return how two versions differ: rows added, removed, labelled otherwise, and the rows of each label before and after."""
        one = self.get(name)
        changes = [one.at(before), one.at(after)]
        old, new = (
            {row["id"]: labels_in(row) for row in rows_of(self._file(name, change.version if change else "?"))}
            for change in changes
        )
        counts = [Counter(label for labels in side.values() for label in labels) for side in (old, new)]
        return {
            "before": before,
            "after": after or one.current.version,
            "added": len(new.keys() - old.keys()),
            "removed": len(old.keys() - new.keys()),
            "relabelled": sum(new[id] != labels for id, labels in old.items() if id in new),
            "labels": {label: [counts[0][label], counts[1][label]] for label in sorted(counts[0] | counts[1])},
        }

    def facts(self, name: str, version: str, what: str) -> dict[str, Any] | None:
        """Return what is kept beside a version: read, review or split; None where there is none."""
        path = self._beside(name, version, f"{what}.json")
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None

    def reviewed(self, name: str, version: str) -> dict[str, Any] | None:
        """Return what `review` found of a version, if it was asked."""
        return self.facts(name, version, "review")

    def journal(self, name: str) -> Journal:
        """Return the labels given since the last version."""
        number = len(self.get(name).changes)
        held = self._journals.get(name)
        if held is None or held.number != number:
            held = self._journals[name] = Journal(self.folder / name, number)
        return held

    def field(self, name: str) -> str:
        """Return the field that holds what the rows of a set should answer: label, labels or spans.

        Empty where no row has a label yet: then the first that is given decides between one and several.

        Raises:
            InputError: such rows are not labelled one by one.
            ApiError: there is no such set (404).
        """
        one = self.get(name)
        if one.task == "tag":
            return "spans"
        if one.task != "classify":
            raise InputError(message("data.no_keys"), found=one.task, allowed="classify, tag")
        known = [field for field in ("labels", "label") if field in one.current.columns]
        given = (mark.field for mark in self.journal(name).latest().values() if mark.label is not None)
        return known[0] if known else next(given, "")

    def index(self, name: str, version: str = "") -> Index:
        """Return where each row of a version stands; of the versions that were asked for last it is remembered."""
        path = self._file(name, version)
        if path not in self._indices:
            made = Index(path)
            while len(self._indices) >= _INDICES:
                self._indices.pop(next(iter(self._indices)))
            self._indices[path] = made
        return self._indices[path]

    def _file(self, name: str, version: str = "") -> Path:
        change = self.get(name).at(version)
        if change is None:
            raise no_version(version)
        return self.folder / name / f"{change.version}.jsonl"

    def _beside(self, name: str, version: str, what: str) -> Path:
        return self.folder / name / f"{version}.{what}"


def no_version(version: str) -> ApiError:
    """Return the error of a version that a set does not have."""
    return ApiError(404, message("data.no_version"), code="not_found", found=version)
