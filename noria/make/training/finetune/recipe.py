"""Labelled rows and a pretrained model -> a model folder that does the task.

    folder = finetune(task_for("classify"), base, train, valid, out, FinetuneSettings(minutes=5), report, test=test)

On a processor, speed is accuracy: what a time budget buys is rows seen. So text is batched by length, matrix products run
in bf16 where that is measured fast, dropout is off, and an encoder's forward and backward pass are written out by hand.
"""

from __future__ import annotations

import glob
import math
import shutil
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from statistics import fmean

import torch
from tokenizers import Tokenizer
from torch import nn

from noria.core.folder import new_folder
from noria.core.messages import message
from noria.core.progress import Report
from noria.core.settings import fingerprint
from noria.infer.device import place_of, placed
from noria.machine import computing, measure
from noria.make.evaluate.predict import answer_rows
from noria.make.training.loop.budget import FIGURES, Budget
from noria.make.training.loop.loop import Watcher
from noria.make.training.loop.plan import Plan
from noria.make.training.parallel import launch
from noria.make.training.parallel.processes import is_first_process
from noria.make.training.settings import FinetuneSettings, RowSettings
from noria.tasks.companion import add_companion
from noria.tasks.remembered import remembered as remembered_of
from noria.tasks.task import Task

from .assess import Held, assess_model, hold
from .begin import begin, first_file
from .causal import served_length
from .examples import Examples
from .fit import calibrated, fit
from .publish import facts_of, lineage, write_model
from .ready import read_again, ready
from .replay import remembered
from .rows import Sets

