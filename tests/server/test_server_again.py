"""Sent again, from another site, in pieces, too slowly: idempotency keys, CORS and the bounds on connections."""

from __future__ import annotations

import socket
import sqlite3
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from noria.core.errors import SettingError
from noria.lake.event import new_id, outbox_file
from noria.lake.outbox import reconcile
from noria.server.errors import ApiError
from noria.server.http import protocol
from noria.server.http.cors import Cors
from noria.server.http.idempotency import ALL, DAY, Idempotency
from noria.server.http.run import Running, serving
from noria.server.http.settings import ServerSettings


def count(server: Running, number: str) -> int:
    connection = sqlite3.connect(outbox_file(server.state.lake))
    found = connection.execute("SELECT count(*) FROM events WHERE id = ?", (number,)).fetchone()[0]
    connection.close()
    return int(found)


def test_a_request_sent_again_gets_the_same_answer_and_is_one_event(client: httpx.Client, server: Running):
    for path, body in (
        ("/v1/completions", {"prompt": "大", "max_tokens": 8, "model": "writer"}),
        ("/v1/completions", {"prompt": "大", "max_tokens": 8, "model": "writer", "stream": True}),
        ("/v1/classify", {"input": ""}),
    ):
        headers = {"Idempotency-Key": f"again-{path}-{len(str(body))}"}
        before = reconcile(server.state.lake).acknowledged
        first, second = (client.post(path, json=body, headers=headers) for _ in range(2))
        assert (second.status_code, second.text) == (first.status_code, first.text)
        assert second.headers["x-request-id"] == first.headers["x-request-id"]
        assert second.headers["content-type"] == first.headers["content-type"]
        assert (first.headers.get("idempotent-replayed"), second.headers["idempotent-replayed"]) == (None, "true")
        assert reconcile(server.state.lake).acknowledged == before + 1
        other = client.post(path, json={**body, "user": "x"}, headers=headers)
        assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")
    bad = client.post("/v1/classify", json={"input": "x"}, headers={"Idempotency-Key": "k" * 256})
    assert (bad.status_code, bad.json()["error"]["param"]) == (422, "Idempotency-Key")


def test_two_at_once_are_one(client: httpx.Client, server: Running):
    body = {"prompt": "A noria", "max_tokens": 200, "model": "writer", "seed": 1}
    replies: list[httpx.Response] = []

    def ask() -> None:
        with httpx.Client(
            base_url=server.url, headers={**server.headers, "Idempotency-Key": "twins"}, timeout=30
        ) as one:
            replies.append(one.post("/v1/completions", json=body))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = [reply for reply in replies if reply.status_code == 200]
    assert len({reply.headers["x-request-id"] for reply in done}) == 1
    assert {reply.status_code for reply in replies} <= {200, 409}
    assert client.post("/v1/completions", json=body, headers={"Idempotency-Key": "twins"}).text == done[0].text


def test_a_failure_and_another_key_are_made_anew():
    seconds = [0.0]
    kept = Idempotency(lambda: seconds[0])
    place, none = kept.begin("a", "/v1/x", "k", b"1")
    assert none is None
    with pytest.raises(ApiError, match="still being answered"):
        kept.begin("a", "/v1/x", "k", b"1")
    assert kept.begin("b", "/v1/x", "k", b"2")[1] is None, "keys of another customer are others"
    kept.forget(place)
    place, none = kept.begin("a", "/v1/x", "k", b"2")
    kept.keep(place, 200, [], b"answer")
    assert kept.begin("a", "/v1/x", "k", b"2")[1].body == b"answer"
    seconds[0] += DAY + 1
    assert kept.begin("a", "/v1/x", "k", b"3")[1] is None
    for number in range(70):
        place, _ = kept.begin("c", "/", str(number), b"")
        kept.keep(place, 200, [], b"x" * (1 << 20))
    assert sum(len(one.body) for one in kept._kept.values()) <= ALL
    assert kept.begin("c", "/", "0", b"")[1] is None, "the oldest go first"
    assert kept.begin("c", "/", "69", b"")[1] is not None


def test_a_clients_own_event_sent_again_is_one_event(client: httpx.Client, server: Running):
    number = new_id()
    body = {"events": [{"kind": "click", "id": number, "subject": "a"}]}
    for _ in range(2):
        assert client.post("/v1/events", json=body).json() == {"ids": [number]}
    assert count(server, number) == 1
    assert client.post("/v1/events", json={"events": [{"kind": "click", "id": "7"}]}).status_code == 422
    assert reconcile(server.state.lake).exact


