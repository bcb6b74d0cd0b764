"""Settings as keyword arguments: a function's settings classes become its parameters, for callers, `help` and editors.

@from_settings("clean")
def clean(*sources: Path, out: Path, cleaning: CleanSettings) -> Corpus: ...

clean("raw/", out="corpus", min_length=3)                        # a field of CleanSettings
clean("raw/", out="corpus", settings="noria.toml")               # what its section [clean] says
clean("raw/", out="corpus", settings=CleanSettings(near=0))      # an object; keywords stand above it
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic_core import PydanticUndefined

from noria.core.errors import SettingError, did_you_mean, unknown
from noria.core.messages import message
from noria.core.progress import Report, listening
from noria.core.settings import Settings, read_toml

PathLike = str | Path
Given = PathLike | Settings | Mapping[str, Any] | Sequence[PathLike | Settings | Mapping[str, Any]] | None
"""What `settings` takes: a TOML file, a settings object, a mapping, or several of them, each above those before it."""

Progress = bool | Report
"""True: bars on a terminal, lines where output is piped; False: silent; or a report of your own, in larger work its `step()`."""
R = TypeVar("R")
TOLD = "Settings, each a keyword; `settings` takes a TOML file, a settings object, or several, and keywords stand above it:"


def from_settings(section: str, *others: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Return a decorator that gives a function the fields of its settings classes as keyword arguments.

    Every parameter whose type is a class of settings, without a default, is replaced by that class's fields and by one
    parameter `settings`; the function is called with the checked objects. Parameters named Path take text too.

    Args:
        section: of a TOML file that is given as `settings`.
        others: keys of that section that are no settings and are passed over, beside the function's own parameters.
    """

    def decorate(function: Callable[..., R]) -> Callable[..., R]:
        hints = typing.get_type_hints(function)
        own = inspect.signature(function)
        classes = {name: hints[name] for name, one in own.parameters.items() if _is_settings(one, hints[name])}
        signature = _signature(own, hints, classes)
        passed = (*others, *(name for name in own.parameters if name not in classes))

        @functools.wraps(function)
        def call(*args: Any, **given: Any) -> R:
            settings = given.pop("settings", None)
            fields = {field for kind in classes.values() for field in kind.model_fields}
            named = {name: given.pop(name) for name in list(given) if name in fields}
            _check_names(function.__name__, given, signature, own)
            found = resolved(classes.values(), section, settings, named, passed)
            bound = _bound(function.__name__, own, args, given, classes)
            for name, value in bound.arguments.items():
                bound.arguments[name] = as_paths(value, hints[name], own.parameters[name])
            return function(*bound.args, **bound.kwargs, **dict(zip(classes, found, strict=True)))

        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n{_documented_fields(classes.values())}"
        call.settings = classes  # type: ignore[attr-defined]
        call.own = [(one, hints[name]) for name, one in own.parameters.items() if name not in classes]  # type: ignore[attr-defined]
        del call.__wrapped__
        return call

    return decorate


def watched(function: Callable[..., R]) -> Callable[..., R]:
    """Return a function with one more keyword, `progress`, that hears of the stages of its work."""
    own = inspect.signature(function)
    more = inspect.Parameter("progress", inspect.Parameter.KEYWORD_ONLY, default=True, annotation=Progress)
    kinds = list(own.parameters.values())

    @functools.wraps(function)
    def call(*args: Any, progress: Progress = True, **given: Any) -> R:
        with listening(report_of(progress)):
            return function(*args, **given)

    call.__signature__ = own.replace(parameters=[*kinds, more])  # type: ignore[attr-defined]
    call.__annotations__ = {**function.__annotations__, "progress": Progress}
    return call


def report_of(progress: Progress) -> Report:
    """Return where a function says what it does."""
    if isinstance(progress, Report):
        return progress
    return Report.for_terminal() if progress else Report.silent()


def resolved(
    classes: Iterable[type[Settings]],
    section: str,
    given: Given,
    keywords: Mapping[str, Any],
    passed: Iterable[str] = (),
) -> list[Settings]:
    """Return the checked settings of several classes whose fields have no name in common.

    Args:
        classes: the classes.
        section: of a TOML file.
        given: see `Given`.
        keywords: fields that stand above `given`.
        passed: keys of a TOML section that are no settings.

    Raises:
        InputError: the TOML file is missing, or is none.
        SettingError: an unknown key, or a value that is not allowed; names the key and what is allowed.
    """
    classes = list(classes)
    values: dict[str, Any] = {}
    several = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    for one in [*several, keywords]:
        if one is not None:
            values = merged(values, _values(one, section, classes, set(passed)))
    names = [name for kind in classes for name in kind.model_fields]
    for name in values:
        if name not in names:
            raise SettingError(
                message("commands.unknown_key", name=name, section=section),
                allowed=sorted(names),
                hint=did_you_mean(name, names),
            )
    return [
        kind.make(**{name: value for name, value in values.items() if name in kind.model_fields}) for kind in classes
    ]


