"""Records of a file -> rows under the names that tasks know them by: columns of other names, lists and labels in cells.

    records = read_records("客服.csv", report)                            # {"内容": "我要退货", "标签": "退货"}
    fields = columns_for(("text", "label"), records.columns)             # {"text": "内容", "label": "标签"}

How files are read is the business of `noria.text.records`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from noria.core.errors import RowError
from noria.core.messages import Message, joined, message
from noria.text.columns import as_it_should_be, columns_among, no_such_column
from noria.text.headings import bare_name
from noria.text.labels import STRONG, parts_of

LISTS = ("labels", "tokens", "tags", "spans", "answers", "messages", "features")
"""Fields that hold a list: in a table as JSON; labels also as names between | ; ； 、, tokens and tags between spaces."""


_IN_BRACES = re.compile(r"[({][^(){}:]*[,;|；、，][^(){}:]*[)}]")
_ARRAY = re.compile(r"""(?<=[^\[,\s\\])(['"])\s+(['"])(?=[^\],\s])""")
_HELD = (
    "entities",
    "aspects",
    "label",
    "annotations",
    "answers",
    "conversations",
    "conversation",
    "messages",
    "history",
    "data",
)
"""Columns of other tools' tables whose cells are lists or objects, as JSON or as Python prints them."""


def opened(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table's row with the lists and objects that stand in it as text; other cells are left as they are."""
    row = dict(record)
    for name in _HELD:
        cell = row.get(name)
        if isinstance(cell, str) and cell.strip()[:1] in ("[", "{"):
            value = _listed(name, cell)
            row[name] = value if isinstance(value, list | dict) else cell
    return row


def columns_text(found: Mapping[str, str]) -> Message:
    """Return in words which columns were taken for which fields."""
    return joined("join.comma", [message("work.column", field=one, column=column) for one, column in found.items()])


def columns_for(
    fields: Sequence[str], columns: Sequence[str], given: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return field -> column for the fields that a table holds under another name.

    A column is guessed only where it is the one that plainly stands for the field: its name is the field's but for case
    and spaces, or the only one of the field's usual names, in English or Chinese, that no other field has a claim to.

    Args:
        fields: fields that rows should have, the most important first.
        columns: the table's columns.
        given: what the person has said; never guessed over.

    Raises:
        InputError: a column that was given is not there.
    """
    chosen = dict(given or {})
    for column in chosen.values():
        if column not in columns:
            raise no_such_column(column, columns)
    taken = {*chosen.values(), *(field for field in fields if field in columns)}
    for field in fields:
        if field in columns or field in chosen:
            continue
        free = [column for column in columns if column not in taken]
        same = [column for column in free if bare_name(column).replace(" ", "_") == field]
        if len(found := same or columns_among("rows", field, free)) == 1:
            chosen[field] = found[0]
            taken.add(found[0])
    return chosen


def as_row(
    record: Mapping[str, Any], columns: Mapping[str, str], *, table: bool, numbers: bool = False
) -> dict[str, Any]:
    """Return a record under the names of fields; of a table also with lists and labels in the form of a row.

    Args:
        record: what stands in the file.
        columns: field -> the name it has in the file.
        table: whether the file is a table.
        numbers: whether the columns of a table are the features, all but the label's.
    """
    taken = set(columns.values())
    row = {key: value for key, value in record.items() if key not in taken}
    row |= {field: record[column] for field, column in columns.items() if column in record}
    if not table:
        return row
    if numbers and "features" not in row:
        row["features"] = [_number(row.pop(column)) for column in list(row) if column not in ("label", "labels")]
    for field in LISTS:
        if field in row:
            row[field] = _listed(field, row[field])
    return row


def by_column(error: RowError, columns: Mapping[str, str]) -> RowError:
    """Return a row's error in the words of a table: it names the column, not the field."""
    if error.field is not None:
        column = columns.get(error.field, error.field)
        if error.wrong == message("tasks.field_missing"):
            flag = f"--{error.field}-column" if error.field in ("text", "label") else f"--columns.{error.field}"
            form = as_it_should_be(["text", "label"] if error.field in ("text", "label") else [error.field])
            error.wrong, error.hint = message("tasks.such_column"), message("tasks.which_column", flag=flag, form=form)
        place = {"file": error.file, "line": error.line, "what": error.wrong}
        error.what = message("errors.column", column=column, **place)
    return error


def _number(cell: object) -> object:
    try:
        return float(cell) if isinstance(cell, str) else cell
    except ValueError:
        return cell


def _listed(field: str, value: object) -> object:
    if not isinstance(value, str):
        return value
    bare = value.strip()
    if field == "spans" and not bare:
        return []  # a blank cell is none
    if field == "labels" and _IN_BRACES.fullmatch(bare):
        bare = f"[{bare[1:-1]}]"  # sets of Postgres and of Python
    if bare.startswith(("[", "{")):
        bare = _ARRAY.sub(r"\1, \2", bare)  # how numpy prints an array of texts
        for read in (json.loads, ast.literal_eval):  # the second is how Python prints a list, and pandas writes one
            try:
                return read(bare)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
        if field != "labels" or not bare.endswith("]"):
            return value
        return [part.strip("\"'") for part in parts_of(bare[1:-1], "".join(STRONG) + ",")]
    if field == "labels":
        return parts_of(value, "".join(STRONG))
    return value.split() if field in ("tokens", "tags") else value
