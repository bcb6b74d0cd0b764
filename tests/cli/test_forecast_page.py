"""The page on forecasts: what it shows runs as it stands, and both languages show the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("grow-forecast.md", "grow-forecast.zh-CN.md")


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("kind", ["python", "bash"])
def test_both_languages_show_the_same(kind: str) -> None:
    assert blocks(PAGES[0], kind) == blocks(PAGES[1], kind) != []


def test_what_is_shown_runs_and_says_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    said, names = [], {}
    for code in blocks(PAGES[0], "python"):
        exec(compile(code, "forecast", "exec"), names)
        said.append(capsys.readouterr().out)
    market, curves, estimators, many, users, rivals, studies = said
    assert "persistence" in market
    assert market.endswith("(2000, 6, 7) True\n")
    assert "not identified: the turn has not been seen yet" in curves
    assert "ceiling 67,763" in curves
    assert estimators.splitlines()[3] == "density 0.638"  # the published figure
    assert len(set(estimators.split()[1::2])) == 4
    assert many == "(1000, 4)\n"
    assert len(users.split("[")) == 2
    assert "old on new" in rivals
    assert "independent origins of" in studies
    assert "2021-02" in studies  # the second generation, first seen in the fourteenth month
