"""The states of all random number generators that a run draws from: torch's, NumPy's and Python's."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor


def seed_all(seed: int) -> None:
    """Seed every generator."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


@dataclass(frozen=True)
class RngState:
    """Where the generators stood at one moment."""

    torch: Tensor
    numpy: tuple[Any, ...]
    python: tuple[Any, ...]
    device: Tensor | None = None
    """Of the accelerator that is used, where one is."""

    @classmethod
    def now(cls) -> RngState:
        """Return where they stand."""
        numpy, device = tuple(np.random.get_state(legacy=True)), _accelerator()
        return cls(torch.get_rng_state(), numpy, random.getstate(), device and device.get_rng_state())

    @classmethod
    def of(cls, tensors: dict[str, Tensor], rest: dict[str, Any]) -> RngState:
        """Return what `as_tensors` was given."""
        place, has_gauss, gauss = rest["numpy"]
        keys = tensors["random/numpy"].numpy().astype(np.uint32)
        version, next_gauss = rest["python"]
        numbers = tuple(tensors["random/python"].tolist())
        known = ("MT19937", keys, place, has_gauss, gauss)
        return cls(tensors["random/torch"], known, (version, numbers, next_gauss), tensors.get("random/device"))

    def as_tensors(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the states as tensors and as what JSON can hold, for a checkpoint."""
        _, keys, place, has_gauss, gauss = self.numpy
        version, numbers, next_gauss = self.python
        tensors = {
            "random/torch": self.torch,
            "random/numpy": torch.from_numpy(np.asarray(keys).astype(np.int64)),
            "random/python": torch.tensor(numbers, dtype=torch.int64),
        }
        if self.device is not None:
            tensors["random/device"] = self.device
        return tensors, {"numpy": [int(place), int(has_gauss), float(gauss)], "python": [version, next_gauss]}

    def restore(self) -> None:
        """Set the generators back to that moment."""
        torch.set_rng_state(self.torch)
        np.random.set_state(self.numpy)
        random.setstate(self.python)
        # A run that was begun on another device goes on with the numbers that this one draws.
        if self.device is not None and (device := _accelerator()):
            device.set_rng_state(self.device)


def _accelerator() -> Any:
    """Return torch's module of the accelerator, where one is in use."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return torch.get_device_module(found) if found else None
