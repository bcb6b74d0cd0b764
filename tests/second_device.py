"""A second device that every machine has: its tensors say `meta`, hold real numbers, and mix with none of the processor's.

    with second_device():
        module.to("meta")                      # weights and buffers lie there now
        module(input_ids=ids.to("meta"))       # the same numbers as on the processor
        module(input_ids=ids)                  # RuntimeError: embedding: tensors of two devices

What a device would do by itself is done by the processor, one operator at a time, where torch hands operators over
(`__torch_dispatch__`). So training, judging and generation run through as on an accelerator, and a tensor that was left
behind is an error, as it is there. A number alone may come from the processor, as torch allows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

THERE = torch.device("meta")
CROSSING = (
    *("aten::copy_", "aten::_to_copy", "aten::_local_scalar_dense"),
    *("aten::index", "aten::index_put_"),
)
"""What torch lets take tensors of the processor too: copies, places and lengths given as numbers."""


class Far(torch.Tensor):
    """A tensor of the second device; `held` is its value."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Far:
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined, no-any-return]
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=THERE,
        )

    def __init__(self, held: torch.Tensor) -> None:
        self.held = held

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Far({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, operator: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        return _computed(operator, given, named or {})


class _Second(TorchDispatchMode):
    def __torch_dispatch__(self, operator: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        return _computed(operator, given, named or {})


def _computed(operator: Any, given: Any, named: dict[str, Any]) -> Any:
    name, far, near = operator._schema.name, list[Far](), list[torch.Tensor]()
    tree_map(lambda one: far.append(one) if isinstance(one, Far) else None, (given, named))
    tree_map(
        lambda one: near.append(one) if isinstance(one, torch.Tensor) and not isinstance(one, Far) else None,
        (given, named),
    )
    if far and name not in CROSSING and any(one.ndim for one in near):
        raise RuntimeError(f"{name}: tensors of two devices, {[tuple(one.shape) for one in near]} on the processor")
    wanted = named.get("device")
    if wanted is not None:
        named = {**named, "device": torch.device("cpu")}
        goes = torch.device(wanted).type == THERE.type
    else:
        goes = isinstance(given[0], Far) if name == "aten::copy_" else bool(far)
    known = {id(one.held): one for one in far}

    def back(one: Any) -> Any:
        if isinstance(one, torch.Tensor) and not isinstance(one, Far) and goes:
            return known[id(one)] if id(one) in known else Far(one)
        return one

    held = lambda one: one.held if isinstance(one, Far) else one  # noqa: E731
    return tree_map(back, operator(*tree_map(held, given), **tree_map(held, named)))


class _Made(TorchFunctionMode):
    """Makes tensors of Python numbers on the processor first, as torch does."""

    def __torch_function__(self, function: Any, types: Any, given: Any = (), named: Any = None) -> Any:
        named = named or {}
        if function in (torch.tensor, torch.as_tensor) and torch.device(named.get("device") or "cpu") == THERE:
            return function(*given, **{**named, "device": "cpu"}).to(THERE)
        return function(*given, **named)


@contextmanager
def second_device() -> Iterator[torch.device]:
    """Let the second device be there, and return it."""
    with _Second(), _Made():
        yield THERE
