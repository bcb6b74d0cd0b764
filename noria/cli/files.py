"""What flags say, as the API takes it: settings above those of a TOML file, columns from two short flags, and what neither says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeVar

from cyclopts import Parameter

from noria.core.errors import SettingError
from noria.core.messages import message
from noria.core.settings import Settings
from noria.make.training.settings import ReadSettings

Reading = TypeVar("Reading", bound=ReadSettings)
Given = TypeVar("Given")
SettingsFile = Annotated[Path | None, Parameter(name="--settings")]


def settings_given(file: Path | None, *settings: Settings) -> list[Path | Settings]:
    """Return settings in their order: what a file says, and above it what flags say."""
    return [*([file] if file is not None else []), *settings]


def with_columns(reading: Reading, text: str | None, label: str | None) -> Reading:
    """Return how rows are read, with the columns of text and label that have flags of their own."""
    named = {field: column for field, column in (("text", text), ("label", label)) if column is not None}
    if not named:
        return reading
    return reading.make(**{**reading.model_dump(exclude_unset=True), "columns": {**reading.columns, **named}})


def needed(name: str, value: Given | None) -> Given:
    """Return what a flag, or a desk's file of settings, says.

    Raises:
        SettingError: neither does.
    """
    if not value:
        raise SettingError(message("commands.desk_lacks", name=name), hint=message("commands.desk_settings"))
    return value
