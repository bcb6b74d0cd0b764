"""Attention of a few rows at a time, forward and backward: turned queries and keys, causal blocks, softmax, mixed values.

Queries and keys are turned as complex numbers. For that the rows of their matrices are put in pairs, which leaves every
score what it was. Of the scores only those at or below the diagonal's blocks are computed.

B batch, T time, H heads, W width of a head, K keys that a block of queries sees.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

aten = torch.ops.aten
BLOCK = 128
"""Queries of a block. Smaller ones skip more of the upper triangle, and make smaller products."""


@dataclass(frozen=True)
class Turns:
    """Rotary positions (Su et al. 2021, equation 34) as complex numbers."""

    numbers: torch.Tensor
    """(T, 2 x H x W / 2): for the queries, scaled by W^-0.5, then for the keys."""
    heads: int
    width: int

    @classmethod
    def of(cls, length: int, heads: int, width: int, base: float) -> Turns:
        """Return the turns of positions 0 to `length` - 1."""
        speed = base ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
        angles = torch.arange(length, dtype=torch.float32)[:, None] * speed
        turns = torch.polar(torch.ones_like(angles), angles).repeat(1, heads)
        return cls(torch.cat([turns * width**-0.5, turns], dim=1), heads, width)

    def paired(self, matrix: torch.Tensor) -> torch.Tensor:
        """Return a matrix whose rows 2i and 2i + 1 of each head are rows i and i + W / 2 of `matrix`."""
        return matrix.view(self.heads, 2, self.width // 2, -1).transpose(1, 2).reshape(matrix.shape)

    def unpaired(self, matrix: torch.Tensor) -> torch.Tensor:
        """Undo `paired`."""
        return matrix.view(self.heads, self.width // 2, 2, -1).transpose(1, 2).reshape(matrix.shape)


@dataclass(frozen=True)
class Heads:
    """Queries, keys and values of a few rows, each (B x H, T, W)."""

    query: torch.Tensor
    key: torch.Tensor
    value: torch.Tensor

    @classmethod
    def of(cls, joined: torch.Tensor, turns: Turns) -> Heads:
        """Return the heads of joined queries, keys and values (B, T, 3 x H x W), which may be overwritten."""
        rows, length, _ = joined.shape
        heads, width = turns.heads, turns.width
        pairs = joined[..., : 2 * heads * width].float()
        torch.view_as_complex(pairs.unflatten(-1, (-1, 2))).mul_(turns.numbers)
        turned = torch.empty(2, rows, heads, length, width, dtype=joined.dtype)
        turned.copy_(pairs.unflatten(-1, (2, heads, width)).permute(2, 0, 3, 1, 4))
        value = joined[..., 2 * heads * width :].unflatten(-1, (heads, width)).transpose(1, 2)
        query, key = turned.flatten(1, 2)
        return cls(query, key, value.reshape(rows * heads, length, width))


def attend(heads: Heads, mask: torch.Tensor, mixed: torch.Tensor) -> list[torch.Tensor]:
    """Write the mixed values (B, T, H x W) to `mixed`; return each block's shares (B x H, BLOCK, K).

    Args:
        heads: of these rows.
        mask: added to the scores (B, 1, T, T).
        mixed: where to write.
    """
    rows, length, _ = mixed.shape
    width = heads.query.shape[-1]
    out = mixed.unflatten(-1, (-1, width))
    shares = []
    for start in range(0, length, BLOCK):
        stop = min(start + BLOCK, length)
        scores = torch.bmm(heads.query[:, start:stop], heads.key[:, :stop].transpose(1, 2))
        scores.view(rows, -1, stop - start, stop).add_(mask[:, :, start:stop, :stop])
        share = torch._softmax(scores, -1, False, out=scores)
        part = torch.bmm(share, heads.value[:, :stop])
        out[:, start:stop].copy_(part.view(rows, -1, stop - start, width).transpose(1, 2))
        shares.append(share)
    return shares


def attend_back(
    heads: Heads, shares: list[torch.Tensor], slope: torch.Tensor, turns: Turns, of_joined: torch.Tensor
) -> None:
    """Write the slope of joined queries, keys and values (B, T, 3 x H x W) to `of_joined`.

    Args:
        heads: of these rows.
        shares: each block's, as `attend` returned them.
        slope: of the mixed values (B, T, H x W).
        turns: those of the forward pass.
        of_joined: where to write.
    """
    rows, length, _ = slope.shape
    width = turns.width
    of_mixed = slope.unflatten(-1, (-1, width)).transpose(1, 2).reshape(-1, length, width)
    turned = torch.empty(2, *of_mixed.shape, dtype=slope.dtype)
    of_query, of_key = turned
    of_value = torch.empty_like(of_mixed)
    # From the last block down: it sees every key, so that the others only add.
    for number in reversed(range(len(shares))):
        share, start = shares[number], number * BLOCK
        stop = start + share.shape[1]
        part = of_mixed[:, start:stop]
        scores = torch.bmm(part, heads.value[:, :stop].transpose(1, 2))
        scores = aten._softmax_backward_data(scores, share, -1, share.dtype)
        of_query[:, start:stop] = torch.bmm(scores, heads.key[:, :stop])
        key, value = (
            torch.bmm(scores.transpose(1, 2), heads.query[:, start:stop]),
            torch.bmm(share.transpose(1, 2), part),
        )
        if stop == length:
            of_key, of_value = key, value
        else:
            of_key[:, :stop] += key
            of_value[:, :stop] += value
    turned[1] = of_key
    pairs = turned.view(2, rows, -1, length, width).permute(1, 3, 0, 2, 4).float().flatten(2)
    torch.view_as_complex(pairs.unflatten(-1, (-1, 2))).mul_(turns.numbers.conj())
    of_joined[..., : pairs.shape[-1]] = pairs
    of_joined[..., pairs.shape[-1] :].unflatten(-1, (-1, width)).copy_(
        of_value.view(rows, -1, length, width).transpose(1, 2)
    )
