"""The loop: resumes bit for bit wherever it is killed, keeps the best weights, stops where numbers end."""

from __future__ import annotations

import errno
import io
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn
from training_runs import KINDS, STEPS, classify_run, go, shards

from noria.build.tokens.batches import Batch, Packed
from noria.build.train import supervised
from noria.build.train.checkpoint import save_tensors, weights
from noria.build.train.loop import Evaluation, train
from noria.build.train.settings import TrainSettings
from noria.core.errors import Interrupted, UserError
from noria.core.progress import MetricsLog, Report

QUIET = Report(stream=io.StringIO())


def start(kind: str, work: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("training_runs.py")), kind, str(work)], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip


def steps_done(work: Path) -> int:
    records = MetricsLog(work / "metrics.jsonl").read()
    return max((record["step"] for record in records), default=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_killed_runs_end_like_one_never_killed(kind: str, tmp_path: Path) -> None:
    whole, module = go(kind, tmp_path / "whole")
    work, dice = tmp_path / "killed", random.Random(kind)
    for target in sorted(dice.sample(range(1, STEPS - 2), 2)):
        process = start(kind, work)
        while process.poll() is None and steps_done(work) < target:
            time.sleep(0.002)
        time.sleep(dice.random() * 0.02)  # anywhere in a step, in an evaluation, in a checkpoint
        process.kill()
        _, said = process.communicate()
        assert process.returncode == -signal.SIGKILL, said.decode()
    rest, again = go(kind, work)
    assert [t.tolist() for t in weights(again).values()] == [t.tolist() for t in weights(module).values()]
    assert (work / "metrics.jsonl").read_text() == (tmp_path / "whole" / "metrics.jsonl").read_text()
    assert (rest.curves, rest.best_step, rest.best_score) == (whole.curves, whole.best_step, whole.best_score)


def test_sigterm_leaves_a_checkpoint_and_the_same_command_goes_on(tmp_path: Path) -> None:
    work = tmp_path / "work"
    steps = 0

    def objective(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, float]:
        nonlocal steps
        steps += 1
        if steps == 8:
            os.kill(os.getpid(), signal.SIGTERM)
        return supervised.classes(module, batch)

    module, batches, _, judge = classify_run()
    settings = TrainSettings(seed=11, steps=12, number_type="fp32", evaluations=4)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="step 4 of 12"):
        train(module, batches, objective, settings, work, QUIET, judge)
    assert signal.getsignal(signal.SIGTERM) is before
    module, batches, _, judge = classify_run()
    train(module, batches, objective, settings, work, QUIET, judge)
    assert steps == 3 + 5 + 8
    assert [r["step"] for r in MetricsLog(work / "metrics.jsonl").read() if "loss" in r] == list(range(1, 13))


def test_calibration_fixes_the_steps_and_changes_nothing_else(tmp_path: Path) -> None:
    def run(work: Path, **length: float) -> tuple[list[float], dict[str, object]]:
        module, batches, objective, judge = classify_run()
        settings = TrainSettings(seed=11, number_type="fp32", evaluations=1, **length)
        train(module, batches, objective, settings, work, QUIET, judge)
        losses = [record["loss"] for record in MetricsLog(work / "metrics.jsonl").read() if "loss" in record]
        return losses, json.loads((work / "plan.json").read_text())

    budgeted, plan = run(tmp_path / "seconds", seconds=1.0)
    counted, _ = run(tmp_path / "steps", steps=plan["steps"])
    assert plan["measured_tokens_per_second"] > 0
    assert budgeted == counted


def test_another_setting_or_other_data_begins_anew(tmp_path: Path) -> None:
    go("causal", tmp_path, steps=6)
    go("causal", tmp_path, steps=7)
    assert steps_done(tmp_path) == 7
    assert json.loads((tmp_path / "plan.json").read_text())["steps"] == 7
    module, _, objective, judge = KINDS["causal"]()
    settings = TrainSettings(seed=11, steps=7, number_type="fp32", evaluations=4)
    train(module, Packed(shards(), context=16, rows=4, seed=3), objective, settings, tmp_path, QUIET, judge)
    tokens = [record["tokens"] for record in MetricsLog(tmp_path / "metrics.jsonl").read() if "tokens" in record]
    assert tokens == [64 * step for step in range(1, 8)]


def test_the_best_weights_are_kept(tmp_path: Path) -> None:
    scores, seen = iter([0.1, 0.9, 0.3, 0.2]), []
    module, batches, objective, _ = classify_run()

    def judge(module: nn.Module) -> Evaluation:
        assert not module.training
        seen.append({name: tensor.clone() for name, tensor in weights(module).items()})
        return Evaluation(next(scores))

    settings = TrainSettings(steps=8, number_type="fp32", evaluations=4)
    result = train(module, batches, objective, settings, tmp_path, QUIET, judge)
    assert (result.best_step, result.best_score) == (4, 0.9)
    assert result.curves["valid"] == [[2, 0.1], [4, 0.9], [6, 0.3], [8, 0.2]]
    assert all(torch.equal(tensor, seen[1][name]) for name, tensor in weights(module).items())
    assert [path.name for path in tmp_path.glob("best-*")] == ["best-4.safetensors"]


def test_loss_that_is_no_number_stops_and_names_step_and_rows(tmp_path: Path) -> None:
    module, batches, _, _ = classify_run()
    rows = batches.at(2)[0].rows

    def objective(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, float]:
        loss, weight = supervised.classes(module, batch)
        return (loss * float("nan") if batch.rows == rows else loss), weight

    before = {name: tensor.clone() for name, tensor in weights(module).items()}
    with pytest.raises(UserError, match=rf"loss is not a finite number at step 3, rows {rows[0]}, {rows[1]}"):
        train(module, batches, objective, TrainSettings(steps=5, number_type="fp32"), tmp_path, QUIET)
    assert all(tensor.isfinite().all() for tensor in weights(module).values())
    assert any(not torch.equal(tensor, before[name]) for name, tensor in weights(module).items())


def test_accumulated_batches_learn_as_one(tmp_path: Path) -> None:
    class Halves:
        """Every batch of a source, cut in two of unlike weight."""

        def __init__(self, source: Packed) -> None:
            self.source, self.fingerprint, self.tokens_per_step = source, "halves", source.tokens_per_step

        def at(self, step: int) -> list[Batch]:
            tensors = self.source.at(step)[0].tensors
            return [Batch({k: v[part] for k, v in tensors.items()}, [], 0) for part in (slice(0, 1), slice(1, None))]

    losses = []
    for wrap in (lambda source: source, Halves):
        module, batches, objective, _ = KINDS["causal"]()
        work = tmp_path / wrap.__name__
        train(module, wrap(batches), objective, TrainSettings(steps=5, number_type="fp32"), work, QUIET)
        losses.append([record["loss"] for record in MetricsLog(work / "metrics.jsonl").read()])
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


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_losses_match_the_golden_ones(kind: str, tmp_path: Path) -> None:
    golden = json.loads((Path(__file__).parents[2] / "golden" / "losses.json").read_text())[kind]
    go(kind, tmp_path, steps=8, pause=100)
    losses = [record["loss"] for record in MetricsLog(tmp_path / "metrics.jsonl").read() if "loss" in record]
    assert losses == pytest.approx(golden["losses"], rel=golden["tolerance"])
