"""A fine-tuned classifier or tagger that answers with its companion says so, and gives the same answers wherever it is opened."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

from noria.core.folder import read_manifest, verify
from noria.core.progress import Report
from noria.infer.choose import open_engine
from noria.infer.engine import answer
from noria.make.compress.recipe import compress_model
from noria.make.compress.settings import CompressSettings
from noria.make.compress.trim import trim
from noria.make.evaluate.judge import judge
from noria.make.evaluate.predict import answer_rows
from noria.make.models.load import load, load_for
from noria.make.training.finetune import recipe
from noria.make.training.finetune.recipe import finetune
from noria.make.training.settings import FinetuneSettings
from noria.tasks.companion import FILE, open_task
from noria.tasks.task import read_rows, task_for, task_of
from tests.tiny_models import TEXTS, make_encoder

WORDS = {"positive": ["很好", "喜欢", "great", "lovely"], "negative": ["太差", "失望", "awful", "boring"]}
HASTY = FinetuneSettings(steps=2, tokens_per_batch=64, evaluations=1, max_length=48)
"""Too few steps to learn anything by: the companion knows more."""


def rows_file(file: Path, count: int, seed: int, kind: str) -> Path:
    """Write rows whose label shows in one word, Chinese and English; as texts, as pairs, with lists of labels, or with spans."""
    draw = random.Random(seed)
    rows: list[dict] = []
    for _ in range(count):
        if kind == "spans":
            rows.append(tagged_row(draw))
            continue
        label = draw.choice(sorted(WORDS))
        row = {"text": f"{draw.choice(['这本书', 'the film'])} {draw.choice(WORDS[label])}", "label": label}
        if kind == "pairs":
            row |= {"text": draw.choice(TEXTS), "pair": row["text"]}
        if kind == "many":
            row["labels"] = [row.pop("label"), *(["short"] if len(row["text"]) < 8 else [])]
        rows.append(row)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def tagged_row(draw: random.Random) -> dict:
    """Return a text with a person and a place, now and then so long that it is read in windows."""
    person, place = draw.choice("王李张刘陈") + draw.choice("明红强丽"), draw.choice(["Rome", "Paris", "北京", "上海"])
    text = draw.choice([1, 1, 1, 4]) * "昨天的天气很好。" + f"{person}去了 {place} 。"
    names = [(person, "PER"), (place, "LOC")]
    spans = [{"start": text.index(name), "end": text.index(name) + len(name), "label": label} for name, label in names]
    return {"text": text, "spans": spans}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder with random weights."""
    return make_encoder(tmp_path_factory.mktemp("small") / "base", "embed", [], 0, compiled=False)


