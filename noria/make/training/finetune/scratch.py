"""An encoder-decoder made from nothing for rows of text: a tokenizer learnt from them, and random weights."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from noria.core.folder import Source, is_up_to_date, new_folder
from noria.core.progress import Report
from noria.core.settings import fingerprint
from noria.make.models.load import quiet_transformers
from noria.make.models.sizes import sequence_to_sequence
from noria.make.tokens.tokenizer import copy_tokenizer, load_tokenizer, train_tokenizer
from noria.make.training.settings import FinetuneSettings
from noria.tasks.task import Row


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
            model = T5ForConditionalGeneration(sequence_to_sequence(body.parameters, size, settings.max_length))
        with quiet_transformers():
            model.save_pretrained(folder.path)
        copy_tokenizer(own, folder.path)
        shutil.rmtree(own)
        folder.facts.update(base="none: made from nothing", licence="", max_length=settings.max_length)
    return target


def is_from_scratch(settings: FinetuneSettings) -> FinetuneSettings:
    """Return the settings with what suits random weights where nothing was asked for: one rate for all of them, a higher one."""
    rates = settings.rates
    rates = rates.replace(layer_decay=rates.layer_decay or 1.0, head_rate=rates.head_rate or 1.0)
    return settings.replace(learning_rate=settings.learning_rate or 1e-3, rates=rates)
