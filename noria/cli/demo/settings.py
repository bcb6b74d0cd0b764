"""The settings of `noria demo`, and what each of its stages is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from noria.core.messages import Message
from noria.core.progress import Report
from noria.core.settings import Settings

if TYPE_CHECKING:  # loads all of the API, which `--help` does without
    from noria.api.stages import StageResult


class DemoSettings(Settings):
    """Budgets and places of the main job."""

    out: Path = Path("runs/demo")
    """Where models, events and the report are written."""
    quick: bool = False
    """Turn the whole wheel with small budgets, in about five minutes: to see that it works, not how well."""
    seed: int = 0
    """Seed of every random choice."""
    pretrain_minutes: Annotated[float, Field(ge=0.02, le=600)] = 2.5
    """Time budget of pretraining, in minutes, with its baselines and figures."""
    sentiment_minutes: Annotated[float, Field(ge=0.05, le=600)] = 5.0
    """Time budget of fine-tuning for sentiment, in minutes, with its baseline and figures."""
    entities_minutes: Annotated[float, Field(ge=0.05, le=600)] = 3.0
    """Time budget of fine-tuning for named entities, in minutes, with its baseline and figures."""
    serve: bool = True
    """Open the console when the wheel has turned, until Ctrl-C."""
    host: str = "127.0.0.1"
    """Address the server listens on."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8400
    """Port the server listens on; 0 takes a free one."""

    def budgets(self) -> DemoSettings:
        """Return the settings with the budgets that hold: those of `quick` where it is on."""
        if not self.quick:
            return self
        return self.replace(pretrain_minutes=0.75, sentiment_minutes=0.8, entities_minutes=0.6)


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
    plan: Callable[[Context], Message]
    run: Callable[[Context], StageResult]
    outputs: tuple[str, ...] = ()
    """Folders below the root that it writes, where that is not the one folder of its own name."""
