"""What the commands of `noria grow` share: a result as JSON, as a table for people, or as Parquet."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from noria.core.messages import catalogue, for_terminal, message

Flatten = Parameter(name="*")
Switch = Annotated[bool, Parameter(negative="")]


def percent(value: float | None) -> str | None:
    """Return a part as a person reads it, in percent."""
    return None if value is None else f"{value:.1%}" if value >= 0.001 or value == 0 else f"{value:.2%}"


def print_json(value: object) -> int:
    """Print a value as JSON, null for what is infinite or not known; return the exit code 0."""
    print(json.dumps(finite(value), ensure_ascii=False, indent=1, allow_nan=False))
    return 0


def finite(value: Any) -> Any:
    """Return a value with None for numbers that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print the columns named of the rows; what is missing, or has no end, is a dash."""
    from rich.console import Console
    from rich.table import Table

    from noria.core.figure import number

    table = Table(*map(_head, columns), box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        cells = [finite(row.get(name)) for name in columns]
        table.add_row(*("–" if cell is None else cell if isinstance(cell, str) else number(cell) for cell in cells))
    console = Console()
    # A pipe has no width: let the table have what it needs.
    (console if console.is_terminal else Console(width=200)).print(table)


def _head(column: str) -> str:
    """Return a column's head: a word that people know in their language, else the column's own name."""
    key = re.sub(r"\W+", "_", column).strip("_")
    if f"heads.{key}" not in catalogue("en", "heads"):
        return column
    told = message(f"heads.{key}")
    return for_terminal(told) if told == column else column


def write_parquet(rows: list[dict[str, Any]], path: Path) -> None:
    """Write rows whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from noria.core.folder import write_bytes

    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    write_bytes(path, sink.getvalue().to_pybytes())
