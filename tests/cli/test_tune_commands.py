"""`noria build finetune`, `search`, `base` from the command line: columns, options, settings files, and bad input in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_models import make_causal, make_encoder

from noria.cli.main import main
from noria.core.folder import read_manifest, verify

SHORT = ["--steps", "4", "--max-length", "32", "--tokens-per-batch", "256", "--number-type", "fp32"]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with bases, and rows as people have them."""
    folder = tmp_path_factory.mktemp("tune")
    make_encoder(folder / "base", "embed", [], 2, compiled=False)
    make_causal(folder / "causal")
    lines = [f"{number},第{number}间房 很好 great,好评\n{number},第{number}次 太差 awful,差评" for number in range(12)]
    (folder / "客服.csv").write_text("编号,内容,标签\n" + "\n".join(lines) + "\n", encoding="gb18030")
    (folder / "numbers.csv").write_text(
        "age,spend,label\n" + "".join(f"{30 + number},{number % 2},{number % 2}\n" for number in range(40)),
        encoding="utf-8",
    )
    many = [
        {"text": f"第{number}行 price and service", "labels": ["price", "service"][: number % 3]}
        for number in range(20)
    ]
    (folder / "many.jsonl").write_text("".join(json.dumps(row) + "\n" for row in many), encoding="utf-8")
    talk = [
        [{"role": "user", "content": f"hi {n}"}, {"role": "assistant", "content": "hello there"}] for n in range(12)
    ]
    (folder / "talk.jsonl").write_text("".join(json.dumps({"messages": one}) + "\n" for one in talk), encoding="utf-8")
    (folder / "pairs.csv").write_text("source,target\n你好,hello\n再见,bye\n谢谢,thanks\n", encoding="utf-8")
    (folder / "one.csv").write_text("text,label\na,x\nb,x\n", encoding="utf-8")
    (folder / "strange.csv").write_text("内容,标签\n好,price\n", encoding="utf-8")
    (folder / "empty.csv").write_text("text,label\n", encoding="utf-8")
    return folder


def build(here: Path, *words: str) -> int:
    """Run a command of `noria build` with names in braces put below the folder."""
    return main(["build", *(str(here / word[1:-1]) if word.startswith("{") else word for word in words)])


