"""Help at once: settings say what their fields mean themselves, so their source code need not be read for it."""

from __future__ import annotations

import io
import os
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import docstring_parser
from cyclopts import App, ArgumentCollection, Parameter
from docstring_parser import Docstring, DocstringStyle

from noria.core.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions

_parse = docstring_parser.parse_from_object
# Looking for plugins of pydantic reads the metadata of every installed package.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


def document_fields_from_docstrings() -> None:
    """Keep cyclopts from reading the source of settings classes, and of pydantic's own, for the help of their fields.

    It reads and parses that source several times for every command, which takes as long as all else together; the fields
    have the same words already, from the same docstrings.
    """
    docstring_parser.parse_from_object = _of_functions


def _of_functions(obj: Any, style: DocstringStyle = DocstringStyle.AUTO) -> Docstring:
    if isinstance(obj, type) and (issubclass(obj, Settings) or obj in Settings.__mro__):
        return Docstring()
    return _parse(obj, style)


def plain_help(app: App) -> None:
    """Let help be text without boxes, as wide as its reader: examples stay on lines of their own, all else is wrapped."""
    from cyclopts.help.formatters import PlainFormatter

    class Plain(PlainFormatter):
        def _print_plain(self, console: Console, text: str) -> None:
            for line in text.splitlines():
                begin = line[: len(line) - len(line.lstrip())]
                example = len(begin) >= EXAMPLE
                wrapped = (
                    [line] if example else textwrap.wrap(line, console.width, subsequent_indent=begin + self.indent)
                )
                console.print("\n".join(wrapped), highlight=False, markup=False, soft_wrap=True)

        def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
            wide = type(console)(width=WIDEST, file=io.StringIO())
            with wide.capture() as capture:
                wide.print(description, highlight=False, markup=False)
            lines = [line.rstrip() for line in capture.get().splitlines()]
            self._print_plain(console, "\n".join(lines).strip("\n"))
            console.print()

        def _format_parameter_entry(self, options: Any, desc: str, console: Console, entry: Any) -> None:
            super()._format_parameter_entry(options, " ".join(desc.split()), console, entry)

        def _format_command_entry(self, names: Any, shorts: Any, desc: str, console: Console) -> None:
            super()._format_command_entry(names, shorts, " ".join(desc.split()), console)

    app.help_formatter = Plain()


EXAMPLE, WIDEST = 4, 1_000
"""Blanks that an example begins with; width at which no line of help is wrapped."""


@contextmanager
def arguments_assembled_once() -> Iterator[None]:
    """Let cyclopts assemble the arguments of each command once, where it would three times: only for help, where none gets a value."""
    assemble = App.assemble_argument_collection
    found: dict[int, ArgumentCollection] = {}

    def once(
        self: App, *, default_parameter: Parameter | None = None, parse_docstring: bool = False
    ) -> ArgumentCollection:
        if default_parameter is not None:
            return assemble(self, default_parameter=default_parameter, parse_docstring=parse_docstring)
        if id(self) not in found:
            found[id(self)] = assemble(self, parse_docstring=True)
        return found[id(self)].copy()

    App.assemble_argument_collection = once  # type: ignore[method-assign]
    try:
        yield
    finally:
        App.assemble_argument_collection = assemble  # type: ignore[method-assign]
