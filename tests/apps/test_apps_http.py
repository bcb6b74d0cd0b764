from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from noria.apps.monitor.routes import Monitor
from noria.apps.monitor.stream import Stream
from noria.apps.recommend.routes import Recommend
from noria.apps.settings import RecommendSettings, WatchSettings
from noria.apps.support.faq import BUNDLED
from noria.apps.support.routes import Support
from noria.core.errors import SettingError
from noria.lake.event import OUTBOX_TABLE, outbox_file
from noria.tasks.items import Item
from noria.text.personal_data import mask

if TYPE_CHECKING:
    from noria.server.http.run import Running
    from noria.server.http.state import State

START = datetime(2030, 1, 1, tzinfo=UTC)
ITEMS = [
    Item("a", "体育", "女排在决赛中夺得冠军"),
    Item("b", "World", "The president met the secretary general"),
    Item("c", "经济", "银行下调利率，企业投资增加"),
    Item("d", "Culture", "A new film opens tonight"),
]

BAD = ["房间很脏，太差了", "酒店太吵，很差", "前台态度差", "the room is bad", "a bad hotel"]
GOOD = ["房间干净，不错", "酒店位置很好", "前台热情，好", "the room is nice", "a nice hotel"]


@pytest.fixture(scope="module")
def mood(plain_classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny classifier, trained for a moment to tell `BAD` from `GOOD`."""
    import torch
    from tokenizers import Tokenizer
    from transformers import BertForSequenceClassification

    from noria.core.folder import new_folder, read_manifest

    torch.manual_seed(0)
    model = BertForSequenceClassification.from_pretrained(plain_classifier).eval()
    tokenizer = Tokenizer.from_file(str(plain_classifier / "tokenizer.json"))
    tokenizer.enable_padding()
    encoded = tokenizer.encode_batch(BAD + GOOD)
    ids = torch.tensor([one.ids for one in encoded])
    mask = torch.tensor([one.attention_mask for one in encoded])
    labels = torch.tensor([0] * len(BAD) + [1] * len(GOOD))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(60):
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    target = tmp_path_factory.mktemp("mood") / "mood"
    with new_folder(target, kind="model") as folder:
        model.save_pretrained(folder.path)
        tokenizer.no_padding()
        tokenizer.save(str(folder.path / "tokenizer.json"))
        folder.facts.update(read_manifest(plain_classifier).facts)
    return target


@pytest.fixture(scope="module")
def short_faq(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight of the bundled entries: fewer texts to embed."""
    lines = BUNDLED.read_text(encoding="utf-8").splitlines()
    names = ("gpu", "port", "bind", "key", "install", "what", "licence", "support")
    file = tmp_path_factory.mktemp("faq") / "faq.jsonl"
    file.write_text("\n".join(line for line in lines if json.loads(line)["id"] in names), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("apps") / "lake"


@pytest.fixture(scope="module")
def apps_server(mood: Path, tagger: Path, embedder: Path, lake: Path, short_faq: Path) -> Iterator[Running]:
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    watch = WatchSettings(least_negatives=3)
    apps = [
        Support(faq=short_faq),
        Monitor(lambda text: mask(text)[0], settings=watch),
        Recommend(ITEMS, settings=RecommendSettings(chance=0)),
    ]
    with serving(ServerSettings(port=0, lake=lake, threads=1, max_rows=64), [mood, tagger, embedder], apps) as running:
        yield running


@pytest.fixture
def web(apps_server: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{apps_server.url}/v1/apps", headers=apps_server.headers, timeout=30) as made:
        yield made


def stored(lake: Path, kind: str) -> list[dict[str, object]]:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(outbox_file(lake))) as connection:
        connection.row_factory = sqlite3.Row
        query = f"SELECT * FROM {OUTBOX_TABLE} WHERE kind = ? ORDER BY id"
        return [dict(row) for row in connection.execute(query, (kind,))]


def test_support_answers_a_known_question_and_counts_it(web: httpx.Client, lake: Path) -> None:
    answer = web.post("/support/ask", json={"question": "没有 GPU 能用吗", "user": "anna"}).json()
    assert (answer["action"], answer["entry"], answer["language"]) == ("answer", "gpu", "zh")
    event = next(event for event in stored(lake, "request") if event["id"] == answer["id"])
    assert (event["app"], event["segment"]) == ("support", "zh")
    assert event["user"]
    assert event["user"] != "anna"


def test_a_handover_is_an_event_about_its_request(web: httpx.Client, lake: Path) -> None:
    answer = web.post("/support/ask", json={"question": "I want to talk to a person", "user": "ben"}).json()
    assert answer["action"] == "handover"
    event = next(event for event in stored(lake, "handover") if event["subject"] == answer["id"])
    assert (event["app"], event["segment"]) == ("support", "en")
    request = next(event for event in stored(lake, "request") if event["id"] == answer["id"])
    assert event["user"] == request["user"]


def test_support_goes_on_after_asking_back(apps_server: Running, web: httpx.Client, lake: Path) -> None:
    from noria.apps.support.conversation import Conversation

    support = next(app for app in apps_server.state.apps if isinstance(app, Support))
    tenant = apps_server.key.split("_")[1]
    support._conversations[(tenant, "talk")] = Conversation(language="en", offered=("port", "bind"))
    second = web.post("/support/ask", json={"question": "2", "conversation": "talk"}).json()
    assert (second["action"], second["entry"], second["language"]) == ("answer", "bind", "en")
    chosen = web.post("/support/choose", json={"entry": "key", "language": "zh", "about": second["id"]}).json()
    assert chosen["entry"] == "key"
    handovers = len(stored(lake, "handover"))
    assert web.post("/support/choose", json={"entry": None, "language": "zh"}).json()["action"] == "handover"
    assert len(stored(lake, "handover")) == handovers + 1


def test_courtesies_cost_no_person_and_are_counted_apart(web: httpx.Client, lake: Path) -> None:
    handovers = len(stored(lake, "handover"))
    for text in ("你好！", "Thanks a lot, bye"):
        answer = web.post("/support/ask", json={"question": text, "user": "ben"}).json()
        assert (answer["action"], answer["choices"]) == ("courtesy", [])
        assert next(one for one in stored(lake, "request") if one["id"] == answer["id"])["segment"] == "small talk"
    assert len(stored(lake, "handover")) == handovers
    answer = web.post("/support/ask", json={"question": "谢谢，没有 GPU 能用吗"}).json()
    assert (answer["action"], answer["entry"]) == ("answer", "gpu")


def test_who_is_asked_back_may_thank_and_miss_once(apps_server: Running, web: httpx.Client) -> None:
    from noria.apps.support.conversation import Conversation

    support = next(app for app in apps_server.state.apps if isinstance(app, Support))
    place = (apps_server.key.split("_")[1], "slow talk")
    support._conversations[place] = Conversation(language="en", offered=("port", "bind"))
    said = [
        web.post("/support/ask", json={"question": text, "conversation": "slow talk"}).json()["action"]
        for text in ("谢谢", "7", "第九个")
    ]
    assert said == ["courtesy", "confirm", "handover"]
    assert not support._conversations[place].offered


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/support/ask", {"question": ""}, "question"),
        ("/support/ask", {"question": "a", "usr": "x"}, "did you mean user"),
        ("/support/choose", {"entry": "no such", "language": "zh"}, "unknown entry"),
        ("/monitor/texts", {"texts": []}, "texts"),
        ("/monitor/texts", {"texts": [{"text": "好", "time": "2030-01-01T00:00:00"}]}, "timezone"),
        ("/recommend/click", {"user": "a", "item": "no such"}, "unknown item"),
        ("/recommend/pick", {"user": "a", "count": 0}, "count"),
    ],
)
def test_bad_requests_are_plain_errors(web: httpx.Client, path: str, body: dict[str, object], words: str) -> None:
    answer = web.post(path, json=body)
    # 422 breaks the document; a name that is not known is right by it, and still cannot be used.
    assert answer.status_code == (400 if words.startswith("unknown") else 422)
    assert words in answer.json()["error"]["message"]


