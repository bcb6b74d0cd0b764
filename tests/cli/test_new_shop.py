"""`noria new shop --app recommend`: a folder whose own README is followed to the letter, in both languages, and over a kill."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from noria.apps.settings import ShopSettings
from noria.cli.main import main
from noria.cli.new import APPLICATIONS, STARTER
from tests.pages import commands

TITLES = {"en": "chose", "zh": "选择"}


@pytest.fixture(params=TITLES)
def language(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("NORIA_LANG", request.param)
    return str(request.param)


@pytest.fixture
def folder(language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    assert main(["new", "shop", "--app", "recommend"]) == 0
    monkeypatch.chdir(tmp_path / "shop")
    return tmp_path / "shop"


@contextmanager
def served(words: list[str], key: str = "") -> Iterator[httpx.Client]:
    """Run a command that serves until the block ends, which kills it with -9; give a client of the recommender, with its key."""
    command = [sys.executable, "-m", "noria", *words, "--port", "0", "--threads", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        told, url, shown = "", None, None
        while not (url and (key or shown)):  # in either language
            line = process.stderr.readline()
            assert line, told
            told += line
            url, shown = re.search(r"http://\S+", told), re.search(r"noria_\w+\S+", told)
        with httpx.Client(base_url=f"{url[0]}/v1/apps/recommend", timeout=30) as web:
            web.headers["Authorization"] = f"Bearer {key or (shown and shown[0])}"
            yield web
        process.kill()
        process.stderr.read()


def test_the_readme_is_followed_to_the_letter_and_a_kill_changes_no_pick(
    folder: Path, language: str, embedder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = [words[1:] for words in commands(folder / "README.md") if words[0] == "noria"]
    assert told[0] == ["build", "base", "e5-small", "--out", "model"]
    shutil.copytree(embedder, folder / "model")
    bring, serve, judge, export = (
        next(one for one in told if one[2:3] == [name]) for name in ("import", "--settings", "judge", "export")
    )
    assert main(told[1]) == 0
    assert told[1][:3] == ["build", "finetune", "recommend"]
    capsys.readouterr()
    assert main(bring) == 0
    assert "40" in capsys.readouterr().out
    assert main(bring) == 0  # once more: nothing is there twice
    capsys.readouterr()
    asked = {"user": "u01", "count": 8, "explain": True}
    with served(serve) as web:
        key = web.headers["Authorization"].split()[-1]
        history = web.post("/history", json={"user": "u01"}).json()["deeds"]
        assert len(history) > 3
        first = web.post("/pick", json=asked).json()["picks"]
        assert any(TITLES[language] in pick["reason"][language] for pick in first)
        assert {pick["why"] for pick in first} <= {"taste", "chance", "again"}
        for pick in first[:2]:
            web.post("/click", json={"user": "u01", "item": pick["item"]["id"]})
        users = folder / "users.csv"
        users.write_text("user\nu01\nu02\n新用户\n", encoding="utf-8")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("KEY", key)
            words = [key if word == "$KEY" else word for word in export]
            assert main([*words, "--server", str(web.base_url).split("/v1")[0]]) == 0
        before = [web.post("/picks", json={"users": [f"u{n:02d}" for n in range(1, 41)], "count": 8}).json()]
    if language == "en":
        with served(serve, key) as web:
            after = [web.post("/picks", json={"users": [f"u{n:02d}" for n in range(1, 41)], "count": 8}).json()]
        assert before == after
    with (folder / "lists.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["user"] for row in rows} == {"u01", "u02", "新用户"}
    assert len(rows) == 60
    capsys.readouterr()
    assert main(judge) == 2  # of one user's list nothing can be told, and that is said
    assert capsys.readouterr().err


def test_both_languages_have_the_same_files_and_products() -> None:
    starter = APPLICATIONS / "recommend" / STARTER
    files = [sorted(path.name for path in (starter / one).iterdir()) for one in TITLES]
    assert files[0] == files[1]
    clicks = [(starter / one / "example-clicks.csv").read_text(encoding="utf-8").splitlines()[1:] for one in TITLES]
    assert [line.split(",")[:3] for line in clicks[0]] == [line.split(",")[:3] for line in clicks[1]]


def test_a_flag_stands_above_the_file_and_paths_begin_at_it(folder: Path) -> None:
    told = ShopSettings.given(folder / "shop.toml", ranker=Path("other"), shelf=ShopSettings().shelf.make(chance=0.4))
    assert (told.model, told.ranker) == (folder / "model", Path("other"))
    assert (told.shelf.chance, told.shelf.per_key, told.shelf.rules.most_of_category) == (0.4, False, 4)
    assert told.server.lake == folder / "lake"


def test_what_neither_flag_nor_file_says_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["import"], ["judge"], []):
        assert main(["ship", "recommend", *words]) == 2
        assert "--settings" in capsys.readouterr().err
