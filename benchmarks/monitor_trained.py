"""Models that the monitor's benchmarks train, as a user would: rows in a file, a base, minutes; and what they answer."""

from __future__ import annotations

import atexit
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from noria.core.folder import read_manifest
from noria.core.progress import Report

QUICK = {"steps": 8, "tokens_per_batch": 512, "evaluations": 1}
QUICK_ROWS, QUICK_JUDGED = 300, 100
"""Settings of each training where all of the benchmarks must end within minutes, texts to learn from and to judge by: too few to reach what
is wanted. Steps, for minutes so few that they would do are refused where a machine has other work: reading and judging alone take them."""


@dataclass(frozen=True)
class Course:
    """How long a training lasts, and on how many of its rows."""

    minutes: float | None
    """None for `QUICK`."""

    def train(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the rows that are learned from, by Noria and by every peer."""
        return self._some(rows, QUICK_ROWS)

    def test(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the rows that judge."""
        return self._some(rows, QUICK_JUDGED)

    def settings(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of a training that has its own."""
        return {**own, "minutes": self.minutes} if self.minutes else {**own, **QUICK}

    def text(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Return it in words, for the line that tells what it came to.

        Args:
            rows: those that are learned from.
        """
        return (
            f"trained for {self.minutes:g} min"
            if self.minutes
            else f"trained for {QUICK['steps']} steps on {len(rows)} texts"
        )

    def part(self, share: float) -> Course:
        """Return that of a training which takes a share of the minutes."""
        return Course(self.minutes and share * self.minutes)

    def _some(self, rows: Sequence[dict[str, Any]], most: int) -> list[dict[str, Any]]:
        """Return all rows, or where it must go fast so many at most, spread over all."""
        if self.minutes or len(rows) <= most:
            return list(rows)
        return [rows[number * len(rows) // most] for number in range(most)]


def written(file: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows as JSON Lines and return the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def read(file: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON Lines file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]


@cache
def bundled(kind: str) -> Path:
    """Return the folder of the base model called minilm, or e5, as it comes: made once in a process, and gone with it."""
    from noria.make.models.bundled import e5_small, minilm

    folder = tempfile.TemporaryDirectory(prefix="noria-bench-")
    atexit.register(folder.cleanup)
    return (minilm if kind == "minilm" else e5_small)(Path(folder.name) / kind)


def trimmed(texts: Sequence[str], folder: Path) -> Path:
    """Return the folder of e5 with the part of its vocabulary that texts need, written below a folder."""
    from noria.make.compress.trim import trim

    return trim(bundled("e5"), texts, folder / "e5-trimmed")


def trained(
    start: Path, rows: Sequence[Mapping[str, Any]], folder: Path, course: Course, settings: Mapping[str, Any]
) -> Path:
    """Return the folder of a classifier that learned from rows in whichever form, in a folder of its own.

    Args:
        start: the folder of the base, or of a model to go on from.
        rows: in any form that `noria build finetune classify` takes; some are set aside by it.
        folder: for all files.
        course: of the whole training, baselines and figures among them.
        settings: further ones of `FinetuneSettings`.
    """
    from noria.make.training.finetune.recipe import finetune
    from noria.make.training.settings import FinetuneSettings
    from noria.tasks.task import task_for

    file, chosen = written(folder / "train.jsonl", rows), FinetuneSettings.make(**course.settings(settings))
    made = finetune(task_for("classify"), start, file, None, folder / "model", chosen, Report())
    facts = read_manifest(made).facts
    joined = "alone" if not facts.get("companion") else f"with a companion, {facts['companion']['weights']}"
    print(f"monitor: {folder.name}: {facts['epochs']:.1f} epochs, {joined}", file=sys.stderr)
    return made


def asked(model: Path, rows: Sequence[Mapping[str, Any] | str]) -> list[dict[str, Any]]:
    """Return what a model answers to rows."""
    from noria.infer.choose import open_engine
    from noria.infer.engine import answer

    return answer(open_engine(model, prefer="torch"), list(rows))
