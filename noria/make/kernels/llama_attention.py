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
    """Queries, keys and values of a few rows."""

    queries: list[torch.Tensor]
    """Each block's (B x H, BLOCK, W)."""
    key: torch.Tensor
    """(B x H, T, W), as is `value`."""
    value: torch.Tensor

    @classmethod
    def of(cls, joined: torch.Tensor, turns: Turns) -> Heads:
        """Return the heads of joined queries, keys and values (B, T, 3 x H x W), which may be overwritten."""
        heads, width = turns.heads, turns.width
        pairs = joined[..., : 2 * heads * width].float()
        torch.view_as_complex(pairs.unflatten(-1, (-1, 2))).mul_(turns.numbers)
        query, key = pairs.unflatten(-1, (2, heads, width)).unbind(2)
        value = joined[..., 2 * heads * width :].unflatten(-1, (heads, width))
        blocks = [_by_head(block, joined.dtype) for block in query.split(BLOCK, dim=1)]
        return cls(blocks, _by_head(key, joined.dtype), _by_head(value, joined.dtype))


def _by_head(parts: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return (B, T, H, W) as (B x H, T, W), contiguous, in `dtype`."""
    rows, length, heads, width = parts.shape
    out = torch.empty(rows, heads, length, width, dtype=dtype)
    return out.copy_(parts.transpose(1, 2)).flatten(0, 1)


def _until(parts: torch.Tensor, stop: int) -> torch.Tensor:
    """Return the first positions, contiguous: a product would copy them transposed, element by element."""
    return parts if stop == parts.shape[1] else parts[:, :stop].contiguous()


def attend(heads: Heads, mask: torch.Tensor, mixed: torch.Tensor) -> list[torch.Tensor]:
    """Write the mixed values (B, T, H x W) to `mixed`; return each block's shares (B x H, BLOCK, K).

    Args:
        heads: of these rows.
        mask: added to the scores (B, 1, T, T).
        mixed: where to write.
    """
    rows = len(mixed)
    out = mixed.unflatten(-1, (-1, heads.key.shape[-1]))
    shares, start = [], 0
    for query in heads.queries:
        stop = start + query.shape[1]
        key, value = _until(heads.key, stop), _until(heads.value, stop)
        scores = torch.bmm(query, key.transpose(1, 2))
        scores.unflatten(0, (rows, -1)).add_(mask[:, :, start:stop, :stop])
        share = torch._softmax(scores, -1, False, out=scores)
        part = torch.bmm(share, value)
        out[:, start:stop].copy_(part.unflatten(0, (rows, -1)).transpose(1, 2))
        shares.append(share)
        start = stop
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
    slope = slope.unflatten(-1, (-1, turns.width))
    pairs = torch.empty(rows, length, 2, turns.heads, turns.width)
    of_key, of_value = torch.empty(0), torch.empty(0)
    stop = length
    # From the last block down: it sees every key, so that the others only add.
    for query, share in zip(reversed(heads.queries), reversed(shares), strict=True):
        start = stop - query.shape[1]
        part = _by_head(slope[:, start:stop], share.dtype)
        scores = torch.bmm(part, _until(heads.value, stop).transpose(1, 2))
        scores = aten._softmax_backward_data(scores, share, -1, share.dtype)
        of_query = torch.bmm(scores, _until(heads.key, stop))
        pairs[:, start:stop, 0].copy_(of_query.unflatten(0, (rows, -1)).transpose(1, 2))
        key, value = torch.bmm(scores.transpose(1, 2), query), torch.bmm(share.transpose(1, 2), part)
        if stop == length:
            of_key, of_value = key, value
        else:
            of_key[:, :stop] += key
            of_value[:, :stop] += value
        stop = start
    pairs[:, :, 1].copy_(of_key.unflatten(0, (rows, -1)).transpose(1, 2))
    flat = pairs.flatten(2)
    torch.view_as_complex(flat.unflatten(-1, (-1, 2))).mul_(turns.numbers.conj())
    of_joined[..., : flat.shape[-1]] = flat
    of_joined[..., flat.shape[-1] :].unflatten(-1, (-1, turns.width)).copy_(
        of_value.unflatten(0, (rows, -1)).transpose(1, 2)
    )
