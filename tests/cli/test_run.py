"""`noria run`: stages of a file, done again only where something changed, gone on with, and checked before the first one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_models import make_encoder

from noria.api.sections import COLUMNS, arguments, classes, functions, key_of, schema
from noria.cli.main import main
from noria.core.folder import read_manifest

FILE = """
out = "results"

[sentiment]
do = "finetune"
task = "classify"
base = "base"
train = "rows.csv"
steps = 4
max_length = 32
number_type = "fp32"
adapter.kind = "lora"
adapter.rank = 2

[judged]
do = "evaluate"
model = "sentiment"
rows = "held-out.csv"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_encoder(tmp_path / "base", "embed", [], 2, compiled=False)
    lines = [f"第{number}间房 很好,好评\n第{number}次 太差,差评" for number in range(12)]
    for name in ("rows.csv", "held-out.csv"):
        (tmp_path / name).write_text("内容,标签\n" + "\n".join(lines) + "\n", encoding="utf-8")
    (tmp_path / "noria.toml").write_text(FILE, encoding="utf-8")
    return tmp_path


def run(project: Path, capsys: pytest.CaptureFixture, *words: str) -> list[str]:
    """Run the file; return the stages that were done and not only told."""
    capsys.readouterr()
    assert main(["run", str(project / "noria.toml"), *words]) == 0
    said = capsys.readouterr().err
    return [name for name in ("sentiment", "judged") if f"{name}: done before." not in said]


def test_only_what_changed_is_done_again(project: Path, capsys: pytest.CaptureFixture):
    file = project / "noria.toml"
    assert run(project, capsys) == ["sentiment", "judged"]
    manifest = read_manifest(project / "results" / "sentiment")
    assert manifest.settings["adapter"]["rank"] == 2
    record = json.loads((project / "results" / "judged.stage.json").read_text())
    assert record["figures"][0]["n"] == 24
    assert run(project, capsys) == []
    file.write_text("# a remark\n" + FILE, encoding="utf-8")
    assert run(project, capsys) == [], "the file's words count, not its looks"
    with (project / "held-out.csv").open("a", encoding="utf-8") as stream:
        stream.write("早餐很好,好评\n")
    assert run(project, capsys) == ["judged"]
    file.write_text(FILE.replace("rank = 2", "rank = 3"), encoding="utf-8")
    assert run(project, capsys) == ["sentiment", "judged"]
    assert run(project, capsys, "--redo", "judged") == ["judged"]
    (project / "results" / "sentiment" / "noria.json").unlink()
    (project / "results" / "sentiment").rename(project / "moved")
    assert run(project, capsys) == ["sentiment"], "what comes out the same does not make others old"


@pytest.mark.parametrize("do", functions())
def test_no_key_of_a_section_means_two_things(do: str):
    function = functions()[do]
    names = [key_of(one.name) for one, _ in arguments(function)]
    names += [name for kind in classes(function) for name in kind.model_fields]
    assert {name for name in names if names.count(name) > 1} == set()
    assert not set(names) & set(COLUMNS)
    assert schema(function).model_fields


@pytest.mark.parametrize("do", functions())
def test_every_flag_of_a_command_is_a_key_of_its_section(do: str):
    from noria.cli.main import app

    command = app["build"][do] if do in app["build"] else app["build"]["finetune"][do]
    told = {
        name.removeprefix("--").replace("-", "_").partition(".")[0]
        for one in command.assemble_argument_collection()
        for name in one.names
        if name.startswith("--") and not name.startswith(("--no-", "--empty-"))
    }
    aliases = {"workers", "parameters"} | (
        {"base"} if do == "pretrain" else set()
    )  # of parallel.workers, model.parameters, model.base
    assert told - {"out", "settings", "json", "quiet", "dry_run"} - aliases <= set(schema(functions()[do]).model_fields)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("steps = 4", "stesp = 4", "[sentiment] unknown key 'stesp'"),
        ("rank = 2", "rnak = 2", "did you mean rank?"),
        ("steps = 4", "steps = -4", "[sentiment] steps is not allowed: found -4"),
        ('do = "evaluate"', 'do = "evalute"', "did you mean evaluate?"),
        ('do = "evaluate"\n', "", "[judged] does not say what it does"),
        ('rows = "held-out.csv"', "", "[judged] rows is not allowed"),
        ('train = "rows.csv"', 'train = "row.csv"', "[sentiment] no such file or folder"),
        ('base = "base"', 'base = "judged"', "[sentiment] reads judged, which is made by a stage that is not above it"),
        ('out = "results"', "out = 3", "out is no folder"),
        ('out = "results"', "seed = 3", "unknown key 'seed' at the top of the file"),
        (FILE, "", "has no stage"),
    ],
)
def test_a_bad_file_is_told_before_anything_is_done(
    project: Path, capsys: pytest.CaptureFixture, old: str, new: str, says: str
):
    (project / "noria.toml").write_text(FILE.replace(old, new), encoding="utf-8")
    assert main(["run", str(project / "noria.toml")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert says in said
    assert not (project / "results").exists()


def test_a_stage_that_fails_keeps_what_is_above_it(project: Path, capsys: pytest.CaptureFixture):
    (project / "held-out.csv").write_text("内容,标签\n好,unheard of\n", encoding="utf-8")
    assert main(["run", str(project / "noria.toml")]) == 2
    assert "unknown label" in capsys.readouterr().err
    (project / "held-out.csv").write_text("内容,标签\n好,好评\n", encoding="utf-8")
    assert run(project, capsys) == ["judged"]


def test_an_unknown_stage_to_redo_names_the_nearest(project: Path, capsys: pytest.CaptureFixture):
    assert main(["run", str(project / "noria.toml"), "--redo", "judge"]) == 2
    assert "did you mean judged?" in capsys.readouterr().err
