"""What a stage of the main job is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from noria.core.figure import Figure
from noria.core.progress import Report

from .settings import DemoSettings


@dataclass(frozen=True)
class Context:
    """What every stage is given."""

    root: Path
    """The folder of the run; a stage writes only below it."""
    settings: DemoSettings
    report: Report


@dataclass(frozen=True)
class StageResult:
    """What a finished stage says of itself."""

    line: str
    """Its line in the ledger."""
    figures: list[Figure] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    """JSON-able facts that later stages, the report and the console read."""


@dataclass(frozen=True)
class Stage:
    """One stage: `plan` says beforehand what `run` will do; `run` goes on from whatever a killed run left."""

    name: str
    title: dict[str, str]
    """Language code -> title."""
    plan: Callable[[Context], str]
    run: Callable[[Context], StageResult]
    outputs: tuple[str, ...] = ()
    """Folders below the root that it writes, where that is not the one folder of its own name."""
