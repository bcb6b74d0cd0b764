"""Pretraining end to end, on Chinese and English text: a folder for plain transformers, and what it says of itself."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from noria.core.errors import InputError, SettingError
from noria.core.figure import Figure
from noria.core.folder import read_manifest, verify
from noria.core.progress import Report
from noria.make.evaluate.language import predict_documents
from noria.make.evaluate.mixture import Mixture
from noria.make.evaluate.ngram import NgramModel
from noria.make.tokens.shards import write_shards
from noria.make.tokens.special import special_tokens
from noria.make.tokens.tokenizer import load_tokenizer
from noria.make.training.loop.budget import Budget
from noria.make.training.pretrain.choice import chosen
from noria.make.training.pretrain.material import corpus_files, prepare, read_texts
from noria.make.training.pretrain.recipe import pretrain, verdict
from noria.make.training.pretrain.setups import setup_for
from noria.make.training.settings import PretrainSettings

SMALL = PretrainSettings(
    vocab_size=800,
    model={"parameters": 200_000},
    context=32,
    tokens_per_step=256,
    steps=30,
    evaluations=2,
    number_type="fp32",
)
ENGLISH = "The wheel turns, the stream lifts its own water, and the field number {} is green again."


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, review_lines: list[str]) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    sets = {"reviews": review_lines[:300], "english": [ENGLISH.format(n) for n in range(100)]}
    for name, texts in sets.items():
        (folder / name).mkdir()
        for split, part in (("train", texts[40:]), ("valid", texts[:20]), ("test", texts[20:40])):
            lines = [json.dumps({"id": str(n), "text": text, "meta": {}}) for n, text in enumerate(part)]
            (folder / name / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return pretrain(corpus, tmp_path_factory.mktemp("out") / "model", SMALL, Report(stream=io.StringIO()))


def test_the_folder_loads_with_plain_transformers(trained: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(trained), AutoTokenizer.from_pretrained(trained)
    ids = tokenizer("房间很干净", return_tensors="pt").input_ids
    out = model.generate(ids, max_new_tokens=5, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    assert out.shape[1] > ids.shape[1]
    assert tokenizer.decode(ids[0]) == "房间很干净"
    assert not list(trained.parent.glob(".*")), "the work folder is gone"


def test_the_facts_say_what_came_of_it(trained: Path, corpus: Path) -> None:
    facts = verify(trained).facts
    first, loss, perplexity, accuracy = (Figure(**value) for value in facts["metrics"])
    unigram, ngram = (Figure(**value) for value in facts["baseline"])
    assert first.name == "bits per byte"
    assert perplexity.value == pytest.approx(np.exp(loss.value))
    assert first.n == 40 == perplexity.n == accuracy.n
    assert first.low < first.value < first.high
    assert first.baseline == ngram.value < unigram.value
    assert facts["verdict"] == verdict(first, ngram)
    assert facts["task"] == "causal"
    assert facts["curves"]["train"][-1][0] == facts["steps"] == 30
    assert facts["curves"]["valid"][0][1] > facts["curves"]["valid"][-1][1]
    assert facts["tokens_per_second"] > 0
    assert 0 < facts["share_of_peak"] < 1
    page = (trained / "README.md").read_text(encoding="utf-8")
    assert "Pretrained by Noria" in page
    assert f"| bits per byte | {first.value:.3f} |" in page
    assert (trained / "curves.svg").is_file()
    assert facts["sample"]["made_by"] == "machine"
    assert len(facts["sample"]["texts"]) == 3
    names = {source.name for source in read_manifest(trained).sources}
    assert {"reviews/train.jsonl", "english/test.jsonl", "tokenizer:tokenizer"} <= names


def test_learning_shows(trained: Path) -> None:
    losses = [loss for _, loss in verify(trained).facts["curves"]["train"]]
    assert losses[0] < np.log(800) - 0.5, "it begins with how frequent each token is"
    assert np.mean(losses[-3:]) < losses[0] - 0.1


def test_killed_and_run_again_it_ends_with_the_same_weights(trained: Path, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    code = (
        "import sys, torch; from pathlib import Path; torch.set_num_threads(1); from noria.make.training.pretrain.recipe import *\n"
        "from noria.core.progress import Report\n"
        f"pretrain(Path({str(corpus)!r}), Path({str(out)!r}), PretrainSettings(**{SMALL.model_dump()!r}), Report())"
    )
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    metrics = tmp_path / ".model.work" / "run" / "metrics.jsonl"
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while process.poll() is None and (not metrics.exists() or metrics.read_text().count("\n") < 8):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    pretrain(corpus, out, SMALL, Report(stream=io.StringIO()))
    assert (out / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()
    assert verify(out).facts["metrics"] == verify(trained).facts["metrics"]


def test_a_tracker_writes_beside_the_result(corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    settings = SMALL.model_copy(update={"steps": 2, "evaluations": 1, "trackers": ("tensorboard",)})
    pretrain(corpus, tmp_path / "model", settings, Report(stream=io.StringIO()))
    assert list((tmp_path / "tracking" / "tensorboard").glob("pretrain-*/events*"))
    assert not list(tmp_path.glob(".*"))


def test_bad_input_is_one_clear_line(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no corpus there.*train\.jsonl"):
        corpus_files(tmp_path, ())
    with pytest.raises(SettingError, match="did you mean reviews"):
        corpus_files(corpus, ("review",))
    (tmp_path / "bad.jsonl").write_text('{"text": "好"}\n{"words": 1}\n', encoding="utf-8")
    with pytest.raises(InputError, match=r"bad\.jsonl, line 2: no document"):
        list(read_texts([tmp_path / "bad.jsonl"]))


def test_verdict_says_where_the_baseline_wins() -> None:
    baseline = Figure("4-gram", 2.0, n=9)
    assert verdict(Figure("b", 1.9, n=9, low=1.8, high=1.95), baseline) == "beats the 4-gram"
    assert verdict(Figure("b", 1.99, n=9, low=1.9, high=2.1), baseline) == "no clear winner over the 4-gram"
    assert verdict(Figure("b", 2.1, n=9, low=2.0, high=2.2), baseline) == "the 4-gram wins"


def test_a_tokenizer_without_an_end_is_refused(corpus: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    from noria.core.errors import FolderError

    Tokenizer(models.BPE()).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(FolderError, match="no begin and end tokens"):
        write_shards(tmp_path / "shards", {}, load_tokenizer(tmp_path), [])


def test_with_the_ngram_of_its_folder_it_predicts_as_the_facts_say(trained: Path, corpus: Path) -> None:
    from transformers import AutoModelForCausalLM

    facts = verify(trained).facts["mixture"]
    ngram, mixture = NgramModel.read(trained / facts["file"]), Mixture(tuple(facts["weights"]))
    files, encoder = corpus_files(corpus, ())["test"], load_tokenizer(trained)
    texts = list(read_texts(files))
    inner = [np.array(encoder.encode(text, add_special_tokens=False).ids, dtype=np.int64) for text in texts]
    special = special_tokens(trained)
    whole = [np.array([special.begin, *ids, special.end]) for ids in inner]
    found = predict_documents(AutoModelForCausalLM.from_pretrained(trained), whole, SMALL.context)
    probability, seen = ngram.predictions(inner)
    bits = mixture.bits(found.costs, -np.log2(probability), seen).sum()
    together = Figure(**facts["figures"][0])
    assert together.value == pytest.approx(bits / sum(len(text.encode()) for text in texts), rel=1e-4)
    assert together.value < verify(trained).facts["metrics"][0]["value"]
    assert together.value < 1.005 * together.baseline, "a network of 30 steps does no harm"
    page = (trained / "README.md").read_text(encoding="utf-8")
    assert "Together with an n-gram" in page
    assert "What it writes" in page


def test_what_is_left_open_is_chosen_by_the_text_and_the_time_and_kept(corpus: Path, tmp_path: Path) -> None:
    given, told = PretrainSettings(minutes=1), io.StringIO()
    settings, material = prepare(corpus, tmp_path, given, Report(stream=told))
    full = chosen(settings, material, tmp_path, Budget(60), Report(stream=told))
    assert 512 <= full.vocab_size < 6144, "a small text has a small vocabulary"
    assert full.optimizer.method == "muon"
    assert full.tokens_per_step * 8 <= len(material.shards["train"].ids)
    again = chosen(settings, material, tmp_path, Budget(1e-9), Report(stream=told))
    assert again == full, "a run that goes on takes what it began with, whatever the speed is now"
    asked = PretrainSettings(minutes=1, context=32, model={"parameters": 200_000}, tokens_per_step=64)
    settings, material = prepare(corpus, tmp_path / "asked", asked, Report(stream=told))
    kept = chosen(settings, material, tmp_path / "asked", Budget(60), Report(stream=told))
    assert (kept.context, kept.tokens_per_step, kept.model.parameters) == (32, 64, 200_000)


def test_a_new_model_predicts_as_counts_do(corpus: Path, tmp_path: Path) -> None:
    settings, material = prepare(corpus, tmp_path, SMALL, Report(stream=io.StringIO()))
    kind = setup_for(chosen(settings, material, tmp_path, Budget(None), Report(stream=io.StringIO())), material)
    test = material.shards["test"]
    documents = [test[row] for row in range(len(test))]
    found = predict_documents(kind.model().eval(), documents, 32)
    unigram = kind.baselines["unigram"]
    assert found.bits.sum() == pytest.approx(unigram.sum(), rel=0.03)
