"""What is told of a model is true: on which numbers it was judged, on which rows, against what, and under which name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import WIDTH, pair_tokenizer

from noria.cli.main import main
from noria.core.caveats import caveats, caveats_of
from noria.core.errors import InputError, Refused
from noria.core.folder import new_folder, read_manifest
from noria.core.progress import Report
from noria.infer.choose import open_engine
from noria.infer.engine import answer
from noria.make.compress.recipe import compress_model
from noria.make.compress.settings import CompressSettings
from noria.make.evaluate.beside import beside_trained
from noria.make.evaluate.card import card
from noria.make.evaluate.judge import judge
from noria.make.evaluate.labels import by_label, line
from noria.make.training.finetune.recipe import finetune
from noria.make.training.settings import FinetuneRates, FinetuneSettings
from noria.tasks.remembered import given_for, rows_for
from noria.tasks.task import task_for

CASES = Path(__file__).parent / "inputs" / "make"
ROOT = Path(__file__).parents[2]
EMULATED = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
"""Makes a processor behave like one without instructions for bf16."""


def number_types(folder: Path, *types: str, **environment: str) -> list[dict[str, Any]]:
    """Return what `number_types.py` found in a process of its own, for each type."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("number_types.py")), str(folder), *types],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()[-len(types) :]]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What was found on this machine, by number type."""
    types = ("fp32", "bf16")
    return dict(zip(types, number_types(tmp_path_factory.mktemp("types"), *types), strict=True))


TRAINED = (
    "finetune classify",
    "finetune frozen",
    "finetune muon",
    "finetune chat",
    "pretrain causal",
    "pretrain masked",
)
SERVED = ("reference of a certificate", "compress", "served")
"""Where bf16 is fast what serves may choose it by its own timing: no plan speaks of it."""


def test_no_product_is_in_bf16_where_it_is_slow(tmp_path: Path):
    """(no file) Judging, calibrating, kept states, Muon, last figures, evaluating and certifying, not only the steps."""
    (found,) = number_types(tmp_path, "auto", **EMULATED)
    assert found["chosen"] == "fp32"
    assert found["seconds"] < 3  # of a promised 0.3; loading and other work on the machine included
    assert found["products"] == dict.fromkeys((*TRAINED, "evaluate", *SERVED), 0)
    assert not any("bfloat16" in way for way in found["ways"])


def test_no_product_is_in_bf16_where_the_plan_says_fp32(here: dict[str, dict[str, Any]]):
    found = here["fp32"]
    assert found["chosen"] == "fp32"
    assert found["seconds"] < 3
    assert found["products"] == dict.fromkeys((*TRAINED, "evaluate"), 0)


def test_the_counter_sees_products_in_bf16(here: dict[str, dict[str, Any]]):
    found = here["bf16"]["products"]
    assert all(found[name] for name in TRAINED), found


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder with random weights whose tokenizer tells two texts apart."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    with new_folder(tmp_path_factory.mktemp("base") / "base", kind="model") as folder:
        config = BertConfig(
            vocab_size=pair_tokenizer(folder.path),
            hidden_size=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=128,
        )
        BertModel(config).save_pretrained(folder.path)
        folder.facts.update(task="embed", labels=[], max_length=128, pooling="mean", prefix="")
    return folder.path.parent / "base"


LEARN = FinetuneSettings(
    steps=60,
    tokens_per_batch=512,
    learning_rate=5e-3,
    rates=FinetuneRates(layer_decay=1.0, head_rate=1.0),
    evaluations=2,
    max_length=32,
    number_type="fp32",
)
BOUNDS = CompressSettings(rounds=6, samples=8, method="weights")


