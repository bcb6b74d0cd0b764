"""How a table is written as text: what parts its rows and cells, found out from a sample by evidence."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from noria.core.errors import InputError
from noria.core.messages import message

from .tables import Dialect, bare_names, check_header, read_cells
from .titles import header_place

SAMPLE = 1 << 20
"""Characters by which a dialect is judged."""
_DELIMITERS = (",", "\t", ";", "|", "，")
_SCORED = 300
_SEPARATOR_LINE = re.compile(r'\ufeff?"?sep=([^"\r\n])"?[ \t]*', re.IGNORECASE)


def dialect_of(
    sample: str, suffix: str = "", *, whole: bool = True, source: str | Path = "<memory>", blanks: bool = False
) -> Dialect:
    """Return how a table is written, by evidence in `sample`: the division that leaves the fewest rows unlike the header.

    Args:
        sample: its beginning, `SAMPLE` characters or so.
        suffix: ending of the file's name; `.tsv` and `.tab` speak for tabs, where evidence does not speak against them.
        whole: whether the sample is all of it; else its last row may be cut and is not judged.
        source: the file's name, for messages.
        blanks: whether blanks may part cells where nothing else does: of a table of numbers and names, never of texts.

    Raises:
        InputError: there is no header, or one that cannot be read or names two columns alike.
    """
    sample = sample.removeprefix("\ufeff")
    skipped, given = 0, ""
    if found := _SEPARATOR_LINE.match(sample):
        rest = sample[found.end() :]
        if not rest or rest[0] in "\r\n":
            given, skipped = found[1], 1
            sample = rest[2:] if rest.startswith("\r\n") else rest[1:]
    lead = re.match(r"(?:[ \t,;|\ufeff]*(?:\r\n|\n|\r))*", sample)
    assert lead
    skipped += len(re.findall(r"\r\n|\n|\r", lead[0]))
    sample = sample[lead.end() :]
    line_end = _line_end(sample)
    lines = [line + line_end for line in sample.split(line_end)]
    if not lines[-1].removesuffix(line_end) or (not whole and len(lines) > 1):
        lines.pop()
    titles = next(
        (
            place
            for one in ((given,) if given else _DELIMITERS)
            if (place := header_place([line.split(one) for line in lines[:_SCORED]]))
        ),
        0,
    )
    above = tuple(line.strip() for line in lines[:titles] if line.strip(" \t,;|\r\n"))
    lines = lines[titles:]
    base = Dialect(line_end=line_end, header_line=skipped + titles + 1, titles=above)
    order = sorted(_DELIMITERS, key=lambda one: one != "\t") if suffix in (".tsv", ".tab") else _DELIMITERS
    candidates = [replace(base, delimiter=one) for one in ((given,) if given else order)]
    first = lines[:_SCORED]
    surveys = [(one, _survey(first, one, len(first) == len(lines) and whole)) for one in candidates]
    divided = [pair for pair in surveys if pair[1].columns > 1] or surveys[:1]
    chosen, survey = min(divided, key=lambda pair: (min(pair[1].bad, _bare(first, pair[0]).bad), -pair[1].columns))
    worst = len(first) if survey.columns < 2 else survey.bad
    if blanks and not given and worst and (parted := _by_blanks(first, base, worst)):
        return replace(parted, columns=_header(lines, parted, source))
    chosen = _quoted(lines, chosen, whole)
    return replace(chosen, columns=_header(lines, chosen, source))


@dataclass
class _Survey:
    """What a division makes of a sample."""

    columns: int = 0
    bad: int = 0
    """Rows that cannot be read, or have other than the header's number of cells."""
    unread: int = 0
    well_quoted: int = 0
    """Cells, as they stand, that begin and end with a double quote."""
    doubled: int = 0
    """Those among them with a doubled quote inside."""
    opened: int = 0
    """Cells, as they stand, that begin with a double quote and do not end with one."""
    header_quoted: bool = False


