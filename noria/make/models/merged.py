"""A decoder with the change of its adapter added -> model.safetensors, a matrix at a time: the module stays as it is.

What is written is float32, whatever the base rests in: a change is smaller than the last bit of a half weight. No more than one matrix of a layer
is ever held in it, and of a table of embeddings some rows, so that writing takes no memory that training did not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from noria.core.errors import plain_errors
from noria.make.quiet import quiet_transformers

from .adapt import base_state, parts
from .lora import WeightChange
from .packed import PackedLinear

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Pieces = Callable[[], Iterator[torch.Tensor]]
"""Makes a tensor, some of its rows after the others."""
ROWS = 4096
"""Rows that are held in float32 at once, of a tensor that nothing is added to."""


@torch.no_grad()
def write_merged(module: PreTrainedModel, folder: Path) -> None:
    """Write configuration and merged weights as `save_pretrained` writes them, where names in files are those of the module.

    Raises:
        ResourceError: the disk is full.
    """
    made = _tensors(module)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    stop = 0
    for name, (shape, _) in made.items():
        start, stop = stop, stop + 4 * shape.numel()
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [start, stop]}
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 8)
    with plain_errors(), (folder / "model.safetensors").open("wb") as file:
        file.write(len(told).to_bytes(8, "little") + told)
        for _, make in made.values():
            for piece in make():
                file.write(piece.contiguous().numpy().data)
    config = module.config
    config.architectures, before = [type(module).__name__], config.dtype
    config.dtype = torch.float32
    with quiet_transformers():
        config.save_pretrained(folder)
        if module.generation_config is not None:
            module.generation_config.save_pretrained(folder)
    config.dtype = before


def _tensors(module: PreTrainedModel) -> dict[str, tuple[torch.Size, Pieces]]:
    """Return name -> shape, and what makes the tensor; of tied ones the first."""
    changes = {f"{path}.weight": cast(WeightChange, part) for path, part in parts(module)}
    found: dict[str, tuple[torch.Size, Pieces]] = {}
    seen: set[int] = set()
    for path, part in module.named_modules():
        if isinstance(part, PackedLinear):
            size = torch.Size((part.out_features, part.in_features))
            found[f"{path}.weight"] = size, partial(_unpacked, part)
    for name, tensor in base_state(module).items():
        if tensor.data_ptr() not in seen:
            found[name] = tensor.shape, partial(_rows, tensor)
        seen.add(tensor.data_ptr())
    return {
        name: (shape, partial(_changed, make, changes[name]) if name in changes else make)
        for name, (shape, make) in found.items()
    }


def _unpacked(linear: PackedLinear) -> Iterator[torch.Tensor]:
    yield linear.weight.float()  # with the rounding that it was trained with


def _rows(tensor: torch.Tensor) -> Iterator[torch.Tensor]:
    yield from (part.float() for part in (tensor.split(ROWS) if tensor.ndim else (tensor,)))


def _changed(make: Pieces, change: WeightChange) -> Iterator[torch.Tensor]:
    yield torch.cat(list(make())) + change.delta()
