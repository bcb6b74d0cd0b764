"""What the commands of `noria grow` share: a result as JSON, as a table for people, or as Parquet."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from noria.cli.manners import finite
from noria.core.messages import catalogue, for_terminal, message, term
from noria.grow.market.labels import OTHER

Flatten = Parameter(name="*")
Switch = Annotated[bool, Parameter(negative="")]


def percent(value: float | None) -> str | None:
    """Return a part as a person reads it, in percent."""
    return None if value is None else f"{value:.1%}" if value >= 0.001 or value == 0 else f"{value:.2%}"


def entity_name(name: str) -> str:
    """Return an entity's name as the terminal's reader has it: the rest is a word of ours, and any other name the data's own."""
    return for_terminal(term(OTHER)) if name == OTHER else name


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print the columns named of the rows; what is missing, or has no end, is a dash.

    On a terminal what does not fit goes below, in blocks that repeat the first column; into a pipe or a file all goes, uncut.
    """
    print(_text([_head(column) for column in columns], [[_cell(row.get(name)) for name in columns] for row in rows]))


def print_lying_or_standing(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], corner: str, most: int) -> None:
    """Print a table, or, where that takes fewer lines or there are more than `most` columns, with its rows as columns under `corner`."""
    heads = [_head(column) for column in columns]
    cells = [[_cell(row.get(name)) for name in columns] for row in rows]
    lying = _text(heads, cells)
    standing = _text(
        [_head(corner), *(row[0] for row in cells)],
        [[head, *(row[place] for row in cells)] for place, head in enumerate(heads[1:], 1)],
    )
    print(standing if len(columns) > most or standing.count("\n") < lying.count("\n") > len(rows) + 2 else lying)


def _text(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    from rich.console import Console

    console = Console()
    width = console.width if console.is_terminal else None
    return "\n\n".join("\n".join(block) for block in blocks(heads, cells, width))


GAP = 2
"""Spaces between two columns."""
_TEXT = 28
"""Width from which a column is a text, which may be wrapped."""
_LINE = 14
"""Width to which a long head is wrapped, at least."""


def blocks(heads: Sequence[str], cells: Sequence[Sequence[str]], width: int | None) -> list[list[str]]:
    """Return a table as lines of text no wider than `width` cells, East Asian ones counted as two; in one block where it has none.

    The first column is repeated in each block, and shortened in its middle where it would take half of a line. Texts are wrapped, and so are
    long heads; no number is ever cut.
    """
    from rich.cells import cell_len

    if width is not None:
        cells = [[_shortened(row[0], max(width // 2, 8)), *row[1:]] for row in cells]
    columns = [[head, *(row[place] for row in cells)] for place, head in enumerate(heads)]
    data = [max((cell_len(cell) for cell in column[1:]), default=0) for column in columns]
    texts = [place > 0 and wide > _TEXT for place, wide in enumerate(data)]
    tops = [
        _wrapped(head, cell_len(head) if width is None else max(_LINE, wide if place else min(wide, width // 2)))
        for place, (head, wide) in enumerate(zip(heads, data, strict=True))
    ]
    least = [
        max(max(cell_len(line) for line in top), min(wide, _TEXT) if text else wide)
        for top, wide, text in zip(tops, data, texts, strict=True)
    ]
    parts: list[list[int]] = [[0]]
    for place in range(1, len(heads)):
        taken = sum(least[at] + GAP for at in parts[-1]) + least[place]
        if width is not None and taken > width and len(parts[-1]) > 1:
            parts.append([0])
        parts[-1].append(place)
    found = []
    for part in parts:
        widths = {at: least[at] for at in part}
        roomy = [at for at in part if texts[at]]
        for at in roomy:  # texts share what is left of the line
            spare = data[at] if width is None else (width - sum(widths.values()) - GAP * (len(part) - 1)) // len(roomy)
            widths[at] = max(widths[at], min(data[at], widths[at] + max(spare, 0)) if width is not None else data[at])
        lines = _rows([tops[at] for at in part], part, widths, texts)
        for row in cells:
            lines += _rows(
                [_wrapped(row[at], widths[at]) if texts[at] else [row[at]] for at in part], part, widths, texts
            )
        found.append(lines)
    return found


def _rows(
    columns: Sequence[Sequence[str]], part: Sequence[int], widths: Mapping[int, int], texts: Sequence[bool]
) -> list[str]:
    from rich.cells import cell_len

    lines = []
    for row in range(max(len(column) for column in columns)):
        shown = []
        for column, at in zip(columns, part, strict=True):
            cell = column[row] if row < len(column) else ""
            pad = " " * (widths[at] - cell_len(cell))
            shown.append(cell + pad if at == 0 or texts[at] else pad + cell)
        lines.append((" " * GAP).join(shown).rstrip())
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    """Return a text in lines of so many cells: at spaces, behind hyphens and strokes, between East Asian letters, else anywhere."""
    from rich.cells import cell_len

    lines, line = [], ""
    for piece in re.findall(r"[\u2e80-\uffef]|[^\s\-_/\u2e80-\uffef]*[\-_/]+|[^\s\-_/\u2e80-\uffef]+|\s+", text):
        if line and cell_len((line + piece).rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
            piece = piece.lstrip()
        line += piece
        while cell_len(line.rstrip()) > width:
            cut = len(line)
            while cell_len(line[:cut]) > width:
                cut -= 1
            lines.append(line[:cut])
            line = line[cut:]
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def _shortened(text: str, width: int) -> str:
    """Return a name of at most so many cells, with three points in place of its middle."""
    from rich.cells import cell_len

    if cell_len(text) <= width:
        return text
    first, last = (width - 1) - (width - 1) // 3, (width - 1) // 3
    head, tail = text, text
    while cell_len(head) > first:
        head = head[:-1]
    while cell_len(tail) > last:
        tail = tail[1:]
    return f"{head}…{tail}"


def _cell(value: Any) -> str:
    from noria.core.figure import number

    value = finite(value)
    return "–" if value is None else value if isinstance(value, str) else number(value)


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
