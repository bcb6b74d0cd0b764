"""Weights at rest in 8 or 4 bits: unpacked a matrix at a time, when a pass needs it, and never learned.

    pack(linear, 4)                 # an AdaptedLinear; its adapter learns on
    linear.weight                   # made anew, in the number type it had: nothing of that size is kept
    unpack(linear)                  # an ordinary weight again: what the codes say

8 bits: whole numbers of -127 to 127 times the scale of 64 columns. 4 bits: 0 to 15 times the scale of 32 columns, from their least
(as llama.cpp's Q4_1, so that a base that came from such a file is hardly changed). What is served later is what was trained on: a merge adds the change
to the unpacked weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import nn
from torch.nn import functional as F

from noria.core.memory import release_mapped

from .adapted import AdaptedLinear

Bits = Literal[8, 4]
GROUPS: dict[int, int] = {8: 64, 4: 32}
"""Columns that share a scale."""


@dataclass(frozen=True)
class Packed:
    """A matrix (rows, columns) in codes."""

    bits: Bits
    columns: int
    codes: torch.Tensor
    """int8 (rows, groups, 64), or uint8 (rows, groups, 16), the first half of a group in the low bits."""
    scales: torch.Tensor
    """(rows, groups, 1), float16."""
    least: torch.Tensor | None
    """Of 4 bits (rows, groups, 1), float16."""
    dtype: torch.dtype

    @classmethod
    def of(cls, weight: torch.Tensor, bits: Bits) -> Packed:
        """Return the codes nearest to a matrix."""
        size, columns = GROUPS[bits], weight.shape[1]
        filled = F.pad(weight.detach().float(), (0, -columns % size)).view(len(weight), -1, size)
        if bits == 8:
            scales = (filled.abs().amax(-1, keepdim=True) / 127).half()
            codes = (filled / scales.float().clamp_min(1e-12)).round_().clamp_(-127, 127).to(torch.int8)
            return cls(bits, columns, codes, scales, None, weight.dtype)
        least = filled.amin(-1, keepdim=True).half()
        scales = ((filled.amax(-1, keepdim=True) - least.float()) / 15).half()
        codes = ((filled - least.float()) / scales.float().clamp_min(1e-12)).round_().clamp_(0, 15).to(torch.uint8)
        low, high = codes.chunk(2, dim=-1)
        return cls(bits, columns, low | (high << 4), scales, least, weight.dtype)

    def unpacked(self, dtype: torch.dtype) -> torch.Tensor:
        """Return the matrix that the codes stand for (rows, columns)."""
        codes = self.codes if self.bits == 8 else torch.cat([self.codes & 15, self.codes >> 4], dim=-1)
        found = codes.to(dtype).mul_(self.scales.to(dtype))
        if self.least is not None:
            found += self.least.to(dtype)
        return found.flatten(1)[:, : self.columns]

    @property
    def numbers(self) -> int:
        """Return how many weights it holds."""
        return len(self.codes) * self.columns


class PackedLinear(AdaptedLinear):
    """A linear layer whose weights rest in codes; everything else of it is as it was."""

    packed: Packed

    @property
    def weight(self) -> torch.Tensor:  # type: ignore[override]
        """Return the weights, made anew (out, in)."""
        return self.packed.unpacked(self.packed.dtype)

    def rounded(self, dtype: torch.dtype) -> torch.Tensor:
        """Return the weights in a number type, made anew: to keep them would be to hold them unpacked."""
        return self.weight.to(dtype)


def pack(linear: AdaptedLinear, bits: Bits) -> None:
    """Let a layer's weights rest in codes, in place."""
    before = linear.weight.detach()
    packed = Packed.of(before, bits)
    del linear.weight
    linear.__class__ = PackedLinear
    cast(PackedLinear, linear).packed = packed
    release_mapped(before.data_ptr(), before.numel() * before.element_size())


def unpack(linear: PackedLinear) -> None:
    """Give a layer ordinary weights again, those that it computed with, in float32."""
    weight = linear.weight.float().contiguous()
    del linear.packed
    plain = cast(AdaptedLinear, linear)
    plain.__class__ = AdaptedLinear
    plain.weight = nn.Parameter(weight, requires_grad=False)


def packed_numbers(module: nn.Module) -> int:
    """Return how many weights of a module rest in codes: they are none of its parameters."""
    return sum(part.packed.numbers for part in module.modules() if isinstance(part, PackedLinear))
