"""JSON Lines: a text -> one object a line, with the line it stands on.

A line ends at a line feed, with or without a carriage return, and nowhere else: U+2028, U+2029 and U+0085 may stand inside a JSON
string, where `str.splitlines` would cut it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from noria.core.errors import RowError
from noria.core.messages import message

from .encoding import MARKED

Numbered = tuple[int, dict[str, Any] | RowError]
"""A record with the line it stands on, or what is wrong there."""


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line that is not blank with its 1-based number; a byte-order mark before the first is left out."""
    return filled_lines(text.split("\n"))


def filled_lines(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield each line that is not blank with its 1-based number, without its end; byte-order marks before one are left out."""
    for number, line in enumerate(lines, start=1):
        # Files put together by `cat` have such a mark in their midst.
        bare = line.lstrip("\ufeff").rstrip("\r\n")
        if bare.strip():
            yield number, bare


def json_objects(text: str, source: str | Path) -> Iterator[Numbered]:
    """Yield each JSON object with its 1-based line, or the error that stands in its place. Blank lines are passed over."""
    return json_rows(text.split("\n"), source)


def json_rows(lines: Iterable[str], source: str | Path) -> Iterator[Numbered]:
    """Yield the object on each line as `json_objects` does, of lines that come one by one."""
    for number, line in filled_lines(lines):
        if MARKED in line:
            yield number, RowError(message("text.bytes_file"), file=source, line=number)
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, RowError(message("text.json"), file=source, line=number, found=line, hint=str(error))
            continue
        if isinstance(value, dict):
            yield number, value
        else:
            yield number, RowError(message("text.json_object"), file=source, line=number, found=line, allowed="{...}")
