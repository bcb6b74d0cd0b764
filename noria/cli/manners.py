"""The manners that all commands share: --json and --quiet, where a result and where progress goes, how a result is printed.

app = Commands(name="shop")

@app.command
def count(file: Path) -> int:                      # noria shop count FILE [--json] [--quiet]
    rows = ...
    return printed({"rows": rows}, lambda: print(f"{rows:,} rows"))

On stdout stands the result alone, with --json a line of JSON each; on stderr progress, notes and errors. What a command prints
without knowing of this is put into JSON line by line, so that a program may rely on it for every command.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json as jsonlib
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from noria.core.messages import Message, for_terminal, message
from noria.core.progress import Manner, Report, in_manner, manner

FLAGS = {
    "json": Annotated[
        bool,
        Parameter(
            negative="",
            help="Results as JSON lines on stdout, progress and errors as JSON lines on stderr, for programs.",
        ),
    ],
    "quiet": Annotated[bool, Parameter(negative="", help="Nothing but the result, and errors.")],
}
"""Flag of every command -> its kind and what its help says."""
DryRun = Annotated[
    bool, Parameter(negative="", help="Only say what would be read, written, sent and removed, and how long it takes.")
]


class Commands(App):
    """Commands that all take the flags of `FLAGS`."""

    if not TYPE_CHECKING:

        def default(self, obj=None, *, validator=None):
            """Register what a command does; help and version, which are bound to an app, stay as they are."""
            if obj is None or isinstance(obj, App) or inspect.ismethod(obj):
                return super().default(obj, validator=validator)
            super().default(with_manners(obj), validator=validator)
            return obj


def with_manners(command: Callable[..., Any]) -> Callable[..., int]:
    """Return a command that takes the flags of `FLAGS` too, prints what it returns, and returns its exit code."""
    signature = inspect.signature(command)
    own = signature.parameters

    @functools.wraps(command)
    def run(*values: Any, json: bool = False, quiet: bool = False, **named: Any) -> int:
        named |= {name: value for name, value in (("json", json), ("quiet", quiet)) if name in own}
        with in_manner(Manner(json, quiet)), _lines_as_json() if json else nullcontext():
            return result_printed(command(*values, **named))

    shared = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False) for name in FLAGS]
    mine = [one for one in own.values() if one.name not in FLAGS]
    run.__signature__ = signature.replace(parameters=[*mine, *shared])  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, **FLAGS, "return": int}
    return run


def result_printed(result: object) -> int:
    """Print what a command returns, as it was asked to, and return the exit code.

    Args:
        result: an exit code; None; or a result of the API, which people have read in the ledger: programs get it as JSON, and who asked for
            quiet the path of what was made.
    """
    if result is not None and not isinstance(result, int):
        print_made(record_of(result), getattr(result, "path", None))
        return 0
    return result or 0


def print_made(facts: Mapping[str, Any], path: Path | None) -> None:
    """Print what was made where people have read of it in the ledger: for programs its facts, for who asked for quiet its path."""
    if os.environ.get("RANK", "0") != "0":  # of several processes of one run only the first speaks
        return
    if manner().json:
        print_json(facts)
    elif manner().quiet and path:
        print(path)


def record_of(result: Any) -> Mapping[str, Any]:
    """Return what programs get of a result of the API: its facts, or its kind and its fields."""
    if hasattr(result, "facts"):
        return dict(result.facts)
    fields = {one.name: getattr(result, one.name) for one in dataclasses.fields(result)}
    return {"result": type(result).__name__.lower(), **fields}


def report() -> Report:
    """Return where the command that runs says what it does: bars for people, JSON lines for programs."""
    return Report.for_terminal()


def printed(facts: object, show: Callable[[], object]) -> int:
    """Print facts as a line of JSON for programs, or let `show` print them for people; return the exit code 0."""
    if manner().json:
        return print_json(facts)
    show()
    return 0


def print_message(words: Message, **facts: object) -> None:
    """Print a line of the result; programs get the values that it is made of, too."""
    if manner().json:
        print_json({"event": words.code.rpartition(".")[2], **words.values, **facts, "line": for_terminal(words)})
    else:
        print(for_terminal(words))


def print_note(words: str) -> None:
    """Say something beside the result, on stderr."""
    if manner().json:
        report().note(for_terminal(words))
    elif not manner().quiet:
        print(for_terminal(message("lines.note_alone", note=words)), file=sys.stderr, flush=True)


def print_json(value: object) -> int:
    """Print a value as one line of JSON; return the exit code 0."""
    print(jsonlib.dumps(finite(value), ensure_ascii=False, allow_nan=False), flush=True)
    return 0


def finite(value: Any) -> Any:
    """Return a value as JSON has it: None for numbers that are infinite or not known, a text for what has no form of its own."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [finite(item) for item in value]
    if hasattr(value, "as_dict"):
        return finite(value.as_dict())
    is_record = dataclasses.is_dataclass(value) and not isinstance(value, type)
    return (
        finite({one.name: getattr(value, one.name) for one in dataclasses.fields(value)}) if is_record else str(value)
    )


class JsonLines:
    """A stream on which every line is a JSON object: one that is none yet becomes the text of one.

    Threads write side by side; each has its own unfinished line.
    """

    def __init__(self, stream: IO[str], event: str) -> None:
        self._stream, self._event = stream, event
        self._begun = threading.local()

    def write(self, text: str) -> int:
        """Take a text, and pass its whole lines on."""
        *lines, self._begun.text = (getattr(self._begun, "text", "") + text).split("\n")
        self._stream.write("".join(f"{self._object(line)}\n" for line in lines if line.strip()))
        return len(text)

    def finish(self) -> None:
        """Pass on a last line that has no end."""
        if getattr(self._begun, "text", "").strip():
            self.write("\n")
        self._stream.flush()

    def _object(self, line: str) -> str:
        if line.startswith("{"):
            try:
                jsonlib.loads(line)
            except ValueError:
                pass
            else:
                return line
        return jsonlib.dumps({"event": self._event, "line": line.rstrip()}, ensure_ascii=False)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def _lines_as_json() -> Iterator[None]:
    out, err = sys.stdout, sys.stderr
    streams = JsonLines(out, "text"), JsonLines(err, "note")
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
        for stream in streams:
            stream.finish()
