"""A Llama as one GGUF file, which llama.cpp runs: its weights, sizes and vocabulary.

The layout is version 3 of the format's specification (ggml, docs/gguf.md). llama.cpp rotates neighbouring places of a head
where transformers rotates its two halves, so the rows of query and key matrices are put in that order.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors.numpy import load_file

from noria.core.errors import FolderError
from noria.core.messages import message
from noria.make.tokens.tokenizer import load_tokenizer
from noria.tasks.tokenizer import document_of

Number = Literal["float32", "float16", "8 bits"]
NUMBERS: dict[str, int] = {"float32": 0, "float16": 1, "8 bits": 8}
"""Name -> the format's number of a tensor's type."""
_FILE_TYPES: dict[str, int] = {"float32": 0, "float16": 1, "8 bits": 7}
"""Name -> the format's number of a file that is mostly so."""
_VERSION, _ALIGNED, _BLOCK = 3, 32, 32
_NORMAL, _CONTROL = 1, 3
"""Kinds of token."""
_UINT, _INT, _FLOAT, _BOOL, _TEXT, _LIST = 4, 5, 6, 7, 8, 9
_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def fits(config: dict[str, Any]) -> bool:
    """Return whether a model is a Llama without what this writer leaves out: scaled places, biases."""
    rope = config.get("rope_parameters") or {}
    plain = rope.get("rope_type", "default") == "default" and not config.get("rope_scaling")
    return (
        config.get("model_type") == "llama" and plain and not (config.get("attention_bias") or config.get("mlp_bias"))
    )


def write_gguf(folder: Path, target: Path, number: Number, *, words: bool = False) -> int:
    """Write the Llama of a model folder as `target`; return its bytes.

    Args:
        folder: in the Hugging Face layout.
        target: the file.
        number: what matrices are stored in; `8 bits` has a scale for every 32 weights (the format's Q8_0).
        words: name tokens by their text and say which ends a text, for programs that read and write text. Noria's engine
            hands over ids: tokens are named by their numbers then, for llama.cpp holds back a token that is a part of a
            character, and no token ends a text, for Noria knows better which do.

    Raises:
        FolderError: it is no plain Llama, or a matrix cannot be cut into blocks.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if not fits(config):
        raise FolderError(
            message("make.cannot_written", folder=folder),
            found=config.get("model_type"),
            allowed=message("make.llama_without_biases"),
        )
    tensors = {
        name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()
    }
    if config.get("tie_word_embeddings"):
        tensors.pop("lm_head.weight", None)
    made = [_tensor(name, tensor, config, number) for name, tensor in sorted(tensors.items())]
    facts = [*_sizes(config, folder.name, number), *_vocabulary(folder, config, words)]
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as stream:
        stream.write(b"GGUF" + struct.pack("<IQQ", _VERSION, len(made), len(facts)) + b"".join(facts))
        place = 0
        for name, shape, kind, content in made:
            stream.write(_text(name) + struct.pack("<I", len(shape)))
            stream.write(struct.pack(f"<{len(shape)}Q", *reversed(shape)) + struct.pack("<IQ", kind, place))
            place += len(content) + -len(content) % _ALIGNED
        stream.write(b"\0" * (-stream.tell() % _ALIGNED))
        for *_, content in made:
            stream.write(content + b"\0" * (-len(content) % _ALIGNED))
        return stream.tell()


def eight_bits(matrix: np.ndarray) -> bytes:
    """Return a matrix in blocks of 32 weights: a scale in float16, and the weights as integers of 8 bits (Q8_0)."""
    groups = np.ascontiguousarray(matrix, dtype=np.float32).reshape(-1, _BLOCK)
    scales = np.abs(groups).max(axis=1, keepdims=True) / 127
    integers = np.rint(groups / np.where(scales, scales, 1)).astype(np.int8)
    blocks = np.empty(len(groups), dtype=[("scale", "<f2"), ("weights", "i1", _BLOCK)])
    blocks["scale"], blocks["weights"] = scales[:, 0], integers
    return blocks.tobytes()


def _tensor(
    name: str, tensor: np.ndarray, config: dict[str, Any], number: Number
) -> tuple[str, tuple[int, ...], int, bytes]:
    """Return a tensor's name, shape, type and content."""
    tensor = np.asarray(tensor, dtype=np.float32)
    heads = config["num_attention_heads"]
    if "q_proj" in name:
        tensor = _neighbours(tensor, heads)
    elif "k_proj" in name:
        tensor = _neighbours(tensor, config.get("num_key_value_heads") or heads)
    if tensor.ndim == 1:
        number = "float32"
    if number == "8 bits":
        if tensor.shape[-1] % _BLOCK:
            raise FolderError(
                message("make.matrix_cannot"), found=f"{name} {tensor.shape}", allowed=message("make.rows")
            )
        content = eight_bits(tensor)
    else:
        content = tensor.astype("<f2" if number == "float16" else "<f4").tobytes()
    return _name(name), tensor.shape, NUMBERS[number], content


