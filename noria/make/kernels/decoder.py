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
from torch.utils.checkpoint import checkpoint

from noria.infer.device import place_of
from noria.make.models.adapted import AdaptedLinear
from noria.make.models.lora import WeightChange
from noria.make.models.packed import Bits, pack

from .decoder_attention import Attend, Shape, Window, windows
from .decoder_halves import Added, Gated, HeadNorms, Norm, Normed
from .joint import Joint

if TYPE_CHECKING:
    from transformers import PreTrainedModel

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
        joined = Normed.apply(x, self.norm.weight, _epsilon(self.norm), self.joined, *self.joined.tensors())  # type: ignore[no-untyped-call]
        if self.head_norms is not None:
            query, key = self.head_norms
            joined = HeadNorms.apply(joined, query.weight, key.weight, _epsilon(query), self.shape)  # type: ignore[no-untyped-call]
        mixed = Attend.apply(joined, cosine, sine, parts, self.shape)  # type: ignore[no-untyped-call]
        x = Added.apply(x, mixed, self.out, *self.out.tensors())  # type: ignore[no-untyped-call]
        second = self.second_norm
        opened = Normed.apply(x, second.weight, _epsilon(second), self.opened, *self.opened.tensors())  # type: ignore[no-untyped-call]
        found: torch.Tensor = Gated.apply(x, opened, self.closed, *self.closed.tensors())  # type: ignore[no-untyped-call]
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
    """Return the parts of a module, or None where it is no such decoder; tried the first time, and kept with the module.

    On an accelerator it is none: its passes are a processor's.
    """
    if place_of(module).type != "cpu":
        return None
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


def hold(module: nn.Module, dtype: torch.dtype, bits: Bits | None = None) -> None:
    """Let the weights at rest of a decoder's layers lie as its products read them, in a number type, or in codes; what learns stays."""
    found = _parts_or_none(module)
    if found is None:
        return
    for joint in found.joints():
        if any(one.weight.requires_grad for one in joint.linears):
            continue
        if bits is None:
            joint.hold(dtype)
            continue
        for linear in joint.linears:
            pack(cast(AdaptedLinear, linear), bits)
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
    normed: torch.Tensor = Norm.apply(x, model.norm.weight, _epsilon(model.norm))  # type: ignore[no-untyped-call]
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
        found = _parts(module)
    except (AttributeError, TypeError):  # wrapped, or put together otherwise
        return None
    whole = all(type(one.weight) in (nn.Parameter, torch.Tensor) for joint in found.joints() for one in joint.linears)
    return found if whole else None  # of a matrix that several processes share, each holds a part


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
