"""A BERT over texts that lie end to end, so that nothing is computed for padding: the answers of transformers, and no gradients.

    run = Unpadded(module)                       # float32; "bfloat16" and "int8" pack the matrices once
    states = run([[1, 5, 9, 2], [1, 7, 2]])      # each text's logits, float32, as `Engine.forward` gives them

Everything but attention is done for all tokens at once, attention for the texts of one length together. The three products
that read the same states are one, and where a head reads only the first token the last layer computes only that token's. In
"int8" products are of 8-bit integers: a scale for every row of a matrix and for every token, and outliers of activations moved
into the matrices where `smoothing` has seen some texts (Xiao et al. 2023, "SmoothQuant"). On MiniLM and e5-small those two
brought the error of last states from 0.42 of their spread to 0.13 and 0.10.
T tokens of all texts, D width, H heads, W width of a head.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from noria.machine import bf16_is_native

from .device import place_of

Number = Literal["float32", "bfloat16", "int8"]
ROWS = 8
"""The number of tokens of a pass is a multiple of this: oneDNN makes its code anew for a number that it has not seen lately."""
SHARE = 0.7
"""Share of the outliers that is moved; 0.5 and 0.85 erred more on both."""
SCALES = "engine/packed.safetensors"
"""Where a folder holds what `smoothing` found: one vector a product, by its number."""
Product = Callable[[torch.Tensor], torch.Tensor]
FIRST_ONLY = "BertForSequenceClassification"
"""Its head reads only a text's first token."""
_HEADS = (FIRST_ONLY, "BertForTokenClassification", "BertForQuestionAnswering", "BertModel")


def plain(module: nn.Module, linear: tuple[type[nn.Linear], ...] = (nn.Linear,)) -> bool:
    """Return whether the encoder within is a BERT as transformers has it, its weights all here, with no dropout at work.

    Args:
        module: any module.
        linear: types of matrices that the caller can compute with.
    """
    config = getattr(module, "config", None)
    if config is None or getattr(config, "model_type", "") != "bert":
        return False
    if config.hidden_act != "gelu" or config.is_decoder or place_of(module).type != "cpu":
        return False
    # A weight that is sharded, or wrapped in a way not known here, has a type of its own; an attention with prefixes mixes
    # more, and a hook changes what a part gives.
    return all(
        (type(part) in linear or not isinstance(part, nn.Linear))
        and not hasattr(part, "prefixes")
        and not hasattr(part, "served_prefix")
        and not part._forward_hooks
        and not (isinstance(part, nn.Dropout) and part.training and part.p)
        for part in module.modules()
    ) and all(type(one) is nn.Parameter for one in module.parameters())


def applies(module: nn.Module) -> bool:
    """Return whether `Unpadded` computes what this module would."""
    return type(module).__name__ in _HEADS and plain(module)


@dataclass(frozen=True)
class _Layer:
    joined: Product
    """Queries, keys and values."""
    mixed: Product
    wide: Product
    """Its activation is done."""
    narrow: Product
    norms: tuple[Product, Product]


