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
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

THERE, PROCESSOR = torch.device("meta"), torch.device("cpu")
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
        named = named or {}
        if not types and named.get("device") in (None, PROCESSOR):  # of the processor alone
            return operator(*given, **named)
        return _computed(operator, given, named)


def _computed(operator: Any, given: Any, named: dict[str, Any]) -> Any:
    name, goes = operator._schema.name, False
    leaves, tree = tree_flatten((given, named))
    known, near = dict[int, Far](), list[torch.Tensor]()
    for place, one in enumerate(leaves):
        if isinstance(one, Far):
            leaves[place] = one.held
            known[id(one.held)] = one
        elif isinstance(one, torch.Tensor) and one.ndim:
            near.append(one)
        elif isinstance(one, torch.device):
            leaves[place], goes = PROCESSOR, one.type == THERE.type
    if known and near and name not in CROSSING:
        raise RuntimeError(f"{name}: tensors of two devices, {[tuple(one.shape) for one in near]} on the processor")
    if named.get("device") is None:
        goes = isinstance(given[0], Far) if name == "aten::copy_" else bool(known)
    given, named = tree_unflatten(leaves, tree)
    if torch.is_inference_mode_enabled():  # torch knows no views of its wrappers there
        with torch.inference_mode(False), torch.no_grad():
            return _back(operator(*given, **named), known, goes)
    return _back(operator(*given, **named), known, goes)


def _back(found: Any, known: dict[int, Far], goes: bool) -> Any:
    """Return what an operator gave as tensors of the second device, where it goes there; what was changed in place is itself."""
    if not goes:
        return found

    def back(one: Any) -> Any:
        return (known[id(one)] if id(one) in known else Far(one)) if isinstance(one, torch.Tensor) else one

    return back(found) if isinstance(found, torch.Tensor) else tree_map(back, found)


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
