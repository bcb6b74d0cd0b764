"""Task: rows in, answers out; what training and serving share, line for line.

A task knows its rows, how a text becomes token ids, what a head should say of them (target) and what a person is told
(answer). It knows nothing of models or devices: a tokenizer and numpy are all it uses.

    task = task_for("classify", ["negative", "positive"])
    features = task.features(tokenizer, "很好，下次还来", max_length=128)
    task.answer(features, logits)      # {"label": "positive", "score": 0.97, "scores": {...}}
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from tokenizers import Tokenizer

from noria.core.errors import FolderError, InputError, RowError, unknown
from noria.core.folder import Manifest
from noria.core.progress import Report

Row = dict[str, Any]
Answer = dict[str, Any]
Target = int | list[int] | list[float] | tuple[int, int]
Head = Literal["sequence", "token", "span", "embedding", "seq2seq", "causal", "vector"]
IGNORED = -100
"""Target of a token that is not scored, as in torch's cross entropy."""


@dataclass(frozen=True)
class Features:
    """One text as a model sees it, special tokens included."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    """First and past-the-last character of the text under every token; equal for tokens that stand for none of it."""
    meta: dict[str, Any]
    """"text": the text itself; "truncated": whether its end (for a causal model its start) was cut off."""
    types: list[int] = field(default_factory=list)
    """Which of two texts a token is of, 0 or 1, where the tokenizer tells them apart; empty: all 0."""


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
    pooling: str = "mean"
    """How token states become one vector: cls or mean. Only an embedding task pools by itself."""

    name: ClassVar[str]
    head: ClassVar[Head]

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

    def features(self, tokenizer: Tokenizer, row: Mapping[str, object] | str, max_length: int) -> Features:
        """Return the token ids of a row or a bare text, at most `max_length` of them."""
        text = row if isinstance(row, str) else str(row["text"])
        return encode(tokenizer, text, max_length, prefix=self.prefix)

    def windows(self, tokenizer: Tokenizer, row: Mapping[str, object] | str, max_length: int) -> list[Features]:
        """Return the parts a row is read in where it may be longer than the model; each gets its target and its answer."""
        return [self.features(tokenizer, row, max_length)]

    def texts(self, row: Mapping[str, Any]) -> list[str]:
        """Return the texts of a row that a model reads."""
        return [row["text"]]

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

    def facts(self) -> dict[str, Any]:
        """Return what a model folder says of the task, so that `task_of` makes it again."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {"task": self.name, **values, "labels": list(self.labels)}

    @abstractmethod
    def measures(self, rows: Sequence[Row], answers: Sequence[Answer]) -> dict[str, float]:
        """Return the scores of `answers` against the truth in `rows`; the first is the one to rank models by."""


def task_for(name: str, labels: Sequence[str] = (), **facts: object) -> Task:
    """Return the task called `name`; of `facts` it takes the ones it knows (prefix, temperature, pooling).

    Raises:
        SettingError: no such task.
    """
    from .classify import Classify
    from .complete import Complete
    from .embed import Embed
    from .tag import Tag

    known: dict[str, type[Task]] = {
        "classify": Classify, "tag": Tag, "embed": Embed, "complete": Complete, "causal": Complete,
    }  # fmt: skip
    if name not in known:
        raise unknown("task", name, known)
    kind = known[name]
    names = {field.name for field in fields(kind)} - {"labels"}
    values: dict[str, Any] = {key: value for key, value in facts.items() if key in names and value is not None}
    return kind(labels=tuple(labels), **values)


def task_of(manifest: Manifest) -> Task:
    """Return the task a model folder was made for.

    Raises:
        FolderError: the folder is no model, or does not say its task.
    """
    facts = dict(manifest.facts)
    if manifest.kind != "model" or "task" not in facts:
        raise FolderError("the folder is no model that says its task", found=manifest.kind, allowed="kind model")
    return task_for(facts.pop("task"), facts.pop("labels", None) or (), **facts)


def read_rows(path: str | Path, task: Task, *, skip_bad: bool = False, report: Report | None = None) -> list[Row]:
    """Return the checked rows of a JSONL file (UTF-8, one object a line; empty lines are passed over).

    Args:
        path: the file.
        task: says what a row holds.
        skip_bad: count bad rows instead of refusing the first; the count and the first fault go to `report`.
        report: where skipped rows are told.

    Raises:
        InputError: the file is missing, is not UTF-8, or holds no row.
        RowError: a row is bad and `skip_bad` is off.
    """
    rows, faults = [], []
    for line, text in enumerate(_lines(path), start=1):
        if not text.strip():
            continue
        try:
            rows.append(task.check(_parse(text, path, line), file=path, line=line))
        except RowError as error:
            if not skip_bad:
                raise
            faults.append(error)
    if faults and report:
        report.note(f"{path}: {len(faults):,} bad rows skipped, the first: {faults[0]}", skipped=len(faults))
    if not rows:
        raise InputError(
            f"{path} holds no usable row", found=f"{len(faults)} bad rows", allowed="one JSON object a line"
        )
    return rows


def field_text(row: Mapping[str, object], field: str, *, file: str | Path, line: int) -> str:
    """Return a field that must be text with something in it.

    Raises:
        RowError: it is missing, is no text, or is blank.
    """
    if field not in row:
        raise RowError(
            "the field is missing", file=file, line=line, field=field, found=", ".join(map(str, row)) or "{}"
        )
    value = row[field]
    if not isinstance(value, str):
        raise RowError("not a text", file=file, line=line, field=field, found=type(value).__name__, allowed="text")
    if not value.strip():
        raise RowError("the text is blank", file=file, line=line, field=field, found=value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RowError(
            "half a surrogate pair is no text", file=file, line=line, field=field, found=ascii(value)
        ) from None
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


def encode(tokenizer: Tokenizer, text: str, max_length: int, *, prefix: str = "", keep: str = "left") -> Features:
    """Return a text's features: ids with special tokens, offsets into `text` (not counting `prefix`), `max_length` at most.

    Args:
        tokenizer: is not changed; truncation is done here, so that two callers can share it.
        text: any text.
        max_length: bound on the ids, special tokens included.
        prefix: put before the text.
        keep: which end survives truncation, left or right.
    """
    encoding = tokenizer.encode(prefix + text, add_special_tokens=False)
    room = max_length - tokenizer.num_special_tokens_to_add(False)
    truncated = len(encoding.ids) > room
    if truncated:
        encoding.truncate(room, direction="right" if keep == "left" else "left")
    encoding = tokenizer.post_process(encoding)
    skip = len(prefix)
    offsets = [(max(start - skip, 0), max(end - skip, 0)) for start, end in encoding.offsets]
    for index, (here, after) in enumerate(pairwise(offsets)):
        # A lone word-start mark or the bytes of one character share their characters: only the last token stands for them.
        if here[0] == after[0] and here[1] <= after[1]:
            offsets[index] = (here[0], here[0])
    return Features(list(encoding.ids), offsets, {"text": text, "truncated": truncated})


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Return probabilities along the last axis, in float64 [same shape as `logits`]."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _lines(path: str | Path) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise InputError("file not found", found=str(path)) from None
    except IsADirectoryError:
        raise InputError("a folder, not a file of rows", found=str(path), allowed="a JSONL file") from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not UTF-8", found=f"byte {error.object[error.start]:#x} at {error.start}"
        ) from None


def _parse(text: str, path: str | Path, line: int) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RowError("not JSON", file=path, line=line, found=text, hint=str(error)) from None
    if not isinstance(value, dict):
        raise RowError("not a JSON object", file=path, line=line, found=text, allowed="{...}")
    return value
