"""Task: rows in, answers out; what training and serving share, line for line.

A task knows its rows, how a text becomes token ids, what a head should say of them (target) and what a person is told
(answer). It knows nothing of models or devices: a tokenizer and numpy are all it uses.

    task = task_for("classify", ["negative", "positive"])
    features = task.features(tokenizer, "很好，下次还来", max_length=128)
    task.answer(features, logits)      # {"label": "positive", "score": 0.97, "scores": {...}}
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from tokenizers import Tokenizer

from noria.core.errors import FolderError, InputError, RowError, SettingError, unknown
from noria.core.folder import Manifest
from noria.core.messages import message
from noria.core.progress import Report
from noria.text.records import read_records

from .encode import Features as Features
from .encode import encode as encode
from .measure import Measure
from .reading import Reading, columns_used, rows_in
from .records import by_column
from .tokenizer import required

Row = dict[str, Any]
Answer = dict[str, Any]
Target = int | list[int] | list[float] | tuple[int, int]
Head = Literal["sequence", "token", "span", "embedding", "seq2seq", "causal", "vector"]
IGNORED = -100
"""Target of a token that is not scored, as in torch's cross entropy."""


@dataclass(frozen=True)
class Weights:
    """How much each of two models counts: what their logits are multiplied by before they are added."""

    model: float = 1.0
    companion: float = 0.0


class Companion(Protocol):
    """A light model that reads the text itself and answers with the large one; see `noria.tasks.companion`."""

    @property
    def kind(self) -> str:
        """Return the name of its kind."""

    @property
    def weights(self) -> Weights:
        """Return how much it counts, and how much the large model does."""

    def fused(self, features: Features, logits: np.ndarray) -> np.ndarray:
        """Return the logits of both together, from those of the large model, calibrated; same shape.

        Of a tagger log probabilities [T, outputs] of the tokens that stand for something, and `features` holds those alone.
        """

    @property
    def steps(self) -> np.ndarray:
        """Return what a step from one code to the next counts [outputs + 1, outputs], as `Tag.steps`; empty for a classifier."""

    def tensors(self) -> dict[str, np.ndarray]:
        """Return what it knows as arrays."""

    def facts(self) -> dict[str, Any]:
        """Return what else is to be known to make it again."""


