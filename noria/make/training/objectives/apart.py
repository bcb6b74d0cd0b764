"""What a decoder says with its adapter apart, kept beside the adapter: merged weights are held against it.

    write_apart(module, tokenizer, folder / "adapter")    # at the end of training, before anything is merged
    read_apart(folder / "adapter")                        # wherever the merged model is judged

Of bundled texts in two languages and code the likeliest tokens at every place with their log probabilities, by base and adapter as they
were trained, in float32; and how far these are from the base alone. A merge that scales twice, or leaves a matrix out, shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from noria.core.errors import FolderError
from noria.core.messages import message
from noria.machine import computing
from noria.make.models.adapt import resting
from noria.make.tokens.batches import IGNORED, Batch
from noria.make.tokens.conversations import WORDS

from .scored_tokens import divergences, scored_states

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FILE = "apart.safetensors"
TOP, TOKENS = 20, 24
"""Likeliest tokens that are kept of every place, and most tokens of a text: twelve such texts take two passes of a few hundred tokens."""


@dataclass(frozen=True)
class Apart:
    """What was said with the adapter apart."""

    texts: list[list[int]]
    """Ids of each text."""
    tokens: np.ndarray
    """The likeliest tokens behind every token of every text but the last, one text after another [places, TOP]."""
    logprobs: np.ndarray
    """Their log probabilities [places, TOP]."""
    effect: float
    """Mean divergence from the base alone, nats: what the adapter changes."""


@torch.no_grad()
def write_apart(module: PreTrainedModel, tokenizer: Tokenizer, folder: Path) -> None:
    """Write what a decoder with an adapter says of the bundled texts into the folder of its adapter.

    Args:
        module: the decoder with its adapter, not merged.
        tokenizer: its tokenizer.
        folder: where the adapter is.
    """
    training = module.training
    module.eval()
    texts = [tokenizer.encode(text, add_special_tokens=False).ids[:TOKENS] for text in WORDS]
    texts = [ids for ids in texts if len(ids) > 1]
    tokens, logprobs, effects = [], [], []
    with computing("fp32"):
        for ids in texts:
            given = torch.tensor([ids])
            targets = torch.full_like(given, IGNORED)
            targets[0, :-1] = given[0, 1:]
            batch = Batch({"input_ids": given, "targets": targets}, [0], given.numel()).beside(module)
            form, states, _, _ = scored_states(module, batch)
            top = form.logits(module, states, states.dtype).float().log_softmax(-1).topk(TOP)
            tokens.append(top.indices.int().cpu())
            logprobs.append(top.values.cpu())
            with resting(module):
                bare = scored_states(module, batch)[1]
            effects.append(divergences(module, form, states, bare).cpu())
    module.train(training)
    found = {
        "ids": torch.tensor([number for ids in texts for number in ids], dtype=torch.int32),
        "lengths": torch.tensor([len(ids) for ids in texts], dtype=torch.int32),
        "tokens": torch.cat(tokens),
        "logprobs": torch.cat(logprobs).float(),
        "effect": torch.cat(effects).mean().float(),
    }
    save_file(found, folder / FILE)
    (folder / FILE).chmod(0o644)


def read_apart(folder: Path) -> Apart | None:
    """Return what was written into the folder of an adapter; None where nothing was.

    Raises:
        FolderError: the file is damaged.
    """
    file = folder / FILE
    if not file.is_file():
        return None
    try:
        found = load_file(file)
        ends = found["lengths"].cumsum(0).tolist()
        ids = found["ids"].tolist()
        texts = [ids[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
        return Apart(texts, found["tokens"].numpy(), found["logprobs"].numpy(), float(found["effect"]))
    except Exception as error:  # safetensors raises many kinds for a bad file
        raise FolderError(message("make.cannot_read", config=file), found=str(error)) from None
