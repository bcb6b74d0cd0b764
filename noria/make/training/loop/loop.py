"""The only training loop.

    batches = Buckets(lengths, collate, tokens_per_batch=4096, seed=0)         # order fixed, any step can be asked for
    result = train(module, batches, objectives.causal, TrainSettings(seconds=300), work, report, evaluator)
    result.steps, result.curves, result.best_score                             # the module now holds the best weights

It knows nothing of texts, tasks or models, and is given:
- `module`: any torch module; it is trained in place, and ends with the weights of the best evaluation (the last weights
  where there is no evaluator). Make it under a fixed seed: a run killed before its first checkpoint begins anew with it.
- `batches`: a `noria.make.tokens.batches.BatchSource`: `at(step)` gives the step's batches, accumulated by their weight.
- `objective(module, batch) -> (loss sum, weight)`: a scalar tensor, summed over scored targets, and how many there were.
- `evaluator(module) -> Evaluation`: called in evaluation mode without gradients, in the plan's number type; the random state is kept apart.
- `work`: a folder for plan, checkpoint and metrics, kept between runs. The caller removes it when its result is written.

Steps, number type and threads are fixed in `work/plan.json` before the first step; where a time budget is kept, another number of
steps is written there before it is used. A run that is killed at any point and started again with the same arguments goes on
from `work/checkpoint.safetensors` and ends with the same weights and the same `work/metrics.jsonl`, bit for bit, as a run
never killed that has the same plan. SIGINT and SIGTERM break the step off and write a checkpoint.
A run ends early where patience is over, and with an error where memory, numbers or the learning rate will not do.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from noria.core.errors import Interrupted, plain_errors
from noria.core.memory import release_memory
from noria.core.messages import message
from noria.core.progress import Bar, MetricsLog, Report
from noria.core.settings import fingerprint
from noria.make.tokens.batches import BatchSource
from noria.make.training.parallel.processes import local_processes, world_size
from noria.make.training.parallel.single import Objective
from noria.make.training.settings import TrainSettings

from .budget import Budget, Pace, shares_text
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
from .memory import Need, check, free
from .plan import Plan, epochs_text, read_plan, write_plan
from .planning import make_plan
from .result import Evaluation, TrainResult, thinned
from .rng_state import RngState, seed_all
from .step import AfterStep, Stepper
from .stop import Divergence, StopNow, StopRequests, not_finite
from .trackers import Trackers

Evaluator = Callable[[nn.Module], Evaluation]
"""Where it also has `rows` and `of(rows)`, which gives one of so many of them, a budget decides how many judge."""
Watcher = Callable[[int, Evaluation], None]
_CHANGE_NOTHING = {"checkpoint_seconds", "checkpoint_share", "trackers", "memory_gb", "parallel"}
"""Settings that a run may go on with when they have changed."""


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
    watch: Watcher | None = None,
    tracking: Path | None = None,
    budget: Budget | None = None,
) -> TrainResult:
    """Train the module in place; resume whatever `work` holds of the same run.

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
        after_step: called after every optimiser step, its gradients still there, with the steps done and the steps of the
            plan; what it changes must be parameters that learn or persistent buffers, which a checkpoint holds.
        watch: called after every evaluation with its number, from 1, and what it found; what it raises ends the run.
        tracking: where trackers write; beside `work` where None.
        budget: of all that the run is part of; one of `settings.seconds` that begins now where None.

    Raises:
        UserError: loss or gradient is no longer a finite number (names step and rows), or the loss ran away.
        SettingError: a tracker was asked for that is not installed.
        ResourceError: memory would not suffice, told before the start; or the disk is full, and the last checkpoint stays.
        Interrupted: SIGINT or SIGTERM; a checkpoint was written.
    """
    # Among several, a step that one of them broke off would leave the others waiting.
    stop = StopRequests(breaks=world_size() == 1)
    run = _Run(module, batches, objective, settings, work, evaluator, after_step, stop)
    run.watch, run.budget = watch, budget or Budget(None if settings.steps else settings.seconds)
    with stop.handling_signals():
        run.prepare(identity, report, title)
        with (
            report.bar(title, total=run.plan.steps, unit="step") as bar,
            run.trackers.following(tracking or work.parent / "tracking", title, run.plan.identity, run.position.step),
        ):
            bar.advance(run.position.step)
            run.to_end(bar, report, title)
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
        stop: StopRequests,
    ) -> None:
        self.module, self.batches = module, batches
        self.settings, self.work, self.evaluator = settings, work, evaluator
        self.stop = stop
        self.stepper = Stepper(module, batches, objective, settings, after_step)
        self.group = self.stepper.group
        self.checkpoint = work / "checkpoint.safetensors"
        self.metrics = MetricsLog(work / "metrics.jsonl")
        self.trackers = Trackers(settings.trackers)
        self.position = self.saved = Position()
        self.saving = 0.0
        self.watch: Watcher | None = None
        self.budget = Budget(None)
        self.pace, self.began = Pace(), 0.0

    @property
    def plan(self) -> Plan:
        """Return what is fixed before the first step."""
        return self.stepper.plan

    def prepare(self, identity: str, report: Report, title: str) -> None:
        """Find the plan and checkpoint of the same run, or make them."""
        shapes = {name: list(tensor.shape) for name, tensor in weights(self.module).items()}
        settings = self.settings.model_dump(mode="json", exclude=_CHANGE_NOTHING)
        identity = fingerprint([identity, shapes, frozen_hash(self.module), settings, self.batches.fingerprint])
        plan = self.group.on_main(lambda: read_plan(self.work))
        seed_all(self.settings.seed)
        if plan is not None and plan.identity == identity:
            check(Need(plan.memory_bytes, 0, margin=1), self._memory(), title)
            self.stepper.plan = plan
            if plan.machine.workers == self.group.workers:
                torch.set_num_threads(plan.machine.threads)
            # A run killed before its first checkpoint begins its steps anew, with the module as it was handed in.
            if self.group.on_main(self.checkpoint.exists):
                self.position, optimizer_states = load_checkpoint(self.checkpoint, self.module)
                self.group.scatter_weights()
                self.group.restore(self.stepper.optimizer, optimizer_states)
            # What the kill lost, and what starting anew took, a run never killed would not have spent.
            self.began = self.budget.clock() - (self.position.elapsed or self.budget.spent())
            if self.group.is_main:
                self.metrics.keep(self._still_holds)
            epochs = epochs_text(plan.steps, self.batches.steps_per_epoch)
            told = message(
                "work.going_on", step=self.position.step, steps=plan.steps, epochs=epochs, machine=plan.machine.text()
            )
            report.plan(message("work.named", name=title, text=told))
        else:
            if self.group.is_main:
                shutil.rmtree(self.work, ignore_errors=True)
                self.work.mkdir(parents=True, exist_ok=True)
            judging = (self.evaluator, self._judge if self.evaluator else None)
            made = make_plan(
                self.stepper, self.module, self.settings, self.budget, judging, self._memory(), title, self.stop
            )
            made = replace(made, identity=identity)
            self.stepper.plan = self.group.on_main(lambda: made)
            seed_all(self.settings.seed)
            if self.group.is_main:
                write_plan(self.work, self.plan)
            parameters = sum(p.numel() for p in self.module.parameters() if p.requires_grad)
            text = self.plan.text(self.batches.tokens_per_step, parameters, self.batches.steps_per_epoch)
            report.plan(message("work.named", name=title, text=text))
            if self.plan.seconds:
                report.note(shares_text(self.plan, self.settings.evaluations))
            self.began = self.budget.began
        if self.plan.judged_rows is not None:
            self.evaluator = self.evaluator.of(self.plan.judged_rows)  # type: ignore[union-attr]
        losses = self.group.on_main(lambda: [record["loss"] for record in self.metrics.read() if "rate" in record])
        self.divergence = Divergence(self.plan.first_steps, losses)

    def to_end(self, bar: Bar, report: Report, title: str) -> None:
        """Take the steps that are left, with an evaluation or a checkpoint where one is due."""
        self.group.learner.train()
        due, saving = time.perf_counter(), 0.0
        while True:
            if self.position.step in self._evaluation_steps() and self.position.judged < self.position.step:
                with self.budget.part("judging") as judged:
                    bar.advance(0, **self._evaluate())
                self.pace.judging = judged()
            if self.position.step >= self.plan.steps or self._patience_is_over():
                break
            with self.budget.part("training"):
                bar.advance(1, **self._step())
            self._revise(bar, report, title)
            pause = max(self.settings.checkpoint_seconds, saving / self.settings.checkpoint_share)
            late, asked = self.group.any(time.perf_counter() - due >= pause, self.stop.asked)
            if late or asked:
                saving = self._save()
                due = time.perf_counter()
            if asked:
                raise self._interrupted()
        if self.saved != self.position:
            self._save()

    def result(self) -> TrainResult:
        """Return what came of it, the module (of the first process) holding the best weights."""
        if self.position.best_score is not None and self.group.is_main:
            file = self._best_file(self.position.best_step)
            restore_weights(self.module, load_file(file), file)
        self.module.eval()
        records = self.metrics.read()
        return TrainResult(
            steps=self.position.step,
            tokens=self.position.tokens,
            seconds=self.position.seconds,
            saving_seconds=self.saving,
            best_step=self.position.best_step,
            best_score=self.position.best_score,
            curves={"train": thinned(records), "valid": [[r["step"], r["score"]] for r in records if "score" in r]},
            plan=self.plan,
            shared_seconds=self.group.seconds(),
        )

    def _revise(self, bar: Bar, report: Report, title: str) -> None:
        """Write a plan of more or fewer steps where the speed found calls for it, and use it from here on."""
        step, old = self.position.step, self.plan
        if not old.seconds:
            return
        coming = sum(one > step for one in self._evaluation_steps())
        elapsed, size = self.budget.clock() - self.began, self.batches.tokens_per_step
        plan = self.group.on_main(lambda: self.pace.revised(old, step, elapsed, coming, size))
        if plan == old:
            return
        if self.group.is_main:
            with plain_errors():
                write_plan(self.work, plan)
        self.stepper.plan, bar.total = plan, plan.steps
        report.note(
            message(
                "make.revised",
                title=title,
                step=step,
                found=plan.tokens_per_second,
                expected=old.tokens_per_second,
                steps=plan.steps,
                before=old.steps,
            ),
            steps=plan.steps,
        )

    def _step(self) -> dict[str, float]:
        """Take the next step; a signal breaks its passes off, and leaves the run as it was before."""
        step, start = self.position.step, self.budget.clock()
        rng_state, buffers = RngState.now(), [(buffer, buffer.clone()) for buffer in self.module.buffers()]
        try:
            with self.stop.interruptible():
                batches = self.stepper.shard.at(step)
                passed = self.stepper.passes(batches, step)
        except StopNow:
            self.stepper.optimizer.zero_grad(set_to_none=True)
            rng_state.restore()
            for buffer, before in buffers:
                buffer.copy_(before)
            self._save()
            raise self._interrupted() from None
        loss_sum, weight, tokens = self.group.all_reduce_sum(*passed, sum(batch.tokens for batch in batches))
        weight = weight or 1.0
        length = self.stepper.reduce_and_clip(weight)
        if error := not_finite(loss_sum, length, weight, step + 1, [row for batch in batches for row in batch.rows]):
            raise error
        self.stepper.learn(step)
        loss, now = loss_sum / weight, self.position
        self.pace.add(self.budget.clock() - start, tokens)
        self.position = replace(
            now,
            step=step + 1,
            tokens=now.tokens + int(tokens),
            seconds=now.seconds + self.budget.clock() - start,
        )
        self._record(
            step=step + 1, loss=loss, gradient=length, rate=self.stepper.rate(step), tokens=self.position.tokens
        )
        if self.divergence.add(loss) and self.settings.stop_diverging:
            best = f"; step {now.best_step} was best: {self._best_file(now.best_step)}" if now.best_step else ""
            raise self.divergence.error(step + 1, self.settings.optimizer.learning_rate, best)
        return {"loss": loss, "tokens/s": self.position.tokens / max(1e-9, self.position.seconds)}

    def _evaluate(self) -> dict[str, float]:
        step = self.position.step
        try:
            with self.stop.interruptible():
                self.group.gather_weights()
                evaluation = self.group.on_main(lambda: self._judge(self.evaluator))
        except StopNow:
            self._save()
            raise self._interrupted() from None
        self._record(step=step, score=evaluation.score, **evaluation.values)
        best = self.position.best_score
        self.position = replace(self.position, judged=step)
        if best is None or evaluation.score > best:
            start = time.perf_counter()
            if self.group.is_main:
                save_tensors(self._best_file(step), learned(self.module), {})
            self.position = replace(self.position, best_step=step, best_score=evaluation.score)
            self.saving += time.perf_counter() - start
        if self.watch is not None and step:
            self.watch(sorted(self._evaluation_steps() - {0}).index(step) + 1, evaluation)
        return dict(evaluation.values)

    def _judge(self, evaluator: Evaluator | None) -> Evaluation:
        assert evaluator is not None
        rng_state = RngState.now()
        self.module.eval()
        try:
            with torch.no_grad(), self.stepper.computing():
                return evaluator(self.module)
        finally:
            self.module.train()
            rng_state.restore()

    def _memory(self) -> int:
        limit = self.settings.memory_gb
        return free(self.group.place) // local_processes() if limit is None else int(limit * 1e9)

    def _evaluation_steps(self) -> set[int]:
        before = {0} if self.settings.judge_first else set()
        return before | set(self.plan.evaluation_steps(self.settings.evaluations)) if self.evaluator else set()

    def _patience_is_over(self) -> bool:
        """Tell whether enough evaluations since the best were no better."""
        since = sum(self.position.best_step < step <= self.position.judged for step in self._evaluation_steps())
        return self.settings.patience is not None and since >= self.settings.patience

    def _record(self, *, step: int, **values: float) -> None:
        if self.group.is_main:
            with plain_errors():
                self.metrics.write(step=step, **values)
            self.trackers.write(step, values)

    def _still_holds(self, record: Mapping[str, Any]) -> bool:
        """Tell whether a record is older than the checkpoint; those that came after will come again."""
        return bool(record["step"] <= (self.position.judged if "score" in record else self.position.step))

    def _best_file(self, step: int) -> Path:
        return self.work / f"best-{step}.safetensors"

    def _interrupted(self) -> Interrupted:
        where = f"step {self.position.step} of {self.plan.steps}"
        return Interrupted(f"interrupted at {where}", hint="the same command goes on from there")

    def _save(self) -> float:
        """Write a checkpoint, drop best weights that it no longer speaks of, and return the seconds it took."""
        start = time.perf_counter()
        self.position = replace(self.position, elapsed=self.budget.clock() - self.began)
        self.group.gather_weights()
        optimizer_states = self.group.optimizer_states(self.stepper.optimizer)
        if self.group.is_main:
            save_checkpoint(self.checkpoint, self.module, optimizer_states, self.position)
            for file in self.work.glob("best-*.safetensors"):
                if file != self._best_file(self.position.best_step):
                    file.unlink(missing_ok=True)
        release_memory()
        self.saved = self.position
        seconds = time.perf_counter() - start
        self.saving += seconds
        return seconds
