"""Tiny folders of every family of decoders that Noria writes as a GGUF, as transformers itself saves them, with their own kind of tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tiny_models import TEXTS

from noria.infer.gguf.vocabulary import CUTS, _cutter

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "Llama 2": ("Llama", "llama-bpe", {"num_key_value_heads": 4, "tie_word_embeddings": False}),
    "Llama 3": (
        "Llama",
        "llama-bpe",
        {"rope_theta": 500_000.0, "rope_scaling": {**_LLAMA3, "original_max_position_embeddings": 32}},
    ),
    "Llama, linear": ("Llama", "gpt-2", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
    "SmolLM": ("Llama", "smollm", {"tie_word_embeddings": True}),
    "InternLM-like": ("Llama", "llama-bpe", {"attention_bias": True, "mlp_bias": True}),
    "Mistral": ("Mistral", "tekken", {"sliding_window": 64}),
    "Qwen2": ("Qwen2", "qwen2", {"tie_word_embeddings": True}),
    "Qwen2, yarn": (
        "Qwen2",
        "qwen2",
        {"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}},
    ),
    "Qwen3": ("Qwen3", "qwen2", {"head_dim": 32, "tie_word_embeddings": True}),
    "Gemma 3": (
        "Gemma3",
        "gpt-4o",
        {"num_hidden_layers": 7, "head_dim": 16, "query_pre_attn_scalar": 16, "sliding_window": 8},
    ),
    "Phi-3": ("Phi3", "llama-bpe", {"sliding_window": None, "original_max_position_embeddings": 128}),
    "Phi-3, long": (
        "Phi3",
        "llama-bpe",
        {
            "sliding_window": None,
            "max_position_embeddings": 512,
            "original_max_position_embeddings": 256,
            "rope_scaling": {
                "rope_type": "longrope",
                "short_factor": [1.0 + number / 10 for number in range(8)],
                "long_factor": [1.0 + number for number in range(8)],
            },
        },
    ),
}
"""Name -> class in transformers, cut of its tokenizer, what differs in its configuration."""


def tokenizer_for(target: Path, cut: str, size: int = 420) -> int:
    """Write a byte-level tokenizer that cuts as a family's does; return its size."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(ignore_merges=cut in ("llama-bpe", "tekken")))
    if cut == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = _cutter(CUTS[cut])
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(target / "tokenizer.json"))
    named = {"bos_token": None, "eos_token": SPECIAL[2], "pad_token": SPECIAL[0], "chat_template": TEMPLATE}
    (target / "tokenizer_config.json").write_text(json.dumps(named))
    return int(tokenizer.get_vocab_size())


def make_decoder(name: str, target: Path, *, seed: int = 0, **more: Any) -> Path:
    """Write a tiny folder of a family, its table of embeddings longer than its vocabulary."""
    import torch
    import transformers

    kind, cut, differs = FAMILIES[name]
    target.mkdir(parents=True)
    size = tokenizer_for(target, cut)
    config_class = getattr(transformers, "Gemma3TextConfig" if kind == "Gemma3" else f"{kind}Config")
    given = {
        "vocab_size": size + 9,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 96,
        "max_position_embeddings": 128,
        "initializer_range": 0.2,
        "bos_token_id": None,
        "eos_token_id": size - 1,
        "pad_token_id": size - 3,
    }
    torch.manual_seed(seed)
    config = config_class(**{**given, **differs, **more})
    model = getattr(transformers, f"{kind}ForCausalLM")(config)
    with torch.no_grad():  # what begins as one or nought must be seen, too
        for part, tensor in model.named_parameters():
            if "norm" in part or part.endswith("bias"):
                tensor.add_(torch.randn_like(tensor) * 0.1)
    model.save_pretrained(target)
    return target


def with_adapter(base: Path, target: Path, strength: float = 0.05) -> Path:
    """Write a model folder's model with an adapter of random weights, merged, as fine-tuning writes it."""
    import torch

    from noria.core.folder import new_folder, read_manifest
    from noria.make.models.adapt import adapt, parts
    from noria.make.models.adapt_settings import AdapterSettings
    from noria.make.models.load import load
    from noria.make.training.finetune.publish import write_model

    module, tokenizer = load(base, "causal")
    adapt(module, AdapterSettings(kind="lora", rank=2), seed=0)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _, part in parts(module):
            up = part.get_parameter("up")
            up.copy_(strength * torch.randn(up.shape, generator=random))
    with new_folder(target, kind="model") as made:
        made.facts.update(read_manifest(base).facts)
        write_model(made, module, tokenizer, base)
    return target


MERGES = ("twice", "a layer left out", "not at all")
"""Ways in which an adapter is merged wrongly."""


def merge_again(folder: Path, base: Path, fault: str, target: Path) -> Path:
    """Write a model folder again, its adapter merged otherwise than it was trained."""
    from safetensors.torch import load_file, save_file

    from noria.core.folder import new_folder, read_manifest
    from noria.make.compress.quantize import copy_files
    from noria.make.models.load import load

    before = load(base, "causal")[0].state_dict()
    with new_folder(target, kind="model") as made:
        copy_files(folder, made.path)
        made.facts.update(read_manifest(folder).facts)
        file = made.path / "model.safetensors"
        now = load_file(file)
        file.unlink()  # a link
        for name, weight in now.items():
            if fault == "twice":
                now[name] = weight + (weight - before[name])
            elif fault == "not at all" or (fault == "a layer left out" and ".layers.1." in name):
                now[name] = before[name].clone()
        save_file(now, file, metadata={"format": "pt"})
    return target
