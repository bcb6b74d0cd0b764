"""Bases as people bring them: their tokenizer, their pooling, their head, their architecture; same answers trained and served."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encoder_families import make_base
from tiny_models import TEXTS
from tokenizers import Tokenizer

from noria.core.errors import FolderError, SettingError
from noria.core.folder import read_manifest
from noria.core.progress import Report
from noria.infer.choose import open_engine
from noria.infer.engine import answer
from noria.make.evaluate.predict import answer_rows, predict
from noria.make.models.load import load, quiet_transformers
from noria.make.models.trained_head import matched, named
from noria.make.tokens.tokenizer import copy_tokenizer, load_tokenizer
from noria.make.training.finetune.examples import Examples
from noria.make.training.finetune.heads import training_of_head
from noria.make.training.finetune.prepare import prepare_model
from noria.make.training.finetune.recipe import finetune
from noria.make.training.objectives.supervised import pooled as pooled_in_training
from noria.make.training.settings import FinetuneSettings
from noria.tasks.companion import open_task
from noria.tasks.padding import Padding, padding_of, usable_length
from noria.tasks.pooling import MODES, pooled, sentence_folder
from noria.tasks.task import read_rows, task_for, task_of

CASES = Path(__file__).parent / "inputs" / "make"
SETTINGS = FinetuneSettings(steps=1, max_length=32, evaluations=1, number_type="fp32")
FAMILIES = (
    "deberta",
    "deberta-v2",
    "roformer",
    "mpnet",
    "big_bird",
    "xlnet",
    "longformer",
    "gemma2",
    "qwen2",
    "llama",
    "gpt2",
    "gemma3_text",
    "phi3",
)


def quietly() -> Report:
    """Return a report for programs, that keeps what is told."""
    return Report(mode="programs", stream=io.StringIO())


def tokenizer_config(folder: Path, **values: Any) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps(values), encoding="utf-8")


def change(folder: Path, name: str = "config.json", **values: Any) -> None:
    document = json.loads((folder / name).read_text(encoding="utf-8"))
    (folder / name).write_text(json.dumps({**document, **values}), encoding="utf-8")


@pytest.mark.parametrize("family", FAMILIES)
def test_rows_csv_trains_a_base_of_any_family_and_is_served_alike(family: str, tmp_path: Path):
    with quiet_transformers(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = make_base(family, tmp_path / "base")
        # The configuration names no padding, as those of qwen2, llama, gpt2 and phi3 on a hub; the tokenizer's does.
        if family in ("qwen2", "llama", "gpt2", "gemma3_text", "phi3"):
            change(base, pad_token_id=None)
        tokenizer_config(base, pad_token="[PAD]", eos_token="[SEP]")
        out = finetune(
            task_for("classify"),
            base,
            CASES / "rows.csv",
            None,
            tmp_path / "out",
            SETTINGS,
            quietly(),
            test_file=CASES / "rows.csv",
        )
        config = json.loads((out / "config.json").read_text(encoding="utf-8"))
        assert config["pad_token_id"] == 0
        task = open_task(out)
        rows = read_rows(CASES / "rows.csv", task)[:9]
        module, tokenizer = load(out, "sequence", task.labels)
        trained = answer_rows(task, module, tokenizer, rows, 32)
        engine = open_engine(out)
        served = answer(engine, [row["text"] for row in rows])
        by_one = [answer(engine, [row["text"]])[0] for row in rows]
    for one, other, alone in zip(trained, served, by_one, strict=True):
        for label in task.labels:
            assert one["scores"][label] == pytest.approx(other["scores"][label], abs=1e-4)
            assert one["scores"][label] == pytest.approx(alone["scores"][label], abs=1e-4)


@pytest.fixture(scope="module")
def knowing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a base that tells the rows of pn.csv apart, its head's labels {0: positive, 1: negative}."""
    place = tmp_path_factory.mktemp("knowing")
    base = make_base("bert", place / "base")
    task = task_for("classify", ["positive", "negative"])
    rows = read_rows(CASES / "pn.csv", task)
    module, tokenizer = prepare_model(task, base, SETTINGS)
    examples = Examples.of(task, tokenizer, rows, 32)
    way, optimizer = training_of_head(task, examples), torch.optim.Adam(module.parameters(), 1e-3)
    batch = way.collate(examples, padding_of(module.config), np.arange(len(rows)))
    for _ in range(200):
        optimizer.zero_grad()
        loss, weight = way.loss(module, batch)
        (loss / weight).backward()
        optimizer.step()
        if float(loss.detach()) / weight < 0.02:
            break
    module.save_pretrained(place / "out")
    copy_tokenizer(base, place / "out")
    assert accuracy(place / "out", ["positive", "negative"]) == 1.0
    return place / "out"


