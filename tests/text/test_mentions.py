"""Which brands a text names: Latin and Chinese names, names inside names, words of other meaning."""

from __future__ import annotations

from pathlib import Path

import pytest

from noria.core.errors import InputError, RowError
from noria.grow.answers.tables import read_brands, read_questions
from noria.text.mentions import Brand, Finder, readable

BRANDS = [
    Brand("智谱", ("智谱", "智谱AI", "GLM", "ChatGLM", "Zhipu")),
    Brand("Apple", ("Apple", "苹果"), ambiguous=("苹果",), excluded=("苹果汁", "Apple pie")),
    Brand("Apple Music", ("Apple Music",)),
    Brand("Copilot", ("Copilot", "Microsoft Copilot")),
    Brand("GitHub", ("GitHub", "GitHub Copilot")),
    Brand("GPT-4", ("GPT-4", "GPT 4")),
    Brand("ChatGPT", ("ChatGPT", "GPT")),
    Brand("01.AI", ("01.AI", "零一万物", "Yi")),
]


@pytest.mark.parametrize(
    ("text", "brands"),
    [
        ("我推荐智谱AI和ChatGLM3。", ["智谱", "智谱"]),
        ("glm-4.5与GLM4都可以", ["智谱", "智谱"]),
        ("使用ＧＬＭ", ["智谱"]),
        ("Snapple, pineapples and applet", []),
        ("Apple's new chip", ["Apple"]),
        ("an apple a day", []),
        ("APPLE", ["Apple"]),
        ("Apple Music is not Apple", ["Apple Music", "Apple"]),
        ("Apple\nMusic", ["Apple Music"]),
        ("Apple pie", []),
        ("喝苹果汁，用苹果手机", ["Apple"]),
        ("GitHub Copilot, then Copilot", ["GitHub", "Copilot"]),
        ("GPT-4 vs GPT-4o vs GPT-4.5", ["GPT-4", "ChatGPT", "ChatGPT"]),
        ("I like GPT 4.", ["GPT-4"]),
        ("chatgpt是什么", ["ChatGPT"]),
        ("yield and Yi", ["01.AI"]),
        ("101.AI or 01.AI?", ["01.AI"]),
        ("<think>maybe ChatGLM</think>DeepSeek", []),
        ("", []),
    ],
)
def test_what_a_text_names(text: str, brands: list[str]) -> None:
    assert [one.brand for one in Finder(BRANDS).find(text).mentions] == brands


def test_places_are_those_of_the_readable_text_and_small_letters_are_reported() -> None:
    found = Finder(BRANDS).find("<think>x</think>  苹果（Apple）或 apple")
    assert [found.text[one.start : one.end] for one in found.mentions] == ["苹果", "Apple"]
    assert [one.ambiguous for one in found.mentions] == [True, False]
    assert found.small == ("Apple",)
    assert readable(found.text) == found.text
    both = Finder([Brand("Apple", ("Apple", "apple"))]).find("an apple")
    assert [one.brand for one in both.mentions] == ["Apple"]
    assert both.small == ()


def test_no_brand_is_found_where_there_are_none() -> None:
    assert Finder([]).find("智谱").mentions == ()


def test_brands_of_a_table_in_chinese_with_several_rows_of_one(tmp_path: Path) -> None:
    table = tmp_path / "品牌.csv"
    table.write_bytes(
        "品牌,别名,歧义,除外\n智谱,GLM/ChatGLM,,\n小米,MiMo、Xiaomi,小米,小米粥；小米饭\n智谱,Zhipu,,\n".encode(
            "gb18030"
        )
    )
    zhipu, xiaomi = read_brands(table)
    assert zhipu.aliases == ("智谱", "GLM", "ChatGLM", "Zhipu")
    assert xiaomi == Brand("小米", ("小米", "MiMo", "Xiaomi"), ("小米",), ("小米粥", "小米饭"))
    table.write_text("brand,aliases\nA,GLM\nB,ｇｌｍ\n", encoding="utf-8")
    with pytest.raises(RowError, match="A and B have a name in common"):
        read_brands(table)
    table.write_text("colour,aliases\nA,GLM\n", encoding="utf-8")
    with pytest.raises(InputError, match="column of brands: found 'colour, aliases'"):
        read_brands(table)


def test_questions_of_a_table_and_of_a_text(tmp_path: Path) -> None:
    table = tmp_path / "q.csv"
    table.write_text("编号,问题\n1,哪个好？\n2,Which is best?\n3,哪个好？\n4,\n", encoding="utf-8")
    questions, notes = read_questions(table)
    assert [(one.id, one.text, one.language) for one in questions] == [
        ("1", "哪个好？", "zh"),
        ("2", "Which is best?", "en"),
    ]
    assert [note["zh"] for note in notes] == ["1 个问题重复，只问一次"]
    text = tmp_path / "q.txt"
    text.write_text("哪个好？\n\nWhich is best?\n", encoding="utf-8")
    plain, _ = read_questions(text)
    assert [one.text for one in plain] == [one.text for one in questions]
    assert len({one.id for one in plain}) == 2
    table.write_text("id,question\n1,a?\n1,b?\n", encoding="utf-8")
    with pytest.raises(RowError, match="two questions have one id"):
        read_questions(table)
    table.write_text("id,question\n1,\n", encoding="utf-8")
    with pytest.raises(InputError, match="holds no question"):
        read_questions(table)
