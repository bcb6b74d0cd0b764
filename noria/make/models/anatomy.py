"""Where a transformer's layers, weight matrices, attentions and heads lie, by the names that transformers gives them."""

from __future__ import annotations

from torch import nn

from noria.core.errors import SettingError
from noria.core.messages import message

_STACKS = (
    "encoder.layer",
    "layers",
    "encoder.layers",
    "transformer.layer",
    "decoder.layers",
    "encoder.block",
    "decoder.block",
    "h",
    "blocks",
    "language_model.layers",
)
"""BERT and XLM-R; Llama and its kin; BART, Marian and OPT; DistilBERT; T5; GPT-2 and BLOOM; MPT; models that also read pictures."""
_ATTENTION_OUTPUTS = (
    "attention.output.dense",
    "o_proj",
    "out_proj",
    "SelfAttention.o",
    "EncDecAttention.o",
    "attention.dense",
    "self_attn.dense",
)
_FEED_FORWARD_OUTPUTS = ("output.dense", "down_proj", "fc2", "wo", "dense_4h_to_h")
_HEADS = ("classifier", "classification_head", "pooler", "qa_outputs", "score")


def layers(module: nn.Module) -> dict[str, nn.Module]:
    """Return name -> layer, each stack from its lowest up.

    Raises:
        SettingError: the architecture is not one of those known here.
    """
    base = base_of(module)
    start = "" if base is module else next(name for name, one in module.named_modules() if one is base) + "."
    found = {f"{start}{path}.{number}": layer for path in _STACKS for number, layer in enumerate(_at(base, path) or ())}
    if not found:
        name = getattr(getattr(module, "config", None), "model_type", type(module).__name__)
        raise SettingError(message("make.layers_found"), found=name, allowed=message("make.bert_llama"))
    return found


def stacks(module: nn.Module) -> list[list[nn.Module]]:
    """Return the layers of each stack, from the lowest up: one stack, or encoder and decoder."""
    grouped: dict[str, list[nn.Module]] = {}
    for name, layer in layers(module).items():
        grouped.setdefault(name.rpartition(".")[0], []).append(layer)
    return list(grouped.values())


def only_stack(module: nn.Module) -> nn.ModuleList | None:
    """Return the stack of layers of an encoder or a decoder; None where there is no single one."""
    found = [stack for path in _STACKS if (stack := _at(base_of(module), path)) is not None]
    return found[0] if len(found) == 1 else None


def linears(layer: nn.Module, targets: str) -> list[str]:
    """Return the names, within a layer, of its weight matrices: those of attention, of the feed-forward, or all."""
    found = []
    for name, part in layer.named_modules():
        if isinstance(part, nn.Linear):
            of_attention = "attn" in name.lower() or "attention" in name.lower()
            if targets == "all" or of_attention == (targets == "attention"):
                found.append(name)
    return found


def outputs(layer: nn.Module, places: str) -> list[str]:
    """Return the names, within a layer, of the last matrix of the feed-forward (pfeiffer), and of each attention (houlsby)."""
    names = linears(layer, "all")
    attention = [name for name in names if name.endswith(_ATTENTION_OUTPUTS)]
    feed_forward = [name for name in names if name.endswith(_FEED_FORWARD_OUTPUTS) and name not in attention]
    return feed_forward if places == "pfeiffer" else [*attention, *feed_forward]


def attentions(layer: nn.Module) -> list[str]:
    """Return the names, within a layer, of the modules that mix values by keys."""
    return [name for name, part in layer.named_modules() if hasattr(part, "is_causal") and hasattr(part, "scaling")]


def heads(module: nn.Module) -> list[str]:
    """Return the names of what stands above the layers and is a task's own: pooler, classifier, span head."""
    inside = tuple(f"{name}." for name in layers(module))
    return [
        name for name, _ in module.named_modules() if name.rpartition(".")[2] in _HEADS and not name.startswith(inside)
    ]


def embeddings(module: nn.Module) -> list[nn.Module]:
    """Return what turns ids into the lowest layer's input."""
    base = base_of(module)
    own = getattr(base, "embeddings", None)
    if isinstance(own, nn.Module):
        return [own]
    inside = tuple(f"{name}." for name in layers(module))
    return [
        part for name, part in module.named_modules() if isinstance(part, nn.Embedding) and not name.startswith(inside)
    ]


def base_of(module: nn.Module) -> nn.Module:
    """Return the part of a transformers model that its head stands on."""
    return getattr(module, "base_model", module)


def _at(module: nn.Module, path: str) -> nn.ModuleList | None:
    found: object = module
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, nn.ModuleList) else None
