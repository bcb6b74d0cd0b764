"""Lists whose probabilities are written down: exact at every place, whatever the pools, and what rules say of a list."""

from __future__ import annotations

from collections import Counter

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from noria.apps.recommend.catalogue import Catalogue
from noria.apps.recommend.plan import NEAR, Plan, Pools
from noria.apps.recommend.rules import Asked
from noria.apps.recommend.shelf import Shelf
from noria.apps.recommend.states import key_of
from noria.apps.settings import RecommendSettings, RulesSettings
from noria.tasks.items import Item

ANNA = key_of("", "anna")
KINDS = ("tea", "咖啡", "bread", "🚲")


def shop(count: int = 60, settings: RecommendSettings | None = None, width: int = 12) -> Shelf:
    """Items in four categories, vectors of one lie close together; every tenth cannot be had."""
    random = np.random.default_rng(5)
    centres = random.normal(size=(len(KINDS), width))
    items, vectors = [], []
    for number in range(count):
        kind = number % len(KINDS)
        told = {"categories": (KINDS[kind],), "price": float(number), "available": number % 10 != 9}
        items.append(Item(f"shop/{number}?é=☕", f"{KINDS[kind]} {number}", "text", **told))
        vectors.append(centres[kind] + 0.4 * random.normal(size=width))
    shelf = Shelf(settings)
    shelf.put(items, np.array(vectors))
    return shelf