@dataclass(frozen=True)
class Task(ABC):
    """Root of all tasks; its fields are what a model folder's facts say of it.

    `answer` takes a head's output for one text of T tokens, special tokens included and padding left out. Logits: sequence
    and vector [labels], token [T, outputs], span [T, 2] (of its start, of its end), embedding [T, width] (the last hidden
    states), causal [T, vocabulary]. A text: what a seq2seq model, or a causal one in a chat, has written.
    """

    labels: tuple[str, ...] = ()
    prefix: str = ""
    """Words put before every text, "query: " for models of the E5 family; never part of an answer."""
    temperature: float = 1.0
    """Logits are divided by it before the softmax, so that confidences are calibrated."""
    companion: Companion | None = field(default=None, repr=False, compare=False)
    """What answers beside the model; its file lies in the model's folder, which `open_task` reads. No fact of its own."""
    name: ClassVar[str]
    head: ClassVar[Head]
    columns: ClassVar[tuple[str, ...]] = ("text", "label")
    """Fields of a row, the most important first, that a table may hold in a column of another name."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of the head's outputs, in order; the labels themselves unless a task codes them otherwise."""
        return self.labels

    @abstractmethod
    def check(self, row: Mapping[str, object], *, file: str | Path = "<memory>", line: int = 1) -> Row:
        """Return the row in its one normal form.

        Raises:
            RowError: the row cannot be used; names file, line, field, what was found and what is allowed.
        """

    def features(self, tokenizer: Tokenizer | None, row: Mapping[str, object] | str, max_length: int) -> Features:
        """Return the token ids of a row or a bare text, at most `max_length` of them.

        `tokenizer` is None where rows are numbers.
        """
        text = row if isinstance(row, str) else str(row["text"])
        return encode(required(tokenizer), text, max_length, prefix=self.prefix)

    def windows(self, tokenizer: Tokenizer | None, row: Mapping[str, object] | str, max_length: int) -> list[Features]:
        """Return the parts a row is read in where it may be longer than the model; each gets its target and its answer."""
        return [self.features(tokenizer, row, max_length)]

    def texts(self, row: Mapping[str, Any]) -> list[str]:
        """Return the texts of a row that a model reads."""
        return [row["text"]]

    def as_read(self, row: Mapping[str, Any]) -> Row:
        """Return a row with its texts in the form in which a model reads them."""
        return dict(row)

    @abstractmethod
    def target(self, row: Row, features: Features) -> Target:
        """Return what the head should say of a row.

        sequence, vector: the label's place, or 0.0 or 1.0 for each of many labels. token: a code for every token
        (`IGNORED`: not scored). span: its first and its last token, both 0 where there is none. seq2seq: the ids to write,
        the end's the last. causal: for every token its own id, or `IGNORED` where it is not scored. embedding: unused.
        """

    @abstractmethod
    def answer(self, features: Features, output: Any) -> Answer:
        """Return what a person or program is told, JSON-able."""

    def join(self, answers: Sequence[Answer]) -> Answer:
        """Return the one answer to a row from those to its windows."""
        return answers[0]

    def fitted(self, rows: Sequence[Row]) -> Task:
        """Return the task as its training rows make it: with their labels, unless it has labels of its own."""
        return self if self.labels else replace(self, labels=labels_in(rows))

    def based_on(self, folder: Path, tokenizer: Tokenizer) -> Task:
        """Return the task as the base model in a folder wants it; a chat takes the model's own way to write turns."""
        return self

    def facts(self) -> dict[str, Any]:
        """Return what a model folder says of the task, so that `task_of` makes it again."""
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "companion"}
        return {"task": self.name, **values, "labels": list(self.labels)}

    @abstractmethod
    def scores(self, rows: Sequence[Row], answers: Sequence[Answer]) -> list[Measure]:
        """Return the measures of `answers` against the truth in `rows`; the first is the one to rank models by."""

    def measures(self, rows: Sequence[Row], answers: Sequence[Answer]) -> dict[str, float]:
        """Return the values of `scores` by their keys."""
        return {one.key: one.value for one in self.scores(rows, answers)}

    def baseline(self, training: Sequence[Row], rows: Sequence[Row]) -> list[Answer] | None:
        """Return what a simple rule, learned from `training`, answers to `rows`; None: Noria's for the task, where it has one."""
        return None


BUILT_IN = {
    "classify": ("classify", "Classify"),
    "numeric": ("numeric", "Numeric"),
    "tag": ("tag", "Tag"),
    "answer": ("answer", "Extract"),
    "translate": ("translate", "Translate"),
    "summarise": ("translate", "Summarise"),
    "chat": ("chat", "Chat"),
    "embed": ("embed", "Embed"),
    "complete": ("complete", "Complete"),
    "causal": ("complete", "Complete"),
}
"""Name -> module beside this one, and class."""
GROUP = "noria.tasks"
"""Entry points of this group are tasks of other packages: name -> a class that is a Task."""


def task_for(name: str, labels: Sequence[str] = (), **facts: object) -> Task:
    """Return the task called `name`; of `facts` it takes the ones it knows (prefix, temperature ...).

    Raises:
        SettingError: no such task here or among the entry points of installed packages, or one that is no Task.
    """
    kind = _kind(name)
    names = {one.name for one in fields(kind)} - {"labels", "companion"}
    values: dict[str, Any] = {key: value for key, value in facts.items() if key in names and value is not None}
    return kind(labels=tuple(labels), **values)


