"""Lines of results, kept as JSON -> RESULTS.md; no figure is typed by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from noria.core.folder import write_bytes

from .line import Line

QUALITY = "quality"
_HEAD = """# Results

Written by `python -m benchmarks NAME --write` from the lines kept below `benchmarks/results`; no figure is typed by hand.
Noria and each peer did the same work in one run, alternating. A ratio above 1 means that Noria is better; its interval
(95 %) is over the repeats, n.
"""


def named(name: str, isa: str) -> str:
    """Return the name under which a benchmark's lines are kept: those of one instruction set beside those of another."""
    return name if isa == "native" else f"{name}.{isa}"


def keep(folder: Path, name: str, lines: Sequence[Line], *, quick: bool) -> None:
    """Keep a benchmark's lines as `NAME.jsonl`, in place of those of an earlier run."""
    keep_rows(folder, name, [{**json.loads(line.json()), "quick": quick} for line in lines])


def keep_rows(folder: Path, name: str, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as `NAME.jsonl`, whole or not at all."""
    folder.mkdir(exist_ok=True)
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    write_bytes(folder / f"{name}.jsonl", text.encode())


def kept_rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of `NAME.jsonl`; none where there is no such file."""
    file = folder / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def write_page(path: Path) -> None:
    """Write the page anew from everything kept in `results` beside it, whole or not at all."""
    write_bytes(path, page(path.parent / "results").encode())


def page(folder: Path) -> str:
    """Return the page: a table a benchmark, the quality table, and the machines they ran on."""
    parts, machines = [_HEAD], []
    for file in sorted(folder.glob("*.jsonl")):
        rows = kept_rows(folder, file.stem)
        name, _, isa = file.stem.partition(".")
        machines += [row["machine"] for row in rows]
        title = f"{name}, everyone held to {isa.upper()}" if isa else name
        parts.append(_OWN[name](rows) if name in _OWN else _table(title, rows))
    parts += [f"\nMachine: {machine}.\n" for machine in dict.fromkeys(machines)]
    return "".join(parts)


def _table(name: str, rows: list[dict[str, Any]]) -> str:
    known = asdict(Line("", "", 0, 0, "", "", 0, 0, 0, 0, ""))
    lines = [Line(**{key: row[key] for key in known}) for row in rows]
    note = "\nShort repeats (`--quick`).\n" if any(row.get("quick") for row in rows) else ""
    head = "\n| measure | Noria | peer | peer's value | ratio | interval | n |\n|---|---|---|---|---|---|---|\n"
    return f"\n## {name}\n{note}{head}" + "".join(map(_row, lines))


def _row(line: Line) -> str:
    # The interval of a single repeat is unknown: null in the kept line.
    interval = f"{line.low:.2f} to {line.high:.2f}" if line.low is not None and line.high is not None else "one run"
    return (
        f"| {line.measure} | {line.noria:,.4g} {line.unit} | {line.peer_name} | {line.peer:,.4g} {line.unit} | "
        f"{line.ratio:.2f} | {interval} | {line.n} |\n"
    )


def _quality(rows: list[dict[str, Any]]) -> str:
    head = (
        "\n## quality\n\nEach model was trained once, its settings chosen on training and validation rows; held-out rows were"
        " only judged. Minutes are those of training, its evaluations included.\n\n"
        "| set | measure | Noria | interval | n | baseline | wanted | minutes | model |\n|---|---|---|---|---|---|---|---|---|\n"
    )
    return head + "".join(
        f"| {row['set']} | {row['measure']} | {row['value']:.4g} | {row['low']:.4g} to {row['high']:.4g} | {row['n']:,} | "
        f"{row['baseline']} | {row['wanted']} | {row['minutes']:.1f} | {row['model']} |\n"
        for row in rows
    )


def _guard(rows: list[dict[str, Any]]) -> str:
    head = (
        "\n## guard\n\nWhat the guard's rules find of what they should (recall) and of what they should not (false alarms), as"
        " shares of texts with Wilson's interval. *Attacks* were written by Noria's authors, and the rules were fixed before they were read;"
        " attacks of the named packages by strangers; personal data is made by chance; other texts are real. Microseconds are of"
        " one core, median of seven rounds, least to most.\n\n"
        "| rule | measure | language | texts | value | interval | n |\n|---|---|---|---|---|---|---|\n"
    )
    return head + "".join(
        f"| {row['rule']} | {row['measure']} | {row['language']} | {row['set']} | {row['value']:.4f} | "
        f"{row['low']:.4f} to {row['high']:.4f} | {row['n']:,} |\n"
        for row in rows
    )


def _faults(rows: list[dict[str, Any]]) -> str:
    note = "\nFewer times (`--quick`).\n" if any(row.get("quick") for row in rows) else ""
    head = f"\n## faults\n\nFaults done to real servers, and what came of them.\n{note}\n| fault | held | what came of it | seconds |\n|---|---|---|---|\n"
    hidden = ("fault", "ok", "seconds", "quick", "machine", "kinds", "first_faults")

    def told(values: dict[str, Any]) -> str:
        shown = {
            key: told(value) if isinstance(value, dict) else value for key, value in values.items() if key not in hidden
        }
        return ", ".join(
            f"{key.replace('_', ' ')} {value:,}"
            if isinstance(value, int) and not isinstance(value, bool)
            else f"{key.replace('_', ' ')} ({value})"
            if isinstance(values[key], dict)
            else f"{key.replace('_', ' ')} {value}"
            for key, value in shown.items()
        )

    return head + "".join(
        f"| {row['fault']} | {'yes' if row['ok'] else 'no'} | {told(row)} | {row['seconds']:,.0f} |\n" for row in rows
    )


_OWN = {QUALITY: _quality, "guard": _guard, "faults": _faults}
"""Results with a table of their own."""
