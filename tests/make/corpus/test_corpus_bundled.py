"""The bundled reviews and newspaper say what they are said to say."""

from __future__ import annotations

from collections import Counter

import pytest

from noria.make.corpus import bundled
from noria.make.corpus.documents import Document


@pytest.fixture(scope="module")
def newspaper() -> list[Document]:
    return bundled.newspaper()


def test_reviews() -> None:
    reviews = bundled.reviews()
    assert len(reviews) == 35_124
    assert Counter(review.meta["label"] for review in reviews) == {"positive": 16_548, "negative": 18_576}
    assert len({review.text for review in reviews}) < 17_500
    assert len({review.id for review in reviews}) == len(reviews)
    assert reviews[-1].text  # the last line of a file counts, with or without a newline after it


def test_newspaper_spans_hold_names(newspaper: list[Document]) -> None:
    spans = Counter(span["label"] for document in newspaper for span in document.meta["spans"])
    assert spans == {"LOC": 27_890, "PER": spans["PER"], "ORG": 3_573}
    assert 19_500 < spans["PER"] < 20_500
    second = newspaper[1]
    assert second.text == "中共中央总书记、国家主席江泽民"
    assert [second.text[span["start"] : span["end"]] for span in second.meta["spans"]] == ["中共中央", "江泽民"]
    for document in newspaper:
        assert all(0 <= span["start"] < span["end"] <= len(document.text) for span in document.meta["spans"])
    assert not any(digit in document.text for document in newspaper[:2000] for digit in "０１２３４５６７８９")


def test_long_paragraphs_are_cut_at_sentences_and_lose_nothing(newspaper: list[Document]) -> None:
    whole = bundled.newspaper(max_characters=10**9)
    assert len(whole) == 19_484
    assert sum(len(document.text) for document in newspaper) == sum(len(document.text) for document in whole)
    assert sum(len(document.meta["spans"]) for document in newspaper) == sum(
        len(document.meta["spans"]) for document in whole
    )
    assert sum(len(document.text) > 250 for document in newspaper) < 100  # a single sentence may be longer


def test_articles_hold_every_paragraph_and_stay_in_one_block(newspaper: list[Document]) -> None:
    articles = bundled.news()
    assert 2_800 < len(articles) < 3_400
    assert sum(len(article.text.split("\n")) for article in articles) == 19_484
    block = {article.meta["article"]: article.meta["group"] for article in articles}
    assert all(block[document.meta["article"]] == document.meta["group"] for document in newspaper)
    titles = [article.meta["title"] for article in articles[:9]]
    assert "北京举行新年音乐会" in titles
    assert "迈向充满希望的新世纪——一九九八年新年讲话" in titles


@pytest.mark.parametrize(
    ("parts", "names"),
    [
        ("江|泽民", "江泽民"),
        ("江|泽民|李|鹏|乔|石|朱|镕基", "江泽民 李鹏 乔石 朱镕基"),
        ("欧阳|海", "欧阳海"),
        ("诸葛|仓麟", "诸葛仓麟"),
        ("马克思|恩格斯", "马克思 恩格斯"),
        ("祝|有容|让·梅泰·亚彭德", "祝有容 让·梅泰·亚彭德"),
        ("陈|方|安生", "陈方安生"),
        ("江", "江"),
        ("", ""),
    ],
)
def test_adjacent_parts_form_names(parts: str, names: str) -> None:
    assert bundled.people([part for part in parts.split("|") if part]) == names.split()
