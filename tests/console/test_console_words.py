"""Words of the console: fixed words of results in the reader's language, and the language that a browser asks for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import noria.console as noria_console
from noria.console.words import Words, language_of

CHINESE = re.compile(r"[一-鿿]")


def test_every_figure_of_the_main_job_has_a_chinese_name() -> None:
    noria = Path(noria_console.__file__).parents[1]
    names: set[str] = set()
    for path in [
        *noria.glob("cli/**/*.py"),
        *noria.glob("make/**/*.py"),
        *noria.glob("serve/**/*.py"),
        *noria.glob("apps/**/*.py"),
        *noria.glob("grow/users/*.py"),
    ]:
        names.update(
            re.findall(r'\b(?:Figure|proportion|share|Measure)\(\s*"([^"]+)"', path.read_text(encoding="utf-8"))
        )
    assert len(names) > 20
    chinese = Words("zh")
    assert [name for name in sorted(names) if not CHINESE.search(chinese.phrase(name))] == []


def test_a_phrase_nobody_knows_stays_as_it_is() -> None:
    assert Words("zh").phrase("some new measure") == "some new measure"
    assert Words("en").phrase("some_new_measure") == "some new measure"


@pytest.mark.parametrize(
    ("header", "language"),
    [("zh-CN,zh;q=0.9", "zh"), ("zh", "zh"), ("en-US,zh;q=0.9", "en"), ("", "en"), ("fr,de", "en"), ("ZH-TW", "zh")],
)
def test_the_browser_s_language_is_met(header: str, language: str) -> None:
    assert language_of(header) == language
