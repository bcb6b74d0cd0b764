"""An encoder as ONNX Runtime runs it, its products in 8-bit integers: quickest for one text at a time, on AVX2 too.

A family of transformers is traced as it comes. A BERT is written anew, in few operations: queries, keys and values are one
product, the scale of attention and what evens out activations lie in the matrices where they can, and where a head reads only
the first token the last layer computes only that token's. The widest states are computed in parts of units of like range, which
brought the error of MiniLM's logits from 0.14 to 0.10 of their spread. A step of activations is found anew for every product of
every pass, matrices have one for every column, a table of embeddings one for every row.

Without VNNI two products of 8 bits overflow the 16 of their sum. There matrices may have 7 bits ("int7"), which is fast and errs
more, or 8, for which the engine then takes exact products that are slower.
B texts, T tokens, D width, H heads, W width of a head.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from noria.core.folder import new_folder, read_manifest, source_of
from noria.infer.engine import ENGINES
from noria.infer.unpadded import FIRST_ONLY, applies
from noria.make.models.load import Head, load, quiet_transformers
from noria.tasks.task import task_of

from .quantize import LEAST, Logits, copy_files, example_of, packed, silent
from .settings import CompressSettings

GROUPS = 4
"""Parts of the widest states, units of like range together, each with a step of its own."""
ALIKE = 0.85
"""Share of the outliers of activations that is moved into the matrices: all tokens share a step. 0.7 and 0.95 erred more."""
OUTPUTS = 32
"""A matrix of fewer is a head's, and stays as it is."""
_MASKED = -1e4
"""Added to what attention must not see; exp of it is 0 in float32, beside any other score."""


def make_onnx(folder: Path, target: Path, graph: Path, method: str, settings: CompressSettings) -> Path:
    """Write a copy of a model folder with an ONNX engine in integers. It still needs its certificate.

    Args:
        folder: the trained model.
        target: the folder to write.
        graph: what `export_onnx` wrote for it.
        method: int8 or int7.
        settings: of the compression.

    Raises:
        NotImplementedError: there is nothing in the graph to compute in integers.
    """
    manifest = read_manifest(folder)
    with new_folder(
        target, kind="model", settings=settings.model_dump(mode="json"), sources=[source_of(folder)]
    ) as out:
        copy_files(folder, out.path)
        file = out.path / ENGINES["onnx"]
        file.parent.mkdir()
        in_integers(graph, file, method)
        out.facts.update(manifest.facts)
        out.facts["engine"] = {
            "format": "ONNX",
            "runtime": "ONNX Runtime",
            "method": method,
            "bytes": file.stat().st_size,
        }
    return target


def export_onnx(folder: Path, target: Path, scales: Sequence[torch.Tensor] = ()) -> Path:
    """Write the model of a folder as a graph in float32: inputs and output as `noria.make.compress.quantize.export` has them.

    Args:
        folder: the trained model.
        target: the file to write.
        scales: of a BERT what `noria.infer.unpadded.smoothing` gave for `ALIKE`.

    Raises:
        NotImplementedError: the family cannot be written as a graph.
    """
    head = cast(Head, task_of(read_manifest(folder)).head)
    module, tokenizer = load(folder, head)
    example = example_of(module, tokenizer, head)
    try:
        if applies(module):
            graph: nn.Module = _Bert(module, scales)
        else:
            module.set_attn_implementation("eager")
            graph = Logits(module, head)
        write_graph(graph.eval(), example, target)
    except Exception as error:  # tracing runs a family's own code, of which some cannot be traced
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise NotImplementedError(told[0]) from error
    return target


