"""`python -m benchmarks NAME [--quick] [--write FILE]`: run one benchmark, or all; one JSON line a peer and measure."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from noria.core.errors import NoriaError, unknown

from .results import write_results

NAMES = ("finetune",)
app = App(name="benchmarks", help="Noria beside its peers: the same work, in one run, alternating.")


@app.default
def run(name: str, *, quick: Annotated[bool, Parameter(negative="")] = False, write: Path | None = None) -> None:
    """Run a benchmark; each ends with one JSON line for each peer and measure.

    Parameters
    ----------
    name
        finetune, or all.
    quick
        Fewer and shorter repeats: each benchmark ends within five minutes.
    write
        Write the lines as a page of tables, too.
    """
    from importlib import import_module

    if name not in (*NAMES, "all"):
        raise unknown("benchmark", name, (*NAMES, "all"))
    lines = []
    for each in NAMES if name == "all" else (name,):
        found = import_module(f"benchmarks.{each}").measure(quick=quick)
        for line in found:
            print(line.json(), flush=True)
        lines += found
    if write:
        write_results(write, lines)


if __name__ == "__main__":
    try:
        app()
    except NoriaError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
