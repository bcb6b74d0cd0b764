"""What stands around a series' table and is no row of it: units and sources above, totals and remarks below, merged cells."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from noria.core.messages import message
from noria.text.numbers import Style, number_of

from .cells import Flag
from .periods import are_times

Row = tuple[int, dict[str, str]]
_UNIT_LINE = re.compile(r".*?(?:单位|units?)\s*[:：]\s*(?P<unit>[^\s,;，；)）]+).*", re.IGNORECASE)
_UNIT_BEHIND = re.compile(r".*[(（](?P<unit>[^()（）\d]{1,24})[)）]\W*$")
_SOURCE_LINE = re.compile(
    r"\W*(?:data source|source|sources|数据来源|资料来源|来源|出处)\s*[:：]\s*(?P<source>.+)", re.IGNORECASE
)
_TOTAL = re.compile(
    r"(?:grand |sub)?totals?|sum|average|mean|合计|总计|小计|共计|总和|平均|均值|汇总|总", re.IGNORECASE
)


@dataclass
class Shaped:
    """Rows under the names of a series' columns."""

    rows: list[Row]
    flags: list[Flag] = field(default_factory=list)
    source: str = ""
    """What the file says of it in a line below or above the table."""
    above: str = ""
    """The unit that a line above the table names."""


def unit_above(titles: Iterable[str], made: Shaped) -> str:
    """Return the unit that lines above a table tell; a source there is kept."""
    unit = ""
    for title in titles:
        if found := _SOURCE_LINE.match(title):
            made.source = made.source or found["source"].strip(" ,;\t")
        elif not unit and (found := _UNIT_LINE.match(title) or _UNIT_BEHIND.match(title)):
            unit = found["unit"].strip()
            made.flags.append(Flag("unit", "", message("flags.unit.above", unit=unit)))
    return unit


def leave_footnotes(made: Shaped, *, totals: bool) -> None:
    """Leave out rows below the table: lines of one cell that are remarks or name the source, and totals over all times."""
    kept: list[Row] = []
    sums: list[Row] = []
    remarks: list[Row] = []
    for line, row in made.rows:
        cells = [cell.strip() for cell in row.values() if cell.strip()]
        if len(cells) == 1 and not are_times(cells) and len(row) > 1 and not is_number(cells[0]):
            if found := _SOURCE_LINE.match(cells[0]):
                made.source = made.source or found["source"]
            else:
                remarks.append((line, row))
        elif totals and cells and _TOTAL.fullmatch(cells[0]) and not any(are_times([cell]) for cell in cells[1:]):
            sums.append((line, row))
        else:
            kept.append((line, row))
    made.rows = kept
    for code, found_rows in (("totals", sums), ("remarks", remarks)):
        if found_rows:
            made.flags.append(
                Flag("rows", "", message(f"flags.passed_over.{code}", count=len(found_rows), line=found_rows[0][0]))
            )


def fill_down(made: Shaped, columns: Iterable[str]) -> None:
    """Give the cells below a merged one its content: in a column of names in which more than a quarter of the cells are empty."""
    for name in columns:
        empty = [place for place, (_, row) in enumerate(made.rows) if not row.get(name, "").strip()]
        if not made.rows or empty[:1] == [0] or 4 * len(empty) < len(made.rows):
            continue
        above = ""
        for place, (line, row) in enumerate(made.rows):
            above = row.get(name, "").strip() or above
            made.rows[place] = (line, {**row, name: above})
        made.flags.append(Flag("merged", "", message("flags.shape.merged", column=name, count=len(empty))))


def is_number(cell: str) -> bool:
    """Return whether a cell is meant as a number, in whatever way it is written; "<5" is, though it can have no value."""
    for decimal in (".", ","):
        try:
            return number_of(cell.strip().lstrip("<>≤≥~约"), Style(decimal)) is not None
        except ValueError:
            continue
    return False
