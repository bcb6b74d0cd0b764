"""A model folder -> model, head and tokenizer, safely: safetensors only, never a folder's own code, never pickle."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

import torch
from torch import nn

from noria.core.errors import FolderError, NoriaError, unknown
from noria.core.folder import MANIFEST
from noria.core.messages import message
from noria.infer.engine import AUTO_CLASSES, check_memory, check_whole, known_natively
from noria.make.quiet import quiet_transformers as quiet_transformers
from noria.make.tokens.tokenizer import load_tokenizer
from noria.tasks.specials import pad_id

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import nn
    from transformers import PreTrainedModel

    from noria.core.progress import Report
    from noria.tasks.task import Task

HELD = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Number types of weights in memory."""
Head = Literal["sequence", "token", "span", "embedding", "seq2seq", "causal", "masked"]


def load(
    folder: str | Path,
    head: Head,
    labels: Sequence[str] | None = None,
    *,
    seed: int = 0,
    report: Report | None = None,
    number_type: Literal["fp32", "bf16", "fp16"] = "fp32",
) -> tuple[PreTrainedModel, Tokenizer]:
    """Return a model with the head asked for, and its tokenizer; an adapter that is not merged is put back on.

    What the folder leaves open is mended: a padding token, rows for added tokens.

    Args:
        folder: a folder in the Hugging Face layout, with or without `noria.json`.
        head: sequence (one of `labels` a text), token (one a token), span (first and last token of an answer), embedding
            (hidden states), seq2seq (a text from a text), causal (next token), masked (masked tokens).
        labels: names of the classes; None keeps those of the folder. Of a head that the folder holds, the rows of labels of
            the same names are kept, at our places (see `trained_head`); all others start anew.
        seed: of the weights of a head that starts anew.
        report: where it is reported what became of a trained head, and what was mended.
        number_type: of the weights in memory.

    Raises:
        FolderError: no such folder, no safetensors in it, it asks for code of its own, its files cannot be read, or it is of
            a kind that cannot have the head.
        SettingError: unknown head.
    """
    folder = Path(folder)
    if head not in get_args(Head):
        raise unknown("head", head, get_args(Head))
    check_folder(folder)
    check_kind(folder, head)
    check_memory(folder, width=2 if number_type == "bf16" else 4)

    import torch
    import transformers

    from . import recurrent, trained_head  # noqa: F401 - makes its model known to transformers

    auto = getattr(transformers, AUTO_CLASSES[head])
    tokenizer = load_tokenizer(folder)
    # A base of many labels has a span head of as many outputs; first and last token are two.
    classes: dict[str, Any] = {"num_labels": 2} if head == "span" else {}
    if labels is not None and head in ("sequence", "token"):
        classes = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}

    def read(**classes: Any) -> tuple[PreTrainedModel, dict[str, Any]]:
        # Which attention is not said: transformers takes the fused one where an architecture has it.
        loaded: tuple[PreTrainedModel, dict[str, Any]] = auto.from_pretrained(
            folder,
            dtype=HELD[number_type],
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **classes,
        )
        return loaded

    with quiet_transformers(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model, info = read(**classes)
            if head == "causal":
                check_whole(folder, info)
            notes = []
            if labels is not None and head in ("sequence", "token"):
                notes.append(trained_head.reuse(model, labels, folder, info, lambda: read()[0]))
            notes += mend(model, tokenizer, folder)
        except NoriaError:
            raise
        except Exception as error:  # transformers and safetensors raise many kinds for a bad folder
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            if first.startswith("Unrecognized configuration class"):
                first = "transformers has no such head for this architecture"
            raise FolderError(
                message("make.cannot_loaded", folder=folder, folder_2=_kind(folder), head=head), found=first
            ) from error
    if _holds_adapter(folder):
        from .saved import load_adapter

        load_adapter(model, folder / "adapter", heads=False)
    for note in notes:
        if note and report:
            report.note(message("work.named", name=folder.name, text=note))
    return model.eval(), tokenizer


def load_for(folder: str | Path, task: Task) -> tuple[nn.Module, Tokenizer | None]:
    """Return the model of a folder with a task's own head, and its tokenizer: None for a net over numbers; raises as `load`."""
    if task.head == "vector":
        from .feedforward import load_net

        return load_net(folder), None
    return load(folder, task.head, task.outputs or None)


def _holds_adapter(folder: Path) -> bool:
    """Return whether the weights need the adapter beside them: one whose kind cannot be merged."""
    manifest = folder / MANIFEST
    facts = json.loads(manifest.read_text(encoding="utf-8"))["facts"] if manifest.exists() else {}
    return not (facts.get("adapter") or {"merged": True})["merged"]


def check_folder(folder: Path) -> None:
    """Refuse a folder that is no model, that holds no safetensors, or that asks for code of its own.

    Raises:
        FolderError: any of these.
    """
    if not folder.is_dir():
        raise FolderError(message("make.such_model"), found=str(folder))
    config = folder / "config.json"
    try:
        document = json.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError:
        inner = next((one for one in sorted(folder.glob("0_*")) if (one / "config.json").is_file()), None)
        hint = message("make.model_lies", inner=inner) if inner else message("make.model_folder")
        raise FolderError(message("make.holds_config", folder=folder), hint=hint) from None
    except ValueError as error:
        raise FolderError(message("make.cannot_read", config=config), found=str(error)) from None
    if "auto_map" in document and not known_natively(str(document.get("model_type", ""))):
        raise FolderError(message("make.asks_run", folder=folder), allowed=message("make.architectures_transformers"))
    if not any(folder.glob("*.safetensors")):
        found = ", ".join(sorted(path.name for path in folder.glob("*.bin"))) or message("make.weights")
        raise FolderError(message("make.holds_safetensors", folder=folder), found=found, allowed="model.safetensors")


KINDS: dict[str, tuple[str, ...]] = {
    "embedding": ("encoder", "decoder"),
    "seq2seq": ("encoder-decoder",),
    "causal": ("decoder",),
    "masked": ("encoder",),
}
"""Head -> the kinds of model that can have it, where not all can."""


def check_kind(folder: Path, head: Head) -> None:
    """Refuse a model of a kind that cannot have the head.

    Raises:
        FolderError: the model is of another kind; names those that fit.
    """
    if head not in KINDS:
        return
    config, name = json.loads((folder / "config.json").read_text(encoding="utf-8")), _kind(folder)
    kind = model_kind(SimpleNamespace(**config))
    if kind not in KINDS[head]:
        fitting = " or ".join(KINDS[head])
        raise FolderError(
            message("make.wrong_kind", folder=folder, head=head),
            found=f"{name}, {_A[kind]}",
            allowed=" or ".join(_A[one] for one in KINDS[head]),
            hint=_HINTS.get(fitting),
        )


def _kind(folder: Path) -> str:
    """Return the architecture that a folder's configuration names."""
    return str(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type", ""))


_A = {"encoder": "an encoder", "decoder": "a decoder", "encoder-decoder": "an encoder-decoder"}
_HINTS = {
    "decoder": "`noria build pretrain` makes one",
    "encoder-decoder": "`noria build pretrain --objective spans` makes one",
}


def mend(model: PreTrainedModel, tokenizer: Tokenizer, folder: Path) -> list[str]:
    """Give a model rows for all tokens of its tokenizer, a padding token, and settings of generation that can be written again.

    Returns what was done, in words.

    Raises:
        FolderError: the tokenizer is of another model.
    """
    notes = [rows_for_all(model, tokenizer, folder), sound_generation(model)]
    config = model.config.get_text_config()
    if getattr(config, "pad_token_id", None) is None or config.pad_token_id < 0:
        model.config.pad_token_id = config.pad_token_id = pad_id(folder, tokenizer)
    for part in model.modules():
        # Its sparse attention draws blocks by the length of the batch, and the first short batch turns it off for good: what
        # a text is answered would hang on what was asked before it.
        switch = getattr(part, "set_attention_type", None)
        if callable(switch) and getattr(part, "attention_type", "") == "block_sparse":
            switch("original_full")
            model.config.attention_type = "original_full"
    return [note for note in notes if note]


def sound_generation(model: PreTrainedModel) -> str:
    """Take out of a model's settings of generation what transformers ignores and would not write, once training is over; say what."""
    config = getattr(model, "generation_config", None)
    if config is None:
        return ""
    try:
        config.validate(strict=True)
        return ""
    except ValueError as error:
        names = re.findall(r"^- `(\w+)`", str(error), re.MULTILINE)
    for name in names:
        setattr(config, name, getattr(type(config)(), name))
    return message("make.generation_contradicts", names=", ".join(names))


def rows_for_all(model: PreTrainedModel, tokenizer: Tokenizer, folder: Path) -> str:
    """Give a model's table of embeddings rows for tokens that were added to its tokenizer without any; say how many.

    A new row is the mean of the others.

    Raises:
        FolderError: the tokenizer's own vocabulary is larger than the table: it is of another model.
    """
    try:
        rows = cast(nn.Embedding, model.get_input_embeddings()).num_embeddings
    except (NotImplementedError, AttributeError):  # an architecture that reads characters has no table
        return ""
    own = max(tokenizer.get_vocab(with_added_tokens=False).values(), default=-1) + 1
    size = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1) + 1
    if size <= rows:
        return ""
    if own > rows:
        raise FolderError(
            message("make.tokenizer_another", folder=folder),
            found=message("make.tokens", own=own),
            allowed=message("make.rows_model", rows=rows),
        )
    model.resize_token_embeddings(size, mean_resizing=False)
    with torch.no_grad():
        for table in (model.get_input_embeddings(), model.get_output_embeddings()):
            if table is not None:
                weight = cast(torch.Tensor, table.weight)
                weight[rows:] = weight[:rows].mean(0)
    return f"{size - rows:,} added tokens had no row in the table of embeddings; each got one, the mean of the others"


ModelKind = Literal["encoder", "decoder", "encoder-decoder"]


def model_kind(config: object) -> ModelKind:
    """Return what a configuration is of, by its model type."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES

    if getattr(config, "is_encoder_decoder", False):
        return "encoder-decoder"
    if getattr(config, "is_decoder", False):
        return "decoder"
    # What can guess a hidden word from both sides is an encoder; transformers would make a decoder of it without a word.
    return "encoder" if getattr(config, "model_type", "") in MODEL_FOR_MASKED_LM_MAPPING_NAMES else "decoder"


def choose_attention(module: PreTrainedModel) -> str:
    """Set the form of attention that a model is trained with, and return its name.

    Forward and backward pass of four layers on one core, in milliseconds: 2,048 tokens of an encoder of 12 layers take 223 in
    the plain form and 528 in the fused one; a decoder of grouped queries, which need not look ahead, 818 and 415 at 1,024
    tokens in fp32, 369 and 293 at 256. So encoders are trained in the plain form ("eager"), decoders in the fused one ("sdpa")
    where they have it; Gemma 2, BLOOM, MPT and others have the plain form alone, and RWKV or Mamba none at all.

    A model comes from `load` with the fused form where its architecture has one, as transformers itself knows; that is left
    to decoders. All others get the plain form, which every architecture has.
    """
    if model_kind(module.config) != "decoder" and module.config._attn_implementation != "eager":
        module.set_attn_implementation("eager")
    return str(module.config._attn_implementation)