@pytest.fixture(scope="module", params=["texts", "pairs", "many", "spans"])
def fused(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """A classifier or tagger with its companion, beside the files that it was made from."""
    folder = tmp_path_factory.mktemp(request.param)
    counts = {"train": 160, "valid": 80, "test": 60}
    files = [rows_file(folder / f"{name}.jsonl", count, count, request.param) for name, count in counts.items()]
    task = task_for("tag" if request.param == "spans" else "classify")
    finetune(task, base, *files[:2], folder / "model", HASTY, Report(), test_file=files[2])
    return folder / "model"


def test_the_folder_says_that_two_models_answer_and_what_each_is_worth(fused: Path):
    facts = verify(fused).facts
    companion = facts["companion"]
    assert companion["kind"] == ("chain" if facts["task"] == "tag" else "ngrams")
    assert companion["bytes"] == (fused / FILE).stat().st_size
    alone, gain = companion["figures"]
    assert (alone["n"], gain["n"]) == (60, 60)
    first = facts["metrics"][0]
    assert gain["value"] == pytest.approx(first["value"] - alone["value"])
    assert gain["low"] <= gain["value"] <= gain["high"]
    assert first["value"] >= first["baseline"] - 0.05
    page = (fused / "README.md").read_text(encoding="utf-8")
    assert "## Companion" in page
    assert FILE in page
    assert not list(fused.parent.glob(".*"))


def test_what_is_served_is_what_was_judged(fused: Path):
    test = fused.parent / "test.jsonl"
    task = open_task(fused)
    rows = read_rows(test, task)
    module, tokenizer = load_for(fused, task)
    judged = answer_rows(task, module, tokenizer, rows, 48)
    engine = open_engine(fused, threads=1)
    truth = {"label", "labels", "spans"}
    served = answer(engine, [{name: value for name, value in row.items() if name not in truth} for row in rows])
    engine.close()
    for one, other in zip(judged, served, strict=True):
        assert one.keys() == other.keys()
        if task.name == "tag":
            assert [span["score"] for span in one["spans"]] == pytest.approx(
                [span["score"] for span in other["spans"]], abs=1e-4
            )
            assert [{**span, "score": 0} for span in one["spans"]] == [{**span, "score": 0} for span in other["spans"]]
        else:
            assert one["scores"] == pytest.approx(other["scores"], abs=1e-4)
    alone = answer_rows(replace(task, companion=None), module, tokenizer, rows, 48)
    assert alone != judged
    told = read_manifest(fused).facts["metrics"]
    again = judge(fused, test, Report(), training_file=fused.parent / "train.jsonl")
    assert [one.value for one in again] == pytest.approx([one["value"] for one in told], abs=1e-6)


def test_plain_transformers_loads_the_encoder_alone(fused: Path):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

    task = task_of(read_manifest(fused))
    auto = AutoModelForTokenClassification if task.name == "tag" else AutoModelForSequenceClassification
    plain = auto.from_pretrained(fused).eval()
    ours, tokenizer = load(fused, task.head)
    features = task.features(tokenizer, "这本书很好", 48)
    ids = torch.tensor([features.ids])
    with torch.no_grad():
        torch.testing.assert_close(plain(input_ids=ids).logits, ours(input_ids=ids).logits)


@pytest.mark.parametrize("fused", ["spans"], indirect=True)
def test_a_copy_keeps_the_companion_and_a_model_made_from_it_does_not(fused: Path, base: Path, tmp_path: Path):
    rows = read_rows(fused.parent / "train.jsonl", task_of(read_manifest(fused)))
    texts = [row[name] for row in rows for name in ("text", "pair") if name in row]
    cut = open_task(trim(fused, texts, tmp_path / "cut"))
    assert cut.companion is not None
    assert cut.companion.weights == open_task(fused).companion.weights
    files = [fused.parent / f"{name}.jsonl" for name in ("train", "valid")]
    alone = HASTY.replace(companion=False)
    finetune(task_for(cut.name), fused, *files, tmp_path / "next", alone, Report())
    assert "companion" not in verify(tmp_path / "next").facts
    assert not (tmp_path / "next" / FILE).exists()


@pytest.mark.parametrize("fused", ["texts", "spans"], indirect=True)
def test_a_compressed_copy_is_certified_and_served_with_the_companion(fused: Path, tmp_path: Path):
    task = open_task(fused)
    rows = read_rows(fused.parent / "test.jsonl", task)
    settings = CompressSettings(method="weights", rounds=6)
    certificate = compress_model(fused, rows, rows, tmp_path / "small", settings, Report(), or_trained=True)
    assert certificate.figure("agreement").value > 0.9
    verify(tmp_path / "small")
    texts = [row["text"] for row in rows]
    whole, small = open_engine(fused, threads=1), open_engine(tmp_path / "small", threads=1)
    assert small.task.companion is not None
    same = [
        one == other for one, other in zip(*(map(said, answer(each, texts)) for each in (whole, small)), strict=True)
    ]
    assert sum(same) > 0.9 * len(same)


def said(answer: dict) -> object:
    """Return what an answer says, without how surely."""
    return answer.get("label") or [(span["start"], span["end"], span["label"]) for span in answer["spans"]]


def test_a_run_that_goes_on_has_the_companion_that_it_began_with(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def killed(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    files = [rows_file(tmp_path / f"{name}.jsonl", 80, seed, "texts") for seed, name in enumerate(("train", "valid"))]
    finetune(task_for("classify"), base, *files, tmp_path / "whole", HASTY, Report())
    with monkeypatch.context() as patch:
        patch.setattr(recipe, "fit", killed)
        with pytest.raises(KeyboardInterrupt):
            finetune(task_for("classify"), base, *files, tmp_path / "killed", HASTY, Report())
    (left,) = tmp_path.glob(".killed.*.companion")
    content = left.read_bytes()
    finetune(task_for("classify"), base, *files, tmp_path / "killed", HASTY, Report())
    assert (tmp_path / "killed" / FILE).read_bytes() == content == (tmp_path / "whole" / FILE).read_bytes()
    assert read_manifest(tmp_path / "killed").facts["companion"] == read_manifest(tmp_path / "whole").facts["companion"]
