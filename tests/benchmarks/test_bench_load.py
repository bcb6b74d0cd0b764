"""The load of a benchmark: an open loop charges a server for those who wait, a closed one asks as fast as answers come."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.load import Load, load

SERVICE = 0.02
"""Seconds that the server takes for a request; it takes one at a time."""


@pytest.fixture(scope="module")
def slow() -> Iterator[str]:
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with turn:
                time.sleep(SERVICE)
            self.send_response(503 if b"bad" in body else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/x"
    server.shutdown()
    server.server_close()


def test_a_closed_loop_is_as_fast_as_the_server(slow: str):
    found = load(Load(slow, ['{"a": 1}', '{"b": "很好"}'], clients=4, seconds=1.0))
    assert found["n"] <= found["rate"] * 2.5
    assert found["rate"] < 1 / SERVICE
    # Four wait for each other.
    assert found["p50"] > 3 * SERVICE * 1e3


def test_an_open_loop_counts_from_the_time_a_request_was_due(slow: str):
    calm = load(Load(slow, ["{}"], clients=8, seconds=1.0, rate=0.2 / SERVICE, seed=1))
    crowded = load(Load(slow, ["{}"], clients=8, seconds=1.0, rate=2 / SERVICE, seed=1))
    assert calm["p50"] >= SERVICE * 1e3
    # Twice what it can do: the last of a second's requests waited for about another second.
    assert crowded["p99"] > 400 > calm["p50"]


def test_a_failed_request_fails_the_load(slow: str):
    with pytest.raises(RuntimeError, match="failed"):
        load(Load(slow, ['"bad"'], clients=2, seconds=0.2))
