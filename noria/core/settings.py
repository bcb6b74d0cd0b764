"""Typed settings: one class is a TOML section, the flags of a command and a Python argument.

class TrainSettings(Settings):
    minutes: Annotated[float, Field(gt=0, le=600)] = 5.0
    \"\"\"Time budget, in minutes.\"\"\"

settings = TrainSettings.read("noria.toml", section="train", minutes=2)
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import sys
import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator

from .errors import InputError, SettingError, did_you_mean, unknown
from .messages import Message, catalogue, message


class Settings(BaseModel):
    """Root of every settings class: frozen, closed to unknown keys, a docstring a field."""

    # A validator is built when the first value is checked: the help of a command checks none.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Take the docstring below a field for its description; pydantic's own way reads the source once a class."""
        super().__pydantic_init_subclass__(**kwargs)
        said = _docstrings(getattr(sys.modules.get(cls.__module__), "__file__", None)).get(cls.__qualname__, {})
        for name, field in cls.__pydantic_fields__.items():
            if name in said:
                field.description = said[name]

    @model_validator(mode="wrap")
    @classmethod
    def _fill_nested(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Settings inside settings that are given in part keep the rest of this field's default, not of their class's."""
        given: dict[str, set[str]] = {}
        if isinstance(values, dict):
            for name, field in cls.model_fields.items():
                if isinstance(field.default, Settings) and isinstance(values.get(name), dict):
                    given[name] = set(values[name])
                    values = {**values, name: {**field.default.model_dump(), **values[name]}}
        made = handler(values)
        for name, keys in given.items():
            # Only what was said counts as set, so that a file's value can stand below a flag's.
            object.__setattr__(getattr(made, name), "__pydantic_fields_set__", keys)
        return made

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show what was said, and leave out what was not: signatures and errors stay short."""
        return [(name, value) for name, value in super().__repr_args__() if name in self.model_fields_set]

    @classmethod
    def make(cls, **values: object) -> Self:
        """Return checked settings; an unknown key names the nearest known one.

        Raises:
            SettingError: a key is unknown or a value is not allowed.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise _plain(cls, error) from None

    @classmethod
    def read(cls, path: str | Path, *, section: str, **overrides: object) -> Self:
        """Return the settings of one TOML section, overridden by those `overrides` that are not None.

        Raises:
            InputError: the file is missing or is not TOML.
            SettingError: a key is unknown or a value is not allowed.
        """
        values = dict(read_toml(path).get(section, {}))
        values.update({key: value for key, value in overrides.items() if value is not None})
        return cls.make(**values)

    def replace(self, **changes: object) -> Self:
        """Return a copy with `changes`, checked like new settings."""
        return type(self).make(**{**self.model_dump(), **changes})

    def fingerprint(self) -> str:
        """Return a hash that is equal exactly when class and values are equal (16 hexadecimal digits)."""
        return fingerprint({"class": type(self).__name__, "values": self.model_dump(mode="json")})


@cache
def _docstrings(file: str | None) -> dict[str, dict[str, str]]:
    """Return what stands below each field of the classes of a source file: qualified name -> field -> docstring."""
    try:
        tree = ast.parse(Path(file or "").read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return {}
    found: dict[str, dict[str, str]] = {}

    def walk(body: list[ast.stmt], within: str) -> None:
        for one, after in zip(body, [*body[1:], None], strict=True):
            if isinstance(one, ast.ClassDef):
                found[within + one.name] = {}
                walk(one.body, f"{within}{one.name}.")
            elif isinstance(one, ast.FunctionDef):
                walk(one.body, f"{within}{one.name}.<locals>.")
            elif (
                isinstance(one, ast.AnnAssign)
                and isinstance(one.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
                and isinstance(after.value.value, str)
                and within.rstrip(".") in found
            ):
                found[within.rstrip(".")][one.target.id] = inspect.cleandoc(after.value.value)

    walk(tree.body, "")
    return found


def read_toml(path: str | Path) -> dict[str, Any]:
    """Return a TOML file as a dict.

    Raises:
        InputError: the file is missing or is not TOML.
    """
    path = Path(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(message("errors.settings_not_found"), found=str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(message("errors.not_toml", path=path), found=str(error)) from None


def check_sections(document: dict[str, Any], known: dict[str, type[Settings]]) -> dict[str, Settings]:
    """Return the checked settings of every section of a TOML document.

    Raises:
        SettingError: a section or a key in it is unknown, or a value is not allowed.
    """
    checked = {}
    for section, values in document.items():
        if section not in known:
            raise unknown("section", section, known)
        if not isinstance(values, dict):
            raise SettingError(message("errors.section_of_keys", section=section), found=values, allowed=f"[{section}]")
        checked[section] = known[section].make(**values)
    return checked


def time_zone(name: str) -> str:
    """Return the name of a time zone.

    Raises:
        ValueError: there is no such zone.
    """
    try:
        return str(ZoneInfo(name))
    except (KeyError, ValueError, OSError):
        raise ValueError("no such time zone; a name such as UTC or Asia/Shanghai is allowed") from None


def fingerprint(value: object) -> str:
    """Return a stable hash of a JSON-able value (16 hexadecimal digits of SHA-256)."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(cls: type[Settings], error: ValidationError) -> SettingError:
    first = error.errors()[0]
    if not first["loc"]:  # a check across several settings says all by itself
        return SettingError(first["msg"].removeprefix("Value error, "))
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        owner = cls
        for part in first["loc"][:-1]:
            inner = owner.model_fields[str(part)].annotation if str(part) in owner.model_fields else None
            owner = inner if isinstance(inner, type) and issubclass(inner, Settings) else owner
        names = sorted(owner.model_fields)
        return SettingError(
            message("errors.unknown_key", key=key),
            allowed=names,
            hint=did_you_mean(str(first["loc"][-1]), names),
        )
    more = len(error.errors()) - 1
    return SettingError(
        message("errors.not_allowed_more", key=key, count=more) if more else message("errors.not_allowed", key=key),
        found=first.get("input"),
        allowed=limit(first),
    )


def limit(fault: Mapping[str, Any]) -> str:
    """Return what would have been allowed, by a fault as pydantic tells it: a message where its kind is known, else its own words.

    >>> limit({"type": "greater_than", "msg": "Input should be greater than 0"})["zh"]
    '大于 0'
    """
    said: str = fault["msg"][0].lower() + fault["msg"][1:]
    before, _, after = catalogue("en", "limits").get(f"limits.{fault['type']}", "\0").partition("{value}")
    if not (said.startswith(before) and said.endswith(after)):
        return said
    told = Message(f"limits.{fault['type']}", {"value": said[len(before) : len(said) - len(after)]})
    return told if told == said else said
