"""A small causal model and a small chat model with random weights, for faults: what they write is of no use, only that they do."""

from __future__ import annotations

from pathlib import Path

TEXTS = ["物流很快，包装完好，下次还来。", "A noria is a water wheel that the stream itself turns.", "北京的冬天很冷。"]


def make_writer(target: Path, task: str = "causal", length: int = 512) -> Path:
    """Write a model folder whose model never ends by itself, so that a stream is as long as was asked for.

    Args:
        target: the folder to write.
        task: causal, or chat.
        length: most tokens, the prompt's included.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM

    from noria.core.folder import new_folder

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, show_progress=False, special_tokens=["<|pad|>", "<|begin|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(TEXTS, trainer)
    torch.manual_seed(0)
    with new_folder(target, kind="model") as folder:
        tokenizer.save(str(folder.path / "tokenizer.json"))
        config = LlamaConfig(
            vocab_size=tokenizer.get_vocab_size(), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            num_key_value_heads=2, intermediate_size=64, max_position_embeddings=length, pad_token_id=0, bos_token_id=1,
            eos_token_id=None, tie_word_embeddings=True,
        )  # fmt: skip
        LlamaForCausalLM(config).save_pretrained(folder.path)
        folder.facts.update(task=task, labels=[], max_length=length)
    return target