def test_a_table_of_customers_becomes_a_classifier(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    (tmp_path / "s.toml").write_text("[finetune]\nmax_length = 16\nsteps = 900\nrates.warmup = 0.5\n", encoding="utf-8")
    out = tmp_path / "model"
    assert (
        build(
            here,
            "finetune",
            "classify",
            "--base",
            "{base}",
            "--train",
            "{客服.csv}",
            "--test",
            "{客服.csv}",
            "--out",
            str(out),
            "--settings",
            str(tmp_path / "s.toml"),
            "--steps",
            "4",
            "--rates.layer-decay",
            "0.8",
        )
        == 0
    )
    said = capsys.readouterr().err
    manifest = verify(out)
    assert manifest.facts["labels"] == ["好评", "差评"]
    assert (manifest.settings["steps"], manifest.settings["max_length"]) == (4, 16), "a flag stands above the file"
    assert (manifest.settings["rates"]["warmup"], manifest.settings["rates"]["layer_decay"]) == (0.5, 0.8)
    for settings_given in (
        "read as GB18030",
        "text from column '内容', label from column '标签'",
        "training rows are set aside",
        "24 of 24 test texts are also training texts",
    ):
        assert settings_given in said
    assert build(here, "evaluate", str(out), "{客服.csv}", "--out", str(tmp_path / "judged")) == 0
    assert read_manifest(tmp_path / "judged").facts["metrics"][0]["n"] == 24


@pytest.mark.parametrize(
    "words",
    [
        ("classify", "--base", "{base}", "--train", "{many.jsonl}", "--many", "--adapter.kind", "lora"),
        ("numeric", "--train", "{numbers.csv}"),
        ("chat", "--base", "{causal}", "--train", "{talk.jsonl}"),
        (
            "embed",
            "--base",
            "{base}",
            "--train",
            "{pairs.csv}",
            "--columns.anchor",
            "source",
            "--columns.positive",
            "target",
            "--valid",
            "{pairs.csv}",
        ),
    ],
    ids=lambda words: words[0],
)
def test_other_tasks_from_the_command_line(here: Path, tmp_path: Path, words: tuple[str, ...]):
    assert build(here, "finetune", *words, "--out", str(tmp_path / "m"), *SHORT) == 0
    assert read_manifest(tmp_path / "m").facts["task"] == words[0]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("finetune", "clasify", "--base", "{base}", "--train", "{客服.csv}"), "did you mean classify?"),
        (("finetune", "classify", "--train", "{客服.csv}"), "--base is missing"),
        (
            ("finetune", "classify", "--base", "{base}", "--train", "{one.csv}"),
            "holds nothing to tell apart: found 'x'",
        ),
        (("finetune", "classify", "--base", "{base}", "--train", "{empty.csv}"), "holds no usable row"),
        (
            ("finetune", "classify", "--base", "{base}", "--train", "{客服.csv}", "--valid", "{strange.csv}"),
            "1 of 1 rows have labels that no training row has: found 'price'",
        ),
        (
            ("finetune", "classify", "--base", "{base}", "--train", "{客服.csv}", "--text-column", "评论"),
            "no such column: found '评论'; allowed 编号, 内容, 标签",
        ),
        (("finetune", "tag", "--base", "{base}", "--train", "{talk.jsonl}"), "talk.jsonl, line 1"),
        (
            ("finetune", "translate", "--base", "{base}", "--train", "{pairs.csv}", "--valid", "{pairs.csv}"),
            "wrong kind: for a seq2seq head: found 'bert, an encoder'; allowed an encoder-decoder",
        ),
        (
            ("finetune", "chat", "--base", "{base}", "--train", "{talk.jsonl}"),
            "found 'bert, an encoder'; allowed a decoder",
        ),
        (("finetune", "tag", "--base", "{base}", "--train", "{客服.csv}", "--many"), "--many is for tasks with labels"),
        (
            ("finetune", "answer", "--base", "{base}", "--train", "{客服.csv}", "--options.optionl", "true"),
            "unknown option of answer: found 'optionl'",
        ),
        (
            ("finetune", "classify", "--base", "{base}", "--train", "{客服.csv}", "--settings", "{客服.csv}"),
            "is not TOML",
        ),
        (
            ("search", "classify", "--base", "{base}", "--train", "{客服.csv}", "--try", "lerning_rate=1,2"),
            "did you mean learning_rate?",
        ),
        (
            ("crossvalidate", "classify", "--base", "{base}", "--train", "{one.csv}", "--folds", "3"),
            "too few different rows for the folds",
        ),
        (("base", "e5-smal"), "did you mean e5-small?"),
    ],
)
def test_bad_input_is_one_line_and_loses_nothing(
    here: Path, tmp_path: Path, words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture
):
    short = SHORT if words[0] != "base" else []
    assert build(here, *words, "--out", str(tmp_path / "m"), *short) == 2
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("noria:")]
    assert len(said) == 1
    assert says in said[0]
    assert not (tmp_path / "m").exists()


def test_rows_over_length_are_counted(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    assert (
        build(
            here,
            "finetune",
            "classify",
            "--base",
            "{base}",
            "--train",
            "{客服.csv}",
            "--out",
            str(tmp_path / "m"),
            "--steps",
            "4",
            "--max-length",
            "8",
        )
        == 0
    )
    assert (
        "training rows are longer than 8 tokens and are cut there; --max-length reads more of them"
        in capsys.readouterr().err
    )


def test_settings_and_columns_come_from_one_section_and_flags_stand_above_it(tmp_path: Path):
    from noria.api.options import resolved
    from noria.cli.files import settings_given, with_columns
    from noria.make.training.settings import FinetuneSettings, RowSettings

    file = tmp_path / "n.toml"
    file.write_text(
        '[finetune]\nsteps = 7\nmax_length = 64\nvalid_share = 0.2\ncolumns.text = "内容"\n', encoding="utf-8"
    )
    flags = settings_given(file, with_columns(RowSettings(), None, "类别"), FinetuneSettings(steps=9))
    settings, reading = resolved([FinetuneSettings, RowSettings], "finetune", flags, {})
    assert (settings.steps, settings.max_length) == (9, 64)
    assert (reading.valid_share, reading.columns) == (0.2, {"text": "内容", "label": "类别"})
