"""Attention of tokens that lie one document behind another, without filling: grouped queries, forward and backward.

Forward it is torch's fused product. Its backward pass takes seven times as long as its forward pass on a processor, so that is
written out: shares are computed again, 128 queries at a time, of a group of heads that share keys in one product.

N tokens of all documents, T of one window, H heads, K heads of keys and values, G = H / K, W width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

aten = torch.ops.aten
BLOCK = 128
"""Queries of a block; also the tokens up to which short documents share a window."""


@dataclass(frozen=True)
class Window:
    """Documents of one length, or short ones that share a row under a mask."""

    start: int
    rows: int
    length: int
    mask: torch.Tensor | None = None
    """What is added to scores (T, T); None: each position sees all before it."""

    @property
    def stop(self) -> int:
        """Return the place behind its last token."""
        return self.start + self.rows * self.length


@dataclass(frozen=True)
class Shape:
    """Heads of a layer, and by what its scores are multiplied."""

    heads: int
    key_heads: int
    width: int
    scale: float

    @property
    def queries(self) -> int:
        """Return the columns of all queries."""
        return self.heads * self.width

    @property
    def turned(self) -> int:
        """Return how many heads of queries and keys there are."""
        return self.heads + self.key_heads


def windows(lengths: Sequence[int], dtype: torch.dtype) -> list[Window]:
    """Return the windows of documents of these lengths that lie behind one another.

    >>> [(one.start, one.rows, one.length, one.mask is None) for one in windows([300, 300, 20, 30], torch.float32)]
    [(0, 2, 300, True), (600, 1, 50, False)]
    """
    found: list[Window] = []
    place, start = 0, 0
    while place < len(lengths):
        stop = place + 1
        if 2 * lengths[place] <= BLOCK:
            while stop < len(lengths) and sum(lengths[place : stop + 1]) <= BLOCK:
                stop += 1
        own = lengths[place:stop]
        if len(own) > 1:
            numbers = torch.repeat_interleave(torch.arange(len(own)), torch.tensor(own))
            seen = (numbers[:, None] == numbers).tril_()
            mask = torch.zeros(seen.shape, dtype=dtype).masked_fill_(~seen, torch.finfo(dtype).min)
            found.append(Window(start, 1, sum(own), mask))
        elif found and found[-1].mask is None and found[-1].length == own[0]:
            found[-1] = Window(found[-1].start, found[-1].rows + 1, own[0])
        else:
            found.append(Window(start, 1, own[0]))
        place, start = stop, start + sum(own)
    return found


class Attend(torch.autograd.Function):
    """Joined queries, keys and values (N, (H + 2 K) x W), which are turned in place -> mixed values (N, H x W)."""

    @staticmethod
    def forward(
        ctx: Any, joined: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, parts: list[Window], shape: Shape
    ) -> torch.Tensor:
        """Return the mixed values; nothing is kept but what is joined."""
        turn(joined, cosine, sine, shape)
        mixed = joined.new_empty(len(joined), shape.queries)
        for part in parts:
            query, key, value = _by_heads(joined, part, shape)
            out = F.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=part.mask,
                is_causal=part.mask is None,
                scale=shape.scale,
                enable_gqa=shape.heads != shape.key_heads,
            )
            place = mixed[part.start : part.stop].view(part.rows, part.length, shape.heads, shape.width)
            place.copy_(out.transpose(1, 2))
        ctx.save_for_backward(joined, cosine, sine)
        ctx.parts, ctx.shape = parts, shape
        return mixed

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the slope of what is joined."""
        joined, cosine, sine = ctx.saved_tensors
        slope, of_joined = slopes[0], torch.empty_like(joined)
        for part in ctx.parts:
            _back(joined, slope, of_joined, part, ctx.shape)
        turn(of_joined, cosine, -sine, ctx.shape)
        return of_joined, None, None, None, None


def turn(joined: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, shape: Shape) -> None:
    """Turn queries and keys by their positions, in place (Su et al. 2021, equation 34; halves of a head as one number).

    Args:
        joined: (N, (H + 2 K) x W).
        cosine, sine: (N, 1, W / 2), those that transformers computes.
        shape: of the layer.
    """
    halves = joined[:, : shape.turned * shape.width].view(len(joined), shape.turned, 2, -1)
    left, right = halves.unbind(2)
    before = left.clone()
    left.mul_(cosine).addcmul_(right, sine, value=-1)
    right.mul_(cosine).addcmul_(before, sine)


def _by_heads(joined: torch.Tensor, part: Window, shape: Shape) -> tuple[torch.Tensor, ...]:
    """Return a window's queries (B, H, T, W), keys and values (B, K, T, W), as views."""
    own = joined[part.start : part.stop].view(part.rows, part.length, -1, shape.width).transpose(1, 2)
    return tuple(own.split([shape.heads, shape.key_heads, shape.key_heads], dim=1))


def _back(joined: torch.Tensor, slope: torch.Tensor, of_joined: torch.Tensor, part: Window, shape: Shape) -> None:
    """Write the slope of a window's turned queries, keys and values."""
    query, key, value = _by_heads(joined, part, shape)
    of_query, of_key, of_value = _by_heads(of_joined, part, shape)
    mixed = slope[part.start : part.stop].view(part.rows, part.length, shape.heads, shape.width).transpose(1, 2)
    rows, count, group = part.rows, part.rows * shape.key_heads, shape.heads // shape.key_heads
    keys, values = (one.reshape(count, part.length, shape.width) for one in (key, value))
    sum_key, sum_value = torch.empty(0), torch.empty(0)
    # From the last block up: it sees every key, so that the others only add.
    for start in range((part.length - 1) // BLOCK * BLOCK, -1, -BLOCK):
        stop = min(start + BLOCK, part.length)
        size = stop - start

        def grouped(one: torch.Tensor) -> torch.Tensor:
            return one[:, :, start:stop].reshape(count, group * size, shape.width)  # noqa: B023 - used at once

        queries, slopes = grouped(query).mul(shape.scale), grouped(mixed)
        seen = keys[:, :stop]
        scores = torch.bmm(queries, seen.transpose(1, 2))
        blocks = scores.view(count, group, size, stop)
        if part.mask is not None:
            blocks += part.mask[start:stop, :stop]
        else:
            blocks[..., start:] += _later(size, scores.dtype)
        shares = torch._softmax(scores, -1, False, out=scores)
        value_slope = torch.bmm(shares.transpose(1, 2), slopes)
        of_scores = torch.bmm(slopes, values[:, :stop].transpose(1, 2))
        of_scores = aten._softmax_backward_data(of_scores, shares, -1, shares.dtype)
        of_queries = torch.bmm(of_scores, seen).view(rows, shape.heads, size, shape.width)
        torch.mul(of_queries, shape.scale, out=of_query[:, :, start:stop])
        key_slope = torch.bmm(of_scores.transpose(1, 2), queries)
        if stop == part.length:
            sum_key, sum_value = key_slope, value_slope
        else:
            sum_key[:, :stop] += key_slope
            sum_value[:, :stop] += value_slope
    of_key.copy_(sum_key.view(of_key.shape))
    of_value.copy_(sum_value.view(of_value.shape))


def _later(size: int, dtype: torch.dtype) -> torch.Tensor:
    """Return what hides later positions of a block of its own (T, T)."""
    return torch.full((size, size), torch.finfo(dtype).min, dtype=dtype).triu_(1)
