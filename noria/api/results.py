"""What the functions give back: typed results that say what was made and how good it is, in a terminal and in a notebook.

    model = noria.finetune("classify", base="base", train="rows.csv", out="intents")
    model.path, model.figures[0].value, model.figures[0].low, model.caveats

A result that lies in a folder may be given wherever a path is asked for.
"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.core.caveats import caveats_of
from noria.core.errors import FolderError
from noria.core.figure import Figure, number
from noria.core.folder import Manifest, read_manifest
from noria.core.messages import Message, for_terminal, message, term

if TYPE_CHECKING:
    from .predictor import Predictor

ROWS = 12
"""Rows of a table that are shown."""


@dataclass(frozen=True, repr=False)
class Result:
    """Root of all results: what was made, its figures with n and interval, and what must be known of it."""

    def title(self) -> str:
        """Return what was made, on one line."""
        return type(self).__name__

    def notes(self) -> Sequence[str]:
        """Return what must be known of it, a line each."""
        return ()

    def shown(self) -> Sequence[Figure]:
        """Return the figures that a person sees."""
        return getattr(self, "figures", ())

    def table(self) -> Sequence[Mapping[str, Any]]:
        """Return rows that a person sees as a table; none by default."""
        return ()

    def __repr__(self) -> str:
        lines = [
            self.title(),
            *(f"  {one.text()}" for one in self.shown()),
            *(f"  {for_terminal(one)}" for one in self.notes()),
        ]
        return "\n".join(lines + _text_table(self.table()[-ROWS:]))

    def _repr_html_(self) -> str:
        """Return the same for a notebook; text from files is escaped."""
        parts = [f"<p><b>{html.escape(self.title())}</b></p>"]
        if figures := self.shown():
            parts.append(html_table([_cells(one) for one in figures]))
        if rows := self.table():
            parts.append(html_table(rows[-ROWS:]))
        if notes := self.notes():
            parts.append("<ul>" + "".join(f"<li>{html.escape(for_terminal(one))}</li>" for one in notes) + "</ul>")
        return "".join(parts)


@dataclass(frozen=True, repr=False)
class Folder(Result):
    """A result that lies in a folder."""

    path: Path
    """The folder."""

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    @property
    def manifest(self) -> Manifest:
        """What the folder's `noria.json` says: settings, hashes of the sources, facts.

        Raises:
            FolderError: the folder is gone, or was altered.
        """
        return read_manifest(self.path)

    def title(self) -> str:
        """Return what was made, and where."""
        return f"{type(self).__name__} {self.path}"


@dataclass(frozen=True, repr=False)
class Corpus(Folder):
    """Clean documents in train.jsonl, valid.jsonl and test.jsonl."""

    read: int
    """Documents that were read."""
    kept: int
    """Documents that were kept."""
    splits: Mapping[str, int]
    """train, valid and test -> documents."""
    dropped: Mapping[str, int]
    """Reason -> documents that were left out."""
    masked: Mapping[str, int]
    """Kind of personal data -> pieces that were masked."""

    def title(self) -> str:
        """Return where it is and how much was kept."""
        parts = ", ".join(f"{name} {count:,}" for name, count in self.splits.items())
        return f"Corpus {self.path}: {self.kept:,} of {self.read:,} documents kept; {parts}"

    def notes(self) -> Sequence[str]:
        """Return what was left out and masked."""
        return [
            *(f"left out, {reason}: {count:,}" for reason, count in self.dropped.items()),
            *(f"masked, {kind}: {count:,}" for kind, count in self.masked.items()),
        ]


@dataclass(frozen=True, repr=False)
class Rows(Folder):
    """Training rows made of what users said of answers."""

    rows: int
    task: str
    dropped: Mapping[str, int]
    """Reason -> judged answers that gave no row."""

    def title(self) -> str:
        """Return where they are and how many."""
        return f"Rows {self.path}: {self.rows:,} for {self.task}"

    def notes(self) -> Sequence[str]:
        """Return why judged answers gave no row."""
        return [f"no row, {reason}: {count:,}" for reason, count in self.dropped.items()]


@dataclass(frozen=True, repr=False)
class Tokenizer(Folder):
    """A trained tokenizer."""

    vocab_size: int
    figures: tuple[Figure, ...]
    """Characters and bytes a token, and unknown tokens, by language, on texts held out of its training."""

    def title(self) -> str:
        """Return where it is and how many tokens it has."""
        return f"Tokenizer {self.path}: {self.vocab_size:,} tokens"


@dataclass(frozen=True, repr=False)
class Model(Folder):
    """A model folder, in the Hugging Face layout."""

    task: str
    labels: tuple[str, ...]
    parameters: int | None
    figures: tuple[Figure, ...]
    """Its measures on held-out rows or documents, the first the one to rank by."""
    baseline: tuple[Figure, ...]
    """The same of a simple rule on the same rows or documents."""
    verdict: str
    """Whether the model beats its baseline."""
    caveats: tuple[str, ...]
    """What must be known before it is used."""

    def title(self) -> str:
        """Return where it is, what it is for, and its verdict."""
        size = f", {self.parameters / 1e6:,.1f} M parameters" if self.parameters else ""
        said = f": {self.verdict}" if self.verdict else ""
        return f"Model {self.path}: {self.task}{size}{said}"

    def notes(self) -> Sequence[str]:
        """Return what must be known before it is used."""
        return [f"BUT {words}" for words in self.caveats]

    def load(self, **options: Any) -> Predictor:
        """Return what answers with this model in this process; see `noria.load`."""
        from .predictor import load

        return load(self.path, **options)


@dataclass(frozen=True, repr=False)
class Compressed(Model):
    """A compressed model with its certificate."""

    certified: bool
    """Whether it earned its certificate; where not, the trained model was kept (`or_trained`)."""
    reasons: tuple[str, ...]
    """Why not."""

    def title(self) -> str:
        """Return where it is, and whether it is certified."""
        said = "certified" if self.certified else "refused, the trained model is kept: " + "; ".join(self.reasons)
        return f"Compressed {self.path}: {self.task}, {said}"


@dataclass(frozen=True, repr=False)
class Judged(Result):
    """A model judged on held-out rows."""

    model: Path
    rows: Path
    figures: tuple[Figure, ...]
    path: Path | None = None
    """The folder of the figures, where one was written."""

    def title(self) -> str:
        """Return what was judged on what."""
        return f"{self.model} on {self.rows.name}"


@dataclass(frozen=True, repr=False)
class Verification(Result):
    """Whether an endpoint serves what was trained."""

    url: str
    name: str
    differs: str
    """What differs first: template, special tokens, tokenizer, sampling or weights; empty where nothing does."""
    reason: Message | None
    """How it shows."""
    figures: tuple[Figure, ...]
    seen: tuple[Message, ...]
    """How each thing was looked at, and what the endpoint did not let be seen."""

    @property
    def passed(self) -> bool:
        """Return whether nothing differs beyond its bound."""
        return not self.differs

    def title(self) -> Message:
        """Return the verdict."""
        if not self.differs:
            return message("verify.same", model=self.name, url=self.url)
        return message("verify.differs", model=self.name, url=self.url, kind=term(self.differs), reason=self.reason)

    def notes(self) -> Sequence[str]:
        """Return how it was looked at."""
        return self.seen


@dataclass(frozen=True, repr=False)
class Folds(Folder):
    """A cross-validation."""

    figures: tuple[Figure, ...]
    """Mean and spread of each measure over folds and seeds."""


@dataclass(frozen=True, repr=False)
class Found(Folder):
    """Settings that a search found to suit the rows best."""

    best: Path
    """A TOML file with the section [finetune], fit for `settings=`."""
    figures: tuple[Figure, ...]
    """The winner under several seeds."""


@dataclass(frozen=True, repr=False)
class Run(Folder):
    """The stages of a file, all done."""

    stages: tuple[Mapping[str, Any], ...]
    """Their records in order: name, key, line, seconds, figures, facts."""

    def table(self) -> Sequence[Mapping[str, Any]]:
        """Return a row a stage."""
        return [{"stage": one["name"], "seconds": one["seconds"], "result": one["line"]} for one in self.stages]


@dataclass(frozen=True, repr=False)
class Page(Result):
    """A report written as one HTML page."""

    path: Path
    sections: tuple[str, ...]
    """Titles of its parts."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Part -> why it is not in the report."""

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def title(self) -> str:
        """Return where the page is."""
        return f"Page {self.path}: {len(self.sections)} parts"

    def notes(self) -> Sequence[str]:
        """Return what is not in it, and why."""
        return [f"not in the report: {name}: {why}" for name, why in self.left_out.items()]


