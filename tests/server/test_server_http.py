"""The server over real HTTP: answers, limits, hostile requests, keys, and an event for every request."""

from __future__ import annotations

import json
import socket
import sqlite3
import threading
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from serving import until
from tiny_models import LABELS, TEXTS

from noria.core.errors import ResourceError, SettingError
from noria.lake.event import COLUMNS, Event, outbox_file
from noria.lake.outbox import reconcile
from noria.server.http.app import create_app
from noria.server.http.keys import Keys
from noria.server.http.routes import ROUTES, routes_of
from noria.server.http.run import Running, serving
from noria.server.http.settings import ServerSettings


def events(server: Running) -> dict[str, Event]:
    connection = sqlite3.connect(outbox_file(server.state.lake))
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    rows = connection.execute(f"SELECT {names} FROM events").fetchall()
    connection.close()
    return {row[0]: Event.from_row(row) for row in rows}


def test_classify_and_tag_answer_in_order(client):
    said = client.post("/v1/classify", json={"input": TEXTS}).json()
    assert said["model"] == "sentiment"
    assert [one["index"] for one in said["data"]] == list(range(len(TEXTS)))
    assert all(one["label"] in LABELS and abs(sum(one["scores"].values()) - 1) < 1e-6 for one in said["data"])
    tagged = client.post("/v1/tag", json={"model": "entities", "input": "北京的冬天很冷"}).json()["data"][0]
    assert all("北京的冬天很冷"[span["start"] : span["end"]] == span["text"] for span in tagged["spans"])


def test_every_answer_has_its_event_before_it_ends(client, server):
    asked = {"model": "sentiment", "input": ["很好", "bad"], "user": "anna@example.org", "consent": True}
    reply = client.post("/v1/classify", json=asked)
    event = events(server)[reply.headers["x-request-id"]]
    assert (event.kind, event.app, event.model, event.units, event.unit) == ("request", "api", "sentiment", 2, "items")
    assert (event.outcome, event.segment, event.consent) == ("ok", "zh", True)
    assert event.version == server.state.models["sentiment"].version
    assert event.latency_ms > 0
    assert event.user
    assert event.tenant == server.key.split("_")[1]
    database = b"".join(path.read_bytes() for path in outbox_file(server.state.lake).parent.iterdir())
    assert b"anna" not in database
    assert "很好".encode() not in database
    again = client.post("/v1/classify", json={"input": "good"}, headers={"X-Noria-User": "anna@example.org"})
    assert events(server)[again.headers["x-request-id"]].user == event.user
    assert events(server)[again.headers["x-request-id"]].segment == "en"
    told = client.post(
        "/v1/classify", json={"input": "good"}, headers={"X-Noria-Segment": "retail", "X-Noria-Consent": "yes"}
    )
    assert events(server)[told.headers["x-request-id"]].segment == "retail"
    assert events(server)[told.headers["x-request-id"]].consent is True


def test_a_stream_has_its_event_before_it_says_done(client, server):
    with client.stream("POST", "/v1/completions", json={"prompt": "大", "max_tokens": 8, "stream": True}) as reply:
        for line in reply.iter_lines():
            if line == "data: [DONE]":
                event = events(server)[reply.headers["x-request-id"]]
                assert event.units == 9, "one token of prompt and eight of text"
                break
    assert (event.unit, event.outcome, event.model) == ("tokens", "ok", "writer")


def test_a_stream_left_early_is_counted_and_stops_the_model(client, server):
    with client.stream("POST", "/v1/completions", json={"prompt": "大", "max_tokens": 200, "stream": True}) as reply:
        next(reply.iter_lines())
        number = reply.headers["x-request-id"]
    until(lambda: number in events(server) and not server.state.in_flight)
    assert 0 < events(server)[number].units < 200
    until(lambda: server.state.models["writer"].worker.depth == 0)


def test_refused_requests_are_counted_as_refused(client, server):
    reply = client.post("/v1/classify", json={"input": ""})
    assert events(server)[reply.headers["x-request-id"]].outcome == "refused"