class Unpadded:
    """A module of `applies` as a function of texts.

    Args:
        module: a BERT, with or without a head, in evaluation mode. Its matrices are read when this is made: not later.
        number: type of matrix products. States between them are in bfloat16 with it, else in float32.
        scales: for int8 what `smoothing` gave, a vector for every product.
    """

    def __init__(self, module: Any, number: Number = "float32", scales: Sequence[torch.Tensor] = ()) -> None:
        self._module, self._bert = module, module.base_model
        self._dtype = torch.bfloat16 if number == "bfloat16" else torch.float32
        self._number, self._scales = number, iter(scales)
        self._heads = module.config.num_attention_heads
        self._first_only = type(module).__name__ == FIRST_ONLY
        with torch.inference_mode():
            self._norm = self._normed(self._bert.embeddings.LayerNorm)
            self._layers = [self._packed(layer) for layer in self._bert.encoder.layer]

    def __call__(
        self, texts: Sequence[Sequence[int]], types: Sequence[Sequence[int]] | None = None
    ) -> list[np.ndarray]:
        """Return each text's logits, float32: [labels] of a sequence, [tokens, outputs], or [tokens, D] hidden states.

        Args:
            texts: token ids; all of them are computed in one go.
            types: which of two texts each token is of.
        """
        # Texts of one length are neighbours, so that their attention is one call; one without tokens is given one.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        lengths = [max(1, len(texts[place])) for place in order]
        found: list[np.ndarray] = [np.empty(0)] * len(texts)
        with torch.inference_mode(), torch.autocast("cpu", enabled=False):
            states = self._states(_flat(texts, order), None if types is None else _flat(types, order), lengths)
            logits = self._head(states).float().numpy()
        if self._first_only:
            for place, values in zip(order, logits, strict=True):
                found[place] = values
            return found
        start = 0
        for place, length in zip(order, lengths, strict=True):
            found[place] = logits[start : start + len(texts[place])]
            start += length
        return found

    def _states(self, ids: list[int], types: list[int] | None, lengths: list[int]) -> torch.Tensor:
        """Return the states above the last layer (T and a few more, D), or of a sequence head those of first tokens."""
        more = -len(ids) % ROWS
        places = [*chain.from_iterable(map(range, lengths)), *[0] * more]
        part = self._bert.embeddings
        words = F.embedding(torch.tensor(ids + [0] * more), part.word_embeddings.weight)
        kinds = part.token_type_embeddings.weight
        words += kinds[0] if types is None else F.embedding(torch.tensor(types + [0] * more), kinds)
        words += F.embedding(torch.tensor(places), part.position_embeddings.weight)
        hidden = self._norm(words.to(self._dtype))
        groups = [(length, len(list(group))) for length, group in groupby(lengths)]
        starts = torch.tensor([0, *lengths[:-1]]).cumsum(0)
        for number, layer in enumerate(self._layers):
            first = self._first_only and number == len(self._layers) - 1
            mixed = self._attend(layer.joined(hidden), groups, first=first)
            hidden = hidden[starts] if first else hidden
            hidden = layer.norms[0](layer.mixed(mixed).add_(hidden))
            hidden = layer.norms[1](layer.narrow(layer.wide(hidden)).add_(hidden))
        return hidden

    def _attend(self, joined: torch.Tensor, groups: list[tuple[int, int]], *, first: bool) -> torch.Tensor:
        """Return mixed values (T, D), or those of each text's first token, from queries, keys and values (T, 3 D)."""
        tokens, width = joined.shape[0], joined.shape[1] // 3
        mixed = joined.new_zeros(sum(count for _, count in groups) if first else tokens, width)
        start = row = 0
        for length, count in groups:
            part = joined[start : start + length * count].view(count, length, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
            query, key, value = part[0, :, :, :1] if first else part[0], part[1], part[2]
            rows = count * query.shape[2]
            mixed[row : row + rows].view(count, -1, self._heads, width // self._heads).copy_(
                F.scaled_dot_product_attention(query, key, value).transpose(1, 2)
            )
            start, row = start + length * count, row + rows
        return mixed

    def _head(self, states: torch.Tensor) -> torch.Tensor:
        module, kind = self._module, type(self._module).__name__
        if kind == FIRST_ONLY:
            # The pooler takes the first of a text's states.
            logits: torch.Tensor = module.classifier(module.bert.pooler(states.float()[:, None]))
            return logits
        head = {_HEADS[1]: "classifier", _HEADS[2]: "qa_outputs"}.get(kind)
        return states if head is None else _product(getattr(module, head), self._dtype)(states)

    def _packed(self, layer: Any) -> _Layer:
        attention = layer.attention.self
        parts = (attention.query, attention.key, attention.value)
        joined = torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])
        return _Layer(
            self._made(*joined),
            self._made(*_of(layer.attention.output.dense)),
            self._made(*_of(layer.intermediate.dense), active=True),
            self._made(*_of(layer.output.dense)),
            (self._normed(layer.attention.output.LayerNorm), self._normed(layer.output.LayerNorm)),
        )

    def _made(self, weight: torch.Tensor, bias: torch.Tensor, *, active: bool = False) -> Product:
        """Return the product with a matrix (out, in), packed where that pays; `active` puts a GELU after it."""
        if self._number == "int8":
            return _in_integers(weight, bias, next(self._scales, None), active=active)
        bias = bias.to(self._dtype)
        if self._number == "bfloat16" and bf16_is_native():
            # float32 gains nothing by packing: MKL's products of so few rows are as fast without.
            matrix = torch.ops.mkldnn._reorder_linear_weight(weight.to(self._dtype), None)
            how: tuple[str, list[float], str] = ("gelu", [], "none") if active else ("none", [], "")
            return lambda x: torch.ops.mkldnn._linear_pointwise(x, matrix, bias, *how)
        weight = weight.to(self._dtype)
        return lambda x: F.gelu(F.linear(x, weight, bias)) if active else F.linear(x, weight, bias)

    def _normed(self, norm: Any) -> Product:
        weight, bias = norm.weight.to(self._dtype), norm.bias.to(self._dtype)
        return lambda x: F.layer_norm(x, norm.normalized_shape, weight, bias, norm.eps)


