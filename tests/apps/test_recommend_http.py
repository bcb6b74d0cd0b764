"""The recommender over HTTP: rules of a request, reasons, search, what is like, items that come and go, events with probabilities."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from noria.apps.recommend.routes import Recommend, on_offer
from noria.apps.settings import RecommendSettings, RulesSettings
from noria.lake.event import OUTBOX_TABLE, outbox_file
from noria.tasks.items import Item

if TYPE_CHECKING:
    from noria.server.http.run import Running

ITEMS = [
    Item("a/b?c=1", "Green tea", "fresh spring leaves", ("drink",), ("tea",), 12.0),
    Item("茶/🍵", "绿茶", "春天的新茶", ("drink",), ("tea",), 98.0),
    Item("c", "Rye bread", "dark and sour", (), ("bread",), 5.0),
    Item("d", "Cycling cape", "keeps the rain out", (), ("cycling",), 48.0),
    Item("e", "Bell of brass", "loud and long", (), ("cycling",), 12.0, available=False),
    Item("f", "Walnut bread", "with spelt", (), ("bread",)),
]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop") / "lake"


@pytest.fixture(scope="module")
def server(embedder: Path, lake: Path) -> Iterator[Running]:
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    rules = RulesSettings(without=("nothing has it",))
    app = Recommend(ITEMS, settings=RecommendSettings(chance=0.3, per_key=False, rules=rules))
    with serving(ServerSettings(port=0, lake=lake, threads=1), [embedder], [app]) as running:
        yield running


@pytest.fixture
def web(server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{server.url}/v1/apps/recommend", headers=server.headers, timeout=30) as made:
        yield made


def events(lake: Path, kind: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(outbox_file(lake))) as connection:
        connection.row_factory = sqlite3.Row
        found = connection.execute(f"SELECT * FROM {OUTBOX_TABLE} WHERE kind = ? ORDER BY seq", (kind,))
        return [dict(row) for row in found]


def picked(web: httpx.Client, **body: object) -> list[dict[str, Any]]:
    answer = web.post("/pick", json=body)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["picks"])


def test_every_item_shown_is_an_event_with_its_place_and_probability(web: httpx.Client, lake: Path) -> None:
    before = len(events(lake, "impression"))
    picks = picked(web, user="ann", count=3)
    shown = events(lake, "impression")[before:]
    assert [one["subject"] for one in shown] == [pick["item"]["id"] for pick in picks]
    assert [one["value"] for one in shown] == [1, 2, 3]
    assert [one["propensity"] for one in shown] == [pick["propensity"] for pick in picks]
    assert all(0 < one["propensity"] <= 1 for one in shown)
    assert len({one["user"] for one in shown}) == 1
    request = events(lake, "request")[-1]
    assert (request["app"], request["user"]) == ("recommend", shown[0]["user"])


def test_a_request_has_rules_of_its_own(web: httpx.Client) -> None:
    assert {pick["item"]["id"] for pick in picked(web, user="r1", count=6, only=["bread"])} == {"c", "f"}
    cheap = {pick["item"]["id"] for pick in picked(web, user="r2", count=6, most_price=12, without=["bread"])}
    assert cheap == {"a/b?c=1"}
    rest = picked(web, user="r3", count=6, not_items=["a/b?c=1", "no such", 5])
    assert {pick["item"]["id"] for pick in rest} == {"茶/🍵", "c", "d", "f"}
    assert web.post("/pick", json={"user": "r4", "boosts": {"tea": 99}}).status_code == 422


def test_reasons_are_told_in_every_language(web: httpx.Client) -> None:
    for item in ("a/b?c=1", "茶/🍵"):
        assert web.post("/click", json={"user": "why", "item": item}).status_code == 200
    picks = picked(web, user="why", count=4, explain=True)
    assert all(pick["reason"]["en"] and pick["reason"]["zh"] for pick in picks)
    assert "reason" not in picked(web, user="why")[0]


def test_lists_for_many_users_count_as_shown_to_nobody(web: httpx.Client, lake: Path) -> None:
    before = len(events(lake, "impression"))
    lists = web.post("/picks", json={"users": ["mail 1", 7], "count": 2}).json()["users"]
    assert [(one["user"], len(one["picks"])) for one in lists] == [("mail 1", 2), ("7", 2)]
    assert len(events(lake, "impression")) == before
    first = [pick["item"]["id"] for pick in lists[0]["picks"]]
    assert [pick["item"]["id"] for pick in picked(web, user="mail 1", count=2)] == first


def test_what_is_like_an_item_and_what_words_find(web: httpx.Client) -> None:
    like = web.post("/similar", json={"item": "茶/🍵", "count": 10}).json()["items"]
    assert {one["item"]["id"] for one in like} == {"a/b?c=1", "c", "d", "f"}
    scores = [one["score"] for one in like]
    assert scores == sorted(scores, reverse=True)
    for query, id in (("walnut", "f"), ("新茶", "茶/🍵"), ("sour", "c")):
        assert web.post("/search", json={"query": query}).json()["items"][0]["item"]["id"] == id
    assert "e" not in {
        one["item"]["id"] for one in web.post("/search", json={"query": "bell of brass"}).json()["items"]
    }


def test_items_come_and_go_while_it_serves_and_over_a_restart(web: httpx.Client, lake: Path) -> None:
    added = {"id": "g/ß", "title": "Herb pots", "categories": ["garden"], "price": 21, "time": "2026-03-01T00:00:00Z"}
    assert web.post("/items", json={"items": [added]}).status_code == 200
    assert web.post("/search", json={"query": "herb"}).json()["items"][0]["item"]["id"] == "g/ß"
    assert {pick["item"]["id"] for pick in picked(web, user="g", only=["garden"])} == {"g/ß"}
    web.post("/click", json={"user": "g", "item": "g/ß"})
    told = web.post("/items/remove", json={"ids": ["g/ß", "d", "no such"]}).json()
    assert told == {"removed": 2, "items": 5}
    offered = {pick["item"]["id"] for pick in picked(web, user="h", count=9)}
    assert offered == {"a/b?c=1", "茶/🍵", "c", "f"}
    assert web.post("/click", json={"user": "g", "item": "d"}).status_code == 400
    assert {one["id"] for one in web.get("/items").json()} == {"a/b?c=1", "茶/🍵", "c", "e", "f"}
    assert set(on_offer(lake, {item.id: item for item in ITEMS})) == {"a/b?c=1", "茶/🍵", "c", "e", "f"}
    assert web.post("/items", json={"items": [{"id": "d", "title": "Cycling cape"}]}).status_code == 200
    assert "d" in on_offer(lake, {item.id: item for item in ITEMS})
    assert "d" in {pick["item"]["id"] for pick in picked(web, user="i", count=9)}


def test_what_is_known_of_a_user_and_how_wide_the_lists_are(web: httpx.Client) -> None:
    picked(web, user="known", count=3)
    web.post("/click", json={"user": "known", "item": "c"})
    web.post("/buy", json={"user": "known", "item": "茶/🍵"})
    told = web.post("/history", json={"user": "known"}).json()
    assert [(deed["item"], deed["kind"], deed["title"]) for deed in told["deeds"]] == [
        ("茶/🍵", "buy", "绿茶"),
        ("c", "click", "Rye bread"),
    ]
    assert told["shown"] >= 3
    assert web.post("/history", json={"user": "stranger"}).json() == {"deeds": [], "shown": 0, "width": None}
    loops = web.get("/loops").json()
    assert 0 < loops["coverage"] <= 1
    assert 0 <= loops["gini"] < 1
    assert loops["shown"] > 0


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/similar", {"item": "no such"}, "unknown item"),
        ("/similar", {"item": "e\ud800"}, ""),
        ("/items/remove", {"ids": []}, "ids"),
        ("/search", {"query": ""}, "query"),
        ("/picks", {"users": ["a"], "count": 51}, "count"),
    ],
)
def test_what_cannot_be_is_refused_in_words(web: httpx.Client, path: str, body: dict[str, object], words: str) -> None:
    import json

    answer = web.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert words in answer.json()["error"]["message"]
