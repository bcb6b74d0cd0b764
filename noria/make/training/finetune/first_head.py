"""The head that is fitted before any layer learns: what the last linear layer reads of every row, kept, and a linear head on that.

    reader = reader_of(module, task)                    # None where the logits are not those of a last linear layer
    known = read(reader, batches, number_type)          # every row once through the encoder
    reader.put(...)                                      # the module now answers with the head that was fitted

The module stays one that plain transformers loads. A BERT's pooler, tanh(W x + b), is made to scale the state that it reads to a
deviation of `ALPHA`, where tanh is nearly straight; the head is fitted to what comes out, so nothing is lost to the approximation.
What it reads is the first token's state, or by one layer more the mean of all: whichever valid rows judge better.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import nn

from noria.machine import computing
from noria.make.kernels import bert
from noria.make.models import anatomy
from noria.make.tokens.batches import IGNORED, Batch
from noria.tasks.task import Task

from .linear_head import LinearHead, fit_head

if TYPE_CHECKING:
    from transformers import BertForSequenceClassification, BertModel, BertPreTrainedModel
    from transformers.models.bert.modeling_bert import BertLayer

ALPHA = 0.3
"""Deviation of what the pooler's tanh is given: tanh of it differs from it by 3 %."""
MEAN = 20.0
"""Weight of the mean of all states, where the first token's own has 1."""
MOST = 150_000
"""Features that a head is fitted to at most: more would take memory, and say little more of a linear head."""
Kind = Literal["first", "mean", "input"]
"""What a head reads: a BERT's first token's state, the mean of its tokens' states, or what its last linear layer is given."""


@dataclass
class Features:
    """What was read of some rows."""

    parts: dict[Kind, list[torch.Tensor]] = field(default_factory=dict)
    """(N, D) a batch, float32."""
    targets: list[torch.Tensor] = field(default_factory=list)
    rows: int = 0

    @property
    def count(self) -> int:
        """Return how many targets there are."""
        return sum(map(len, self.targets))

    def of(self, kind: Kind) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features and targets, at most `MOST`, evenly over all."""
        features, targets = torch.cat(self.parts[kind]), torch.cat(self.targets)
        step = max(1, -(-len(targets) // MOST))
        return features[::step].contiguous(), targets[::step].contiguous()


@dataclass(frozen=True)
class Fitted:
    """A head, and what it reads."""

    kind: Kind
    weights: dict[str, torch.Tensor]
    """Name in the module -> value: of the head, and of the pooler where it was changed."""
    loss: float
    """A valid row's mean, in nats."""