def _survey(lines: Sequence[str], dialect: Dialect, whole: bool) -> _Survey:
    found = _Survey()
    rows = list(read_cells(lines, dialect))
    if not whole and rows and isinstance(rows[-1][1], str):
        rows.pop()
    for _, cells in rows:
        if isinstance(cells, str):
            if not found.columns:
                return _Survey(bad=len(rows), unread=len(rows))  # names that cannot be read are not divided like this
            found.bad += 1
            found.unread += 1
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if not found.columns:
            found.columns = len(cells)
            found.header_quoted = all(_is_quoted(cell) for cell in cells)
        short, surplus = len(cells) < found.columns, any(cell.strip() for cell in cells[found.columns :])
        found.bad += short or surplus
        for cell in cells:
            if _is_quoted(cell):
                found.well_quoted += 1
                found.doubled += '""' in cell[1:-1]
            found.opened += cell.startswith('"') and not _is_quoted(cell)
    return found


def _by_blanks(lines: Sequence[str], base: Dialect, worst: int) -> Dialect | None:
    """Return the dialect of a table whose cells blanks part, one or many; None where the rows have no common number of cells.

    `worst` is how many rows are unlike the header where something else parts the cells.
    """
    many = any(re.search(r"\S[ \t]{2,}\S", line) for line in lines)
    parted = replace(base, delimiter=" ")
    candidates = [
        replace(parted, skip_space=skip, clocks=clocks) for skip in (many, not many) for clocks in (False, True)
    ]
    surveys = [(one, found) for one in candidates if (found := _survey(lines, one, True)).columns > 1]
    if not surveys:
        return None
    chosen, survey = min(surveys, key=lambda pair: pair[1].bad)
    return chosen if survey.bad <= max(1, len(lines) // 20) and survey.bad < worst else None


def _is_quoted(cell: str) -> bool:
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def _bare(lines: Sequence[str], dialect: Dialect) -> _Survey:
    return _survey(lines, replace(dialect, quote=""), True)


def _quoted(lines: Sequence[str], dialect: Dialect, whole: bool) -> Dialect:
    """Return the dialect with what its quotes are, if they are any."""
    bare = replace(dialect, quote="")
    text = "".join(lines)
    if '"' not in text:
        # An apostrophe is a letter of English: single quotes are quotes only where the names of the columns stand in them.
        if all(len(cell) > 1 and cell[0] == cell[-1] == "'" for cell in _first_cells(lines, bare)):
            return replace(dialect, quote="'")
        # Tabs need no quotes, and what has none so far is read as it stands.
        return bare if dialect.delimiter == "\t" else dialect
    quoted, plain = _survey(lines, dialect, whole), _survey(lines, bare, whole)
    if dialect.delimiter == "\t":
        meant = (
            plain.header_quoted
            or (quoted.unread == 0 and plain.doubled + plain.opened > 0)
            or quoted.unread < plain.unread
            or quoted.bad < plain.bad
        )
    else:
        # One quote gone astray is that row's fault; several, and none that is closed, were never meant as quotes.
        meant = quoted.unread <= max(1, plain.well_quoted) or plain.bad >= quoted.bad
    if not meant:
        return bare
    others = []
    if '\\"' in text:
        others.append(replace(dialect, escape="\\"))
    if re.search(re.escape(dialect.delimiter) + ' +"', text):
        others.append(replace(dialect, skip_space=True))
    for other in others:
        if _survey(lines, other, whole).bad < quoted.bad:
            return other
    return dialect


def _first_cells(lines: Sequence[str], dialect: Dialect) -> list[str]:
    _, cells = next(read_cells(lines, dialect), (1, []))
    return [cell.strip() for cell in cells] if isinstance(cells, list) else []


def _header(lines: Sequence[str], dialect: Dialect, source: str | Path) -> tuple[str, ...]:
    _, cells = next(read_cells(lines, dialect), (1, []))
    if isinstance(cells, str):
        raise InputError(message("text.names_columns", source=source), found=lines[0], hint=cells)
    names = bare_names(cells)
    check_header(names, source)
    return names


def _line_end(sample: str) -> str:
    """Return what ends the first line; a break between quotes ends none."""
    quoted = False
    for found in re.finditer(r'["\r\n]', sample):
        if found[0] == '"':
            quoted = not quoted
        elif not quoted:
            return "\r" if found[0] == "\r" and sample[found.end() : found.end() + 1] != "\n" else "\n"
    return "\n" if "\n" in sample or "\r" not in sample else "\r"
