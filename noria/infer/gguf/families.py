"""Families of decoders as llama.cpp and as transformers name them: sizes, tensors, and what differs between the two.

One table serves both directions: what reads a GGUF here, and what writes one (`noria.make.compress.gguf`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isclose
from typing import Any

import numpy as np

from noria.core.errors import FolderError
from noria.core.messages import message

from .reader import Gguf

_OUTSIDE = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_ATTENTION = {f"self_attn.{one}_proj": f"attn_{one}" for one in "qkv"} | {"self_attn.o_proj": "attn_output"}
_GATED = {f"mlp.{one}_proj": f"ffn_{one}" for one in ("gate", "up", "down")}
_NORMS = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
_HEAD_NORMS = {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
_LLAMA = {**_ATTENTION, **_GATED, **_NORMS}
_GEMMA_NORMS = {
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}
_PHI = {
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    **_NORMS,
}
_LOCAL_THETA = 10_000.0
"""Base of the rotation in Gemma 3's layers that see a window: llama.cpp has it fixed."""
_BY_THREES = {"rope_type": "llama3", "low_freq_factor": 1.0, "high_freq_factor": 4.0}
_BY_THREES |= {"original_max_position_embeddings": 8192}
"""How Llama 3.1 and later stretch their places; only the factor differs between them."""


@dataclass(frozen=True)
class Family:
    """A kind of decoder."""

    title: str
    architecture: str
    """What llama.cpp calls it."""
    model_type: str
    """What transformers calls it."""
    model_class: str
    parts: Mapping[str, str]
    """Part of a layer in transformers -> in a GGUF."""
    turned: bool = False
    """Whether llama.cpp rotates neighbouring places of a head where transformers rotates its two halves."""
    from_one: bool = False
    """Whether transformers keeps a norm's weights less one."""


FAMILIES = (
    Family("Llama 2, Llama 3, SmolLM, InternLM", "llama", "llama", "LlamaForCausalLM", _LLAMA, turned=True),
    Family("Mistral", "llama", "mistral", "MistralForCausalLM", _LLAMA, turned=True),
    Family("Qwen2, Qwen2.5", "qwen2", "qwen2", "Qwen2ForCausalLM", _LLAMA),
    Family("Qwen3", "qwen3", "qwen3", "Qwen3ForCausalLM", {**_LLAMA, **_HEAD_NORMS}),
    Family(
        "Gemma 3",
        "gemma3",
        "gemma3_text",
        "Gemma3ForCausalLM",
        {**_ATTENTION, **_GATED, **_GEMMA_NORMS, **_HEAD_NORMS},
        from_one=True,
    ),
    Family("Phi-3", "phi3", "phi3", "Phi3ForCausalLM", _PHI),
)
"""Families that are read from a GGUF and written as one; where two share an architecture the first is read."""
ALIASES = {"internlm2": "llama"}
"""Architectures of llama.cpp whose tensors are another's, name for name."""


def family_of(opened: Gguf) -> Family:
    """Return the family of a file.

    Raises:
        FolderError: it is none that transformers can be given; names those that are.
    """
    named = ALIASES.get(opened.architecture, opened.architecture)
    found = next((one for one in FAMILIES if one.architecture == named), None)
    if found is None or opened.own("expert_count", 0):
        experts = ", mixture of experts" if found else ""
        raise FolderError(
            message("infer.gguf_family", file=opened.file),
            found=f"{opened.architecture}{experts}",
            allowed=[one.title for one in FAMILIES],
            hint=message("infer.gguf_served"),
        )
    return found


def tensor_name(family: Family, name: str) -> str | None:
    """Return what transformers calls a tensor of a GGUF; None for one that it computes, as the frequencies of a rotation."""
    path, _, kind = name.rpartition(".")
    outside = {short: long for long, short in _OUTSIDE.items()}
    if path in outside:
        return f"{outside[path]}.{kind}"
    parts = path.split(".")
    inside = {short: long for long, short in family.parts.items()}
    if len(parts) == 3 and parts[0] == "blk" and parts[2] in inside:
        return f"model.layers.{parts[1]}.{inside[parts[2]]}.{kind}"
    return None


def gguf_name(family: Family, name: str) -> str | None:
    """Return what a GGUF calls a tensor of transformers; None for one that it has no place for."""
    path, _, kind = name.rpartition(".")
    if path in _OUTSIDE:
        return f"{_OUTSIDE[path]}.{kind}"
    parts = path.split(".", 3)
    if parts[:2] == ["model", "layers"] and len(parts) == 4 and parts[3] in family.parts:
        return f"blk.{parts[2]}.{family.parts[parts[3]]}.{kind}"
    return None


def pattern_of(layers: int) -> list[str]:
    """Return which of Gemma 3's layers see a window and which see everything: every sixth."""
    return ["full_attention" if number % 6 == 0 else "sliding_attention" for number in range(1, layers + 1)]


def halves(matrix: np.ndarray, heads: int) -> np.ndarray:
    """Return rows (out, ...) whose heads' places lie in turns, as llama.cpp rotates them, with each head's two halves in order."""
    return np.ascontiguousarray(matrix.reshape(heads, -1, 2, *matrix.shape[1:]).swapaxes(1, 2).reshape(matrix.shape))


def turns(matrix: np.ndarray, heads: int) -> np.ndarray:
    """Return rows (out, ...) with the places of each head's two halves in turns: the inverse of `halves`."""
    return np.ascontiguousarray(matrix.reshape(heads, 2, -1, *matrix.shape[1:]).swapaxes(1, 2).reshape(matrix.shape))


