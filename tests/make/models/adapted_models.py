"""Tiny models of every architecture that adapters are for, and what they are asked."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

VOCABULARY = 120


def bert() -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(
        BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            num_labels=3,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )


def xlm_roberta() -> nn.Module:
    from transformers import XLMRobertaConfig, XLMRobertaForTokenClassification

    return XLMRobertaForTokenClassification(
        XLMRobertaConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            num_labels=3,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )


def llama() -> nn.Module:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=64,
            max_position_embeddings=64,
            tie_word_embeddings=True,
        )
    )


def t5() -> nn.Module:
    from transformers import T5Config, T5ForConditionalGeneration

    return T5ForConditionalGeneration(
        T5Config(
            vocab_size=VOCABULARY,
            d_model=32,
            d_kv=8,
            num_heads=4,
            d_ff=64,
            num_layers=2,
            dropout_rate=0.0,
            decoder_start_token_id=0,
        )
    )


def marian() -> nn.Module:
    from transformers import MarianConfig, MarianMTModel

    return MarianMTModel(
        MarianConfig(
            vocab_size=VOCABULARY,
            d_model=32,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            max_position_embeddings=64,
            dropout=0.0,
            pad_token_id=0,
            decoder_start_token_id=0,
            eos_token_id=1,
            forced_eos_token_id=1,
        )
    )


MODELS = {"bert": bert, "xlm_roberta": xlm_roberta, "llama": llama, "t5": t5, "marian": marian}


def model(name: str) -> nn.Module:
    """Return the model with the same weights every time."""
    torch.manual_seed(4)
    return MODELS[name]().eval()


def question(module: nn.Module, seed: int = 0) -> dict[str, Any]:
    """Return two texts, the second shorter, as the model's arguments."""
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, VOCABULARY, (2, 9), generator=random)
    mask = torch.ones(2, 9, dtype=torch.long)
    mask[1, 6:] = 0
    more = {"decoder_input_ids": ids[:, :5]} if module.config.is_encoder_decoder else {}
    return {"input_ids": ids, "attention_mask": mask, **more}


def told(module: nn.Module, seed: int = 0) -> torch.Tensor:
    """Return the logits."""
    with torch.no_grad():
        return module(**question(module, seed)).logits


def learn(module: nn.Module, after: Any = None, *, steps: int = 12, rate: float = 1e-2) -> None:
    """Take steps of AdamW towards arbitrary targets."""
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=rate)
    for step in range(steps):
        logits = module(**question(module, step % 3)).logits
        targets = torch.arange(logits.flatten(0, -2).shape[0]) * 7 % logits.shape[-1]
        torch.nn.functional.cross_entropy(logits.flatten(0, -2), targets).backward()
        optimizer.step()
        if after is not None:
            after(step + 1, steps)
        optimizer.zero_grad(set_to_none=True)
