"""Data sets of a team: uploads, labels, versions by hash; every change is made whole or not at all, and audited.

    sets = DataSets(lake / "server" / "data")
    with sets.part() as part:                                    # the upload is streamed into it
        sets.take("客服", part / "客服.csv", by="ann")
    sets.label("客服", [Given("3f2a91c0-2", "退货", seen=None)], by="ann")
    sets.path("客服")                                            # JSON Lines that `noria build finetune` takes

All methods block: a server calls them in threads.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from noria.core.errors import InputError
from noria.core.folder import sync, write_json
from noria.core.messages import message
from noria.server.errors import ApiError
from noria.text.columns import no_such_column

from .child import REPORT, ROWS, in_child
from .kept import Change, DataSet
from .labels import Journal, Mark, Truth, truth_of
from .review import MOST_DOUBTFUL
from .rows import TASKS, Written, is_labelled, rows_of, write_rows
from .versions import Versions, no_version
from .view import marked

Audit = Callable[..., None]
"""Takes actor, action and subject, and facts by name."""
_TRIES = 3
_COLUMN = re.compile(r"[^\s](?:.{0,98}[^\s])?")


@dataclass(frozen=True)
class Given:
    """What somebody gives a row."""

    id: str
    label: Truth | None
    """A label, a list of labels, or spans [{start, end, label}], as the rows of the set have them; None takes it away."""
    seen: Truth | None = None
    """What they saw there: where somebody else gave another meanwhile they are told."""


class DataSets(Versions):
    """The data sets of a server.

    Args:
        folder: where they lie.
        audit: told of every change.
        now: gives the present, UTC.
    """

    def __init__(
        self, folder: Path, audit: Audit | None = None, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        super().__init__(folder)
        self._audit, self._now = audit or (lambda *told, **facts: None), now

    def path(self, name: str, version: str = "", part: str = "", *, by: str = "") -> Path:
        """Return a file of rows that say what a model should answer, as JSON Lines {id, text, label ...}.

        Labels given since the last version become one first, where no version is named.

        Args:
            name: the set.
            version: the one it is now where left out.
            part: train, valid or test, once the version was split.
            by: who asks.

        Raises:
            ApiError: no such set, version or part (404).
        """
        if not version:
            self.keep(name, by)
        file = self._file(name, version)
        if part:
            file = file.with_name(f"{file.stem}.{part}.jsonl")
            if part not in ("train", "valid", "test") or not file.exists():
                raise ApiError(404, message("data.not_split"), code="not_found", found=part)
            return file
        ready = file.with_name(f"{file.stem}.labelled.jsonl")
        return ready if ready.exists() else file

    def file(self, name: str, version: str = "", *, by: str = "") -> Path:
        """Return the file of all rows of a version, those without a label too; else as `path`."""
        if not version:
            self.keep(name, by)
        return self._file(name, version)

    def part(self) -> AbstractContextManager[Path]:
        """Give an empty folder to stream an upload into; nothing of it is left when the block ends."""
        return self._store.part()

    def take(self, name: str, file: Path, *, by: str, task: str = "", add: bool = False) -> dict[str, Any]:
        """Read a file as a new set, or behind the rows of one, and return what was read and what was not.

        Args:
            name: the set's.
            file: the upload, in a folder of `part`.
            by: whose it is.
            task: what the rows are for; of a set that is there, what it is for already.
            add: the set is there, and gets the rows besides its own.

        Raises:
            InputError: the name or the file cannot be used; nothing was changed.
            ApiError: a set of that name is there already, or is not (409, 404).
        """
        name = self.place(name, add=add, task=task)
        for last in range(_TRIES - 1, -1, -1):
            base: Change | None = None
            if add:
                self.keep(name, by)
                base = self.get(name).current
            kind = self.get(name).task if add else task or "classify"
            asked = {"base": str(self._file(name, base.version).resolve())} if base else {}
            told = in_child("read", file.parent, file=file.name, task=kind, out=ROWS, **asked)
            written = Written(**told["written"])
            action, count = ("add" if add else "upload"), told["read"]["taken"]
            with self._store.changing() as sets:
                if not add:
                    self.place(name)
                held = sets.get(name)
                if base and (held is None or held.current.version != base.version):
                    if last:
                        continue
                    raise _changed(self.get(name))
                one = held or DataSet(name, kind)
                change = self._change(written, by, action, file=file.name, count=count)
                sets[name] = self._installed(one, file.with_name(ROWS), change)
                shutil.copyfile(file.with_name(REPORT), self._beside(name, written.version, "read.json"))
            self._audit(by, f"data.{action}", name, version=written.version, file=file.name, rows=count)
            return dict(told["read"])
        raise AssertionError

    def columns(
        self, name: str, columns: Mapping[str, str | None], *, by: str, version: str, task: str = ""
    ) -> dict[str, Any]:
        """Rename columns, drop those whose new name is None, and read the rows anew, as for another task where one is named.

        Raises:
            InputError: a column is not there, two would have one name, or no row is left.
            ApiError: no such set, or somebody changed it since `version` (404, 409).
        """
        known = self._expected(name, version)
        kind = task or known.task
        if kind not in TASKS:
            raise InputError(message("data.task"), found=kind, allowed=TASKS)
        self.keep(name, by)
        base = self.get(name).current
        for old, new in columns.items():
            if old not in base.columns or old == "id":
                raise no_such_column(old, base.columns)
            if new is not None and (not _COLUMN.fullmatch(new) or not new.isprintable() or new == "id"):
                raise InputError(message("data.column_name"), found=new, allowed=message("data.column_allowed"))
        names = Counter(columns.get(one, one) for one in base.columns)
        if twice := [one for one, count in names.items() if one is not None and count > 1]:
            raise InputError(message("text.two_columns", source=name), found=", ".join(str(one) for one in twice))
        with self.part() as part:
            source = str(self._file(name, base.version).resolve())
            told = in_child("edit", part, base=source, columns=dict(columns), task=kind, out=ROWS)
            change = self._change(Written(**told["written"]), by, "columns", count=len(columns))
            with self._store.changing() as sets:
                sets[name] = self._installed(self._still(sets, name, base), part / ROWS, change, task)
                told["read"]["file"] = base.file
                write_json(self._beside(name, change.version, "read.json"), told["read"])
        self._audit(by, "data.columns", name, version=change.version, task=kind)
        return dict(told["read"])

    def label(self, name: str, given: Sequence[Given], *, by: str) -> Sequence[Mark]:
        """Give rows labels or spans, durable when this returns; return those of somebody else that were replaced unseen.

        Raises:
            InputError: there is no such row, its set is not labelled row by row, or what is given is none for it.
            ApiError: no such set (404).
        """
        self.field(name)
        marks, unseen, at = [], [], self._now().isoformat(timespec="seconds")
        self.index(name)  # made while nobody waits for it
        with self._store.changing() as sets:
            self._still(sets, name)
            journal, index = self.journal(name), self.index(name)
            latest, field = dict(journal.latest()), self.field(name)
            for one in given:
                row = index.row(one.id)
                if row is None:
                    raise InputError(message("data.unknown_row"), found=one.id)
                if not field and one.label is not None:
                    field = "label" if isinstance(one.label, str) else "labels"
                held, place = latest.get(one.id), field or "label"
                was = held.label if held else row.get(place)
                label = None if one.label is None else truth_of(one.label, place, row)
                if was not in (one.seen, label):
                    change = sets[name].current
                    unseen.append(held or Mark(one.id, was, None, change.by, change.made, place))
                latest[one.id] = Mark(one.id, label, was, by, at, place)
                marks.append(latest[one.id])
            journal.add(marks)
        return unseen

    def keep(self, name: str, by: str) -> Change | None:
        """Make a version of the labels given since the last one; None where there are none."""
        self.get(name)
        if not self.journal(name).latest():
            return None
        with self._store.changing() as sets, self.part() as part:
            one, marks = self._still(sets, name), dict(self.journal(name).latest())
            if not marks:  # somebody else was faster
                return None
            rows = (marked(row, marks.get(row["id"])) for row in rows_of(self._file(name, one.current.version)))
            change = self._change(write_rows(part / ROWS, rows, one.task), by, "label", count=len(marks))
            sets[name] = self._installed(one, part / ROWS, change)
            if sets[name] == one:  # each was taken back
                self.journal(name).path.unlink()
                return None
        self._audit(by, "data.label", name, version=change.version, rows=len(marks))
        return change

    def remove(self, name: str, *, by: str, version: str, ids: Sequence[str] = (), repeats: bool = False) -> Change:
        """Make a version without some rows: those named, or the texts that come again, of which the first stays.

        Raises:
            InputError: none of them is there, or all are.
            ApiError: no such set, or somebody changed it since `version` (404, 409).
        """
        self._expected(name, version)
        self.keep(name, by)
        base = self.get(name).current
        gone = set(ids)
        if repeats:
            found = self.review(name, by=by)
            gone |= {one["id"] for one in found["repeats"] if one["reason"] != "conflicting labels"}
        with self.part() as part:
            kept = (row for row in rows_of(self._file(name, base.version)) if row["id"] not in gone)
            written = write_rows(part / ROWS, kept, self.get(name).task)
            if written.rows in (0, base.rows):
                raise InputError(message("data.none_left" if not written.rows else "data.none_removed"))
            change = self._change(written, by, "remove", count=base.rows - written.rows)
            with self._store.changing() as sets:
                sets[name] = self._installed(self._still(sets, name, base), part / ROWS, change)
        self._audit(by, "data.remove", name, version=change.version, rows=change.count)
        return change

    def back(self, name: str, version: str, *, by: str) -> Change:
        """Make an earlier version the current one; what came after it stays among the versions.

        Raises:
            ApiError: no such set or version (404).
        """
        self.keep(name, by)
        with self._store.changing() as sets:
            one = self._still(sets, name)
            earlier = one.at(version) if version else None
            if earlier is None:
                raise no_version(version)
            made = self._now().isoformat(timespec="seconds")
            change = replace(earlier, made=made, by=by, action="back", count=0)
            if one.current.version != version:
                sets[name] = one.changed(change)
                self._carry(sets[name])
        self._audit(by, "data.back", name, version=version)
        return change

    def delete(self, name: str, *, by: str) -> None:
        """Remove a set with all of its versions.

        Raises:
            ApiError: there is none (404).
        """
        self.get(name)
        with self._store.changing() as sets:
            rows = self._still(sets, name).current.rows
            del sets[name]
        with self._store.changing() as sets:
            if name not in sets:  # nobody has made another of that name meanwhile
                shutil.rmtree(self.folder / name, ignore_errors=True)
        self._audit(by, "data.delete", name, rows=rows)

    def review(self, name: str, *, by: str = "", anew: bool = False) -> dict[str, Any]:
        """Find doubtful labels and texts that come again in the current version, once unless `anew`; see `noria.server.data.review`."""
        self.keep(name, by)
        one = self.get(name)
        found = self.reviewed(name, one.current.version)
        if found is not None and not anew:
            return found
        with self.part() as part:
            source = str(self._file(name, one.current.version).resolve())
            in_child("look", part, base=source, task=one.task, out="review.json")
            with self._store.changing() as sets:
                self._still(sets, name)
                (part / "review.json").replace(self._beside(name, one.current.version, "review.json"))
        return self.reviewed(name, one.current.version) or {}

    def doubt(self, name: str, version: str, doubtful: Sequence[dict[str, Any]], *, judged: int, model: str) -> None:
        """Keep what a served model doubts of a version, in the place of what the light one did.

        Args:
            name: the set.
            version: one that was reviewed.
            doubtful: rows as `review` gives them, the most doubtful first.
            judged: how many rows it was asked about.
            model: its name.
        """
        found = self.reviewed(name, version) or {}
        told = {"doubtful": list(doubtful[:MOST_DOUBTFUL]), "doubtful_rows": len(doubtful), "judged": judged}
        write_json(self._beside(name, version, "review.json"), {**found, **told, "model": model})

    def split(self, name: str, *, by: str, valid: float = 0.1, test: float = 0.1, seed: int = 0) -> dict[str, Any]:
        """Divide the rows of the current version into files for training, validation and test; near duplicates stay on one side.

        Raises:
            InputError: there are too few rows that differ.
            ApiError: there is no such set (404).
        """
        self.keep(name, by)
        one = self.get(name)
        shares = {"valid": valid, "test": test, "seed": seed}
        with self.part() as part:
            source = str(self._file(name, one.current.version).resolve())
            told = in_child("divide", part, base=source, task=one.task, **shares)
            found = {**shares, "rows": {side: written["rows"] for side, written in told["parts"].items()}}
            with self._store.changing() as sets:
                self._still(sets, name)
                for which in ("train", "valid", "test"):
                    target = self._beside(name, one.current.version, f"{which}.jsonl")
                    target.unlink(missing_ok=True)
                    if which in told["parts"]:
                        (part / f"{which}.jsonl").replace(target)
                write_json(self._beside(name, one.current.version, "split.json"), found)
        self._audit(by, "data.split", name, version=one.current.version, **shares)
        return {"version": one.current.version, **found}

    def _still(self, sets: Mapping[str, DataSet], name: str, base: Change | None = None) -> DataSet:
        """Return a set as it is now that nobody else changes it.

        Raises:
            ApiError: it is gone (404), or not any more what it was (409).
        """
        if name not in sets:
            raise ApiError(404, message("data.unknown"), code="not_found", found=name)
        if base and sets[name].current.version != base.version:
            raise _changed(sets[name])
        return sets[name]

    def _expected(self, name: str, version: str) -> DataSet:
        one = self.get(name)
        if one.current.version != version:
            raise _changed(one)
        return one

    def _change(self, written: Written, by: str, action: str, *, file: str = "", count: int = 0) -> Change:
        facts = {**vars(written), "made": self._now().isoformat(timespec="seconds"), "by": by, "action": action}
        return Change(**facts, file=file, count=count)

    def _installed(self, one: DataSet, rows: Path, change: Change, task: str = "") -> DataSet:
        """Put the file of a version into its place and return the set with the change; nobody else changes it meanwhile."""
        folder = self.folder / one.name
        folder.mkdir(exist_ok=True)
        if change.labelled < change.rows:
            ready = (row for row in rows_of(rows) if is_labelled(row, task or one.task))
            write_rows(rows.with_name("labelled.jsonl"), ready, task or one.task)
            sync(rows.with_name("labelled.jsonl"))
            rows.with_name("labelled.jsonl").replace(self._beside(one.name, change.version, "labelled.jsonl"))
        sync(rows)
        rows.replace(folder / f"{change.version}.jsonl")
        sync(folder)
        same = bool(one.changes) and one.current.version == change.version and not task
        made = one if same else one.changed(change, task)
        if not same:
            self._carry(made, labelled=change.action == "label")
        return made

    def _carry(self, made: DataSet, *, labelled: bool = False) -> None:
        """Take labels that were given while a change was made over to what comes after it, unless they are what was changed."""
        number = len(made.changes)
        old, new = (Journal(self.folder / made.name, at).path for at in (number - 1, number))
        new.unlink(missing_ok=True)  # of a change that was never finished
        if old.exists() and not labelled:
            shutil.copyfile(old, new)


def _changed(one: DataSet) -> ApiError:
    """Return the error of one who changes what somebody else has changed meanwhile."""
    now = one.current
    return ApiError(
        409,
        message("data.changed", by=now.by or "?", version=now.version),
        code="changed",
        hint=message("data.look_again"),
    )
