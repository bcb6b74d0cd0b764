"""Lines of results -> RESULTS.md; no figure is typed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from noria.core.folder import write_bytes

from .line import Line

_HEAD = """# Results

Written by `make bench` (`python -m benchmarks all --write`); no figure is typed by hand. Noria and each peer did the same
work in one run, alternating. A ratio above 1 means that Noria is better; its interval (95 %) is over the repeats, n.
"""


def write_results(path: Path, lines: Sequence[Line]) -> None:
    """Write the page, whole or not at all."""
    write_bytes(path, page(lines).encode())


def page(lines: Sequence[Line]) -> str:
    """Return the page: a table a benchmark, and the machine they ran on."""
    parts = [_HEAD]
    for name, group in groupby(lines, key=lambda line: line.name):
        parts.append(
            f"\n## {name}\n\n| measure | Noria | peer | peer's value | ratio | interval | n |\n|---|---|---|---|---|---|---|\n"
        )
        parts += [_row(line) for line in group]
    for machine in dict.fromkeys(line.machine for line in lines):
        parts.append(f"\nMachine: {machine}.\n")
    return "".join(parts)


def _row(line: Line) -> str:
    return (
        f"| {line.measure} | {line.noria:,.4g} {line.unit} | {line.peer_name} | {line.peer:,.4g} {line.unit} | "
        f"{line.ratio:.2f} | {line.low:.2f} to {line.high:.2f} | {line.n} |\n"
    )