def test_the_desk_lists_its_entries_in_both_languages(web: httpx.Client) -> None:
    chinese, english = (web.get("/support/entries", params={"language": language}).json() for language in ("zh", "en"))
    assert [entry["entry"] for entry in chinese] == [entry["entry"] for entry in english]
    assert chinese[0]["question"] != english[0]["question"]


def test_the_monitor_masks_counts_alerts_and_goes_on_after_a_restart(
    apps_server: Running, web: httpx.Client, lake: Path
) -> None:
    bad, good = BAD, GOOD
    answer = web.post(
        "/monitor/texts",
        json={"replay": True, "texts": [{"text": text, "time": START.isoformat()} for text in bad + good]},
    )
    negative = [mention["negative"] for mention in answer.json()["mentions"]]
    assert negative == [True] * len(bad) + [False] * len(good)
    assert {mention["topic"] for mention in answer.json()["mentions"]} == {"hotel"}

    def send(text: str, hour: float, id: str = "") -> dict[str, object]:
        time = (START + timedelta(hours=hour)).isoformat()
        return web.post(
            "/monitor/texts", json={"replay": True, "texts": [{"text": text, "time": time, "id": id}]}
        ).json()

    for hour in range(1, 7):
        for n in range(4):
            send(good[n % len(good)], hour + n / 10)
    for n in range(30):
        send(bad[n % len(bad)], 7 + n / 250, f"bad-{n}")
    ahead = {"time": (START + timedelta(hours=9)).isoformat()}
    assert (
        web.post("/monitor/clock", json=ahead).status_code == 400
    )  # of the live stream, the server's clock is the clock
    web.post("/monitor/clock", json={**ahead, "replay": True}).raise_for_status()
    every = web.get("/monitor/alerts?replay=true").json()
    (name,) = (one["id"] for one in every if (one["kind"], one["of"]) == ("negatives", "topic"))
    alert = web.get(f"/monitor/alerts/{name}").json()
    assert alert["topic"] == "hotel"
    assert alert["negative"] in (21, 30)  # of the first step, or of both
    assert alert["low"] <= alert["expected"] <= alert["high"] < alert["found"]
    assert [mention["id"] for mention in alert["mentions"]] == [f"bad-{n}" for n in range(alert["negative"])]
    events = [event for event in stored(lake, "alert") if event["subject"] == name]
    assert [(event["segment"], event["app"]) for event in events] == [("hotel", "monitor")]
    assert web.get("/monitor/windows").json()["windows"] == []  # what is live knows nothing of it
    windows = web.get("/monitor/windows?replay=true").json()
    assert len(windows["windows"]) == 9
    assert windows["titles"]["hotel"]["zh"] == "酒店"
    assert web.get("/monitor/alerts/none").status_code == 404

    said = {"verdict": "confirmed", "by": "anna"}
    assert web.post("/monitor/alerts/none", json=said).status_code == 404
    assert web.post(f"/monitor/alerts/{name}", json={"verdict": "perhaps"}).status_code == 422
    assert web.post(f"/monitor/alerts/{name}", json=said).json()["verdict"] == "confirmed"
    again = Stream(lake / "apps" / "monitor" / "replay", WatchSettings(), tuple(windows["titles"]), bounded=False)
    assert [(one["id"], one["verdict"], one["by"]) for one in again.alerts.values() if one["verdict"]] == [
        (name, "confirmed", "anna")
    ]
    assert again.windows == windows["windows"]


