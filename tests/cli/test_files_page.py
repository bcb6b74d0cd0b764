"""The page on files: each of its files goes in with one flag at most, and every command prints what the page shows, in both languages."""

from __future__ import annotations

import gzip
import os
import re
import shlex
from pathlib import Path

import pytest

from noria.cli.main import main
from tests.made_files import sheet
from tests.pages import blocks

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = {"en": "grow-files.md", "zh": "grow-files.zh-CN.md"}
AS_OF = 1_743_465_600  # 2025-04-01, the day of every file


def parts(language: str) -> list[str]:
    """Return the page's parts, one a file."""
    return re.split(r"\n### \d+\. ", (DOCS / PAGES[language]).read_text(encoding="utf-8"))[1:]


def put(folder: Path, part: str) -> Path:
    """Write a part's file as the part says it is saved, and return it."""
    named = re.search(r"\n`([^`]+)`([^\n]*)[:：]\n\n```text", part)
    assert named is not None
    path, text = folder / named[1], blocks(part, "text")[0]
    if path.suffix == ".xlsx":
        cells = [
            [cell if not re.fullmatch(r"[\d.]+", cell) else float(cell) for cell in line.split(",")]
            for line in text.splitlines()
        ]
        path.write_bytes(sheet([[cell or None for cell in row] for row in cells]))
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        encodings = {"GB18030": "gb18030", "Windows-1252": "cp1252"}
        path.write_bytes(text.encode(next((name for said, name in encodings.items() if said in named[2]), "utf-8")))
    os.utime(path, (AS_OF, AS_OF))
    return path


def test_both_languages_show_the_same_files_and_commands() -> None:
    english, chinese = parts("en"), parts("zh")
    assert len(english) == len(chinese) == 10
    for one, other in zip(english, chinese, strict=True):
        assert blocks(one, "text") == blocks(other, "text")
        commands = [re.findall(r"^\$ (.*)$", "".join(blocks(part, "console")), re.MULTILINE) for part in (one, other)]
        assert commands[0] == commands[1] != []
        assert all(command.count(" --") <= 1 for command in commands[0])


@pytest.mark.parametrize(
    ("number", "language"), [*((number, "en") for number in range(10)), *((number, "zh") for number in (2, 3, 5, 7, 9))]
)
def test_a_file_goes_in_with_one_flag_and_prints_what_is_shown(
    number: int, language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NORIA_LANG", language)
    part = parts(language)[number]
    put(tmp_path, part)
    for shown in re.split(r"^\$ ", blocks(part, "console")[0], flags=re.MULTILINE)[1:]:
        command, *lines = shown.splitlines()
        main(shlex.split(command)[1:])
        printed = [line.rstrip() for line in "".join(capsys.readouterr()).splitlines()]
        wanted = [line for line in lines if line != "…"]
        assert printed[: len(wanted)] == wanted
    for kept in blocks(part, "toml"):
        assert (tmp_path / "bare.csv.provenance.toml").read_text(encoding="utf-8") == kept


def test_the_python_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in (5, 9):
        put(tmp_path, parts("en")[number])
    page = (DOCS / PAGES["en"]).read_text(encoding="utf-8")
    code = blocks(page, "python")[0]
    assert code in (DOCS / PAGES["zh"]).read_text(encoding="utf-8")
    exec(compile(code, "files", "exec"), {})
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("4 3 ['read as GB18030', \"columns read: the user from '用户ID'")
    assert second == "6 orders our CRM (internal), as of 2025-04-01"
