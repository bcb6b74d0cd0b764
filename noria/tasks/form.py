"""A way in which another tool writes rows: how a record in it is known, and what rows it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noria.core.errors import RowError
from noria.core.messages import message

Record = Mapping[str, Any]
Row = dict[str, Any]


class Unfit(Exception):  # noqa: N818 - a reason that becomes a row's error
    """Why a record of a known form gives no row: what, and what was found."""

    def __init__(self, what: str, found: object = None) -> None:
        self.what, self.found = what, found


@dataclass(frozen=True)
class Form:
    """A way in which another tool writes rows."""

    name: str
    tasks: tuple[str, ...]
    """Tasks that its rows are for."""
    known: Callable[[Record], bool]
    rows: Callable[[Record], list[Row]]

    def turned(self, record: Record, *, file: str | Path, line: int) -> list[Row]:
        """Return the rows of a record in this form.

        Raises:
            RowError: the record is broken in it.
        """
        try:
            return self.rows(record)
        except Unfit as error:
            raise RowError(
                message("tasks.within_form", what=error.what, name=self.name), file=file, line=line, found=error.found
            ) from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RowError(
                message("tasks.broken_form", name=self.name), file=file, line=line, found=record, hint=repr(error)
            ) from None


def is_texts(record: Record, *names: str) -> bool:
    """Say whether a record has a text in each of these fields."""
    return all(isinstance(record.get(name), str) for name in names)
