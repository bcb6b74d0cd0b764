"""Numeric: a row of numbers gets a label, through a small feed-forward net. Rows {features: [numbers], label}."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from tokenizers import Tokenizer

from noria.core.errors import InputError, RowError
from noria.core.messages import message

from .classify import Classify
from .task import Features, Head, Row, Task

LARGEST = 1e30
"""Larger numbers would leave the range of single precision once they are scaled."""


@dataclass(frozen=True)
class Numeric(Classify):
    """One label, or several, a row of numbers; all rows of a model have as many."""

    name: ClassVar[str] = "numeric"
    head: ClassVar[Head] = "vector"
    columns: ClassVar[tuple[str, ...]] = ("features", "label", "labels")

    width: int = 0
    """How many numbers a row has; 0: not known yet."""

    def features(self, tokenizer: Tokenizer | None, row: Mapping[str, object] | str, max_length: int) -> Features:
        """Return the numbers of a row as `meta["vector"]`, without ids; a bare text holds them as a JSON list or with commas.

        Raises:
            InputError: a bare text that holds no such numbers.
        """
        if not isinstance(row, str):
            return Features([], [], {"text": "", "truncated": False, "vector": row["features"]})
        try:
            given = json.loads(row if row.strip().startswith("[") else f"[{row}]")
        except (ValueError, RecursionError):
            given = None
        numbers = _numbers(given)
        if numbers is None or (self.width and len(numbers) != self.width):
            raise InputError(
                message("tasks.row_numbers"),
                found=row,
                allowed=message("tasks.numbers_between", width=self.width or "some"),
            )
        return Features([], [], {"text": row, "truncated": False, "vector": numbers})

    def texts(self, row: Mapping[str, Any]) -> list[str]:
        """Return the numbers as one text, by which equal rows are known."""
        return [json.dumps(row["features"])]

    def fitted(self, rows: Sequence[Row]) -> Task:
        """Return the task with the labels of its training rows and the width that they share.

        Raises:
            InputError: rows of different widths.
        """
        widths = sorted({len(row["features"]) for row in rows})
        if len(widths) != 1:
            raise InputError(message("tasks.rows_different"), found=widths, allowed=message("tasks.one_number"))
        task = super().fitted(rows)
        return replace(task, width=widths[0]) if isinstance(task, Numeric) else task

    def _inputs(self, row: Mapping[str, object], file: str | Path, line: int) -> Row:
        if "features" not in row:
            raise RowError(
                message("tasks.field_missing"),
                file=file,
                line=line,
                field="features",
                found=", ".join(map(str, row)) or "{}",
            )
        numbers = _numbers(row["features"])
        if numbers is None:
            raise RowError(
                message("tasks.list_numbers"),
                file=file,
                line=line,
                field="features",
                found=row["features"],
                allowed=message("tasks.finite_numbers", largest=LARGEST),
            )
        if self.width and len(numbers) != self.width:
            raise RowError(
                message("tasks.another_number"),
                file=file,
                line=line,
                field="features",
                found=len(numbers),
                allowed=str(self.width),
            )
        return {"features": numbers}


def _numbers(given: object) -> list[float] | None:
    if not isinstance(given, list) or not given:
        return None
    for one in given:
        if isinstance(one, bool) or not isinstance(one, int | float) or not math.isfinite(one) or abs(one) > LARGEST:
            return None
    return [float(one) for one in given]
