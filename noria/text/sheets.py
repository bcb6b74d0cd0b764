"""Spreadsheets: the first sheet with rows in it -> its cells as text, as a CSV of the same sheet would have them."""

from __future__ import annotations

import datetime
import io

from noria.core.errors import InputError

from .sources import Source
from .tables import Notes, bare_names, check_header
from .titles import header_place


def sheet_cells(source: Source, notes: Notes) -> tuple[tuple[str, ...], list[tuple[int, list[str] | str]]]:
    """Return the names of the columns, and the rows below them with the number that the spreadsheet gives each.

    Other sheets that hold something are named in `notes`.

    Raises:
        InputError: no spreadsheet, a locked one, or one without a row.
    """
    import python_calamine

    try:
        book = python_calamine.load_workbook(io.BytesIO(source.read()))
        names = book.sheet_names
        sheets = [(name, book.get_sheet_by_name(name)) for name in names]
    except python_calamine.PasswordError:
        raise InputError(f"{source.name} is locked by a password", hint="save it without one") from None
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        raise InputError(f"{source.name} is no spreadsheet", found=str(error)) from None
    filled = [(name, sheet) for name, sheet in sheets if sheet.height]
    if not filled:
        raise InputError(f"{source.name} is empty", allowed="a first row with the names of the columns")
    for name, sheet in filled[1:]:
        notes.count(f"sheet {name!r} with {sheet.height:,} rows, not read: only the first sheet is", 1)
    sheet = filled[0][1]
    row, _ = sheet.start or (0, 0)
    # The header's own empty cells are what a table to the right of column A would shift by: both are cut alike.
    rows = [[_cell_text(cell) for cell in cells] for cells in sheet.to_python(skip_empty_area=True)]
    first = next(place for place, cells in enumerate(rows) if any(cell.strip() for cell in cells))
    above = rows[first : (first := first + header_place(rows[first:]))]
    for cells in above:
        if title := " ".join(cell.strip() for cell in cells if cell.strip()):
            notes.count(f"lines above the names of the columns passed over: {title!r}", row + 1)
    header = bare_names(rows[first])
    check_header(header, source.name)
    return header, [(row + place, cells) for place, cells in enumerate(rows[first + 1 :], first + 2)]


def _cell_text(cell: object) -> str:
    """Return a cell's content as it would stand in a CSV: whole numbers without a point, times by ISO 8601."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else repr(cell)
    if isinstance(cell, datetime.datetime) and not (cell.hour or cell.minute or cell.second or cell.microsecond):
        return cell.date().isoformat()
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    return str(cell)
