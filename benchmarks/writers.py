"""A small causal model and a small chat model with random weights, for faults and tests: what they write is of no use, only that they do."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

TEXTS = ("物流很快，包装完好，下次还来。", "A noria is a water wheel that the stream itself turns.", "北京的冬天很冷。")


def make_writer(
    target: Path,
    task: str = "causal",
    length: int = 512,
    *,
    texts: Sequence[str] = TEXTS,
    ends: bool = False,
    seed: int = 0,
) -> Path:
    """Write a model folder of a Llama with two layers.

    Args:
        target: the folder to write.
        task: causal, or chat.
        length: most tokens, the prompt's included.
        texts: what its tokenizer is learnt from.
        ends: it knows a token that ends a text; else it never ends by itself, so that a stream is as long as was asked for.
        seed: of the weights.
    """
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from noria.core.folder import new_folder

    with new_folder(target, kind="model") as folder:
        config = LlamaConfig(
            vocab_size=byte_tokenizer(folder.path, texts),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            intermediate_size=64,
            max_position_embeddings=length,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2 if ends else None,
            tie_word_embeddings=True,
        )
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder.path)
        folder.facts.update(task=task, labels=[], max_length=length)
    return target


ENCODER = ("[PAD]", "[CLS]", "[SEP]")
"""Special tokens of a BERT."""


def byte_tokenizer(
    target: Path,
    texts: Sequence[str],
    special: Sequence[str] = ("<|pad|>", "<|begin|>", "<|end|>"),
    *,
    closed: bool = False,
) -> int:
    """Write a byte-level tokenizer; return its size. A `closed` one puts its second and third special token round every text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        show_progress=False,
        special_tokens=list(special),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts, trainer)
    if closed:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{special[1]} $A {special[2]}", special_tokens=[(special[1], 1), (special[2], 2)]
        )
    tokenizer.save(str(target / "tokenizer.json"))
    return int(tokenizer.get_vocab_size())
