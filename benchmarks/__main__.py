"""`python -m benchmarks NAME [--quick] [--write]`: run one benchmark, or all; one JSON line a peer and measure."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from noria.core.errors import unknown

from .isa import Isa, limit
from .results import keep, named, write_page
from .shown import fill
from .start import started

NAMES = (
    "answers",
    "budget",
    "classify",
    "decoders_serve",
    "decoders_tune",
    "diffusion",
    "drivers",
    "events",
    "finetune",
    "gate",
    "growth",
    "handovers",
    "lifetime",
    "localdays",
    "lora",
    "monitor",
    "packing",
    "pretrain",
    "promote",
    "recommend",
    "recovery",
    "resume",
    "scaling",
    "serve",
    "share_forecast",
    "stream",
    "support",
    "support_intents",
    "support_written",
    "tokenize",
    "tokenizer",
    "trials",
    "wheel",
    "workbench",
)
GROUPS = {"all": NAMES, "decoders": ("decoders_serve", "decoders_tune")}
PAGE = Path(__file__).with_name("RESULTS.md")
app = App(name="benchmarks", help="Noria beside its peers: the same work, in one run, alternating.")


@app.default
def run(
    name: str,
    *,
    quick: Annotated[bool, Parameter(negative="")] = False,
    isa: Isa = "native",
    write: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Run a benchmark; each ends with one JSON line for each peer and measure.

    Parameters
    ----------
    name
        One of answers, budget, classify, decoders_serve, decoders_tune, diffusion, drivers, events, finetune, gate, growth, handovers, lifetime, localdays, lora,
        monitor, packing, pretrain, promote, recommend, recovery, resume, scaling, serve, share_forecast, stream, support, support_intents, support_written, tokenize, tokenizer, trials, wheel, workbench; decoders, both of them; or all.
    quick
        Fewer and shorter repeats: each benchmark ends within five minutes.
    isa
        avx2 holds Noria and its peers to that instruction set; native to none.
    write
        Keep the lines below benchmarks/results, and write benchmarks/RESULTS.md and the demo's tables anew from all that are kept.
    """
    if name not in (*NAMES, *GROUPS):
        raise unknown("benchmark", name, (*NAMES, *GROUPS))
    limit(isa)
    # Some read what Noria and its peers say, in processes that they start.
    os.environ["NORIA_LANG"] = "en"
    for each in GROUPS.get(name, (name,)):
        lines = import_module(f"benchmarks.{each}").measure(quick=quick)
        for line in lines:
            print(line.json(), flush=True)
        if write:
            keep(PAGE.parent / "results", named(each, isa), lines, quick=quick)
            write_page(PAGE)
            fill(PAGE.parents[1])


if __name__ == "__main__":
    started(app)