@pytest.fixture(scope="module", params=["p2.jsonl", "pair.jsonl"])
def pairs(request: pytest.FixtureRequest, base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A classifier of pairs, and the file that taught it."""
    file = CASES / request.param
    out = tmp_path_factory.mktemp("pairs") / "model"
    return finetune(task_for("classify"), base, file, file, out, LEARN, Report()), file


def test_a_classifier_of_pairs_is_certified_on_pairs(pairs: tuple[Path, Path], tmp_path: Path):
    model, file = pairs
    manifest = read_manifest(model)
    rows = rows_for(manifest, file)
    found = compress_model(
        model,
        given_for(manifest, file),
        rows,
        tmp_path / "small",
        BOUNDS,
        Report(),
        judge=beside_trained,
        or_trained=True,
    )
    assert found.figure("accuracy").baseline == 1.0
    assert found.figure("agreement").value == 1.0


@pytest.mark.parametrize("method", ["weights", "int8"])
def test_a_served_pair_is_answered_by_the_fast_engine(method: str, pairs: tuple[Path, Path], tmp_path: Path):
    from noria.make.compress.quantize import quantize

    model, file = pairs
    rows = rows_for(read_manifest(model), file)
    trained = open_engine(model, prefer="torch")
    shown = [trained.task.features(trained.tokenizer, row, 32) for row in rows[:8]]
    fast = open_engine(quantize(model, shown, tmp_path / "fast", BOUNDS.replace(method=method)), prefer="openvino")
    asked = [{"text": row["text"], "pair": row["pair"]} for row in rows]
    wanted, said = answer(trained, asked), answer(fast, [*asked, "一个人"])  # a text alone is answered, too
    assert [one["label"] for one in wanted] == [row["label"] for row in rows]
    # Eight samples may leave 8-bit products a bias, which a certificate would refuse; who has read both texts tells them apart all the same.
    first = rows[0]["label"]
    sides: dict[bool, list[float]] = {True: [], False: []}
    for one, row in zip(said[:-1], rows, strict=True):
        sides[row["label"] == first].append(one["scores"][first])
    assert min(sides[True]) > max(sides[False])


def test_texts_alone_certify_no_classifier_of_pairs(pairs: tuple[Path, Path], tmp_path: Path):
    model, _ = pairs
    alone = tmp_path / "alone.jsonl"
    label = read_manifest(model).facts["labels"][0]
    alone.write_text(
        "".join(json.dumps({"text": f"很好{n}", "label": label}) + "\n" for n in range(5)), encoding="utf-8"
    )
    for read in (rows_for, given_for):
        with pytest.raises(InputError, match=r"without a second one.*found '5 of 5 rows'.*--columns\.pair"):
            read(read_manifest(model), alone)


def test_columns_named_in_training_are_remembered(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    """desc.csv: evaluate and compress read what finetune read; flags for another file, and a hint whose flag exists."""
    file, model = CASES / "desc.csv", tmp_path / "model"
    named = ["--text-column", "工单描述", "--label-column", "处理组"]
    learn = ["--steps", "20", "--max-length", "32", "--learning-rate", "3e-3", "--number-type", "fp32"]
    assert (
        main(
            [
                "build",
                "finetune",
                "classify",
                "--base",
                str(base),
                "--train",
                str(file),
                "--out",
                str(model),
                *named,
                *learn,
            ]
        )
        == 0
    )
    assert read_manifest(model).facts["columns"] == {"text": "工单描述", "label": "处理组"}
    assert main(["build", "evaluate", str(model), str(file)]) == 0
    rounds = ["--rounds", "6", "--samples", "8", "--method", "weights"]
    compress = ["build", "compress", str(model), "--calibration", str(file), "--rows", str(file), *rounds]
    assert main([*compress, "--out", str(tmp_path / "small")]) in (
        0,
        3,
    )  # whether a tiny model gets faster is the machine's to say
    other = tmp_path / "other.csv"
    other.write_text(
        file.read_text(encoding="utf-8").replace("工单描述", "来信").replace("处理组", "去向"), encoding="utf-8"
    )
    capsys.readouterr()
    assert main(["build", "evaluate", str(model), str(other)]) == 2
    told = capsys.readouterr().err
    assert "--text-column" in told
    assert main(["build", "evaluate", str(model), str(other), "--text-column", "来信", "--label-column", "去向"]) == 0
    plain = tmp_path / "plain.csv"  # names that need no word are still found, though others are remembered
    plain.write_text(
        file.read_text(encoding="utf-8").replace("工单描述", "text").replace("处理组", "label"), encoding="utf-8"
    )
    assert main(["build", "evaluate", str(model), str(plain)]) == 0
    assert main(
        [
            *compress[:4],
            str(other),
            "--rows",
            str(other),
            *rounds,
            "--columns.text",
            "来信",
            "--columns.label",
            "去向",
            "--out",
            str(tmp_path / "other"),
        ]
    ) in (0, 3)


@pytest.mark.parametrize(("task", "name"), [("tag", "tok.jsonl"), ("embed", "pairs.jsonl")])
@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_the_rows_that_trained_a_model_compress_it(
    task: str, name: str, form: str, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    """tok.jsonl, pairs.jsonl: the same rows in every form of file that finetune reads."""
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    file = CASES / name
    if form != "jsonl":
        records = [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
        if form == "csv":
            records = [
                {key: value if isinstance(value, str) else json.dumps(value) for key, value in one.items()}
                for one in records
            ]
        table, file = pyarrow.Table.from_pylist(records), tmp_path / f"rows.{form}"
        (pyarrow.csv.write_csv if form == "csv" else pyarrow.parquet.write_table)(table, file)
    model = finetune(task_for(task), base, file, file, tmp_path / "model", LEARN.replace(steps=4), Report())
    code = main(
        [
            "build",
            "compress",
            str(model),
            "--calibration",
            str(file),
            "--rows",
            str(file),
            "--out",
            str(tmp_path / "small"),
            "--rounds",
            "6",
            "--samples",
            "8",
            "--method",
            "weights",
        ]
    )
    assert code in (0, 3), capsys.readouterr().err
    manifest = read_manifest(model)
    count = 43 if task == "tag" else 20
    assert len(rows_for(manifest, file)) == len(given_for(manifest, file)) == count
    assert judge(model, file, Report())[0].n == count


def messages(file: Path, count: int, labels: int = 8, said: str = "请问{}怎么办{}") -> Path:
    """Write short messages of customers, of so many labels, told apart by a word of each."""
    words = ["退款", "发票", "物流", "换货", "价格", "安装", "登录", "投诉"][:labels]
    rows = [{"text": said.format(words[n % labels], n), "label": words[n % labels]} for n in range(count)]
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def finetuned(arguments: list[str], capsys: pytest.CaptureFixture) -> list[str]:
    """Run `noria build finetune classify`, and return the lines that it printed."""
    capsys.readouterr()
    assert main(["build", "finetune", "classify", "--number-type", "fp32", "--max-length", "32", *arguments]) == 0
    printed = capsys.readouterr()
    return [line for line in (printed.out + printed.err).splitlines() if line.strip()]


def test_a_model_that_saw_less_than_an_epoch_is_not_just_written(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture
):
    """(no file) 200 messages and one step: said in the plan, with a figure, against the baseline, and in the last lines."""
    rows = messages(tmp_path / "messages.jsonl", 200)
    lines = finetuned(
        [
            "--base",
            str(base),
            "--train",
            str(rows),
            "--out",
            str(tmp_path / "m"),
            "--no-companion",
            "--steps",
            "1",
            "--tokens-per-batch",
            "256",
        ],
        capsys,
    )
    plan = next(line for line in lines if "fine-tune" in line and "epochs" in line)
    assert "1 step of about" in plan
    assert "LESS THAN ONE" in plan
    written = next(place for place, line in enumerate(lines) if "model written to" in line)
    assert "(baseline wins), BUT:" in lines[written]
    ending = "\n".join(lines[written:])
    assert "of its training rows, less than one epoch" in ending
    assert "--minutes" in ending
    assert (
        "TF-IDF with logistic regression, accuracy 1 [" in ending
    )  # what the baseline is, and its figure with interval
    assert "use that baseline" in ending
    facts = read_manifest(tmp_path / "m").facts
    assert facts["epochs"] < 1
    assert facts["verdict"] == "baseline wins"
    assert "which chose the weights" in facts["metrics"][0]["source"]
    assert facts["valid"][0]["low"] <= facts["valid"][0]["value"] <= facts["valid"][0]["high"]
    assert "less than one epoch" in (tmp_path / "m" / "README.md").read_text(encoding="utf-8")


def test_a_time_budget_small_against_a_step_is_honest(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    """(no file) `--minutes` far too few: the plan counts the epochs that come of it, whatever the machine makes of the time."""
    rows = messages(tmp_path / "messages.jsonl", 3_000)
    lines = finetuned(
        [
            "--base",
            str(base),
            "--train",
            str(rows),
            "--out",
            str(tmp_path / "m"),
            "--recipe",
            "full",
            "--minutes",
            "0.002",
            "--tokens-per-batch",
            "512",
        ],
        capsys,
    )
    plan = next(line for line in lines if "steps of about" in line or "step of about" in line)
    facts = read_manifest(tmp_path / "m").facts
    assert (facts["epochs"] < 1) == ("LESS THAN ONE" in plan)
    assert "epochs" in plan
    assert any("BUT" in line for line in lines) == bool(caveats(facts))


def test_a_model_that_learned_is_written_without_a_but(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    rows = messages(tmp_path / "messages.jsonl", 400, labels=2)
    test = messages(tmp_path / "test.jsonl", 400, labels=2, said="请问{0}怎么办{1}？客服说了半天我还是没听懂")
    lines = finetuned(
        [
            "--base",
            str(base),
            "--train",
            str(rows),
            "--test",
            str(test),
            "--out",
            str(tmp_path / "m"),
            "--steps",
            "60",
            "--learning-rate",
            "5e-3",
            "--tokens-per-batch",
            "512",
        ],
        capsys,
    )
    assert "BUT" not in lines[-1]
    assert "model written to" in lines[-1]
    assert any("which chose the weights: accuracy" in line for line in lines)  # valid figures beside those of test rows
    assert any(
        re.search(r"F1 by label: 发票 1 \[0\.98\d, 1\] n=200, 退款 1 \[0\.98\d, 1\] n=200", line) for line in lines
    )


SPANS = ["PER", "LOC", "ORG"]


def test_a_label_that_is_never_said_is_named() -> None:
    """(no file) 77 spans of ORG and none found: F1 0.0 beside the micro average, on screen and in the card."""
    random, rows, answers = np.random.default_rng(0), [], []
    for number in range(231):
        span = {"start": 0, "end": 2, "label": SPANS[number % 3]}
        found = span if span["label"] != "ORG" and random.random() < 0.9 else None
        rows.append({"text": "北京大学", "spans": [span]})
        answers.append({"spans": [{**found, "score": 0.9}] if found else []})
    measures = {one.name: one.value for one in task_for("tag", SPANS).scores(rows, answers)}
    found = by_label(task_for("tag", SPANS), rows, answers, source="rows")
    dead = next(one for one in found if one["label"] == "ORG")
    assert (dead["support"], dead["said"], dead["figures"][0]["value"]) == (77, 0, 0.0)
    assert measures["macro F1"] == pytest.approx(np.mean([one["figures"][0]["value"] for one in found]))
    assert measures["span F1"] > 0.7 > measures["macro F1"]
    assert re.search(r"ORG 0 \[0, 0\.\d+\] n=77 never said", line(found))
    facts = {"task": "tag", "labels": SPANS, "by_label": found, "metrics": [], "verdict": "not judged"}
    assert caveats(facts)[0].startswith("in the rows it was judged on it never says ORG (true 77 times)")
    text = card(facts, {}, [])
    assert "it never says ORG" in text.split("## Held-out figures")[0]
    assert re.search(
        r"\| ORG \| 0\.000 \(0\.000 to 0\.0\d+\) \| none \| 0\.000 \(0\.000 to 0\.0\d+\) \| 77 \| never \|", text
    )


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=2, max_size=60))
@settings(max_examples=25, deadline=None)
def test_figures_by_label_are_those_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    from sklearn.metrics import precision_recall_fscore_support

    rows, answers = [{"text": "t", "label": true} for true, _ in pairs], [{"label": said} for _, said in pairs]
    found = by_label(task_for("classify", "abcd"), rows, answers, source="rows")
    names = [one["label"] for one in found]
    wanted = precision_recall_fscore_support(*zip(*pairs, strict=True), labels=names, zero_division=0)
    for place, one in enumerate(found):
        f1, precision, recall = (raw["value"] for raw in one["figures"])
        assert (precision, recall, f1, one["support"]) == pytest.approx(tuple(values[place] for values in wanted))
        assert all(
            raw["low"] <= raw["value"] + 1e-9 and raw["value"] - 1e-9 <= raw["high"]
            for raw in one["figures"]
            if raw["n"] > 20
        )


def test_what_is_served_says_what_must_be_known(tmp_path: Path) -> None:
    """(no file) A refused engine, a lost comparison, in the words that `noria ship serve` prints."""
    figure = {"name": "accuracy", "value": 0.6, "n": 100, "low": 0.5, "high": 0.7}
    with new_folder(tmp_path / "m", kind="model") as folder:
        baseline = {**figure, "value": 0.9, "low": 0.85, "high": 0.94, "note": "TF-IDF with logistic regression"}
        folder.facts.update(
            task="classify",
            labels=["a", "b"],
            epochs=3.0,
            verdict="baseline wins",
            metrics=[figure],
            baseline=[baseline],
        )
        (folder.path / "certificate.json").write_text('{"passed": false, "reasons": ["agreement 0.9 is below 0.97"]}')
    refused, beaten = caveats_of(tmp_path / "m")
    assert "agreement 0.9 is below 0.97" in refused
    assert "the trained model answers" in refused
    assert (
        "TF-IDF with logistic regression, accuracy 0.900 [0.850, 0.940] n=100, the model 0.600 [0.500, 0.700] n=100"
        in beaten
    )


@pytest.mark.parametrize("pairs", ["p2.jsonl"], indirect=True)
def test_a_refused_model_lies_under_no_name_that_claims_success(pairs: tuple[Path, Path], tmp_path: Path):
    """(no file) Refused, the name that was asked for stays empty; a neutral one holds the trained model and says so."""
    model, file = pairs
    manifest = read_manifest(model)
    given_rows, rows = given_for(manifest, file), rows_for(manifest, file)
    refused = False
    try:
        compress_model(model, given_rows, rows, tmp_path / "fast", BOUNDS, Report(), judge=beside_trained)
    except Refused:
        refused = True
    assert (tmp_path / "fast").exists() != refused
    found = compress_model(
        model, given_rows, rows, tmp_path / "served", BOUNDS, Report(), judge=beside_trained, or_trained=True
    )
    assert (tmp_path / "served" / "engine").exists() == found.passed
    assert read_manifest(tmp_path / "served").facts["certified"] == found.passed
    assert bool([words for words in caveats_of(tmp_path / "served") if "no certificate" in words]) == (not found.passed)
    assert [one["label"] for one in answer(open_engine(tmp_path / "served"), given_rows[:8])] == [
        row["label"] for row in rows[:8]
    ]


def test_documents_name_no_refused_model() -> None:
    """(no file) Every model of the demo that a page or an example serves is one that the demo always writes."""
    from noria.cli.demo.compress import MODELS, served

    always = {
        *map(served, MODELS),
        "pretrain",
        "e5",
        "base",
        "sentiment",
        "entities",
        "corpus",
        "lake",
        "report.html",
        "tokenizer",
    }
    pages = [
        *ROOT.glob("README*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "noria").rglob("*.py"),
        *(ROOT / "noria").rglob("*.jsonl"),
    ]
    named = {name for page in pages for name in re.findall(r"runs/demo/([\w.-]+)", page.read_text(encoding="utf-8"))}
    assert {name for name in named if name.endswith(("-int8", "-served")) or "int8" in name} <= always
