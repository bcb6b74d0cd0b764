"""Tiny real models for tests: architectures and tokenizers as users have them, random weights."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from benchmarks.writers import ENCODER, byte_tokenizer, make_writer
from noria.core.folder import new_folder

TEXTS = [
    "物流很快，包装完好，下次还来。",
    "质量太差了，用了两天就坏了。",
    "酒店位置不错，早餐一般。",
    "客服态度很好，解决了我的问题。",
    "北京的冬天很冷，上海的夏天很热。",
    "大模型的市场份额在增长。",
    "这本书写得很有意思，推荐给大家。",
    "屏幕太暗，电池也不耐用。",
    "Fast delivery and careful packing, I will order again.",
    "It broke after two days, do not buy it.",
    "The hotel is well placed, breakfast is average.",
    "The share of large models keeps growing.",
    "A noria is a water wheel that the stream itself turns.",
    "The screen is dim and the battery is weak.",
]
LABELS = ["negative", "positive"]
WIDTH = 32


def encoder_tokenizer(target: Path) -> int:
    """Train a byte-level tokenizer with [CLS] and [SEP] round every text; return its size."""
    return byte_tokenizer(target, TEXTS, ENCODER, closed=True)


def causal_tokenizer(target: Path) -> int:
    """Train a byte-level tokenizer that puts nothing round a text; return its size."""
    return byte_tokenizer(target, TEXTS)


def make_encoder(
    target: Path, task: str, labels: list[str], outputs: int, *, compiled: bool = True, seed: int = 0, layers: int = 2
) -> Path:
    """Write a model folder for classify, tag or embed."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertForTokenClassification, BertModel

    with new_folder(target, kind="model") as folder:
        config = BertConfig(
            vocab_size=encoder_tokenizer(folder.path),
            hidden_size=WIDTH,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=128,
            num_labels=outputs,
        )
        torch.manual_seed(seed)
        kinds = {"classify": BertForSequenceClassification, "tag": BertForTokenClassification, "embed": BertModel}
        model = kinds[task](config)
        model.save_pretrained(folder.path)
        if compiled:
            compile_for_openvino(model, folder.path)
        folder.facts.update(task=task, labels=labels, max_length=128, pooling="mean", prefix="")
    return target


def compile_for_openvino(model: Any, folder: Path) -> None:
    """Write `engine/` and a certificate beside a transformers encoder, as a compressed model has them."""
    import openvino
    import torch

    class Bare(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model.eval()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return self.model(input_ids=input_ids, attention_mask=attention_mask)[0]

    ids = torch.ones(2, 7, dtype=torch.long)
    mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every branch
        compiled = openvino.convert_model(Bare(), example_input={"input_ids": ids, "attention_mask": mask})
    openvino.save_model(compiled, folder / "engine" / "model.xml", compress_to_fp16=False)
    (folder / "certificate.json").write_text('{"passed": true}', encoding="utf-8")


def pair_tokenizer(target: Path, separators: int = 1) -> int:
    """Train the tokenizer of `encoder_tokenizer`, which also joins two texts and tells them apart; return its size.

    As many `separators` as asked for stand between the two.
    """
    from tokenizers import Tokenizer, processors

    size = encoder_tokenizer(target)
    tokenizer = Tokenizer.from_file(str(target / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair=f"[CLS] $A {'[SEP] ' * separators}$B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    tokenizer.save(str(target / "tokenizer.json"))
    return size


def make_causal(target: Path) -> Path:
    """Write a model folder for completion: it never ends by itself, streams last as long as a test wants."""
    return make_writer(target, length=256, texts=TEXTS)


def make_chat(target: Path) -> Path:
    """Write a model folder for chat; its tokenizer knows the marks of a turn."""
    return make_writer(target, "chat", texts=TEXTS, ends=True, seed=1)


def make_reader(target: Path) -> Path:
    """Write a model folder for answer."""
    import torch
    from transformers import BertConfig, BertForQuestionAnswering

    with new_folder(target, kind="model") as folder:
        config = BertConfig(
            vocab_size=pair_tokenizer(folder.path),
            hidden_size=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=128,
            num_labels=2,
        )
        torch.manual_seed(2)
        BertForQuestionAnswering(config).save_pretrained(folder.path)
        folder.facts.update(task="answer", labels=[], max_length=128)
    return target


def make_translator(target: Path) -> Path:
    """Write a model folder for translate."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    with new_folder(target, kind="model") as folder:
        config = T5Config(
            vocab_size=encoder_tokenizer(folder.path),
            d_model=WIDTH,
            d_kv=8,
            num_heads=4,
            d_ff=64,
            num_layers=2,
            decoder_start_token_id=0,
            pad_token_id=0,
            eos_token_id=2,
        )
        torch.manual_seed(3)
        T5ForConditionalGeneration(config).save_pretrained(folder.path)
        folder.facts.update(task="translate", labels=[], max_length=24)
    return target
