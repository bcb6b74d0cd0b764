"""Several processes learn what one does, in every layout; a run moves between layouts; signals and faults end all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from noria.core.progress import MetricsLog

TRIALS = 3
"""Batches that a run scores before its first step, to see what memory it needs."""
LAYOUTS = [
    ("llama", 2, "fsdp"),
    ("llama", 2, "tensor"),
    ("llama", 4, "data+tensor"),
    ("muon", 2, "fsdp"),
    ("muon", 2, "tensor"),
    ("bert", 2, "data"),
    ("bert", 2, "fsdp"),
    ("bert", 4, "data+tensor"),
    ("odd llama", 4, "data"),
    ("odd llama", 4, "fsdp"),
    ("embed", 2, "data"),
    ("lora", 2, "fsdp"),
]
"""Odd: a batch of three rows, so that a process has none; embed: rows that see one another, so that they are not divided."""
Run = Callable[..., list[int]]


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of what the processes write to stderr."""
    return tmp_path_factory.mktemp("said") / "stderr"


@pytest.fixture(scope="module")
def run(said: Path) -> Iterator[Run]:
    """Runs processes of `parallel_runs.py` to their end, and returns their exit codes."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with said.open("w") as stream:
        server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("parallel_runs.py"))],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        )
    assert server.stdin
    assert server.stdout

    def call(**arguments: Any) -> list[int]:
        server.stdin.write(json.dumps({**arguments, "work": str(arguments["work"])}) + "\n")
        server.stdin.flush()
        return json.loads(server.stdout.readline())

    yield call
    server.communicate()


@pytest.fixture(scope="module")
def alone(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the folder of a run of each kind in one process."""
    done: dict[str, Path] = {}

    def work(kind: str) -> Path:
        if kind not in done:
            done[kind] = tmp_path_factory.mktemp("alone")
            assert run(kind=kind, work=done[kind]) == [0]
        return done[kind]

    return work


def curve(work: Path, name: str = "loss") -> list[float]:
    return [record[name] for record in MetricsLog(work / "metrics.jsonl").read() if name in record]


def same(work: Path, other: Path) -> None:
    """Losses, gradients, tokens and evaluations are those of the other run, and so are the weights and the optimiser's means."""
    for name in ("loss", "gradient", "score"):
        assert curve(work, name) == pytest.approx(curve(other, name), abs=1e-4), name
    assert curve(work, "tokens") == curve(other, "tokens")
    tensors, wanted = (load_file(one / "checkpoint.safetensors") for one in (work, other))
    assert tensors.keys() == wanted.keys()
    for name, tensor in tensors.items():
        if name.startswith("optimizer"):
            assert (tensor - wanted[name]).norm() <= 1e-3 * wanted[name].norm() + 1e-7, name
        elif name.startswith("model"):
            # AdamW divides by the root of the mean square, so that a gradient of nearly 0 may turn its sign.
            assert (tensor - wanted[name]).norm() <= 5e-3 * wanted[name].norm() + 1e-3, name


@pytest.mark.parametrize(("kind", "ranks", "layout"), LAYOUTS)
def test_several_learn_what_one_does(
    kind: str, ranks: int, layout: str, run: Run, alone: Callable[[str], Path], tmp_path: Path
) -> None:
    assert run(kind=kind, ranks=ranks, layout=layout, work=tmp_path) == [0] * ranks
    assert len(curve(tmp_path)) == 4
    same(tmp_path, alone(kind))


def test_a_run_moves_between_layouts(run: Run, alone: Callable[[str], Path], tmp_path: Path) -> None:
    kind = "llama"
    # In one process a signal breaks its step off; among several the step is finished by all.
    assert run(kind=kind, work=tmp_path, stop=TRIALS + 2) == [143]
    assert len(curve(tmp_path)) == 1
    assert run(kind=kind, work=tmp_path, ranks=2, layout="fsdp", stop=1) == [130, 143]
    assert len(curve(tmp_path)) == 2
    assert run(kind=kind, work=tmp_path, ranks=4, layout="data+tensor", stop=1) == [130, 130, 130, 143]
    assert len(curve(tmp_path)) == 3
    assert run(kind=kind, work=tmp_path) == [0]
    same(tmp_path, alone(kind))


def test_dropout_differs_between_processes_and_goes_on_exactly(run: Run, tmp_path: Path) -> None:
    whole, cut, other = tmp_path / "whole", tmp_path / "cut", tmp_path / "alone"
    assert run(kind="bert", work=whole, ranks=2, dropout=0.2) == [0, 0]
    assert run(kind="bert", work=cut, ranks=2, dropout=0.2, stop=TRIALS + 2) == [130, 143]
    assert run(kind="bert", work=cut, ranks=2, dropout=0.2) == [0, 0]
    assert (cut / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
    assert run(kind="bert", work=other, dropout=0.2) == [0]
    assert curve(other) != pytest.approx(curve(whole), abs=1e-4)


def test_a_layout_that_the_model_or_the_processes_do_not_suit_is_refused(run: Run, tmp_path: Path, said: Path) -> None:
    assert run(kind="llama", work=tmp_path, ranks=3, layout="tensor") == [2] * 3
    assert run(kind="llama", work=tmp_path, ranks=3, layout="data+tensor") == [2] * 3
    assert run(kind="lora", work=tmp_path, ranks=2, layout="tensor") == [2] * 2
    told = said.read_text()
    assert "the model cannot be cut over 3 processes: found 'num_attention_heads 4'; allowed a multiple of 3" in told
    assert "3 processes cannot be laid out as data+tensor: found '2 along tensor'; allowed a divisor of 3" in told
    assert (
        "layout tensor does not know these layers: found 'bert'; allowed Llama and BERT kinds, without adapters" in told
    )
