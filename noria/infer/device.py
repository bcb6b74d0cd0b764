"""Where a model computes: the processor, or an accelerator where there is one. The one place that chooses and that moves.

    place = chosen("auto")                 # cuda, xpu or mps where torch finds one, else the processor
    named("auto")                          # the same as text; "cpu" without loading torch where the machine has nothing else
    module.to(place)
    moved(tensors, place_of(module))       # what a caller has on the processor, where the module is

Texts, batches, checkpoints and answers are on the processor always: they know nothing of devices, so that a run begun on one
goes on on another. What goes to an accelerator is copied from pinned memory, beside what is computed there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from noria.core.errors import SettingError, unknown
from noria.core.messages import message

if TYPE_CHECKING:
    import torch
    from torch import nn

KINDS = ("auto", "cpu", "cuda", "xpu", "mps")
_FILES = ("nvidia[0-9]*", "nvidiactl", "kfd", "dri/renderD*", "dxg")
"""What lies in /dev where Linux has an accelerator: NVIDIA's, AMD's, Intel's, or one of Windows beneath it."""
T = TypeVar("T", bound="nn.Module")


def named(name: str = "auto") -> str:
    """Return the device of a name as torch names it, such as "cpu" or "cuda:0"; arguments and errors as `chosen`.

    Engines that need no torch are asked this first, and a processor alone is to cost them nothing.
    """
    bare = sys.platform == "linux" and not any(one for file in _FILES for one in Path("/dev").glob(file))
    return "cpu" if name == "cpu" or (name == "auto" and bare) else str(chosen(name))


def chosen(name: str = "auto") -> torch.device:
    """Return the device of a name: auto, cpu, cuda, cuda:N, xpu, xpu:N or mps. Of several processes each takes its own.

    Raises:
        SettingError: the name is none of those, or there is no such device here.
    """
    import torch

    kind, _, number = name.partition(":")
    if kind not in KINDS or (number and (not number.isdigit() or kind in ("auto", "cpu", "mps"))):
        raise unknown("device", name, KINDS)
    if kind == "cpu":
        return torch.device("cpu")
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if kind == "auto":
        if found is None or found.type not in KINDS:
            return torch.device("cpu")
        kind = found.type
    count = torch.accelerator.device_count() if found is not None and found.type == kind else 0
    place = int(number or os.environ.get("LOCAL_RANK", "0"))
    if place >= count:
        there = (
            ", ".join(["cpu", *(f"{found.type}:{one}" for one in range(torch.accelerator.device_count()))])
            if found
            else "cpu"
        )
        raise SettingError(message("infer.no_device"), found=name, allowed=there)
    return torch.device(kind) if kind == "mps" else torch.device(kind, place)


def placed(module: T, device: torch.device) -> T:
    """Move a module there, in place, and return it."""
    import torch

    if device.index is not None:
        torch.accelerator.set_device_index(device.index)
    if place_of(module) != device:
        module.to(device)
        if callable(
            tie := getattr(module, "tie_weights", None)
        ):  # a device that gives new parameters gives each place its own
            tie()
    return module


def place_of(module: Any) -> torch.device:
    """Return where a module's weights are."""
    import torch

    first = next(iter(module.parameters()), None) if hasattr(module, "parameters") else None
    return torch.device("cpu") if first is None else first.device


def moved(tensors: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Return what of it are tensors on the device, and the rest as it is."""
    if device.type == "cpu":
        return tensors
    pin = device.type == "cuda"
    return {
        name: (one.pin_memory() if pin and one.device.type == "cpu" else one).to(device, non_blocking=pin)
        if hasattr(one, "to")
        else one
        for name, one in tensors.items()
    }
