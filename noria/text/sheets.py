"""Spreadsheets: the first sheet with rows in it -> its cells as text, as a CSV of the same sheet would have them."""

from __future__ import annotations

import datetime
import io
from collections.abc import Iterator

from noria.core.errors import InputError
from noria.core.messages import message

from .confined import LARGEST_BYTES, Part, parts_of
from .sources import Source
from .tables import Notes, bare_names, check_header
from .titles import header_place
from .word import check_archive

Table = tuple[tuple[str, ...], list[tuple[int, list[str] | str]]]
"""The names of the columns, and the rows below them with the number of each."""
_BATCH = 1000


def sheet_cells(source: Source, notes: Notes) -> Table:
    """Return the names of the columns, and the rows below them with the number that the spreadsheet gives each.

    Other sheets that hold something are named in `notes`.

    Raises:
        InputError: no spreadsheet, a locked one, or one without a row.
    """
    above, rows = sheet_rows(source, notes)
    return cells_below(rows, above, source.name, notes)


def sheet_rows(source: Source, notes: Notes) -> tuple[int, list[list[str]]]:
    """Return how many rows stand empty above the first sheet's content, and all rows from there, as text.

    Raises:
        InputError: no spreadsheet, a locked one, or one without a row.
    """
    told, *batches = parts_of("sheet", source.head(LARGEST_BYTES + 1), source.name)
    rows = [cells for batch in batches for cells in batch["rows"]]
    if not rows:
        raise InputError(message("errors.empty", name=source.name), allowed=message("errors.header_row"))
    for name, height in told["others"]:
        notes.count(message("rows.sheet", name=name, height=height), 1)
    return told["row"], rows


def cells_below(rows: list[list[str]], above: int, name: str, notes: Notes) -> Table:
    """Return the header of a table of cells, and the rows below it; titles above it are passed over and told.

    Args:
        rows: all cells.
        above: rows that stand above them.
        name: the file's, for messages.
        notes: takes the titles.

    Raises:
        InputError: no column has a name, or two have one.
    """
    first = next(place for place, cells in enumerate(rows) if any(cell.strip() for cell in cells))
    titles = rows[first : (first := first + header_place(rows[first:]))]
    for cells in titles:
        if title := " ".join(cell.strip() for cell in cells if cell.strip()):
            notes.count(message("rows.title", title=repr(title)), above + 1)
    header = bare_names(rows[first])
    check_header(header, name)
    return header, [(above + place, cells) for place, cells in enumerate(rows[first + 1 :], first + 2)]


def parts(image: bytes, name: str) -> Iterator[Part]:
    """Yield the row on which the first sheet with content begins and the other sheets' names and heights; then its rows.

    Raises:
        InputError: no spreadsheet, a locked one, or one that unpacks to more than is opened.
    """
    import python_calamine

    if image.startswith(b"PK"):
        check_archive(image, name)
    try:
        book = python_calamine.load_workbook(io.BytesIO(image))
        sheets = [(title, book.get_sheet_by_name(title)) for title in book.sheet_names]
    except python_calamine.PasswordError:
        raise InputError(message("text.locked_password", name=name), hint=message("text.save_without")) from None
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        raise InputError(message("text.spreadsheet", name=name), found=str(error)) from None
    filled = [(title, sheet) for title, sheet in sheets if sheet.height]
    row, _ = filled[0][1].start or (0, 0) if filled else (0, 0)
    yield {"row": row, "others": [(title, sheet.height) for title, sheet in filled[1:]]}
    if filled:
        # The header's own empty cells are what a table to the right of column A would shift by: both are cut alike.
        rows = filled[0][1].to_python(skip_empty_area=True)
        for start in range(0, len(rows), _BATCH):
            yield {"rows": [[_cell_text(cell) for cell in cells] for cells in rows[start : start + _BATCH]]}


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
