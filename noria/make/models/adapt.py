"""Adapters on a model: small parts learn while the base rests; several on one base, switched, saved, merged back.

    freeze(module, 6)                                             # optional: the lowest layers need not adapt either
    adapt(module, AdapterSettings(kind="lora", rank=8), seed=0)   # from here on only adapters and heads learn
    ...
    save_adapter(module, folder / "adapter")                      # LoRA and AdaLoRA: in the layout that peft loads
    merge(module)                                                 # LoRA and AdaLoRA: plain weights again

A head (classifier, pooler, span head) belongs to its adapter: switching adapters switches heads. The module stays a plain
transformers model; an adapter's tensors are among its parameters and buffers, those of the base keep their names.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from noria.core.errors import SettingError, unknown
from noria.core.messages import message

from . import anatomy, prefix
from .adapt_settings import AdapterSettings
from .adapted import AdaptedLinear, Bottleneck
from .lora import LowRank, Triplets, WeightChange, allocator
from .packed import PackedLinear, unpack

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MERGEABLE = ("lora", "adalora")
DEFAULT = "default"


@dataclass
class Adapter:
    """One adapter of a module: what it is, and the heads that belong to it."""

    settings: AdapterSettings
    heads: dict[str, nn.Module] = field(default_factory=dict)
    """Name within the module -> head."""


def adapt(module: nn.Module, settings: AdapterSettings, *, seed: int, name: str = DEFAULT) -> None:
    """Put a new adapter on a transformers model and use it: only the adapter and the heads learn. Kind none does nothing.

    Layers in which nothing learns, because `freeze` was called before, get no adapter.

    Raises:
        SettingError: the architecture is not known, no layer is left to adapt, or the kind does not fit it.
    """
    if settings.kind == "none":
        return
    chosen = [layer for layer in anatomy.layers(module).values() if _learns(layer) or _adapted(layer)]
    if not chosen:
        raise SettingError(
            message("make.layer_left"), found=message("make.all_layers"), hint=message("make.freeze_fewer")
        )
    random = torch.Generator().manual_seed(seed)
    before = list(adapters(module))
    heads = {path: module.get_submodule(path) for path in anatomy.heads(module)}
    enlist(
        module,
        name,
        Adapter(settings, {path: copy.deepcopy(head) for path, head in heads.items()} if before else heads),
    )
    if settings.kind == "prefix":
        _add_prefixes(module, chosen, name, settings, random)
    else:
        _add_to_linears(chosen, name, settings, random)
    use(module, name)


def enlist(module: nn.Module, name: str, adapter: Adapter) -> None:
    """Note a new adapter; every matrix of the layers becomes one that can hold adapters, and the base comes to rest."""
    if name in adapters(module):
        raise SettingError(message("make.module_adapter"), found=name, hint=message("make.give_another"))
    module.__dict__.setdefault("noria_adapters", {})[name] = adapter
    for layer in anatomy.layers(module).values():
        for path in anatomy.linears(layer, "all"):
            linear = layer.get_submodule(path)
            if type(linear) is nn.Linear:
                layer.set_submodule(path, AdaptedLinear(linear))
    module.requires_grad_(False)


def adapters(module: nn.Module) -> dict[str, Adapter]:
    """Return the module's adapters by name."""
    known: dict[str, Adapter] = module.__dict__.get("noria_adapters", {})
    return known


def in_use(module: nn.Module) -> str:
    """Return the name of the adapter in use.

    Raises:
        SettingError: the module has none.
    """
    name = module.__dict__.get("noria_adapter_in_use")
    if name is None:
        raise SettingError(message("make.module_adapter_2"))
    return str(name)


def use(module: nn.Module, name: str) -> None:
    """Switch to an adapter and its heads; it alone learns from here on.

    Raises:
        SettingError: no adapter of that name.
    """
    if name not in adapters(module):
        raise unknown("adapter", name, adapters(module))
    module.__dict__["noria_adapter_in_use"] = name
    module.requires_grad_(False)
    for part in module.modules():
        if isinstance(part, AdaptedLinear):
            part.used = name
        elif holder := prefix.held_by(part):
            holder.used_prefix = name
    for path, head in adapters(module)[name].heads.items():
        module.set_submodule(path, head)
        head.requires_grad_(True)
    for _, part in parts(module):
        part.requires_grad_(True)


@contextmanager
def resting(module: nn.Module) -> Iterator[None]:
    """Answer as the base does inside the block: no adapter of a matrix is in use."""
    held = [(part, part.used) for part in module.modules() if isinstance(part, AdaptedLinear)]
    for part, _ in held:
        part.used = None
    try:
        yield
    finally:
        for part, used in held:
            part.used = used


def parts(module: nn.Module, name: str | None = None) -> Iterator[tuple[str, nn.Module]]:
    """Yield an adapter's parts with the name of the matrix or attention each is on; without `name`, of the one in use."""
    name = name or in_use(module)
    for path, holder in module.named_modules():
        held = holder.adapters if isinstance(holder, AdaptedLinear) else getattr(holder, "prefixes", None)
        if isinstance(held, nn.ModuleDict) and name in held:
            yield path, held[name]