def test_pages_of_other_sites_are_let_in_only_by_name(client: httpx.Client, classifier: Path, tmp_path: Path):
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    off = client.options("/v1/classify", headers=asked)
    assert off.status_code == 405
    assert "access-control-allow-origin" not in off.headers
    settings = ServerSettings(port=0, lake=tmp_path, threads=1, cors=("https://shop.example",))
    with serving(settings, [classifier]) as server, httpx.Client(base_url=server.url) as stranger:
        preflight = stranger.options("/v1/classify", headers=asked)
        assert preflight.status_code == 204
        assert preflight.headers["access-control-allow-origin"] == "https://shop.example"
        assert "authorization" in preflight.headers["access-control-allow-headers"]
        named = {**asked, "Access-Control-Request-Headers": "authorization, x-stainless-os, x-own"}
        echoed = stranger.options("/v1/classify", headers=named).headers["access-control-allow-headers"]
        assert echoed == "authorization, x-stainless-os, x-own"
        for strange in ("a" * 5_000, "x y", "(a)", "a,,b", "a: b"):
            told = stranger.options("/v1/classify", headers={**asked, "Access-Control-Request-Headers": strange})
            assert "x-noria-user" in told.headers["access-control-allow-headers"], strange
        assert "access-control-allow-credentials" not in preflight.headers
        told = stranger.post(
            "/v1/classify", json={"input": "x"}, headers={**server.headers, "Origin": "https://shop.example"}
        )
        assert (told.status_code, told.headers["access-control-allow-origin"]) == (200, "https://shop.example")
        assert stranger.post("/v1/classify", json={}, headers={"Origin": "https://shop.example"}).status_code == 401
        for origin in ("https://evil.example", "https://shop.example.evil.example", "null"):
            other = stranger.options("/v1/classify", headers={**asked, "Origin": origin})
            assert (other.status_code, other.headers.get("access-control-allow-origin")) == (401, None)
            assert "--cors" in other.json()["error"]["message"]
            assert other.headers["vary"] == "origin"
        assert stranger.options("/metrics", headers=asked).status_code == 401
    for bad in (
        "*",
        "null",
        "",
        "shop.example",
        "https://shop.example/path",
        "https://a b",
        "https://u@shop.example",
        "https://shop.example:port",
        "https://shop.example,https://b",
    ):
        with pytest.raises(SettingError, match="not an origin"):
            Cors([bad])


@pytest.mark.parametrize(
    ("given", "origin"),
    [
        ("https://Shop.Example/", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("http://shop.example:80/", "http://shop.example"),
        ("http://shop.example:443", "http://shop.example:443"),
        ("http://[::1]:3000", "http://[::1]:3000"),
        ("https://商店.example", "https://xn--czrs0t.example"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
        ("http://localhost:5173", "http://localhost:5173"),
    ],
)
def test_an_origin_is_what_a_browser_sends_for_it(given: str, origin: str):
    assert Cors([given]).origins == {origin.encode()}


def send(server: Running, *parts: bytes, pause: float = 0.0) -> bytes:
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port), timeout=10) as connection:
        received = b""
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
            while content := connection.recv(65_536):
                received += content
        except OSError:
            pass
    return received


def test_a_head_is_bounded_whole_in_pieces_and_in_lines(server: Running):
    start = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n"
    for parts in (
        (start + b"X: " + b"y" * 300_000 + b"\r\n\r\n",),
        (start + b"X: ", *[b"y" * 10_000] * 20),
        (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",),
        (start, *[b"X-%d: 1\r\n" % number for number in range(200)], b"\r\n"),
    ):
        said = send(server, *parts)
        assert said.startswith(b"HTTP/1.1 431 ") or not said, said[:80]
        assert said.count(b"HTTP/1.1") <= 1
    assert b'"server_error"' not in send(server, start + b"X: " + b"y" * 300_000)
    assert send(server, b"\x16\x03\x01\x02\x00").startswith(b"HTTP/1.1 400 ")
    assert b'{"error"' in send(server, b"BREW\r\n\r\n")
    assert httpx.get(f"{server.url}/ready").status_code == 200


def test_who_says_half_a_request_is_not_waited_for(server: Running, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    started = time.monotonic()
    assert send(server, b"GET /ready HTTP/1.1\r\nHost: ").startswith(b"HTTP/1.1 408 ")
    assert send(server) == b"", "where nothing was asked nothing is answered"
    assert time.monotonic() - started < 8
    monkeypatch.undo()
    keyed = f"GET /ready HTTP/1.1\r\nHost: x\r\n{'Connection: close'}\r\n\r\n".encode()
    assert send(server, keyed).startswith(b"HTTP/1.1 200 ")


def test_more_connections_than_bearable_are_told_to_come_back(server: Running, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(protocol, "CONNECTIONS", 3)
    place = urlsplit(server.url)
    held = [socket.create_connection((place.hostname, place.port)) for _ in range(4)]
    said = send(server, b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5" in said
    for connection in held:
        connection.close()
    monkeypatch.undo()
    assert httpx.get(f"{server.url}/ready").status_code == 200


def test_more_requests_at_once_than_allowed_are_told_to_come_back(writer: Path, tmp_path: Path):
    settings = ServerSettings(port=0, lake=tmp_path, threads=1, max_in_flight=2)
    with serving(settings, [writer]) as server:
        replies: list[httpx.Response] = []

        def flood() -> None:
            with httpx.Client(base_url=server.url, headers=server.headers, timeout=60) as one:
                replies.extend(one.post("/v1/completions", json={"prompt": "大", "max_tokens": 100}) for _ in range(4))

        threads = [threading.Thread(target=flood) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {reply.status_code for reply in replies} == {200, 503}
        over = [reply for reply in replies if reply.status_code == 503]
        assert {reply.json()["error"]["code"] for reply in over} == {"overloaded"}
        assert all(int(reply.headers["retry-after"]) >= 1 for reply in over)
        assert server.state.in_flight == 0