def write_graph(module: nn.Module, example: Mapping[str, torch.Tensor], target: Path) -> None:
    """Write a module as ONNX, in float32, for any number of texts and tokens.

    Args:
        module: takes the example's tensors in their order; gives logits [B, ...] or [B, T, ...], or an object that has them.
        example: name of an input -> a tensor [B, T].
        target: the file to write.
    """
    with torch.inference_mode():
        told = module(*example.values())
    logits = told if isinstance(told, torch.Tensor) else told.logits
    axes = {0: "texts", 1: "tokens"}
    with quiet_transformers(), silent(), _unlogged(), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer remarks on every branch
        torch.onnx.export(
            module,
            tuple(example.values()),
            target,
            dynamo=False,
            input_names=[*example],
            output_names=["logits"],
            dynamic_axes={**dict.fromkeys(example, axes), "logits": axes if logits.ndim == 3 else {0: "texts"}},
        )


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep the exporter from writing the graph that it could not export to the terminal, past Python's own streams."""
    log = torch._C._jit_onnx_log
    setattr(torch._C, "_jit_onnx_log", lambda *parts: None)  # noqa: B010 - to its stubs it is no variable
    try:
        yield
    finally:
        setattr(torch._C, "_jit_onnx_log", log)  # noqa: B010


def in_integers(graph: Path, target: Path, method: str = "int8") -> None:
    """Write a graph with products in integers, but for those of heads, and tables of embeddings stored in 8 bits.

    Args:
        graph: a graph in float32.
        target: the file to write.
        method: int8 or int7: bits of the matrices.

    Raises:
        NotImplementedError: there is no product of a matrix in it.
    """
    with silent():
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        whole = onnx.load(graph)
        widths = {one.name: min(one.dims) for one in whole.graph.initializer if len(one.dims) == 2}
        # A product with one vector a text is a Gemm.
        products = [
            node.name
            for node in whole.graph.node
            if node.op_type == "MatMul" and widths.get(node.input[1], 0) >= OUTPUTS
        ]
        if not products:
            raise NotImplementedError("no matrix product")
        quantize_dynamic(
            graph,
            target,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=method == "int7",
            weight_type=QuantType.QInt8,
            nodes_to_quantize=products,
            extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
        )
        small = onnx.load(target)
        _pack_tables(small.graph)
        onnx.save(small, target)


