"""A trained module -> its model folder: weights, tokenizer, facts and card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tokenizers import Tokenizer
from torch import nn

from noria.core.folder import MANIFEST, OpenFolder, Source, lineage_of, read_manifest
from noria.make.evaluate.card import Assessment, card
from noria.make.evaluate.curves import curves_svg
from noria.make.kernels import decoder
from noria.make.models.adapt import adapters, base_state, merge, mergeable
from noria.make.models.feedforward import FeedForward
from noria.make.models.load import quiet_transformers
from noria.make.models.merged import write_merged
from noria.make.models.packed import packed_numbers
from noria.make.models.saved import write_adapter
from noria.make.tokens.tokenizer import copy_tokenizer
from noria.make.training.loop.result import TrainResult
from noria.make.training.objectives.apart import write_apart
from noria.tasks.pooling import write_sentence_folder
from noria.tasks.tokenizer import write_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def write_model(
    folder: OpenFolder, module: PreTrainedModel | FeedForward, tokenizer: Tokenizer | None, base: Path | None
) -> None:
    """Write weights, configuration and tokenizer in the Hugging Face layout, and the model's card as its README.

    An adapter is written beside the model. Where it can be merged, the model is whole without it; where not, the model is
    the base with its new head, and `load` puts the adapter back. A model of vectors is one of sentence-transformers too.
    """
    whole = cast("PreTrainedModel", module)
    if adapters(module):
        # Before it is merged, for what was trained is to be held against what is served.
        folder.facts["adapter"] = write_adapter(module, folder.path, merging=False)
        if mergeable(module) and tokenizer is not None and type(module).__name__.endswith("ForCausalLM"):
            write_apart(whole, tokenizer, folder.path / "adapter")
    if adapters(module) and mergeable(module) and decoder.decoder_of(module) is not None:
        write_merged(whole, folder.path)
        _write_rest(folder, module, tokenizer, base)
        return
    if adapters(module) and mergeable(module):
        merge(module)
    with quiet_transformers():
        if isinstance(module, FeedForward):
            module.save_pretrained(folder.path)
        else:
            module.save_pretrained(folder.path, state_dict=base_state(module) if "adapter" in folder.facts else None)
    _write_rest(folder, module, tokenizer, base)


def _write_rest(
    folder: OpenFolder, module: PreTrainedModel | FeedForward, tokenizer: Tokenizer | None, base: Path | None
) -> None:
    if base is not None:
        copy_tokenizer(base, folder.path)
    if tokenizer is not None:
        write_tokenizer(tokenizer, folder.path)
    if folder.facts.get("task") == "embed" and not isinstance(module, FeedForward):
        write_sentence_folder(folder.path, folder.facts, module.config.get_text_config().hidden_size)
    write_page(folder)


def write_page(folder: OpenFolder) -> None:
    """Write the model's card as the folder's README, and the picture of its learning curves."""
    facts = folder.facts
    names = facts.get("curve_units") or {"train": "training: loss", "valid": "valid rows: score, higher is better"}
    lines = facts.get("curve_lines")
    if picture := curves_svg(facts.get("curves", {}), names, best=facts.get("best_step", 0), lines=lines):
        (folder.path / "curves.svg").write_text(picture, encoding="utf-8")
    (folder.path / "README.md").write_text(card(facts, folder.settings, folder.sources), encoding="utf-8")


def facts_of(
    base: Path | None, module: nn.Module, result: TrainResult, assessment: Assessment | None
) -> dict[str, Any]:
    """Return what a manifest says of where a model came from, how it was trained and what it is worth."""
    known = read_manifest(base).facts if base is not None and (base / MANIFEST).exists() else {}
    joined = [figure.as_record() for figure in assessment.joined] if assessment else []
    return {
        **({"companion": {"figures": joined}} if joined else {}),
        "base": known.get("base", base.name if base is not None else "none: made from nothing"),
        "licence": known.get("licence", ""),
        "parameters": sum(tensor.numel() for tensor in module.parameters()) + packed_numbers(module),
        "learning": sum(tensor.numel() for tensor in module.parameters() if tensor.requires_grad),
        "metrics": [figure.as_record() for figure in assessment.metrics] if assessment else [],
        "baseline": [figure.as_record() for figure in assessment.baseline] if assessment else [],
        "by_label": assessment.by_label if assessment else [],
        "verdict": assessment.verdict if assessment else "not judged",
        "curves": result.curves,
        "steps": result.steps,
        "tokens": result.tokens,
        "best_step": result.best_step,
        "seconds": result.seconds,
        "tokens_per_second": result.tokens_per_second,
        "number_type": result.plan.machine.number_type,
    }


def lineage(base: Path | None) -> list[Source]:
    """Return where a base comes from: its folder's identity, or the hash of its weights."""
    return [] if base is None else [lineage_of(base, "*.safetensors")]