def _kind(name: str) -> type[Task]:
    if name in BUILT_IN:
        module, kind = BUILT_IN[name]
        found = getattr(import_module(f"{__package__}.{module}"), kind)
    else:
        others = {one.name: one for one in entry_points(group=GROUP)}
        if name not in others:
            raise unknown("task", name, {*BUILT_IN, *others})
        try:
            found = others[name].load()
        except (ImportError, AttributeError) as error:
            raise SettingError(message("tasks.task_installed", name=name), found=error) from error
    if not isinstance(found, type) or not issubclass(found, Task):
        raise SettingError(message("tasks.entry_point", name=name), found=found, allowed=message("tasks.class_derives"))
    return found


def task_of(manifest: Manifest) -> Task:
    """Return the task a model folder was made for.

    Raises:
        FolderError: the folder is no model, or does not say its task.
    """
    facts = dict(manifest.facts)
    if manifest.kind != "model" or "task" not in facts:
        raise FolderError(message("tasks.folder_model"), found=manifest.kind, allowed=message("tasks.kind_model"))
    return task_for(facts.pop("task"), facts.pop("labels", None) or (), **facts)


def read_rows(
    path: str | Path,
    task: Task,
    *,
    skip_bad: bool = False,
    report: Report | None = None,
    columns: Mapping[str, str] | None = None,
) -> list[Row]:
    """Return the checked rows of a file in any format and encoding that is read.

    Args:
        path: the file.
        task: says what a row holds.
        skip_bad: count bad rows instead of refusing the first; the count and the first fault go to `report`.
        report: where skipped rows, guessed columns and an older encoding are reported.
        columns: field -> the column, or key, that holds it under another name; of a table, plain ones are guessed.

    Raises:
        InputError: the file is missing, is no text, or holds no row.
        RowError: a row is bad and `skip_bad` is off.
    """
    reading = Reading(task.name, task.columns, task.labels, bool(getattr(task, "many", False)), dict(columns or {}))
    records = read_records(path, report)
    table = records.format.has_columns
    used = columns_used(records, reading)
    rows: list[Row] = []
    faults: list[RowError] = []
    for line, entry in rows_in(records, reading, report):
        try:
            if isinstance(entry, RowError):
                raise entry
            rows.append(task.check(entry, file=path, line=line))
        except RowError as error:
            fault = by_column(error, used) if table else error
            if not skip_bad:
                raise fault from None
            faults.append(fault)
    if faults and report:
        told = message("work.skipped", rows=len(faults), first=faults[0].as_message())
        report.note(message("work.named", name=path, text=told), skipped=len(faults))
    if not rows:
        raise InputError(
            message("tasks.holds_usable", path=path),
            found=(
                message("tasks.bad_rows", faults=len(faults), faults_2=faults[0])
                if faults
                else message("tasks.only_names", columns=", ".join(records.columns))
                if records.columns
                else message("tasks.nothing")
            ),
            allowed=message("tasks.row_line") if table else message("tasks.one_json"),
        )
    return rows


def field_text(row: Mapping[str, object], field: str, *, file: str | Path, line: int) -> str:
    """Return a field that must be text with something in it.

    Raises:
        RowError: it is missing, is no text, or is blank.
    """
    if field not in row:
        raise RowError(
            message("tasks.field_missing"), file=file, line=line, field=field, found=", ".join(map(str, row)) or "{}"
        )
    value = row[field]
    if value is None:
        raise RowError(message("tasks.field_null"), file=file, line=line, field=field, allowed=message("tasks.text_2"))
    if not isinstance(value, str):
        raise RowError(
            message("tasks.text_3"),
            file=file,
            line=line,
            field=field,
            found=type(value).__name__,
            allowed=message("tasks.text_2"),
        )
    if not value.strip():
        raise RowError(message("tasks.text_blank"), file=file, line=line, field=field, found=value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RowError(message("tasks.half_surrogate"), file=file, line=line, field=field, found=ascii(value)) from None
    return value


def labels_in(rows: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the sorted labels that occur in rows of a classify or tag file."""
    found: set[str] = set()
    for row in rows:
        if "label" in row:
            found.add(row["label"])
        found.update(row.get("labels", ()))
        found.update(span["label"] for span in row.get("spans", ()))
    return tuple(sorted(found))


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return probabilities along the last axis, in float64 [same shape as `logits`]."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))