class Reader:
    """Reads what a module's last linear layer is given, and puts a head there."""

    def __init__(self, module: nn.Module, name: str) -> None:
        self.module, self.name = module, name
        self.last = cast(nn.Linear, module.get_submodule(name))

    def features(self, tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[Kind, torch.Tensor]:
        """Return what was read of a batch: (B, D), or (B, T, D) of a head that has a target a token."""
        taken: list[torch.Tensor] = []
        hook = self.last.register_forward_pre_hook(lambda _, given: taken.append(given[0].float()))
        try:
            with computing("bf16" if dtype == torch.bfloat16 else "fp32"):
                self.module(**tensors)
        finally:
            hook.remove()
        return {"input": taken[-1]}

    def fit(self, known: Features, judged: Features, classes: int, over: Callable[[], bool]) -> Fitted:
        """Return the best head."""
        head = fit_head(*known.of("input"), *judged.of("input"), classes, over=over)
        return Fitted("input", self.weights(head), head.loss)

    def weights(self, head: LinearHead) -> dict[str, torch.Tensor]:
        """Return a head by the names of the module."""
        return {f"{self.name}.weight": head.weight, f"{self.name}.bias": head.bias}

    def put(self, fitted: Fitted) -> None:
        """Put a head into the module, in place; what lies between the layers and the last linear one is at rest from now on.

        All texts' states have much in common. The first steps of Adam, each weight by its rate and the sign of its slope, would add
        up over that: every logit moves by one way, and the head that was fitted is lost.
        """
        for name in anatomy.heads(self.module):
            self.module.get_submodule(name).requires_grad_(False)
        self.last.requires_grad_(True)
        state = self.module.state_dict()
        with torch.no_grad():
            for name, value in fitted.weights.items():
                state[name].copy_(value)


class TokenReader(Reader):
    """Of a BERT with a target a token: by the hand-made pass, from kept states where there are any."""

    def features(self, tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[Kind, torch.Tensor]:
        """Return the states above the last layer."""
        base = cast("BertPreTrainedModel", self.module).base_model
        return {"input": bert.hidden_states(cast("BertModel", base), tensors, dtype).float()}


class PooledReader(Reader):
    """Of a BERT with a target a text."""

    def __init__(self, module: BertForSequenceClassification, name: str) -> None:
        super().__init__(module, name)
        self.base = module.bert
        self.layer: BertLayer = mean_layer(self.base)

    def features(self, tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> dict[Kind, torch.Tensor]:
        """Return the first token's state, and the mean of all as one layer more gives it."""
        states = bert.hidden_states(self.base, tensors, dtype)
        return {
            "first": states[:, 0].float(),
            "mean": bert.first_state(self.layer, states, tensors.get("attention_mask")),
        }

    def fit(self, known: Features, judged: Features, classes: int, over: Callable[[], bool]) -> Fitted:
        """Return the better of two heads."""
        found: list[Fitted] = []
        for kind in ("mean", "first"):
            (features, targets), (valid, wanted) = known.of(kind), judged.of(kind)
            scale = ALPHA / features.std(0, correction=0).clamp_min(1e-6)
            shift = -scale * features.mean(0)
            head = fit_head(
                torch.tanh(scale * features + shift),
                targets,
                torch.tanh(scale * valid + shift),
                wanted,
                classes,
                over=over,
            )
            pooler = {"bert.pooler.dense.weight": torch.diag(scale), "bert.pooler.dense.bias": shift}
            found.append(Fitted(kind, self.weights(head) | pooler, head.loss))
            if over():
                break
        return min(found, key=lambda one: one.loss)

    def put(self, fitted: Fitted) -> None:
        """Put a head into the module, with its layer of the mean where it reads that."""
        if fitted.kind == "mean":
            self.base.encoder.layer.append(self.layer.requires_grad_(False))
            self.base.config.num_hidden_layers += 1
        super().put(fitted)


def mean_layer(base: BertModel) -> BertLayer:
    """Return a layer that, on top of a BERT, gives the first token the mean of all tokens' states: pooling that any BERT loads.

    Encoders of sentences were trained to be read by the mean, and in the middle of any encoder it knows more than the first
    token. With queries of zero attention looks at every token alike; values are the states themselves, and what it adds is made
    so large that the first token's own state is next to nothing beside it. The feed-forward part adds nothing until it learns to.
    """
    layer = cast("BertLayer", copy.deepcopy(base.encoder.layer[-1]))
    attention, output = layer.attention.self, layer.attention.output
    with torch.no_grad():
        for part in (attention.query, attention.value, output.dense, layer.output.dense):
            part.bias.zero_()
        attention.query.weight.zero_()
        nn.init.eye_(attention.value.weight)
        nn.init.eye_(output.dense.weight).mul_(MEAN)
        layer.output.dense.weight.zero_()
        for norm in (output.LayerNorm, layer.output.LayerNorm):
            norm.weight.fill_(1.0)
            norm.bias.zero_()
    return layer


def reader_of(module: nn.Module, task: Task) -> Reader | None:
    """Return what reads a module; None where its logits are not those of one last linear layer with a bias, or none is found."""
    per_token = task.head == "token"
    if bert.applies(module):
        pooler = getattr(module.base_model, "pooler", None)
        if per_token:
            return TokenReader(module, "classifier")
        if pooler is not None and isinstance(pooler.activation, nn.Tanh):
            return PooledReader(cast("BertForSequenceClassification", module), "classifier")
    inside = tuple(f"{name}." for name in anatomy.layers(module))
    linears = [
        name
        for name, part in module.named_modules()
        if isinstance(part, nn.Linear) and part.out_features == len(task.outputs) and not name.startswith(inside)
    ]
    if not linears:
        return None
    reader = Reader(module, linears[-1])
    return reader if reader.last.bias is not None and _is_last(reader, per_token) else None


def _is_last(reader: Reader, per_token: bool) -> bool:
    """Tell whether the logits are what the linear layer makes of what it is given, a row each or a token each."""
    ids = torch.arange(4)[None].repeat(2, 1)
    training = reader.module.training
    reader.module.eval()
    try:
        with torch.no_grad():
            given = reader.features({"input_ids": ids, "attention_mask": torch.ones_like(ids)}, torch.float32)["input"]
            logits = reader.module(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
            made = reader.last(given)
    except Exception:  # a family that reads otherwise fails in its own way, and is tuned whole
        return False
    finally:
        reader.module.train(training)
    return given.ndim == (3 if per_token else 2) and made.shape == logits.shape and torch.allclose(made, logits)


def read(
    reader: Reader,
    batches: Iterable[Batch],
    number_type: str,
    *,
    over: Callable[[], bool] = lambda: False,
    advance: Callable[[int], Any] = lambda rows: None,
) -> Features:
    """Return what a module's last linear layer is given for every batch, until time is over: one batch at least.

    Args:
        reader: of the module.
        batches: with `labels`.
        number_type: of the products.
        over: tells that time is over.
        advance: is called with the rows of every batch.
    """
    dtype = torch.bfloat16 if number_type == "bf16" else torch.float32
    found = Features()
    training = reader.module.training
    reader.module.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                tensors = dict(batch.tensors)
                targets = tensors.pop("labels")
                parts = reader.features(tensors, dtype)
                # A target a token: those that are not scored teach nothing.
                chosen = targets != IGNORED if _by_token(parts, targets) else slice(None)
                for kind, values in parts.items():
                    found.parts.setdefault(kind, []).append(values[chosen])
                found.targets.append(targets[chosen])
                found.rows += len(targets)
                advance(len(targets))
                if over():
                    break
    finally:
        reader.module.train(training)
    return found


def _by_token(parts: dict[Kind, torch.Tensor], targets: torch.Tensor) -> bool:
    return next(iter(parts.values())).ndim == 3 and targets.ndim == 2
