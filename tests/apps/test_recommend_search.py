"""Search by words and meaning over items that change, and whether a recommender feeds on itself."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from noria.apps.recommend.catalogue import Catalogue
from noria.apps.recommend.loops import gini, loops, width_of
from noria.apps.recommend.search import SEGMENTS, Search
from noria.apps.recommend.states import Reader
from noria.tasks.items import Item

WORDS = ("porcelain cup", "铸铁茶壶", "rye bread", "雨披", "garden shears", "黄铜车铃", "olive paste", "核桃面包")


def catalogue(count: int = 8) -> Catalogue:
    random = np.random.default_rng(0)
    items = [Item(f"i{number}", WORDS[number % 8] + f" {number}", "") for number in range(count)]
    return Catalogue(items, random.normal(size=(count, 16)))


def found(search: Search, catalogue: Catalogue, query: str, row: int | None = None) -> list[str]:
    vector = None if row is None else catalogue.raw[row]
    return [catalogue.items[at].id for at in search.find(catalogue, query, vector, 3)]


def test_words_and_meaning_are_joined(tmp_path: Path) -> None:
    search, items = Search(tmp_path / "words"), catalogue()
    assert found(search, items, "茶壶")[0] == "i1"
    assert found(search, items, "cups of porcelain")[0] == "i0"
    assert found(search, items, "no word of it", 5)[0] == "i5"  # by meaning alone
    assert found(search, items, "no word of it") == []
    assert found(search, items, "rye", 2)[0] == "i2"


def test_an_index_keeps_up_with_items_that_come_change_and_go(tmp_path: Path) -> None:
    search, items = Search(tmp_path / "words"), catalogue()
    random = np.random.default_rng(1)
    assert found(search, items, "rye") == ["i2"]
    for number in range(3 * SEGMENTS):
        new = [Item(f"n{number}", f"novelty{number} bread", ""), Item("i2", f"changed{number}", "")]
        items = items.put(new, random.normal(size=(2, 16)))
        assert found(search, items, f"novelty{number}") == [f"n{number}"]
        assert found(search, items, f"changed{number}") == ["i2"]
        assert found(search, items, "rye") == []
        if number:
            assert found(search, items, f"changed{number - 1}") == []
    items = items.without(["n3"])
    assert found(search, items, "novelty3") == []
    assert len(list((tmp_path / "words").iterdir())) <= SEGMENTS + 1


def test_no_items_and_items_without_words(tmp_path: Path) -> None:
    search = Search(tmp_path / "words")
    assert found(search, Catalogue([], np.zeros((0, 1))), "tea") == []
    odd = Catalogue([Item("😀", "😀", ""), Item("-", "—", "")], np.eye(2))
    assert found(search, odd, "tea") == []
    assert found(search, odd, "tea", 0)[0] == "😀"


@hypothesis.given(st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_gini_is_half_the_mean_difference_over_the_mean(counts: list[int]) -> None:
    values = np.array(counts, dtype=float)
    apart = np.abs(values[:, None] - values[None, :]).mean()
    assert gini(values) == pytest.approx(apart / (2 * values.mean()) if values.sum() else 0.0, abs=1e-12)


def test_coverage_and_spread_tell_a_bubble_from_a_shop() -> None:
    random = np.random.default_rng(3)
    centres = np.repeat(np.eye(4), 25, axis=0)
    items = Catalogue([Item(str(n), str(n), "") for n in range(100)], centres + 0.1 * random.normal(size=(100, 4)))
    wide, bubble = np.ones(100), np.where(np.arange(100) < 10, 10.0, 0.0)
    everywhere, narrow = loops(items, wide, wide), loops(items, bubble, bubble)
    assert (everywhere.coverage, everywhere.gini) == (1.0, 0.0)
    assert everywhere.spread == pytest.approx(1.0, abs=1e-3)
    assert narrow.coverage == 0.1
    assert narrow.gini == pytest.approx(0.9)
    assert narrow.spread < 0.2
    assert loops(items, np.zeros(100), np.zeros(100)).shown == 0
    reader = Reader()
    assert width_of(items, reader) is None
    for row in range(5):
        reader.show(row)
    same = width_of(items, reader)
    for row in (30, 55, 80):
        reader.show(row)
    other = width_of(items, reader)
    assert same is not None
    assert other is not None
    assert same < other
