"""Classifying texts: Noria's engine beside a transformers pipeline and ONNX Runtime in 8-bit integers, the same model and texts.

Two encoders, MiniLM (6 layers) and multilingual-e5-small trimmed to the reviews (12), both of width 384, with a head that was
fitted to reviews while the encoder rested. Noria serves what `compress` makes of it here, certificate included. The pipeline
runs as it comes, and with the settings its documentation advises (bf16 where the processor has it, all texts in one batch);
ONNX Runtime runs the weights in 8-bit integers, quantised dynamically and statically, all texts in one batch. Counted are
texts a second from text to label, 1, 8 and 32 together, drawn from real reviews cut at 128 tokens. Every system is a process
of its own that stays; they answer the same texts in turns, every second repeat backwards.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from noria.machine import cores, isa

from .classifier import MAX_LENGTH, Model
from .isa import here
from .line import Line, compare
from .reviewed import FITTED, HELD, bases, prepare, reviews

TOGETHER = {1: 8, 8: 2, 32: 1}
"""Texts that come together -> times that so many are asked in a repeat."""
PIPELINES = ("transformers pipeline, defaults", "transformers pipeline, bf16 and best settings")
RUNTIMES = ("ONNX Runtime, int8 dynamic", "ONNX Runtime, int8 static")
WANTED = {"AMX": (6.0, 1.3), "AVX2": (2.0, 1.2)}
"""How many times as fast Noria is wanted to be: beside the better pipeline, and beside the better int8."""


def measure(*, quick: bool) -> list[Line]:
    """Return a line for each encoder, number of texts and peer, and those of what is wanted; quick takes 3 repeats, else 9."""
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as there:
        rows = reviews()
        lines = []
        for title, base in bases(Path(there), [row["text"] for row in rows]).items():
            folder = Path(there) / f"{base.name}-served" / "model"
            prepare(folder, base, rows)
            lines += _lines(title, folder, [row["text"] for row in rows[FITTED + HELD :]], 3 if quick else 9)
        return lines


def _lines(title: str, folder: Path, texts: Sequence[str], repeats: int) -> list[Line]:
    names = ("noria", *PIPELINES, *RUNTIMES)
    found: dict[tuple[str, int], list[float]] = {}
    with ExitStack() as stack:
        ask = {name: stack.enter_context(_child(folder, name)) for name in names}
        for name in names:
            ask[name]([list(texts[:8])])
        for number in range(repeats):
            random = np.random.default_rng(number)
            for together, times in TOGETHER.items():
                drawn = [[texts[place] for place in random.choice(len(texts), together)] for _ in range(times)]
                for name in names if number % 2 == 0 else names[::-1]:
                    rate = together * times / ask[name](drawn)
                    found.setdefault((name, together), []).append(rate)
                    print(f"classify {title} {number + 1}/{repeats}, {together}: {name}: {rate:.1f}", file=sys.stderr)
    lines = []
    for together in TOGETHER:
        measure, ours = f"texts a second, {together} together, {title}", found["noria", together]
        for peer in (*PIPELINES, *RUNTIMES):
            lines.append(compare("classify", measure, ours, found[peer, together], peer, "texts/s"))
        for peers, kind, times_as_fast in zip(
            (PIPELINES, RUNTIMES),
            ("pipeline", "ONNX Runtime int8"),
            WANTED["AMX" if isa() == "AMX" else "AVX2"],
            strict=True,
        ):
            best = max((found[peer, together] for peer in peers), key=lambda rates: float(np.mean(np.log(rates))))
            told = [times_as_fast * rate for rate in best]
            peer = f"wanted: {times_as_fast:g} times as fast as the better {kind}"
            lines.append(compare("classify", measure, ours, told, peer, "texts/s"))
    return lines


@contextmanager
def _child(folder: Path, name: str) -> Iterator[Callable[[list[list[str]]], float]]:
    """Give what asks a system in a process of its own for batches of texts, and returns the seconds it took."""
    command = [sys.executable, "-m", "benchmarks.classify", str(folder), name]
    environment = {**os.environ, "OMP_NUM_THREADS": str(cores()), "TOKENIZERS_PARALLELISM": "false"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        assert process.stdin
        assert process.stdout

        def ask(batches: list[list[str]]) -> float:
            print(json.dumps(batches), file=process.stdin, flush=True)
            assert process.stdout
            if not (told := process.stdout.readline()):
                raise RuntimeError(f"{name} ended")
            return float(told)

        try:
            yield ask
        finally:
            process.stdin.close()
            process.wait()


def system(folder: Path, name: str) -> Callable[[list[str]], Any]:
    """Return what classifies texts that come together."""
    import torch

    torch.set_num_threads(cores())
    if name == "noria":
        from noria.infer.choose import open_engine
        from noria.infer.engine import answer

        engine = open_engine(folder.with_name("noria"))
        return lambda texts: answer(engine, texts)
    if name in RUNTIMES:
        return Model(folder, file=folder.with_name("dynamic.onnx" if name == RUNTIMES[0] else "static.onnx"))
    import transformers

    best = here({"bf16": True}) if name == PIPELINES[1] else {}
    given: dict[str, Any] = {"dtype": torch.bfloat16} if best else {}
    tokenizer: Any = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(transformers.AutoConfig.from_pretrained(folder).pad_token_id)
    pipeline: Any = transformers.pipeline(
        "text-classification", model=str(folder), tokenizer=tokenizer, device="cpu", **given
    )
    batch = {"batch_size": 32} if name == PIPELINES[1] else {}
    return lambda texts: pipeline(texts, truncation=True, max_length=MAX_LENGTH, **batch)


def main(folder: str, name: str) -> None:
    """Answer batches, a line of JSON each, with the seconds that they took."""
    classify, told = system(Path(folder), name), sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        start = time.perf_counter()
        for texts in json.loads(line):
            classify(texts)
        print(time.perf_counter() - start, file=told, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
