"""Labelled rows and a pretrained model -> a model folder that does the task.

    folder = finetune(task_for("classify"), base, train, valid, out, FinetuneSettings(minutes=5), report, test=test)

On a processor, speed is accuracy: what a time budget buys is rows seen. So text is batched by length, matrix products run
in bf16 where that is measured fast, dropout is off, and an encoder's forward and backward pass are written out by hand.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn

from noria.build.evaluate.calibration import fit_temperature
from noria.build.evaluate.card import assess
from noria.build.evaluate.predict import predict, tell
from noria.build.model.adapt import after_step
from noria.build.tokens.batches import BatchSource, Buckets, Joined, length_buckets
from noria.core.folder import new_folder
from noria.core.progress import Report
from noria.core.settings import fingerprint
from noria.tasks.task import Task

from . import launch, lower
from .augment import augmented_row, check_augmentations
from .examples import Augmented, Examples
from .heads import Way, mean_loss, objective_of, way_of
from .loop import Evaluation, Evaluator, TrainResult, Watcher, train
from .parallel import first_process
from .prepare import prepared
from .publish import lineage, told_of, write_model
from .replay import remembered
from .rows import read_sets, tell_cut
from .scratch import made_from_nothing
from .settings import FinetuneSettings, OptimizerSettings, RowSettings, TrainSettings

JUDGED_TOKENS = 100_000
"""Valid rows judge the weights up to this many tokens: enough to choose by, and a few seconds each time."""


def finetune(
    task: Task,
    base: Path | None,
    train_file: Path,
    valid_file: Path | None,
    out: Path,
    settings: FinetuneSettings,
    report: Report,
    *,
    test_file: Path | None = None,
    reading: RowSettings | None = None,
    watch: Watcher | None = None,
) -> Path:
    """Fine-tune `base` on labelled rows and write a model folder; a killed run goes on where it was.

    Valid rows choose the weights and the temperature that calibrates confidences; test rows, where given, are only
    judged, beside the task's baseline.

    Args:
        task: what the rows are for; without labels of its own it takes those of the training rows.
        base: folder of a pretrained model; None for rows of numbers, and for an encoder-decoder made from nothing.
        train_file, valid_file, test_file: rows (JSON Lines, CSV, TSV or Parquet); without a valid file a share of the
            training rows is set aside.
        out: the folder to write; the unfinished run lies beside it, in `.<out>.work`.
        settings: budget, rates and lengths.
        report: where plan, progress and result are told.
        reading: columns, bad rows, and the share set aside.
        watch: called with the number of every evaluation of the valid rows and what it found; what it raises ends the run.
            Where it is given no processes are started: it could not be called from another one.

    Raises:
        RowError, InputError: a file of rows cannot be used.
        FolderError: `base` is no usable model.
        SettingError: the task cannot be fine-tuned this way, or `max_length` is beyond the model's.
        Interrupted: stopped by a signal; the same call goes on.
    """
    reading = reading or RowSettings()
    if launch.wanted(settings.parallel) and watch is None:
        arguments = (task, base, train_file, valid_file, out, settings)
        launch.run(finetune, arguments, {"test_file": test_file, "reading": reading}, settings.parallel.workers, report)
        return out
    task, sets = read_sets(task, train_file, valid_file, test_file, reading, seed=settings.seed, report=report)
    work = out.with_name(f".{out.name}.work")
    if base is None and task.head == "seq2seq":
        base = made_from_nothing(sets.training, settings, work.with_name(f".{out.name}.base"), report)
    module, tokenizer = prepared(task, base, settings, sets.training)
    if base is not None and tokenizer is not None:
        task = task.based_on(base, tokenizer)
    training = Examples.of(task, tokenizer, sets.training, settings.max_length)
    tell_cut(training.features, settings.max_length, report)
    valid = Examples.of(task, tokenizer, sets.valid, settings.max_length).some(JUDGED_TOKENS)
    sources = [*lineage(base), *sets.sources]
    identity = fingerprint([[one.sha256 for one in sources], reading.model_dump(mode="json")])
    result = fit(task, module, tokenizer, training, valid, work, settings, report, identity=identity, watch=watch)
    if not first_process():
        return out
    bf16 = result.plan.machine.number_type == "bf16"
    task = calibrated(task, module, valid, bf16=bf16)
    assessment = None
    if test_file:
        told = tell(task, module, tokenizer, sets.test, settings.max_length, bf16=bf16)
        assessment = assess(
            task, sets.training, sets.test, told, source=f"{test_file.parent.name}/{test_file.name}", report=report
        )
    facts = {**task.facts(), "max_length": settings.max_length, "epochs": result.tokens / sum(training.lengths)}
    facts |= told_of(base, module, result, assessment)
    old = remembered(task, module, tokenizer, base, sets, settings, report, bf16=bf16)
    facts["forgetting"] = [figure.as_dict() for figure in old]
    with new_folder(out, kind="model", settings=settings.model_dump(mode="json"), sources=sources) as folder:
        folder.facts.update(facts)
        write_model(folder, module, tokenizer, base)
    for leftover in (work, work.with_name(f".{out.name}.base")):
        shutil.rmtree(leftover, ignore_errors=True)
    return out


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
) -> TrainResult:
    """Train a prepared module in place; where there are valid rows it ends with the weights that judge them best.

    Args:
        task: what the rows are for.
        module, tokenizer: from `prepared`.
        training: rows to learn from.
        valid: rows that choose the weights.
        work: folder of the unfinished run.
        settings: budget and rates.
        report: where plan and progress are told.
        identity: hash of what the run depends on beside the settings.
        watch: called with the number of every evaluation and what it found.
    """
    regular = settings.regular
    check_augmentations(regular.augment)
    way = way_of(task, training, smoothing=regular.smoothing, balance=regular.balance)
    pad = pad_of(module)
    collate = partial(way.collate, training, pad)
    batches = Buckets(
        training.lengths, lower.cheaper(collate, task, module, training, settings, work.parent, report, pad=pad),
        tokens_per_batch=settings.tokens_per_batch, seed=settings.seed, identity=identity,
    )  # fmt: skip
    optimizer = OptimizerSettings(learning_rate=rate_of(task, settings), **settings.rates.model_dump())
    pace = TrainSettings(
        seed=settings.seed, steps=settings.steps, seconds=settings.minutes * 60, optimizer=optimizer,
        number_type=settings.number_type, evaluations=settings.evaluations, patience=regular.patience,
        trackers=settings.trackers, parallel=settings.parallel,
    )  # fmt: skip
    source: BatchSource = batches
    if regular.augment:
        source = Augmented(
            batches, training,
            lambda row, number, epoch: augmented_row(row, regular.augment, seed=settings.seed, number=number, epoch=epoch),
            lambda rows: Examples.of(task, tokenizer, rows, settings.max_length),
            lambda said, numbers: way.collate(said, pad, numbers),
        )  # fmt: skip
    if settings.accumulate > 1:
        source = Joined(source, settings.accumulate)
    return train(
        module, source, objective_of(way, len(training.features) / batches.steps_per_epoch), pace, work, report,
        _judge_of(task, way, tokenizer, valid, pad, settings) if valid else None,
        title=f"fine-tune {work.name.strip('.').removesuffix('.work')}",
        identity=fingerprint([identity, settings.model_dump(mode="json", exclude={"trackers", "parallel"})]),
        after_step=after_step(module), watch=watch,
    )  # fmt: skip


def rate_of(task: Task, settings: FinetuneSettings) -> float:
    """Return the highest learning rate: the one asked for, or one that suits what learns."""
    if settings.learning_rate is not None:
        return settings.learning_rate
    return 1e-3 if settings.adapter.kind != "none" or task.head in ("vector", "seq2seq") else 1e-4


def _judge_of(
    task: Task, way: Way, tokenizer: Tokenizer | None, valid: Examples, pad: int, settings: FinetuneSettings
) -> Evaluator:
    # bf16 answers are as good for choosing among weights, and twice as fast where the machine has it.
    bf16 = settings.number_type != "fp32"
    buckets = length_buckets(valid.lengths, settings.tokens_per_batch, seed=0, epoch=0)

    def judge(module: nn.Module) -> Evaluation:
        if way.by_loss:
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                loss, _ = mean_loss(way, module, valid, pad, buckets)
            return Evaluation(-loss, {"valid loss": loss})
        said = tell(task, module, tokenizer, valid.rows, settings.max_length, bf16=bf16, windows=valid)
        measures = task.measures(valid.rows, said)
        return Evaluation(next(iter(measures.values())), measures)

    return judge


def calibrated(task: Task, module: nn.Module, valid: Examples, *, bf16: bool) -> Task:
    """Return the task with the temperature that makes its confidences true on valid rows, where its head has classes."""
    if task.head not in ("sequence", "token", "vector") or any(isinstance(one, float) for one in _first(valid)):
        return task
    logits = predict(module, valid.features, bf16=bf16, pad=pad_of(module))
    return replace(task, temperature=fit_temperature(logits, valid.targets))


def _first(valid: Examples) -> list[Any]:
    target = valid.targets[0]
    return target if isinstance(target, list) else [target]


def pad_of(module: nn.Module) -> int:
    """Return the id that fills short texts up."""
    return getattr(getattr(module, "config", None), "pad_token_id", None) or 0
