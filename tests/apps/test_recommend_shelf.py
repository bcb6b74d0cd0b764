from __future__ import annotations

import json
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from noria.apps.recommend.catalogue import Catalogue
from noria.apps.recommend.readers import Visits, browsing, figures_of, make_readers, opens, topics_of, visit
from noria.apps.recommend.shelf import Pick, Shelf
from noria.apps.recommend.states import DEEDS, key_of
from noria.apps.settings import RecommendSettings
from noria.core.errors import InputError, RowError
from noria.tasks.items import Item, read_items, title_of

GROUPS = 4
ANNA = key_of("", "anna")


def catalogue(count: int = 80, width: int = 16, seed: int = 0) -> tuple[Catalogue, dict[str, str]]:
    """Items in four groups: vectors of a group lie close together."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(GROUPS, width))
    vectors = np.array([centres[n % GROUPS] + 0.5 * random.normal(size=width) for n in range(count)]) + 3.0
    items = [Item(f"item-{n}", f"标题 {n}", "text") for n in range(count)]
    return Catalogue(items, vectors), {item.id: f"group-{n % GROUPS}" for n, item in enumerate(items)}


def shelf_of(items: Catalogue, settings: RecommendSettings | None = None) -> Shelf:
    shelf = Shelf(settings)
    shelf.use(items)
    return shelf


def pick(shelf: Shelf, count: int, user: str = "anna") -> list[Pick]:
    """A list that counts as shown."""
    picks = shelf.choose(key_of("", user), count)
    for one in picks:
        shelf.show(key_of("", user), one.item.id)
    return picks


def test_vectors_are_centred_and_of_length_one() -> None:
    vectors = catalogue()[0].vectors
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0)
    assert np.abs(vectors.mean(axis=0)).max() < 0.2  # though all of them leant the same way before


def test_nothing_is_shown_twice_before_all_is_shown_once() -> None:
    shelf = shelf_of(catalogue(23)[0])
    shown = [one.item.id for _ in range(5) for one in pick(shelf, 5)]
    assert len(set(shown[:23])) == 23
    assert len(shown) == 25
    assert shown[23:] == shown[:2]  # what was seen longest ago
    assert shelf.shown.sum() == 25


@hypothesis.given(
    st.integers(1, 12), st.integers(1, 7), st.lists(st.tuples(st.sampled_from("psc"), st.integers(0, 11)), max_size=30)
)
@hypothesis.settings(max_examples=50, deadline=None)
def test_a_shelf_is_full_while_anything_is_not_bought(count: int, at_once: int, acts: list[tuple[str, int]]) -> None:
    shelf = shelf_of(catalogue(count)[0])
    bought = set()
    for kind, number in acts:
        item = f"item-{number % count}"
        if kind == "p":
            picks = [one.item.id for one in pick(shelf, at_once)]
            assert len(picks) == len(set(picks)) == min(at_once, count - len(bought))
            assert not bought & set(picks)
        elif kind == "s":
            shelf.click(ANNA, item)
        else:
            shelf.buy(ANNA, item)
            bought.add(item)
    assert (shelf.clicks <= shelf.shown).all()


def test_a_click_turns_the_shelf_to_its_kind() -> None:
    items, groups = catalogue()
    shelf = shelf_of(items, RecommendSettings(chance=0.0))
    assert {one.why for one in pick(shelf, 3)} == {"popular"}
    shelf.click(ANNA, "item-2")
    picks = pick(shelf, 6)
    assert {pick.why for pick in picks} == {"taste"}
    assert [groups[pick.item.id] for pick in picks].count("group-2") >= 5


def test_recent_clicks_weigh_more() -> None:
    items, groups = catalogue()
    shelf = shelf_of(items, RecommendSettings(chance=0.0, memory=0.5, diversity=0.0))
    for item in ("item-0", "item-4", "item-8", "item-1", "item-5", "item-9"):
        shelf.click(ANNA, item)
    assert {groups[one.item.id] for one in pick(shelf, 4)} == {"group-1"}


@pytest.mark.parametrize("memory", [0.1, 0.5, 0.8, 1.0])
def test_a_taste_is_the_exponential_mean_of_the_clicks(memory: float) -> None:
    items, _ = catalogue()
    shelf = shelf_of(items, RecommendSettings(memory=memory))
    clicked = [3, 17, 40, 5, 22]
    for number in clicked:
        shelf.click(ANNA, f"item-{number}")
    weights = np.array([memory**age for age in (4, 3, 2, 1, 0)])
    mean = (weights / weights.sum()) @ items.vectors[clicked]
    assert shelf.taste(shelf.states.of(ANNA)) == pytest.approx(mean / np.linalg.norm(mean), abs=1e-6)


def test_what_never_forgets_takes_all_clicks_alike() -> None:
    tastes = []
    for order in ((1, 2, 3, 4), (4, 3, 2, 1)):
        shelf = shelf_of(catalogue()[0], RecommendSettings(memory=1))
        for number in order:
            shelf.click(ANNA, f"item-{number}")
        tastes.append(shelf.taste(shelf.states.of(ANNA)))
    assert tastes[0] == pytest.approx(tastes[1], abs=1e-6)


def test_clicks_without_showings_lift_an_item_and_no_others() -> None:
    shelf = shelf_of(catalogue(10)[0])
    for number in range(30):
        shelf.show(number, "item-1")
    before = shelf.popularity()
    for number in range(20):
        shelf.click(number, "item-1")
        shelf.click(100 + number, "item-2")  # found by a search
        shelf.click(100 + number, "item-2")  # a double click
    after = shelf.popularity()
    assert after.max() < 1
    assert (shelf.shown[2], shelf.clicks[2]) == (20, 20)
    assert after[1] > before[1]
    assert after[2] > after[1]


def test_a_click_is_answered_by_one_showing() -> None:
    shelf = shelf_of(catalogue(10)[0])
    shelf.show(ANNA, "item-1")
    for _ in range(3):
        shelf.click(ANNA, "item-1")
    assert (shelf.shown[1], shelf.clicks[1]) == (1, 1)
    shelf.show(ANNA, "item-1")
    shelf.click(ANNA, "item-1")
    assert (shelf.shown[1], shelf.clicks[1]) == (2, 2)
    assert [item for _, item, _ in shelf.states.of(ANNA).deeds] == [1]


def test_new_readers_see_what_is_popular() -> None:
    shelf = shelf_of(catalogue()[0], RecommendSettings(chance=0.0, diversity=0.0))
    for number in range(20):
        pick(shelf, 4, f"reader-{number}")
        shelf.click(key_of("", f"reader-{number}"), "item-7")
    assert pick(shelf, 1)[0].item.id == "item-7"


def test_chance_keeps_its_share() -> None:
    shelf = shelf_of(catalogue(400)[0], RecommendSettings(chance=0.25, seed=3))
    shelf.click(ANNA, "item-0")
    whys = [one.why for _ in range(60) for one in pick(shelf, 5)]
    assert 0.18 < whys.count("chance") / len(whys) < 0.32


def test_diversity_spreads_the_picks() -> None:
    def nearness(diversity: float) -> float:
        shelf = shelf_of(catalogue()[0], RecommendSettings(chance=0.0, diversity=diversity))
        shelf.click(ANNA, "item-0")
        rows = shelf.catalogue.vectors[[shelf.catalogue.places[one.item.id] for one in pick(shelf, 6)]]
        return float((rows @ rows.T)[np.triu_indices(6, 1)].mean())

    assert nearness(0.8) < nearness(0.0) - 0.2


def test_without_taste_everybody_sees_the_same_kind() -> None:
    shelf = shelf_of(catalogue()[0], RecommendSettings(taste=False, chance=0.0))
    shelf.click(ANNA, "item-2")
    assert {one.why for one in pick(shelf, 5)} == {"popular"}


def test_readers_are_bounded_and_clicks_too() -> None:
    shelf = shelf_of(catalogue()[0], RecommendSettings(readers=3))
    for number in range(10):
        pick(shelf, 1, f"reader-{number}")
    assert shelf.states.order() == [key_of("", f"reader-{number}") for number in (7, 8, 9)]
    long = shelf_of(catalogue(DEEDS + 20)[0])
    for number in range(DEEDS + 20):
        long.click(ANNA, f"item-{number}")
    assert [item for _, item, _ in long.states.of(ANNA).deeds] == list(range(20, DEEDS + 20))


def test_an_unknown_item_is_refused() -> None:
    with pytest.raises(InputError, match="unknown item"):
        shelf_of(catalogue()[0]).click(ANNA, "no such")


def test_items_that_come_while_it_serves_leave_readers_and_counts_as_they_are() -> None:
    whole, _ = catalogue(60)
    shelf = Shelf()
    shelf.put(whole.items[:40], whole.raw[:40])
    shown = {one.item.id for one in pick(shelf, 5)}
    shelf.click(ANNA, next(iter(shown)))
    shelf.put(whole.items[40:], whole.raw[40:])
    assert shelf.shown.sum() == 5
    assert shelf.clicks.sum() == 1
    assert shelf.taste(shelf.states.of(ANNA)) is not None
    assert not shown & {one.item.id for _ in range(11) for one in pick(shelf, 5)}
    assert shelf.catalogue.vectors == pytest.approx(whole.vectors, abs=1e-6)


def test_simulated_readers_are_the_same_for_every_policy_and_taste_wins_where_vectors_tell_topics() -> None:
    items, topics = catalogue(200)
    readers = make_readers(30, topics, seed=1)
    assert readers == make_readers(30, topics, seed=1)
    policies = {}
    for name, settings in (
        ("by taste", RecommendSettings()),
        ("popular", RecommendSettings(taste=False)),
        ("at random", RecommendSettings(chance=1.0, nearby=0.0)),
    ):
        shelf = shelf_of(items, settings)
        choose, click = browsing(shelf)
        policies[name] = [Visits([], []) for _ in readers]
        for _ in range(4):
            for reader, visits in zip(readers, policies[name], strict=True):
                visit(
                    reader,
                    visits,
                    choose,
                    click,
                    lambda item, reader=reader: opens(reader, item, topics, 1),
                )
    figures = {figure.name: figure for figure in figures_of(policies)}
    ahead = figures["click-through, by taste minus at random"]
    assert ahead.low is not None
    assert ahead.low > 0.05
    assert all("simulated" in figure.note for figure in figures.values())
    assert figures["click-through, popular"].n == 30 * 4 * 5


def test_news_topics_by_words() -> None:
    items = [
        Item("a", "", "女排在决赛中夺得冠军"),
        Item("b", "", "美国总统会见联合国秘书长"),
        Item("c", "", "今天星期二"),
    ]
    assert topics_of(items) == {"a": "sport", "b": "world", "c": "other"}


def test_items_are_read_and_bad_lines_named(tmp_path: Path) -> None:
    file = tmp_path / "items.jsonl"
    rows = [{"id": "1", "text": "第一行是标题\n正文"}, {"id": "2", "text": "Body", "meta": {"title": "Title"}}]
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    assert [(item.id, item.title) for item in read_items(file)] == [("1", "第一行是标题"), ("2", "Title")]
    assert len(read_items(file, 1)) == 1
    file.write_text('{"id": "1"}\n', encoding="utf-8")
    with pytest.raises(RowError, match="line 1"):
        read_items(file)
    with pytest.raises(InputError, match="not found"):
        read_items(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("name", "text", "encoding"),
    [
        ("shop.csv", "商品编号,名称,描述,价格\n7,保温杯,真空不锈钢,59\n8,雨伞,自动开合,39\n", "gb18030"),
        ("shop.tsv", "product_id\tname\tdescription\n7\t保温杯\t真空不锈钢\n8\t雨伞\t自动开合\n", "utf-8"),
        (
            "shop.json",
            '{"items": [{"id": 7, "title": "保温杯", "text": "真空不锈钢"}, {"id": 8, "title": "雨伞", "text": "自动开合"}]}',
            "utf-8",
        ),
    ],
)
def test_items_come_from_any_table(tmp_path: Path, name: str, text: str, encoding: str) -> None:
    (tmp_path / name).write_bytes(text.encode(encoding))
    prices = (59.0, 39.0) if name == "shop.csv" else (None, None)
    expected = [Item("7", "保温杯", "真空不锈钢", price=prices[0]), Item("8", "雨伞", "自动开合", price=prices[1])]
    assert read_items(tmp_path / name) == expected


def test_an_item_whose_id_comes_again_is_replaced_and_told(tmp_path: Path) -> None:
    file = tmp_path / "items.jsonl"
    rows = [{"id": 1, "text": "old", "title": "A"}, {"id": 2, "title": "B"}, {"id": "1", "text": "new", "title": "C"}]
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    said: list[str] = []
    assert read_items(file, note=said.append) == [Item("1", "C", "new"), Item("2", "B", "B")]
    assert said == [f"{file}: 1 of 3 items were replaced by a later one of the same id"]


def test_long_titles_are_cut() -> None:
    assert title_of("字" * 100) == "字" * 39 + "…"