def accuracy(folder: Path, labels: list[str], report: Report | None = None) -> float:
    task = task_for("classify", labels)
    rows = read_rows(CASES / "pn.csv", task)
    module, tokenizer = load(folder, "sequence", labels, report=report)
    description = answer_rows(task, module, tokenizer, rows, 32)
    return float(np.mean([one["label"] == row["label"] for one, row in zip(description, rows, strict=True)]))


def test_pn_csv_a_trained_head_is_reused_by_the_names_of_its_labels(knowing: Path, tmp_path: Path):
    report = quietly()
    out = finetune(
        task_for("classify"),
        knowing,
        CASES / "pn.csv",
        None,
        tmp_path / "out",
        SETTINGS.replace(learning_rate=1e-7),
        report,
        test_file=CASES / "pn.csv",
    )
    figures = {one["name"]: one["value"] for one in read_manifest(out).facts["metrics"]}
    assert figures["accuracy"] == 1.0
    assert "its rows were put in our order" in report.stream.getvalue()


def test_a_head_is_kept_moved_or_begun_anew_by_names_alone(knowing: Path, tmp_path: Path):
    head = {
        name: load(knowing, "sequence", ["positive", "negative"])[0].get_parameter(f"classifier.{name}")
        for name in ("weight", "bias")
    }
    for ours, rows in (
        (["negative", "positive"], [1, 0]),
        (["Negative", "ＰＯＳＩＴＩＶＥ"], [1, 0]),
        (["negative", "neutral", "positive"], [1, None, 0]),
        (["负面", "正面"], [None, None]),
        (["a", "b", "c"], [None] * 3),
    ):
        report = quietly()
        module, _ = load(knowing, "sequence", ours, report=report)
        for name, old in head.items():
            new = module.get_parameter(f"classifier.{name}")
            assert len(new) == len(ours)
            for place, row in enumerate(rows):
                same = row is not None and torch.equal(new[place], old[row])
                assert same == (row is not None), (ours, name, place)
                if row is None:
                    assert not any(torch.equal(new[place], one) for one in old)
        description = report.stream.getvalue()
        assert ("starts anew" in description) == (not any(row is not None for row in rows))
        assert ("new: neutral" in description) == ("neutral" in ours)


def test_a_head_without_names_starts_anew_and_says_so(knowing: Path, tmp_path: Path):
    import shutil

    nameless = shutil.copytree(knowing, tmp_path / "nameless")
    change(nameless, id2label={"0": "LABEL_0", "1": "LABEL_1"}, label2id={"LABEL_0": 0, "LABEL_1": 1})
    report = quietly()
    module, _ = load(nameless, "sequence", ["negative", "positive"], report=report)
    assert "no label names" in report.stream.getvalue()
    own, _ = load(knowing, "sequence", ["positive", "negative"])
    assert not torch.equal(module.classifier.weight, own.classifier.weight)
    kept, _ = load(nameless, "sequence", ["LABEL_0", "LABEL_1"])
    assert torch.equal(kept.classifier.weight, own.classifier.weight)


def test_label_maps():
    assert named({"0": "b", "1": "a"}, ["a", "b"]) == ["b", "a"]
    assert named({"1": "a", "0": "b"}, ["a", "b"]) == ["b", "a"]
    assert named({"0": 1, "1": 0}, ["0", "1"]) == ["1", "0"]
    assert named({"0": "LABEL_0", "1": "LABEL_1"}, ["a", "b"]) == []
    assert named(None, ["a"]) == []
    assert matched(["a", "b"], ["b", "a"]) == [1, 0]
    assert matched(["a", "A"], ["A", "a"]) == [1, 0]
    assert matched(["a"], ["A", "Ａ"]) == [None]
    assert matched(["positive"], ["positive"]) == [None]


