"""Runs killed at random points end as ones never killed, whatever they learn and by whatever method; losses stay golden."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tests.make.training.training_runs import GOLDEN, KINDS, STEPS, losses, steps_done

TRIES = 20
RUNS = [(kind, {}) for kind in KINDS] + [
    ("causal", {"number_type": "bf16", "threads": 2}),
    ("accumulated", {"number_type": "bf16", "threads": 2}),
    ("lora", {"number_type": "bf16", "threads": 2}),
]


@dataclass
class Server:
    """Starts runs as processes that can be killed."""

    process: subprocess.Popen[str]

    def start(self, kind: str, work: Path, arguments: dict[str, Any]) -> int:
        self.process.stdin.write(json.dumps({"kind": kind, "work": str(work), **arguments}) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def status(self) -> int:
        """Wait for the run's end."""
        return int(self.process.stdout.readline())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    words = tmp_path_factory.mktemp("server") / "stderr"
    with (
        words.open("w") as stream,
        subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("training_runs.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        ) as process,
    ):
        yield Server(process)
        process.stdin.close()


def kill_somewhere(server: Server, kind: str, work: Path, arguments: dict[str, Any], dice: random.Random) -> int:
    """Start the run, or go on with it, and kill it: in a step, an evaluation, a checkpoint; return its exit status."""
    done = steps_done(work)
    target = done + dice.randrange(max(1, (STEPS - done) // 2))
    server.start(kind, work, {**arguments, "killed": (target, 1e-6 + dice.random() * 0.01)})
    return server.status()


def state(work: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    file = work / "checkpoint.safetensors"
    with safe_open(file, framework="pt") as opened:
        position = json.loads(opened.metadata()["noria"])["position"]
    return load_file(file), {name: value for name, value in position.items() if name not in ("seconds", "elapsed")}


@pytest.mark.parametrize(
    ("kind", "arguments"), RUNS, ids=[" ".join([kind, *map(str, more.values())]) for kind, more in RUNS]
)
def test_killed_runs_end_like_one_never_killed(
    kind: str, arguments: dict[str, Any], server: Server, tmp_path: Path
) -> None:
    whole, killed, dice = tmp_path / "whole", tmp_path / "killed", random.Random(f"{kind} {arguments}")
    server.start(kind, whole, arguments)
    assert server.status() == 0
    for _ in range(TRIES):
        if [kill_somewhere(server, kind, killed, arguments, dice) for _ in range(2)] == [-signal.SIGALRM] * 2:
            break
        # A machine that is very fast may be at the end before the signal comes: that says nothing, so from the start anew.
        shutil.rmtree(killed)
    else:
        pytest.fail(f"the run came to its end before it could be killed twice, {TRIES} times")
    server.start(kind, killed, arguments)
    assert server.status() == 0
    tensors, position = state(whole)
    others, place = state(killed)
    assert place == position
    assert position["step"] == STEPS
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())
    assert any(name.startswith("optimizer/") for name in tensors)
    assert (killed / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
    best = [path.name for path in whole.glob("best-*")]
    assert [path.name for path in killed.glob("best-*")] == best
    assert (killed / best[0]).read_bytes() == (whole / best[0]).read_bytes()


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_losses_match_the_golden_ones(kind: str, tmp_path: Path) -> None:
    """Written anew by `python tests/make/training/training_runs.py golden`, when a change of the losses is meant."""
    assert losses(kind, tmp_path) == pytest.approx(json.loads(GOLDEN.read_text())[kind], rel=1e-4)
