"""Stages of a run, shared by all that runs in stages: done ones are kept, changed ones done again, killed ones resumed.

    stage = KeyedStage("sentiment", message("demo.sentiment.title"), key="…", plan=…, run=…, outputs=…)
    run_stage(root, stage, "2/5", report)

A stage's record, `<name>.stage.json`, is written when it begins, with the key of everything that decides its result: what a
killed run left is resumed under the same key, and cleared away under another.
"""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noria import __version__
from noria.core.errors import ResourceError
from noria.core.figure import Figure
from noria.core.folder import write_json
from noria.core.memory import release_memory
from noria.core.messages import Message, line_of, message
from noria.core.progress import Report


@dataclass(frozen=True)
class StageResult:
    """What a finished stage says of itself."""

    line: Message
    """Its line in the ledger."""
    figures: list[Figure] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    """JSON-able facts that later stages, the report and the console read."""


@dataclass(frozen=True)
class KeyedStage:
    """One stage of a run, with all that it needs bound to it."""

    name: str
    title: Message
    key: str
    """Hash of everything that decides the result."""
    plan: Callable[[], Message]
    """Says beforehand what `run` will do."""
    run: Callable[[], StageResult]
    """Goes on from whatever a killed run left under the same key."""
    outputs: tuple[str, ...]
    """Folders below the root that it writes."""


def run_stage(root: Path, stage: KeyedStage, position: str, report: Report) -> Mapping[str, Any]:
    """Run one stage unless it is done under the same key, and return its record."""
    known = read_record(root, stage.name)
    if known.get("key") == stage.key and "line" in known:
        told = message("work.done_before", position=position, name=stage.name, line=line_of(known))
        report.ledger(told, stage=stage.name, again=False)
        return known
    if known.get("key") != stage.key:
        clear(root, stage.outputs)
    write_json(stage_file(root, stage.name), {"name": stage.name, "key": stage.key})
    report.plan(message("work.stage", position=position, name=stage.name, plan=stage.plan()), stage=stage.name)
    started = time.monotonic()
    result = stage.run()
    seconds = time.monotonic() - started
    release_memory()
    record = {
        "name": stage.name,
        "title": stage.title.both(),
        "key": stage.key,
        "line": result.line,
        "message": result.line.as_dict(),
        "seconds": round(seconds, 1),
        "figures": [figure.as_record() for figure in result.figures],
        "facts": result.facts,
        "noria": __version__,
    }
    write_json(stage_file(root, stage.name), record)
    told = message("work.done", position=position, name=stage.name, seconds=seconds, line=result.line)
    report.ledger(told, stage=stage.name, seconds=seconds)
    return record


def stage_file(root: Path, name: str) -> Path:
    """Return where a stage's record lies."""
    return root / f"{name}.stage.json"


def read_record(root: Path, name: str) -> Mapping[str, Any]:
    """Return the record of a stage, finished or begun; empty where there is none."""
    try:
        record = json.loads(stage_file(root, name).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def read_stage(root: Path, name: str) -> Mapping[str, Any] | None:
    """Return the record of a finished stage, or None."""
    record = read_record(root, name)
    return record if "line" in record else None


def clear(root: Path, outputs: Iterable[str]) -> None:
    """Remove what a stage wrote, and what it was writing."""
    for name in outputs:
        shutil.rmtree(root / name, ignore_errors=True)
        shutil.rmtree(root / f".{name}.work", ignore_errors=True)


@contextmanager
def held(root: Path) -> Iterator[None]:
    """Hold the folder of a run against a second run; the hold ends with the process, however it ends.

    Raises:
        ResourceError: another run holds it.
    """
    with (root / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ResourceError(
                message("commands.another_run"), found=str(root), hint=message("commands.wait_give")
            ) from None
        yield
