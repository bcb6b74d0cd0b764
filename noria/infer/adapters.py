"""Adapters on a model that is served: bottlenecks and prefixes, which no weight can take in, and LoRAs that each text chooses.

What the first two are is said in `adapter/adapter_config.json` of the model folder, whose own LoRA was merged when it was written;
LoRAs of other folders stay beside the weights, so that one base answers with any of them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from transformers import AttentionInterface, PreTrainedConfig

from noria.core.errors import FolderError
from noria.core.messages import message

from .loras import CONFIG, ROOT, WEIGHTS, check_fit, lora_folder, read_lora

_NAME = "noria_served_prefix"
Parts = dict[str, dict[str, torch.Tensor]]
"""Path of a matrix or an attention -> name -> tensor."""


class Loras:
    """LoRAs beside a model's matrices; which of them each row of a batch has is said where it is computed.

    Args:
        model: the base.
        folders: name -> where a LoRA lies; "" names none.

    Raises:
        FolderError: one is missing, damaged, no plain LoRA, or made for another base.
    """

    def __init__(self, model: nn.Module, folders: Mapping[str, Path]) -> None:
        matrices = {path: part for path, part in model.named_modules() if isinstance(part, nn.Linear)}
        self._places: dict[str, Any] = {}
        """Name -> the rows that have it."""
        held: dict[str, dict[str, tuple[torch.Tensor, torch.Tensor]]] = {}
        for name, folder in folders.items():
            changes = read_lora(lora_folder(folder))
            check_fit(folder, changes, {path: tuple(part.weight.shape) for path, part in matrices.items()})
            for path, change in changes.items():
                down, up = (torch.from_numpy(one).to(matrices[path].weight) for one in (change.down, change.up))
                held.setdefault(path, {})[name] = (down, up)
        for path, own in held.items():
            matrices[path].register_forward_hook(self._changed(own))

    @contextmanager
    def chosen(self, rows: Sequence[str]) -> Iterator[None]:
        """Give each row of what is computed inside the block its LoRA."""
        names = set(rows)
        if len(names) == 1:
            self._places = {name: slice(None) for name in names if name}
        else:
            places = {name: [place for place, one in enumerate(rows) if one == name] for name in names if name}
            self._places = {name: torch.tensor(own) for name, own in places.items()}
        try:
            yield
        finally:
            self._places = {}

    def _changed(self, own: Mapping[str, tuple[torch.Tensor, torch.Tensor]]) -> Callable[..., torch.Tensor]:
        def change(module: nn.Module, given: tuple[torch.Tensor, ...], y: torch.Tensor) -> torch.Tensor:
            for name, places in self._places.items():
                if name in own:
                    down, up = own[name]
                    y[places] += F.linear(F.linear(given[0][places], down), up)
            return y

        return change


class _Attention(Protocol):
    """What is used of transformers' attentions, whatever the architecture."""

    config: PreTrainedConfig
    is_causal: bool
    served_prefix: bool
    prefix_key: torch.Tensor
    prefix_value: torch.Tensor


def put_back(model: nn.Module, folder: Path) -> None:
    """Put the adapter of a model folder on its model, in place.

    Raises:
        FolderError: it is missing, cannot be read, is of an unknown kind or was made for another model.
    """
    place = folder / "adapter"
    try:
        config = json.loads((place / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(place / WEIGHTS)
        kind = config["noria"]["kind"]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise FolderError(message("infer.adapter_cannot", place=place), found=str(error).strip()) from None
    wanted = {"bottleneck": ("down", "down_bias", "up", "up_bias"), "prefix": ("key", "value")}.get(kind)
    if wanted is None:
        raise FolderError(message("infer.adapter_unknown", place=place), found=kind, allowed="bottleneck, prefix")
    parts: Parts = {}
    for name, tensor in tensors.items():
        path, _, last = name.removeprefix(ROOT).rpartition(".")
        if last in wanted:  # the others are of heads, which the model's own weights hold
            parts.setdefault(path, {})[last] = tensor
    known = dict(model.named_modules())
    strange = next((path for path in parts if path not in known), None)
    if strange or not parts or any(set(part) != set(wanted) for part in parts.values()):
        raise FolderError(
            message("infer.adapter_made", place=place), found=strange or message("infer.parts", parts=len(parts))
        )
    for path, part in parts.items():
        if kind == "bottleneck":
            _keep(known[path], part)
            known[path].register_forward_hook(_bottleneck)
        else:
            _hold(known[path], part)


def _keep(module: nn.Module, part: dict[str, torch.Tensor], prefix: str = "served") -> None:
    """Let tensors go where the module goes, and into no file."""
    for name, tensor in part.items():
        module.register_buffer(f"{prefix}_{name}", tensor, persistent=False)


def _bottleneck(module: nn.Module, given: Any, y: torch.Tensor) -> torch.Tensor:
    """Return what the small layer after one matrix makes: y + up(gelu(down(y))) (Houlsby et al. 2019; Pfeiffer et al. 2021)."""
    names = ("down", "down_bias", "up", "up_bias")
    down, down_bias, up, up_bias = (getattr(module, f"served_{name}").to(y.dtype) for name in names)
    return y + F.linear(F.gelu(F.linear(y, down, down_bias)), up, up_bias)


def _hold(module: nn.Module, part: dict[str, torch.Tensor]) -> None:
    """Make an attention put its prefix (heads, tokens, width) before every text's keys and values (Li and Liang 2021)."""
    _keep(module, part, "prefix")
    attention = cast(_Attention, module)
    attention.served_prefix = True
    # A configuration of its own: masks are still made as the model's says.
    attention.config = copy.copy(attention.config)
    attention.config._attn_implementation = _NAME


def _attend(
    module: _Attention,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    position_bias: torch.Tensor | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Return values mixed by keys, prefix first (B, T, heads, W), in the form of transformers' attention functions."""
    length, past = query.shape[2], key.shape[2]
    if attention_mask is None and module.is_causal and length > 1:
        attention_mask = torch.ones(length, past, dtype=torch.bool, device=query.device).tril(past - length)
    prefix = (module.prefix_key, module.prefix_value)
    keys, values = (one.to(key.dtype).expand(len(query), -1, -1, -1) for one in prefix)
    before = keys.shape[2]
    key, value = torch.cat([keys, key], dim=2), torch.cat([values, value], dim=2)
    if attention_mask is not None:
        attention_mask = F.pad(attention_mask, (before, 0), value=attention_mask.dtype == torch.bool)
    if position_bias is not None:
        bias = F.pad(position_bias, (before, 0))
        if attention_mask is not None and attention_mask.dtype == torch.bool:
            bias = bias.masked_fill(~attention_mask, torch.finfo(bias.dtype).min)
        elif attention_mask is not None:
            bias = bias + attention_mask
        attention_mask = bias
    if attention_mask is not None and attention_mask.dtype != torch.bool:
        attention_mask = attention_mask.to(query.dtype)
    groups = query.shape[1] // key.shape[1]
    mixed = F.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, scale=scaling, enable_gqa=groups > 1
    )
    return mixed.transpose(1, 2).contiguous(), None


AttentionInterface.register(_NAME, _attend)
