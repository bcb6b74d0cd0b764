"""`noria new desk --app support`: a folder whose own README is followed to the letter, in both languages; nothing is overwritten."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from noria.apps.settings import DeskSettings
from noria.cli.main import main
from noria.cli.new import APPLICATIONS, STARTER
from tests.pages import commands

LANGUAGES = {"en": "How many months is the warranty?", "zh": "台灯保修几个月？"}


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("NORIA_LANG", request.param)
    return str(request.param)


@pytest.fixture
def folder(language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "desk", "--app", "support"]) == 0
    return tmp_path / "desk"


def test_both_languages_have_the_same_files() -> None:
    starter = APPLICATIONS / "support" / STARTER
    files = [sorted(str(path.relative_to(starter / one)) for path in (starter / one).rglob("*")) for one in LANGUAGES]
    assert files[0] == files[1]
    assert {"README.md", "desk.toml", "page.html"} < set(files[0])


def test_what_is_of_nobody_says_so(folder: Path) -> None:
    shown = [path for path in folder.rglob("*") if path.suffix in (".csv", ".md") and path.name != "README.md"]
    assert len(shown) == 4
    assert all(path.name.startswith("example-") for path in shown)


def test_nothing_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert main(["new", str(folder), "--app", "support"]) == 2
    assert main(["new", str(folder / "README.md"), "--app", "support"]) == 2
    assert main(["new", str(folder / "other"), "--app", "none"]) == 2
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert list(folder.parent.iterdir()) == [folder]
    (folder.parent / "empty").mkdir()
    assert main(["new", str(folder.parent / "empty"), "--app", "support"]) == 0
    assert (folder.parent / "empty" / "desk.toml").is_file()
    assert capsys.readouterr().out


def test_the_readme_is_followed_to_the_letter(
    folder: Path, language: str, embedder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = [words[1:] for words in commands(folder / "README.md")]
    assert told[0] == ["build", "base", "e5-small", "--out", "model"]
    shutil.copytree(embedder, folder / "model")
    monkeypatch.chdir(folder)
    index, judge, serve = told[1:4]
    assert [main(words) for words in (index, judge)] == [0, 0]
    figures = capsys.readouterr().out
    assert figures.count("n=7") >= 4  # seven of the example's questions have an answer, two have none
    assert figures.count("n=2") >= 3
    command = [sys.executable, "-m", "noria", *serve, "--port", "0", "--threads", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        words = ""
        while not re.search(r"noria_\w+\S+\s", words):  # the key, shown last and in either language
            line = process.stderr.readline()
            assert line, words
            words += line
        url = re.search(r"http://\S+", words)
        assert url
        with httpx.Client(base_url=f"{url[0]}/v1/apps/support", timeout=30) as web:
            web.headers["Authorization"] = f"Bearer {re.findall(r'noria_[0-9a-f]+_[^ ]+', words.strip())[-1]}"
            reply = web.post("/messages", json={"conversation": "c", "text": LANGUAGES[language]}).json()
            assert web.get("/widget.js").status_code == 200
        process.send_signal(signal.SIGTERM)
        process.stderr.read()
    assert reply["action"] == "answer"
    assert "24" in reply["text"]
    assert reply["sources"][0]["source"] == "example-handbook.md"
    assert (folder / "lake" / "apps" / "support" / "conversations.sqlite").is_file()


def test_a_flag_stands_above_the_file_and_paths_begin_at_it(folder: Path, tmp_path: Path) -> None:
    file = folder / "desk.toml"
    told = DeskSettings.given(file, kb=tmp_path / "other", wrong=None, server=DeskSettings().server.make(port=9000))
    assert (told.kb, told.wrong, told.model) == (tmp_path / "other", 0.02, folder / "model")
    assert (told.server.port, told.server.lake, told.sources) == (9000, folder / "lake", (folder / "knowledge",))
    assert told.people == DeskSettings.given(file).people


def test_what_neither_flag_nor_file_says_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["ship", "support", "index", str(tmp_path)]) == 2
    assert "--out" in capsys.readouterr().err
    assert main(["ship", "support", "--ask", "?"]) == 2
    assert "--settings" in capsys.readouterr().err
