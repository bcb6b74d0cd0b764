"""The page on promotion: what it shows runs as it stands, and both languages show the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from noria.grow.promote.planning import SECTIONS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("grow-promotion.md", "grow-promotion.zh-CN.md")


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("kind", ["python", "bash", "toml"])
def test_both_languages_show_the_same(kind: str) -> None:
    assert blocks(PAGES[0], kind) == blocks(PAGES[1], kind) != []


def test_the_plan_s_file_is_one_that_can_be_read() -> None:
    document = tomllib.loads(blocks(PAGES[0], "toml")[0])
    assert set(document) <= set(SECTIONS)
    for name, values in document.items():
        SECTIONS[name].make(**values)


def test_what_is_shown_runs_and_says_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said = []
    for code in blocks(PAGES[0], "python"):
        exec(compile(code, "promotion", "exec"), {})
        said.append(capsys.readouterr().out)
    size, experiment, uplift, budget, plan = said
    assert size.startswith("3841\n")
    assert size.endswith("0.0174\n")
    assert "Sample ratio as meant" in experiment
    assert "visits" in uplift
    assert "No heterogeneity found" in uplift
    lines = budget.splitlines()
    assert "['identified', 'identified', 'identified'] True" in lines
    assert "['flat', 'flat', 'flat'] False" in lines
    assert "['unidentified', 'unidentified', 'unidentified'] False" in lines
    assert "How it will be measured" in plan
    assert (tmp_path / "plan.html").stat().st_size > 500_000
