"""`noria new watch --app monitor`: a folder whose own README is followed to the letter, in both languages."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest

from noria.apps.monitor.topics import OTHER, read_topics
from noria.cli.main import main
from noria.cli.new import APPLICATIONS, STARTER
from noria.text.records import Records
from noria.text.sources import Source
from tests.pages import commands

LANGUAGES = ("en", "zh")
HERE = ["--port", "0", "--threads", "1", "--json"]
EXAMPLE = "posts/example-posts.jsonl"


@pytest.fixture(params=LANGUAGES)
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NORIA_LANG", request.param)
    monkeypatch.chdir(tmp_path)
    assert main(["new", "watch", "--app", "monitor"]) == 0
    monkeypatch.chdir(tmp_path / "watch")
    return tmp_path / "watch"


def test_both_languages_have_the_same_files_and_what_is_of_nobody_says_so() -> None:
    starter = APPLICATIONS / "monitor" / STARTER
    files = [sorted(str(path.relative_to(starter / one)) for path in (starter / one).rglob("*")) for one in LANGUAGES]
    assert files[0] == files[1]
    texts = [name for name in files[0] if Path(name).suffix in (".csv", ".jsonl")]
    assert len(texts) == 2
    assert all(Path(name).name.startswith("example-") for name in texts)


def test_examples_teach_a_judge_and_are_about_the_topics(folder: Path) -> None:
    rows = [row for _, row in Records(Source(str(folder / "example-opinions.csv"))) if isinstance(row, Mapping)]
    assert Counter(row["label"] for row in rows) == {"negative": 24, "neutral": 24, "positive": 24}
    topics = read_topics(folder / "topics.json")
    posts = [json.loads(line) for line in (folder / EXAMPLE).read_text(encoding="utf-8").splitlines()]
    found = Counter(topics.of(post["text"]) for post in posts)
    assert set(found) == set(topics.names)
    assert found[OTHER] < len(posts) / 3
    # No post is among what the judge learns from.
    assert not {row["text"] for row in rows} & {post["text"] for post in posts}


def test_the_readme_is_followed_to_the_letter(
    folder: Path, plain_classifier: Path, embedder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, finetune, watch, echo = commands(folder / "README.md")
    assert base == ["noria", "build", "base", "e5-small", "--out", "base"]
    assert finetune[:6] == ["noria", "build", "finetune", "classify", "--base", "base"]
    assert finetune[finetune.index("--train") + 1] == "example-opinions.csv"
    shutil.copytree(embedder, folder / "base")
    shutil.copytree(plain_classifier, folder / finetune[finetune.index("--out") + 1])
    assert watch[0] == "noria"
    assert main([*watch[1:], "--once", *HERE]) == 0
    *told, round = capsys.readouterr().err.splitlines()
    assert json.loads(round)["new"] == json.loads(round)["counted"] == 60
    link = re.search(r"http://\S+/console/open\?token=\S+", "\n".join(told))
    assert link
    with pytest.raises(httpx.ConnectError):  # it ended with the command
        httpx.get(link[0])
    assert echo[0] == "echo"
    assert echo[2:] == [">>", EXAMPLE]
    with (folder / EXAMPLE).open("a", encoding="utf-8") as file:
        file.write(f"{echo[1]}\n")
    assert main([*watch[1:], "--once", *HERE]) == 0
    found = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (found["new"], found["counted"], found["undated"]) == (1, 1, 1)
    assert (folder / "runs" / "lake" / "apps" / "monitor" / "windows.jsonl").is_file()


def test_what_is_missing_is_told_with_the_way_to_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sources.toml").write_text("[[source]]\nname = 'a'\nkind = 'push'\n")
    assert main(["ship", "watch", str(tmp_path / "sources.toml")]) == 2
    assert "noria new watch --app monitor" in capsys.readouterr().err
