"""All state of a run in one safetensors file; resume is bit-exact.

What learns (and the buffers), optimiser state and the states of the random number generators are tensors; counts and the
best evaluation so far are JSON in the file's header. Weights that do not learn are the base's and are not written again:
a run with adapters has checkpoints as small as its adapters. Nothing is pickled. The file is replaced whole or not at all.
"""

from __future__ import annotations

import errno
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import xxhash
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from noria.core.errors import FolderError
from noria.core.folder import new_file
from noria.core.messages import message

from .rng_state import RngState

States = dict[int, dict[str, torch.Tensor]]
"""Number of a parameter in the optimiser -> name -> value: `optimizer.state_dict()["state"]`, every tensor whole."""


@dataclass(frozen=True)
class Position:
    """How far a run is."""

    step: int = 0
    """Optimiser steps done; the next step's batches are `batches.at(step)`."""
    tokens: int = 0
    """Tokens trained on."""
    seconds: float = 0.0
    """Time spent training, evaluations and checkpoints apart."""
    best_step: int = 0
    """Step after which the best evaluation was made; 0 before the first, or where no step made it better."""
    best_score: float | None = None
    """Score of the best evaluation; higher is better."""
    judged: int = -1
    """Step after which the last evaluation was made; -1 before the first."""
    elapsed: float = 0.0
    """Time of the whole run so far, what came before the first step included; what a kill lost is not counted."""


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return parameters and persistent buffers by name, shared ones once."""
    kept = set(module.state_dict())
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: tensor.detach() for name, tensor in tensors.items() if name in kept}


def learned(module: nn.Module) -> dict[str, torch.Tensor]:
    """Return what training changes, by name: the parameters that learn, and the persistent buffers."""
    frozen = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    return {name: tensor for name, tensor in weights(module).items() if name not in frozen}


def frozen_hash(module: nn.Module) -> str:
    """Return the hash (XXH3, 128 bits) of the weights that do not learn: a checkpoint is worth nothing without the same.

    It reads about 10 GB a second, so that even a large base is no matter.
    """
    own = learned(module)
    digest = xxhash.xxh3_128()
    for name, tensor in sorted(weights(module).items()):
        if name not in own:
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_checkpoint(path: Path, module: nn.Module, states: States, position: Position) -> None:
    """Write all state to `path`, whole or not at all; it does not tell how many processes there were.

    Raises:
        ResourceError: the disk is full or cannot be written; the old checkpoint stays.
    """
    tensors = {f"model/{name}": tensor for name, tensor in learned(module).items()}
    for number, state in states.items():
        tensors.update({f"optimizer/{number}/{key}": value for key, value in state.items()})
    numbers, rest = RngState.now().as_tensors()
    save_tensors(path, tensors | numbers, {"position": asdict(position), "random": rest})


def load_checkpoint(path: Path, module: nn.Module) -> tuple[Position, States]:
    """Set module and random number generators to the state in `path`; return how far the run was, and the optimiser's state.

    Raises:
        FolderError: the file cannot be read, or is of another module.
    """
    try:
        with safe_open(path, framework="pt") as file:
            notes = json.loads(file.metadata()["noria"])
        tensors = load_file(path)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise FolderError(
            message("errors.unreadable", path=path), found=str(error), hint=message("make.remove_train")
        ) from None
    own = {name.removeprefix("model/"): tensor for name, tensor in tensors.items() if name.startswith("model/")}
    restore_weights(module, own, path)
    states: States = {}
    for name, tensor in tensors.items():
        if match := re.fullmatch(r"optimizer/(\d+)/(\w+)", name):
            states.setdefault(int(match[1]), {})[match[2]] = tensor
    RngState.of(tensors, notes["random"]).restore()
    return Position(**notes["position"]), states


def restore_weights(module: nn.Module, tensors: dict[str, torch.Tensor], path: Path | str) -> None:
    """Copy what was learned into the module, by name.

    Raises:
        FolderError: names or shapes are not those of what learns in the module.
    """
    own = learned(module)
    if {name: t.shape for name, t in own.items()} != {name: t.shape for name, t in tensors.items()}:
        raise FolderError(message("make.another_model", path=path), hint=message("make.remove_train"))
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def save_tensors(path: Path, tensors: dict[str, torch.Tensor], notes: dict[str, Any]) -> None:
    """Write tensors and JSON-able notes as one safetensors file, whole or not at all.

    Raises:
        ResourceError: the disk is full or cannot be written; the old file stays.
    """
    with new_file(path) as part:
        try:
            save_file({name: t.cpu().contiguous() for name, t in tensors.items()}, part, {"noria": json.dumps(notes)})
        except SafetensorError as error:
            # The writer hides the system's error number in its words.
            found = re.search(r"os error (\d+)", str(error))
            raise OSError(int(found[1]) if found else errno.EIO, str(error), str(path)) from None
