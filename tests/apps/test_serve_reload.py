"""A file of what is served is read again under load: whatever changes, no request fails; what is bad changes nothing; what needs a restart is named."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from serving import until
from tiny_models import LABELS, make_encoder

import noria
from noria.api.serving import Server
from noria.core.folder import read_manifest

QUESTION, ANSWER = "Do you engrave lamps?", "We do, within a week."
FAQ = {"id": "warranty", "questions": {"en": ["How long is the warranty?"]}, "answer": {"en": "Two years."}}
MORE = {"id": "engrave", "questions": {"en": [QUESTION]}, "answer": {"en": ANSWER}}
ITEMS = [
    {"id": "a", "title": "Lamp", "text": "A lamp for the desk."},
    {"id": "b", "title": "Chair", "text": "A chair to sit on."},
]
ROWS = "the first line of all\nthe second line of all\n"


@pytest.fixture(scope="module")
def folder(plain_classifier: Path, tagger: Path, embedder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A team's folder: models, the files of three applications, and noria.toml."""
    here = tmp_path_factory.mktemp("team")
    for name, model in (("sentiment", plain_classifier), ("entities", tagger), ("vectors", embedder)):
        shutil.copytree(model, here / name)
    make_encoder(here / "sentiment-2", "classify", LABELS, 2, compiled=False, seed=1)
    lines(here / "faq.jsonl", FAQ)
    lines(here / "items.jsonl", *ITEMS)
    (here / "rows.txt").write_text(ROWS)
    (here / "sources.toml").write_text("[[source]]\nname = 'forum'\nkind = 'file'\npath = 'rows.txt'\nminutes = 0.01\n")
    return here