def _values(given: Any, section: str, classes: Sequence[type[Settings]], passed: set[str]) -> dict[str, Any]:
    """Return what one source of settings says, a field each."""
    if isinstance(given, Settings):
        if not isinstance(given, tuple(classes)):
            raise SettingError(
                message("commands.settings_another", section=section),
                found=type(given).__name__,
                allowed=[kind.__name__ for kind in classes],
            )
        return given.model_dump(exclude_unset=True)
    if isinstance(given, Mapping):
        return {key: _value(value) for key, value in given.items()}
    if not isinstance(given, str | Path):
        raise SettingError(
            message("commands.settings_cannot"),
            found=type(given).__name__,
            allowed=message("commands.toml_file"),
        )
    document = read_toml(given)
    if section not in document:
        raise unknown(f"section of {given}", section, document)
    values = document[section]
    if not isinstance(values, dict):
        raise SettingError(
            message("commands.section", section=section, given=given), found=values, allowed=f"[{section}]"
        )
    fields = {name for kind in classes for name in kind.model_fields}
    return {key: value for key, value in values.items() if key in fields or key not in {*passed, "do"}}


def _value(value: Any) -> Any:
    """Return one value as settings take it: settings inside settings by what was set, a result that lies in a folder as its path."""
    if isinstance(value, Settings):
        return value.model_dump(exclude_unset=True)
    if isinstance(value, Mapping):
        return {key: _value(one) for key, one in value.items()}
    folder = getattr(value, "path", None)
    return folder if isinstance(folder, Path) else value


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return two nested dicts as one; where both say something, `above` holds."""
    both = dict(below)
    for key, value in above.items():
        under = both.get(key)
        both[key] = merged(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return both


def as_paths(value: Any, hint: Any, parameter: inspect.Parameter) -> Any:
    """Return an argument with text and results of other calls turned into paths where its type is one."""
    if not _holds(hint, Path):
        return value
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL or isinstance(value, tuple | list):
        return tuple(as_path(one) for one in value)
    return as_path(value)


def as_path(value: Any) -> Any:
    """Return a path of text, a path or a result that lies in a folder; anything else as it is.

    >>> as_path("runs/demo")
    PosixPath('runs/demo')
    """
    folder = getattr(value, "path", None)
    return Path(value) if isinstance(value, str) else folder if isinstance(folder, Path) else value


def plain(hint: Any) -> Any:
    """Return a type as a caller reads it: without bounds, a path or text where a path is taken, a mapping or settings."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        return plain(typing.get_args(hint)[0])
    if hint is Path:
        return str | Path
    if isinstance(hint, type) and issubclass(hint, Settings):
        return hint | Mapping[str, Any]
    if origin in (typing.Union, types.UnionType):
        return functools.reduce(lambda one, other: one | other, (plain(one) for one in typing.get_args(hint)))
    if origin is tuple:
        args = typing.get_args(hint)
        return Sequence[plain(args[0])] if args[1:] == (...,) else tuple[tuple(plain(one) for one in args)]  # type: ignore[misc]
    return hint


def _signature(
    own: inspect.Signature, hints: Mapping[str, Any], classes: Mapping[str, type[Settings]]
) -> inspect.Signature:
    """Return the signature that callers see."""
    parameters = [
        one.replace(annotation=plain(hints[name])) for name, one in own.parameters.items() if name not in classes
    ]
    last = [one for one in parameters if one.name == "progress"]
    parameters = [one for one in parameters if one.name != "progress"]
    for kind in classes.values():
        for name, field in kind.model_fields.items():
            default = field.get_default(call_default_factory=True) if not field.is_required() else PydanticUndefined
            parameters.append(
                inspect.Parameter(
                    name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=inspect.Parameter.empty if default is PydanticUndefined else default,
                    annotation=plain(field.annotation),
                )
            )
    if classes:
        parameters.append(
            inspect.Parameter("settings", inspect.Parameter.KEYWORD_ONLY, default=None, annotation="Given")
        )
    return own.replace(parameters=[*parameters, *last], return_annotation=hints.get("return", own.empty))


def _documented_fields(classes: Iterable[type[Settings]]) -> str:
    """Return the lines of a docstring that say what each field means."""
    lines = [TOLD]
    for kind in classes:
        for name, field in kind.model_fields.items():
            lines.append(f"    {name}: {' '.join((field.description or '').split())}")
    return "\n".join(lines) if len(lines) > 1 else ""


def _check_names(name: str, given: Mapping[str, Any], signature: inspect.Signature, own: inspect.Signature) -> None:
    for one in given:
        if one not in own.parameters:
            raise SettingError(
                message("commands.argument", name=name, one=one),
                allowed=list(signature.parameters),
                hint=did_you_mean(one, signature.parameters),
            )


def _bound(
    name: str, own: inspect.Signature, args: Sequence[Any], given: Mapping[str, Any], classes: Mapping[str, Any]
) -> inspect.BoundArguments:
    try:
        bound = own.bind_partial(*args, **given)
    except TypeError as error:
        raise SettingError(f"{name}(): {error}", allowed=f"{name}{own}") from None
    missing = [
        one.name
        for one in own.parameters.values()
        if one.default is one.empty
        and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
        and one.name not in bound.arguments
        and one.name not in classes
    ]
    if missing:
        raise SettingError(message("commands.needs", name=name, missing=" and ".join(missing)))
    return bound


def _is_settings(parameter: inspect.Parameter, hint: Any) -> bool:
    return parameter.default is parameter.empty and isinstance(hint, type) and issubclass(hint, Settings)


def _holds(hint: Any, kind: type) -> bool:
    return hint is kind or any(_holds(one, kind) for one in typing.get_args(hint))
