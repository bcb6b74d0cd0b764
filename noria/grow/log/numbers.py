"""Columns of a table in DuckDB as numbers, whatever way they are written: thousands marks, decimal commas, signs, yes and no.

column = add_numbers(connection, raw, "outcome")     # SQL of a column of doubles; NULL where a cell is none
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import ibis
import pyarrow as pa

from noria.core.messages import message
from noria.grow.series.units import scale_of
from noria.text.numbers import number_of, style_of

from .loaded import number_sql, quoted

if TYPE_CHECKING:
    from ibis.backends.duckdb import Backend

_WORDS = {
    "yes": 1.0,
    "y": 1.0,
    "true": 1.0,
    "是": 1.0,
    "有": 1.0,
    "✓": 1.0,
    "no": 0.0,
    "n": 0.0,
    "false": 0.0,
    "否": 0.0,
}


def add_numbers(connection: Backend, raw: str, column: str) -> tuple[str, str]:
    """Return the SQL that reads a column as numbers, and what is to be told: of a cell that is not plain digits, as what it is read.

    Where all cells are plain, nothing is added. Else every distinct cell is read by what the whole column shows, into a column of
    its own. A mark with three digits behind it of which nothing tells what it means is none, and so is what is written in two ways.
    """
    run = connection.con.execute
    told = f"trim(CAST({quoted(column)} AS VARCHAR))"
    plain = number_sql(column)
    odd = run(f"SELECT {told} FROM \"{raw}\" WHERE {told} <> '' AND ({plain}) IS NULL LIMIT 1").fetchone()
    if not odd:
        return plain, ""
    cells = [cell for (cell,) in run(f"SELECT DISTINCT {told} FROM \"{raw}\" WHERE {told} <> ''").fetchall()]
    read = _read(cells)
    example = next(
        (message("log.read_as", cell=cell, value=read[cell]) for cell in cells if cell in read and not _is_plain(cell)),
        "",
    )
    name, values = f"number {column}", ibis.util.gen_name("numbers")
    connection.con.register(
        values, pa.table({"cell": cells, "value": pa.array([read.get(cell) for cell in cells], pa.float64())})
    )
    run(f'ALTER TABLE "{raw}" ADD COLUMN {quoted(name)} DOUBLE')
    run(f'UPDATE "{raw}" SET {quoted(name)} = told.value FROM "{values}" AS told WHERE {told} = told.cell')
    connection.con.unregister(values)
    return quoted(name), example


def _read(cells: list[str]) -> dict[str, float]:
    words = {cell: _WORDS[cell.casefold()] for cell in cells if cell.casefold() in _WORDS}
    others = [cell for cell in cells if cell not in words]
    try:
        style = style_of(others)
    except ValueError:
        return {}
    found = dict(words)
    for cell in others:
        try:
            number = number_of(cell, style)
        except ValueError:
            continue
        if number is not None:
            found[cell] = number.value / (scale_of(number.sign) or 1.0)
    return found


def _is_plain(cell: str) -> bool:
    try:
        return "_" not in cell and bool(float(cell) + 1)
    except ValueError:
        return False
