"""A section of noria.toml is a function of the API: its keys are the function's arguments, checked by the same settings.

section = read_section("names", {"do": "finetune", "task": "tag", "base": "base", "train": "t.jsonl"})
section.inputs()                     # every file and folder that it reads
section.call(out=Path("runs/names"), places=…, report=…)
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import create_model

from noria.core.errors import SettingError, did_you_mean
from noria.core.messages import message
from noria.core.progress import Report
from noria.core.settings import Settings
from noria.make.training.settings import ReadSettings

from . import finetuning, make

LEFT_OUT = ("out", "progress")
"""Arguments that the run gives, not the section."""
NAMES = {"ranges": "try"}
"""Arguments that a section calls otherwise, as the flags do."""
TABLES: dict[str, Any] = {
    "try": (dict[str, Any] | tuple[str, ...], ...),
    "options": (dict[str, Any] | None, None),
}
"""Keys that a section may say as a table of its own, with the type and default they then have."""
COLUMNS = {"text_column": "text", "label_column": "label"}
"""Short keys of the two columns that are named most."""


def functions() -> dict[str, Callable[..., Any]]:
    """Return what a section can do, by name."""
    return {
        "clean": make.clean,
        "tokenizer": make.tokenizer,
        "pretrain": make.pretrain,
        "base": make.base,
        "search": finetuning.search,
        "crossvalidate": finetuning.crossvalidate,
        "finetune": finetuning.finetune,
        "recommend": finetuning.recommender,
        "align": finetuning.align,
        "evaluate": make.evaluate,
        "compress": make.compress,
    }


@dataclass(frozen=True)
class Section:
    """One section, checked."""

    name: str
    do: str
    function: Callable[..., Any]
    values: Settings
    """Its keys; those of the function's settings classes lie flat among them."""

    def inputs(self) -> Iterator[Path]:
        """Yield every path among the values."""
        yield from _paths(self.values)

    def call(self, out: Path, places: Callable[[Path], Path], report: Report) -> None:
        """Call the function, each path put in its place."""
        positional: list[Any] = []
        named: dict[str, Any] = {}
        for parameter, _ in arguments(self.function):
            value = _placed(getattr(self.values, key_of(parameter.name)), places)
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                # What stands before it in the signature must stand before it in the call.
                positional = [*named.values(), *value]
                named = {}
            else:
                named[parameter.name] = value
        settings: list[Any] = [
            _placed(kind.make(**{name: getattr(self.values, name) for name in kind.model_fields}), places)
            for kind in classes(self.function)
        ]
        columns = {
            field: told for key, field in COLUMNS.items() if (told := getattr(self.values, key, None)) is not None
        }
        if columns:
            settings.append({"columns": columns})
        self.function(*positional, **named, settings=settings, out=out, progress=report)

    def described(self, identity: Callable[[Path], Any]) -> dict[str, Any]:
        """Return what decides the result: all values, each path by the identity of what it holds."""
        return {"do": self.do, "values": _described(self.values, identity)}


def read_section(name: str, values: Any) -> Section:
    """Return one section of the file, checked.

    Raises:
        SettingError: it does not say what it does, or has a key or value that is not allowed.
    """
    known = functions()
    if not isinstance(values, dict):
        raise SettingError(
            message("commands.unknown_key_top", name=name), found=values, allowed=message("commands.out_sections")
        )
    values = dict(values)
    do = values.pop("do", name)
    if do not in known:
        raise SettingError(
            message("commands.does_say", name=name),
            found=do if do != name else None,
            allowed=known,
            hint=did_you_mean(str(do), known) or message("commands.add_do", name=name),
        )
    try:
        return Section(name, do, known[do], schema(known[do]).make(**values))
    except SettingError as error:
        error.what = f"[{name}] {error.what}"
        raise


def schema(function: Callable[..., Any]) -> type[Settings]:
    """Return the settings class whose fields are the keys of a section that calls a function."""
    fields: dict[str, Any] = {}
    for parameter, hint in arguments(function):
        key = key_of(parameter.name)
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            fields[key] = (tuple[hint, ...], ...)  # type: ignore[valid-type]
        elif key in TABLES:
            fields[key] = TABLES[key]
        else:
            fields[key] = (hint, ... if parameter.default is inspect.Parameter.empty else parameter.default)
    for kind in classes(function):
        fields |= {name: (one.rebuild_annotation(), one) for name, one in kind.model_fields.items()}
        if issubclass(kind, ReadSettings):
            fields |= dict.fromkeys(COLUMNS, (str | None, None))
    return create_model(function.__name__, __base__=Settings, **fields)


def arguments(function: Callable[..., Any]) -> list[tuple[inspect.Parameter, Any]]:
    """Return the arguments of a function that are no settings, each with its type, without those that the run gives."""
    return [(one, hint) for one, hint in function.own if one.name not in LEFT_OUT]  # type: ignore[attr-defined]


def classes(function: Callable[..., Any]) -> list[type[Settings]]:
    """Return the classes of settings that a function takes."""
    return list(function.settings.values())  # type: ignore[attr-defined]


def key_of(name: str) -> str:
    """Return what a section calls an argument."""
    return NAMES.get(name, name)


def _paths(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, Settings):
        for name in type(value).model_fields:
            yield from _paths(getattr(value, name))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _paths(one)


def _placed(value: Any, places: Callable[[Path], Path]) -> Any:
    if isinstance(value, Path):
        return places(value)
    if isinstance(value, Settings) and any(_paths(value)):
        return value.replace(**{name: _placed(getattr(value, name), places) for name in type(value).model_fields})
    return type(value)(_placed(one, places) for one in value) if isinstance(value, list | tuple) else value


def _described(value: Any, identity: Callable[[Path], Any]) -> Any:
    if isinstance(value, Path):
        return identity(value)
    if isinstance(value, Settings):
        return {name: _described(getattr(value, name), identity) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {key: _described(one, identity) for key, one in value.items()}
    return [_described(one, identity) for one in value] if isinstance(value, list | tuple) else value