JUDGED_TOKENS = 100_000
"""Where steps are given valid rows judge the weights up to this many tokens; else as many as their share of the time allows."""
WRITTEN = 8
"""Rows that are answered to see how long writing takes."""
BASE = 0.1
"""Most of a time budget in which the base of a causal model answers the rows that judge it, before anything is learned."""
BEFORE = "the base, before tuning"
BYTES_A_SECOND = 200e6
"""At which a model folder is written at least."""


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
    """Fine-tune `base` on labelled rows and write a model folder; a killed run resumes where it was.

    Valid rows choose the weights and the temperature that calibrates confidences; test rows, where given, are only
    judged, beside the task's baseline. Without test rows the valid ones are judged so, and it is said that they flatter.

    Args:
        task: what the rows are for; without labels of its own it takes those of the training rows.
        base: folder of a pretrained model; None for rows of numbers, and for an encoder-decoder made from nothing.
        train_file, valid_file, test_file: rows (JSON Lines, CSV, TSV or Parquet); without a valid file a share of the
            training rows is set aside.
        out: the folder to write; the unfinished run lies beside it, in `.<out>.work`.
        settings: budget, rates and lengths.
        report: where plan, progress and result are reported.
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
    budget = Budget(None if settings.steps else 60 * settings.minutes)
    if launch.wanted(settings.parallel) and watch is None:
        arguments = (task, base, train_file, valid_file, out, settings)
        launch.run(finetune, arguments, {"test_file": test_file, "reading": reading}, settings.parallel.workers, report)
        return out
    work = out.with_name(f".{out.name}.work")
    begins = ready(task, base, (train_file, valid_file, test_file), work, settings, reading, report, budget)
    task, base, settings, sets = begins.task, begins.base, begins.settings, begins.sets
    module, tokenizer, training, valid = begins.module, begins.tokenizer, begins.training, begins.valid
    if settings.steps is not None:
        valid = valid.within(JUDGED_TOKENS)
    sources = [*lineage(base), *sets.sources]
    identity = fingerprint([[one.sha256 for one in sources], reading.model_dump(mode="json")])
    light = work.with_name(f".{out.name}.{identity[:16]}.companion")
    with budget.part("baselines"):
        held = _held(task, module, tokenizer, sets, training, valid, settings, budget, report, light)
    begun = begin(task, module, training, valid, work, settings, report, budget, identity=identity)
    result = fit(
        task,
        module,
        tokenizer,
        begun.training,
        valid,
        work,
        begun.settings,
        report,
        identity=identity,
        watch=watch,
        budget=budget,
        begun=begun,
    )
    if not is_first_process():
        return out
    valid, held = _chosen(result.plan, valid, held, bool(sets.test), report)
    number_type = result.plan.machine.number_type
    with computing(number_type), budget.part("figures"):
        task = calibrated(task, module, valid, held.companion if settings.companion else None, report)
        assessment, known = assess_model(
            task,
            module,
            tokenizer,
            sets.training,
            valid,
            held,
            (valid_file, test_file),
            settings.length,
            result,
            report,
        )
    epochs = result.tokens / sum(training.lengths)
    if begun.recipe:  # the head has learned from every row that was read
        epochs = max(epochs, 1.0) if begun.recipe.share >= 1 else begun.recipe.share
    facts = {**task.facts(), "max_length": served_length(task, module, settings.length), "epochs": epochs}
    if begun.recipe:
        facts["recipe"] = asdict(begun.recipe)
    facts |= remembered_of(sets.training, reading.columns)
    facts |= facts_of(base, module, result, assessment)
    facts["valid"] = [figure.as_dict() for figure in known]
    facts |= sets.seen.facts()
    with computing(number_type), budget.part("figures"):
        old = remembered(task, module, tokenizer, base, sets.old, settings, report)
    facts["forgetting"] = [figure.as_dict() for figure in old]
    with (
        budget.part("writing"),
        new_folder(out, kind="model", settings=settings.model_dump(mode="json"), sources=sources) as folder,
    ):
        folder.facts.update(facts)
        placed(module, torch.device("cpu"))
        add_companion(folder, task)
        write_model(folder, module, tokenizer, base)
    for leftover in work.parent.glob(f".{glob.escape(out.name)}.*.companion"):
        leftover.unlink()
    first_file(work).unlink(missing_ok=True)
    for leftover in (work, *(work.with_name(f".{out.name}.base{end}") for end in ("", ".work"))):
        shutil.rmtree(leftover, ignore_errors=True)
    report.note(message("make.time_taken", parts=budget.text()), **budget.facts())
    return out


def _held(
    task: Task,
    module: nn.Module,
    tokenizer: Tokenizer | None,
    sets: Sets,
    training: Examples,
    valid: Examples,
    settings: FinetuneSettings,
    budget: Budget,
    report: Report,
    light: Path,
) -> Held:
    """Return what will be judged after the last step, its baselines asked already; the budget keeps the time that it will take."""
    if not is_first_process():
        return Held([], {})
    budget.check()
    rows = sets.test or ([] if task.head == "seq2seq" else valid.rows)
    held = hold(task, training, rows, budget, report, light, wanted=settings.companion)
    if task.head == "causal":
        held = _beside_base(held, task, module, tokenizer, settings, budget, report, tested=bool(sets.test))
    budget.again = read_again(task, tested=bool(sets.test))
    budget.final_seconds += sum(one.numel() * one.element_size() for one in module.parameters()) / BYTES_A_SECOND
    if budget.seconds is None or not sets.test:
        return held
    if task.head != "seq2seq":
        characters = [sum(map(len, task.texts(row))) / 1.0 for row in (*sets.test, *valid.rows)]
        ratio = fmean(characters[: len(sets.test)]) / max(1.0, fmean(characters[len(sets.test) :]))
        budget.final_rows = len(held.rows) * (ratio or 1.0) + 2 * len(sets.old)
        return held
    start, tried = budget.clock(), held.some(WRITTEN).rows
    with computing(measure(settings.number_type, str(place_of(module))).number_type):
        answer_rows(task, module.eval(), tokenizer, tried, settings.length)
    row_seconds = (budget.clock() - start) / len(tried)
    held = _at_most(held, int(FIGURES * budget.seconds / row_seconds), report)
    budget.final_seconds += (row_seconds + budget.figure_seconds) * len(held.rows)
    return held


def _beside_base(
    held: Held,
    task: Task,
    module: nn.Module,
    tokenizer: Tokenizer | None,
    settings: FinetuneSettings,
    budget: Budget,
    report: Report,
    *,
    tested: bool,
) -> Held:
    """Return what is held with what the base answers, before anything is learned: the one to beat, where a share of the time allows."""
    answered = partial(answer_rows, task, module.eval(), tokenizer, max_length=settings.length)
    with computing(measure(settings.number_type).number_type), budget.part("baselines"):
        start, tried = budget.clock(), held.some(WRITTEN).rows
        answered(tried)
        most = len(held.rows)
        if budget.seconds is not None:
            most = int(BASE * budget.seconds * len(tried) / (budget.clock() - start))
        if most < len(held.rows) and not tested:
            return held  # the rows that judge the weights are all wanted
        held = _at_most(held, most, report)
        return replace(held, others={BEFORE: answered(held.rows), **held.others})


def _chosen(plan: Plan, valid: Examples, held: Held, tested: bool, report: Report) -> tuple[Examples, Held]:
    """Return the valid rows that judged, and what is judged now: both as the plan has it."""
    whole = len(valid.rows)
    valid = valid.some(plan.judged_rows or whole)
    if len(valid.rows) < whole:
        report.note(message("make.judged_fewer", judged=len(valid.rows), rows=whole), judged=len(valid.rows))
    if not tested:
        return valid, held.some(len(valid.rows))
    return valid, _at_most(held, math.ceil(plan.final_share * len(held.rows)), report)


def _at_most(held: Held, most: int, report: Report) -> Held:
    """Return so many rows at most, at least one, and say so where some are left out."""
    found = held.some(max(1, most))
    if len(found.rows) < len(held.rows):
        report.note(message("make.tested_fewer", judged=len(found.rows), rows=len(held.rows)), judged=len(found.rows))
    return found
