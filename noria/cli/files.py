"""What flags say, as the API takes it: settings above those of a TOML file, columns from two short flags, and where words go."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from noria.core.progress import Report
from noria.core.settings import Settings
from noria.make.training.settings import ReadSettings

Reading = TypeVar("Reading", bound=ReadSettings)


def settings_given(file: Path | None, *settings: Settings) -> list[Path | Settings]:
    """Return settings in their order: what a file says, and above it what flags say."""
    return [*([file] if file is not None else []), *settings]


def with_columns(reading: Reading, text: str | None, label: str | None) -> Reading:
    """Return how rows are read, with the columns of text and label that have flags of their own."""
    named = {field: column for field, column in (("text", text), ("label", label)) if column is not None}
    if not named:
        return reading
    return reading.make(**{**reading.model_dump(exclude_unset=True), "columns": {**reading.columns, **named}})


def report_for(json: bool) -> Report:
    """Return where a command says what it does: bars for people, JSON lines for programs."""
    return Report.for_terminal(as_json=json)