def test_kept_texts_hold_no_personal_data(web: httpx.Client, lake: Path) -> None:
    text = "酒店前台电话 13800138000，邮箱 anna@qq.com，太差了"
    body = {"texts": [{"text": text, "time": datetime.now(UTC).isoformat()}]}
    mention = web.post("/monitor/texts", json=body).json()["mentions"][0]
    assert "13800138000" not in mention["text"]
    assert "<PHONE>" in mention["text"]
    assert "anna@qq.com" not in str(mention)
    body = {"texts": [{"text": "好", "author": "anna@qq.com", "link": "https://a.example/?m=13800138000"}]}
    assert "anna@qq.com" not in web.post("/monitor/texts", json=body).text
    for file in lake.rglob("*"):
        if file.is_file():
            assert b"13800138000" not in file.read_bytes()


def started_again(state: State, app: Recommend) -> Recommend:
    """An application that starts on a server's state, as it would after a restart, and leaves nothing behind."""
    import asyncio

    async def start() -> None:
        before = len(state.tasks)
        await app.start(state)
        for task in state.tasks[before:]:
            task.cancel()
        del state.tasks[before:]

    listeners = list(state.meter.listeners)
    asyncio.run(start())
    state.meter.listeners[:] = listeners
    return app


def test_readers_are_shown_items_and_their_clicks_are_events(web: httpx.Client, lake: Path) -> None:
    picks = web.post("/recommend/pick", json={"user": "anna", "count": 2}).json()["picks"]
    assert len(picks) == 2
    shown = [event["subject"] for event in stored(lake, "impression")][-2:]
    assert sorted(map(str, shown)) == sorted(pick["item"]["id"] for pick in picks)
    item = picks[0]["item"]["id"]
    click = web.post("/recommend/click", json={"user": "anna", "item": item}).json()
    event = next(event for event in stored(lake, "click") if event["id"] == click["id"])
    assert (event["subject"], event["app"]) == (item, "recommend")
    rest = web.post("/recommend/pick", json={"user": "anna", "count": 5}).json()["picks"]
    # Two that are new, then what was seen: the one not opened before the one that was.
    assert [pick["why"] for pick in rest] == ["taste", "taste", "again", "again"]
    assert [pick["item"]["id"] for pick in rest[2:]] == [picks[1]["item"]["id"], item]
    web.post("/recommend/buy", json={"user": "anna", "item": item})
    again = web.post("/recommend/pick", json={"user": "anna", "count": 5}).json()["picks"]
    assert {pick["why"] for pick in again} == {"again"}
    assert item not in {pick["item"]["id"] for pick in again}
    added = web.post("/recommend/items", json={"items": [{"id": "e", "text": "全新的一篇"}]}).json()
    assert added == {"items": 5}
    first, *rest = web.post("/recommend/pick", json={"user": "anna"}).json()["picks"]
    assert first["item"]["id"] == "e"
    assert {pick["why"] for pick in rest} == {"again"}
    counts = {one["id"]: one for one in web.get("/recommend/items").json()}
    assert (counts[item]["shown"], counts[item]["clicks"]) == (2, 2)  # opened, then shown once more and bought


