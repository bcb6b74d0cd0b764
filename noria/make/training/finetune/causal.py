"""What fine-tuning a decoder settles before anything is loaded: that a large base learns by adapters, and how long its rows are.

Nothing is cut unless a length is given: a conversation that loses its beginning teaches to answer without having read it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from torch import nn

from noria.core.errors import InputError
from noria.core.messages import message
from noria.core.progress import Report
from noria.infer.brought import check_tokenizer, check_weights
from noria.machine import available_memory
from noria.make.kernels import decoder
from noria.make.models import anatomy
from noria.make.models.load import check_folder
from noria.make.tokens.tokenizer import load_tokenizer
from noria.make.training.settings import FinetuneSettings
from noria.tasks.padding import usable_length
from noria.tasks.task import Row, Task

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LARGE_BYTES = 100_000_000
"""Weights from which on a base learns by LoRA unless something else is asked for: all of it takes eight times them in memory."""
PASS = 1024
"""Tokens that pass through a decoder at once: more make no token cheaper, and take memory each."""
SHARE = 1 / 3
"""Of the free memory that a pass may take before layers are computed again on the way back."""
SHORTEST = 8
"""Tokens that a row is given at least."""
UNBOUND = 1 << 20
"""More tokens than any row has."""


def read_base(task: Task, base: Path) -> Task:
    """Return the task with what a base says of conversations, once its files were looked at: nothing of its weights is loaded.

    Raises:
        FolderError: files are missing, cut short or of different models, or the chat template cannot be used.
    """
    check_folder(base)
    check_weights(base)
    tokenizer = load_tokenizer(base)
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    check_tokenizer(base, tokenizer, {**config, **(config.get("text_config") or {})}.get("vocab_size"))
    return task.based_on(base, tokenizer)


def of_decoder(settings: FinetuneSettings, base: Path, report: Report) -> FinetuneSettings:
    """Return the settings with LoRA where the base is large and nothing was said of what learns; told."""
    size = sum(file.stat().st_size for file in base.glob("*.safetensors"))
    body = settings.body
    decided = settings.recipe != "auto" or settings.adapter.kind != "none" or body.frozen or body.layers is not None
    if decided or size < LARGE_BYTES:
        return settings
    report.note(message("make.lora_for_large", name=base.name, size=size / 1e9))
    return settings.replace(recipe="lora")


def choose_checkpointing(module: PreTrainedModel, settings: FinetuneSettings, report: Report | None) -> bool:
    """Let a decoder's layers be computed again on the way back, where that is asked for or memory would be short; return it."""
    wanted, width = settings.adapter.checkpointing, module.config.get_text_config().hidden_size
    layers = len(anatomy.layers(module))
    # Of a layer about 34 numbers a token and unit of width are kept (Korthikanti et al. 2022, equation 1), in 2 bytes each at least.
    need = max(PASS, settings.length) * layers * width * 34
    if wanted == "auto":
        wanted = "on" if need > SHARE * available_memory() else "off"
    module.__dict__[decoder.CHECKPOINTING] = wanted == "on"
    if wanted == "on":
        if getattr(module, "supports_gradient_checkpointing", False):  # for what transformers computes itself
            module.activation_checkpointing_enable({"use_reentrant": False})
        if report and settings.adapter.checkpointing == "auto":
            report.note(message("make.checkpointed", need=need / 1e9))
    return wanted == "on"


def served_length(task: Task, module: nn.Module, trained: int) -> int:
    """Return how many tokens a tuned model takes: a decoder as many as its positions reach, however short its rows were."""
    return (usable_length(module.config) if task.head == "causal" else None) or trained


def length_for(task: Task, base: Path, rows: Sequence[Row]) -> int:
    """Return the tokens of the longest row.

    Raises:
        InputError: that is more than the base takes.
    """
    tokenizer = load_tokenizer(base)
    lengths = [len(task.features(tokenizer, row, UNBOUND).ids) for row in rows]
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    most = usable_length(SimpleNamespace(**{**config, **(config.get("text_config") or {})}))
    longest = max(lengths)
    if most and longest > most:
        raise InputError(
            message("make.rows_too_long", rows=len(lengths), over=sum(length > most for length in lengths), most=most),
            found=message("make.tokens_longest", longest=longest),
            hint=message("make.cut_when_told", most=most),
        )
    return max(SHORTEST, longest)
