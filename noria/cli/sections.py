"""A section of noria.toml is a command of `noria build`: its keys are the command's flags, checked by the same settings.

section = read_section("names", {"do": "finetune", "task": "tag", "base": "base", "train": "t.jsonl"})
section.inputs()                     # every file and folder that it reads
section.call(out=Path("runs/names"), places=…, json=False)
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import create_model

from noria.core.errors import SettingError, nearest
from noria.core.settings import Settings

LEFT_OUT = ("out", "file", "json")
"""Parameters of a command that the run gives, not the section."""

TABLES: dict[str, Any] = {"try_": (dict[str, Any] | tuple[str, ...], ...), "options": (dict[str, Any] | None, None)}
"""Parameters that a section may say as a table of its own, with the type and default they then have."""


def commands() -> dict[str, Callable[..., int]]:
    """Return what a section can do, by name."""
    from . import build, tune

    return {
        "clean": build.clean,
        "tokenizer": build.tokenizer,
        "pretrain": build.pretrain,
        "base": build.base,
        "search": tune.search,
        "crossvalidate": tune.crossvalidate,
        "finetune": tune.finetune,
        "evaluate": build.evaluate,
        "compress": build.compress,
    }


@dataclass(frozen=True)
class Section:
    """One section, checked."""

    name: str
    do: str
    command: Callable[..., int]
    values: Settings
    """Its keys; those of the command's settings classes lie flat among them."""

    def inputs(self) -> Iterator[Path]:
        """Yield every path among the values."""
        yield from _paths(self.values)

    def call(self, out: Path, places: Callable[[Path], Path], *, json: bool) -> None:
        """Run the command, each path put in its place."""
        positional: list[Any] = []
        named: dict[str, Any] = {"out": out, "json": json}
        for parameter, hint in _parameters(self.command):
            if parameter.name in LEFT_OUT:
                continue
            kind = settings_class(hint)
            if kind is not None:
                given = {name: getattr(self.values, name) for name in kind.model_fields}
                value: Any = kind.make(**given)
            else:
                value = getattr(self.values, _key(parameter.name))
            value = _placed(value, places)
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
                positional += value
            else:
                named[parameter.name] = value
        self.command(*positional, **named)

    def described(self, identity: Callable[[Path], Any]) -> dict[str, Any]:
        """Return what decides the result: all values, each path by the identity of what it holds."""
        return {"do": self.do, "values": _described(self.values, identity)}


def read_section(name: str, values: Any) -> Section:
    """Return one section of the file, checked.

    Raises:
        SettingError: it does not say what it does, or has a key or value that is not allowed.
    """
    known = commands()
    if not isinstance(values, dict):
        raise SettingError(f"unknown key {name!r} at the top of the file", found=values, allowed="out, and sections")
    values = dict(values)
    do = values.pop("do", name)
    if do not in known:
        close = nearest(str(do), known)
        raise SettingError(
            f"[{name}] does not say what it does",
            found=do if do != name else None,
            allowed=known,
            hint=f"did you mean {close}?" if close else f'add do = "finetune" or the like to [{name}]',
        )
    try:
        return Section(name, do, known[do], schema(known[do]).make(**values))
    except SettingError as error:
        error.what = f"[{name}] {error.what}"
        raise


def schema(command: Callable[..., int]) -> type[Settings]:
    """Return the settings class whose fields are the flags of a command."""
    fields: dict[str, Any] = {}
    for parameter, hint in _parameters(command):
        if parameter.name in LEFT_OUT:
            continue
        kind = settings_class(hint)
        if kind is not None:
            fields |= {name: (one.rebuild_annotation(), one) for name, one in kind.model_fields.items()}
        elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            fields[parameter.name] = (tuple[hint, ...], ...)  # type: ignore[valid-type]
        elif parameter.name in TABLES:
            fields[_key(parameter.name)] = TABLES[parameter.name]
        else:
            default = ... if parameter.default is inspect.Parameter.empty else parameter.default
            fields[_key(parameter.name)] = (hint, default)
    return create_model(command.__name__, __base__=Settings, **fields)


def _parameters(command: Callable[..., int]) -> list[tuple[inspect.Parameter, Any]]:
    hints = typing.get_type_hints(command)
    return [(parameter, hints[parameter.name]) for parameter in inspect.signature(command).parameters.values()]


def _key(name: str) -> str:
    return name.rstrip("_")


def settings_class(hint: Any) -> type[Settings] | None:
    """Return a parameter's type where it is a class of settings."""
    return hint if isinstance(hint, type) and issubclass(hint, Settings) else None


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
