"""Data sets over HTTP: uploads that are streamed, bounded and gone when they break off; who may; conflicts; what is told."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from serving import until

from noria.server.http.data import MOST_BYTES
from tests.server.data_work import inside

if TYPE_CHECKING:
    from noria.server.http.run import Running

__all__ = ["inside"]

CSV = "内容,意图,来源\n我要退货,退货,电话\n什么时候发货,发货,网页\n我要换货,,网页\n,退货,电话\n".encode()


@pytest.fixture(scope="module")
def running(classifier: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    from noria.server.http.run import serving
    from noria.server.http.settings import ServerSettings

    settings = ServerSettings(port=0, lake=tmp_path_factory.mktemp("lake"), threads=1, timeout=5, max_body=2_048)
    with serving(settings, [classifier], []) as made:
        yield made


@pytest.fixture
def web(running: Running, inside: None) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.url, headers=running.headers, timeout=60) as made:
        yield made


def left(running: Running) -> list[Path]:
    return list(running.state.data.folder.glob("*.part"))


def test_from_a_file_to_versions(web: httpx.Client, running: Running) -> None:
    padding = b"".join(
        f"第{number}条,其他,电话\n".encode() for number in range(3_000)
    )  # larger than other bodies may be
    read = web.post("/data/客服", params={"file": "../客服.csv"}, content=CSV + padding).raise_for_status().json()
    assert (read["file"], read["read"], read["taken"]) == ("客服.csv", 3_004, 3_003)
    assert [(one["rows"], one["examples"][0][0]) for one in read["refused"]] == [(1, 5)]
    again = web.post("/data/客服", params={"file": "客服.csv"}, content=CSV)
    assert (again.status_code, again.json()["error"]["code"]) == (409, "exists")
    (one,) = web.get("/data").json()["data"]
    assert (one["name"], one["rows"], one["labelled"], one["labels"]["其他"]) == ("客服", 3_003, 3_002, 3_000)
    assert one["read"] == read
    page = web.get("/data/客服/rows", params={"show": "unlabelled"}).json()
    assert page["total"] == 1
    id = page["rows"][0]["row"]["id"]
    told = web.post("/data/客服/labels", json={"labels": [{"id": id, "label": "换货"}]}).json()
    assert told == {"labelled": 1, "replaced": []}
    told = web.post("/data/客服/labels", json={"labels": [{"id": id, "label": "退货"}]}).json()
    assert [one["label"] for one in told["replaced"]] == ["换货"]
    now = web.post("/data/客服/versions").json()
    assert (now["labelled"], now["waiting"], [one["action"] for one in now["changes"]]) == (
        3_003,
        0,
        ["upload", "label"],
    )
    file = web.get("/data/客服/file")
    rows = [json.loads(line) for line in file.text.splitlines()]
    assert file.headers["content-type"] == "application/jsonl"
    assert (len(rows), rows[2]["label"], rows[2]["来源"]) == (3_003, "退货", "网页")
    stale = {"version": one["version"], "columns": {"来源": None}}
    assert web.post("/data/客服/columns", json=stale).status_code == 409
    web.post("/data/客服/columns", json={**stale, "version": now["version"]}).raise_for_status()
    assert "来源" not in web.get("/data/客服").json()["columns"]
    assert web.post("/data/客服/current", json={"version": one["version"]}).json()["labelled"] == 3_002
    difference = web.get("/data/客服/diff", params={"before": now["version"]}).json()
    assert (difference["relabelled"], difference["labels"]["退货"]) == (1, [2, 1])
    web.delete("/data/客服").raise_for_status()
    assert web.get("/data").json() == {"data": []}
    assert web.get("/data/客服").status_code == 404


def test_an_upload_that_is_too_large_or_breaks_off_leaves_nothing(web: httpx.Client, running: Running) -> None:
    host, _, port = running.url.removeprefix("http://").partition(":")
    head = f"POST /data/x?file=x.csv HTTP/1.1\r\nhost: {host}\r\nauthorization: {running.headers['authorization']}\r\n"
    with socket.create_connection((host, int(port))) as large:
        large.sendall(f"{head}content-length: {MOST_BYTES + 1}\r\n\r\n".encode())
        answer = large.recv(4_096).decode()
    assert " 413 " in answer.partition("\r\n")[0]
    with socket.create_connection((host, int(port))) as gone:
        gone.sendall(f"{head}content-length: 9000\r\n\r\n".encode() + CSV)
        until(lambda: bool(left(running)))
    until(lambda: not left(running))
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(f"{head}content-length: 9000\r\n\r\n".encode() + CSV)
        began = time.monotonic()
        assert " 408 " in slow.recv(4_096).decode().partition("\r\n")[0]
        assert time.monotonic() - began < 20
    until(lambda: not left(running))
    packed = web.post("/data/x", params={"file": "x.csv"}, content=CSV, headers={"content-encoding": "gzip"})
    assert packed.status_code == 415
    assert web.get("/data").json() == {"data": []}


def test_what_is_wrong_is_told_in_one_line(web: httpx.Client, running: Running) -> None:
    for path, file, content, what in (
        ("/data/x", "run.exe", b"\x7fELF" + bytes(99), "run.exe"),
        ("/data/x", "x.csv", b"", "empty"),
        ("/data/a.b", "x.csv", CSV, "plain name"),
        ("/data/%E2%80%AEx", "x.csv", CSV, "plain name"),
    ):
        answer = web.post(path, params={"file": file}, content=content)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "cannot_be_used"), file
        assert what in answer.json()["error"]["message"]
    assert web.post("/data/x", content=CSV).status_code == 422
    assert web.post("/data/x", params={"file": "x.csv", "add": "true"}, content=CSV).status_code == 404
    assert web.get("/data/x/rows", params={"show": "nothing"}).status_code == 422
    assert left(running) == []


def test_who_may(web: httpx.Client, running: Running) -> None:
    web.post("/data/shared", params={"file": "x.csv"}, content=CSV).raise_for_status()
    page = web.get("/data/shared/rows", params={"show": "unlabelled"}).json()
    given = {"labels": [{"id": page["rows"][0]["row"]["id"], "label": "换货"}]}
    for role, looks, changes in (("client", 403, 403), ("viewer", 200, 403), ("agent", 200, 403), ("editor", 200, 200)):
        key = running.state.keys.make(role, role)
        with httpx.Client(base_url=running.url, headers={"authorization": f"Bearer {key}"}, timeout=60) as one:
            assert one.get("/data/shared/rows").status_code == looks, role
            assert one.post("/data/shared/labels", json=given).status_code == changes, role
            assert one.get("/data/shared/file").status_code == changes, role  # labels become a version first
            added = one.post("/data/shared", params={"file": "x.csv", "add": "true"}, content=CSV)
            assert added.status_code == changes, role
    assert httpx.get(f"{running.url}/data").status_code == 401
    web.delete("/data/shared").raise_for_status()
    editor = next(key.id for key in running.state.keys.list() if key.name == "editor")
    entries = [one for one in running.state.audit.entries() if one.subject == "shared"]
    assert [one.action for one in entries] == ["data.upload", "data.label", "data.add", "data.delete"]
    assert [one.actor == editor for one in entries] == [False, True, True, False]


def test_the_document_says_that_a_file_is_sent_and_given(web: httpx.Client) -> None:
    paths = web.get("/openapi.json").json()["paths"]
    assert list(paths["/data/{set}"]["post"]["requestBody"]["content"]) == ["application/octet-stream"]
    assert list(paths["/data/{set}/file"]["get"]["responses"]["200"]["content"]) == ["application/jsonl"]


def test_spans_and_lists_of_labels_come_over_the_wire(web: httpx.Client) -> None:
    web.post(
        "/data/实体", params={"file": "a.csv", "task": "tag"}, content="text\n张三在北京\n没有\n".encode()
    ).raise_for_status()
    first, second = [one["row"]["id"] for one in web.get("/data/实体/rows").json()["rows"]]
    spans = [{"start": 0, "end": 2, "label": "人名"}]
    given = {"labels": [{"id": first, "spans": spans}, {"id": second, "spans": []}]}
    assert web.post("/data/实体/labels", json=given).json() == {"labelled": 2, "replaced": []}
    told = web.post("/data/实体/labels", json={"labels": [{"id": first, "spans": [], "seen": []}]}).json()
    assert [one["label"] for one in told["replaced"]] == [spans]
    assert not web.post("/data/实体/labels", json={"labels": [{"id": first, "spans": spans, "seen": []}]}).json()[
        "replaced"
    ]
    rows = [json.loads(line) for line in web.get("/data/实体/file", params={"part": "labelled"}).text.splitlines()]
    assert [row["spans"] for row in rows] == [spans, []]
    for wrong in (
        {"spans": spans, "label": "人名"},
        {"labels": ["人名"]},
        {"label": "人名"},
        {"spans": [{"start": 0, "end": 99, "label": "x"}]},
        {"spans": [{"start": 0, "end": 2}]},
    ):
        told = web.post("/data/实体/labels", json={"labels": [{"id": first, **wrong}]})
        assert 400 <= told.status_code < 500, wrong
    web.delete("/data/实体")


def test_a_served_classifier_judges_the_labels_that_it_knows(web: httpx.Client) -> None:
    texts = [f"很好 {number} good" for number in range(40)]
    lines = [f"{text},{('positive', 'negative', 'other')[number % 3]}" for number, text in enumerate(texts)]
    content = "\n".join(["text,label", *lines]).encode()
    web.post("/data/judged", params={"file": "x.csv"}, content=content).raise_for_status()
    found = web.post("/data/judged/review", json={"model": "sentiment"}).raise_for_status().json()
    known = [line.split(",") for line in lines if not line.endswith("other")]
    asked = [web.post("/v1/classify", json={"input": text}).json()["data"][0]["label"] for text, _ in known]
    wrong = sum(label != answer for (_, label), answer in zip(known, asked, strict=True))
    assert (found["judged"], found["doubtful"], found["model"]) == (len(known), wrong, "sentiment")
    page = web.get("/data/judged/rows", params={"show": "doubtful"}).json()
    assert page["total"] == wrong
    assert all(one["doubt"]["predicted"] != one["row"]["label"] for one in page["rows"])
    assert web.post("/data/judged/review", json={"model": "nothing"}).status_code == 404
    web.delete("/data/judged").raise_for_status()
