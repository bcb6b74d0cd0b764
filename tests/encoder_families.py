"""Every family that the installed transformers can give an encoder's head, tiny: its own configuration with small sizes, random weights."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tiny_families import Fixed, config_of, drawn
from tiny_models import pair_tokenizer

SIZES: tuple[tuple[str, int], ...] = (
    (
        r"(encoder_|decoder_|num_|n_)?(hidden_)?layers?|num_(encoder|decoder)_layers|num_.*layers_per_stack|num_blocks",
        2,
    ),
    (r".*(key_value|kv)_heads|num_query_groups", 2),
    (r"(num_|n_)heads?|.*attention_heads|.*_num_heads|n_head", 4),
    (r".*head_dim|d_head|d_kv|attention_head_size|qk_.*_dim", 8),
    (r".*(intermediate_size|ffn_dim|ffn_hidden_size).*|n_inner|d_inner|d_ff|hidden_dim", 64),
    (r".*hidden_size|.*embedding_size|d_model|n_embd|(emb_)?dim|embed_dim|true_hidden_size|word_embed_proj_dim", 32),
    (r".*bottleneck_size|entity_emb_size|.*_rank|coordinate_size|shape_size", 16),
    (r"max_position_embeddings|n_positions|n_ctx|max_.*position_embeddings", 130),
    (r".*num_(local_)?experts|n_routed_experts", 4),
    (r".*experts?_per_tok(en)?|moe_topk", 2),
    (r"n_group|topk_group", 1),
    (r"entity_vocab_size", 40),
    (r"pronunciation_vocab_size|shape_vocab_size|.*_label_size", 200),
)
"""Names that families give to a size, and the tiny one."""
TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "cls_token_id": 1, "eos_token_id": 2, "sep_token_id": 2}
LATENT = {"num_key_value_heads": 4, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8, "head_dim": 8}
OVERRIDES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("axk1", "axk2", "deepseek_v3", "minicpm3", "mistral4"), LATENT),
    **{name: {"head_dim": 8} for name in ("hunyuan_v1_dense", "hunyuan_v1_moe", "ministral")},
    "deepseek_v2": {**LATENT, "num_experts_per_tok": 2, "topk_method": "greedy"},
    "t5": {"decoder_start_token_id": 0},
    "umt5": {"decoder_start_token_id": 0},
    "cohere_compass_text": {
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": 1e4} for kind in ("full_attention", "sliding_attention")
        }
    },
    "esmc": {"num_key_value_heads": 4},
    "esm": {"pad_token_id": 1, "mask_token_id": 3},
    "funnel": {"block_sizes": [1, 1], "block_repeats": None, "num_decoder_layers": 1},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "num_layers": 2, "window_size": 8},
    "gptj": {"rotary_dim": 4},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False},
    "longformer": {"attention_window": 8},
    "layoutlmv3": {"coordinate_size": 6, "shape_size": 4},
    "led": {"attention_window": 8},
    "mobilebert": {"true_hidden_size": 16},
    "lilt": {"hidden_size": 48, "channel_shrink_ratio": 4},
    "neomme": {"head_dim": 16, "hidden_size": 64},
    "perceiver": {
        "num_latents": 8,
        "d_latents": 32,
        "d_model": 32,
        "num_blocks": 1,
        "num_self_attends_per_block": 1,
        "num_self_attention_heads": 4,
        "num_cross_attention_heads": 4,
    },
    "reformer": {
        "axial_pos_shape": [8, 8],
        "axial_pos_embds_dim": [16, 16],
        "attn_layers": ["local", "lsh"],
        "max_position_embeddings": 64,
    },
    "xmod": {"default_language": "en_XX"},
}
"""What small sizes alone do not give a family."""
TWO_SEPARATORS = ("longformer", "roberta", "xlm-roberta", "camembert")
"""Families whose tokenizers put two separators between a pair; Longformer's reader finds its question by them."""
HEADS = {"classify": "SEQUENCE_CLASSIFICATION", "tag": "TOKEN_CLASSIFICATION", "answer": "QUESTION_ANSWERING"}


def names() -> list[str]:
    """Return the model types of all families with a head for sequences, tokens, answers or hidden tokens."""
    from transformers.models.auto import modeling_auto as auto

    kinds = (*HEADS.values(), "MASKED_LM")
    return sorted(set().union(*(getattr(auto, f"MODEL_FOR_{kind}_MAPPING_NAMES") for kind in kinds)))


def heads_of(name: str) -> list[str]:
    """Return the tasks whose head a family has."""
    from transformers.models.auto import modeling_auto as auto

    return [task for task, kind in HEADS.items() if name in getattr(auto, f"MODEL_FOR_{kind}_MAPPING_NAMES")]


def fixed(vocabulary: int) -> Fixed:
    """Return what every family has: the tokenizer's tokens and its vocabulary."""

    def told(name: str, value: Any) -> dict[str, Any] | None:
        if name in TOKENS:
            # A family whose configuration names no padding is a base as people bring it: it stays without.
            return {name: TOKENS[name] if value is not None else None}
        if name.endswith(("_token_id", "_token_index")) and isinstance(value, int):
            return {name: 3}
        return {name: vocabulary} if re.fullmatch(r"(decoder_)?vocab_size|n_vocab", name) else None

    return told


def make_base(name: str, target: Path) -> Path:
    """Write a family's tiny base: the body without a head, and a tokenizer that joins pairs."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    target.mkdir(parents=True)
    vocabulary = pair_tokenizer(target, separators=2 if name in TWO_SEPARATORS else 1)
    config = config_of(name, SIZES, fixed(vocabulary), OVERRIDES)
    with drawn(0) as draw:
        kinds = MODEL_MAPPING[type(config)]
        module = (kinds[0] if isinstance(kinds, tuple) else kinds)(config).eval()
        draw(module)
        module.save_pretrained(target)
    return target
