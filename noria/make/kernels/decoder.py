"""A decoder's forward and backward over documents without filling: what transformers computes, faster and in less memory.

    if decoder.applies(module, lengths):
        states = decoder.hidden_states(module, ids, lengths, torch.bfloat16)      # (N, D), for the loss

For Llama and its kin: grouped queries, norms of queries and keys, biases, any rotary positions that transformers computes; base
at rest or learning, with changes of low rank or without. Each half of a layer is two or three functions with the backward pass
written out, which keep no more than it needs; under `checkpointing` a layer keeps its input alone and is computed again. That a module
is one of these is tried, once, beside its own forward pass. Nothing is compiled.

N tokens of all documents, D width, F width of the feed-forward, H heads, K heads of keys and values, W width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from noria.make.models.adapted import AdaptedLinear
from noria.make.models.lora import WeightChange

from .decoder_attention import Attend, Shape, Window, windows
from .joint import Joint
from .llama import _norm_back, _normed

if TYPE_CHECKING:
    from transformers import PreTrainedModel

aten = torch.ops.aten
FAMILIES = (
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Phi3ForCausalLM",
    "Qwen2ForCausalLM",
    "Qwen3ForCausalLM",
)
"""Classes of transformers that are tried."""
TRIED = [5, 7]
"""Tokens of the documents of a try."""
CHECKPOINTING = "noria_checkpointing"
"""What a module's own dictionary holds, True where each layer is to keep its input alone."""
ALIKE = {torch.float32: 1e-4, torch.float16: 0.02, torch.bfloat16: 0.1}
"""Largest relative difference of states from the module's own, by the number type of its weights."""


@dataclass(frozen=True)
class _Layer:
    """A layer's parts."""

    norm: nn.Module
    joined: Joint
    head_norms: tuple[nn.Module, nn.Module] | None
    shape: Shape
    out: Joint
    second_norm: nn.Module
    opened: Joint
    closed: Joint

    def __call__(self, x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, parts: list[Window]) -> torch.Tensor:
        """Return the layer's output (N, D)."""
        joined = _Normed.apply(x, self.norm.weight, _epsilon(self.norm), self.joined, *self.joined.tensors())  # type: ignore[no-untyped-call]
        if self.head_norms is not None:
            query, key = self.head_norms
            joined = _HeadNorms.apply(joined, query.weight, key.weight, _epsilon(query), self.shape)  # type: ignore[no-untyped-call]
        mixed = Attend.apply(joined, cosine, sine, parts, self.shape)  # type: ignore[no-untyped-call]
        x = _Added.apply(x, mixed, self.out, *self.out.tensors())  # type: ignore[no-untyped-call]
        second = self.second_norm
        opened = _Normed.apply(x, second.weight, _epsilon(second), self.opened, *self.opened.tensors())  # type: ignore[no-untyped-call]
        found: torch.Tensor = _Gated.apply(x, opened, self.closed, *self.closed.tensors())  # type: ignore[no-untyped-call]
        return found


@dataclass(frozen=True)
class Decoder:
    """What a module is made of, where `applies`."""

    layers: list[_Layer]
    window: int | None
    """Longest document of which each token sees all before it."""

    def joints(self) -> Iterator[Joint]:
        """Yield the matrices of all layers, those of one input together."""
        for layer in self.layers:
            yield from (layer.joined, layer.out, layer.opened, layer.closed)


def applies(module: nn.Module, lengths: Sequence[int] = ()) -> bool:
    """Return whether `hidden_states` computes what this module would for documents of these lengths, as it is adapted now."""
    found = decoder_of(module)
    if found is None or (found.window is not None and max(lengths, default=0) > found.window):
        return False
    for part in module.modules():
        if hasattr(part, "prefixes") or (isinstance(part, nn.Dropout) and part.p and part.training):
            return False
        if isinstance(part, AdaptedLinear) and not isinstance(part.adapter, WeightChange | None):
            return False
    return True


