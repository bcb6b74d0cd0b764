"""A decoder as one GGUF file, which llama.cpp, Ollama, LM Studio and OpenVINO GenAI run: weights, sizes, tokenizer and template.

The file is written by the format's own library. What a family's file holds beside its tensors follows llama.cpp's converter
(convert_hf_to_gguf.py), and a configuration that llama.cpp would compute otherwise than transformers is refused by name. The
tokenizer stands in it as the model's own: see `noria.make.compress.gguf_vocabulary`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from noria.core.errors import FolderError
from noria.core.messages import message
from noria.infer.engine import weight_files
from noria.infer.gguf.families import FAMILIES, Family, frequency_factors, gguf_name, pattern_of, turns

from .gguf_vocabulary import add_vocabulary

if TYPE_CHECKING:
    import gguf

Number = Literal["float32", "float16", "8 bits", "4 bits"]
_TYPES: dict[str, tuple[str, int]] = {
    "float32": ("F32", 0),
    "float16": ("F16", 1),
    "8 bits": ("Q8_0", 7),
    "4 bits": ("Q4_1", 3),
}
"""Name -> the format's name of most matrices' type, and its number of a file that is mostly so."""
_BLOCK = 32
_FINER = dict.fromkeys(("token_embd", "output", "attn_v", "ffn_down"), "Q8_0")
"""Of a file in 4 bits the matrices that cost the most when they are coarse, as llama.cpp's own Q4_K_M has them finer. SmolLM2, whose
weights came in 4 bits, finds the same next token as in float32 after 0.95 of 100 prompts; with the last two in Q5_1, whose steps
fall between those of 4 bits, after 0.80, for a file that is 8 % smaller and no faster."""
_ACTIVATIONS = {"gemma3_text": "gelu_pytorch_tanh"}
"""Family -> the activation that llama.cpp has in it, where it is not SiLU."""
_ROTATIONS = ("default", "linear", "llama3", "yarn", "longrope")
_UNSEEN_WINDOWS = ("mistral", "phi3")
"""Families whose window llama.cpp does not compute: within it the two are the same, so the file goes no further."""


def family_for(config: Mapping[str, Any]) -> Family | None:
    """Return the family that a configuration is of; None for one that cannot be written."""
    return next((one for one in FAMILIES if one.model_type == config.get("model_type")), None)


def fault_of(config: Mapping[str, Any]) -> str:
    """Return what of a configuration llama.cpp would compute otherwise than transformers; empty where nothing is."""
    family = family_for(config)
    if family is None:
        return f"model_type {config.get('model_type')}"
    kind = family.model_type
    expected: dict[str, Any] = {
        "hidden_act": _ACTIVATIONS.get(kind, "silu"),
        "hidden_activation": _ACTIVATIONS.get(kind, "silu"),
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
        "use_sliding_window": False,
        "quantization_config": None,
    }
    for name, value in expected.items():
        if config.get(name) not in (value, None):
            return f"{name} {config[name]}"
    scaling = rotation(config)
    if scaling.get("rope_type", "default") not in _ROTATIONS:
        return f"rope_type {scaling['rope_type']}"
    if kind == "gemma3_text":
        scale = config.get("query_pre_attn_scalar", 256)
        large = config["num_hidden_layers"] == 62 and scale == config["hidden_size"] // config["num_attention_heads"]
        if scale != config.get("head_dim", 256) and not large:
            return f"query_pre_attn_scalar {scale}"
        if config.get("layer_types") not in (None, pattern_of(config["num_hidden_layers"])):
            return "layer_types"
        if config.get("sliding_window_pattern", 6) != 6:
            return f"sliding_window_pattern {config['sliding_window_pattern']}"
    return ""


def longest_same(config: Mapping[str, Any]) -> int:
    """Return how many tokens a text may have for llama.cpp to compute what transformers does.

    Of factors for short and for long texts llama.cpp takes the long ones for all texts of a context beyond the original.
    """
    most, window, scaling = int(config["max_position_embeddings"]), config.get("sliding_window"), rotation(config)
    if window and config.get("model_type") in _UNSEEN_WINDOWS:
        most = min(most, int(window))
    if scaling["rope_type"] == "longrope" and scaling["short_factor"] != scaling["long_factor"]:
        most = min(most, int(scaling["original_max_position_embeddings"]))
    return most


def rotation(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a model rotates: rope_type, rope_theta and the numbers of its kind, however its version wrote them.

    Where layers of two kinds rotate differently, as Gemma 3's, those that see everything; `local_theta` is the others' base.
    """
    given = dict(config.get("rope_parameters") or {})
    old = dict(config.get("rope_scaling") or {})
    if "full_attention" in given:
        local = given.get("sliding_attention") or {}
        given = {**given["full_attention"], "local_theta": local.get("rope_theta", 10_000.0)}
    elif "full_attention" in old:
        old = dict(old["full_attention"])
    found = {**old, **given}
    found["rope_type"] = found.get("rope_type") or found.pop("type", None) or "default"
    found.setdefault("rope_theta", config.get("rope_theta") or 10_000.0)
    found.setdefault("local_theta", config.get("rope_local_base_freq") or 10_000.0)
    original = config.get("original_max_position_embeddings") or config["max_position_embeddings"]
    found.setdefault("original_max_position_embeddings", original)
    if found["rope_type"] in ("su", "longrope"):
        found["rope_type"] = "longrope"
    return found


