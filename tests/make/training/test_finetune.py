"""Fine-tuning: it learns, it writes a folder that plain transformers loads, it goes on after a kill."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from noria.cli.main import main
from noria.core.errors import FolderError, InputError, RowError, SettingError
from noria.core.folder import read_manifest, sha256_file, verify
from noria.core.progress import Report
from noria.make.evaluate.judge import judge
from noria.make.models.load import load
from noria.make.training.finetune.examples import Examples
from noria.make.training.finetune.heads import objective_of, training_of_head
from noria.make.training.finetune.prepare import by_character, cut_wrongly
from noria.make.training.finetune.recipe import finetune
from noria.make.training.settings import FinetuneRates, FinetuneSettings
from noria.tasks.padding import Padding
from noria.tasks.task import task_for, task_of

PLACES, PERSONS = ["北京", "上海", "Rome", "Paris"], ["王明", "李红", "Anna", "Bob"]
WORDS = {"positive": ["很好", "喜欢", "great", "lovely"], "negative": ["太差", "失望", "awful", "boring"]}
QUICK = FinetuneSettings(
    steps=60,
    tokens_per_batch=256,
    learning_rate=3e-3,
    rates=FinetuneRates(layer_decay=1.0, head_rate=1.0),
    evaluations=2,
    max_length=64,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, e5_base: Path) -> Path:
    """A small encoder with random weights and a real tokenizer: learns easy things within seconds."""
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("small") / "base"
    size = json.loads((e5_base / "config.json").read_text())["vocab_size"]
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=size,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=96,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(e5_base / name, folder)
    return folder


def write(file: Path, rows: list[dict]) -> Path:
    """Write rows as JSONL."""
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def opinions(count: int, seed: int) -> list[dict]:
    """Return rows whose label shows in one word, Chinese and English."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        label = draw.choice(sorted(WORDS))
        rows.append({"text": f"{draw.choice(['这本书', 'the film'])} {draw.choice(WORDS[label])}", "label": label})
    return rows


def sentences(count: int, seed: int) -> list[dict]:
    """Return rows with a person and a place."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        person, place = draw.choice(PERSONS), draw.choice(PLACES)
        text = f"昨天{person}去了{place}。"
        spans = [
            {"start": text.index(name), "end": text.index(name) + len(name), "label": label}
            for name, label in ((person, "PER"), (place, "LOC"))
        ]
        rows.append({"text": text, "spans": spans})
    return rows


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Rows of both tasks."""
    folder = tmp_path_factory.mktemp("rows")
    made = {}
    for seed, (split, count) in enumerate({"train": 240, "valid": 40, "test": 40}.items()):
        made[split] = write(folder / f"{split}.jsonl", opinions(count, seed))
        made["tag " + split] = write(folder / f"tag-{split}.jsonl", sentences(count, seed))
    return made


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory, base: Path, files: dict[str, Path]) -> Path:
    """A fine-tuned classifier."""
    out = tmp_path_factory.mktemp("models") / "opinions"
    finetune(task_for("classify"), base, files["train"], files["valid"], out, QUICK, Report(), test_file=files["test"])
    return out


def test_it_learns_and_says_so_in_its_facts(classifier: Path):
    facts = verify(classifier).facts
    metrics = {figure["name"]: figure for figure in facts["metrics"]}
    assert metrics["accuracy"]["value"] > 0.95
    assert metrics["accuracy"]["n"] == 40
    assert metrics["accuracy"]["low"] <= metrics["accuracy"]["value"] <= metrics["accuracy"]["high"]
    assert {"macro F1", "calibration error", "accuracy above baseline"} <= metrics.keys()
    assert (facts["task"], facts["labels"]) == ("classify", ["negative", "positive"])
    assert facts["steps"] == 60
    assert len(facts["curves"]["valid"]) == 2
    assert facts["curves"]["train"][-1][1] < facts["curves"]["train"][0][1]
    assert "accuracy" in (classifier / "README.md").read_text(encoding="utf-8")
    assert not list(classifier.parent.glob(".*"))


