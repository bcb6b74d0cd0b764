"""What an accelerator makes faster, each beside its peer in one run: pretraining, LoRA, DPO, serving; and that losses are the processor's.

Pretraining is of a Llama of 120 M parameters on the demo's text, beside transformers.Trainer on the same text, packed; LoRA of a real decoder on rows of
random tokens, all of them scored, beside Trainer with peft; DPO beside TRL with peft; serving behind `noria ship serve` to 1, 16 and 64 clients
that chat again and again, beside transformers' `generate` of as many texts in one batch, which has no clients, no HTTP and no bounds. The first losses
of pretraining are computed on the processor in fp32 too, from the same weights and batches. Peers run in bf16 with their fused optimiser.
Every step is a process of its own, and what fails costs its own lines alone.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, cast

from cyclopts import App, Parameter

from noria.core.errors import SettingError

from .gpu_steps import SIZES
from .line import Line, compare
from .results import keep, write_page
from .start import started

SECONDS = 470.0
"""After so long no more is measured: a card is lent by the minute."""
NOISE = 0.01
"""Most that a loss in bf16 may differ from the processor's in fp32, as a share: bf16 keeps eight bits, which is 0.4 %."""
CLIENTS = (1, 16, 64)
PAGE = Path(__file__).with_name("RESULTS.md")


app = App(name="gpu", help="What an accelerator makes faster, beside its peers.")


@app.default
def run(
    *,
    device: str = "auto",
    base: Path | None = None,
    quick: Annotated[bool, Parameter(negative="")] = False,
    write: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Measure, and print one JSON line for each peer and measure.

    Parameters
    ----------
    device
        The accelerator: cuda, cuda:N, xpu, mps, or the one that torch finds; cpu to see that every step runs.
    base
        The decoder that is tuned and served, a Hugging Face folder or a GGUF; SmolLM2-135M where it is left out, or with --quick a tiny one.
    quick
        Everything small, in a minute on a processor.
    write
        Keep the lines as benchmarks/results/gpu.jsonl, and write benchmarks/RESULTS.md anew.
    """
    from noria.infer.device import chosen

    place = str(chosen(device))
    if device != "cpu" and place == "cpu":
        hint = "--device cpu --quick runs every step in small"
        raise SettingError("there is no accelerator here", found="cpu", allowed="cuda, xpu, mps", hint=hint)
    size, begun = "quick" if quick else "whole", time.monotonic()
    with tempfile.TemporaryDirectory(prefix="noria-gpu-") as folder:
        lines, failed = measured(Path(folder), size, place, base, begun)
    if write:
        keep(PAGE.parent / "results", "gpu", lines, quick=quick)
        write_page(PAGE)
    print(f"gpu: {time.monotonic() - begun:.0f} s", file=sys.stderr)
    if failed:
        sys.exit(1)


def measured(folder: Path, size: str, place: str, base: Path | None, begun: float) -> tuple[list[Line], list[str]]:
    """Do every step; print and return its lines, and the names of those that failed."""
    lines: list[Line] = []
    failed: list[str] = []

    def child(*work: str) -> dict[str, float]:
        command = [sys.executable, "-m", "benchmarks.gpu_steps", str(folder), size, place, *work]
        left = max(1.0, SECONDS - (time.monotonic() - begun))
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=left)
        except subprocess.CalledProcessError as error:
            raise RuntimeError((error.stderr.strip() or "no words").splitlines()[-1]) from None
        return dict(json.loads(done.stdout.strip().splitlines()[-1]))

    def tried(name: str, made: Any) -> None:
        at = time.monotonic()
        try:
            found = made()
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            failed.append(name)
            print(f"gpu: {name} failed: {error}", file=sys.stderr)
            return
        for line in found:
            print(line.json(), flush=True)
        lines.extend(found)
        print(f"gpu: {name}, {time.monotonic() - at:.0f} s", file=sys.stderr)

    def beside(work: str, title: str, peer: str, unit: str) -> list[Line]:
        ours, theirs = (child(work, who)["speed"] for who in ("noria", "peer"))
        return [compare("gpu", title, [ours], [theirs], peer, unit)]

    def losses() -> list[Line]:
        here, there = (child("losses", who)["losses"] for who in ("reference", "noria"))
        pairs = zip(cast(Any, there), cast(Any, here), strict=True)
        most = max(max(abs(one / other - 1) for one, other in pairs), 1e-6)
        title = f"most that {SIZES[size].steps} losses on {place} differ from the processor's, as a share"
        return [compare("gpu", title, [most], [NOISE], "bf16 noise", "", higher_is_better=False)]

    def serving() -> list[Line]:
        from .served import served

        with served(folder / "lake", folder / "base", flags=("--device", place)) as server:
            ours = [child("ask", f"{server.url}/v1", server.key, str(clients)) for clients in CLIENTS]
        theirs = [child("generate", str(clients)) for clients in CLIENTS]
        titles = [f"tokens a second, {clients} client{'s' * (clients > 1)}" for clients in CLIENTS]
        peer = "transformers' generate, one batch"
        return [
            compare("gpu", title, [one["speed"]], [other["speed"]], peer, "tokens/s")
            for title, one, other in zip(titles, ours, theirs, strict=True)
        ]

    tried("prepare", lambda: child("prepare", str(base.resolve()) if base else "") and [])
    if failed:
        return lines, failed
    one = SIZES[size]
    named = json.loads((folder / "named.json").read_text())
    trainer = "transformers.Trainer, bf16, packed, fused AdamW"
    tried(
        "pretrain",
        lambda: beside("pretrain", f"pretraining of {one.parameters / 1e6:g} M parameters", trainer, "tokens/s"),
    )
    tried("losses", losses)
    rows = f"LoRA of {named}, rows of {one.row} tokens"
    tried("lora", lambda: beside("lora", rows, "transformers.Trainer with peft, bf16, fused AdamW", "tokens/s"))
    tried("dpo", lambda: beside("dpo", f"DPO of {named}", "TRL with peft, bf16, fused AdamW", "pairs/s"))
    tried("serve", serving)
    return lines, failed


if __name__ == "__main__":
    started(app)
