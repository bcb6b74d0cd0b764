"""A file's rows in a table of an engine: their columns, where each row stands in the file, and what is to be told of how it was read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from noria.core.messages import Message, as_is, message
from noria.text.records import Records

from .problems import Problem

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

NUMBER = "row number"
Wanted = Callable[[Sequence[str]], Collection[str]]
"""The names of a file's columns -> those among them that are wanted."""


@dataclass
class Loaded:
    """A file's rows in a table."""

    name: str
    kinds: dict[str, str]
    """All columns of the file with their types, those that were not asked for, too."""
    line: Callable[[int], int]
    """Row number -> the line where it stands."""
    problems: list[Problem] = field(default_factory=list)
    notes: list[Message] = field(default_factory=list)
    """What a person should know of how it was read."""


def surplus(rows: int, example: str, found: str) -> Problem:
    """Return the problem of rows with more cells than there are columns."""
    return Problem("more cells than columns", rows, example, found, message("log.hint.quotes"))


def notes_of(records: Records) -> list[Message]:
    """Return how the file was read, where that is not what everyone would take it for."""
    notes = []
    if records.encoding not in ("", "utf-8", "utf-8-sig"):
        notes.append(message("log.note.encoding", encoding=records.encoding.upper()))
    if records.dialect is not None and records.dialect.delimiter != ",":
        delimiter = records.dialect.delimiter
        called = {"\t": "tab", " ": "blank"}.get(delimiter)
        named = message(f"log.delimiter.{called}") if called else as_is(repr(delimiter))
        notes.append(message("log.note.delimiter", delimiter=named))
    return notes


def columns_of(connection: Backend, raw: str) -> dict[str, str]:
    """Return a table's columns with their types, without `row number`."""
    kinds = {row[0]: str(row[1]) for row in connection.con.execute(f'DESCRIBE "{raw}"').fetchall()}
    return {column: kind for column, kind in kinds.items() if column != NUMBER}


def number_sql(column: str) -> str:
    """Return the SQL that reads a column as a number; true and false are 1 and 0, and what is none is NULL."""
    text = f"lower(trim(CAST({quoted(column)} AS VARCHAR)))"
    return f"CASE {text} WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 ELSE TRY_CAST({text} AS DOUBLE) END"


def quoted(name: str) -> str:
    """Return a column's name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'
