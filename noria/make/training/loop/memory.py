"""Memory that a run will take against the memory there is: told before the start, refused where it cannot suffice.

Weights are there already when a run is planned. What comes on top is known in part (gradients as large as what learns,
AdamW's two means twice as large) and measured in part: activations are what one pass over a small batch adds, carried
over to the largest batch, and then what a whole step over the largest batch really took.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from noria.core.errors import ResourceError
from noria.core.messages import message
from noria.machine import available_memory

PROCESSOR = torch.device("cpu")
_WITHOUT = ("cpu", "mps", "meta")
"""Devices whose memory is the process's own, or that count none."""
MARGIN = 1.05
"""What a prediction is multiplied by: allocators round up, and batches are not quite alike."""


@dataclass(frozen=True)
class Need:
    """Bytes that a run will take beyond those it has already taken."""

    state: int
    """Gradients and the optimiser's means."""
    activations: int
    """What the passes over the largest batch hold at their peak."""
    margin: float = MARGIN
    held: int = 0
    """Taken already when that was measured."""

    @property
    def bytes(self) -> int:
        """Return all of it."""
        return int(self.margin * (self.state + self.activations))


def state_bytes(module: nn.Module) -> int:
    """Return the bytes of gradients and of AdamW's two means for what learns."""
    return 3 * sum(p.numel() * p.element_size() for p in module.parameters() if p.requires_grad)


def check(need: Need, available_bytes: int, title: str) -> None:
    """Refuse a run that cannot fit.

    Raises:
        ResourceError: says what is needed, what is there and what to lower.
    """
    if need.bytes <= available_bytes:
        return
    if need.state > need.activations:
        hint = message("make.let_less")
    else:
        hint = message("make.lower_tokens")
    raise ResourceError(
        message(
            "errors.memory",
            title=title,
            need=gigabytes(need.bytes),
            state=gigabytes(need.state),
            activations=gigabytes(need.activations),
            free=gigabytes(available_bytes),
        ),
        hint=hint,
    )


def gigabytes(count: float) -> str:
    """Return bytes as words.

    >>> gigabytes(1_340_000_000), gigabytes(2_500_000)
    ('1.3 GB', '2.5 MB')
    """
    return f"{count / 1e9:,.1f} GB" if count >= 1e8 else f"{count / 1e6:,.1f} MB"


def free(device: torch.device = PROCESSOR) -> int:
    """Return the bytes that may still be taken where a run computes."""
    return available_memory() if device.type in _WITHOUT else torch.accelerator.get_memory_info(device)[0]


def taken(device: torch.device = PROCESSOR) -> int:
    """Return the bytes of memory that this process holds: its resident set, or what it has of an accelerator's."""
    if device.type in _WITHOUT:
        return _kilobytes(Path("/proc/self/status"), "VmRSS")
    return torch.accelerator.memory_allocated(device)


def forget_peak(device: torch.device = PROCESSOR) -> None:
    """Let `peak` begin anew; where the system does not allow it, `peak` stays that of the whole process."""
    if device.type not in _WITHOUT:
        torch.accelerator.reset_peak_memory_stats(device)
        return
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak(device: torch.device = PROCESSOR) -> int:
    """Return the most bytes that this process held since `forget_peak`."""
    if device.type in _WITHOUT:
        return _kilobytes(Path("/proc/self/status"), "VmHWM")
    return torch.accelerator.max_memory_allocated(device)


def _kilobytes(file: Path, name: str) -> int:
    # Without the file (not Linux) nothing is known, and nothing is refused.
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", file.read_text(), re.MULTILINE)
    except OSError:
        return 2**62
    return int(found[1]) * 1024 if found else 2**62
