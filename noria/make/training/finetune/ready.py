"""What a run of fine-tuning is made from, before anything is measured: rows read and encoded, the module with its new head.

begins = ready(task, base, (train, valid, test), work, settings, reading, report, budget)
begins.module, begins.training, begins.valid
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from tokenizers import Tokenizer

from noria.core.folder import Source, is_up_to_date, new_folder
from noria.core.messages import message
from noria.core.progress import Report
from noria.core.settings import fingerprint
from noria.infer.device import chosen, placed
from noria.make.models.load import quiet_transformers
from noria.make.models.sizes import sequence_to_sequence
from noria.make.tokens.tokenizer import copy_tokenizer, load_tokenizer, train_tokenizer
from noria.make.training.loop.budget import Budget
from noria.make.training.parallel.processes import first_process_first
from noria.make.training.settings import FinetuneSettings, RowSettings
from noria.tasks.embed import Embed
from noria.tasks.task import Row, Task

from . import fewshot
from .causal import length_for, of_decoder, read_base
from .examples import Examples
from .prepare import prepare_model
from .rows import Sets, read_sets, report_truncated

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from noria.make.models.feedforward import FeedForward


@dataclass(frozen=True)
class Ready:
    """A run before anything is measured."""

    task: Task
    """With the labels of its rows."""
    base: Path | None
    """Also where it was made from nothing, or taught by pairs."""
    settings: FinetuneSettings
    """With what suits the base."""
    sets: Sets
    module: PreTrainedModel | FeedForward
    tokenizer: Tokenizer | None
    training: Examples
    valid: Examples


def ready(
    task: Task,
    base: Path | None,
    files: tuple[Path, Path | None, Path | None],
    work: Path,
    settings: FinetuneSettings,
    reading: RowSettings,
    report: Report,
    budget: Budget,
) -> Ready:
    """Read the rows, prepare the module, and encode the rows for it.

    Args:
        task, base, settings, reading, report: as of `recipe.finetune`.
        files: of training, valid and test rows.
        work: folder of the run; a base that is made lies beside it.
        budget: of the run, which all of it is part of.

    Raises:
        RowError, InputError, FolderError, SettingError: as of `recipe.finetune`.
    """
    if base is not None and task.head == "causal":
        # A row that the base's own template refuses is a bad row, with its file and line.
        task = read_base(task, base)
        settings = of_decoder(settings, base, report)
    if settings.recipe == "lora" and settings.adapter.kind == "none":
        settings = settings.replace(adapter={**settings.adapter.model_dump(), "kind": "lora"})
    with budget.part("reading"):
        task, sets = read_sets(task, *files, reading, seed=settings.seed, report=report)
    if base is not None and task.head == "causal" and settings.max_length is None:
        settings = settings.replace(max_length=length_for(task, base, [*sets.training, *sets.valid]))
    made = work.with_name(f"{work.name.removesuffix('.work')}.base")
    if base is None and task.head == "seq2seq":
        with first_process_first():
            base = build_from_scratch(sets.training, settings, made, report)
        settings = is_from_scratch(settings)
    elif base is not None and fewshot.wanted(task, settings):
        base = fewshot.contrast_first(task, base, sets.training, settings, made, report, budget)
        settings = fewshot.resting(base, settings)
    with budget.part("the model"):
        module, tokenizer = prepare_model(task, base, settings, sets.training, report)
        module = placed(module, chosen(settings.device))
    if base is not None and tokenizer is not None:
        task = task.based_on(base, tokenizer)
        if isinstance(task, Embed):
            report.note(message("work.named", name=base.name, text=task.description(base, settings.length)))
    with budget.part("reading"):
        training = Examples.of(task, tokenizer, sets.training, settings.length)
        valid = Examples.of(task, tokenizer, sets.valid, settings.length)
    report_truncated(training.features, settings.length, report)
    return Ready(task, base, settings, sets, module, tokenizer, training, valid)


def read_again(task: Task, *, tested: bool) -> int:
    """Return how often the rows that judged the weights are read again after the last step."""
    return {"sequence": 2, "token": 2, "vector": 2, "seq2seq": 0, "causal": int(not tested)}.get(task.head, 1)


def build_from_scratch(rows: Sequence[Row], settings: FinetuneSettings, target: Path, report: Report) -> Path:
    """Write a base model for rows {source, target}, and return its folder; one that is there of the same rows is kept.

    Args:
        rows: the training rows: both their sides teach one tokenizer.
        settings: `body` has the size and the vocabulary; the seed draws the weights.
        target: the folder to write.
        report: where the tokenizer is reported.

    Raises:
        SettingError: the model cannot hold the vocabulary.
    """
    from transformers import T5ForConditionalGeneration

    body = settings.body
    dump = {"parameters": body.parameters, "vocab_size": body.vocab_size, "seed": settings.seed}
    sources = [Source("training rows", fingerprint(list(rows)))]
    if is_up_to_date(target, sources, dump):
        return target
    texts = [row[side] for row in rows for side in ("source", "target")]
    with new_folder(target, kind="model", settings=dump, sources=sources) as folder:
        own = train_tokenizer(texts, body.vocab_size, folder.path / "tokenizer", report)
        size = load_tokenizer(own).get_vocab_size()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            model = T5ForConditionalGeneration(sequence_to_sequence(body.parameters, size, settings.length))
        with quiet_transformers():
            model.save_pretrained(folder.path)
        copy_tokenizer(own, folder.path)
        shutil.rmtree(own)
        folder.facts.update(base="none: made from nothing", licence="", max_length=settings.length)
    return target


def is_from_scratch(settings: FinetuneSettings) -> FinetuneSettings:
    """Return the settings with what suits random weights where nothing was asked for: one rate for all of them, a higher one."""
    rates = settings.rates
    rates = rates.replace(layer_decay=rates.layer_decay or 1.0, head_rate=rates.head_rate or 1.0)
    return settings.replace(learning_rate=settings.learning_rate or 1e-3, rates=rates)
