"""What the forward of a causal model is like, found by trying it: what no two families of transformers have alike.

    form = form_of(module)                          # tried once with a few tokens, then kept with the module
    states = form.states(module, ids)               # what its loss is made of
    loss = form.loss(module, states, targets)       # the loss of transformers' own forward, at the targets' places only

A loss is the model's own or none: a head that scales, caps or shifts its logits (Granite, Cohere, Gemma 2, Phi) is tried on
states of our own making, and where it is no such function of them the whole forward is used. A model whose earlier tokens see
later ones, or whose forward wants more than tokens, is refused by name. Several documents may share a row only where a try
shows that each is computed as if it stood alone; recurrent models, whose state runs on, get a row for each.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from noria.core.errors import FolderError
from noria.core.messages import message
from noria.infer.device import place_of
from noria.machine import computing
from noria.make.kernels.cross_entropy import cross_entropy, token_costs
from noria.make.quiet import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENS = 12
"""Of a try: enough for two documents, and for the later half to change."""
SAME = 1e-4
"""Largest relative difference of what should be the same but is computed in another order."""
LARGE = 50.0
"""Logits that the head is tried at: a cap is no straight line there."""


@dataclass(frozen=True)
class Form:
    """How a causal model is run, and how logits come of its states."""

    name: str
    """The model type."""
    head: bool = True
    """Logits are `cap * tanh(scale * head(states) / cap)`, or without the cap; else only the model's own forward gives them."""
    scale: float = 1.0
    cap: float | None = None
    packs: bool = False
    """Positions that begin anew keep documents of one row apart."""
    blanks: tuple[str, ...] = ()
    """Arguments that the forward wants beside the ids, zero for text: token types of a model that also reads pictures."""

    def states(self, module: PreTrainedModel, ids: torch.Tensor, positions: torch.Tensor | None = None) -> torch.Tensor:
        """Return the states below the head (B, T, D), or the logits (B, T, V) where the head is the model's own affair.

        Args:
            module: a causal model of transformers.
            ids: token ids (B, T); what fills a row up stands behind its text.
            positions: of each token within its document (B, T), for rows of several documents; None: a row is one.
        """
        given: dict[str, Any] = {"input_ids": ids, **{name: torch.zeros_like(ids) for name in self.blanks}}
        if positions is not None:
            given["position_ids"] = positions
        part = module.base_model if self.head else module
        if _takes(part, "use_cache"):
            given["use_cache"] = False
        output = part(**given)
        found: torch.Tensor = output.last_hidden_state if self.head else output.logits
        return found

    def loss(
        self, module: PreTrainedModel, states: torch.Tensor, targets: torch.Tensor, dtype: torch.dtype
    ) -> torch.Tensor:
        """Return the summed cross-entropy, in nats.

        Args:
            module: whose states they are.
            states: (N, D), or (N, V), of the places that are scored.
            targets: (N,) ids.
            dtype: number type of the head's products.
        """
        if not self.head:
            return nn.functional.cross_entropy(states.float(), targets, reduction="sum")
        return cross_entropy(*self._given(module, states, dtype, targets), bias=self._bias(module), cap=self.cap)

    def costs(
        self, module: PreTrainedModel, states: torch.Tensor, targets: torch.Tensor, dtype: torch.dtype
    ) -> torch.Tensor:
        """Return what each target costs (N,), in nats; arguments as of `loss`. A head at rest is never held with all its logits."""
        if not self.head:
            return nn.functional.cross_entropy(states.float(), targets, reduction="none")
        head, bias = module.get_output_embeddings(), self._bias(module)
        if torch.is_grad_enabled() and head.weight.requires_grad:
            return nn.functional.cross_entropy(self.logits(module, states, dtype), targets, reduction="none")
        return token_costs(*self._given(module, states, dtype, targets), bias=bias, cap=self.cap)

    def logits(self, module: PreTrainedModel, states: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return the logits of states (N, V), float32."""
        if not self.head:
            return states.float()
        plain = (states * self.scale).to(dtype) @ module.get_output_embeddings().weight.to(dtype).T
        bias = self._bias(module)
        plain = plain.float() if bias is None else plain.float() + bias
        return plain if self.cap is None else self.cap * torch.tanh(plain / self.cap)

    def _given(
        self, module: PreTrainedModel, states: torch.Tensor, dtype: torch.dtype, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        scaled = states if self.scale == 1.0 else states * self.scale
        return scaled.to(dtype), module.get_output_embeddings().weight, targets

    def _bias(self, module: PreTrainedModel) -> torch.Tensor | None:
        bias: torch.Tensor | None = module.get_output_embeddings().bias
        return None if bias is None else bias * self.scale


PLAIN = Form("llama")
"""A head without anything besides, as Llama has it."""


def form_of(module: PreTrainedModel) -> Form:
    """Return the form of a causal model, tried the first time and kept with the module.

    Raises:
        FolderError: its forward wants more than tokens, or its tokens see later ones.
    """
    known = module.__dict__.get("noria_form")
    if isinstance(known, Form):
        return known
    # What a family would say once of its reference code or of masks is said here, where no one hears it.
    # In float32, whatever it is trained in: rounding is not to pass for a look at later tokens.
    with (
        quiet_transformers(),
        _at_rest(module),
        torch.no_grad(),
        torch.random.fork_rng(devices=[]),
        computing("fp32"),
    ):
        torch.manual_seed(0)
        form = _tried(module)
    module.__dict__["noria_form"] = form
    return form


def _tried(module: PreTrainedModel) -> Form:
    name = str(getattr(module.config, "model_type", type(module).__name__))
    ids = _some_ids(module).to(place_of(module))
    later = ids.clone()
    later[:, TOKENS // 2 :] = ids[:, TOKENS // 2 :].flip(1).roll(1, 1)
    form = _running(module, Form(name, head=False), ids)
    logits = form.states(module, ids)
    if not torch.isfinite(logits).all():
        raise FolderError(message("make.model_gives", name=name), hint=message("make.weights_damaged_another"))
    early = logits[:, : TOKENS // 2]
    others = (form.states(module, later)[:, : TOKENS // 2], form.states(module, ids[:, : TOKENS // 2]))
    if not all(_alike(early, other) for other in others):
        raise FolderError(
            message("make.model_cannot_trained", name=name),
            found=message("make.tokens_see"),
            allowed=message("make.causal_models"),
            hint=message("make.task_labels"),
        )
    form = _head_tried(module, form, ids, logits)
    return Form(form.name, form.head, form.scale, form.cap, _packs(module, form, ids), form.blanks)


def _some_ids(module: PreTrainedModel) -> torch.Tensor:
    """Return a row of ordinary ids (1, TOKENS), none twice where the vocabulary is large enough."""
    table = module.get_input_embeddings()
    size = int(getattr(table, "num_embeddings", 0) or module.config.get_text_config(decoder=True).vocab_size)
    settings = module.config.to_dict()
    named = {value for key, value in settings.items() if "token" in key and isinstance(value, int)}
    ordinary = [number for number in range(min(size, 1000)) if number not in named] or list(range(size))
    order = torch.randperm(len(ordinary))[:TOKENS].tolist()
    return torch.tensor([[ordinary[place % len(ordinary)] for place in (order * TOKENS)[:TOKENS]]])


def _running(module: PreTrainedModel, form: Form, ids: torch.Tensor) -> Form:
    """Return the form with what its forward wants besides ids while it trains.

    Raises:
        FolderError: that is not to be had from text.
    """
    wanted = tuple(name for name in ("token_type_ids", "mm_token_type_ids") if _takes(module, name, by_name=True))
    first: Exception | None = None
    for blanks in ((), wanted) if wanted else ((),):
        form = Form(form.name, head=False, blanks=blanks)
        try:
            module.train()
            form.states(module, ids)
            module.eval()
            found = form.states(module, ids)
            if found.ndim != 3 or found.shape[:2] != ids.shape:
                raise ValueError(f"logits of shape {tuple(found.shape)} for ids of shape {tuple(ids.shape)}")
            return form
        except Exception as error:  # whatever a family's own code raises where it misses something
            first = first or error
    told = next(iter(str(first).strip().splitlines()), "") or type(first).__name__
    raise FolderError(message("make.model_cannot", name=form.name), found=told) from first


def _head_tried(module: PreTrainedModel, form: Form, ids: torch.Tensor, logits: torch.Tensor) -> Form:
    """Return the form with the head as a function of states, where one of those known here gives what the model gives."""
    head = module.get_output_embeddings()
    if type(head) is not nn.Linear or module.base_model is module:
        return form
    try:
        states = Form(form.name, blanks=form.blanks).states(module, ids)
        drawn = torch.randn_like(states)
        drawn *= LARGE / head(drawn).abs().max().clamp_min(1e-9)
        with _replaced_states(module, drawn):
            wanted = form.states(module, ids).double()
    except Exception:  # a family whose base gives something else: its own forward is used
        return form
    plain = head(drawn).double()
    caps = {value for key, value in _numbers(module.config) if re.search("cap", key) and value > 0}
    for cap in (None, *sorted(caps)):
        straight = wanted if cap is None else cap * torch.atanh((wanted / cap).clamp(-1 + 1e-9, 1 - 1e-9))
        near = straight.abs() < (LARGE if cap is None else cap)  # where atanh still tells one number from the next
        ratio = float((plain * straight)[near].sum() / plain[near].square().sum())
        scale = 1.0 if abs(ratio - 1) < 1e-5 else ratio
        known = Form(form.name, True, scale, cap, blanks=form.blanks)
        # On large logits, which tell a cap, and on the model's own.
        if _alike(wanted, _logits(known, plain), 1e-5) and _alike(logits, _logits(known, head(states).double())):
            return known
    return form


def _logits(form: Form, plain: torch.Tensor) -> torch.Tensor:
    scaled = plain * form.scale
    return scaled if form.cap is None else form.cap * torch.tanh(scaled / form.cap)


def _packs(module: PreTrainedModel, form: Form, ids: torch.Tensor) -> bool:
    """Return whether two documents in one row, with positions that begin anew, are computed as each alone."""
    # An index of the keys worth attending to is drawn over a whole row: a short try would not show it.
    indexed = any(key.startswith("index") and value for key, value in _numbers(module.config))
    if indexed or not _takes(module.base_model if form.head else module, "position_ids", by_name=True):
        return False
    lengths = [TOKENS // 2 + 1, TOKENS - TOKENS // 2 - 1]
    positions = torch.cat([torch.arange(length, device=ids.device) for length in lengths])[None]
    try:
        together = form.states(module, ids, positions)
        alone = torch.cat([form.states(module, part) for part in ids.split(lengths, dim=1)], dim=1)
    except Exception:  # a family that takes positions of another kind: it gets a row for each document
        return False
    return together.shape == alone.shape and _alike(together, alone)


def _alike(one: torch.Tensor, other: torch.Tensor, most: float = SAME) -> bool:
    """Return whether vectors are the same at every place, but for the order of sums."""
    apart = (one.double() - other.double()).norm(dim=-1)
    return bool((apart <= most * one.double().norm(dim=-1).clamp_min(1e-12)).all())


def _numbers(config: Any) -> Iterator[tuple[str, float]]:
    for key, value in config.get_text_config(decoder=True).to_dict().items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield key, float(value)


def _takes(part: nn.Module, name: str, *, by_name: bool = False) -> bool:
    """Return whether a forward takes an argument: one that it names, or any."""
    parameters = inspect.signature(part.forward).parameters
    return name in parameters or (not by_name and any(one.kind == one.VAR_KEYWORD for one in parameters.values()))


@contextmanager
def _at_rest(module: PreTrainedModel) -> Iterator[None]:
    """Leave every part of a module in the mode it was in, whatever is tried inside the block."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def _replaced_states(module: PreTrainedModel, states: torch.Tensor) -> Iterator[None]:
    """Let the base of a model give these states, whatever it computes."""

    def replaced(_: nn.Module, __: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (states, *output[1:])
        output.last_hidden_state = states
        return output

    handle = module.base_model.register_forward_hook(replaced)
    try:
        yield
    finally:
        handle.remove()
