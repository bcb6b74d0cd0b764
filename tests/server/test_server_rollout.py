"""An operator changes versions over HTTP while customers ask; their events say which version answered."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serving import until
from tiny_models import LABELS, TEXTS, make_encoder

from noria.cli.main import main
from noria.core.folder import read_manifest
from noria.lake.event import outbox_file
from noria.server.http.run import Running, serving
from noria.server.http.settings import ServerSettings


@pytest.fixture(scope="module")
def models(plain_classifier: Path, tagger: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models: sentiment, a later version of it, and a tagger."""
    there = tmp_path_factory.mktemp("versions")
    shutil.copytree(plain_classifier, there / "sentiment")
    shutil.copytree(tagger, there / "entities")
    make_encoder(there / "sentiment-2", "classify", LABELS, 2, compiled=False, seed=1)
    return there


@pytest.fixture(scope="module")
def running(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings = ServerSettings(port=0, lake=tmp_path_factory.mktemp("lake"), threads=1)
    with serving(settings, [models / "sentiment"]) as server:
        yield server


def test_versions_change_while_customers_ask(running: Running, models: Path, capsys: pytest.CaptureFixture[str]):
    first, second = (read_manifest(models / name).identity()[:12] for name in ("sentiment", "sentiment-2"))
    statuses: Counter[int] = Counter()
    over = threading.Event()

    def customers() -> None:
        with httpx.Client(base_url=running.url, headers=running.headers, timeout=30) as client:
            while not over.is_set():
                statuses[client.post("/v1/classify", json={"input": TEXTS}).status_code] += 1

    threads = [threading.Thread(target=customers) for _ in range(2)]
    for thread in threads:
        thread.start()
    with httpx.Client(base_url=running.url, headers=running.headers, timeout=60) as admin:
        told = admin.get("/versions/sentiment").json()
        assert (told["live"], told["trial"]) == (first, None)
        told = admin.post(
            "/versions/sentiment", json={"action": "canary", "folder": "sentiment-2", "share": 0.5}
        ).json()
        assert told["trial"]["version"] == second
        until(lambda: admin.get("/versions/sentiment").json()["trial"]["requests"] >= 5)
        told = admin.post("/versions/sentiment", json={"action": "promote", "why": "better"}).json()
        assert (told["live"], told["folder"], told["trial"]) == (second, "sentiment-2", None)
        assert admin.get("/v1/models/sentiment").json()["version"] == second
        told = admin.post("/versions/sentiment", json={"action": "roll_back"}).json()
        assert told["live"] == first
    over.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}
    assert [change["what"] for change in told["changes"]] == ["live", "canary", "live", "live"]
    assert str(models) not in str(told), "no path of this machine"
    connection = sqlite3.connect(outbox_file(running.state.lake))
    versions = {row[0] for row in connection.execute("SELECT DISTINCT version FROM events WHERE model = 'sentiment'")}
    connection.close()
    assert versions == {first, second}
    code = main(["ship", "versions", "sentiment", "--server", running.url, "--key", running.key])
    shown = capsys.readouterr().out
    assert code == 0
    assert f"sentiment: {first} is live" in shown
    assert "better" in shown
    assert main(["ship", "versions", "sentiment", "--lake", str(running.state.lake)]) == 0
    assert second in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"action": "swap", "folder": "../secret"}, 422, "folder"),
        ({"action": "swap", "folder": "/etc"}, 422, "folder"),
        ({"action": "swap"}, 400, "folder"),
        ({"action": "promote", "folder": "sentiment-2"}, 400, "folder"),
        ({"action": "swap", "folder": "none"}, 400, "no such folder"),
        ({"action": "swap", "folder": "entities"}, 400, "another task"),
        ({"action": "canary", "folder": "sentiment-2", "share": 0}, 422, "share"),
        ({"action": "promote"}, 400, "no version is on trial"),
    ],
)
def test_what_cannot_be_done_is_told(running: Running, body: dict[str, object], status: int, words: str):
    answer = httpx.post(f"{running.url}/versions/sentiment", json=body, headers=running.headers, timeout=60)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]
    assert httpx.post(f"{running.url}/v1/classify", json={"input": "好"}, headers=running.headers).status_code == 200


def test_customers_keys_change_nothing(running: Running, capsys: pytest.CaptureFixture[str]):
    key = running.state.keys.make("shop", "client")
    headers = {"authorization": f"Bearer {key}"}
    for asked in (httpx.get, httpx.post):
        assert asked(f"{running.url}/versions/sentiment", headers=headers).status_code == 403
    assert httpx.get(f"{running.url}/versions/none", headers=running.headers).status_code == 404
    assert main(["ship", "versions", "sentiment", "--server", running.url, "--key", key]) == 2
    assert "viewer" in capsys.readouterr().err
    assert main(["ship", "versions", "sentiment", "--server", "http://127.0.0.1:9", "--key", key]) == 2
    assert "cannot be reached" in capsys.readouterr().err
