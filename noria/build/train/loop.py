"""The only training loop.

    batches = Buckets(lengths, collate, tokens_per_batch=4096, seed=0)         # order fixed, any step can be asked for
    result = train(module, batches, objectives.supervised, TrainSettings(seconds=300), work, report, evaluator)
    result.steps, result.curves, result.best_score                             # the module now holds the best weights

The loop knows nothing of texts, tasks or models. It is given:
- `module`: any torch module; it is trained in place, and ends with the weights of the best evaluation (the last weights
  where there is no evaluator). Make it under a fixed seed: a run killed before its first checkpoint begins anew with it.
- `batches`: a `noria.build.tokens.batches.BatchSource`: `at(step)` gives the step's batches, accumulated by their weight.
- `objective(module, batch) -> (loss sum, weight)`: a scalar tensor, summed over scored targets, and how many there were.
- `evaluator(module) -> Evaluation`: called in evaluation mode without gradients; the random state is kept apart from it.
- `work`: a folder for plan, checkpoint and metrics, kept between runs. The caller removes it when its result is written.

Steps, number type and threads are fixed in `work/plan.json` before the first step. A run that is killed at any point and
started again with the same arguments goes on from `work/checkpoint.safetensors` and ends with the same weights and the
same `work/metrics.jsonl`, bit for bit, as a run never killed. SIGINT and SIGTERM write a checkpoint first.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from noria.build.tokens.batches import Batch, BatchSource
from noria.core.errors import Interrupted, UserError
from noria.core.folder import write_json
from noria.core.memory import release_memory
from noria.core.progress import Bar, MetricsLog, Report
from noria.core.settings import fingerprint

from .checkpoint import (
    Position,
    frozen_hash,
    learned,
    load_checkpoint,
    restore_weights,
    save_checkpoint,
    save_tensors,
    weights,
)
from .machine import Machine, measure
from .optimizer import make_optimizer, rate, set_rate, settle_gradients
from .settings import TrainSettings

Objective = Callable[[nn.Module, Batch], tuple[torch.Tensor, float]]
AfterStep = Callable[[int, int], None]


@dataclass(frozen=True)
class Evaluation:
    """What an evaluator found."""

    score: float
    """By which the best weights are chosen; higher is better (hand in a loss with its sign turned)."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Name -> number, for the record and the progress bar."""


Evaluator = Callable[[nn.Module], Evaluation]


@dataclass(frozen=True)
class Plan:
    """What is fixed before the first step."""

    identity: str
    """Hash of everything the run depends on; a plan of another identity is not gone on with."""
    steps: int
    machine: Machine
    measured_tokens_per_second: float
    """While calibrating; 0 where the number of steps was given."""


@dataclass(frozen=True)
class TrainResult:
    """What came of a run."""

    steps: int
    tokens: int
    """Tokens trained on, each counted as often as it was seen."""
    seconds: float
    """Time spent training, evaluations and checkpoints apart."""
    best_step: int
    best_score: float | None
    curves: dict[str, list[list[float]]]
    """train: [[step, mean loss since the last point]...]; valid: [[step, score]...]."""
    plan: Plan

    @property
    def tokens_per_second(self) -> float:
        """Training speed."""
        return self.tokens / self.seconds if self.seconds else 0.0


def train(
    module: nn.Module,
    batches: BatchSource,
    objective: Objective,
    settings: TrainSettings,
    work: Path,
    report: Report,
    evaluator: Evaluator | None = None,
    *,
    title: str = "train",
    identity: str = "",
    after_step: AfterStep | None = None,
) -> TrainResult:
    """Train the module in place; go on with whatever `work` holds of the same run.

    Args:
        module: what to train.
        batches: where the batches of each step come from.
        objective: module and batch -> loss sum and its weight.
        settings: length, optimiser, number type and pace of the run.
        work: folder of the run's plan, checkpoint and metrics.
        report: where plan and progress are shown.
        evaluator: judges the module now and then; the best weights are kept.
        title: name of the run on plan line and progress bar.
        identity: hash of what else the run depends on (base weights, data); where it changes, `work` begins anew.
        after_step: called after every optimiser step with the steps done and the steps of the plan; what it changes must
            be parameters that learn or persistent buffers, which a checkpoint holds.

    Raises:
        UserError: loss or gradient is no longer a finite number; names step and rows.
        Interrupted: SIGINT or SIGTERM; a checkpoint was written.
        ResourceError: the disk is full; the last checkpoint stays.
    """
    run = _Run(module, batches, objective, settings, work, evaluator, after_step)
    with _stop_requests() as stop:
        run.prepare(identity, report, title)
        with report.bar(title, total=run.plan.steps, unit="step") as bar:
            bar.advance(run.position.step)
            run.to_end(stop, bar)
    return run.result()