def _neighbours(matrix: np.ndarray, heads: int) -> np.ndarray:
    """Return a matrix (out, in) with the places of each head's two halves in turns."""
    return matrix.reshape(heads, 2, -1, matrix.shape[1]).swapaxes(1, 2).reshape(matrix.shape)


def _name(name: str) -> str:
    known = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if name in known:
        return known[name]
    _, _, layer, *path, last = name.split(".")
    return f"blk.{layer}.{_NAMES['.'.join(path)]}.{last}"


def _sizes(config: dict[str, Any], name: str, number: Number) -> Iterator[bytes]:
    heads = config["num_attention_heads"]
    width = config.get("head_dim") or config["hidden_size"] // heads
    rope = config.get("rope_parameters") or {}
    yield _fact("general.architecture", _TEXT, "llama")
    yield _fact("general.name", _TEXT, name)
    yield _fact("general.file_type", _UINT, _FILE_TYPES[number])
    for key, value in {
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "block_count": config["num_hidden_layers"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": heads,
        "attention.head_count_kv": config.get("num_key_value_heads") or heads,
        "attention.key_length": width,
        "attention.value_length": width,
        "rope.dimension_count": width,
        "vocab_size": config["vocab_size"],
    }.items():
        yield _fact(f"llama.{key}", _UINT, value)
    yield _fact("llama.attention.layer_norm_rms_epsilon", _FLOAT, config["rms_norm_eps"])
    yield _fact("llama.rope.freq_base", _FLOAT, rope.get("rope_theta") or config.get("rope_theta") or 10_000.0)


def _vocabulary(folder: Path, config: dict[str, Any], words: bool) -> Iterator[bytes]:
    document: dict[str, Any] = (
        document_of(load_tokenizer(folder)) if words else {"added_tokens": [], "model": {"type": ""}}
    )
    special = {token["id"]: token["content"] for token in document["added_tokens"]}
    model = document["model"]
    bytewise = model["type"] == "BPE" and "ByteLevel" in json.dumps(document.get("decoder"))
    known = {number: text for text, number in model["vocab"].items()} if bytewise else {}
    size = config["vocab_size"]
    # Of the kinds of vocabulary only RWKV's has no token that ends a text unless one is named.
    yield _fact("tokenizer.ggml.model", _TEXT, "gpt2" if words else "rwkv")
    yield _fact("tokenizer.ggml.pre", _TEXT, "default")
    yield _list("tokenizer.ggml.tokens", _TEXT, [special.get(n) or known.get(n) or f"<{n}>" for n in range(size)])
    kinds = [_CONTROL if n in special else _NORMAL for n in range(size)]
    yield _list("tokenizer.ggml.token_type", _INT, kinds)
    merges = [one if isinstance(one, str) else " ".join(one) for one in model["merges"]] if bytewise else []
    yield _list("tokenizer.ggml.merges", _TEXT, merges)
    for key in ("bos", "eos") if words else ():
        given = config.get(f"{key}_token_id")
        number = given[0] if isinstance(given, list) else given
        if number is not None:
            yield _fact(f"tokenizer.ggml.{key}_token_id", _UINT, number)
    yield _fact("tokenizer.ggml.add_bos_token", _BOOL, False)


def _text(text: str) -> bytes:
    content = text.encode()
    return struct.pack("<Q", len(content)) + content


def _value(kind: int, value: Any) -> bytes:
    if kind == _TEXT:
        return _text(value)
    return struct.pack({_UINT: "<I", _INT: "<i", _FLOAT: "<f", _BOOL: "<?"}[kind], value)


def _fact(key: str, kind: int, value: Any) -> bytes:
    return _text(key) + struct.pack("<I", kind) + _value(kind, value)


def _list(key: str, kind: int, values: list[Any]) -> bytes:
    head = _text(key) + struct.pack("<IIQ", _LIST, kind, len(values))
    return head + b"".join(_value(kind, value) for value in values)