def config_of(opened: Gguf) -> dict[str, Any]:
    """Return the `config.json` that transformers reads for a file, special tokens left out.

    Raises:
        FolderError: the family is not known, or a size is missing or no number.
    """
    family, own = family_of(opened), opened.own

    def number(name: str, default: Any = None) -> Any:
        value = own(name, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
            raise FolderError(
                message("infer.gguf_fact", file=opened.file), found=f"{opened.architecture}.{name} = {value}"
            )
        return value

    heads, width = number("attention.head_count"), number("embedding_length")
    config: dict[str, Any] = {
        "architectures": [family.model_class],
        "model_type": family.model_type,
        "vocab_size": vocabulary_size(opened),
        "hidden_size": width,
        "intermediate_size": number("feed_forward_length"),
        "num_hidden_layers": number("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": number("attention.head_count_kv", heads),
        "head_dim": number("attention.key_length", width // heads),
        "max_position_embeddings": number("context_length"),
        "rms_norm_eps": _short(number("attention.layer_norm_rms_epsilon")),
        "rope_theta": _short(number("rope.freq_base", 10_000.0)),
        "rope_scaling": _scaling(opened),
        "tie_word_embeddings": "output.weight" not in opened.tensors,
    }
    if family.model_type == "llama":
        config["attention_bias"] = "blk.0.attn_q.bias" in opened.tensors
        config["mlp_bias"] = "blk.0.ffn_up.bias" in opened.tensors
    if window := own("attention.sliding_window"):
        config["sliding_window"] = window
    if family.model_type == "gemma3_text":
        config["rope_local_base_freq"] = _short(own("rope.freq_base_swa", _LOCAL_THETA))
        # Of its sizes the largest alone, of 62 layers, scales by the width of the model; llama.cpp has it fixed likewise.
        config["query_pre_attn_scalar"] = width // heads if config["num_hidden_layers"] == 62 else config["head_dim"]
    if family.model_type == "phi3":
        config["original_max_position_embeddings"] = own(
            "rope.scaling.original_context_length", config["max_position_embeddings"]
        )
        config["partial_rotary_factor"] = own("rope.dimension_count", config["head_dim"]) / config["head_dim"]
    return config


def served_config(opened: Gguf) -> dict[str, Any]:
    """Return the `config.json` for a file that is served as it is: where its family is not known, what engines ask for."""
    try:
        return config_of(opened)
    except FolderError:
        return {
            "model_type": opened.architecture,
            "vocab_size": vocabulary_size(opened),
            "max_position_embeddings": opened.own("context_length", 2048),
        }


def vocabulary_size(opened: Gguf) -> int:
    """Return how many tokens a file's table of embeddings has rows for; 0 where it has none."""
    table = opened.tensors.get("token_embd.weight")
    return table.shape[0] if table else 0


def _short(number: float) -> float:
    """Return a number that was stored in 32 bits with as many digits as those hold: 1e-5, not 9.99999974e-06."""
    return float(f"{number:.7g}")


def _scaling(opened: Gguf) -> dict[str, Any] | None:
    """Return how places beyond those of pretraining are rotated, as transformers has it."""
    if "rope_factors_long.weight" in opened.tensors:
        original = opened.own("rope.scaling.original_context_length")
        return {
            "rope_type": "longrope",
            "short_factor": _factors(opened, "rope_factors_short.weight"),
            "long_factor": _factors(opened, "rope_factors_long.weight"),
            "original_max_position_embeddings": original,
            "attention_factor": _short(opened.own("rope.scaling.attn_factor", 1.0)),
        }
    if "rope_freqs.weight" in opened.tensors:
        return _frequencies(opened)
    kind, factor = opened.own("rope.scaling.type", "none"), opened.own("rope.scaling.factor", 1.0)
    if kind == "none" or not factor:
        return None
    given: dict[str, Any] = {"rope_type": kind, "factor": _short(factor)}
    if original := opened.own("rope.scaling.original_context_length"):
        given["original_max_position_embeddings"] = original
    return given


def _factors(opened: Gguf, name: str) -> list[float]:
    return [_short(one) for one in opened.array(name).tolist()]


def _frequencies(opened: Gguf) -> dict[str, Any] | None:
    """Return what divides each frequency of the rotation: in Llama 3's own words where those give it, else number by number."""
    factors = _factors(opened, "rope_freqs.weight")
    if all(one == 1 for one in factors):
        return None
    asked = {**_BY_THREES, "factor": max(factors)}
    width = 2 * len(factors)
    made = frequency_factors(asked, opened.own("rope.freq_base", 10_000.0), width)
    if all(isclose(a, b, rel_tol=1e-4) for a, b in zip(factors, made.tolist(), strict=True)):
        return asked
    plain: dict[str, Any] = {"rope_type": "longrope", "short_factor": factors, "long_factor": factors}
    return {**plain, "original_max_position_embeddings": opened.own("context_length"), "attention_factor": 1.0}


def frequency_factors(scaling: Mapping[str, Any], theta: float, width: int) -> np.ndarray:
    """Return what Llama 3 divides each frequency of its rotation by, float64 [width / 2] (Dubey et al. 2024; transformers' "llama3").

    Long waves are stretched by the factor, short ones stay, those between go over smoothly.
    """
    low, high = float(scaling["low_freq_factor"]), float(scaling["high_freq_factor"])
    original, factor = float(scaling["original_max_position_embeddings"]), float(scaling["factor"])
    waves = 2 * np.pi * theta ** (np.arange(0, width, 2) / width)
    smooth = np.clip((original / waves - low) / (high - low), 0.0, 1.0)
    return np.asarray(1 / ((1 - smooth) / factor + smooth))