def decoder_of(module: nn.Module) -> Decoder | None:
    """Return the parts of a module, or None where it is no such decoder; tried the first time, and kept with the module."""
    known = module.__dict__.get("noria_decoder")
    if known is None or known[0] != _state(module):
        found = _parts_or_none(module)
        known = module.__dict__["noria_decoder"] = (_state(module), found and _tried(module, found))
    decoder: Decoder | None = known[1]
    return decoder


def _state(module: nn.Module) -> tuple[int, ...]:
    return tuple(id(part) for part in module.modules() if isinstance(part, nn.Linear))


def hidden_states(
    module: nn.Module,
    ids: torch.Tensor,
    lengths: Sequence[int],
    dtype: torch.dtype,
    *,
    places: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return the states above the last norm, (N, D) or those of `places`, in `dtype`.

    Args:
        module: one for which `applies`.
        ids: tokens of all documents, one behind another (N,).
        lengths: of the documents.
        dtype: number type of products and of everything between them; weights keep theirs.
        places: which tokens' states are wanted, as their numbers; None: all.
    """
    found = decoder_of(module)
    assert found is not None
    return _states(module, found, ids, lengths, dtype, places)


def hold(module: nn.Module, dtype: torch.dtype) -> None:
    """Let the weights at rest of a decoder's layers lie as its products read them, in a number type; what learns stays."""
    found = _parts_or_none(module)
    if found is None:
        return
    for joint in found.joints():
        if not any(one.weight.requires_grad for one in joint.linears):
            joint.hold(dtype)
    module.__dict__["noria_decoder"] = (_state(module), _tried(module, found))


def _states(
    module: nn.Module,
    found: Decoder,
    ids: torch.Tensor,
    lengths: Sequence[int],
    dtype: torch.dtype,
    places: torch.Tensor | None = None,
) -> torch.Tensor:
    model: Any = cast("PreTrainedModel", module).base_model
    x = model.embed_tokens(ids).to(dtype)
    cosine, sine = _turns(model, lengths, dtype)
    parts = windows(lengths, dtype)
    again = module.__dict__.get(CHECKPOINTING, False) and torch.is_grad_enabled()
    for layer in found.layers:
        if again:
            x = checkpoint(layer, x, cosine, sine, parts, use_reentrant=False, preserve_rng_state=False)
        else:
            x = layer(x, cosine, sine, parts)
    if places is not None:
        x = x[places]
    normed: torch.Tensor = _Norm.apply(x, model.norm.weight, _epsilon(model.norm))  # type: ignore[no-untyped-call]
    return normed


def _turns(model: Any, lengths: Sequence[int], dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosines and sines of all tokens' positions, (N, 1, W / 2) each."""
    places = torch.cat([torch.arange(length) for length in lengths])
    with torch.no_grad():
        cosine, sine = model.rotary_emb(torch.empty(1), torch.arange(max(lengths))[None])
    half = cosine.shape[-1] // 2
    return cosine[0, :, None, :half].to(dtype)[places], sine[0, :, None, :half].to(dtype)[places]


def _parts_or_none(module: nn.Module) -> Decoder | None:
    if type(module).__name__ not in FAMILIES:
        return None
    try:
        return _parts(module)
    except (AttributeError, TypeError):  # wrapped, or put together otherwise
        return None


def _tried(module: nn.Module, found: Decoder) -> Decoder | None:
    """Return a module's parts where its states come out as its own forward pass gives them."""
    model: Any = cast("PreTrainedModel", module).base_model
    ids = (torch.arange(sum(TRIED)) * 37 + 11) % int(model.embed_tokens.num_embeddings)
    weight, training = found.layers[0].out.linears[0].weight, module.training
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        module.eval()
        parts = [model(part[None], use_cache=False).last_hidden_state[0] for part in ids.split(TRIED)]
        own, ours = torch.cat(parts).double(), _states(module, found, ids, TRIED, weight.dtype).double()
        module.train(training)
    apart = (own - ours).norm(dim=-1) / own.norm(dim=-1).clamp_min(1e-12)
    return found if bool((apart <= ALIKE.get(weight.dtype, 0.0)).all()) else None


def _parts(module: nn.Module) -> Decoder:
    """Return what a module is made of.

    Raises:
        AttributeError, TypeError: it is made of something else.
    """
    model: Any = cast("PreTrainedModel", module).base_model
    config = model.config
    layers = []
    for layer in model.layers:
        attention, feed_forward = layer.self_attn, layer.mlp
        fused = hasattr(attention, "qkv_proj")
        names = ["qkv_proj"] if fused else ["q_proj", "k_proj", "v_proj"]
        opened = ["gate_up_proj"] if hasattr(feed_forward, "gate_up_proj") else ["gate_proj", "up_proj"]
        width = int(attention.head_dim)
        heads = attention.o_proj.in_features // width
        outputs = sum(getattr(attention, name).out_features for name in names) // width
        shape = Shape(heads, (outputs - heads) // 2, width, float(attention.scaling))
        norms = (attention.q_norm, attention.k_norm) if hasattr(attention, "q_norm") else None
        layers.append(
            _Layer(
                layer.input_layernorm,
                Joint([getattr(attention, name) for name in names]),
                norms,
                shape,
                Joint([attention.o_proj]),
                layer.post_attention_layernorm,
                Joint([getattr(feed_forward, name) for name in opened]),
                Joint([feed_forward.down_proj]),
            )
        )
    activation = getattr(config, "hidden_act", "")
    if activation not in ("silu", "swish") or getattr(config, "attention_dropout", None):
        raise TypeError(activation)
    slides = getattr(config, "use_sliding_window", True)
    return Decoder(layers, getattr(config, "sliding_window", None) if slides else None)


def _epsilon(norm: Any) -> float:
    return float(norm.variance_epsilon)


class _Norm(torch.autograd.Function):
    """Root mean square norm (Zhang and Sennrich 2019, equation 4)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        normed, inverse = _normed(x, epsilon)
        ctx.save_for_backward(normed, inverse, weight)
        return normed * weight.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        normed, inverse, weight = ctx.saved_tensors
        of_weight = _of_weight(slopes[0], normed, weight) if ctx.needs_input_grad[1] else None
        return _norm_back(slopes[0] * weight.to(normed.dtype), normed, inverse), of_weight, None


class _HeadNorms(torch.autograd.Function):
    """The norm of each head's queries and of its keys, in place, as Qwen3 has it before they are turned."""

    @staticmethod
    def forward(
        ctx: Any, joined: torch.Tensor, query: torch.Tensor, key: torch.Tensor, epsilon: float, shape: Shape
    ) -> torch.Tensor:
        heads = _turned(joined, shape)
        normed, inverse = _normed(heads, epsilon)
        weight = _head_weights(query, key, shape, joined.dtype)
        torch.mul(normed, weight, out=heads)
        ctx.mark_dirty(joined)
        ctx.save_for_backward(normed, inverse, query, key)
        ctx.shape = shape
        return joined

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        normed, inverse, query, key = ctx.saved_tensors
        slope, shape = slopes[0].clone(), ctx.shape
        heads = _turned(slope, shape)
        both = [
            (heads[:, : shape.heads], normed[:, : shape.heads]),
            (heads[:, shape.heads :], normed[:, shape.heads :]),
        ]
        found = [
            _of_weight(part, of, weight) if needed else None
            for (part, of), weight, needed in zip(both, (query, key), ctx.needs_input_grad[1:3], strict=True)
        ]
        heads.copy_(_norm_back(heads * _head_weights(query, key, shape, slope.dtype), normed, inverse))
        return slope, *found, None, None


def _turned(joined: torch.Tensor, shape: Shape) -> torch.Tensor:
    return joined[:, : shape.turned * shape.width].view(len(joined), shape.turned, shape.width)


def _head_weights(query: torch.Tensor, key: torch.Tensor, shape: Shape, dtype: torch.dtype) -> torch.Tensor:
    return torch.cat([query.expand(shape.heads, -1), key.expand(shape.key_heads, -1)]).to(dtype)


def _of_weight(slope: torch.Tensor, normed: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (slope * normed).flatten(0, -2).sum(0, dtype=torch.float32).to(weight.dtype)


class _Normed(torch.autograd.Function):
    """Products of norm(x): queries, keys and values, or what opens the feed-forward."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, norm: torch.Tensor, epsilon: float, joint: Joint, *tensors: torch.Tensor | None
    ) -> torch.Tensor:
        normed, inverse = _normed(x, epsilon)
        rows = joint.room(len(x), tensors, x.dtype)
        torch.mul(normed, norm.to(x.dtype), out=rows[:, : joint.inputs])
        found = joint.forward(rows, tensors)
        ctx.save_for_backward(normed, inverse, norm, rows[:, joint.inputs :].clone(), *tensors)
        ctx.joint = joint
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        normed, inverse, norm, thin, *tensors = ctx.saved_tensors
        weight = norm.to(normed.dtype)
        slope, found = ctx.joint.backward(slopes[0], normed, thin, tensors, ctx.needs_input_grad[4:])
        for number, one in enumerate(found):
            if one is not None and number % 4 in (
                0,
                3,
            ):  # what multiplies the inputs, which are normed times the weight
                one.mul_(norm)
        of_norm = _of_weight(slope, normed, norm) if ctx.needs_input_grad[1] else None
        return _norm_back(slope * weight, normed, inverse), of_norm, None, None, *found


class _Added(torch.autograd.Function):
    """x + a product of what attention mixed."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, mixed: torch.Tensor, joint: Joint, *tensors: torch.Tensor | None
    ) -> torch.Tensor:
        rows = joint.room(len(x), tensors, x.dtype)
        rows[:, : joint.inputs] = mixed
        found = joint.forward(rows, tensors).add_(x)
        ctx.save_for_backward(mixed, rows[:, joint.inputs :].clone(), *tensors)
        ctx.joint = joint
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        mixed, thin, *tensors = ctx.saved_tensors
        slope, found = ctx.joint.backward(slopes[0], mixed, thin, tensors, ctx.needs_input_grad[3:])
        return slopes[0], slope, None, *found


class _Gated(torch.autograd.Function):
    """x + down(silu(gate) * up), of gate and up beside each other (Shazeer 2020, equation 6)."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, opened: torch.Tensor, joint: Joint, *tensors: torch.Tensor | None
    ) -> torch.Tensor:
        gate, up = opened.chunk(2, dim=-1)
        rows = joint.room(len(x), tensors, x.dtype)
        torch.mul(F.silu(gate), up, out=rows[:, : joint.inputs])
        found = joint.forward(rows, tensors).add_(x)
        ctx.save_for_backward(opened, rows[:, joint.inputs :].clone(), *tensors)
        ctx.joint = joint
        return found

    @staticmethod
    def backward(ctx: Any, *slopes: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        opened, thin, *tensors = ctx.saved_tensors
        gate, up = opened.chunk(2, dim=-1)
        bent = F.silu(gate)
        slope, found = ctx.joint.backward(slopes[0], bent * up, thin, tensors, ctx.needs_input_grad[3:])
        of_opened = torch.empty_like(opened)
        of_gate, of_up = of_opened.chunk(2, dim=-1)
        torch.mul(slope, bent, out=of_up)
        aten.silu_backward.grad_input(slope * up, gate, grad_input=of_gate)
        return slopes[0], of_opened, None, *found