@hypothesis.given(
    st.integers(1, 8), st.integers(0, 60), st.integers(0, 40), st.floats(0, 1), st.floats(0, 1), st.integers(0, 9)
)
@hypothesis.settings(max_examples=60, deadline=None)
def test_the_probabilities_of_a_place_sum_to_one_and_no_item_can_come_twice(
    places: int, near: int, others: int, chance: float, share: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    rows = random.permutation(places + near + others)
    mask = np.zeros(len(rows), dtype=bool)
    mask[rows[places + near :]] = True
    salts = random.integers(0, 2**32, len(rows), dtype=np.uint32)
    best, nearby = tuple(rows[:places].tolist()), tuple(rows[places : places + near].tolist())
    fixed = frozenset([0]) if seed % 2 else frozenset[int]()
    pools = Pools.made(salts, np.argsort(salts, kind="stable"), places - len(fixed))
    plan = Plan(best, fixed, nearby, mask, pools, pools.sizes(mask), chance, share)
    values = random.normal(size=len(rows))
    expected = plan.expected(values)
    for place in range(places):
        told = np.array([plan.probability(place, row) for row in range(len(rows))])
        assert told.sum() == pytest.approx(1.0)
        assert told.min() >= 0
        assert told @ values == pytest.approx(expected[place])
    for _ in range(5):
        drawn = plan.draw(random)
        assert len({row for row, _, _ in drawn}) == places
        for place, (row, propensity, by_chance) in enumerate(drawn):
            assert propensity == pytest.approx(plan.probability(place, row))
            assert propensity > 0
            assert by_chance == (row not in best)


def test_what_is_drawn_comes_as_often_as_its_probability_says() -> None:
    plan = shop(60, RecommendSettings(chance=0.5)).plan(ANNA, 4)
    random, times = np.random.default_rng(1), 4_000
    found = [Counter[int]() for _ in range(4)]
    for _ in range(times):
        for place, (row, _, _) in enumerate(plan.draw(random)):
            found[place][row] += 1
    for place, counts in enumerate(found):
        for row, count in counts.items():
            p = plan.probability(place, row)
            assert abs(count - times * p) < 5 * (times * p * (1 - p)) ** 0.5 + 1


def test_the_same_user_of_the_same_state_gets_the_same_list_whatever_the_order_of_rows() -> None:
    one, other = shop(), Shelf()
    order = np.random.default_rng(0).permutation(60)
    other.put([one.catalogue.items[row] for row in order], one.catalogue.raw[order])
    for shelf in (one, other):
        shelf.click(ANNA, "shop/5?é=☕", 100)
        shelf.show(ANNA, "shop/6?é=☕")
    lists = [[(pick.item.id, pick.propensity) for pick in shelf.choose(ANNA, 12)] for shelf in (one, one, other)]
    assert lists[0] == lists[1] == lists[2]
    one.show(ANNA, lists[0][0][0])
    assert [(pick.item.id, pick.propensity) for pick in one.choose(ANNA, 12)] != lists[0]


def test_every_item_may_come_to_every_place() -> None:
    shelf = shop(400)
    plan = shelf.plan(ANNA, 5)
    assert all(len(plan.near(pool)) == NEAR for pool in range(5))
    least = [min(plan.probability(place, row) for row in np.flatnonzero(shelf.catalogue.offered)) for place in range(5)]
    assert min(least) > 0


@pytest.mark.parametrize(
    ("rules", "kept"),
    [
        (RulesSettings(only=("tea", "咖啡")), lambda item: item.categories[0] in ("tea", "咖啡")),
        (RulesSettings(without=("🚲",)), lambda item: item.categories[0] != "🚲"),
        (RulesSettings(least_price=10, most_price=30), lambda item: 10 <= item.price <= 30),
    ],
)
def test_rules_hold_for_every_place_also_those_left_to_chance(rules: RulesSettings, kept: object) -> None:
    shelf = shop(settings=RecommendSettings(chance=0.6, rules=rules))
    for user in range(20):
        picks = shelf.choose(user, 10)
        assert len(picks) == 10
        assert all(kept(pick.item) and pick.item.available for pick in picks)  # type: ignore[operator]


def test_what_stands_on_the_page_already_is_not_offered() -> None:
    shelf = shop()
    first = [pick.item.id for pick in shelf.choose(ANNA, 5)]
    second = shelf.choose(ANNA, 5, Asked(RulesSettings(), tuple(first)))
    assert not set(first) & {pick.item.id for pick in second}


@pytest.mark.parametrize("most", [1, 2, 5])
def test_no_category_fills_a_list(most: int) -> None:
    shelf = shop(200, RecommendSettings(chance=0, rules=RulesSettings(most_of_category=most)))
    shelf.click(ANNA, "shop/0?é=☕")
    picks = shelf.choose(ANNA, 12)
    assert max(Counter(pick.item.categories[0] for pick in picks).values()) <= most
    assert len(picks) == min(12, most * len(KINDS))


def test_a_boost_moves_a_category_up_and_a_negative_one_down() -> None:
    def share(boost: float) -> float:
        shelf = shop(200, RecommendSettings(chance=0, rules=RulesSettings(boosts={"咖啡": boost})))
        shelf.click(ANNA, "shop/0?é=☕")
        return float(np.mean(["咖啡" in pick.item.categories for pick in shelf.choose(ANNA, 10)]))

    assert share(10) > 0.9
    assert share(-10) == 0


def test_a_sponsored_item_stands_at_its_place_labelled_and_the_best_of_several() -> None:
    paid = ("shop/1?é=☕", "shop/4?é=☕", "shop/9?é=☕", "no such")
    shelf = shop(80, RecommendSettings(rules=RulesSettings(sponsored=paid, sponsored_place=2)))
    shelf.click(ANNA, "shop/0?é=☕")
    picks = shelf.choose(ANNA, 5)
    assert [pick.why == "sponsored" for pick in picks] == [False, True, False, False, False]
    assert (picks[1].item.id, picks[1].propensity) == ("shop/4?é=☕", 1.0)  # tea, as what was clicked
    assert shelf.choose(ANNA, 1)[0].why != "sponsored"
    shelf.buy(ANNA, "shop/4?é=☕")
    assert shelf.choose(ANNA, 5)[1].item.id == "shop/1?é=☕"  # the other one that can be had


def test_what_was_bought_comes_again_only_where_the_rules_say_so() -> None:
    for again in (False, True):
        shelf = shop(12, RecommendSettings(rules=RulesSettings(bought_again=again)))
        shelf.buy(ANNA, "shop/3?é=☕")
        offered = {pick.item.id for pick in shelf.choose(ANNA, 12)}
        assert ("shop/3?é=☕" in offered) == again


def test_two_items_one_user_and_a_user_who_clicked_everything() -> None:
    shelf = Shelf()
    shelf.put([Item("a/b", "甲", "同样的字"), Item("😀", "乙", "同样的字")], np.ones((2, 4)))
    assert {pick.item.id for pick in shelf.choose(ANNA, 5)} == {"a/b", "😀"}
    for id in ("a/b", "😀"):
        shelf.click(ANNA, id, 5)
    picks = shelf.choose(ANNA, 5)
    assert [pick.why for pick in picks] == ["again", "again"]
    assert [pick.propensity for pick in picks] == [1.0, 1.0]
    for id in ("a/b", "😀"):
        shelf.buy(ANNA, id, 6)
    assert shelf.choose(ANNA, 5) == []
    assert Shelf().choose(ANNA, 5) == []


def test_a_long_catalogue_is_looked_through_by_its_axes_and_still_finds_what_is_nearest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(2)
    vectors = random.normal(size=(3_000, 20)) @ random.normal(size=(20, 96))
    items = [Item(str(number), str(number), "") for number in range(3_000)]
    exact = Catalogue(items, vectors)
    monkeypatch.setattr("noria.apps.recommend.catalogue.SHORT", 1_000)
    rough = Catalogue(items, vectors)
    assert exact.axes is None
    assert rough.axes is not None
    query = exact.vectors[17]
    assert rough.nearest(query, 20)[0].tolist() == exact.nearest(query, 20)[0].tolist()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_reason_names_what_was_read_or_bought(language: str) -> None:
    shelf = shop(settings=RecommendSettings(chance=0))
    assert shelf.reason(ANNA, shelf.choose(ANNA, 1)[0])[language] in ("many people open it", "很多人都在看")
    shelf.click(ANNA, "shop/1?é=☕", 3)
    pick = shelf.choose(ANNA, 1)[0]
    assert "咖啡 1" in shelf.reason(ANNA, pick)[language]
    shelf.buy(ANNA, "shop/1?é=☕", 4)
    assert ("bought" if language == "en" else "买过") in shelf.reason(ANNA, pick)[language]


def test_a_share_of_the_users_has_the_ranker_beside_and_keeps_it() -> None:
    shelf = shop(settings=RecommendSettings(trial=0.3))
    arms = [shelf.arm(key_of("", f"user {number}")) for number in range(2_000)]
    assert 0.25 < np.mean(arms) < 0.35
    assert arms[:50] == [shop(settings=RecommendSettings(trial=0.3)).arm(key_of("", f"user {n}")) for n in range(50)]
    assert {shop().arm(key) for key in range(50)} == {0}
    wanted = [shelf.wanted(key, 3) for key in range(12)]
    assert shelf.choose_all(wanted) == [shelf.choose(key, 3) for key in range(12)]