@dataclass(frozen=True, repr=False)
class Analysis(Result):
    """An analysis of users, of a market or of a promotion."""

    name: str
    """What was analysed, from where."""
    figures: tuple[Figure, ...]
    rows: tuple[dict[str, Any], ...]
    """The main table, a mapping a row."""
    summary: tuple[str, ...]
    """What it comes to, in sentences; each a text in English, and `summary[0]["zh"]` in Chinese."""
    facts: Mapping[str, Any]
    """All of it, JSON-able: what the command prints with --json."""
    study: Any
    """The objects behind it."""

    def title(self) -> str:
        """Return what was analysed."""
        return self.name

    def notes(self) -> Sequence[str]:
        """Return what it comes to."""
        return self.summary

    def table(self) -> Sequence[Mapping[str, Any]]:
        """Return the main table."""
        return self.rows


def model_of(path: Path) -> Model:
    """Return what a model folder says of itself.

    Raises:
        FolderError: it is no model folder that Noria wrote.
    """
    return Model(path, **_model_facts(path))


def compressed_of(path: Path, *, certified: bool, reasons: Sequence[str], figures: Sequence[Figure]) -> Compressed:
    """Return what a compressed model's folder says of itself, with the figures of its certificate."""
    facts = {**_model_facts(path), "figures": tuple(figures)}
    return Compressed(path, **facts, certified=certified, reasons=tuple(reasons))


