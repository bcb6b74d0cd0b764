"""Examples and a prepared module -> the module trained, with the weights that judge valid rows best."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import nn

from noria.core.progress import Report
from noria.core.settings import fingerprint
from noria.infer.device import place_of
from noria.machine import computing, measure
from noria.make.evaluate.calibration import fit_least, fit_outside_penalty, fit_temperature
from noria.make.evaluate.predict import answer_rows, answers, joined, predict
from noria.make.models.adapt import after_step
from noria.make.tokens.batches import BatchSource, Buckets, Joined, Parted, length_buckets
from noria.make.training.loop.budget import Budget, Timed, fit_plan
from noria.make.training.loop.loop import Watcher, train
from noria.make.training.loop.plan import Plan, read_plan
from noria.make.training.loop.result import Evaluation, TrainResult
from noria.make.training.parallel.processes import world_size
from noria.make.training.settings import FinetuneSettings, OptimizerSettings, TrainSettings
from noria.tasks.classify import Classify
from noria.tasks.padding import Padding, padding_of
from noria.tasks.tag import Tag
from noria.tasks.task import Task

from . import frozen_states
from .augment import augmented_row, check_augmentations
from .begin import Begun
from .causal import PASS
from .examples import Augmented, Examples
from .frozen_states import KeptStates
from .fuse import Light, joined_with
from .heads import HeadTraining, Loss, mean_loss, objective_of, training_of_head


def fit(
    task: Task,
    module: nn.Module,
    tokenizer: Tokenizer | None,
    training: Examples,
    valid: Examples | None,
    work: Path,
    settings: FinetuneSettings,
    report: Report,
    *,
    identity: str = "",
    watch: Watcher | None = None,
    budget: Budget | None = None,
    begun: Begun | None = None,
) -> TrainResult:
    """Train a prepared module in place; where there are valid rows it ends with the weights that judge them best.

    Args:
        task: what the rows are for.
        module, tokenizer: from `prepare_model`.
        training: rows to learn from.
        valid: rows that choose the weights.
        work: folder of the unfinished run.
        settings: budget and rates.
        report: where plan and progress are reported.
        identity: hash of what the run depends on beside the settings.
        watch: called with the number of every evaluation and what it found.
        budget: of all that the run is part of; one of `settings.minutes` that begins now where None.
        begun: what the run began with, where a first head was fitted.
    """
    padding, budget = padding_of(module.config), budget or Budget(None if settings.steps else 60 * settings.minutes)
    head = _head_training(task, training, settings)
    kept_valid = begun.kept_valid if begun else None
    judge = Judge(task, tokenizer, head, valid, padding, settings, kept_valid) if valid else None
    if begun and begun.recipe and judge:
        budget.row_seconds = begun.row_seconds
        if not begun.recipe.learning:
            return _without_steps(module, judge, training, begun.recipe.share, settings, budget)
    source, objective, pace = fitting(task, module, tokenizer, training, work, settings, identity=identity, begun=begun)
    return train(
        module,
        source,
        objective,
        pace,
        work,
        report,
        judge,
        title=f"fine-tune {work.name.strip('.').removesuffix('.work')}",
        identity=fingerprint([identity, settings.model_dump(mode="json", exclude={"trackers", "parallel", "device"})]),
        after_step=after_step(module),
        watch=watch,
        budget=budget,
    )


def fitting(
    task: Task,
    module: nn.Module,
    tokenizer: Tokenizer | None,
    training: Examples,
    work: Path,
    settings: FinetuneSettings,
    *,
    identity: str = "",
    begun: Begun | None = None,
) -> tuple[BatchSource, Loss, TrainSettings]:
    """Return what the loop trains a prepared module by: batches, objective and pace. Arguments as for `fit`."""
    regular = settings.regular
    check_augmentations(regular.augment)
    head, padding = _head_training(task, training, settings), padding_of(module.config)
    number_type = settings.number_type
    if settings.body.frozen and number_type == "auto" and world_size() == 1:
        # Kept states share it, and a run that goes on upon a busy machine must not choose another.
        plan = read_plan(work)
        number_type = (plan.machine if plan else measure(device=str(place_of(module)))).number_type
    collate = (begun.kept if begun else None) or frozen_states.with_frozen_states(
        partial(head.collate, training, padding),
        task,
        module,
        training,
        settings,
        work.parent,
        bf16=number_type == "bf16",
    )
    batches = Buckets(
        training.lengths, collate, tokens_per_batch=settings.tokens_per_batch, seed=settings.seed, identity=identity
    )
    pace = TrainSettings(
        seed=settings.seed,
        steps=settings.steps,
        seconds=settings.minutes * 60,
        optimizer=optimizer_of(task, settings),
        number_type=number_type,
        evaluations=settings.evaluations,
        judge_first=begun is not None and begun.recipe is not None,
        patience=regular.patience,
        # What a first head had is kept, whatever the steps do to it.
        stop_diverging=begun is None or begun.recipe is None,
        trackers=settings.trackers,
        parallel=settings.parallel,
    )
    source: BatchSource = batches
    if regular.augment:
        source = Augmented(
            batches,
            training,
            lambda row, number, epoch: augmented_row(
                row, regular.augment, seed=settings.seed, number=number, epoch=epoch
            ),
            lambda rows: Examples.of(task, tokenizer, rows, settings.length),
            lambda predicted, numbers: head.collate(predicted, padding, numbers),
        )
    if task.head == "causal":
        source = Parted(source, PASS)
    if settings.accumulate > 1:
        source = Joined(source, settings.accumulate)
    return source, objective_of(head, len(training.features) / batches.steps_per_epoch), pace


def _without_steps(
    module: nn.Module, judge: Judge, training: Examples, share: float, settings: FinetuneSettings, budget: Budget
) -> TrainResult:
    """Return what came of a run whose first head is its last: judged once, no step taken."""
    machine = measure(settings.number_type, str(place_of(module)))
    timed = Timed(1e15, budget.row_seconds, judge.rows)  # no step is taken, and that takes no time
    plan = fit_plan(Plan("", 0, machine, 0.0), budget, timed, 1, 1.0) if budget.seconds else Plan("", 0, machine, 0.0)
    with computing(machine.number_type), torch.no_grad(), budget.part("judging"):
        # Judged once, nothing is asked for twice.
        found = replace(judge.of(plan.judged_rows or judge.rows), kept=None)(module.eval())
    return TrainResult(
        steps=0,
        tokens=int(share * sum(training.lengths)),
        seconds=budget.parts.get("the first head", 0.0),
        saving_seconds=0.0,
        best_step=0,
        best_score=found.score,
        curves={"train": [], "valid": [[0, found.score]]},
        plan=replace(plan, steps=0, measured_tokens_per_second=0.0),
    )


def _head_training(task: Task, training: Examples, settings: FinetuneSettings) -> HeadTraining:
    return training_of_head(task, training, smoothing=settings.regular.smoothing, balance=settings.regular.balance)


def optimizer_of(task: Task, settings: FinetuneSettings) -> OptimizerSettings:
    """Return the optimiser's settings. Adapters learn at ten times the rate that suits weights; the head does not.

    Those of a decoder learn alike in all layers. SmolLM2 after 19,000 tokens of translations, at 0.9 a layer: 1.92 bits per byte of rows set
    aside [1.81, 2.03]; at 1: 1.75 [1.63, 1.86]; before 2.51.
    """
    rates, adapted = settings.rates, settings.adapter.kind != "none"
    decay = rates.layer_decay or (1.0 if adapted and task.head == "causal" else 0.9)
    head = rates.head_rate or 5.0
    if adapted:
        head /= 10
    given = {**rates.model_dump(), "layer_decay": decay, "head_rate": head}
    return OptimizerSettings(learning_rate=rate_of(task, settings), **given)


def rate_of(task: Task, settings: FinetuneSettings) -> float:
    """Return the highest learning rate: the one asked for, or one that suits what learns."""
    if settings.learning_rate is not None:
        return settings.learning_rate
    return 1e-3 if settings.adapter.kind != "none" or task.head == "vector" else 1e-4


@dataclass(frozen=True)
class Judge:
    """Judges the weights by valid rows, as many of them as it is told."""

    task: Task
    tokenizer: Tokenizer | None
    head: HeadTraining
    valid: Examples
    padding: Padding
    settings: FinetuneSettings
    kept: KeptStates | None = None
    """States of the windows below what learns, so that judging costs only what is above."""

    @property
    def rows(self) -> int:
        """Return how many rows judge."""
        return len(self.valid.rows)

    def of(self, rows: int) -> Judge:
        """Return what judges by so many of the rows, evenly over all."""
        if rows >= self.rows:
            return self
        some = self.valid.some(rows)
        return replace(self, valid=some, kept=self.kept and self.kept.only(some))

    def __call__(self, module: nn.Module) -> Evaluation:
        """Return what the rows say."""
        task, valid = self.task, self.valid
        if self.head.by_loss:
            size = self.settings.tokens_per_batch
            size = min(size, PASS) if task.head == "causal" else size
            buckets = length_buckets(valid.lengths, size, seed=0, epoch=0)
            loss, _ = mean_loss(self.head, module, valid, self.padding, buckets)
            return Evaluation(-loss, {"valid loss": loss})
        if self.kept is not None:
            predicted = joined(task, answers(task, valid.features, self.kept.outputs(module, valid)), valid.owners)
        else:
            predicted = answer_rows(task, module, self.tokenizer, valid.rows, self.settings.length, windows=valid)
        measures = task.measures(valid.rows, predicted)
        return Evaluation(next(iter(measures.values())), measures)


def calibrated(task: Task, module: nn.Module, valid: Examples, companion: Light | None, report: Report) -> Task:
    """Return the task with what valid rows say of it: where its head has classes, the temperature that makes confidences
    true; where it finds spans or several labels, how much bolder than the likeliest it should be; where a companion makes it
    better, that.
    """
    if task.head not in ("sequence", "token", "vector"):
        return task
    logits = predict(module, valid.features)
    task = replace(task, temperature=fit_temperature(logits, valid.targets))
    if isinstance(task, Tag):
        penalty = fit_outside_penalty(task, valid.rows, valid.features, valid.owners, logits)
        task = replace(task, outside_penalty=penalty)
    task = task if companion is None else joined_with(companion, task, valid, logits, report)
    if isinstance(task, Classify) and task.many:
        task = replace(task, least=fit_least(task, valid.rows, valid.features, logits))
    return task
