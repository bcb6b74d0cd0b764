"""The net over rows of numbers as a model folder holds it, and what it says of a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch.nn import functional as F

from noria.core.errors import FolderError

KIND = "noria_feedforward"
"""`model_type` in config.json."""
_FURTHEST = 10.0
"""Deviations from the mean beyond which a number says no more, as in training."""


class Net:
    """Standardise, then linear maps with GELU between them.

    Raises:
        FolderError: the folder holds no such net, or its files do not fit each other.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        if config.get("model_type") != KIND:
            raise FolderError(f"{folder} holds no net over numbers", found=config.get("model_type"), allowed=KIND)
        try:
            self._tensors = load_file(folder / "model.safetensors")
            # Every third part of the body is linear: GELU and dropout follow it.
            names = [*(f"body.{3 * layer}" for layer in range(int(config["layers"]))), "head"]
            self._maps = [(self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"]) for name in names]
            self.width = len(self._tensors["mean"])
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise FolderError(f"the net in {folder} cannot be read", found=str(error).strip()) from None

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return logits [B, outputs] for numbers [B, width]."""
        values = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32))
        values = ((values - self._tensors["mean"]) / self._tensors["scale"]).clamp(-_FURTHEST, _FURTHEST)
        for weight, bias in self._maps[:-1]:
            values = F.gelu(F.linear(values, weight, bias))
        return F.linear(values, *self._maps[-1]).numpy()