def test_feedback_and_client_events(client, server):
    answer = client.post("/v1/classify", json={"input": "很好"}).headers["x-request-id"]
    said = client.post("/v1/feedback", json={"request": answer, "right": False, "user": "u1"}).json()
    event = events(server)[said["id"]]
    assert (event.kind, event.subject, event.value) == ("feedback", answer, -1.0)
    made = client.post(
        "/v1/events",
        json={
            "events": [
                {"kind": "impression", "subject": "article-7", "user": "u1", "app": "recommend"},
                {"kind": "conversion", "value": 12.5, "user": "u1"},
            ]
        },
    ).json()["ids"]
    assert [events(server)[one].kind for one in made] == ["impression", "conversion"]
    assert {events(server)[one].user for one in made} == {event.user}
    assert client.post("/v1/events", json={"events": [{"kind": "request"}]}).status_code == 422


def test_an_application_asks_records_and_is_counted(client, server):
    assert server.state.models["sentiment"].worker.facts["engine"] == "openvino"
    reply = client.post("/v1/apps/echo/say", json={"text": "很好", "user": "u9"})
    assert reply.json()["label"] in LABELS
    stored = events(server)
    request, alert = stored[reply.headers["x-request-id"]], stored[reply.json()["alert"]]
    assert (request.app, request.model, request.units, request.segment) == ("echo", "sentiment", 1, "zh")
    assert (alert.kind, alert.app, alert.subject) == ("alert", "echo", request.id)
    assert alert.user == request.user != ""
    assert alert.tenant == request.tenant
    assert client.post("/v1/apps/echo/say", json={"text": 7}).json()["error"]["param"] == "text"
    assert client.get("/v1/apps/echo/started").json() == {"dimensions": 32}
    assert 'route="/v1/apps/echo/say"' in client.get("/metrics").text


def test_the_books_balance(client, server):
    sent = [client.post("/v1/classify", json={"input": text}).headers["x-request-id"] for text in TEXTS]
    assert set(sent) <= set(events(server))
    assert reconcile(server.state.lake).exact


def test_every_route_denies_by_default(server):
    """Whatever is mounted, now or later: without a key nothing but /health and /ready answers."""
    paths = [("GET", "/"), ("GET", "/docs"), ("POST", "/v1/none"), ("DELETE", "/v1/models"), ("GET", "/health/x")]

    paths.extend((route.method, route.path) for route in (*ROUTES, *routes_of(server.state.apps)))
    assert not list(iter_route_contexts(server.app.routes))  # nothing stands beside the table
    assert ("POST", "/v1/apps/echo/say") in paths
    assert ("POST", "/v1/completions") in paths
    assert len(paths) > 15
    with httpx.Client(base_url=server.url) as stranger:
        for method, path in paths:
            status = stranger.request(method, path.replace("{model}", "sentiment")).status_code
            assert status == (200 if path in ("/health", "/ready") else 401), (method, path)
        for headers in (
            {"authorization": "Basic x"},
            {"authorization": "Bearer"},
            {"cookie": "noria=1"},
            {"authorization": server.headers["authorization"][:-1]},
            {"authorization": "Bearer noria__"},
        ):
            assert stranger.get("/v1/models", headers=headers).status_code == 401


def test_a_client_key_uses_the_api_and_no_more_and_dies_when_revoked(server):
    keys = Keys(server.state.lake / "server")
    key = keys.make("shop")
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=server.url, headers=headers) as shop:
        assert shop.post("/v1/classify", json={"input": "x"}).status_code == 200
        assert shop.get("/metrics").status_code == 403
        keys.revoke(key.split("_")[1])
        assert shop.get("/v1/models").status_code == 401
    assert key not in keys.path.read_text()
    assert key.split("_", 2)[2] not in keys.path.read_text()
    assert keys.path.stat().st_mode & 0o077 == 0


def test_the_first_start_makes_one_admin_key(tmp_path):
    keys = Keys(tmp_path)
    first = keys.first()
    assert first
    assert keys.check(first).role == "admin"
    assert keys.first() is None
    keys.revoke(first.split("_")[1])
    assert keys.check(first) is None
    assert Keys(tmp_path).first()
    with pytest.raises(SettingError, match="unknown key"):
        keys.revoke("nobody")


BAD = [
    ({"input": 7}, 422, "input"),
    ({}, 422, "input"),
    ({"input": []}, 422, "input"),
    ({"input": ["a"] * 33}, 422, "input"),
    ({"input": [""]}, 422, "input.0"),
    ({"input": "x", "modle": "sentiment"}, 422, "modle"),
    ({"input": "x", "model": "entities"}, 404, "model"),
    ({"input": "x", "model": "../../etc/passwd"}, 404, "model"),
    ({"input": "x", "user": "u" * 300}, 422, "user"),
]