def write_gguf(folder: Path, target: Path, number: Number) -> int:
    """Write the decoder of a model folder as `target`; return its bytes.

    Tensors are read and written one at a time, so a large model needs no more memory than its largest.

    Args:
        folder: in the Hugging Face layout.
        target: the file.
        number: what matrices are stored in; `8 bits` has a scale for every 32 weights (the format's Q8_0), `4 bits` a scale
            and a least value (Q4_1), some matrices finer. One whose rows cannot be cut into blocks is stored in float16.

    Raises:
        FolderError: llama.cpp does not compute it as transformers does, or its tokenizer cannot be written.
    """
    import gguf

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    family = family_for(config)
    if family is None or (fault := fault_of(config)):
        raise FolderError(
            message("make.cannot_written", folder=folder),
            found=config.get("model_type") if family is None else fault,
            allowed=", ".join(one.title for one in FAMILIES),
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    out = gguf.GGUFWriter(target, family.architecture)
    out.add_file_type(_TYPES[number][1])
    out.add_name(folder.name)
    out.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_sizes(out, config, family)
    add_vocabulary(out, folder, int(config["vocab_size"]))
    written = dict(_names(folder, config, family))
    extra = dict(_computed(config))
    for name, (shape, _) in written.items():
        kind = _type(name, shape, number)
        shape = gguf.quant_shape_to_byte_shape(shape, kind)
        out.add_tensor_info(name, shape, np.dtype(np.uint8), int(np.prod(shape)), raw_dtype=kind)
    for name, array in extra.items():
        out.add_tensor_info(name, array.shape, array.dtype, array.nbytes)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_ti_data_to_file()
    for name, (shape, place) in written.items():
        array = _turned(name, _read(*place), config, family)
        out.write_tensor_data(gguf.quantize(array, _type(name, shape, number)).view(np.uint8))
    for array in extra.values():
        out.write_tensor_data(array)
    out.close()
    return target.stat().st_size


def _add_sizes(out: gguf.GGUFWriter, config: Mapping[str, Any], family: Family) -> None:
    import gguf

    heads, scaling = config["num_attention_heads"], rotation(config)
    width = config.get("head_dim") or config["hidden_size"] // heads
    out.add_context_length(longest_same(config))
    out.add_embedding_length(config["hidden_size"])
    out.add_block_count(config["num_hidden_layers"])
    out.add_feed_forward_length(config["intermediate_size"])
    out.add_head_count(heads)
    out.add_head_count_kv(config.get("num_key_value_heads") or heads)
    out.add_key_length(width)
    out.add_value_length(width)
    out.add_layer_norm_rms_eps(config["rms_norm_eps"])
    out.add_rope_dimension_count(int(width * (config.get("partial_rotary_factor") or 1)))
    out.add_rope_freq_base(scaling["rope_theta"])
    out.add_vocab_size(config["vocab_size"])
    if config.get("sliding_window") and family.model_type == "gemma3_text":
        out.add_sliding_window(config["sliding_window"])
        out.add_rope_freq_base_swa(scaling["local_theta"])
    if scaling["rope_type"] in ("linear", "yarn"):
        kinds = {"linear": gguf.RopeScalingType.LINEAR, "yarn": gguf.RopeScalingType.YARN}
        out.add_rope_scaling_type(kinds[scaling["rope_type"]])
        out.add_rope_scaling_factor(scaling["factor"])
        out.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
    elif scaling["rope_type"] == "longrope":
        out.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
        out.add_rope_scaling_attn_factors(_longrope_factor(config, scaling))


def _longrope_factor(config: Mapping[str, Any], scaling: Mapping[str, Any]) -> float:
    """Return what scores are scaled by, as transformers computes it (Ding et al. 2024, "LongRoPE")."""
    if scaling.get("attention_factor") is not None:
        return float(scaling["attention_factor"])
    original = float(scaling["original_max_position_embeddings"])
    times = config["max_position_embeddings"] / original
    return 1.0 if times <= 1 else float(np.sqrt(1 + np.log(times) / np.log(original)))


def _computed(config: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield tensors that transformers computes from its configuration: what divides each frequency of the rotation."""
    scaling = rotation(config)
    if scaling["rope_type"] == "llama3":
        width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        yield "rope_freqs.weight", frequency_factors(scaling, scaling["rope_theta"], width).astype(np.float32)
    elif scaling["rope_type"] == "longrope":
        yield "rope_factors_long.weight", np.array(scaling["long_factor"], np.float32)
        yield "rope_factors_short.weight", np.array(scaling["short_factor"], np.float32)


def _names(
    folder: Path, config: Mapping[str, Any], family: Family
) -> Iterator[tuple[str, tuple[tuple[int, ...], tuple[Path, str]]]]:
    """Yield each tensor's name in the file, its shape and where it lies."""
    from safetensors import safe_open

    for file in weight_files(folder):
        with safe_open(file, framework="pt") as opened:
            for name in sorted(opened.keys()):
                if name == "lm_head.weight" and config.get("tie_word_embeddings"):
                    continue
                short = gguf_name(family, name)
                if short is None:
                    if name.endswith("rotary_emb.inv_freq"):
                        continue
                    raise FolderError(message("make.tensor_no_place", folder=folder), found=name)
                yield short, (tuple(opened.get_slice(name).get_shape()), (file, name))


def _read(file: Path, name: str) -> np.ndarray:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:  # numpy has no bfloat16
        found: np.ndarray = opened.get_tensor(name).float().numpy()
        return found


def _turned(name: str, array: np.ndarray, config: Mapping[str, Any], family: Family) -> np.ndarray:
    """Return a tensor as llama.cpp computes with it."""
    heads = config["num_attention_heads"]
    if family.turned and ".attn_q." in name:
        return turns(array, heads)
    if family.turned and ".attn_k." in name:
        return turns(array, config.get("num_key_value_heads") or heads)
    if family.from_one and "norm" in name:
        return array + 1
    return array


def _type(name: str, shape: tuple[int, ...], number: Number) -> gguf.GGMLQuantizationType:
    import gguf

    kind = _TYPES[number][0]
    if len(shape) == 1:
        kind = "F32"  # norms and biases: nothing to gain
    elif number == "4 bits":
        kind = next((finer for part, finer in _FINER.items() if part in name.split(".")), kind)
    if kind.startswith("Q") and shape[-1] % _BLOCK:
        kind = "F16"
    return gguf.GGMLQuantizationType[kind]