def _flat(rows: Sequence[Sequence[int]], order: Sequence[int]) -> list[int]:
    return list(chain.from_iterable(rows[place] or (0,) for place in order))


def _of(linear: nn.Linear) -> tuple[torch.Tensor, torch.Tensor]:
    return linear.weight, linear.bias


def _product(linear: nn.Linear, dtype: torch.dtype) -> Product:
    return lambda x: F.linear(x, linear.weight.to(dtype), linear.bias.to(dtype))


def _in_integers(weight: torch.Tensor, bias: torch.Tensor, scale: torch.Tensor | None, *, active: bool) -> Product:
    """Return the product with a matrix as 8-bit integers, a scale for every row (out) and for every token."""
    weight = weight.detach().float() * (1 if scale is None else scale)
    steps = weight.abs().amax(1).clamp_min(1e-8) / 127
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has no other way to these products, and says that the type will go
        rounded = torch.quantize_per_channel(
            weight, steps.double(), torch.zeros(len(steps), dtype=torch.long), 0, torch.qint8
        )
    matrix = torch.ops.quantized.linear_prepack(rounded, torch.zeros(len(steps)))
    bias, inverse = bias.detach().float(), None if scale is None else 1 / scale

    def product(x: torch.Tensor) -> torch.Tensor:
        x = x if inverse is None else x * inverse
        # With the largest of each at one, the step that torch takes for all tokens suits every one of them.
        largest = x.abs().amax(-1, keepdim=True).clamp_min(1e-6)
        # Of AVX2 the sum of two products of 8 bits overflows 16: the last argument leaves activations 7.
        y: torch.Tensor = torch.ops.quantized.linear_dynamic(x / largest, matrix, True).mul_(largest).add_(bias)
        return F.gelu(y) if active else y

    return product


class _Seen(Unpadded):
    """Notes the largest activation of every column that a product takes, and the largest weight."""

    def __init__(self, module: Any) -> None:
        self.largest: list[tuple[torch.Tensor, torch.Tensor]] = []
        super().__init__(module)

    def _made(self, weight: torch.Tensor, bias: torch.Tensor, *, active: bool = False) -> Product:
        product, place = super()._made(weight, bias, active=active), len(self.largest)
        weights = weight.detach().abs().amax(0)
        self.largest.append((torch.zeros_like(weights), weights))

        def noted(x: torch.Tensor) -> torch.Tensor:
            self.largest[place] = torch.maximum(self.largest[place][0], x.abs().amax(0)), weights
            return product(x)

        return noted


def ranges(module: Any, batches: Iterable[Sequence[Sequence[int]]]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return for each product of a module of `applies` the largest activation and the largest weight of every column.

    Args:
        module: in float32.
        batches: texts like those to come, as token ids.
    """
    seen = _Seen(module)
    for texts in batches:
        seen(texts)
    return seen.largest


def smoothing(known: Iterable[tuple[torch.Tensor, torch.Tensor]], share: float = SHARE) -> list[torch.Tensor]:
    """Return for each product, by its `ranges`, what its columns are divided by, and its matrix multiplied with."""
    found = [(act.clamp_min(1e-5) ** share) / (weight.clamp_min(1e-5) ** (1 - share)) for act, weight in known]
    return [one / one.mean() for one in found]
