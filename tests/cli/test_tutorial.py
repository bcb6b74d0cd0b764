"""The tutorial of one's own CSV: what it shows runs as it stands, only the budgets are smaller; both languages show the same."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from noria.api.sections import read_section
from noria.cli.main import main
from noria.core.folder import read_manifest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("tutorial.md", "tutorial.zh-CN.md")


def blocks(page: str, kind: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"```{kind}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("kind", ["python", "bash", "toml"])
def test_both_languages_show_the_same(kind: str):
    assert blocks(PAGES[0], kind) == blocks(PAGES[1], kind) != []


def test_the_file_is_one_that_can_be_run():
    document = tomllib.loads(blocks(PAGES[0], "toml")[0])
    stages = [read_section(name, values) for name, values in document.items() if name != "out"]
    assert [stage.do for stage in stages] == ["base", "finetune", "compress"]


def test_from_a_table_to_a_model_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    make_rows, from_python = blocks(PAGES[0], "python")
    exec(
        compile(
            make_rows.replace("rows[::8]", "rows[::200]").replace("rows[4::32]", "rows[4::1600]"), "tutorial", "exec"
        ),
        {},
    )
    base, train, judge = (
        next(line for body in blocks(PAGES[0], "bash") for line in body.splitlines() if line.startswith(command))
        for command in ("noria build base", "noria build finetune", "noria build evaluate")
    )
    # The small encoder in place of the one of a hundred languages, whose rebuilding has tests of its own.
    assert main(shlex.split(base.replace("e5-small", "minilm"))[1:]) == 0
    assert read_manifest(tmp_path / "base").facts["trim"]["texts"] > 50
    assert main(shlex.split(train.replace("--minutes 3", "--steps 2 --max-length 32"))[1:]) == 0
    assert main(shlex.split(judge)[1:]) == 0
    facts = read_manifest(tmp_path / "sentiment").facts
    assert facts["labels"] == ["好评", "差评"]
    assert {"accuracy", "macro F1"} <= {figure["name"] for figure in facts["metrics"]}
    exec(compile(from_python.replace("minutes=3", "steps=1, max_length=32"), "tutorial", "exec"), {})
    assert read_manifest(tmp_path / "sentiment-py").facts["task"] == "classify"