@pytest.mark.parametrize(("body", "status", "field"), BAD)
def test_bad_bodies_name_the_field(client, body, status, field):
    reply = client.post("/v1/classify", json=body)
    assert (reply.status_code, reply.json()["error"]["param"]) == (status, field)
    assert reply.headers["x-request-id"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -1),
        ("temperature", 2.5),
        ("top_p", 0),
        ("top_p", 1.5),
        ("max_tokens", 0),
        ("max_tokens", 10**6),
        ("top_k", -1),
        ("seed", 2**70),
        ("n", 9),
        ("best_of", 3),
        ("logprobs", 6),
        ("stop", ["a"] * 5),
        ("echo", True),
        ("logit_bias", {"1": 5}),
        ("stream_options", {"x": 1}),
        ("temperature", "hot"),
        ("temperature", 10**400),
    ],
)
def test_sampling_numbers_are_bounded(client, field, value):
    reply = client.post("/v1/completions", json={"prompt": "x", field: value})
    assert reply.status_code == 422
    assert reply.json()["error"]["param"].startswith(field)


HOSTILE = [
    b"",
    b"{",
    b"null",
    b"[]",
    b"7",
    b"NaN",
    b'"x"',
    b"\xff\xfe\x00",
    b'{"input": "\xc3\x28"}',
    b'{"input": "\\ud800"}',
    b'{"input": NaN}',
    b'{"prompt": "x", "temperature": NaN}',
    b'{"prompt": "x", "temperature": Infinity}',
    b'{"prompt": "x", "temperature": 1e999}',
    b'{"prompt": "x", "seed": ' + b"9" * 5000 + b"}",
    b"[" * 30_000,
    b'{"input": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    b'{"a":' * 8_000,
    b'{"input": {"$ne": null}}',
    b'{"input": "{{7*7}}${7*7}<script>"}',
    b'{"input": "\\u0000"}',
    b'{"prompt": "\\u0000\\uffff", "max_tokens": 1}',
    b'{"input": "x", "input": ["y"]}',
    b'{"events": [{"kind": "click", "value": 1e308, "subject": "\\ud800"}]}',
    b'{"events": [{"kind": "click", "value": NaN}]}',
    b'{"request": "x", "right": true}',
    b'{"model": "\\ud800", "input": "x"}',
    b'{"model": "a", "messages": []}',
    b'{"stop": [""], "prompt": "x"}',
    b'{"prompt": ["a", "b"]}',
    b'{"prompt": [1, 2]}',
]
POSTS = [
    "/v1/classify",
    "/v1/tag",
    "/v1/embeddings",
    "/v1/completions",
    "/v1/chat/completions",
    "/v1/feedback",
    "/v1/events",
]


def test_hostile_bodies_meet_no_server_error(client, server):
    for path in POSTS:
        for content in HOSTILE:
            for kind in ("application/json", "text/plain"):
                reply = client.post(path, content=content, headers={"content-type": kind})
                assert reply.status_code < 500, (path, content[:60], reply.text)
                if reply.status_code >= 400:
                    assert set(reply.json()["error"]) == {"message", "type", "param", "code"}
                    assert "/" + "noria" not in reply.text, "no path of the machine is told"
    assert server.state.ready
    assert reconcile(server.state.lake).exact


def raw(server: Running, content: bytes, wanted: bytes = b"") -> bytes:
    """Send bytes as they are and return what comes back until the server closes or falls silent, or what is wanted has come."""
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port), timeout=30) as connection:
        connection.settimeout(30 if wanted else 1)
        received = b""
        try:
            connection.sendall(content)
            while not (wanted and wanted in received) and (part := connection.recv(65_536)):
                received += part
        except OSError:
            pass
    return received


