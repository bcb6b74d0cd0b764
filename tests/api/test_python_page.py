"""The page on Python runs as it stands, block after block, and its Chinese one holds the same code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


def blocks(page: str) -> list[str]:
    """Return the Python blocks of a page."""
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


def test_the_chinese_page_holds_the_same_code():
    assert blocks("python.md") == blocks("python.zh-CN.md") != []


def test_the_page_runs_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for number, block in enumerate(blocks("python.md")):
        exec(compile(block, f"block {number}", "exec"), names)
    assert "did you mean near?" in capsys.readouterr().out
    assert (tmp_path / "report.html").is_file()