def lines(file: Path, *rows: dict[str, object]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write(folder: Path, models: str = "'sentiment', 'vectors'", top: str = "", rest: str = "") -> Path:
    """Write noria.toml with three applications."""
    file = folder / "noria.toml"
    file.write_text(
        f"[serve]\nport = 0\nthreads = 1\nlake = 'lake'\nmodels = [{models}]\ntimeout = 5.0\n{top}\n[serve.support]\nfaq = 'faq.jsonl'\n"
        f"[serve.monitor]\nmodels = ['sentiment']\nsources = 'sources.toml'\n[serve.recommend]\nitems = 'items.jsonl'\n{rest}\n"
    )
    return file


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with noria.serve(file=write(folder), background=True) as running:
        yield running


@contextmanager
def customers(server: Server) -> Iterator[Counter[int]]:
    """Let customers of every application ask while a block runs; give how often they got which status."""
    statuses: Counter[int] = Counter()
    over = threading.Event()
    asked = (
        ("/v1/classify", {"input": ["很好"], "model": "sentiment"}),
        ("/v1/apps/support/ask", {"question": "How long is the warranty?"}),
        ("/v1/apps/monitor/texts", {"texts": [{"text": "房间很大"}]}),
        ("/v1/apps/recommend/pick", {"user": "anna", "count": 1}),
    )

    def ask(path: str, body: dict[str, object]) -> None:
        with httpx.Client(base_url=server.url, headers=server.headers, timeout=60) as client:
            while not over.is_set():
                statuses[client.post(path, json=body).status_code] += 1
                over.wait(0.05)

    threads = [threading.Thread(target=ask, args=one) for one in asked]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        over.set()
        for thread in threads:
            thread.join()


def reload(server: Server, status: int = 200, **body: bool) -> dict[str, list[str]]:
    answer = httpx.post(f"{server.url}/reload", json=body, headers=server.headers, timeout=120)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def post(server: Server, path: str, body: dict[str, object], **headers: str) -> httpx.Response:
    return httpx.post(f"{server.url}{path}", json=body, headers={**server.headers, **headers}, timeout=60)


def names(server: Server) -> set[str]:
    return {one["id"] for one in httpx.get(f"{server.url}/v1/models", headers=server.headers).json()["data"]}


def test_one_server_has_what_the_file_says(server: Server) -> None:
    assert names(server) == {"sentiment", "vectors"}
    apps = httpx.get(f"{server.url}/v1/apps", headers=server.headers).json()["data"]
    assert {one["id"] if "id" in one else one["name"] for one in apps} == {"support", "monitor", "recommend"}
    assert (
        post(server, "/v1/apps/support/ask", {"question": "How long is the warranty?"}).json()["text"] == "Two years."
    )
    picks = post(server, "/v1/apps/recommend/pick", {"user": "anna", "count": 2}).json()["picks"]
    assert {one["item"]["id"] for one in picks} == {"a", "b"}

    def read() -> bool:
        found = httpx.get(f"{server.url}/v1/apps/monitor/sources", headers=server.headers).json()
        return bool(found.get("forum", {}).get("texts") == ROWS.count("\n"))

    until(read)  # the sources are read by the server itself


def test_whatever_changes_no_request_fails(server: Server, folder: Path) -> None:
    first, second = (read_manifest(folder / name).identity()[:12] for name in ("sentiment", "sentiment-2"))
    origin = "https://shop.example"
    words = "[serve.guard]\nwords = 'words.txt'\n[serve.keys]\nrequests_minute = 2\n"
    (folder / "words.txt").write_text("forbidden\n")
    with customers(server) as statuses:
        lines(folder / "faq.jsonl", FAQ, MORE)
        lines(folder / "items.jsonl", ITEMS[0], {"id": "c", "title": "Table", "text": "A table to work at."})
        write(folder, "'sentiment', 'vectors', 'entities'", f"cors = ['{origin}']\nmax_rows = 3", words)
        changes = reload(server)
        assert set(changes["applied"]) == {"cors", "guard.words", "keys.requests_minute", "max_rows", "models"}
        assert changes["restart"] == []
        assert names(server) == {"sentiment", "vectors", "entities"}
        assert post(server, "/v1/tag", {"input": "李明去了北京"}).status_code == 200
        assert post(server, "/v1/classify", {"input": ["很好"] * 4, "model": "sentiment"}).status_code == 422
        assert post(server, "/v1/moderate", {"input": "a forbidden word"}).json()["results"][0]["flagged"]
        assert post(server, "/v1/tag", {"input": "好"}, origin=origin).headers["access-control-allow-origin"] == origin
        assert post(server, "/v1/apps/support/ask", {"question": QUESTION}).json()["text"] == ANSWER
        listed = httpx.get(f"{server.url}/v1/apps/recommend/items", headers=server.headers).json()
        assert {one["id"] for one in listed} == {"a", "c"}
        key = server.state.keys.make("shop", "client")
        asked = [post(server, "/v1/tag", {"input": "好"}, authorization=f"Bearer {key}").status_code for _ in range(3)]
        assert asked == [200, 200, 429]

        write(folder, top="canaries = ['sentiment=sentiment-2:0.5']", rest="[serve.monitor.watch]\nleast_negatives = 9")
        changes = reload(server)
        assert {"canaries", "models", "monitor.watch.least_negatives", "max_rows"} <= set(changes["applied"])
        told = httpx.get(f"{server.url}/versions/sentiment", headers=server.headers).json()
        assert (told["live"], told["trial"]["version"], told["trial"]["share"]) == (first, second, 0.5)
        assert names(server) == {"sentiment", "vectors"}
        asked = {"input": "好", "model": "entities"}
        assert post(server, "/v1/tag", asked).status_code == 200, "what leaves finishes what it has"
        until(lambda: post(server, "/v1/tag", asked).status_code == 404)
        assert server.state.apps[1].settings.least_negatives == 9

        write(folder)
        assert reload(server)["applied"] == ["canaries", "monitor.watch.least_negatives"]
        assert httpx.get(f"{server.url}/versions/sentiment", headers=server.headers).json()["trial"] is None
        before = statuses.total()
        until(lambda: statuses.total() > before + 8)
    assert set(statuses) == {200}


@pytest.mark.parametrize(
    ("models", "top", "rest", "words"),
    [
        ("'sentiment', 'none'", "", "", "none"),
        ("'sentiment', 'vectors'", "prot = 1", "", "did you mean port?"),
        ("'sentiment', 'vectors'", "cors = ['*']", "", "origin"),
        ("'sentiment', 'vectors'", "", "[serve.guard]\nwords = 'no-words.txt'", "no-words.txt"),
        ("'sentiment', 'vectors'", "", "[serve.guard]\nmodel = 'vectors'", "guard"),
        ("'sentiment', 'vectors'", "canaries = ['other=sentiment-2']", "", "other"),
        ("'sentiment', 'vectors'", "canaries = ['sentiment=vectors']", "", "task"),
        ("'sentiment', 'vectors'", "", "[serve.support.people]\nhours = ['noon']", "hours"),
    ],
)
def test_a_bad_file_changes_nothing(server: Server, folder: Path, models: str, top: str, rest: str, words: str) -> None:
    before = server.state.settings
    write(folder, models, f"max_rows = 5\n{top}", rest)
    answer = reload(server, 400)
    assert words in json.dumps(answer)
    assert server.state.settings is before
    assert post(server, "/v1/classify", {"input": ["很好"] * 6, "model": "sentiment"}).status_code == 200
    write(folder)
    assert reload(server) == {"applied": [], "restart": []}


def test_what_needs_a_restart_is_named_until_it_came(server: Server, folder: Path) -> None:
    write(folder, top="queue = 9\nmax_rows = 7", rest="[serve.recommend.shelf]\nreaders = 10\nchance = 0.3")
    changes = reload(server, check=True)
    assert server.state.settings.max_rows == 2_048, "what is only checked holds not"
    assert reload(server) == changes
    assert changes == {
        "applied": ["max_rows", "recommend.shelf.chance"],
        "restart": ["queue", "recommend.shelf.readers"],
    }
    assert reload(server) == {"applied": [], "restart": ["queue", "recommend.shelf.readers"]}
    assert (server.state.settings.queue, server.state.settings.max_rows) == (256, 7)
    write(folder)
    assert reload(server)["restart"] == []


def test_only_admins_reload_and_only_a_file(server: Server, classifier: Path, tmp_path: Path) -> None:
    key = server.state.keys.make("shop", "client")
    assert post(server, "/reload", {}, authorization=f"Bearer {key}").status_code == 403
    with noria.serve(classifier, lake=tmp_path, port=0, threads=1, background=True) as plain:
        answer = post(plain, "/reload", {})
        assert (answer.status_code, "without a file" in answer.text) == (400, True)


def test_hung_up_the_command_reads_its_file_again(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "noria.toml"
    text = f"[serve]\nport = 0\nthreads = 1\nconsole = '.'\nmodels = ['{folder / 'vectors'}']\n"
    file.write_text(text)
    environment = os.environ | {"NORIA_LANG": "en"}
    command = [sys.executable, "-m", "noria", "ship", "serve"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=environment) as process:
        seen: list[str] = []

        def line(pattern: str) -> re.Match[str]:
            assert process.stderr
            for said in process.stderr:
                seen.append(said)
                if found := re.search(pattern, said):
                    return found
            pytest.fail("".join(seen))

        try:
            url = line(r"listening on (http://\S+)")[1]
            link = line(r"signed in once by this link: (http://\S+)")[1]
            assert link.startswith(f"{url}/console/open?token=")
            assert "console" in httpx.get(link).text
            file.write_text(text + "max_rows = 3\nqueue = 9\n")
            process.send_signal(signal.SIGHUP)
            changed = json.loads(line('"reloaded"').string)
            assert (changed["applied"], changed["restart"]) == (["max_rows"], ["queue"])
            file.write_text(text + "max_row = 3\n")
            process.send_signal(signal.SIGHUP)
            assert "did you mean max_rows?" in json.loads(line('"not reloaded"').string)["error"]
            assert httpx.get(f"{url}/ready").status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.stderr
            seen += process.stderr
            assert process.wait(20) == 0
        finally:
            process.kill()
    assert not any("Traceback" in one for one in seen)
