"""From raw text to a certified model by calls: the same results as by commands, byte for byte where nothing is timed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_models import LABELS, TEXTS, make_causal, make_chat, make_encoder, make_reader

import noria
from noria.cli.main import main
from noria.core.errors import InputError, SettingError
from noria.core.folder import read_manifest

SHORT: dict[str, Any] = {"steps": 4, "max_length": 32, "tokens_per_batch": 256, "number_type": "fp32"}
TIMED = ("seconds", "tokens_per_second", "curves")


def flags(values: Mapping[str, Any]) -> list[str]:
    """Return keyword arguments as flags."""
    return [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def identity(folder: Path) -> dict[str, str]:
    """Return the hashes of a folder's files, but of those that tell how long something took."""
    timed = ("README.md", "curves.svg", "metrics.jsonl")
    return {name: one["sha256"] for name, one in read_manifest(folder).files.items() if name not in timed}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, and rows."""
    folder = tmp_path_factory.mktemp("api")
    make_encoder(folder / "base", "embed", [], 2, compiled=False)
    lines = [f"第{number}间房 很好,好评\n第{number}次 太差,差评" for number in range(16)]
    for name in ("train.csv", "test.csv"):
        (folder / name).write_text("内容,标签\n" + "\n".join(lines) + "\n", encoding="utf-8")
    rows = [{"text": f"{text} {number}"} for number in range(8) for text in TEXTS]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return folder


@pytest.fixture(scope="module")
def model(here: Path) -> Any:
    """A classifier, fine-tuned by a call."""
    return noria.finetune(
        "classify",
        base=here / "base",
        train=str(here / "train.csv"),
        test=here / "test.csv",
        out=here / "model",
        progress=False,
        **SHORT,
    )


def test_a_corpus_is_that_of_the_command(here: Path, tmp_path: Path):
    corpus = noria.clean(str(here / "texts.jsonl"), out=str(tmp_path / "one"), near=0, seed=3, progress=False)
    assert (
        main(
            ["build", "clean", str(here / "texts.jsonl"), "--out", str(tmp_path / "two"), "--near", "0", "--seed", "3"]
        )
        == 0
    )
    assert identity(corpus.path) == identity(tmp_path / "two")
    assert corpus.read == 8 * len(TEXTS)
    assert corpus.kept + sum(corpus.dropped.values()) == corpus.read
    assert sum(corpus.splits.values()) == corpus.kept


def test_a_tokenizer_and_a_language_model_are_those_of_the_commands(here: Path, tmp_path: Path):
    corpus = noria.clean(here / "texts.jsonl", out=tmp_path / "c", near=0, progress=False)
    tokenizer = noria.tokenizer(corpus, out=tmp_path / "t", vocab_size=512, progress=False)
    assert main(["build", "tokenizer", str(tmp_path / "c"), "--out", str(tmp_path / "t2"), "--vocab-size", "512"]) == 0
    assert identity(tokenizer.path) == identity(tmp_path / "t2")
    assert tokenizer.vocab_size == read_manifest(tmp_path / "t2").facts["vocab_size"]
    assert tokenizer.figures
    told = {"steps": 3, "context": 32, "tokens_per_step": 64, "number_type": "fp32", "tokenizer": tokenizer.path}
    model = noria.pretrain(corpus, out=tmp_path / "m", model={"parameters": 120_000}, progress=False, **told)
    words = ["build", "pretrain", str(tmp_path / "c"), "--out", str(tmp_path / "m2"), "--parameters", "120000"]
    assert main([*words, *flags(told)]) == 0
    assert identity(model.path) == identity(tmp_path / "m2")
    assert model.task == "causal"
    assert model.figures[0].n
    assert model.baseline
    with model.load() as loaded:
        said = loaded.complete("物流", max_tokens=5, temperature=0)
        assert said["tokens"] <= 5, "a model that knows how frequent tokens are may end at once"
        assert loaded("物流", max_tokens=5, temperature=0) == said


def test_a_fine_tuned_model_is_that_of_the_command(here: Path, model: Any, tmp_path: Path):
    words = ["build", "finetune", "classify", "--base", str(here / "base"), "--train", str(here / "train.csv")]
    words += ["--test", str(here / "test.csv"), "--out", str(tmp_path / "model"), *flags(SHORT)]
    assert main(words) == 0
    assert identity(model.path) == identity(tmp_path / "model")
    facts = read_manifest(tmp_path / "model").facts
    assert [one.as_record() for one in model.figures] == facts["metrics"]
    assert [one.as_record() for one in model.baseline] == facts["baseline"]
    assert (model.labels, model.verdict) == (("好评", "差评"), facts["verdict"])
    assert any("training texts" in words for words in model.caveats), "the test rows are the training rows"


def test_it_is_judged_as_by_the_command(here: Path, model: Any, tmp_path: Path):
    judged = noria.evaluate(model, here / "test.csv", train=here / "train.csv", out=tmp_path / "one", progress=False)
    words = ["build", "evaluate", str(model.path), str(here / "test.csv"), "--train", str(here / "train.csv")]
    assert main([*words, "--out", str(tmp_path / "two")]) == 0
    assert [one.as_dict() for one in judged.figures] == read_manifest(tmp_path / "two").facts["metrics"]
    assert read_manifest(tmp_path / "one").facts == read_manifest(tmp_path / "two").facts
    assert judged.figures[0].baseline is not None


def test_it_answers_in_this_process(model: Any):
    with noria.load(model) as loaded:
        one = loaded("第3间房 很好")
        assert one["label"] in loaded.labels
        assert loaded.classify(["第3间房 很好", "太差"])[0]["score"] == pytest.approx(one["score"], abs=1e-5)
        assert (loaded.task, loaded.engine) == ("classify", "torch")
        assert "classify, 2 labels, engine torch" in repr(loaded)
        for ask, says in (
            (lambda: loaded.tag(["x"]), "the model is for another task: found 'classify'; allowed tag"),
            (lambda: loaded.classify("one text"), "one text where several are asked for"),
            (lambda: loaded("x", max_tokens=3), "a model for classify draws no tokens"),
            (lambda: loaded([3]), "not a text or a row: found 'int'"),
        ):
            with pytest.raises((SettingError, InputError)) as caught:
                ask()
            assert says in str(caught.value)


def test_other_tasks_answer_in_this_process(tmp_path: Path):
    with noria.load(make_encoder(tmp_path / "tag", "tag", ["place"], 3, compiled=False)) as tagger:
        assert "spans" in tagger.tag([TEXTS[0]])[0]
    with noria.load(make_encoder(tmp_path / "embed", "embed", [], 2, compiled=False)) as embedder:
        vectors = embedder.embed(TEXTS)
        assert vectors.shape[0] == len(TEXTS)
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    with noria.load(make_reader(tmp_path / "reader")) as reader:
        assert "text" in str(reader.answer([{"question": "谁？", "context": TEXTS[0]}])[0])
    with noria.load(make_chat(tmp_path / "chat"), threads=1) as bot:
        said = bot.chat("你好", max_tokens=4, seed=1)
        assert set(said) == {"text", "tokens", "prompt_tokens", "finish"}
        assert bot.chat([{"role": "user", "content": "你好"}], max_tokens=4, seed=1) == said


def test_completions_are_made_together_and_a_fault_leaves_them_in_order(tmp_path: Path):
    with noria.load(make_causal(tmp_path / "causal"), engine="torch") as writer:
        together = writer(TEXTS[:3], max_tokens=6, temperature=0)
        alone = [writer.complete(text, max_tokens=6, temperature=0) for text in TEXTS[:3]]
        assert [one["tokens"] for one in together] == [one["tokens"] for one in alone] == [6, 6, 6]
        for sampling, says in (
            ({"temperature": 9}, "temperature is out of range: found 9"),
            ({"temprature": 1}, "unknown setting of a completion 'temprature'"),
        ):
            with pytest.raises((SettingError, InputError), match=says):
                writer.complete("x", **sampling)
        with pytest.raises(InputError, match="too long"):
            writer.complete("长" * 5000)
        assert writer.complete(TEXTS[0], max_tokens=6, temperature=0) == alone[0]


def test_folds_and_a_search_are_those_of_the_commands(here: Path, tmp_path: Path):
    told = {"train": here / "train.csv", "base": here / "base", **SHORT}
    folds = noria.crossvalidate("classify", out=tmp_path / "f", folds=2, progress=False, **told)
    words = ["build", "crossvalidate", "classify", "--out", str(tmp_path / "f2"), "--folds", "2", *flags(told)]
    assert main(words) == 0
    assert [one.as_dict() for one in folds.figures] == read_manifest(tmp_path / "f2").facts["metrics"]
    few = {"trials": 2, "seeds": 1}
    found = noria.search(
        "classify", out=tmp_path / "s", ranges={"learning_rate": [1e-4, 1e-3]}, progress=False, **told, **few
    )
    words = ["build", "search", "classify", "--out", str(tmp_path / "s2"), "--try", "learning_rate=1e-4,1e-3"]
    assert main([*words, *flags(told), *flags(few)]) == 0
    assert found.best.read_text() == (tmp_path / "s2" / "best.toml").read_text()
    best = noria.finetune(
        "classify",
        out=tmp_path / "b",
        settings=found.best,
        steps=2,
        progress=False,
        **{name: told[name] for name in ("train", "base")},
    )
    assert best.manifest.settings["steps"] == 2
    assert best.manifest.settings["learning_rate"] in (1e-4, 1e-3)


def test_a_compressed_model_carries_its_certificate(here: Path, model: Any, tmp_path: Path):
    served = noria.compress(
        model,
        calibration=here / "train.csv",
        rows=here / "test.csv",
        out=tmp_path / "served",
        rounds=6,
        most=10,
        source="ten of them",
        or_trained=True,
        progress=False,
    )
    certificate = json.loads((served.path / "certificate.json").read_text())
    assert (served.certified, list(served.reasons)) == (certificate["passed"], certificate["reasons"])
    assert [one.as_record() for one in served.figures] == certificate["figures"]
    assert any(one.note == "beside the trained model" for one in served.figures)
    assert (served.figures[0].n, served.figures[0].source) == (10, "ten of them")
    assert "Compressed" in repr(served)
    assert served.labels == model.labels


def test_what_is_quiet_says_nothing_and_what_is_not_says_it_on_stderr(here: Path, tmp_path: Path, capsys: Any):
    noria.clean(here / "texts.jsonl", out=tmp_path / "one", progress=False)
    assert capsys.readouterr() == ("", "")
    noria.clean(here / "texts.jsonl", out=tmp_path / "two")
    said = capsys.readouterr()
    assert said.out == ""
    assert "● corpus: " in said.err


def test_an_unknown_base_or_task_is_named(here: Path, tmp_path: Path):
    with pytest.raises(SettingError, match="unknown base model: found 'e6-small'"):
        noria.base("e6-small", out=tmp_path / "b")
    with pytest.raises(SettingError, match="most is out of range: found 0; allowed 1 or more"):
        noria.compress(here, rows=here / "test.csv", out=tmp_path / "c", most=0)
    with pytest.raises(SettingError, match="base is missing"):
        noria.finetune("classify", train=here / "train.csv", out=tmp_path / "m")
    with pytest.raises(SettingError, match="unknown option of answer: found 'optionl'"):
        noria.finetune("answer", base="b", train="t", out="o", options={"optionl": True})
    assert LABELS
