"""JSON that is one value: an array of rows, an object that holds one or is one by columns -> each row with its line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from noria.core.errors import InputError, RowError
from noria.core.messages import message

from .lines import Numbered

LISTED = ("data", "rows", "records", "examples", "items", "samples", "instances", "train", "annotations", "results")
"""Names under which an object of JSON may hold its rows."""


def array_rows(text: str, name: str) -> Iterator[Numbered]:
    """Yield the rows of an array, or of an object that holds them, each with the line it begins on."""
    start = len(text) - len(text.lstrip())
    if text[start : start + 1] == "[":
        yield from _array(text, start, name)
        return
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        yield from _array(text, start - 1, name, closing="")  # objects one after another, each over many lines
        return
    if not isinstance(whole, dict):
        raise InputError(message("text.holds_rows", name=name), found=whole, allowed="[{...}, ...]")
    lists = {key: value for key, value in whole.items() if isinstance(value, list) and any(map(_is_row, value))}
    held = [key for key in LISTED if key in lists] or list(lists)
    if len(lists) == 1 or (held and held[0] == "data"):
        yield from enumerate((_object(one, name, number) for number, one in enumerate(lists[held[0]], 1)), 1)
    elif lists:
        raise InputError(
            message("text.holds_several", name=name), found=", ".join(lists), hint=message("text.put_each")
        )
    elif rows := _split(whole) or _by_columns(whole):
        yield from enumerate(rows, 1)
    else:
        raise InputError(
            message("text.holds_rows", name=name),
            found=message("text.object", whole=", ".join(whole) or "nothing"),
            allowed=message("text.data_object"),
        )


def _array(text: str, start: int, name: str, closing: str = "]") -> Iterator[Numbered]:
    decode = json.JSONDecoder().raw_decode
    place, line, counted, number = start + 1, 1, 0, 0
    # An array on one line has rows 1, 2, 3; one over many lines has the lines that its rows begin on.
    on_lines = "\n" in text.strip()
    closed = False
    while not closed:
        while text[place : place + 1].isspace():
            place += 1
        line, counted = line + text.count("\n", counted, place), place
        if not closing and place >= len(text):
            return
        if closing and text[place : place + 1] == closing and text[:place].rstrip()[-1:] == "[":
            place, closed = place + 1, True
            continue
        try:
            value, place = decode(text, place)
        except (ValueError, RecursionError) as error:
            raise InputError(message("text.json_line", name=name, line=line), found=str(error)) from None
        number += 1
        there = line if on_lines else number
        yield there, _object(value, name, there)
        while text[place : place + 1].isspace():
            place += 1
        mark = text[place : place + 1]
        if not closing:
            place += mark == ","
            continue
        if mark not in (",", "]"):
            raise InputError(
                message("text.json_line", name=name, line=line),
                found=text[place : place + 20] or message("text.end"),
                allowed=message("text.or"),
            )
        place, closed = place + 1, mark == "]"
    if rest := text[place:].strip():
        raise InputError(message("text.goes_after", name=name), found=rest)


def _is_row(value: object) -> bool:
    return isinstance(value, dict)


def _object(value: Any, name: str, line: int) -> dict[str, Any] | RowError:
    if isinstance(value, dict):
        return value
    return RowError(message("text.json_object"), file=name, line=line, found=value, allowed="{...}")


def _split(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of columns and data, as pandas writes them with orient="split"; none where they do not pair."""
    names, data = whole.get("columns"), whole.get("data")
    if not isinstance(names, list) or not isinstance(data, list) or not all(isinstance(name, str) for name in names):
        return []
    if not all(isinstance(cells, list) and len(cells) == len(names) for cells in data):
        return []
    return [dict(zip(names, cells, strict=True)) for cells in data]


def _by_columns(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of an object of columns, as pandas writes by default; none where its columns do not pair."""
    if all(isinstance(value, dict) and value and not all(map(str.isdigit, value)) for value in whole.values()) and all(
        map(str.isdigit, whole)
    ):
        return list(whole.values())  # orient="index"
    columns = {name: list(value.values()) if isinstance(value, dict) else value for name, value in whole.items()}
    if not columns or not all(isinstance(value, list) for value in columns.values()):
        return []
    if len({len(value) for value in columns.values()}) != 1 or len(columns) < 2:
        return []
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
