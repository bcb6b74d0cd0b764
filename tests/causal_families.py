"""Every causal family that the installed transformers knows, tiny: its own default configuration with small sizes, random weights."""

from __future__ import annotations

from typing import Any

from tiny_families import LAYERS, config_of, drawn

VOCABULARY = 96
_SIZES: tuple[tuple[str, int], ...] = (
    (r"(padded_|unpadded_|decoder_)?vocab_size.*|n_vocab|.*_vocab_size|.*hash_byte_group_vocab", VOCABULARY),
    (r"num_.*layers_per_stack|(num_|n_)?(encoder_|decoder_|hidden_|attention_)?layers?|num_blocks|depth", LAYERS),
    (r".*(key_value|kv)_heads|num_query_groups|num_key_value_heads", 2),
    (r".*n_heads?|.*num_heads|.*attention_heads|.*num_(key|value)_heads|num_attention_heads|.*_n_heads", 4),
    (
        r".*head_dim|d_head|.*_d_head|kv_channels|dim_head|attention_head_size|.*headdim|qk_.*_dim|rotary_dim|.*rope_dim",
        8,
    ),
    (r".*(intermediate_size|ffn_dim|ffn_hidden_size|hidden_size_mlp).*|n_inner|d_inner|d_ff|dff|dim_ff", 64),
    (
        r".*hidden_size|hidden_dim|embedding_dim|embedding_size|d_model|n_embd|n_embed|dim|emb_dim|.*_embed_dim|.*embedding_size",
        32,
    ),
    (r"word_embed_proj_dim|lru_width|attention_hidden_size|ple_embed_dim|mamba_d_ssm", 32),
    (r".*position_embeddings|n_positions|n_ctx|max_seq_len.*|context_length|model_max_length|max_.*_positions", 64),
    (r".*_rank|d_rel|state_size|.*d_state|.*state_size", 8),
    (r".*window.*|.*chunk_size|.*chunk_length|local_attention|rel_extent|block_size|index_block_size", 6),
    (r".*num_(local_)?experts|n_routed_experts|moe_num_experts|zero_expert_num", 4),
    (r".*experts?_per_tok(en)?|moe_topk|moe_k|n_group|topk_group", 2),
    (r"index_topk.*", 4),
)
"""Names that families give to a size, and the tiny one."""
_TOKENS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def names() -> dict[str, str]:
    """Return model type -> class, as AutoModelForCausalLM has them."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    return dict(sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items()))


def _fixed(name: str, value: Any) -> dict[str, Any] | None:
    if name in _TOKENS:
        return {name: _TOKENS[name]}
    if name.endswith(("_token_id", "_token_index")):
        return {name: 3} if isinstance(value, int) and value >= VOCABULARY else {}
    return None


_LATENT = {"num_key_value_heads": 4, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8}
_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
ENCODERS = (
    "bert",
    "bert-generation",
    "big_bird",
    "camembert",
    "data2vec-text",
    "electra",
    "ernie",
    "megatron-bert",
    "rembert",
    "roberta",
    "roberta-prelayernorm",
    "roc_bert",
    "roformer",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
)
"""Families of encoders that transformers makes a causal model of where `is_decoder` says so."""
OVERRIDES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(
        (
            "axk1",
            "axk2",
            "deepseek_v3",
            "deepseek_v32",
            "dots3_note_text",
            "glm4_moe_lite",
            "glm_moe_dsa",
            "kimi_linear",
            "minicpm3",
            "youtu",
        ),
        _LATENT,
    ),
    **{key: {"head_dim": 8} for key in ("hunyuan_v1_dense", "hunyuan_v1_moe", "ministral")},
    "bailing_hybrid": {**_LATENT, "n_group": 1, "topk_group": 1},
    "bamba": {"mamba_n_heads": 8, "mamba_d_head": 8, "attn_layer_indices": [1]},
    "blt_local_decoder": {"hidden_size_global": 32},
    "blt_local_encoder": {"hidden_size_global": 32},
    "cohere_compass_text": {"rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE}},
    "dbrx": {
        "attn_config": {"rope_theta": 10000.0, "kv_n_heads": 2, "clip_qkv": 8.0},
        "ffn_config": {"hidden_size": 32, "ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2},
    },
    "deepseek_v2": {**_LATENT, "num_experts_per_tok": 2, "n_routed_experts": 4, "first_k_dense_replace": 1},
    "dots1": {
        "n_routed_experts": 4,
        "n_shared_experts": 1,
        "num_experts_per_tok": 2,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
    },
    "doge": {"keep_window_size": 64},  # of a longer row it keeps the largest keys, be they later ones
    "gemma3n_text": {
        "num_hidden_layers": 4,
        "num_kv_shared_layers": 2,
        "intermediate_size": 64,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
        "activation_sparsity_pattern": [0.95, 0.0, 0.0, 0.0],
    },
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "attention_layers": ["global", "local"]},
    "granitemoehybrid": {"mamba_n_heads": 8, "mamba_d_head": 8, "layer_types": ["linear_attention", "full_attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "longcat_flash": {**_LATENT, "qk_head_dim": 16, "head_dim": 8},
    "mamba2": {"num_heads": 8, "head_dim": 8},
    "nemotron": {"head_dim": 8, "num_key_value_heads": 2},
    "nemotron_h": {"layers_block_type": ["mamba", "attention"], "mamba_num_heads": 8, "mamba_head_dim": 8},
    "qwen4_exp_text": {
        "indexer_n_heads": 4,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 4,
        "indexer_compress_ratio": 2,
        "ngram_vocab_size_base": 97,
        "split_ngram_parts": 2,
    },
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {
        "is_decoder": True,
        "axial_pos_shape": [8, 8],
        "axial_pos_embds_dim": [16, 16],
        "attn_layers": ["local", "lsh"],
    },
    "xlstm": {"num_heads": 4, "hidden_size": 32, "qk_dim_factor": 0.5, "v_dim_factor": 1.0},
    "xmod": {"default_language": "en_XX"},
    "zamba": {
        "num_hidden_layers": 4,
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "n_mamba_heads": 2,
        "use_mamba_kernels": False,
    },
    "zamba2": {
        "num_hidden_layers": 4,
        "layers_block_type": ["linear_attention", "hybrid"] * 2,
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "mamba_headdim": 8,
        "hybrid_layer_ids": [1, 3],
    },
}
"""What small sizes alone do not give a family."""
CANNOT = {
    "dots3_note": "its reader of sound wants widths that fit each other; its text model is tried as dots3_note_text",
    "gemma3n": "its reader of pictures is in timm, which is not installed; its text model is tried as gemma3n_text",
    "gemma4_assistant": "guesses ahead for another model, whose keys and values it reads",
    "gemma4_unified_assistant": "guesses ahead for another model, whose keys and values it reads",
    "musicgen": "writes music from the states of a text encoder",
    "musicgen_melody": "writes music from the states of a text encoder",
}
"""Families that are not built here, and why."""
REFUSED = {
    "cpmant": "see later ones",
    "prophetnet": "see later ones",
    "reformer": "text alone",
    "xlm": "see later ones",
    "xlnet": "see later ones",
}
"""Families that are refused by name, as the library makes them."""


def build(name: str, *, attention: str | None = None, seed: int = 0, **settings: Any) -> Any:
    """Return a family's model, tiny, its matrices drawn large enough that every path through it matters."""
    from transformers import AutoModelForCausalLM

    with drawn(seed) as draw:
        config = config_of(name, _SIZES, _fixed, OVERRIDES, **settings)
        more = {} if attention is None else {"attn_implementation": attention}
        module = AutoModelForCausalLM.from_config(config, **more).eval()
        draw(module)
    return module
