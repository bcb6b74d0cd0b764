"""Budgets kept: runs of finetune and pretrain by the command line, half of them beside a process that burns both cores and stops midway.

A run is kept where it ends within 1.1 times its budget and 20 s, from the start of Python to its last word: reading, baselines,
measuring, steps, judging, figures and the folder are in it. Each run is a process of its own, on the bundled reviews.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from noria.machine import cores
from noria.make.training.loop.budget import OVER, START

from .line import Line, compare

RUNS, QUICK = {0.5: (2, 2), 2.0: (2, 2), 5.0: (1, 1)}, {0.25: (1, 1), 0.5: (0, 1)}
"""Budget in minutes -> runs of each recipe, quiet and busy: 20 in all, and 6."""


def measure(*, quick: bool) -> list[Line]:
    """Return for each recipe and budget the time that the runs took of their bound, and how many of all kept it."""
    lines, kept, runs = [], 0, 0
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as place:
        folder = Path(place)
        prepare(folder)
        for recipe in ("finetune", "pretrain"):
            for minutes, repeats in (QUICK if quick else RUNS).items():
                bound = OVER * 60 * minutes + START
                for busy in (False, True) if repeats[False] else (True,):
                    tried = [timed(folder, recipe, minutes, busy=busy) for _ in range(repeats[busy])]
                    taken = [one for one in tried if one is not None]
                    runs, kept = runs + len(tried), kept + sum(one <= bound for one in taken)
                    where = "both cores busy until midway" if busy else "nothing else running"
                    print(f"budget: {recipe} {minutes:g} min, {where}: {tried} of {bound:.0f} s", file=sys.stderr)
                    if not taken:
                        continue
                    lines.append(
                        compare(
                            "budget",
                            f"{recipe}, {minutes:g} min, {where}: its end",
                            taken,
                            [bound] * len(taken),
                            "wanted: 1.1 times the budget and 20 s",
                            "s",
                            higher_is_better=False,
                        )
                    )
    lines.append(
        compare("budget", "runs that kept their budget", [max(kept, 0.1)], [float(runs)], "wanted: all", "runs")
    )
    return lines


def prepare(folder: Path) -> None:
    """Write the reviews as rows and as a corpus, and a base trimmed to them."""
    from noria.make.compress.trim import trim
    from noria.make.corpus.bundled import reviews
    from noria.make.models.bundled import e5_small

    labels = {document.text: document.meta["label"] for document in reviews() if document.text.strip()}
    texts = sorted(labels)
    parts = {"test": texts[::10], "valid": texts[5::10], "train": [text for n, text in enumerate(texts) if n % 5]}
    for name, some in parts.items():
        rows = [{"id": str(n), "text": text, "label": labels[text]} for n, text in enumerate(some)]
        for file in (folder / f"{name}.jsonl", folder / "corpus" / f"{name}.jsonl"):
            file.parent.mkdir(exist_ok=True)
            file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    e5_small(folder / "e5")
    trim(folder / "e5", texts, folder / "base")


def timed(folder: Path, recipe: str, minutes: float, *, busy: bool) -> float | None:
    """Return the seconds of one run, from the start of Python to its end; None where it refused to begin, its time
    being over. A run that takes three times its bound is ended there.

    Raises:
        RuntimeError: the run failed; tells its last words.
    """
    with tempfile.TemporaryDirectory(dir=folder) as out:
        command = [sys.executable, "-m", "noria", "build", recipe]
        if recipe == "finetune":
            command += ["classify", "--base", str(folder / "base"), "--minutes", str(minutes)]
            command += [part for name in ("train", "test") for part in (f"--{name}", str(folder / f"{name}.jsonl"))]
        else:
            command += [str(folder / "corpus"), "--minutes", str(minutes)]
        with burning(30 * minutes if busy else 0):
            start = time.perf_counter()
            command += ["--out", f"{out}/model"]
            late = 3 * (OVER * 60 * minutes + START)
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=late)
            except subprocess.TimeoutExpired:
                return late
            seconds = time.perf_counter() - start
        if "is over before the first step" in done.stderr:
            print(done.stderr.splitlines()[-1], file=sys.stderr)
            return None
        if done.returncode:
            raise RuntimeError(f"{recipe} failed: {done.stderr.strip().splitlines()[-1]}")
        print("\n".join(done.stderr.splitlines()[-3:]), file=sys.stderr)
    return seconds


@contextmanager
def burning(seconds: float) -> Iterator[None]:
    """Keep all cores busy for so many seconds of the block; none where 0."""
    if not seconds:
        yield
        return
    command = ["timeout", f"{seconds:.0f}", sys.executable, "-c", "while True: sum(range(100_000))"]
    processes = [subprocess.Popen(command) for _ in range(cores())]
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
            process.wait()