def test_a_restart_forgets_nothing_of_readers(apps_server: Running, web: httpx.Client, lake: Path) -> None:

    recommend = next(app for app in apps_server.state.apps if isinstance(app, Recommend))
    told = [
        {"kind": "click", "subject": "b", "user": "ben", "app": "shop"},
        {"kind": "conversion", "subject": "c", "user": "ben"},
        {"kind": "click", "subject": "no such item", "user": "ben"},
    ]
    assert (
        httpx.post(f"{apps_server.url}/v1/events", json={"events": told}, headers=apps_server.headers).status_code
        == 200
    )
    again = started_again(apps_server.state, Recommend(ITEMS, settings=RecommendSettings(chance=0)))
    places = recommend.shelf.catalogue.places
    for name in ("shown", "clicks"):
        there, here = getattr(recommend.shelf, name), getattr(again.shelf, name)
        assert {id: there[row] for id, row in places.items()} == {
            id: here[row] for id, row in again.shelf.catalogue.places.items()
        }
    assert sorted(again.shelf.states.order()) == sorted(recommend.shelf.states.order())
    for key in recommend.shelf.states.order():
        assert [pick.item.id for pick in again.shelf.choose(key, 5)] == [
            pick.item.id for pick in recommend.shelf.choose(key, 5)
        ]
    ben = again.shelf.states.look(recommend.shelf.states.order()[-1])
    assert [again.shelf.catalogue.items[row].id for row in ben.bought] == ["c"]


def test_items_added_over_http_outlive_the_server(apps_server: Running, web: httpx.Client) -> None:

    added = [{"id": 7, "title": "只有标题"}, {"id": "f", "text": "一行\u2028一行", "meta": {"title": "题"}}]
    assert web.post("/recommend/items", json={"items": added}).status_code == 200
    again = started_again(apps_server.state, Recommend(ITEMS[:2]))
    assert again.items["7"] == Item("7", "只有标题", "只有标题")
    assert again.items["f"] == Item("f", "题", "一行\u2028一行")
    refused = web.post("/recommend/items", json={"items": [{"id": "g"}]})
    assert refused.status_code == 400
    assert "text or a title" in refused.json()["error"]["message"]


def test_without_a_key_nothing_is_told(apps_server: Running) -> None:
    with httpx.Client(base_url=f"{apps_server.url}/v1/apps") as stranger:
        for path in ("/support/entries", "/monitor/alerts", "/monitor/windows", "/recommend/items"):
            assert stranger.get(path).status_code == 401


def test_a_monitor_needs_a_model_that_knows_negative(embedder: Path, tagger: Path, tmp_path: Path) -> None:
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    settings = ServerSettings(port=0, lake=tmp_path / "lake", threads=1)
    with pytest.raises(SettingError, match="no model for sentiment"), serving(settings, [tagger], [Monitor(str)]):
        pass
    with pytest.raises(SettingError, match="no embedding model"), serving(settings, [tagger], [Support()]):
        pass


def test_embeddings_of_known_texts_are_kept_and_a_damaged_file_is_made_anew(apps_server: Running) -> None:
    import asyncio

    import numpy as np

    from noria.apps.embedding import keeping
    from noria.server.http.context import RequestContext

    state = apps_server.state
    version = state.served("vectors").version
    file = state.lake / "apps" / "trial" / f"{version}.npz"
    support = state.lake / "apps" / "support" / f"{version}.npz"
    file.parent.mkdir()
    file.write_bytes(support.read_bytes())
    texts = [entry.answer("en") for entry in next(app for app in state.apps if isinstance(app, Support)).faq.entries]
    kept = asyncio.run(keeping(RequestContext(state), "trial")(texts))  # asks no model: it runs in another loop
    assert np.linalg.norm(kept, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert file.read_bytes() == support.read_bytes()
    from noria.apps.embedding import _read

    for damaged in (b"", b"no archive", support.read_bytes()[:-200], support.read_bytes()[:60]):
        file.write_bytes(damaged)
        assert _read(file) == {}
