"""A base model and a task -> the module that learns and the tokenizer that reads for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import torch
from tokenizers import Regex, Tokenizer, pre_tokenizers
from torch import nn

from noria.core.errors import FolderError, SettingError
from noria.core.memory import release_memory, return_memory
from noria.core.messages import message
from noria.core.progress import Report
from noria.infer.device import chosen
from noria.machine import measure
from noria.make.kernels import decoder, llama
from noria.make.models.adapt import MERGEABLE, adapt, adapters, freeze
from noria.make.models.cut import cannot_be_read_again, keep_lowest
from noria.make.models.feedforward import FeedForward, new_net
from noria.make.models.load import HELD, choose_attention, load
from noria.make.models.packed import Bits
from noria.make.training.objectives.causality import form_of
from noria.make.training.settings import FinetuneSettings
from noria.tasks.padding import usable_length
from noria.tasks.tag import Tag
from noria.tasks.task import Row, Task
from noria.tasks.tokenizer import tokenizer_of

from .causal import choose_checkpointing
from .probe import check_base

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HAN = Regex(r"\p{Han}")
FILES: dict[str, Literal["bf16", "fp16"]] = {"bfloat16": "bf16", "float16": "fp16"}
"""Number type of a folder's weights, as its configuration says it -> in which they rest."""
TOLERATED = 0.05
"""Share of spans that may begin or end within a token before tokens are cut into characters."""


def prepare_model(
    task: Task, base: Path | None, settings: FinetuneSettings, rows: Sequence[Row] = (), report: Report | None = None
) -> tuple[PreTrainedModel | FeedForward, Tokenizer | None]:
    """Return the base with the task's head, made fit for training, and the tokenizer that the task reads with.

    Args:
        task: knows its head.
        base: folder of a pretrained model; None for a net over rows of numbers, which also has no tokenizer.
        settings: what is taken of the base, what learns, dropout.
        rows: training rows, by whose spread a net over numbers is scaled.
        report: where it is reported what became of the base's trained head, and what was mended in it.

    Raises:
        FolderError: `base` is no usable model, or not of a kind that can have the head.
        SettingError: `max_length`, `layers` or `frozen` is beyond the model's, or an adapter does not fit it.
    """
    if task.head == "vector":
        net = new_net([row["features"] for row in rows], len(task.outputs), seed=settings.seed)
        set_dropout(net, settings.regular.dropout)
        return net, None
    if base is None:
        raise SettingError(message("make.task_needs"), found=task.name, hint=message("make.noria_build_base"))
    resting = resting_type(task, base, settings)
    if resting:
        return_memory()
    module, tokenizer = load(
        base, task.head, task.outputs, seed=settings.seed, report=report, number_type=loaded(resting)
    )
    longest = usable_length(module.config) or settings.length
    if settings.length > longest:
        raise SettingError(
            message("make.max_length"), found=settings.length, allowed=message("make.up", longest=longest)
        )
    if task.head == "sequence":
        # Whoever reads the folder with plain transformers learns from it whether labels shut each other out.
        many = getattr(task, "many", False)
        module.config.problem_type = "multi_label_classification" if many else "single_label_classification"
    check_base(task, module, tokenizer, base, settings.length)
    body = settings.body
    if body.layers is not None:
        keep_lowest(module, body.layers)
    choose_attention(module)
    set_dropout(module, settings.regular.dropout)
    freeze(module, body.frozen)
    adapt(module, settings.adapter, seed=settings.seed)
    if resting:
        hold_resting(module, resting)
        release_memory(kept=True)
        choose_checkpointing(module, settings, report)
    check_trained_and_written(module, task.head)
    if isinstance(task, Tag):
        asked = body.by_character
        if asked or (asked is None and cut_wrongly(tokenizer, rows) > TOLERATED):
            tokenizer = by_character(tokenizer)
    return module, tokenizer


def loaded(resting: str | None) -> Literal["fp32", "bf16", "fp16"]:
    """Return the number type in which weights are read that will rest so."""
    return "fp16" if resting == "fp16" else "fp32" if resting in (None, "fp32") else "bf16"


def resting_type(task: Task, base: Path, settings: FinetuneSettings) -> str | None:
    """Return how a decoder's base is held while adapters learn: a number type, or int8 or int4; None where it is not at rest."""
    if task.head != "causal" or settings.adapter.kind not in MERGEABLE:
        return None
    if settings.adapter.resting != "auto":
        return settings.adapter.resting
    products = measure(settings.number_type, str(chosen(settings.device))).number_type
    if products == "bf16":
        return "bf16"
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    # Others are computed by transformers, in the number type of the weights.
    if not any(name in decoder.FAMILIES for name in config.get("architectures") or ()):
        return "fp32"
    return FILES.get(str(config.get("dtype") or config.get("torch_dtype")), "fp32")


def hold_resting(module: PreTrainedModel, resting: str) -> None:
    """Hold a decoder's weights at rest in a number type, or in 8 or 4 bits.

    Raises:
        SettingError: codes are asked for, and the family is none that Noria's own passes take.
    """
    bits: dict[str, Bits] = {"int8": 8, "int4": 4}
    if resting in bits and decoder.decoder_of(module) is None:
        name = getattr(module.config, "model_type", type(module).__name__)
        raise SettingError(message("make.resting_codes"), found=name, allowed=decoder.FAMILIES)
    decoder.hold(module, HELD.get(resting, torch.bfloat16), bits.get(resting))


def check_trained_and_written(module: nn.Module, head: str) -> None:
    """Refuse, before the first step, a causal model whose loss would not be its own, and one that could not be read again.

    Raises:
        FolderError: either of these; names the family.
    """
    if head == "causal" and not (hasattr(module, "hidden_states") or llama.applies(module) or decoder.applies(module)):
        form_of(cast("PreTrainedModel", module))
    if not adapters(module) and (fault := cannot_be_read_again(module)):
        name = getattr(module.config, "model_type", type(module).__name__)
        raise FolderError(message("make.what_would", name=name), found=fault)


def set_dropout(module: nn.Module, rate: float) -> None:
    """Give every dropout of a module one rate."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = rate


def cut_wrongly(tokenizer: Tokenizer, rows: Sequence[Row], most: int = 5000) -> float:
    """Return the share of spans that begin or end within a token, of the first `most` rows {text, spans}."""
    spans = wrong = 0
    some = [row for row in rows[:most] if row["spans"]]
    for row, encoding in zip(some, tokenizer.encode_batch([row["text"] for row in some]), strict=True):
        text: str = row["text"]
        inside: set[int] = set()
        for start, end in encoding.offsets:
            # White space at a token's ends belongs to no span.
            inside.update(
                place for place in range(start + 1, end) if text[start:place].strip() and text[place:end].strip()
            )
        spans += len(row["spans"])
        wrong += sum(span["start"] in inside or span["end"] in inside for span in row["spans"])
    return wrong / spans if spans else 0.0


def by_character(tokenizer: Tokenizer) -> Tokenizer:
    """Return a copy of a tokenizer for which every Chinese character is a piece of its own.

    The cut comes after all other pre-tokenisation, so a character in mid-word gets no word-start mark.
    """
    copy = tokenizer_of(tokenizer.to_str())
    cut = pre_tokenizers.Split(HAN, "isolated")
    before = copy.pre_tokenizer
    copy.pre_tokenizer = pre_tokenizers.Sequence([before, cut]) if before is not None else cut
    return copy
