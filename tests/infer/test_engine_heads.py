"""Whatever its head and its adapter, a model folder is served as it was judged when it was built."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import TEXTS, causal_tokenizer, encoder_tokenizer, pair_tokenizer
from tokenizers import Tokenizer

from noria.core.errors import FolderError, SettingError
from noria.core.folder import new_folder
from noria.infer.choose import open_engine
from noria.infer.engine import answer
from noria.make.evaluate.predict import answer_rows, predict
from noria.make.models.adapt import adapt
from noria.make.models.adapt_settings import AdapterSettings
from noria.make.models.feedforward import load_net, new_net
from noria.make.models.load import load
from noria.make.training.finetune.publish import write_model
from noria.tasks.complete import Sampling
from noria.tasks.task import Task, task_for

LENGTH = 48
NUMBERS = np.array([[100.0, 0.01], [80.0, -0.02], [130.0, 0.0], [95.0, 5.0]])
ADAPTERS = {
    "lora": AdapterSettings(kind="lora", rank=4),
    "bottleneck": AdapterSettings(kind="bottleneck", width=8, places="houlsby"),
    "prefix": AdapterSettings(kind="prefix", tokens=5),
}
LONG = "昨天王明去了北京，" * 9 + "今天他在上海。"


def bert(kind: str, size: int, outputs: int) -> Any:
    import transformers

    config = transformers.BertConfig(
        vocab_size=size,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=outputs,
    )
    return getattr(transformers, f"BertFor{kind}")(config)


def t5(size: int) -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    return T5ForConditionalGeneration(
        T5Config(
            vocab_size=size,
            d_model=32,
            d_kv=8,
            num_heads=4,
            d_ff=64,
            num_layers=2,
            decoder_start_token_id=0,
            eos_token_id=2,
        )
    )


def marian(size: int) -> Any:
    from transformers import MarianConfig, MarianMTModel

    return MarianMTModel(
        MarianConfig(
            vocab_size=size,
            d_model=32,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            max_position_embeddings=512,
            pad_token_id=0,
            decoder_start_token_id=0,
            eos_token_id=2,
            forced_eos_token_id=2,
        )
    )


def llama(size: int) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=size,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=64,
            max_position_embeddings=128,
            tie_word_embeddings=True,
            eos_token_id=2,
            pad_token_id=0,
        )
    )


def gpt2(size: int) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(vocab_size=size, n_embd=32, n_layer=2, n_head=4, n_positions=128, eos_token_id=2))


def mistral(size: int) -> Any:
    from transformers import MistralConfig, MistralForCausalLM

    return MistralForCausalLM(
        MistralConfig(
            vocab_size=size,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=64,
            max_position_embeddings=128,
            sliding_window=6,
            eos_token_id=2,
            pad_token_id=0,
        )
    )


def lstm(size: int) -> Any:
    from noria.make.models.recurrent import LstmForCausalLM, config

    return LstmForCausalLM(config(20_000, size, 128))


@torch.no_grad()
def shake(module: torch.nn.Module) -> None:
    """Make what learns random; what a decoder reads is kept small, or it would say its last token again for ever."""
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            small = any(word in name for word in ("shared", "embed", "lm_head"))
            parameter.add_(torch.randn_like(parameter) * (0.02 if small else 0.3))


def folder_of(
    target: Path, task: Task, reader: Callable[[Path], int], make: Callable[[int], Any], adapter: str | None = None
) -> Path:
    """Write a model as a fine-tuning run does; what would learn has random weights, so that nothing is zero by chance."""
    with new_folder(target, kind="model") as folder:
        size = reader(folder.path)
        tokenizer = Tokenizer.from_file(str(folder.path / "tokenizer.json"))
        torch.manual_seed(3)
        module = make(size).eval()
        shake(module)
        if adapter:
            adapt(module, ADAPTERS[adapter], seed=1)
            shake(module)
        folder.facts.update({**task.facts(), "max_length": LENGTH})
        write_model(folder, module, tokenizer, None)
    return target


def close(told: Any, wanted: Any) -> None:
    """Compare two answers; numbers within rounding."""
    if isinstance(wanted, dict):
        assert told.keys() == wanted.keys()
        for key, value in wanted.items():
            close(told[key], value)
    elif isinstance(wanted, list):
        assert len(told) == len(wanted)
        for one, other in zip(told, wanted, strict=True):
            close(one, other)
    elif isinstance(wanted, float):
        assert told == pytest.approx(wanted, abs=2e-4)
    else:
        assert told == wanted


ROWS: dict[str, list[dict[str, Any]]] = {
    "classify": [{"text": text, "pair": other} for text, other in zip(TEXTS, TEXTS[3:], strict=False)],
    "tag": [{"text": text} for text in [*TEXTS, LONG]],
    "answer": [{"question": "谁去了北京？", "context": text} for text in [*TEXTS, LONG]],
    "translate": [{"source": text} for text in TEXTS],
    "summarise": [{"source": text} for text in TEXTS[:3]],
}
CASES = {
    "pairs": ("classify", lambda size: bert("SequenceClassification", size, 2), None),
    "long texts": ("tag", lambda size: bert("TokenClassification", size, 5), None),
    "spans": ("answer", lambda size: bert("QuestionAnswering", size, 2), None),
    "t5": ("translate", t5, None),
    "marian": ("summarise", marian, None),
    "bert lora": ("classify", lambda size: bert("SequenceClassification", size, 2), "lora"),
    "bert bottleneck": ("tag", lambda size: bert("TokenClassification", size, 5), "bottleneck"),
    "bert prefix": ("answer", lambda size: bert("QuestionAnswering", size, 2), "prefix"),
    "t5 prefix": ("translate", t5, "prefix"),
    "t5 bottleneck": ("translate", t5, "bottleneck"),
}


@pytest.mark.parametrize("case", CASES)
def test_answers_are_those_of_the_judge(case: str, tmp_path: Path):
    name, make, adapter = CASES[case]
    labels = {"classify": ["same", "other"], "tag": ["person", "place"]}.get(name, ())
    task = task_for(name, labels)
    folder = folder_of(tmp_path / "model", task, pair_tokenizer, make, adapter)
    module, tokenizer = load(folder, task.head, task.outputs)
    rows = ROWS[name]
    wanted = answer_rows(task, module, tokenizer, rows, LENGTH)
    assert len({str(one) for one in wanted}) > 1, "answers that are all alike prove nothing"
    engine = open_engine(folder, threads=1)
    told = answer(engine, rows)
    close(told, wanted)
    engine.close()


def test_rows_of_numbers_are_answered(tmp_path: Path):
    task = task_for("numeric", ["inside", "outside"], width=2)
    with new_folder(tmp_path / "net", kind="model") as folder:
        new_net(NUMBERS, 2, seed=1).save_pretrained(folder.path)
        folder.facts.update({**task.facts(), "max_length": LENGTH})
    engine = open_engine(tmp_path / "net", threads=1)
    rows = [{"features": row.tolist()} for row in NUMBERS]
    close(answer(engine, rows), answer_rows(task, load_net(tmp_path / "net"), None, rows, LENGTH))
    assert answer(engine, ["100, 0.01"])[0]["label"] == answer(engine, rows[:1])[0]["label"]
    with pytest.raises(SettingError, match="no logits"):
        engine.forward([[1]])


def exact(folder: Path) -> Any:
    """The reference engine in float32, whatever measures faster."""
    from noria.core.folder import read_manifest
    from noria.infer.torch import TorchEngine
    from noria.tasks.task import task_of

    manifest = read_manifest(folder)
    return TorchEngine(folder, manifest, task_of(manifest), threads=1, number="float32")


DECODERS = {
    "llama": (llama, None),
    "gpt2": (gpt2, None),
    "mistral": (mistral, None),
    "lstm": (lstm, None),
    "llama prefix": (llama, "prefix"),
    "llama bottleneck": (llama, "bottleneck"),
}


@pytest.mark.parametrize("case", DECODERS)
def test_texts_that_grow_together_get_what_each_would_get_alone(case: str, tmp_path: Path):
    make, adapter = DECODERS[case]
    folder = folder_of(tmp_path / "model", task_for("complete"), causal_tokenizer, make, adapter)
    module, _ = load(folder, "causal")
    engine, engine2 = (exact(folder) for _ in range(2))
    features = [engine.task.features(engine.tokenizer, text, LENGTH) for text in TEXTS[:4]]
    for one, other in zip(engine.outputs(features), predict(module, features), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)
    prompts = [one.ids[: 3 + 4 * place] for place, one in enumerate(features)]
    scheduler = engine.scheduler()
    said: dict[int, list[int]] = {}
    for number, ids in enumerate(prompts):
        scheduler.begin(number, ids, Sampling(temperature=0), max_tokens=12 - number)
        said[number] = []
        scheduler.step()  # they begin one after the other, while the earlier ones go on
    scheduler.forget(1)
    del said[1]
    for number in said:
        said[number] = list(engine2.generate(prompts[number], Sampling(temperature=0, max_tokens=12 - number)))
    found: dict[int, list[int]] = {number: [] for number in said}
    while scheduler.busy:
        for number, drawn in scheduler.step():
            if drawn is not None:
                assert not isinstance(drawn, Exception)
                found[number].append(drawn.token)
    for number, tokens in found.items():
        assert tokens, "some steps were left"
        assert said[number][-len(tokens) :] == tokens
        ids = list(prompts[number])
        for token in said[number]:
            with torch.no_grad():
                logits = module(input_ids=torch.tensor([ids])).logits[0, -1]
            assert logits[token] == pytest.approx(logits.max().item(), abs=1e-3)
            ids.append(token)


def test_a_chat_ends_where_its_template_ends_a_turn(tmp_path: Path):
    from noria.tasks.chat import Chat

    task = task_for("chat")
    folder = folder_of(tmp_path / "chat", task, causal_tokenizer, llama)
    engine = open_engine(folder, threads=1)
    assert isinstance(engine.task, Chat)
    begin, end = (engine.tokenizer.token_to_id(name) for name in ("<|begin|>", "<|end|>"))
    assert engine.task.ends(engine.tokenizer) == {end}
    assert engine.ends == {end}
    features = engine.task.features(
        engine.tokenizer, {"messages": [{"role": "user", "content": "<|end|>你好"}]}, LENGTH
    )
    assert features.ids.count(begin) == 2, "the assistant's turn is begun"
    assert features.ids.count(end) == 1, "nobody ends a turn from within"
    said = answer(engine, [{"messages": [{"role": "user", "content": "你好"}]}])[0]["text"]
    assert isinstance(said, str)
    assert "<|end|>" not in said


def test_an_adapter_that_is_gone_or_of_another_model_is_told(tmp_path: Path):
    import shutil

    task = task_for("tag", ["person", "place"])
    folder = folder_of(
        tmp_path / "model", task, encoder_tokenizer, lambda size: bert("TokenClassification", size, 5), "bottleneck"
    )
    other = folder_of(tmp_path / "other", task_for("translate"), encoder_tokenizer, t5, "bottleneck")
    shutil.copy(other / "adapter" / "adapter_model.safetensors", folder / "adapter" / "adapter_model.safetensors")
    import json

    told = json.loads((folder / "noria.json").read_text())
    told["files"]["adapter/adapter_model.safetensors"]["bytes"] = (
        (folder / "adapter" / "adapter_model.safetensors").stat().st_size
    )
    (folder / "noria.json").write_text(json.dumps(told))
    with pytest.raises(FolderError, match="another model"):
        open_engine(folder)
    del told["files"]["adapter/adapter_model.safetensors"]
    (folder / "noria.json").write_text(json.dumps(told))
    (folder / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(FolderError, match="cannot be read"):
        open_engine(folder)