def freeze(module: nn.Module, layers: int) -> None:
    """Stop the embeddings and this many of the lowest layers (of encoder and decoder each) from learning; 0 stops none.

    Call it before `adapt`: those layers then get no adapter, and nothing is kept of them for the backward pass.

    Raises:
        SettingError: there are not as many layers.
    """
    if not layers:
        return
    stacks = anatomy.stacks(module)
    most = min(len(stack) for stack in stacks)
    if layers > most:
        raise SettingError(message("make.frozen_beyond"), found=layers, allowed=message("make.to", most=most))
    for part in [*anatomy.embeddings(module), *(layer for stack in stacks for layer in stack[:layers])]:
        part.requires_grad_(False)


def merge(module: nn.Module) -> None:
    """Add the change of the adapter in use to the weights and take all adapters off: a plain model that gives the same.

    Raises:
        SettingError: the adapter's kind changes what flows and not the weights, so it cannot be merged.
    """
    kind = adapters(module)[in_use(module)].settings.kind
    if kind not in MERGEABLE:
        raise SettingError(
            message("make.adapter_cannot"), found=kind, allowed=MERGEABLE, hint=message("make.save_beside")
        )
    for linear in list(module.modules()):
        if isinstance(linear, PackedLinear):
            unpack(linear)
    with torch.no_grad():
        for path, part in parts(module):
            linear = cast(nn.Linear, module.get_submodule(path))
            # Anew, and in the number type of the change: that of a base at rest may be too coarse for it.
            linear.weight = nn.Parameter(linear.weight + cast(WeightChange, part).delta())
    _strip(module)
    module.float()  # a folder is of one number type


def mergeable(module: nn.Module) -> bool:
    """Return whether `merge` can merge the adapter in use."""
    return adapters(module)[in_use(module)].settings.kind in MERGEABLE


def ranks(module: nn.Module) -> dict[str, int]:
    """Return matrix -> rank of its change, for the LoRA or AdaLoRA in use."""
    return {
        path: part.rank if isinstance(part, Triplets) else len(cast(LowRank, part).down) for path, part in parts(module)
    }


def after_step(module: nn.Module) -> Callable[[int, int], None] | None:
    """Return what the adapter in use needs called after every optimiser step, with the steps done and all steps; or None.

    The step's gradients must still be there.
    """
    if not adapters(module):
        return None
    own = [part for _, part in parts(module) if isinstance(part, Triplets)]
    return allocator(own, adapters(module)[in_use(module)].settings.rank) if own else None


def base_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return the state of the base and of the heads in use, without any adapter: what plain transformers loads."""
    inside = tuple(
        f"{path}.{'adapters' if isinstance(part, AdaptedLinear) else 'prefixes'}."
        for path, part in module.named_modules()
        if isinstance(part, AdaptedLinear) or hasattr(part, "prefixes")
    )
    return {name: tensor for name, tensor in module.state_dict().items() if not name.startswith(inside)}


def _add_to_linears(layers: list[nn.Module], name: str, settings: AdapterSettings, random: torch.Generator) -> None:
    found = 0
    for layer in layers:
        paths = (
            anatomy.outputs(layer, settings.places)
            if settings.kind == "bottleneck"
            else (anatomy.linears(layer, settings.targets))
        )
        for path in paths:
            linear = cast(AdaptedLinear, layer.get_submodule(path))
            linear.adapters[name] = _part(linear, settings, random)
            found += 1
    if not found:
        raise SettingError(message("make.weight_matrix"), found=settings.kind, allowed=message("make.models_linear"))


def _part(linear: nn.Linear, settings: AdapterSettings, random: torch.Generator) -> nn.Module:
    if settings.kind == "bottleneck":
        return Bottleneck(linear, settings.width, random)
    scale = settings.alpha / settings.rank
    if settings.kind == "lora":
        return LowRank(linear, settings.rank, scale, random)
    return Triplets(linear, settings.initial_rank, scale, random)


def _add_prefixes(
    module: nn.Module, layers: list[nn.Module], name: str, settings: AdapterSettings, random: torch.Generator
) -> None:
    found = [layer.get_submodule(path) for layer in layers for path in anatomy.attentions(layer)]
    if not found:
        raise SettingError(message("make.attention_found"), found=type(module).__name__)
    for attention in found:
        holder = prefix.hold(attention)
        holder.prefixes[name] = prefix.Prefix()
        holder.used_prefix = name
    prefix.fill_from_words(cast("PreTrainedModel", anatomy.base_of(module)), settings.tokens, random)


def _strip(module: nn.Module) -> None:
    for path, part in list(module.named_modules()):
        if isinstance(part, AdaptedLinear):
            module.set_submodule(path, part.bare())
    for attention in list(module.modules()):
        prefix.release(attention)
    for key in ("noria_adapters", "noria_adapter_in_use", "noria_decoder"):
        module.__dict__.pop(key, None)
    module.requires_grad_(True)


def _learns(layer: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in layer.parameters())


def _adapted(layer: nn.Module) -> bool:
    return any(len(part.adapters) for part in layer.modules() if isinstance(part, AdaptedLinear)) or any(
        hasattr(part, "prefixes") for part in layer.modules()
    )
