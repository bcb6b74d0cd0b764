"""The loop: resumes bit for bit wherever it is killed, keeps the best weights, stops where numbers end."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from noria.core.errors import ResourceError, UserError
from noria.core.progress import MetricsLog, Report
from noria.make.tokens.batches import Batch, Packed
from noria.make.training.loop.checkpoint import save_tensors, weights
from noria.make.training.loop.loop import train
from noria.make.training.loop.result import Evaluation, TrainResult
from noria.make.training.loop.stop import Divergence
from noria.make.training.objectives import supervised
from noria.make.training.parallel.single import Objective
from noria.make.training.settings import OptimizerSettings, TrainSettings
from tests.make.training.training_runs import Setup, causal_run, classify_run, go, shards

QUIET = Report(stream=io.StringIO())
ROOT = Path(__file__).parents[3]


def steps_done(work: Path) -> int:
    records = MetricsLog(work / "metrics.jsonl").read()
    return max((record["step"] for record in records), default=0)


def run(setup: Setup, work: Path, objective: Objective | None = None, **settings: Any) -> TrainResult:
    settings = {"seed": 11, "number_type": "fp32", "evaluations": 4, "checkpoint_seconds": 1000, **settings}
    return train(
        setup.module,
        setup.batches,
        objective or setup.objective,
        TrainSettings(**settings),
        work,
        QUIET,
        setup.judge,
        after_step=setup.after_step,
    )


def losses_in(work: Path) -> list[float]:
    return [record["loss"] for record in MetricsLog(work / "metrics.jsonl").read() if "loss" in record]


@pytest.mark.parametrize("place", ["a pass", "an evaluation"])
def test_sigterm_breaks_off_what_takes_long_and_the_same_command_goes_on(place: str, tmp_path: Path) -> None:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("sigterm_run.py")), place, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert re.search(r"interrupted at step [1-9] of 12", told["words"])
    assert told["seconds"] < 30  # of the 60 that what it breaks off takes
    assert told["restored"]
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    assert (stopped / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()
    ours, theirs = (load_file(folder / "checkpoint.safetensors") for folder in (stopped, whole))
    assert all(torch.equal(tensor, ours[name]) for name, tensor in theirs.items())


def test_another_setting_or_other_data_begins_anew(tmp_path: Path) -> None:
    go("causal", tmp_path, steps=6)
    go("causal", tmp_path, steps=7)
    assert steps_done(tmp_path) == 7
    assert json.loads((tmp_path / "plan.json").read_text())["steps"] == 7
    setup = causal_run()
    setup.batches = Packed(shards(), context=16, rows=4, seed=3)
    run(setup, tmp_path, steps=7)
    tokens = [record["tokens"] for record in MetricsLog(tmp_path / "metrics.jsonl").read() if "tokens" in record]
    assert tokens == [64 * step for step in range(1, 8)]


def test_the_best_weights_are_kept(tmp_path: Path) -> None:
    scores, seen = iter([0.1, 0.9, 0.3, 0.2]), []
    setup = classify_run()

    def judge(module: nn.Module) -> Evaluation:
        assert not module.training
        seen.append({name: tensor.clone() for name, tensor in weights(module).items()})
        return Evaluation(next(scores))

    setup.judge = judge
    result = run(setup, tmp_path, steps=8)
    assert (result.best_step, result.best_score) == (4, 0.9)
    assert result.curves["valid"] == [[2, 0.1], [4, 0.9], [6, 0.3], [8, 0.2]]
    assert all(torch.equal(tensor, seen[1][name]) for name, tensor in weights(setup.module).items())
    assert [path.name for path in tmp_path.glob("best-*")] == ["best-4.safetensors"]


def test_loss_that_is_no_number_stops_and_names_step_and_rows(tmp_path: Path) -> None:
    setup = classify_run()
    module, rows = setup.module, setup.batches.at(2)[0].rows

    def objective(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, float]:
        loss, weight = supervised.classes(module, batch)
        return (loss * float("nan") if batch.rows == rows else loss), weight

    before = {name: tensor.clone() for name, tensor in weights(module).items()}
    with pytest.raises(UserError, match=rf"loss is not a finite number at step 3, rows {rows[0]}, {rows[1]}"):
        run(setup, tmp_path, objective, steps=5)
    assert all(tensor.isfinite().all() for tensor in weights(module).values())
    assert any(not torch.equal(tensor, before[name]) for name, tensor in weights(module).items())


def test_accumulated_batches_learn_as_one(tmp_path: Path) -> None:
    class Halves:
        """Every batch of a source, cut in two of unlike weight."""

        def __init__(self, source: Packed) -> None:
            self.source, self.fingerprint, self.tokens_per_step = source, "halves", source.tokens_per_step
            self.steps_per_epoch = source.steps_per_epoch

        def at(self, step: int) -> list[Batch]:
            tensors = self.source.at(step)[0].tensors
            return [Batch({k: v[part] for k, v in tensors.items()}, [], 0) for part in (slice(0, 1), slice(1, None))]

    losses = []
    for wrap in (lambda source: source, Halves):
        setup, work = causal_run(), tmp_path / wrap.__name__
        setup.batches = wrap(setup.batches)
        run(setup, work, steps=5)
        losses.append(losses_in(work))
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_write_that_fails_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.safetensors"
    save_tensors(file, {"weight": torch.ones(10)}, {})
    kept = file.read_bytes()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="large") as caught:
            save_tensors(file, {"weight": torch.ones(100_000)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG
    assert file.read_bytes() == kept
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_full_disk_loses_no_checkpoint(tmp_path: Path) -> None:
    run(causal_run(), tmp_path / "whole", steps=8)
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        setup, taken = causal_run(), 0

        def objective(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, float]:
            nonlocal taken
            taken += 1
            if taken == 8:  # in the fifth step: three passes were taken for trial
                with suppress(OSError), (disk / "ballast").open("wb") as stream:
                    for _ in range(12_000):
                        stream.write(bytes(1024))
                        stream.flush()
            return setup.objective(module, batch)

        often = {"checkpoint_seconds": 1e-9, "checkpoint_share": 1}
        with pytest.raises(ResourceError, match="the disk is full"):
            run(setup, disk / "work", objective, steps=8, **often)
        (disk / "ballast").unlink()
        held = Report(stream=io.StringIO())
        setup = causal_run()
        train(
            setup.module,
            setup.batches,
            setup.objective,
            TrainSettings(seed=11, steps=8, number_type="fp32", evaluations=4),
            disk / "work",
            held,
            setup.judge,
        )
        assert re.search("going on from step [1-4] of 8", held.stream.getvalue())
        assert (disk / "work" / "metrics.jsonl").read_text() == (tmp_path / "whole" / "metrics.jsonl").read_text()
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_patience_ends_the_run_with_the_best_weights(tmp_path: Path) -> None:
    setup, scores = classify_run(), iter([0.1, 0.5, 0.4, 0.3, 0.9])
    setup.judge = lambda module: Evaluation(next(scores))
    result = run(setup, tmp_path, steps=20, evaluations=10, patience=2)
    assert (result.steps, result.best_step, result.best_score) == (8, 4, 0.5)
    # The same command finds the run at its end, and takes no more steps.
    setup = classify_run()
    setup.judge = lambda module: Evaluation(next(scores))
    assert run(setup, tmp_path, steps=20, evaluations=10, patience=2).steps == 8


def test_a_rate_that_is_far_too_high_stops_in_one_line(tmp_path: Path) -> None:
    rates = OptimizerSettings(learning_rate=1.0, clip=0)
    with pytest.raises(UserError, match=r"the loss ran away: .* lower the learning rate \(1\)") as caught:
        run(causal_run(), tmp_path, steps=200, optimizer=rates, checkpoint_seconds=0.01)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "checkpoint.safetensors").exists()
    assert len(losses_in(tmp_path)) < 100
    result = run(causal_run(), tmp_path, steps=60, optimizer=rates, stop_diverging=False)
    assert result.steps == 60


def test_only_lasting_losses_count_as_running_away() -> None:
    def stops(losses: list[float]) -> int | None:
        guard = Divergence(len(losses))
        return next((place for place, loss in enumerate(losses) if guard.add(loss)), None)

    falling = [0.7 * 0.99**step for step in range(300)]
    assert stops(falling) is None
    assert stops([*falling[:100], *[9.0] * 10, *falling[100:]]) is None
    assert stops([*falling[:200], *[0.7] * 100]) is not None
    assert stops([9.0 - step / 50 for step in range(100)] + [7.0 + step / 10 for step in range(200)]) is not None
    assert stops([0.7, 0.6, 0.8] * 100) is None


def test_memory_that_will_not_suffice_is_told_before_the_start(tmp_path: Path) -> None:
    setup = causal_run()
    state = 3 * sum(p.numel() * 4 for p in setup.module.parameters())
    taken = 0

    def objective(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, float]:
        nonlocal taken
        taken += 1
        return setup.objective(module, batch)

    with pytest.raises(ResourceError, match=r"needs .* for gradients and optimiser.* are free: let less learn"):
        run(setup, tmp_path, objective, steps=5, memory_gb=state / 2e9)
    assert taken == 0
    run(setup, tmp_path, objective, steps=5, memory_gb=1.0)
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert state < plan["memory_bytes"] < 1e9


def test_a_batch_too_large_is_foreseen_from_a_small_one(tmp_path: Path) -> None:
    """Activations grow with the batch: what one row takes tells what the largest will."""
    seen: list[int] = []

    class Growing:
        fingerprint, tokens_per_step, steps_per_epoch = "growing", 8.0, 0.0

        def at(self, step: int) -> list[Batch]:
            rows = 4000 if step == 9 else 4
            return [Batch({"input_ids": torch.ones(rows, 2, dtype=torch.long)}, [], rows)]

    module = nn.Linear(1, 1)

    def objective(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, float]:
        rows = len(batch.tensors["input_ids"])
        seen.append(rows)
        held = torch.ones(rows, 500_000, requires_grad=True) * module.weight.sum()  # 2 MB a row
        return held.sum(), rows

    setup = Setup(module, Growing(), objective, lambda module: Evaluation(0.0))
    with pytest.raises(ResourceError, match=r"for a batch.*lower the tokens of a batch"):
        run(setup, tmp_path, steps=20, memory_gb=1.0)
    assert 4000 not in seen


def test_what_every_pass_holds_is_not_taken_to_grow_with_the_batch(tmp_path: Path) -> None:
    seen: list[int] = []

    class Growing:
        fingerprint, tokens_per_step, steps_per_epoch = "growing", 8.0, 0.0

        def at(self, step: int) -> list[Batch]:
            rows = 1600 if step == 9 else 4
            return [Batch({"input_ids": torch.ones(rows, 2, dtype=torch.long)}, [], rows)]

    module = nn.Linear(1, 1)

    def objective(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, float]:
        rows = len(batch.tensors["input_ids"])
        seen.append(rows)
        held = [torch.ones(25_000_000, requires_grad=False), torch.ones(rows, 25_000)]  # 100 MB, and 0.1 MB a row
        return module.weight.sum() * held[1].mean() * held[0][0], rows

    setup = Setup(module, Growing(), objective, lambda module: Evaluation(0.0))
    run(setup, tmp_path, steps=2, memory_gb=0.6)
    assert 1600 in seen
    assert len(seen) < 12


def test_what_a_pass_takes_is_measured_though_free_pages_are_kept() -> None:
    """As in a process that pretrained before it fine-tunes: its heap holds more free pages than the pass takes."""
    code = """
import torch
from noria.make.training.loop.planning import _growth
from noria.core.memory import keep_memory
keep_memory()
free = [torch.ones(25_000_000) for _ in range(4)]
del free
assert _growth(lambda: torch.ones(50_000_000)) > 190_000_000
"""
    subprocess.run([sys.executable, "-c", code], check=True)
