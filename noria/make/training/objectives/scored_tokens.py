"""What each scored token of a causal model's rows costs: for figures, and for losses that are not a sum over tokens.

    costs, owners = scored_tokens(module, batch)       # (N,) nats, (N,) rows
    -torch.zeros(rows).index_add(0, owners, costs)     # log probability of each row's scored tokens

Logits are made of scored places only, a few hundred at a time. N scored tokens of B rows of T tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from noria.machine import computing
from noria.make.kernels import decoder
from noria.make.tokens.batches import IGNORED, Batch

from .causality import PLAIN, Form, form_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CHUNK = 128
"""Places whose logits are held at once, of two models."""


def scored_tokens(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the cost of every scored token in nats (N,), and the row that each stands in (N,), row by row.

    Args:
        module: a causal model of transformers.
        batch: `input_ids` (B, T), filled up behind, and `targets` (B, T), the next token where it is scored, else -100.
    """
    form, states, wanted, owners = scored_states(module, batch)
    with computing("fp32"):
        return form.costs(cast("PreTrainedModel", module), states, wanted, states.dtype), owners


def scored_states(module: nn.Module, batch: Batch) -> tuple[Form, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return how logits come of states, the states before every scored token (N, D), the tokens (N,) and their rows (N,).

    Arguments as of `scored_tokens`.
    """
    model, ids, targets = cast("PreTrainedModel", module), batch.tensors["input_ids"], batch.tensors["targets"]
    scored = targets != IGNORED
    dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
    lengths = [int(one.nonzero().max()) + 1 if bool(one.any()) else 1 for one in scored]
    if decoder.applies(module, lengths):
        flat = torch.cat([one[:length] for one, length in zip(ids, lengths, strict=True)])
        places = torch.cat([one[:length] for one, length in zip(scored, lengths, strict=True)]).nonzero().squeeze(1)
        with computing("fp32"):
            states = decoder.hidden_states(module, flat, lengths, dtype, places=places)
        form = PLAIN
    else:
        form = form_of(model)
        states = form.states(model, ids[:, : max(lengths)])[scored[:, : max(lengths)]].to(dtype)
    return form, states, targets[scored], scored.nonzero()[:, 0]


@torch.no_grad()
def divergences(module: nn.Module, form: Form, states: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Return KL(p || q) of the next token at every place (N,), in nats: p by `states`, q by `others`, both (N, D)."""
    model, found = cast("PreTrainedModel", module), []
    for own, other in zip(states.split(CHUNK), others.split(CHUNK), strict=True):
        with computing("fp32"):
            p, q = (form.logits(model, one, one.dtype).log_softmax(-1) for one in (own, other))
        found.append((p.exp() * (p - q)).sum(-1))
    return torch.cat(found)