class _Run:
    """One run: where it is, and how it moves on."""

    def __init__(
        self,
        module: nn.Module,
        batches: BatchSource,
        objective: Objective,
        settings: TrainSettings,
        work: Path,
        evaluator: Evaluator | None,
        after_step: AfterStep | None,
    ) -> None:
        self.module, self.batches, self.objective = module, batches, objective
        self.settings, self.work, self.evaluator = settings, work, evaluator
        self.after_step = after_step
        self.optimizer = make_optimizer(module, settings.optimizer)
        self.checkpoint = work / "checkpoint.safetensors"
        self.metrics = MetricsLog(work / "metrics.jsonl")
        self.position = Position()
        self.plan: Plan

    def prepare(self, identity: str, report: Report, title: str) -> None:
        """Find the plan and checkpoint of the same run, or make them."""
        shapes = {name: list(tensor.shape) for name, tensor in weights(self.module).items()}
        settings = self.settings.model_dump(mode="json", exclude={"checkpoint_seconds"})
        identity = fingerprint([identity, shapes, frozen_hash(self.module), settings, self.batches.fingerprint])
        plan = _read_plan(self.work)
        if plan is not None and plan.identity == identity and self.checkpoint.exists():
            self.plan = plan
            torch.set_num_threads(plan.machine.threads)
            self.position = load_checkpoint(self.checkpoint, self.module, self.optimizer)
            self.metrics.keep(lambda record: record["step"] <= self.position.step)
            report.plan(f"{title}: going on from step {self.position.step} of {plan.steps}, {plan.machine.text()}")
            return
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(parents=True, exist_ok=True)
        self.plan = self._make_plan(identity)
        _seed(self.settings.seed)
        self._save()
        write_json(self.work / "plan.json", {**vars(self.plan), "machine": vars(self.plan.machine)})
        report.plan(f"{title}: {self._plan_text()}")

    def to_end(self, stop: threading.Event, bar: Bar) -> None:
        """Take the steps that are left, with an evaluation or a checkpoint where one is due."""
        self.module.train()
        due, seconds = time.perf_counter(), 0.0
        while self.position.step < self.plan.steps:
            values = self._step()
            if self.position.step in self._evaluation_steps():
                values |= self._evaluate()
            now = time.perf_counter()
            if stop.is_set() or now - due >= max(self.settings.checkpoint_seconds, 50 * seconds):
                self._save()
                release_memory()
                due = time.perf_counter()
                seconds = due - now
            bar.advance(1, **values)
            if stop.is_set():
                where = f"step {self.position.step} of {self.plan.steps}"
                raise Interrupted(f"interrupted at {where}", hint="the same command goes on from there")
        self._save()

    def result(self) -> TrainResult:
        """Return what came of it, the module holding the best weights."""
        if self.position.best_step:
            file = self._best_file(self.position.best_step)
            restore_weights(self.module, load_file(file), file)
        self.module.eval()
        records = self.metrics.read()
        return TrainResult(
            steps=self.position.step,
            tokens=self.position.tokens,
            seconds=self.position.seconds,
            best_step=self.position.best_step,
            best_score=self.position.best_score,
            curves={"train": _thinned(records), "valid": [[r["step"], r["score"]] for r in records if "score" in r]},
            plan=self.plan,
        )

    def _step(self) -> dict[str, float]:
        step, start = self.position.step, time.perf_counter()
        batches = self.batches.at(step)
        loss, length = self._take(batches, step)
        tokens = sum(batch.tokens for batch in batches)
        seconds = time.perf_counter() - start
        self.position = replace(
            self.position, step=step + 1, tokens=self.position.tokens + tokens, seconds=self.position.seconds + seconds
        )
        self.metrics.write(
            step=step + 1, loss=loss, gradient=length, rate=self._rate(step), tokens=self.position.tokens
        )
        return {"loss": loss, "tokens/s": self.position.tokens / self.position.seconds}

    def _take(self, batches: Any, step: int) -> tuple[float, float]:
        """Learn from the batches of one step; return mean loss and the gradient's length."""
        loss_sum, weight_sum = 0.0, 0.0
        for batch in batches:
            with torch.autocast("cpu", torch.bfloat16, enabled=self.plan.machine.number_type == "bf16"):
                loss, weight = self.objective(self.module, batch)
            loss.backward()
            loss_sum, weight_sum = loss_sum + loss.item(), weight_sum + float(weight)
        weight_sum = weight_sum or 1.0
        length = settle_gradients(self.optimizer, weight_sum, self.settings.optimizer.clip)
        if not math.isfinite(loss_sum) or not math.isfinite(length):
            rows = [row for batch in batches for row in batch.rows]
            what = "loss" if not math.isfinite(loss_sum) else "gradient"
            raise UserError(
                f"the {what} is not a finite number at step {step + 1}, rows {', '.join(map(str, rows[:8]))}"
                + (f" and {len(rows) - 8} more" if len(rows) > 8 else ""),
                found=loss_sum / weight_sum if what == "loss" else length,
                hint="look at those rows, or lower the learning rate",
            )
        set_rate(self.optimizer, self._rate(step))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.after_step is not None:
            self.after_step(step + 1, self.plan.steps)
        return loss_sum / weight_sum, length

    def _evaluate(self) -> dict[str, float]:
        assert self.evaluator is not None
        step = self.position.step
        evaluation = _judge(self.evaluator, self.module)
        self.metrics.write(step=step, score=evaluation.score, **evaluation.values)
        best = self.position.best_score
        if best is None or evaluation.score > best:
            save_tensors(self._best_file(step), learned(self.module), {})
            old = self.position.best_step
            self.position = replace(self.position, best_step=step, best_score=evaluation.score)
            self._save()
            if old:
                self._best_file(old).unlink(missing_ok=True)
        return dict(evaluation.values)

    def _make_plan(self, identity: str) -> Plan:
        machine = measure(self.settings.number_type)
        if self.settings.steps is not None:
            return Plan(identity, self.settings.steps, machine, 0.0)
        self.plan = Plan(identity, 1_000_000, machine, 0.0)
        steps, speed = self._calibrate()
        return Plan(identity, steps, machine, speed)

    def _calibrate(self) -> tuple[int, float]:
        """Return how many steps fit the time budget, and the speed; leave module and optimiser as they were."""
        start = time.perf_counter()
        before = {name: tensor.clone() for name, tensor in learned(self.module).items()}
        self.module.train()
        self._take(self.batches.at(0), 0)
        speeds: list[float] = []
        # At least 3 steps, then up to 5 s or 5 % of the budget: enough to see the speed, little enough to spare.
        while len(speeds) < 3 or time.perf_counter() - start < min(5.0, 0.05 * self.settings.seconds):
            batches, began = self.batches.at(len(speeds) + 1), time.perf_counter()
            self._take(batches, len(speeds) + 1)
            speeds.append(sum(batch.tokens for batch in batches) / (time.perf_counter() - began))
        began, evaluation = time.perf_counter(), 0.0
        if self.evaluator is not None:
            _judge(self.evaluator, self.module)
            evaluation = time.perf_counter() - began
        restore_weights(self.module, before, self.work)
        self.optimizer = make_optimizer(self.module, self.settings.optimizer)
        spent = time.perf_counter() - start
        # At least half the budget is for learning, whatever measuring and judging took while the machine was busy elsewhere.
        left = max(self.settings.seconds / 2, self.settings.seconds - spent - self.settings.evaluations * evaluation)
        speed = float(np.median(speeds))
        return max(1, int(left * speed / self.batches.tokens_per_step)), speed

    def _plan_text(self) -> str:
        plan, tokens = self.plan, self.plan.steps * self.batches.tokens_per_step
        parameters = sum(p.numel() for group in self.optimizer.param_groups for p in group["params"])
        speed = plan.measured_tokens_per_second
        minutes = f", about {tokens / speed / 60:.1f} min at {speed:,.0f} tokens/s" if speed else ""
        return (
            f"{plan.steps:,} steps of about {self.batches.tokens_per_step:,.0f} tokens, {parameters / 1e6:.1f} M parameters"
            f"{minutes}, {plan.machine.text()}"
        )

    def _rate(self, step: int) -> float:
        return rate(step, self.plan.steps, self.settings.optimizer)

    def _evaluation_steps(self) -> set[int]:
        if self.evaluator is None:
            return set()
        count = min(self.settings.evaluations, self.plan.steps)
        return {round(self.plan.steps * (number + 1) / count) for number in range(count)}

    def _best_file(self, step: int) -> Path:
        return self.work / f"best-{step}.safetensors"

    def _save(self) -> None:
        save_checkpoint(self.checkpoint, self.module, self.optimizer, self.position)