def _model_facts(path: Path) -> dict[str, Any]:
    facts = read_manifest(path).facts
    if "task" not in facts:
        raise FolderError(message("commands.folder_model"), found=str(path))
    return {
        "task": facts["task"],
        "labels": tuple(facts.get("labels") or ()),
        "parameters": facts.get("parameters"),
        "figures": figures_in(facts, "metrics"),
        "baseline": figures_in(facts, "baseline"),
        "verdict": str(facts.get("verdict") or ""),
        "caveats": tuple(caveats_of(path)),
    }


def figures_in(facts: Mapping[str, Any], name: str) -> tuple[Figure, ...]:
    """Return the figures that a manifest's facts hold under a name."""
    return tuple(Figure(**one) for one in facts.get(name) or ())


def html_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as an HTML table, escaped; what is missing is a dash."""
    columns = _columns(rows)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(row.get(name)))}</td>" for name in columns) + "</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text_table(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    if not rows:
        return []
    columns = _columns(rows)
    cells = [list(columns), *([_cell(row.get(name)) for name in columns] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(columns))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    ]


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def _cell(value: Any) -> str:
    if value is None or value != value:
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return number(value)


def _cells(figure: Figure) -> dict[str, Any]:
    cells: dict[str, Any] = {"figure": figure.name, "value": figure.value, "low": figure.low, "high": figure.high}
    cells |= {"n": figure.n, "unit": figure.unit, "baseline": figure.baseline, "source": figure.source}
    return {name: value for name, value in cells.items() if value not in ("", None)} | {"note": figure.note or None}
