"""Every task is fine-tuned by the same call: it learns, its folder says what it is worth, and is judged again alike."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import causal_tokenizer

from noria.core.folder import read_manifest, verify
from noria.core.progress import Report
from noria.make.evaluate.judge import judge
from noria.make.tokens.batches import Buckets, length_buckets
from noria.make.training.finetune.augment import augmented_row
from noria.make.training.finetune.examples import Augmented, Examples, texts
from noria.make.training.finetune.prepare import prepare_model
from noria.make.training.finetune.recipe import finetune
from noria.make.training.settings import BodySettings, FinetuneRates, FinetuneSettings
from noria.tasks.padding import Padding
from noria.tasks.task import task_for

QUICK = FinetuneSettings(
    steps=300,
    tokens_per_batch=512,
    learning_rate=2e-3,  # at which every task learns in either number type
    rates=FinetuneRates(layer_decay=1.0, head_rate=1.0),
    evaluations=2,
    max_length=64,
)
GOOD, BAD = ["很好", "喜欢", "great", "lovely"], ["太差", "失望", "awful", "boring"]
NAMES = ["王明", "李红", "Anna", "Bob"]
Rows = list[dict[str, Any]]


def many(draw: random.Random) -> dict[str, Any]:
    good, home = draw.random() < 0.5, draw.random() < 0.5
    text = f"{draw.choice(GOOD if good else BAD)} {draw.choice(['北京', '上海'] if home else ['Rome', 'Paris'])}"
    return {"text": text, "labels": [label for label, holds in (("good", good), ("home", home)) if holds]}


def pair(draw: random.Random) -> dict[str, Any]:
    same = draw.random() < 0.5
    side = draw.random() < 0.5
    return {
        "text": draw.choice(GOOD if side else BAD),
        "pair": draw.choice(GOOD if side == same else BAD),
        "label": "same" if same else "other",
    }


def numbers(draw: random.Random) -> dict[str, Any]:
    x, y = draw.gauss(100, 20), draw.gauss(0, 0.01)
    return {"features": [x, y], "label": "inside" if abs(x - 100) < 15 else "outside"}


def question(draw: random.Random) -> dict[str, Any]:
    name, other = draw.sample(NAMES, 2)
    context = f"昨天{name}去了北京，{other}在家。"
    return {"context": context, "question": "谁去了北京？", "answers": [{"text": name, "start": context.index(name)}]}


def meaning(draw: random.Random) -> dict[str, Any]:
    place = draw.randrange(4)
    return {"anchor": f"这本书{GOOD[place]}", "positive": f"the film {['fine', 'liked', 'super', 'sweet'][place]}"}


def sentence(draw: random.Random) -> dict[str, Any]:
    place = draw.randrange(4)
    return {
        "source": f"昨天{NAMES[place]}",
        "target": f"yesterday {['one', 'two', 'three', 'four'][place]} went home again",
    }


def turns(draw: random.Random) -> dict[str, Any]:
    place = draw.randrange(4)
    said = ["好的", "不行", "yes", "no"][place]
    return {"messages": [{"role": "user", "content": NAMES[place]}, {"role": "assistant", "content": said}]}


ROWS: dict[str, tuple[str, dict[str, Any], Callable[[random.Random], dict[str, Any]], str, float]] = {
    "many labels": ("classify", {"many": True}, many, "encoder", 0.9),
    "pairs": ("classify", {}, pair, "encoder", 0.8),
    "numbers": ("numeric", {}, numbers, "none", 0.8),
    "answer": ("answer", {}, question, "encoder", 0.5),
    "embed": ("embed", {}, meaning, "encoder", 0.05),
    "translate": ("translate", {}, sentence, "seq2seq", 50.0),
    "chat": ("chat", {}, turns, "causal", 0.5),
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory, e5_base: Path) -> dict[str, Path | None]:
    """Small models with random weights: an encoder, an encoder-decoder and a decoder."""
    from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

    size = json.loads((e5_base / "config.json").read_text())["vocab_size"]
    folders = {name: tmp_path_factory.mktemp(name) / "base" for name in ("encoder", "seq2seq", "causal")}
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=size,
            hidden_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=96,
            max_position_embeddings=64,
        )
    ).save_pretrained(folders["encoder"])
    T5ForConditionalGeneration(
        T5Config(
            vocab_size=size,
            d_model=48,
            d_kv=24,
            d_ff=96,
            num_layers=2,
            num_heads=2,
            pad_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
        )
    ).save_pretrained(folders["seq2seq"])
    for name in ("encoder", "seq2seq"):
        for file in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(e5_base / file, folders[name])
    vocabulary = causal_tokenizer(Path(tmp_path_factory.mktemp("tokenizer")))
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            intermediate_size=96,
            max_position_embeddings=64,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    ).save_pretrained(folders["causal"])
    causal_tokenizer(folders["causal"])
    return {**folders, "none": None}


def write(file: Path, row: Callable[[random.Random], dict[str, Any]], count: int, seed: int) -> Path:
    draw = random.Random(seed)
    file.write_text("".join(json.dumps(row(draw), ensure_ascii=False) + "\n" for _ in range(count)), encoding="utf-8")
    return file


COUNTS = {"train": 300, "valid": 40, "test": 40}


def files_of(
    row: Callable[[random.Random], dict[str, Any]], folder: Path, counts: dict[str, int] = COUNTS
) -> dict[str, Path]:
    return {
        split: write(folder / f"{split}.jsonl", row, count, seed) for seed, (split, count) in enumerate(counts.items())
    }


@pytest.mark.parametrize("name", ROWS)
def test_every_task_learns_and_is_judged_alike(name: str, bases: dict[str, Path | None], tmp_path: Path):
    kind, facts, row, base, wanted = ROWS[name]
    files = files_of(row, tmp_path)
    out = finetune(
        task_for(kind, **facts),
        bases[base],
        files["train"],
        files["valid"],
        tmp_path / "model",
        QUICK.replace(steps=100) if kind == "translate" else QUICK,
        Report(),
        test_file=files["test"],
    )
    told = verify(out).facts
    assert told["task"] == kind
    losses = [loss for _, loss in told["curves"]["train"]]
    assert sum(losses[-10:]) < sum(losses[:10])
    first = told["metrics"][0]
    # A chat's measure is bits per byte, of which fewer are better.
    assert first["value"] < wanted if kind == "chat" else first["value"] > wanted
    assert first["n"] == 40
    assert first["low"] <= first["value"] <= first["high"]
    again = judge(out, files["test"], Report(), training_file=files["train"])
    assert again[0].value == pytest.approx(first["value"], rel=5e-3)
    assert read_manifest(out).facts["number_type"] in ("bf16", "fp32")


def test_without_a_base_a_translator_is_made_from_nothing(tmp_path: Path):
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    files = files_of(sentence, tmp_path)
    settings = QUICK.replace(steps=60, body={"parameters": 400_000, "vocab_size": 512})
    out = finetune(
        task_for("translate"),
        None,
        files["train"],
        files["valid"],
        tmp_path / "model",
        settings,
        Report(),
        test_file=files["test"],
    )
    facts = verify(out).facts
    assert facts["base"] == "none: made from nothing"
    assert facts["metrics"][0]["value"] > 50
    plain, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(out), AutoTokenizer.from_pretrained(out)
    ids = plain.generate(torch.tensor([tokenizer("昨天李红")["input_ids"]]), max_new_tokens=30, do_sample=False)
    assert tokenizer.decode(ids[0], skip_special_tokens=True).strip() == "yesterday two went home again"
    assert not list(tmp_path.glob(".model*"))


def test_augmented_texts_differ_by_epoch_and_come_back_after_a_kill(bases: dict[str, Path | None], tmp_path: Path):
    task = task_for("classify", ["other", "same"])
    _, tokenizer = prepare_model(task, bases["encoder"], QUICK)
    rows = [{"text": f"物流很快 number {number} 包装完好", "label": "same"} for number in range(6)]
    known = Examples.of(task, tokenizer, rows, 64)

    def source() -> Augmented:
        buckets = Buckets(known.lengths, lambda numbers: texts(known, Padding(0), numbers), tokens_per_batch=64, seed=0)
        return Augmented(
            buckets,
            known,
            lambda row, number, epoch: augmented_row(row, ["delete"], seed=0, number=number, epoch=epoch),
            lambda said: Examples.of(task, tokenizer, said, 64),
            lambda said, numbers: texts(said, Padding(0), numbers),
        )

    per_epoch = len(length_buckets(known.lengths, 64, 0, 0))
    seen = [source().at(step)[0] for step in range(3 * per_epoch)]
    whole = sum(batch.tokens for batch in seen[:per_epoch])
    assert sum(batch.tokens for batch in seen[per_epoch : 2 * per_epoch]) < whole
    once, again = source(), source()
    for step in reversed(range(3 * per_epoch)):
        assert torch.equal(once.at(step)[0].tensors["input_ids"], seen[step].tensors["input_ids"])
    assert again.at(2)[0].rows == seen[2].rows


def test_few_rows_a_label_are_brought_together_first(e5_base: Path, tmp_path: Path):
    from transformers import AutoModelForSequenceClassification

    def opinion(draw: random.Random) -> dict[str, Any]:
        label = draw.choice(["good", "bad"])
        return {
            "text": f"{draw.choice(['这本书', 'the film'])} {draw.choice(GOOD if label == 'good' else BAD)}",
            "label": label,
        }

    files = {
        split: write(tmp_path / f"{split}.jsonl", opinion, count, seed)
        for seed, (split, count) in enumerate({"train": 16, "valid": 30, "test": 30}.items())
    }
    settings = FinetuneSettings(
        steps=12,
        tokens_per_batch=512,
        max_length=32,
        evaluations=2,
        body=BodySettings(pairs=4, layers=6),  # half the encoder knows enough, in half the time
        learning_rate=1e-4,
    )
    out = finetune(
        task_for("classify"),
        e5_base,
        files["train"],
        files["valid"],
        tmp_path / "model",
        settings,
        Report(),
        test_file=files["test"],
    )
    facts = verify(out).facts
    assert facts["learning"] < 0.1 * facts["parameters"]
    assert facts["metrics"][0]["value"] > 0.8
    assert AutoModelForSequenceClassification.from_pretrained(out).config.num_labels == 2
    assert not list(tmp_path.glob(".model*"))
