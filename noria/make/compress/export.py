"""A trained model as an OpenVINO graph: any batch, any length, the same logits.

The graph is traced straight from torch. The detour over ONNX gives the same logits, but takes 45 s instead of 5 for a
12-layer encoder and loses the fused attention.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer

from noria.core.errors import SettingError
from noria.core.packages import forbid_telemetry
from noria.make.models.load import Head, load, quiet_transformers
from noria.tasks.encode import encode, encode_pair
from noria.tasks.padding import padding_of

if TYPE_CHECKING:
    from openvino import Model


class _Logits(torch.nn.Module):
    """A Hugging Face model as a function of two tensors, or three, that gives one."""

    def __init__(self, model: torch.nn.Module, head: Head) -> None:
        super().__init__()
        self.model, self.head = model, head

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        given = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        output = self.model(input_ids=input_ids, attention_mask=attention_mask, **given)
        found: torch.Tensor = output.last_hidden_state if self.head == "embedding" else output.logits
        return found


def export(folder: str | Path, head: Head) -> Model:
    """Return the model of a folder as an OpenVINO graph in float32.

    Inputs `input_ids` and `attention_mask`, and `token_type_ids` where a model takes them and its texts come with them, all
    int64 [B, T]; output `logits`: [B, labels] of a sequence head, [B, T,
    outputs] of a token head, [B, T, width] hidden states of an embedding head.

    Raises:
        FolderError: `folder` is no usable model.
        SettingError: a causal model; its engine is torch.
    """
    if head == "causal":
        raise SettingError(
            "a causal model is not compressed this way", found=head, allowed=("sequence", "token", "embedding")
        )
    forbid_telemetry()
    from openvino import convert_model

    module, tokenizer = load(folder, head)
    # Sizes that differ from each other and from 1, and a padded row, so that the trace takes none of them for fixed.
    ids = torch.arange(3 * 17).reshape(3, 17) % module.config.vocab_size
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    example = {"input_ids": ids, "attention_mask": mask}
    if padding_of(module.config).types and has_token_types(tokenizer, pairs=head == "sequence"):
        example["token_type_ids"] = (torch.arange(17) > 5).long().expand(3, 17).contiguous()
    # The tracer remarks on every branch it takes: the certificate judges the graph, not the remarks.
    with quiet_transformers(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = convert_model(_Logits(module, head), example_input=example)
    graph.outputs[0].get_tensor().set_names({"logits"})
    return graph


def has_token_types(tokenizer: Tokenizer, *, pairs: bool) -> bool:
    """Return whether a text, or with `pairs` a pair of them, comes with token types, so that a model has to be given them."""
    return bool(encode(tokenizer, "a", 16).types or (pairs and encode_pair(tokenizer, "a", "b", 16).types))


def save(graph: Any, path: Path) -> int:
    """Write a graph as `path` (.xml) and weights beside it (.bin); return the bytes of both."""
    from openvino import save_model

    path.parent.mkdir(parents=True, exist_ok=True)
    save_model(graph, path, compress_to_fp16=False)
    return path.stat().st_size + path.with_suffix(".bin").stat().st_size