def test_hostile_bytes_meet_no_server_error(server):
    key = f"Authorization: {server.headers['authorization']}\r\n".encode()
    post = (
        b"POST /v1/classify HTTP/1.1\r\nHost: x\r\n" + key + b"Content-Type: application/json\r\nConnection: close\r\n"
    )
    for content in (
        b"\x16\x03\x01\x02\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /%ff%00../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET //v1/models HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n" + key + b"\r\n",
        b"BREW /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + key + b"\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\nX-Noria-User: \xff\xfe\x80\r\nConnection: close\r\n" + key + b"\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xff_\xfe_\xfd\r\nConnection: close\r\n\r\n",
        post + b"Content-Length: -5\r\n\r\n{}",
        post + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
        post + b"Content-Length: \xb2\r\n\r\n{}",
        post + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        post + b"Content-Length: 10\r\n\r\n{",
    ):
        said = raw(server, content)
        assert not said.startswith((b"HTTP/1.1 5", b"HTTP/1.0 5")), (content[:60], said[:200])
    assert httpx.get(f"{server.url}/ready").status_code == 200


def test_large_bodies_are_refused_told_or_not(client, server):
    assert client.post("/v1/classify", content=b"x" * 70_000).status_code == 413
    reply = client.post("/v1/classify", content=(b"x" * 10_000 for _ in range(8)))
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "body_too_large")
    post = f"POST /v1/classify HTTP/1.1\r\nHost: x\r\nAuthorization: {server.headers['authorization']}\r\n"
    assert b" 413 " in raw(server, f"{post}Content-Length: 99999999999\r\n\r\n".encode(), b" 413 ")


def test_headers_are_bounded(server):
    said = raw(server, b"GET /v1/models HTTP/1.1\r\nHost: x\r\n" + b"X-Pad: " + b"y" * 300_000 + b"\r\n\r\n")
    assert b" 200 " not in said
    assert b" 5" not in said[:12]


def test_a_flood_is_told_to_come_back_and_the_server_lives(all_models, tmp_path):
    settings = ServerSettings(port=0, lake=tmp_path, threads=1, queue=2)
    with serving(settings, all_models[:1]) as small:
        codes: list[int] = []

        def flood() -> None:
            with httpx.Client(base_url=small.url, headers=small.headers, timeout=30) as one:
                for _ in range(5):
                    reply = one.post("/v1/classify", json={"input": TEXTS * 4})
                    codes.append(reply.status_code)
                    assert reply.status_code == 200 or int(reply.headers["retry-after"]) >= 1

        threads = [threading.Thread(target=flood) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(codes) == {200, 429}
        assert httpx.post(f"{small.url}/v1/classify", headers=small.headers, json={"input": "x"}).status_code == 200
        with (
            pytest.raises(ResourceError, match="port is in use"),
            serving(settings.replace(port=urlsplit(small.url).port), all_models[:1]),
        ):
            pass
    books = reconcile(tmp_path)
    assert (books.acknowledged, books.exact) == (61, True)


def test_a_full_disk_refuses_new_work_and_says_so(client, server, monkeypatch):
    def full(events):
        raise ResourceError("events cannot be stored", found="database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(server.state.meter.outbox, "record", full)
        reply = client.post("/v1/classify", json={"input": "x"})
        assert (reply.status_code, reply.json()["error"]["code"]) == (503, "unavailable")
        assert "label" not in reply.text
    assert client.post("/v1/classify", json={"input": "x"}).status_code == 200


def test_metrics_tell_routes_and_never_words(client):
    client.post("/v1/classify", json={"input": "geheim-7"})
    client.get("/v1/geheim-8", params={"q": "geheim-9"})
    text = client.get("/metrics").text
    assert 'noria_requests_total{method="POST",route="/v1/classify",status="200"}' in text
    assert 'noria_model_ready{model="sentiment"} 1.0' in text
    assert "geheim" not in text


def test_logs_are_json_without_words(all_models, tmp_path, capsys):
    from noria.server.http.logs import json_log

    with serving(ServerSettings(port=0, lake=tmp_path, threads=1), all_models[:1], log=json_log()) as one:
        httpx.post(f"{one.url}/v1/classify?x=geheim", headers=one.headers, json={"input": "geheim", "user": "geheim"})
        httpx.post(f"{one.url}/v1/geheim", headers=one.headers, json={"input": "geheim"})
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert [line["status"] for line in lines if line["event"] == "request"] == [200, 404]
    assert not any("geheim" in json.dumps(line) for line in lines)
    assert one.key.split("_", 2)[2] not in json.dumps(lines)


def test_two_models_of_one_name_are_refused(classifier, plain_classifier, tmp_path: Path):
    with pytest.raises(SettingError, match="share a name"):
        create_app(ServerSettings(lake=tmp_path), [classifier, plain_classifier])
