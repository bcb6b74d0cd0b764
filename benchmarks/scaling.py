"""Two processes of one thread each beside one process: what data parallel keeps of the machine, and where the rest goes.

The same Llama of 17 M parameters and text as in `pretrain`, the same 8,192 tokens a step whatever the number of processes,
so the same losses. Noria trains in two processes of one thread, in one of two threads, and in one of one thread; twice the
last is what two processes could reach at best. The peer is transformers.Trainer in two processes under torchrun, its
DistributedDataParallel, with the best settings known for processors; its first step is left out of its time. Both are
started by torchrun; every run is a process tree of its own, and runs alternate.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .isa import here
from .line import Line, compare
from .pretrain import CONTEXT, PEERS, TOKENS, _model, prepare

PEER = "torchrun, transformers.Trainer, bf16, packed and best settings"
RUNS = {"noria": (2, 1), "1 process x 2 threads": (1, 2), "1 process x 1 thread": (1, 1), PEER: (2, 1)}
"""Name -> processes, and threads of each."""


def measure(*, quick: bool) -> list[Line]:
    """Return a line for each comparison; quick takes 3 repeats of 4 steps, else 5 of 12."""
    repeats, steps = (3, 4) if quick else (5, 12)
    speeds: dict[str, list[float]] = {name: [] for name in RUNS}
    parts: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        prepare(Path(folder))
        for number in range(repeats):
            # Every second repeat runs backwards, so that a machine that slows or quickens favours no one.
            for name in sorted(RUNS, reverse=bool(number % 2)):
                found = _run(Path(folder), name, steps)
                speeds[name].append(found.pop("speed"))
                if found:
                    parts.append(found)
                print(f"scaling {number + 1}/{repeats}: {name}: {speeds[name][-1]:,.0f} tokens/s", file=sys.stderr)
    lost = _lost(parts)
    print(f"scaling: {lost}", file=sys.stderr)
    twice = [2 * speed for speed in speeds["1 process x 1 thread"]]
    ideal = compare(
        "scaling",
        f"efficiency of 2 processes x 1 thread ({lost})",
        speeds["noria"],
        twice,
        "twice 1 process x 1 thread",
        "tokens/s",
    )
    rest = [
        compare("scaling", "2 processes x 1 thread", speeds["noria"], speeds[name], name, "tokens/s")
        for name in ("1 process x 2 threads", PEER)
    ]
    return [ideal, replace(rest[0], peer_name="Noria, 1 process x 2 threads"), rest[1]]


def _lost(parts: list[dict[str, float]]) -> str:
    """Return in words where a step's time goes that two processes spend and one would not."""
    middle = {name: float(np.median([part[name] for part in parts])) for name in parts[0]}
    step = middle["step"]
    return (
        f"of a step's {step * 1e3:,.0f} ms {middle['summing'] / step:.1%} sums gradients, {middle['waiting'] / step:.1%} "
        f"waits for the slower process; the rest of the loss, not measured apart: the optimiser runs in both, memory is shared"
    )


def _run(folder: Path, name: str, steps: int) -> dict[str, float]:
    processes, threads = RUNS[name]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node"]
    start = [*torchrun, str(processes)] if processes > 1 else []
    command = [sys.executable, *start, "-m", "benchmarks.scaling", str(folder), name, str(steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr.strip()[-2000:]}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def noria_speed(folder: Path, steps: int) -> dict[str, float]:
    """Return Noria's tokens a second over `steps`; among several also seconds of a step, of waiting and of summing."""
    from noria.core.memory import keep_memory
    from noria.core.progress import Report
    from noria.make.tokens.batches import Packed
    from noria.make.tokens.shards import open_shards
    from noria.make.training.loop.loop import train
    from noria.make.training.objectives.language_modeling import causal
    from noria.make.training.settings import TrainSettings

    keep_memory()
    batches = Packed(open_shards(folder / "shards", "train"), context=CONTEXT, rows=TOKENS // CONTEXT, seed=0)
    settings = TrainSettings(steps=steps, checkpoint_seconds=1e9)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        result = train(_model(folder), batches, causal, settings, Path(work) / "run", Report.silent())
    shared = {name: seconds / steps for name, seconds in result.shared_seconds.items()}
    return {"speed": result.tokens_per_second, **shared, **({"step": result.seconds / steps} if shared else {})}


def trainer_speed(folder: Path, steps: int) -> dict[str, float]:
    """Return the tokens a second of a Trainer in each of two processes, over `steps` after its first."""
    import transformers

    from noria.make.tokens.shards import open_shards

    ids = open_shards(folder / "shards", "train").ids
    rows = np.random.default_rng(0).permutation(
        ids[: len(ids) // CONTEXT * CONTEXT].astype(np.int64).reshape(-1, CONTEXT)
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "tokenizer")
    ends: list[float] = []

    class Clock(transformers.TrainerCallback):
        """Takes the time after every step."""

        def on_step_end(self, *args: object, **kwargs: object) -> None:
            ends.append(time.perf_counter())

    best: dict[str, Any] = here(PEERS["transformers.Trainer, bf16, packed and best settings"])
    settings = {**best, "per_device_train_batch_size": TOKENS // CONTEXT // 2}
    with tempfile.TemporaryDirectory(dir=folder) as out:
        arguments = transformers.TrainingArguments(
            out,
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
            save_strategy="no",
            logging_strategy="no",
            max_steps=steps + 1,
            remove_unused_columns=False,
            **settings,
        )
        transformers.Trainer(
            _model(folder),
            arguments,
            data_collator=transformers.DataCollatorForLanguageModeling(tokenizer, mlm=False),
            train_dataset=[{"input_ids": row.tolist()} for row in rows],
            callbacks=[Clock()],
        ).train()
    return {"speed": TOKENS * steps / (ends[-1] - ends[0])}


def main(folder: str, name: str, steps: str) -> None:
    """Do one process's part; the first prints what was found."""
    found = (trainer_speed if name == PEER else noria_speed)(Path(folder), int(steps))
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