def _judge(evaluator: Evaluator, module: nn.Module) -> Evaluation:
    state = torch.get_rng_state(), np.random.get_state(), random.getstate()
    module.eval()
    try:
        with torch.no_grad():
            return evaluator(module)
    finally:
        module.train()
        torch.set_rng_state(state[0])
        np.random.set_state(state[1])
        random.setstate(state[2])


def _seed(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def _read_plan(work: Path) -> Plan | None:
    try:
        raw = json.loads((work / "plan.json").read_text(encoding="utf-8"))
        return Plan(**{**raw, "machine": Machine(**raw["machine"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _thinned(records: list[dict[str, Any]], points: int = 200) -> list[list[float]]:
    """Return [step, mean loss] for at most `points` stretches of steps."""
    losses = [(record["step"], record["loss"]) for record in records if "loss" in record and "rate" in record]
    size = max(1, math.ceil(len(losses) / points))
    parts = [losses[start : start + size] for start in range(0, len(losses), size)]
    return [[part[-1][0], sum(loss for _, loss in part) / len(part)] for part in parts]


@contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """Turn SIGINT and SIGTERM into a wish that is heard between steps; a second one stops at once."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def ask(number: int, frame: object) -> None:
        stop.set()
        for each in numbers:
            signal.signal(each, before[each])

    for number in numbers:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number in numbers:
            signal.signal(number, before[number])
