"""What a stage of the main job is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from noria.api.stages import StageResult as StageResult
from noria.core.messages import Message
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
class Stage:
    """One stage: `plan` says beforehand what `run` will do; `run` goes on from whatever a killed run left."""

    name: str
    title: Message
    plan: Callable[[Context], str]
    run: Callable[[Context], StageResult]
    outputs: tuple[str, ...] = ()
    """Folders below the root that it writes, where that is not the one folder of its own name."""
