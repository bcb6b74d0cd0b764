"""Lists of a long catalogue: the same as by reading everything plainly, made together or alone, and their JSON."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import asdict

import numpy as np
import pytest

from noria.apps.recommend.catalogue import Catalogue, top
from noria.apps.recommend.lists import Lists, json_of
from noria.apps.recommend.rules import Asked
from noria.apps.recommend.shelf import Pick, Shelf
from noria.apps.settings import RecommendSettings, RulesSettings
from noria.tasks.items import Item

KINDS = ("tea", "咖啡", "bread", "🚲", "")
COUNT = 3_000


@pytest.fixture
def catalogue(monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    """Items in five categories, one of no name, read by their axes first; every tenth cannot be had."""
    monkeypatch.setattr("noria.apps.recommend.catalogue.SHORT", 1_000)
    monkeypatch.setattr("noria.apps.recommend.lists.SHORT", 1_000)
    random = np.random.default_rng(3)
    vectors = random.normal(size=(COUNT, 24)) @ random.normal(size=(24, 96))
    items = [
        Item(
            f"shop/{number}?é=☕",
            f"{KINDS[number % 5]} {number}",
            'a "text"\n',
            tags=("new",) if number % 7 == 0 else (),
            categories=(KINDS[number % 5],) if KINDS[number % 5] else (),
            price=float(number % 90) if number % 3 else None,
            available=number % 10 != 9,
        )
        for number in range(COUNT)
    ]
    found = Catalogue(items, vectors)
    assert found.axes is not None
    return found


def shelf_of(catalogue: Catalogue, **settings: object) -> Shelf:
    """A shelf that eight users were shown things on, and clicked and bought some."""
    shelf, random = Shelf(RecommendSettings(**settings)), np.random.default_rng(1)
    shelf.use(catalogue)
    for user in range(1, 9):
        for number, row in enumerate(random.choice(COUNT, 60, replace=False).tolist()):
            act = (shelf.show, shelf.show, shelf.click, shelf.click, shelf.click, shelf.buy)[number % 6]
            act(user, catalogue.items[row].id)
    return shelf


def plainly(shelf: Shelf, user: int, count: int, rules: RulesSettings, page: tuple[str, ...]) -> list[str]:
    """The ids of the best list, every item looked at by itself: what a list is by definition."""
    catalogue, reader = shelf.catalogue, shelf.states.look(user)
    taste = shelf.taste(reader)
    assert taste is not None
    scores = (catalogue.vectors.astype(np.float64) @ taste.astype(np.float64)).tolist()
    touched = {*reader.seen, *(row for _, row, _ in reader.deeds)}
    new = []
    for row, item in enumerate(catalogue.items):
        kinds = set(item.categories)
        held = (rules.only and not kinds & set(rules.only)) or kinds & set(rules.without)
        price = item.price if item.price is not None else rules.least_price or 0.0
        dear = price < (rules.least_price or 0.0) or price > (rules.most_price or 1e9)
        known = row in touched if row not in reader.bought else not rules.bought_again
        if item.available and not held and not dear and not known and item.id not in page:
            new.append(row)
    spread = float(np.std([scores[row] for row in new]))
    lifted = {
        row: scores[row] + spread * sum(rules.boosts.get(one, 0.0) for one in catalogue.items[row].categories)
        for row in new
    }
    ordered, full = [], Counter[str]()
    for row in sorted(new, key=lambda row: -lifted[row]):
        kind = (catalogue.items[row].categories or ("",))[0]
        if not kind or full[kind] < (rules.most_of_category or COUNT):
            ordered.append(row)
            full[kind] += 1
    ordered = ordered[:200]
    weight, best = shelf.settings.diversity, ordered[:1]
    while len(best) < min(count, len(ordered)):
        likeness = (catalogue.vectors[ordered] @ catalogue.vectors[best].T).max(axis=1)
        worth = [
            lifted[row] * (1 - weight) - like * weight for row, like in zip(ordered, likeness.tolist(), strict=True)
        ]
        best.append(max((row for row in ordered if row not in best), key=lambda row: worth[ordered.index(row)]))
    return [catalogue.items[row].id for row in best]


@pytest.mark.parametrize(
    ("rules", "page"),
    [
        ({}, ()),
        ({}, ("shop/7?é=☕", "no such")),
        ({"only": ("tea", "🚲")}, ()),
        ({"without": ("咖啡",), "most_price": 60.0}, ()),
        ({"least_price": 30.0, "bought_again": True}, ()),
        ({"most_of_category": 2}, ()),
        ({"most_of_category": 1, "only": ("tea",)}, ()),
        ({"boosts": {"bread": 0.4, "tea": -1.0}}, ()),
    ],
)
@pytest.mark.parametrize("diversity", [0.0, 0.3])
def test_a_list_is_what_it_is_by_definition_however_little_is_read(
    catalogue: Catalogue, rules: dict[str, object], page: tuple[str, ...], diversity: float
) -> None:
    shelf, told = shelf_of(catalogue, chance=0.0, diversity=diversity), RulesSettings(**rules)
    for user in (2, 5, 8):
        picks = [pick.item.id for pick in shelf.choose(user, 12, Asked(told, page))]
        assert picks == plainly(shelf, user, 12, told, page)


def test_lists_that_are_asked_for_together_are_those_of_each_alone(catalogue: Catalogue) -> None:
    shelf = shelf_of(catalogue, chance=0.4)
    lists, users = Lists(shelf), [*range(1, 9), 70, 71] * 4

    async def asked() -> list[list[Pick]]:
        return await asyncio.gather(*(lists.made(user, 9) for user in users))

    found = asyncio.run(asked())
    for user, picks in zip(users, found, strict=True):
        alone = shelf.choose(user, 9)
        assert [(pick.item.id, pick.why, pick.propensity) for pick in picks] == [
            (pick.item.id, pick.why, pick.propensity) for pick in alone
        ]


def test_a_list_that_cannot_be_made_is_an_error_of_those_that_wait_and_of_no_others(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = shelf_of(catalogue)
    lists = Lists(shelf)

    async def asked() -> list[object]:
        with monkeypatch.context() as patch:
            patch.setattr(shelf, "popularity", lambda: 1 / 0)
            first = await asyncio.gather(lists.made(99, 5), lists.made(98, 5), return_exceptions=True)
        return [*first, await lists.made(99, 5)]

    *failed, after = asyncio.run(asked())
    assert [type(one) for one in failed] == [ZeroDivisionError] * 2
    assert len(after) == 5  # type: ignore[arg-type]


def test_picks_as_json_are_their_fields(catalogue: Catalogue) -> None:
    picks = shelf_of(catalogue, chance=0.5).choose(3, 20)
    assert json.loads(json_of(picks)) == json.loads(json.dumps([asdict(pick) for pick in picks]))
    reasons = [{"en": f"{place}", "zh": "因为"} for place in range(20)]
    explained = json.loads(json_of(picks, reasons))
    assert [one.pop("reason") for one in explained] == reasons
    assert explained == json.loads(json_of(picks))
    assert json_of([]) == b"[]"


@pytest.mark.parametrize("count", [1, 50, 400])
def test_the_largest_of_many_are_found_by_a_sample(count: int) -> None:
    random = np.random.default_rng(count)
    for values in (
        random.normal(size=60_000).astype(np.float32),
        np.where(np.arange(60_000) < 100, 1.0, -np.inf),
        np.arange(60_000)[::-1].astype(np.float32),
    ):
        there = int(np.isfinite(values).sum())
        assert np.sort(values[top(values, count)]).tolist() == np.sort(values)[60_000 - min(count, there) :].tolist()
