"""Words: both languages have every one, with the same places for values, and the code uses those and no others."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

import noria.console as noria_console
from noria.console.phrases import PATTERNS, PHRASES
from noria.console.words import WORDS, Words, language_of

CODE = "\n".join(path.read_text(encoding="utf-8") for path in sorted(Path(noria_console.__file__).parent.rglob("*.py")))
CHINESE = re.compile(r"[一-鿿]")
# Names that Chinese readers know by these letters too.
SAME = {"SHA-256", "CRPS", "MASE"}


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("key", sorted(WORDS))
def test_every_word_stands_in_both_languages(key: str) -> None:
    both = WORDS[key]
    assert both.en.strip()
    assert not CHINESE.search(both.en)
    assert CHINESE.search(both.zh) or both.zh in SAME or not re.search("[A-Za-z]", re.sub(r"\{\w+\}", "", both.zh))
    assert places(both.en) == places(both.zh)


def test_every_word_is_used() -> None:
    families = {
        re.sub(r"\{[^}]*\}", "*", found) for found in re.findall(r'f["\']([\w{}.\[\]"\']*\{[^"\']+\}[\w.]*)["\']', CODE)
    }
    for key in WORDS:
        plain = f'"{key}"' in CODE or f"'{key}'" in CODE or f'"{key.partition(".")[2]}"' in CODE
        assert plain or any(re.fullmatch(family.replace(".", r"\.").replace("*", ".+"), key) for family in families), (
            key
        )


def test_every_key_in_the_code_is_known() -> None:
    used = set(re.findall(r'words\(\s*["\']([a-z_]+\.[a-z_.]+)["\']', CODE))
    assert len(used) > 40
    assert used <= set(WORDS)


def test_phrases_are_translated() -> None:
    chinese, english = Words("zh"), Words("en")
    for text, (in_english, in_chinese) in PHRASES.items():
        assert in_english
        assert in_chinese
        assert not CHINESE.search(in_english)
        assert english.phrase(text) == in_english
        assert chinese.phrase(text) == in_chinese
    for pattern, _ in PATTERNS:
        re.compile(pattern)


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
