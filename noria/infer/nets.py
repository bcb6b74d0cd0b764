"""Models that transformers does not have, as a model folder holds them: an LSTM over tokens, a net over rows of numbers."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from noria.core.errors import FolderError
from noria.core.messages import message

LSTM, NET = "noria_lstm", "noria_feedforward"
"""`model_type` in config.json."""
_FURTHEST = 10.0
"""Deviations from the mean beyond which a number says no more, as in training."""
State = tuple[torch.Tensor, torch.Tensor]
"""Hidden state and memory cell, each [layers, B, width]."""


class Lstm(nn.Module):
    """Embedding, LSTM, and the embedding again as output (Press and Wolf 2017).

    Raises:
        FolderError: the folder holds no such model, or its files do not fit each other.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        super().__init__()
        width, self._layers = int(config["hidden_size"]), int(config["num_hidden_layers"])
        self.config = SimpleNamespace(vocab_size=int(config["vocab_size"]), is_encoder_decoder=False)
        self.embedding = nn.Embedding(self.config.vocab_size, width)
        self.lstm = nn.LSTM(width, width, self._layers, batch_first=True)
        try:
            tensors = load_file(folder / "model.safetensors")
            tensors.pop("lm_head.weight", None)
            self.load_state_dict(tensors)
        except (OSError, RuntimeError, SafetensorError) as error:
            raise FolderError(
                message("infer.cannot_loaded", folder=folder), found=str(error).strip().splitlines()[0]
            ) from None

    @property
    def dtype(self) -> torch.dtype:
        """Return the type of the weights."""
        return self.embedding.weight.dtype

    def empty(self) -> State:
        """Return the state before a text."""
        nothing = self.embedding.weight.new_zeros(self._layers, 1, self.lstm.hidden_size)
        return nothing, nothing

    def further(self, ids: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:
        """Return the logits [B, vocabulary] of what follows ids [B, T], and the state after them."""
        with torch.inference_mode():
            states, after = self.lstm(self.embedding(ids), state)
            return F.linear(states[:, -1], self.embedding.weight).float(), after

    def forward(self, input_ids: torch.Tensor, **others: Any) -> SimpleNamespace:
        """Return the logits of every next token [B, T, vocabulary]; padding stands behind a text."""
        states, _ = self.lstm(self.embedding(input_ids))
        return SimpleNamespace(logits=F.linear(states, self.embedding.weight))


class Net:
    """Standardise, then linear maps with GELU between them.

    Raises:
        FolderError: the folder holds no such net, or its files do not fit each other.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        if config.get("model_type") != NET:
            raise FolderError(message("infer.holds_net", folder=folder), found=config.get("model_type"), allowed=NET)
        try:
            self._tensors = load_file(folder / "model.safetensors")
            # Every third part of the body is linear: GELU and dropout follow it.
            names = [*(f"body.{3 * layer}" for layer in range(int(config["layers"]))), "head"]
            self._maps = [(self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"]) for name in names]
            self.width = len(self._tensors["mean"])
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise FolderError(message("infer.net_cannot", folder=folder), found=str(error).strip()) from None

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Return logits [B, outputs] for numbers [B, width]."""
        values = torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32))
        values = ((values - self._tensors["mean"]) / self._tensors["scale"]).clamp(-_FURTHEST, _FURTHEST)
        for weight, bias in self._maps[:-1]:
            values = F.gelu(F.linear(values, weight, bias))
        return F.linear(values, *self._maps[-1]).numpy()
