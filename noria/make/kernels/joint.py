"""Matrices that share their input, as one product: their changes of low rank stand beside them as columns more.

    joint = Joint([layer.q_proj, layer.k_proj, layer.v_proj])
    joint.hold(torch.bfloat16)         # weights at rest lie in one tensor from here on; each keeps its name and shape
    y = joint.forward(rows, joint.tensors())

A change W + scale up @ down costs one thin product: the input times all `down`, beside the input; all `scale up`, beside W.
N tokens, I inputs, O outputs of all matrices, R ranks of all changes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from noria.core.memory import release_mapped
from noria.make.models.adapted import AdaptedLinear
from noria.make.models.lora import WeightChange


def change_of(linear: nn.Linear) -> WeightChange | None:
    """Return the change of low rank that a matrix has in use."""
    found = linear.adapter if isinstance(linear, AdaptedLinear) else None
    return found if isinstance(found, WeightChange) else None


class Joint:
    """Matrices of one input.

    Args:
        linears: in the order of their outputs.
    """

    def __init__(self, linears: Sequence[nn.Linear]) -> None:
        self.linears = list(linears)
        self.rows = [one.out_features for one in linears]
        self.inputs = linears[0].in_features
        self._held: torch.Tensor | None = None

    def hold(self, dtype: torch.dtype) -> None:
        """Let weights at rest lie in one tensor, with room for the changes that they have now."""
        held = torch.zeros(sum(self.rows), self.inputs + rank_of(self.tensors()), dtype=dtype)
        for place, linear in zip(held[:, : self.inputs].split(self.rows), self.linears, strict=True):
            before = linear.weight.detach()
            place.copy_(before)
            linear.weight = nn.Parameter(place, requires_grad=False)
            release_mapped(before.data_ptr(), before.numel() * before.element_size())
        self._held = held

    def tensors(self) -> list[torch.Tensor | None]:
        """Return what may learn: of every matrix its weight, its bias, and up and down of its change, where it has them."""
        found: list[torch.Tensor | None] = []
        for linear in self.linears:
            change = change_of(linear)
            found += [linear.weight, linear.bias, *((None, None) if change is None else change.factors())]
        return found

    def wide(self, tensors: Sequence[torch.Tensor | None], dtype: torch.dtype) -> torch.Tensor:
        """Return the matrices, and beside them what every change has as scale times up, (O, I + R)."""
        columns = self.inputs + rank_of(tensors)
        if self._held is not None and self._held.dtype == dtype and self._held.shape[1] >= columns:
            found = self._held[:, :columns]
        else:
            found = torch.zeros(sum(self.rows), columns, dtype=dtype)
            for place, linear in zip(found[:, : self.inputs].split(self.rows), self.linears, strict=True):
                place.copy_(linear.weight.detach())
        column = self.inputs
        for place, linear, up in zip(found.split(self.rows), self.linears, tensors[2::4], strict=True):
            if up is not None:
                torch.mul(up.detach(), _scale(linear), out=place[:, column : column + up.shape[1]])
                column += up.shape[1]
        return found

    def room(self, count: int, tensors: Sequence[torch.Tensor | None], dtype: torch.dtype) -> torch.Tensor:
        """Return where `count` inputs and what the changes make of them are to be written, (N, I + R)."""
        return torch.empty(count, self.inputs + rank_of(tensors), dtype=dtype)

    def forward(self, rows: torch.Tensor, tensors: Sequence[torch.Tensor | None]) -> torch.Tensor:
        """Return the outputs (N, O) of inputs in the first columns of `rows`, the others of which are filled here."""
        dtype = rows.dtype
        if rows.shape[1] > self.inputs:
            rows[:, self.inputs :] = rows[:, : self.inputs] @ _downs(tensors, dtype).T
        bias = self._bias(tensors, dtype)
        wide = self.wide(tensors, dtype)
        return rows @ wide.T if bias is None else torch.addmm(bias, rows, wide.T)

    def backward(
        self,
        slope: torch.Tensor,
        inputs: torch.Tensor,
        thin: torch.Tensor,
        tensors: Sequence[torch.Tensor | None],
        needed: Sequence[bool],
    ) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
        """Return the slope of the inputs, and that of everything in `tensors` that is needed.

        Args:
            slope: of the outputs (N, O).
            inputs: (N, I), or what times the columns of a norm's weight is the inputs (see `Normed`).
            thin: what `forward` wrote behind the inputs (N, R).
            tensors: as given to `forward`.
            needed: which of them learn.
        """
        both = slope @ self.wide(tensors, slope.dtype)
        of_inputs, of_thin = both[:, : self.inputs], both[:, self.inputs :]
        found: list[torch.Tensor | None] = [None] * len(tensors)
        if thin.shape[1]:
            of_inputs = torch.addmm(of_inputs, of_thin, _downs(tensors, slope.dtype))
            of_downs = of_thin.T @ inputs
        start = column = 0
        for number, (linear, size) in enumerate(zip(self.linears, self.rows, strict=True)):
            weight, bias, up, down = tensors[4 * number : 4 * number + 4]
            part, place = slope[:, start : start + size], 4 * number
            if needed[place] and weight is not None:
                found[place] = (part.T @ inputs).to(weight.dtype)
            if needed[place + 1] and bias is not None:
                found[place + 1] = part.sum(0, dtype=torch.float32).to(bias.dtype)
            if up is not None and down is not None:
                columns = slice(column, column + up.shape[1])
                # The thin side first: its transpose is the shape that products of tall matrices are fastest in here.
                found[place + 2] = (thin[:, columns].T @ part).T.to(up.dtype) * _scale(linear)
                found[place + 3] = of_downs[columns].to(down.dtype)
                column = columns.stop
            start += size
        return of_inputs, found

    def _bias(self, tensors: Sequence[torch.Tensor | None], dtype: torch.dtype) -> torch.Tensor | None:
        biases = tensors[1::4]
        if all(one is None for one in biases):
            return None
        parts = zip(self.rows, biases, strict=True)
        return torch.cat([torch.zeros(size) if one is None else one.detach() for size, one in parts]).to(dtype)


def rank_of(tensors: Sequence[torch.Tensor | None]) -> int:
    """Return the ranks of all changes among what `Joint.tensors` gives."""
    return sum(up.shape[1] for up in tensors[2::4] if up is not None)


def _downs(tensors: Sequence[torch.Tensor | None], dtype: torch.dtype) -> torch.Tensor:
    return torch.cat([down.detach() for down in tensors[3::4] if down is not None]).to(dtype)


def _scale(linear: nn.Linear) -> float:
    change = change_of(linear)
    assert change is not None
    return change.scale
