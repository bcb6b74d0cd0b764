"""`noria ship watch` against a running monitor: from a file and a feed to stories, and again without counting anything twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from noria.apps.monitor.routes import Monitor
from noria.text.personal_data import mask

if TYPE_CHECKING:
    from noria.server.http.run import Running

STORY = "多名用户反映新款手机充电时发烫，客服热线 13800138000 一直无人接听"


@pytest.fixture(scope="module")
def running(plain_classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    lake = tmp_path_factory.mktemp("watch") / "lake"
    monitor = Monitor(lambda text: mask(text)[0])
    with serving(ServerSettings(port=0, lake=lake, threads=1), [plain_classifier], [monitor]) as made:
        yield made


def test_a_list_is_watched_and_what_came_is_counted_once(
    running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from noria.cli.applications import watch

    now = datetime.now(UTC)
    rows = [
        {
            "id": 1,
            "text": STORY,
            "time": (now - timedelta(minutes=9)).isoformat(),
            "author": "小王",
            "link": "https://a.example/1",
        },
        {
            "id": 2,
            "text": f"转发微博//@小王:{STORY}",
            "time": (now - timedelta(minutes=5)).isoformat(),
            "author": "老李",
        },
        {"id": 3, "text": "明年的事情", "time": (now + timedelta(days=400)).isoformat()},
        {"id": 4, "text": "没有时间的一行，看到时计入"},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    listing = tmp_path / "sources.toml"
    listing.write_text(
        f"[monitor]\nserver = '{running.url}'\n[[source]]\nname = '论坛'\nkind = 'file'\npath = 'rows.jsonl'\n"
        "[[source]]\nname = 'inner'\nkind = 'rss'\nurl = 'http://127.0.0.1:1/feed'\n"
    )
    assert watch(listing, key=running.key, once=True, json=True) == 0
    assert watch(listing, key=running.key, once=True, json=True) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (first["new"], first["counted"], first["set_aside"], first["undated"]) == (4, 3, {"ahead": 1}, 1)
    assert "own network" in first["failing"]["inner"]
    assert (second["new"], second["counted"], second["set_aside"]) == (0, 0, {})
    with httpx.Client(base_url=f"{running.url}/v1/apps/monitor", headers=running.headers) as web:
        (story,) = web.get("/stories").json()["stories"]
        assert (story["texts"], story["authors"], story["sources"]) == (2, 2, {"论坛": 2})
        assert (story["first"]["link"], story["first"]["source"]) == ("https://a.example/1", "论坛")
        assert "小王" not in story["first"]["author"]
        assert "13800138000" not in json.dumps(story)
        assert web.get(f"/stories/{story['id']}").json()["id"] == story["id"]
        assert web.get("/stories/none").status_code == 404
        assert web.get("/sources").json()["论坛"]["texts"] == 4


def test_what_is_pushed_carries_its_source_and_its_story(running: Running) -> None:
    body = {
        "texts": [
            {"text": f"快讯：{STORY}", "source": "app", "author": "小王", "link": "https://b.example/?mail=x@mail.com"}
        ]
    }
    with httpx.Client(base_url=f"{running.url}/v1/apps/monitor", headers=running.headers) as web:
        (mention,) = web.post("/texts", json=body).json()["mentions"]
        assert mention["source"] == "app"
        assert mention["author"] not in ("", "小王")
        assert mention["link"] == ""  # it leads to a person
        assert mention["story"] == web.get("/stories").json()["stories"][0]["id"]


def test_models_that_the_list_names_are_served_here_and_a_kill_in_between_loses_nothing(
    plain_classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from noria.apps.monitor.sources.entry import Entry
    from noria.apps.monitor.sources.inbox import Inbox
    from noria.cli.applications import watch
    from noria.server.http.settings import ServerSettings

    listing = tmp_path / "sources.toml"
    listing.write_text(
        f"[monitor]\nmodels = ['{plain_classifier}']\n[[source]]\nname = 'file'\nkind = 'file'\npath = 'rows.txt'\n"
    )
    (tmp_path / "rows.txt").write_text("the first line of all\nthe second line of all\n")
    before = Inbox(tmp_path / "sources.inbox", lambda text: text)  # a run that was killed before it delivered this
    before.take(
        "file", [Entry("taken and not delivered", ("key",), datetime.now(UTC))], lambda taken: {}, datetime.now(UTC)
    )
    before.close()
    assert watch(listing, once=True, json=True, settings=ServerSettings(port=0, lake=tmp_path / "lake", threads=1)) == 0
    listening, round = capsys.readouterr().err.splitlines()
    assert listening.startswith("listening on http://127.0.0.1:")
    found = json.loads(round)
    assert (found["new"], found["counted"], found["waiting"]) == (2, 3, 0)


@pytest.mark.parametrize("given", [{}, {"server": "http://localhost:1", "models": ("runs/sentiment",)}])
def test_either_models_or_a_server_is_needed(tmp_path: Path, given: dict[str, object]) -> None:
    from noria.cli.applications import watch
    from noria.core.errors import SettingError

    listing = tmp_path / "sources.toml"
    listing.write_text("[[source]]\nname = 'a'\nkind = 'push'\n")
    models = [Path(str(one)) for one in given.pop("models", ())]
    with pytest.raises(SettingError, match="models or a server"):
        watch(listing, *models, **given)
