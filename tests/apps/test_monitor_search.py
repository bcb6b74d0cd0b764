"""Search and export: in Chinese and English, by the words that people use; what leaves is what was counted; an author can be erased."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest

from noria.apps.monitor.export import TABLES
from noria.apps.monitor.routes import Monitor
from noria.apps.monitor.search import asked_terms, indexed
from noria.apps.monitor.stream import Stream, erase_authors
from noria.apps.monitor.surge import Mention
from noria.apps.settings import WatchSettings
from noria.cli.main import main
from noria.text.personal_data import mask

if TYPE_CHECKING:
    from noria.server.http.run import Running

NOW = datetime.now(UTC).replace(microsecond=0)
TEXTS = (
    "手机充电时发烫，客服 13800138000 一直没人接",
    "手機螢幕很漂亮，拍照也清楚",
    "The batteries of these phones drained within two hours",
    "=cmd: the hotel lobby was clean",
    "充满电要多久？",
)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("search") / "lake"


@pytest.fixture(scope="module")
def running(plain_classifier: Path, embedder: Path, lake: Path) -> Iterator[Running]:
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    monitor = Monitor(lambda text: mask(text)[0], embeddings=True)
    with serving(ServerSettings(port=0, lake=lake, threads=1), [plain_classifier, embedder], [monitor]) as made:
        yield made


@pytest.fixture(scope="module")
def web(running: Running) -> Iterator[httpx.Client]:
    texts = [
        {
            "id": number,
            "text": text,
            "time": (NOW - timedelta(minutes=5 - number)).isoformat(),
            "source": f"s{number % 2}",
        }
        | ({"author": "小王"} if number == 0 else {})
        for number, text in enumerate(TEXTS)
    ]
    texts.append({"id": "late", "text": "a text of the year 2099", "time": "2099-01-01T00:00:00Z"})
    with httpx.Client(base_url=f"{running.url}/v1/apps/monitor", headers=running.headers) as made:
        made.post("/texts", json={"texts": texts}).raise_for_status()
        made.post(
            "/texts", json={"texts": texts}
        ).raise_for_status()  # as after a kill, before it was said to be delivered
        yield made


def ids(web: httpx.Client, **query: object) -> list[str]:
    answer = web.get("/texts", params=query)
    answer.raise_for_status()
    return [text["id"] for text in answer.json()["texts"]]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("充电 发烫", ["0"]),
        ("手机", ["1", "0"]),  # Traditional and Simplified
        ("battery drains", ["2"]),
        ("BATTERIES", ["2"]),
        ("The lobby of the hotel", ["3"]),
        ("充电", ["0"]),  # and not what has the two characters apart
        ("发烫 battery", []),
        ("13800138000", []),
    ],
)
def test_texts_are_found_by_the_words_of_either_language(web: httpx.Client, asked: str, found: list[str]) -> None:
    assert ids(web, q=asked) == found
    assert sorted(ids(web, q=asked, order="best")) == sorted(found)


def test_filters_and_pages(web: httpx.Client) -> None:
    assert ids(web) == ["4", "3", "2", "1", "0"]  # each once; what was set aside is not kept
    assert ids(web, source="s1") == ["3", "1"]
    cut = (NOW - timedelta(minutes=3)).isoformat().replace("+00:00", "Z")
    assert ids(web, since=cut) == ["4", "3", "2"]
    assert ids(web, until=cut) == ["1", "0"]
    assert ids(web, topic="computer", label="none") == []
    first = web.get("/texts", params={"most": 2}).json()
    assert (first["found"], [text["id"] for text in first["texts"]]) == (5, ["4", "3"])
    assert ids(web, most=2, after=first["next"]) == ["2", "1"]
    (text,) = web.get("/texts", params={"q": "发烫"}).json()["texts"]
    assert ids(web, author=text["author"]) == ids(web, story=text["story"]) == ["0"]
    assert "小王" not in text["author"]
    assert web.get("/texts", params={"q": "?!"}).status_code == 422
    assert web.get("/texts", params={"since": "yesterday"}).status_code == 422


def test_texts_are_counted_over_time(web: httpx.Client) -> None:
    counts = web.get("/counts", params={"minutes": 1, "source": "s0"}).json()
    assert [one["texts"] for one in counts] == [1, 1, 1]
    minutes = [datetime.fromisoformat(one["start"]) for one in counts]
    assert minutes == [(NOW - timedelta(minutes=back)).replace(second=0) for back in (5, 3, 1)]
    negative = {text["id"] for text in web.get("/texts", params={"label": "negative"}).json()["texts"]}
    whole = web.get("/counts", params={"minutes": 10_080}).json()
    assert (sum(one["texts"] for one in whole), sum(one["negatives"] for one in whole)) == (5, len(negative))
    assert web.get("/counts", params={"minutes": 0}).status_code == 422


def test_what_is_discovered_is_told_with_its_sample(web: httpx.Client) -> None:
    assert web.get("/topics").json() == {"topics": [], "texts": len(TEXTS), "days": 7}
    assert web.get("/topics", params={"replay": True}).json()["texts"] == 0


def test_names_are_found_whatever_their_case_and_a_term_is_no_name() -> None:
    assert set(asked_terms("noria")) <= set(indexed("noria", ()).split())
    with_name, without = indexed("x", ("Noria",)).split(), indexed("x", ()).split()
    assert set(with_name) - set(without) == set(indexed("", ("NORIA",)).split())


@pytest.mark.parametrize("what", TABLES)
def test_what_is_exported_is_what_is_shown(web: httpx.Client, what: str) -> None:
    answer = web.get(f"/export/{what}")
    assert answer.headers["content-disposition"] == f'attachment; filename="{what}.csv"'
    assert answer.content.startswith("\ufeff".encode())
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    table = pq.read_table(io.BytesIO(web.get(f"/export/{what}", params={"format": "parquet"}).content))
    assert table.schema.names == TABLES[what][1].names
    assert table.num_rows == len(rows)
    if what == "texts":
        assert [row["id"] for row in rows] == table["id"].to_pylist() == ids(web)
        assert table["time"].to_pylist()[-1] == NOW - timedelta(minutes=5)
        cell = next(row["text"] for row in rows if row["id"] == "3")
        assert cell == f"'{TEXTS[3]}"  # no formula
        assert TEXTS[3] in table["text"].to_pylist()
        assert web.get("/export/texts", params={"q": "发烫"}).text.count("\n") == 2
    assert web.get("/export/others").status_code == 404


def test_an_author_is_erased_from_the_kept_texts(
    web: httpx.Client, lake: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ship", "events", "erase", "小王", "--lake", str(lake), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["watched"] == 1
    assert ids(web, q="发烫") == []
    assert ids(web) == ["4", "3", "2", "1"]


def test_an_erased_author_leaves_open_texts_stories_and_topics_and_what_was_counted_stays(
    plain_classifier: Path, embedder: Path, tmp_path: Path
) -> None:
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    lake = tmp_path / "lake"
    settings = ServerSettings(port=0, lake=lake, threads=1)

    def served() -> AbstractContextManager[Running]:
        monitor = Monitor(lambda text: mask(text)[0], embeddings=True)
        return serving(settings, [plain_classifier, embedder], [monitor])

    texts = [
        {
            "id": number,
            "text": f"石板路上的第{number}家店充电发烫，再也不去了",
            "time": (NOW - timedelta(hours=3) + timedelta(seconds=number)).isoformat(),
            "author": ("小王", "老李")[number % 2],
        }
        for number in range(40)
    ]
    with served() as running, httpx.Client(base_url=f"{running.url}/v1/apps/monitor", headers=running.headers) as web:
        web.post("/texts", json={"texts": texts}).raise_for_status()
        web.post("/clock", json={"time": (NOW - timedelta(minutes=1)).isoformat()}).raise_for_status()
        before = web.get("/windows").json()["windows"]
    assert before[0]["counts"]["other"]["total"] == 40
    assert main(["ship", "events", "erase", "小王", "--lake", str(lake)]) == 0
    with served() as running, httpx.Client(base_url=f"{running.url}/v1/apps/monitor", headers=running.headers) as web:
        assert web.get("/windows").json()["windows"] == before
        assert ids(web, q="石板路", most=100) == [str(number) for number in range(39, 0, -2)]
    files = b"".join(file.read_bytes() for file in lake.rglob("*") if file.is_file() and file.suffix != ".npz")
    assert "第39家店".encode() in files
    assert "第38家店".encode() not in files
    with np.load(lake / "apps" / "monitor" / "discovered.npz") as kept:
        state = kept["state"].tobytes()
    assert "第39家店".encode() in state
    assert "第38家店".encode() not in state


def test_an_erased_author_leaves_the_texts_of_alerts(tmp_path: Path) -> None:
    def opened() -> Stream:
        return Stream(tmp_path, WatchSettings(), ("phone", "other"), bounded=False)

    stream = opened()
    mentions = [
        Mention(
            str(n),
            NOW + timedelta(seconds=30 * n),
            "phone",
            n % 5 > 0,
            0.9,
            f"text <{n}>",
            author=("anna", "bert")[n % 2],
        )
        for n in range(40)
    ]
    stream.take(mentions, NOW, "r")
    stream.advance(NOW + timedelta(hours=2), "r")
    (before,) = stream.alerts.values()
    erase_authors(tmp_path, {"anna"})
    (after,) = opened().alerts.values()
    assert {one["author"] for one in (*before["mentions"], *before["voices"])} == {"anna", "bert"}
    assert {one["author"] for one in (*after["mentions"], *after["voices"])} == {"bert"}
    assert set(after["telling"]) <= {one["id"] for one in after["mentions"]}
    assert {name: after[name] for name in ("id", "negative", "total", "found")} == {
        name: before[name] for name in ("id", "negative", "total", "found")
    }
    assert not any(b"<8>" in file.read_bytes() for file in tmp_path.iterdir())
    assert any(b"<9>" in file.read_bytes() for file in tmp_path.iterdir())
    assert opened().windows == stream.windows


def test_an_author_whose_texts_an_inbox_brought_is_erased_by_name(
    web: httpx.Client, lake: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from noria.apps.monitor.sources.entry import Entry
    from noria.apps.monitor.sources.inbox import Inbox

    inbox = Inbox(tmp_path / "sources.inbox", lambda text: text)
    entries = [Entry(f"text {number} of anna", (str(number),), NOW, "anna") for number in range(2)]
    inbox.take("forum", entries, lambda taken: {}, NOW)
    (first, _) = inbox.batch(10)
    body = {"id": first.id, "text": first.text, "time": first.time.isoformat(), "author": first.author}
    web.post("/texts", json={"texts": [body]}).raise_for_status()
    inbox.delivered([first])
    assert (
        main(
            [
                "ship",
                "events",
                "erase",
                "anna",
                "--lake",
                str(lake),
                "--inbox",
                str(tmp_path / "sources.inbox"),
                "--json",
            ]
        )
        == 0
    )
    receipts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [receipt["watched"] for receipt in receipts] == [0, 1]
    assert inbox.waiting() == 0
    assert first.id not in ids(web)
    inbox.close()
