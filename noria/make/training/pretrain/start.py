"""How first weights are drawn: matrices by their sizes, or so that a causal Llama begins with how frequent every token is.

A new language model spends its first hundred thousand tokens on learning which tokens are frequent, which counting tells at
once. Here one place of every input vector is the same number, which passes the layers as it is since they add nothing yet; the
output matrix reads that place by the logarithm of each token's share. So the first step's loss is that of unigrams. It takes an
output matrix of its own, which costs memory and no time.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

SPREAD = 0.3
"""Standard deviation of the input vectors, and the number in the one place that they share."""


def xavier(module: nn.Module) -> None:
    """Draw every matrix but embeddings uniformly by its sizes (Glorot and Bengio 2010, equation 16)."""
    kept = {id(part.weight) for part in module.modules() if isinstance(part, nn.Embedding)}
    for parameter in module.parameters():
        if parameter.ndim == 2 and id(parameter) not in kept:
            nn.init.xavier_uniform_(parameter)


@torch.no_grad()
def unigrams(module: LlamaForCausalLM, counts: np.ndarray) -> None:
    """Let a Llama with an output matrix of its own predict each token by its count, and its layers add nothing at first.

    Zero for the matrices that write into the residual stream is as in Zhang et al. (2019), "Fixup Initialization".

    Args:
        module: whose other matrices are drawn already.
        counts: how often each token is a target in the training text; each counts half a time more.
    """
    vectors, head = module.model.embed_tokens.weight, module.lm_head.weight
    for layer in module.model.layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    vectors.normal_(0.0, 1.0)
    # All of one length, so that the last norm divides all by the same.
    vectors *= SPREAD * math.sqrt(vectors.shape[1] - 1) / vectors[:, 1:].norm(dim=1, keepdim=True)
    vectors[:, 0] = SPREAD
    shares = torch.from_numpy(np.log((counts + 0.5) / (counts + 0.5).sum())).float()
    head.zero_()
    # Of a place that holds SPREAD the last norm makes 1: it divides by the root mean square, which is SPREAD too.
    head[:, 0] = shares - shares.mean()


def targets(ids: np.ndarray, begin: int | None, size: int) -> np.ndarray:
    """Return how often each token is predicted in documents that all begin with `begin`; shape (size,)."""
    counts = np.bincount(ids, minlength=size).astype(np.float64)
    if begin is not None:
        counts[begin] = 0
    return counts
