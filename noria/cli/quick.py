"""Help at once: settings say what their fields mean themselves, so their source code need not be read for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import docstring_parser
from cyclopts import App, ArgumentCollection, Parameter
from docstring_parser import Docstring, DocstringStyle

from noria.core.settings import Settings

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
