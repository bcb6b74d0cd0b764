"""Losses on plain text: the next token, masked tokens, cut spans.

Each is given the module and a batch, and gives the summed loss over the scored targets and how many there were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from noria.machine import computing
from noria.make.kernels import bert, decoder, llama
from noria.make.models.recurrent import LstmForCausalLM, documents_of
from noria.make.tokens.batches import IGNORED, Batch
from noria.make.training.parallel.processes import world_size

from .causality import PLAIN, form_of

if TYPE_CHECKING:
    from transformers import BertForMaskedLM, PreTrainedConfig, PreTrainedModel

LIKE = 0.75
"""Documents at least this long, beside the longest, share its run: less filling is not worth a run more."""


def causal(module: nn.Module, batch: Batch, *, dropout: float = 0.0) -> tuple[torch.Tensor, int]:
    """Score every next token of documents packed into rows; a document sees nothing of its neighbours.

    The loss is that of the model's own forward on each document alone, for every family (`causality`); a Llama and an LSTM
    as Noria makes them, and Llama's kin (`kernels.decoder`), have a quicker way to the same.

    Reads `input_ids` (B, T), `targets` (B, T) with -100 where nothing is scored, and `documents` (B, T), the number of
    the document within the row that a position belongs to. The module is a causal model in the Hugging Face form, or an
    LSTM. `dropout` is that of the fast path, while the module trains; another module has its own.

    Raises:
        FolderError: the module is none that can be trained so (`causality.form_of`).
    """
    model, tensors = cast("PreTrainedModel", module), batch.tensors
    ids, targets, documents = tensors["input_ids"], tensors["targets"], tensors["documents"]
    dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
    if isinstance(module, LstmForCausalLM):
        form, runs = PLAIN, [(module.hidden_states(ids, documents), targets)]
    elif llama.applies(module):
        with computing("fp32"):
            rate = dropout if module.training else 0.0
            hidden = llama.hidden_states(module, ids, isolation(documents), dtype, dropout=rate)
        form, runs = PLAIN, [(hidden, targets)]
    elif flat := _flat(module, ids, targets, documents):
        tokens, wanted, lengths = flat
        places = (wanted != IGNORED).nonzero().squeeze(1)
        with computing("fp32"):
            hidden = decoder.hidden_states(module, tokens, lengths, dtype, places=places)
        form, runs = PLAIN, [(hidden[None], wanted[places])]
    else:
        form = form_of(model)
        rows = kept_apart(ids, targets, documents, packs=form.packs, one=world_size() > 1)
        runs = [(form.states(model, ids, positions), wanted) for ids, wanted, positions in rows]
    losses, count = [], 0
    for states, wanted in runs:
        wanted = wanted.flatten()
        scored = (wanted != IGNORED).nonzero().squeeze(1)
        with computing("fp32"):
            losses.append(form.loss(model, states.flatten(0, 1)[scored], wanted[scored], dtype))
        count += len(scored)
    return torch.stack(losses).sum() if len(losses) > 1 else losses[0], count


def _flat(
    module: nn.Module, ids: torch.Tensor, targets: torch.Tensor, documents: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, list[int]] | None:
    """Return ids and targets (N,) of all documents up to the last token scored, and their lengths, where `decoder` takes them."""
    if decoder.decoder_of(module) is None:
        return None
    pieces = []
    for part, wanted in _pieces(ids, targets, documents)[0]:
        stop = int((wanted != IGNORED).nonzero().max()) + 1 if bool((wanted != IGNORED).any()) else 1
        pieces.append((part[:stop], wanted[:stop]))
    lengths = [len(part) for part, _ in pieces]
    if not decoder.applies(module, lengths):
        return None
    return torch.cat([part for part, _ in pieces]), torch.cat([wanted for _, wanted in pieces]), lengths


def isolation(documents: torch.Tensor) -> torch.Tensor:
    """Return which positions each position sees: earlier ones of its own document, (B, 1, T, T), True where seen."""
    same = documents[:, :, None] == documents[:, None, :]
    return same.tril()[:, None]


def kept_apart(
    ids: torch.Tensor, targets: torch.Tensor, documents: torch.Tensor, *, packs: bool, one: bool
) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]]:
    """Return (ids, targets, positions), each (rows, time), for as many runs as keep documents apart and hold little filling.

    Args:
        ids, targets, documents: (B, T), as `causal` reads them.
        packs: the model keeps documents of one row apart by their positions. Else each has a row of its own, filled up
            behind, where a causal model does not look, with those of like length in one run.
        one: all in one run, because other processes must run equally often.
    """
    scored, firsts = _pieces(ids, targets, documents)
    if packs and len(scored) > len(ids):
        places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        begun = torch.where(firsts, places, 0).cummax(1).values
        return [(ids, targets, places - begun)]
    scored.sort(key=lambda piece: -len(piece[0]))
    runs: list[list[tuple[torch.Tensor, torch.Tensor]]] = []
    for piece in scored:
        if not runs or (not one and len(piece[0]) < LIKE * len(runs[-1][0][0])):
            runs.append([])
        runs[-1].append(piece)
    return [
        (
            pad_sequence([ids for ids, _ in run], batch_first=True, padding_value=0),
            pad_sequence([wanted for _, wanted in run], batch_first=True, padding_value=IGNORED),
            None,
        )
        for run in runs
    ]


def _pieces(
    ids: torch.Tensor, targets: torch.Tensor, documents: torch.Tensor
) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], torch.Tensor]:
    """Return ids and targets of every document in which something is scored (or of the first), and where documents begin (B, T)."""
    firsts, lengths = documents_of(documents)
    pieces = list(zip(ids.flatten().split(lengths), targets.flatten().split(lengths), strict=True))
    return [piece for piece in pieces if bool((piece[1] != IGNORED).any())] or pieces[:1], firsts


def masked(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, int]:
    """Score the masked tokens of texts: only their states go through the head that names them.

    Reads `input_ids` and `attention_mask` (B, T), and `targets` (B, T) with -100 where nothing was hidden. The module is
    an encoder with a head for masked language modelling, in the Hugging Face form.
    """
    tensors = batch.tensors
    inputs = {name: tensors[name] for name in ("input_ids", "attention_mask")}
    targets = tensors["targets"].flatten()
    scored = (targets != IGNORED).nonzero().squeeze(1)
    dtype = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
    if bert.plain(module):
        with computing("fp32"):
            hidden = bert.hidden_states(cast("BertForMaskedLM", module).bert, inputs, dtype)
    else:
        hidden = cast("PreTrainedModel", module).base_model(**inputs).last_hidden_state
    head = cast(nn.Module, module.cls if hasattr(module, "cls") else module.lm_head)
    logits = head(hidden.flatten(0, 1)[scored])
    return nn.functional.cross_entropy(logits.float(), targets[scored], reduction="sum"), len(scored)


def spans(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, int]:
    """Score the spans that were cut out of texts, their sentinels and the end, as the decoder writes them.

    Reads `input_ids` and `attention_mask` (B, T), and `targets` (B, U) with -100 behind a target's end. The module is an
    encoder-decoder in the Hugging Face form.
    """
    tensors = batch.tensors
    logits = module(
        input_ids=tensors["input_ids"],
        attention_mask=tensors["attention_mask"],
        use_cache=False,
        decoder_input_ids=shifted(tensors["targets"], cast("PreTrainedModel", module).config),
    ).logits
    targets = tensors["targets"].flatten()
    loss = nn.functional.cross_entropy(logits.float().flatten(0, 1), targets, ignore_index=IGNORED, reduction="sum")
    return loss, int((targets != IGNORED).sum())


def shifted(targets: torch.Tensor, config: PreTrainedConfig) -> torch.Tensor:
    """Return what a decoder reads so that it writes `targets` (B, U): its start token, then all but the last."""
    ids = targets.roll(1, 1)
    ids[:, 0] = config.decoder_start_token_id
    return ids.masked_fill(ids == IGNORED, config.pad_token_id)
