"""Help at once: settings say what their fields mean themselves, so their source code need not be read for it."""

from __future__ import annotations

from typing import Any

import docstring_parser
from docstring_parser import Docstring, DocstringStyle

from noria.core.settings import Settings

_parse = docstring_parser.parse_from_object


def document_fields_from_docstrings() -> None:
    """Keep cyclopts from reading the source of settings classes, and of pydantic's own, for the help of their fields.

    It reads and parses that source several times for every command, which takes as long as all else together; pydantic
    has the same words already, from the same docstrings (`use_attribute_docstrings`).
    """
    docstring_parser.parse_from_object = _of_functions


def _of_functions(obj: Any, style: DocstringStyle = DocstringStyle.AUTO) -> Docstring:
    if isinstance(obj, type) and (issubclass(obj, Settings) or obj in Settings.__mro__):
        return Docstring()
    return _parse(obj, style)