def _pack_tables(graph: Any) -> None:
    """Store the tables that a graph reads rows of as 8-bit integers, with a step for every row."""
    from onnx import TensorProto, helper, numpy_helper

    tables = {one.name: one for one in graph.initializer if len(one.dims) == 2 and np.prod(one.dims) >= LEAST}
    readers: dict[str, list[Any]] = {name: [] for name in tables}
    for node in graph.node:
        for name in node.input:
            if name in readers:
                readers[name].append(node)
    nodes = []
    done = {name for name, them in readers.items() if them and all(node.op_type == "Gather" for node in them)}
    for name in done:
        integers, steps = packed(numpy_helper.to_array(tables[name]), tables[name].dims[1])
        graph.initializer.remove(tables[name])
        graph.initializer.append(numpy_helper.from_array(integers, f"{name}_integers"))
        graph.initializer.append(numpy_helper.from_array(steps, f"{name}_steps"))
    for node in graph.node:
        if node.op_type != "Gather" or node.input[0] not in done:
            nodes.append(node)
            continue
        name, ids, found = node.input[0], node.input[1], node.output[0]
        rows, wide, step = (f"{found}_{part}" for part in ("rows", "wide", "step"))
        nodes += [
            helper.make_node("Gather", [f"{name}_integers", ids], [rows]),
            helper.make_node("Cast", [rows], [wide], to=TensorProto.FLOAT),
            helper.make_node("Gather", [f"{name}_steps", ids], [step]),
            helper.make_node("Mul", [wide, step], [found]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)


class _Bert(nn.Module):
    """A module of `noria.infer.unpadded.applies`, as a function of padded texts, in few operations.

    Args:
        module: in evaluation mode.
        scales: what columns of each product are divided by, in the order of `noria.infer.unpadded.smoothing`.
    """

    def __init__(self, module: Any, scales: Sequence[torch.Tensor]) -> None:
        super().__init__()
        bert, given = module.base_model, iter(scales)
        part, self.head = bert.embeddings, module
        self.words, self.norm = part.word_embeddings, part.LayerNorm
        kinds = part.token_type_embeddings.weight.detach()
        self.places = nn.Parameter(part.position_embeddings.weight.detach() + kinds[0])
        self.kinds = nn.Parameter(kinds - kinds[0])
        self.first_only = type(module).__name__ == FIRST_ONLY
        self.layers = nn.ModuleList(_Layer(one, module.config.num_attention_heads, given) for one in bert.encoder.layer)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        hidden = self.words(input_ids) + self.places[: input_ids.shape[1]]
        if token_type_ids is not None:
            hidden = hidden + F.embedding(token_type_ids, self.kinds)
        hidden, hide = self.norm(hidden), (1.0 - attention_mask.float())[:, None, None, :] * _MASKED
        for number, layer in enumerate(self.layers):
            hidden = layer(hidden, hide, first=self.first_only and number == len(self.layers) - 1)
        if self.first_only:
            logits: torch.Tensor = self.head.classifier(self.head.bert.pooler(hidden))
            return logits
        told: torch.Tensor = self.head.classifier(hidden) if hasattr(self.head, "classifier") else hidden
        return told


class _Layer(nn.Module):
    def __init__(self, layer: Any, heads: int, scales: Iterator[torch.Tensor]) -> None:
        super().__init__()
        own, self.heads = layer.attention.self, heads
        ones = torch.ones(())
        joined, mixed, wide, narrow = (next(scales, ones) for _ in range(4))
        width = own.query.weight.shape[0]
        query, key, value = ((one.weight.detach(), one.bias.detach()) for one in (own.query, own.key, own.value))
        root = (width // heads) ** -0.5
        # What the values are divided by, the product after attention is multiplied with.
        even = mixed if mixed.ndim else mixed.expand(width)
        weight = torch.cat([query[0] * root, key[0], value[0] / even[:, None]]) * joined
        self.joined = _linear(weight, torch.cat([query[1] * root, key[1], value[1] / even]))
        self.mixed = _linear(*_scaled(layer.attention.output.dense, mixed))
        weight, bias = _scaled(layer.intermediate.dense, wide)
        order = narrow.argsort() if narrow.ndim else torch.arange(len(weight))
        self.wide = _linear(weight[order], bias[order])
        weight, bias = _scaled(layer.output.dense, narrow)
        self.narrow = nn.ModuleList(
            _linear(part, bias if place == 0 else None) for place, part in enumerate(weight[:, order].chunk(GROUPS, 1))
        )
        narrow = narrow[order] if narrow.ndim else narrow
        self.norms = nn.ModuleList((layer.attention.output.LayerNorm, layer.output.LayerNorm))
        self.inverses = nn.ParameterList([1 / one for one in (joined, wide, narrow) if one.ndim])

    def forward(self, hidden: torch.Tensor, hide: torch.Tensor, *, first: bool) -> torch.Tensor:
        """Return the states [B, T, D] above, or [B, 1, D] of the first token; `hide` is [B, 1, 1, T]."""
        texts, tokens, width = hidden.shape
        parts = self.joined(self._even(hidden, 0)).chunk(3, -1)
        query, key, value = (one.view(texts, tokens, self.heads, -1) for one in parts)
        if first:
            query, hidden = query[:, :1], hidden[:, :1]
        scores = query.transpose(1, 2) @ key.permute(0, 2, 3, 1) + hide
        mixed = (scores.softmax(-1) @ value.transpose(1, 2)).transpose(1, 2).reshape(texts, -1, width)
        hidden = self.norms[0](self.mixed(mixed) + hidden)
        wide = F.gelu(self.wide(self._even(hidden, 1)))
        parts = self._even(wide, 2).chunk(len(self.narrow), -1)
        for product, part in zip(self.narrow, parts, strict=True):
            hidden = hidden + product(part)
        states: torch.Tensor = self.norms[1](hidden)
        return states

    def _even(self, states: torch.Tensor, which: int) -> torch.Tensor:
        return states * self.inverses[which] if len(self.inverses) else states


def _scaled(linear: nn.Linear, scale: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return linear.weight.detach() * scale, linear.bias.detach()


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Linear:
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    made.weight = nn.Parameter(weight.contiguous())
    if bias is not None:
        made.bias = nn.Parameter(bias)
    return made
