"""Old rows replayed: how many are mixed in, and that they keep a model from forgetting, by its own figures."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import pytest
from tiny_models import encoder_tokenizer

from noria.core.folder import new_folder, read_manifest, sha256_file
from noria.core.progress import Report
from noria.make.evaluate.card import card
from noria.make.models.feedforward import new_net
from noria.make.training.finetune.recipe import finetune
from noria.make.training.finetune.replay import known_before, mixed
from noria.make.training.settings import FinetuneRates, FinetuneSettings, RowSettings
from noria.tasks.task import task_for

OLD = {"positive": ["很快", "careful"], "negative": ["太差", "broke"]}
NEW = {"positive": ["冬天", "hotel"], "negative": ["市场", "battery"]}
QUICK = FinetuneSettings(
    steps=150,
    tokens_per_batch=512,
    learning_rate=1e-3,
    rates=FinetuneRates(layer_decay=1.0, head_rate=1.0),
    evaluations=1,
    max_length=64,
    number_type="fp32",
)


def rows(file: Path, count: int, *, new: bool, seed: int) -> Path:
    """Old rows show their label in an old word; in new rows a new word does, and the old word beside it is mostly the other label's:
    whoever learns from them alone unlearns what old words say."""
    draw = random.Random(seed)
    lines = []
    for number in range(count):
        label = draw.choice(sorted(OLD))
        word = draw.choice((NEW if new else OLD)[label])
        other = next(name for name in OLD if name != label)
        beside = draw.choice(OLD[other if draw.random() < 0.75 else label]) if new else ""
        lines.append(json.dumps({"text": f"{number} {beside} {word}", "label": label}, ensure_ascii=False) + "\n")
    file.write_text("".join(lines), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows, and a model that knows the old ones."""
    import torch
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("replay")
    for kind, new in (("old", False), ("new", True)):
        rows(folder / f"{kind}.jsonl", 300, new=new, seed=int(new))
        rows(folder / f"{kind}-valid.jsonl", 60, new=new, seed=2 + int(new))
    base = folder / "base"
    base.mkdir()
    torch.manual_seed(0)
    size = encoder_tokenizer(base)
    BertModel(
        BertConfig(
            vocab_size=size,
            hidden_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=96,
            max_position_embeddings=64,
        )
    ).save_pretrained(base)
    finetune(
        task_for("classify"), base, folder / "old.jsonl", folder / "old-valid.jsonl", folder / "knows", QUICK, quiet()
    )
    return folder


def quiet() -> Report:
    return Report(stream=io.StringIO())


def learn_new(places: Path, out: Path, share: float, report: Report) -> dict[str, dict]:
    reading = RowSettings(replay=places / "old.jsonl", replay_share=share)
    finetune(
        task_for("classify"),
        places / "knows",
        places / "new.jsonl",
        places / "new-valid.jsonl",
        out,
        QUICK,
        report,
        reading=reading,
    )
    return {figure["name"]: figure for figure in read_manifest(out).facts["forgetting"]}


def test_replay_keeps_what_would_be_forgotten(places: Path, tmp_path: Path) -> None:
    report = quiet()
    without = learn_new(places, tmp_path / "without", 0.001, quiet())
    replayed = learn_new(places, tmp_path / "replayed", 0.4, report)
    measure = next(name for name in replayed if name.endswith("after"))
    before = next(name for name in replayed if name.endswith("before"))
    lost = next(name for name in replayed if name.startswith("forgotten"))
    assert replayed[before]["value"] > 0.9
    assert without[before]["value"] == replayed[before]["value"], "judged on the same rows, by the same base"
    assert without[lost]["low"] > 0
    assert replayed[lost]["value"] < without[lost]["value"] - 0.1
    assert replayed[measure]["value"] == pytest.approx(replayed[before]["value"] - replayed[lost]["value"])
    said = report.stream.getvalue()
    assert "200 old rows of old.jsonl are learned from again among 300 new ones" in said
    assert "forgotten" in said
    manifest = read_manifest(tmp_path / "replayed")
    assert sha256_file(places / "old.jsonl") in [source.sha256 for source in manifest.sources]
    assert "on old rows, before" in (tmp_path / "replayed" / "README.md").read_text()
    assert "on old rows" in card(manifest.facts, manifest.settings, manifest.sources)


def test_a_net_over_numbers_is_judged_before_it_learns_anew(tmp_path: Path) -> None:
    task = task_for("numeric", ["low", "high"], width=1)
    with new_folder(tmp_path / "net", kind="model") as folder:
        new_net([[0.0], [1.0]], 2).save_pretrained(folder.path)
        folder.facts.update(task.facts())
    told = known_before(task, tmp_path / "net", [{"features": [0.5], "label": "low"}], 8)
    assert told is not None
    assert told[0]["label"] in task.labels


def test_the_share_is_that_of_all_rows() -> None:
    new, old = [{"text": f"new {n}"} for n in range(70)], [{"text": f"old {n}"} for n in range(100)]
    both = mixed(new, old, 0.3, seed=1)
    assert both[:70] == new
    assert len(both) == 100
    assert len({row["text"] for row in both}) == 100
    assert mixed(new, old, 0.3, seed=1) == both
    assert mixed(new, old, 0.3, seed=2) != both
    assert len(mixed(new, old, 0.9, seed=1)) == 170
