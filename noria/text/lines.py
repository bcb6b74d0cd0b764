"""JSON Lines: a text -> one object a line, with the line it stands on.

A line ends at a line feed, with or without a carriage return, and nowhere else: U+2028, U+2029 and U+0085 may stand inside a JSON
string, where `str.splitlines` would cut it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from noria.core.errors import RowError


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line that is not blank with its 1-based number; a byte-order mark before the first is left out."""
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
        if line.strip():
            yield number, line.removesuffix("\r")


def json_objects(text: str, source: str | Path) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    """Yield each JSON object with its 1-based line, or the error that stands in its place. Blank lines are passed over."""
    for number, line in numbered_lines(text):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, RowError("not JSON", file=source, line=number, found=line, hint=str(error))
            continue
        if isinstance(value, dict):
            yield number, value
        else:
            yield number, RowError("not a JSON object", file=source, line=number, found=line, allowed="{...}")