@pytest.fixture
def sentence_base(tmp_path: Path) -> Path:
    """Return a folder as sentence-transformers writes them: texts filled up to 128 and cut there, pooling by the first token."""
    base = make_base("bert", tmp_path / "base")
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(128)
    tokenizer.save(str(base / "tokenizer.json"))
    tokenizer_config(
        base, tokenizer_class="PreTrainedTokenizerFast", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    (base / "modules.json").write_text(
        json.dumps(
            [
                {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            ]
        )
    )
    (base / "1_Pooling").mkdir()
    pooling(base, cls=True)
    return base


def pooling(base: Path, **modes: bool) -> None:
    keys = {
        "cls": "pooling_mode_cls_token",
        "mean": "pooling_mode_mean_tokens",
        "max": "pooling_mode_max_tokens",
        "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
        "weightedmean": "pooling_mode_weightedmean_tokens",
        "lasttoken": "pooling_mode_lasttoken",
    }
    config = {"word_embedding_dimension": 32, **{key: modes.get(mode, False) for mode, key in keys.items()}}
    (base / "1_Pooling" / "config.json").write_text(json.dumps(config))


@pytest.fixture
def embed_rows(tmp_path: Path) -> Path:
    file = tmp_path / "pairs.jsonl"
    lines = [json.dumps({"anchor": one, "positive": other}) for one, other in zip(TEXTS, TEXTS[::-1], strict=True)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def test_a_text_is_as_long_as_it_is_whatever_the_tokenizers_file_says(sentence_base: Path):
    task, bare = (
        task_for("embed"),
        len(
            Tokenizer.from_str(
                json.dumps(
                    json.loads((sentence_base / "tokenizer.json").read_text()) | {"padding": None, "truncation": None}
                )
            )
            .encode("物流很快")
            .ids
        ),
    )
    tokenizer = load_tokenizer(sentence_base)
    assert bare < 20
    for length in (32, 64, 128, 300):
        assert len(task.features(tokenizer, "物流很快", length).ids) == bare
    assert len(task.features(tokenizer, "物流很快" * 100, 300).ids) == 300


@pytest.mark.parametrize("modes", [*((mode,) for mode in MODES), ("cls", "mean"), ("mean", "max", "lasttoken")])
def test_every_pooling_gives_one_vector_in_training_serving_and_sentence_transformers(
    sentence_base: Path, embed_rows: Path, tmp_path: Path, modes: tuple[str, ...]
):
    pooling(sentence_base, **dict.fromkeys(modes, True))
    report = quietly()
    out = finetune(task_for("embed"), sentence_base, embed_rows, None, tmp_path / "out", SETTINGS, report)
    task, expected = task_of(read_manifest(out)), "+".join(mode for mode in MODES if mode in modes)
    assert read_manifest(out).facts["pooling"] == expected
    assert f"pooling {expected}" in report.stream.getvalue()
    module, tokenizer = load(out, "embedding")
    features = [task.features(tokenizer, text, 32) for text in TEXTS]
    judged = np.array(
        [task.answer(one, states)["embedding"] for one, states in zip(features, predict(module, features), strict=True)]
    )
    served = np.array([one["embedding"] for one in answer(open_engine(out), TEXTS)])
    np.testing.assert_allclose(served, judged, atol=1e-5)
    width = max(len(one.ids) for one in features)
    for left in (False, True):
        states, mask = torch.zeros(len(TEXTS), width, 32), torch.zeros(len(TEXTS), width, dtype=torch.long)
        for place, (one, values) in enumerate(zip(features, predict(module, features), strict=True)):
            where = slice(width - len(one.ids), width) if left else slice(0, len(one.ids))
            states[place, where], mask[place, where] = torch.from_numpy(values), 1
        trained = torch.nn.functional.normalize(pooled_in_training(states, mask, task.pooling), dim=-1)
        np.testing.assert_allclose(trained.numpy(), judged, atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sentence_transformers import SentenceTransformer

        theirs = SentenceTransformer(str(out), device="cpu").encode(TEXTS, show_progress_bar=False)
    np.testing.assert_allclose(theirs, judged, atol=1e-5)


def test_unlike_texts_are_as_near_as_without_filling(sentence_base: Path, embed_rows: Path, tmp_path: Path):
    out = finetune(
        task_for("embed", pooling="mean"), sentence_base, embed_rows, None, tmp_path / "out", SETTINGS, quietly()
    )
    assert read_manifest(out).facts["pooling"] == "mean"
    module, tokenizer = load(out, "embedding")
    one, other = answer(open_engine(out), TEXTS[:2])
    wanted = []
    for text in TEXTS[:2]:
        with torch.no_grad():
            states = module(input_ids=torch.tensor([[*tokenizer.encode(text).ids[:31], 2]])).last_hidden_state[0]
        assert len(states) < 33
        wanted.append(torch.nn.functional.normalize(states.mean(0), dim=-1).numpy())
    description = float(np.dot(one["embedding"], other["embedding"]))
    assert description == pytest.approx(float(wanted[0] @ wanted[1]), abs=0.02)


def test_such_a_folder_classifies(sentence_base: Path, tmp_path: Path):
    out = finetune(task_for("classify"), sentence_base, CASES / "rows.csv", None, tmp_path / "out", SETTINGS, quietly())
    document = json.loads((out / "tokenizer.json").read_text(encoding="utf-8"))
    assert document["padding"] is None
    assert document["truncation"] is None


def test_what_a_folder_says_of_its_vectors_is_read_or_refused_by_name(sentence_base: Path, tmp_path: Path):
    (sentence_base / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": "query"})
    )
    (sentence_base / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 16, "do_lower_case": False}))
    said = sentence_folder(sentence_base)
    assert said is not None
    assert (said.pooling, said.prefix, said.max_length) == ("cls", "query: ", 16)
    task = task_for("embed").based_on(sentence_base, load_tokenizer(sentence_base))
    assert (task.pooling, task.prefix) == ("cls", "query: ")
    description = task.description(sentence_base, 32)
    assert "passage" in description
    assert "16 tokens" in description
    own = task_for("embed", pooling="max", prefix="问：").based_on(sentence_base, load_tokenizer(sentence_base))
    assert (own.pooling, own.prefix) == ("max", "问：")

    (sentence_base / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": ["lasttoken", "cls"]}))
    assert sentence_folder(sentence_base).pooling == "lasttoken+cls"
    for config, part in (
        ({"pooling_mode": "attention"}, "attention"),
        ({"pooling_mode_secret": True}, "pooling_mode_secret"),
        ({"pooling_mode": "cls", "include_prompt": False}, "include_prompt"),
    ):
        (sentence_base / "1_Pooling" / "config.json").write_text(json.dumps(config))
        with pytest.raises(FolderError, match=part):
            sentence_folder(sentence_base)
    pooling(sentence_base, cls=True)
    modules = json.loads((sentence_base / "modules.json").read_text())
    dense = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (sentence_base / "modules.json").write_text(json.dumps([*modules, dense]))
    with pytest.raises(FolderError, match="Dense"):
        task_for("embed").based_on(sentence_base, load_tokenizer(sentence_base))
    assert sentence_folder(tmp_path) is None
    with pytest.raises(SettingError, match="unknown pooling"):
        task_for("embed", pooling="middle")


@pytest.mark.parametrize("family", ["roberta", "xlm-roberta", "camembert", "mpnet", "longformer"])
def test_the_usable_length_is_what_the_positions_leave(family: str, tmp_path: Path):
    base = make_base(family, tmp_path / "base")
    module, _ = load(base, "sequence", ["a", "b"])
    pad = 1 if family == "mpnet" else module.config.pad_token_id
    assert usable_length(module.config) == usable_length(module.config.to_dict()) == 130 - pad - 1
    usable = 130 - pad - 1
    with quiet_transformers(), torch.no_grad():
        assert torch.isfinite(module(input_ids=torch.full((1, usable), 9)).logits).all()
        if family != "longformer":  # it fills up to its window by itself
            with pytest.raises((IndexError, RuntimeError)):
                module(input_ids=torch.full((1, usable + 1), 9))
    with pytest.raises(SettingError, match=f"up to {usable}"):
        prepare_model(task_for("classify", ["a", "b"]), base, SETTINGS.replace(max_length=usable + 1))
    prepare_model(task_for("classify", ["a", "b"]), base, SETTINGS.replace(max_length=usable))


def test_added_tokens_without_a_row_get_one_and_a_strangers_tokenizer_is_refused(tmp_path: Path):
    base = make_base("bert", tmp_path / "base")
    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    size = tokenizer.get_vocab_size()
    tokenizer.add_tokens(["鑫鑫", "[ORDER]"])
    tokenizer.save(str(base / "tokenizer.json"))
    report = quietly()
    module, _ = load(base, "sequence", ["a", "b"], report=report)
    assert module.get_input_embeddings().num_embeddings == module.config.vocab_size == size + 2
    assert "2 added tokens" in report.stream.getvalue()
    torch.testing.assert_close(
        module.get_input_embeddings().weight[-1], module.get_input_embeddings().weight[:size].mean(0)
    )
    small = make_base("bert", tmp_path / "small")
    other = json.loads((small / "tokenizer.json").read_text(encoding="utf-8"))
    other["model"]["vocab"] |= {"xx": size, "yy": size + 1}
    (small / "tokenizer.json").write_text(json.dumps(other), encoding="utf-8")
    with pytest.raises(FolderError, match="tokenizer is of another model"):
        load(small, "sequence", ["a", "b"])


def test_a_span_head_has_two_outputs_whatever_labels_the_base_had(knowing: Path, tmp_path: Path):
    change(knowing, id2label={"0": "a", "1": "b", "2": "c"}, label2id={"a": 0, "b": 1, "c": 2})
    try:
        module, _ = load(knowing, "span")
    finally:
        change(knowing, id2label={"0": "positive", "1": "negative"}, label2id={"positive": 0, "negative": 1})
    assert module.qa_outputs.out_features == 2


def test_an_older_sentence_folder_is_read_with_what_lies_beside_its_transformer(sentence_base: Path, tmp_path: Path):
    import shutil

    outer = tmp_path / "outer"
    shutil.copytree(sentence_base, outer / "0_Transformer")
    shutil.move(outer / "0_Transformer" / "1_Pooling", outer / "1_Pooling")
    (outer / "0_Transformer" / "modules.json").unlink()
    modules = json.loads((sentence_base / "modules.json").read_text())
    (outer / "modules.json").write_text(json.dumps([{**modules[0], "path": "0_Transformer"}, modules[1]]))
    with pytest.raises(FolderError, match=r"its model lies in .*0_Transformer"):
        load(outer, "embedding")
    assert task_for("embed").based_on(outer / "0_Transformer", load_tokenizer(outer / "0_Transformer")).pooling == "cls"


def test_big_bird_answers_alike_whatever_was_asked_before(tmp_path: Path):
    base = make_base("big_bird", tmp_path / "base")
    module, _ = load(base, "sequence", ["a", "b"])
    assert module.config.attention_type == module.bert.attention_type == "original_full"


@pytest.mark.parametrize("family", ["xlnet", "distilbert", "convbert", "deberta-v2"])
def test_the_fast_engine_answers_texts_and_pairs_as_the_trained_model(family: str, tmp_path: Path):
    from noria.make.compress.quantize import export, save

    with quiet_transformers(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        base = make_base(family, tmp_path / "base")
        file = tmp_path / "pairs.jsonl"
        rows = [
            {"text": one, "pair": other, "label": "ab"[place % 2]}
            for place, (one, other) in enumerate(zip(TEXTS, TEXTS[::-1], strict=True))
        ]
        file.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
        out = finetune(task_for("classify"), base, file, None, tmp_path / "out", SETTINGS, quietly())
        save(export(out, "sequence"), out / "engine" / "model.xml")
        asked = [{"text": row["text"], "pair": row["pair"]} for row in rows] + [row["text"] for row in rows]
        known, said = (answer(open_engine(out, prefer=kind), asked) for kind in ("torch", "openvino"))
    for one, other in zip(known, said, strict=True):
        assert one["scores"]["a"] == pytest.approx(other["scores"]["a"], abs=0.02)  # the engine may compute in bf16


def test_padding_follows_the_configuration():
    assert padding_of({"model_type": "bert", "pad_token_id": 0, "type_vocab_size": 2}) == Padding(0, False, False, True)
    assert padding_of({"model_type": "distilbert", "pad_token_id": 0}).types is False
    assert padding_of({"model_type": "roberta", "pad_token_id": 1, "type_vocab_size": 1}) == Padding(1, types=False)
    assert padding_of({"model_type": "xlnet", "pad_token_id": 5}).left
    assert padding_of({"model_type": "fnet", "pad_token_id": 3}).alike
    assert padding_of({"model_type": "llama", "pad_token_id": None}).id == 0


def test_vectors_are_pooled_over_the_text_alone():
    states = np.array([[3.0, 0.0], [0.0, 4.0], [1.0, 1.0]])
    assert pooled(states, "mean").tolist() == pytest.approx([4 / 3, 5 / 3])
    assert pooled(states, "cls+lasttoken").tolist() == [3.0, 0.0, 1.0, 1.0]
    assert pooled(states, "max").tolist() == [3.0, 4.0]
    assert pooled(states, "weightedmean").tolist() == pytest.approx([1.0, 11 / 6])
    assert pooled(states, "mean_sqrt_len_tokens").tolist() == pytest.approx([4 / 3**0.5, 5 / 3**0.5])
