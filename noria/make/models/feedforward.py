"""A small feed-forward net over rows of numbers: the one model kind that plain transformers does not load.

    net = new_net(vectors, outputs=3)                 # scales by what it saw; weights are random
    net(vectors).logits                               # [rows, outputs]
    net.save_pretrained(folder); load_net(folder)     # config.json and model.safetensors, as everywhere

Columns are standardised by buffers inside the net, so that a folder answers raw numbers and nothing has to be kept beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.modeling_outputs import SequenceClassifierOutput

from noria.core.errors import FolderError, InputError
from noria.core.folder import write_json
from noria.core.messages import message

KIND = "noria_feedforward"
"""`model_type` in config.json."""


@dataclass(frozen=True)
class Shape:
    """Sizes of a net."""

    inputs: int
    outputs: int
    width: int = 128
    layers: int = 2
    dropout: float = 0.1


class FeedForward(nn.Module):
    """Standardise, then `layers` times a linear map, GELU and dropout, then one linear map to the outputs."""

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.config = SimpleNamespace(model_type=KIND, pad_token_id=0, **asdict(shape))
        self.register_buffer("mean", torch.zeros(shape.inputs))
        self.register_buffer("scale", torch.ones(shape.inputs))
        parts: list[nn.Module] = []
        before = shape.inputs
        for _ in range(shape.layers):
            parts += [nn.Linear(before, shape.width), nn.GELU(), nn.Dropout(shape.dropout)]
            before = shape.width
        self.body = nn.Sequential(*parts)
        self.head = nn.Linear(before, shape.outputs)

    def forward(self, vectors: torch.Tensor) -> SequenceClassifierOutput:
        """Return logits [B, outputs] for numbers [B, inputs]."""
        # Beyond ten deviations a number says no more; a slip of the pen must not drown the other columns.
        standard = ((vectors - self.mean) / self.scale).clamp(-10, 10)
        return SequenceClassifierOutput(logits=self.head(self.body(standard)))

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config.json and model.safetensors."""
        tensors = {name: tensor.detach().contiguous() for name, tensor in self.state_dict().items()}
        save_file(tensors, Path(folder) / "model.safetensors", metadata={"format": "pt"})
        write_json(Path(folder) / "config.json", {"model_type": KIND, **asdict(self.shape)})


def new_net(
    vectors: np.ndarray | Sequence[Sequence[float]], outputs: int, *, width: int = 128, layers: int = 2, seed: int = 0
) -> FeedForward:
    """Return a net with random weights that standardises as the training rows are spread.

    Args:
        vectors: training rows [rows, inputs].
        outputs: classes.
        width, layers: size of the hidden layers, and how many; 0 layers is logistic regression.
        seed: of the weights.
    """
    table = np.asarray(vectors, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise InputError(message("make.rows_numbers"), found=message("make.shape", shape=table.shape))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = FeedForward(Shape(table.shape[1], outputs, width, layers))
    spread = table.std(axis=0)
    net.mean.copy_(torch.from_numpy(table.mean(axis=0)))
    # A column that never changes says nothing: it is only moved to zero.
    net.scale.copy_(
        torch.from_numpy(np.where(spread > 1e-12 * np.maximum(1.0, np.abs(table).max(axis=0)), spread, 1.0))
    )
    return net.eval()


def load_net(folder: str | Path) -> FeedForward:
    """Return the net of a folder, in float32 and evaluation mode.

    Raises:
        FolderError: the folder holds none, or its files do not fit each other.
    """
    folder = Path(folder)
    try:
        known = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if known.pop("model_type", None) != KIND:
            raise FolderError(message("make.holds_net", folder=folder), hint=message("make.model_another"))
        net = FeedForward(Shape(**known))
        net.load_state_dict(load_file(folder / "model.safetensors"))
    except FileNotFoundError as error:
        raise FolderError(
            message("make.holds_net", folder=folder), found=message("make.no", name=Path(error.filename or "").name)
        ) from None
    except (ValueError, TypeError, RuntimeError, SafetensorError) as error:
        raise FolderError(message("make.net_cannot", folder=folder), found=str(error).splitlines()[0]) from None
    return net.eval()