def test_plain_transformers_gives_the_same_logits(classifier: Path):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    plain, tokenizer = (
        AutoModelForSequenceClassification.from_pretrained(classifier),
        AutoTokenizer.from_pretrained(classifier),
    )
    ours, own = load(classifier, "sequence")
    task = task_of(read_manifest(classifier))
    for text in ("这本书很好", "the film awful"):
        features = task.features(own, text, 64)
        assert tokenizer(text)["input_ids"] == features.ids
        with torch.no_grad():
            logits = plain.eval()(input_ids=torch.tensor([features.ids])).logits
            torch.testing.assert_close(logits, ours(input_ids=torch.tensor([features.ids])).logits)
        label = plain.config.id2label[int(logits.argmax())]
        assert task.answer(features, logits[0].numpy())["label"] == label


def test_a_folder_is_judged_as_it_was_when_written(classifier: Path, files: dict[str, Path]):
    told = read_manifest(classifier).facts["metrics"]
    again = judge(classifier, files["test"], Report(), training_file=files["train"])
    assert [figure.value for figure in again] == pytest.approx([figure["value"] for figure in told], abs=1e-6)
    alone = judge(classifier, files["test"], Report())
    assert [figure.baseline for figure in alone] == [None] * len(alone)


def test_a_tagger_learns_character_by_character(tmp_path: Path, base: Path, files: dict[str, Path]):
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    out = finetune(
        task_for("tag"),
        base,
        files["tag train"],
        files["tag valid"],
        tmp_path / "names",
        QUICK,
        Report(),
        test_file=files["tag test"],
    )
    facts = read_manifest(out).facts
    assert facts["labels"] == ["LOC", "PER"]
    assert facts["metrics"][0]["value"] > 0.9
    module, tokenizer = load(out, "token")
    plain = AutoModelForTokenClassification.from_pretrained(out)
    assert plain.config.id2label == {0: "O", 1: "B-LOC", 2: "I-LOC", 3: "B-PER", 4: "I-PER"}
    task = task_of(read_manifest(out))
    features = task.features(tokenizer, "昨天王明去了Paris。", 64)
    assert AutoTokenizer.from_pretrained(out)("昨天王明去了Paris。")["input_ids"] == features.ids
    with torch.no_grad():
        logits = module(input_ids=torch.tensor([features.ids])).logits[0].numpy()
    found = {(span["text"], span["label"]) for span in task.answer(features, logits)["spans"]}
    assert found == {("王明", "PER"), ("Paris", "LOC")}


def test_cutting_by_character_leaves_no_border_inside_a_token(e5_base: Path):
    _, tokenizer = load(e5_base, "embedding")
    cut = by_character(tokenizer)
    tokens = [
        token for token in cut.encode("我们在北京大学学习machine learning，很好").tokens if token not in ("<s>", "</s>")
    ]
    assert [token for token in tokens if any("\u4e00" <= c <= "\u9fff" for c in token)] == list(
        "我们在北京大学学习很好"
    )
    assert tokenizer.encode("我们在北京").tokens != cut.encode("我们在北京").tokens
    english = "machine learning is fun"
    assert cut.encode(english).tokens == tokenizer.encode(english).tokens


def test_spans_that_tokens_cut_wrongly_are_counted(e5_base: Path):
    _, tokenizer = load(e5_base, "embedding")
    rows = [
        {"text": "我们在北京", "spans": [{"start": 1, "end": 2}, {"start": 3, "end": 5}]},
        {"text": "the machine", "spans": [{"start": 4, "end": 11}]},
        {"text": "nothing here", "spans": []},
    ]
    assert "我们在" in tokenizer.encode("我们在北京").tokens
    assert cut_wrongly(tokenizer, rows) == pytest.approx(1 / 3)
    assert cut_wrongly(by_character(tokenizer), rows) == 0
    assert cut_wrongly(tokenizer, rows[2:]) == 0


def command(base: Path, files: dict[str, Path], out: Path) -> list[str]:
    """Return the words of a command that fine-tunes."""
    return [
        "build",
        "finetune",
        "classify",
        "--base",
        str(base),
        "--train",
        str(files["train"]),
        "--valid",
        str(files["valid"]),
        "--out",
        str(out),
        "--steps",
        "40",
        "--tokens-per-batch",
        "256",
        "--learning-rate",
        "0.003",
        "--max-length",
        "64",
        "--regular.dropout",
        "0.1",
    ]


