"""What layers that do not learn make of the texts, computed once and kept: an epoch then costs only the layers above.

With the lowest 8 of 12 layers frozen, a step from kept states takes about a third of the time. They lie in a file of
width x 2 bytes a token (4 in fp32) without a name, so that the room is free again when the run ends or is killed. A run
that is resumed computes them again, in the same batches: the same bits.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from noria.build.evaluate.predict import like_lengths, text_arrays
from noria.build.tokens.batches import Batch
from noria.core.progress import Report
from noria.tasks.task import Task

from . import bert
from .examples import Examples
from .machine import measure
from .settings import FinetuneSettings

ROOM = 0.5
"""Largest share of the free disk that is taken."""
SLOW = 1000
"""Tokens a second that any machine trains: fewer rows than it would see in the time budget are seen several times."""


def cheaper(
    collate: Callable[[np.ndarray], Batch], task: Task, module: nn.Module, examples: Examples, settings: FinetuneSettings,
    folder: Path, report: Report, *, pad: int,
) -> Callable[[np.ndarray], Batch]:  # fmt: skip
    """Return the collator of kept states where they pay, else `collate`: several epochs, one process, a BERT, frozen layers.

    What is decided hangs on settings and rows alone, so that a run that is resumed decides alike. The pass over the frozen
    layers comes on top of a time budget, of which it takes about a tenth at most.
    """
    below, tokens = settings.body.frozen, sum(examples.lengths)
    if settings.steps is None:
        several = tokens < SLOW * settings.minutes * 60
    else:
        several = settings.steps * settings.accumulate * settings.tokens_per_batch > 1.5 * tokens
    one_row_a_window = task.head in ("sequence", "token", "span") and settings.parallel.workers == 1
    # Texts that are changed at random have no states to keep.
    if not below or not several or not one_row_a_window or settings.regular.augment:
        return collate
    bf16 = measure(settings.number_type).number_type == "bf16"
    folder.mkdir(parents=True, exist_ok=True)
    if not can_keep(module, below, examples, folder, bf16=bf16):
        return collate
    return keep(collate, module, below, examples, folder, report, bf16=bf16, pad=pad)


def can_keep(module: nn.Module, below: int, examples: Examples, folder: Path, *, bf16: bool) -> bool:
    """Return whether the states above the lowest `below` layers can be kept: nothing in them learns, and there is room."""
    if not below or not bert.applies(module):
        return False
    base = module.base_model
    learning = any(
        one.requires_grad for part in (base.embeddings, base.encoder.layer[:below]) for one in part.parameters()
    )
    size = sum(len(one.ids) for one in examples.features) * base.config.hidden_size * (2 if bf16 else 4)
    return not learning and size < ROOM * shutil.disk_usage(folder).free


def keep(
    collate: Callable[[np.ndarray], Batch],
    module: nn.Module,
    below: int,
    examples: Examples,
    folder: Path,
    report: Report,
    *,
    bf16: bool,
    pad: int = 0,
    tokens_per_batch: int = 8192,
) -> Callable[[np.ndarray], Batch]:
    """Return a collator whose batches hold kept states where those of `collate` hold ids.

    Args:
        collate: numbers of windows -> batch with input_ids, a row a window.
        module: a BERT for which `can_keep`.
        below: how many of its lowest layers do not learn.
        examples: the windows.
        folder: where the file lies.
        report: where the progress is shown.
        bf16: number type of the states, that of the run.
        pad: id that fills short texts up.
        tokens_per_batch: tokens of one pass.
    """
    base, features = module.base_model, examples.features
    dtype = torch.bfloat16 if bf16 else torch.float32
    starts = np.concatenate(([0], np.cumsum([len(one.ids) for one in features])))
    width = base.config.hidden_size
    with tempfile.TemporaryFile(dir=folder) as file:
        # The map stays when the file's name and handle are gone.
        kept = np.memmap(file, np.int16 if bf16 else np.float32, "w+", shape=(int(starts[-1]), width))
    states = torch.from_numpy(kept).view(dtype)
    with report.bar("states of frozen layers", total=len(features), unit="text") as bar:
        for rows in like_lengths(features, tokens_per_batch):
            arrays = text_arrays([features[row] for row in rows], pad)
            tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
            for row, found in zip(rows, bert.lower_states(base, tensors, dtype, below), strict=True):
                states[starts[row] : starts[row + 1]] = found[: len(features[row].ids)]
            bar.advance(len(rows))

    def with_states(numbers: np.ndarray) -> Batch:
        batch = collate(numbers)
        tensors = {name: one for name, one in batch.tensors.items() if name not in ("input_ids", "token_type_ids")}
        found = torch.zeros(*batch.tensors["input_ids"].shape, width, dtype=dtype)
        for place, number in enumerate(numbers):
            found[place, : len(features[number].ids)] = states[starts[number] : starts[number + 1]]
        return Batch({**tensors, "states": found, "below": torch.tensor(below)}, batch.rows, batch.tokens, batch.share)

    return with_states