def test_a_killed_run_goes_on_to_the_same_weights(tmp_path: Path, base: Path, files: dict[str, Path]):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(
        [sys.executable, "-m", "noria", *command(base, files, cut)], env=environment, stderr=subprocess.DEVNULL
    )
    metrics = tmp_path / ".cut.work" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and run.poll() is None:
        if metrics.exists() and metrics.read_text().count("\n") > 5:
            break
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert not cut.exists()
    torch.set_num_threads(1)
    for out in (cut, whole):
        assert main(command(base, files, out)) == 0
    assert sha256_file(cut / "model.safetensors") == sha256_file(whole / "model.safetensors")
    one, other = read_manifest(cut).facts, read_manifest(whole).facts
    assert one["curves"] == other["curves"]
    assert one["temperature"] == other["temperature"]


def test_bad_input_is_told_before_any_training(tmp_path: Path, base: Path, files: dict[str, Path]):
    out = tmp_path / "model"
    run = [task_for("classify"), base, files["train"], files["valid"], out, QUICK, Report()]
    bad = write(tmp_path / "bad.jsonl", [{"text": "x", "label": "mixed"}])
    with pytest.raises(
        InputError, match=r"bad\.jsonl: 1 of 1 rows have labels that no training row has: found 'mixed'"
    ):
        finetune(*run[:3], bad, *run[4:])
    with pytest.raises(FolderError):
        finetune(run[0], tmp_path, *run[2:])
    with pytest.raises(SettingError, match="max_length"):
        finetune(*run[:5], QUICK.replace(max_length=128), Report())
    one = write(tmp_path / "one.jsonl", [{"text": "x", "label": "mixed"}])
    with pytest.raises(InputError, match="nothing to tell apart"):
        finetune(*run[:2], one, *run[3:])
    with pytest.raises(RowError, match="anchor"):
        finetune(task_for("embed"), *run[1:])
    assert not out.exists()
    assert not list(tmp_path.glob(".*"))


def test_every_row_weighs_the_same_however_full_its_batch(base: Path):
    module, tokenizer = load(base, "sequence", ["a", "b"])
    task = task_for("classify", ["a", "b"])
    rows = [{"text": text, "label": "ab"[number % 2]} for number, text in enumerate(["很好", "good", "坏", "the film"])]
    examples = Examples.of(task, tokenizer, rows, 64)

    def gradient(batches: list[list[int]]) -> torch.Tensor:
        total = torch.zeros(2)
        for picked in batches:
            module.zero_grad()
            way = training_of_head(task, examples)
            batch = way.collate(examples, Padding(), np.array(picked))
            loss, weight = objective_of(way, len(rows) / len(batches))(module, batch)
            loss.backward()
            total += module.classifier.bias.grad / weight / len(batches)
        return total

    torch.testing.assert_close(gradient([[0], [1, 2, 3]]), gradient([[0, 1, 2, 3]]), atol=1e-5, rtol=1e-4)


def test_test_texts_that_were_trained_on_are_told(tmp_path: Path, base: Path, files: dict[str, Path]):
    heard = io.StringIO()
    short = QUICK.replace(steps=1, evaluations=1)
    leak = write(tmp_path / "leak.jsonl", [*opinions(20, seed=0), {"text": "新的很好", "label": "positive"}])
    finetune(
        task_for("classify"),
        base,
        files["train"],
        files["valid"],
        tmp_path / "m",
        short,
        Report(stream=heard),
        test_file=leak,
    )
    assert "20 of 21 test texts are also training texts" in heard.getvalue()


def test_answers_do_not_depend_on_the_neighbours_in_a_batch(classifier: Path):
    from noria.make.evaluate.predict import predict

    module, tokenizer = load(classifier, "sequence")
    task = task_of(read_manifest(classifier))
    features = [
        task.features(tokenizer, text, 64) for text in ("很好", "这本书太差，the film is boring, 失望", "lovely")
    ]
    together = predict(module, features)
    alone = [predict(module, [one])[0] for one in features]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
