"""The load of the benchmarks and faults: it counts whole answers only, and goes on after a server that breaks off."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.asking import ask, streamed


class Moody(BaseHTTPRequestHandler):
    """Answers by turns: well, with 503, and cut short."""

    protocol_version = "HTTP/1.1"
    turns = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        type(self).turns += 1
        number = type(self).turns
        self.send_response(503 if number % 3 == 1 else 200)
        self.send_header("x-request-id", f"id-{number}")
        self.send_header("content-length", "10")
        self.end_headers()
        self.wfile.write(b"0123" if number % 3 == 2 else b"0123456789")
        self.close_connection = number % 3 == 2

    def log_message(self, *_: object) -> None:
        pass


def test_only_whole_answers_are_told():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Moody)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        asked = ask(url, "key", {"input": "很好"}, clients=1, seconds=30, until=lambda: Moody.turns >= 9)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert dict(asked.statuses) == {503: 3, 0: 3, 200: 3}
    assert asked.ids == ["id-3", "id-6", "id-9"]
    assert [status for _, status in asked.last] == [503, 0, 200] * 3


def test_an_unknown_fault_is_one_line_and_exit_code_2():
    command = [sys.executable, "-m", "benchmarks.faults", "kil-server"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.startswith("benchmarks: unknown fault: found 'kil-server'")


class Streaming(BaseHTTPRequestHandler):
    """Streams a chat or a completion, in which a piece without text comes first; breaks off or refuses where it is told to."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(500 if body["prompt"] == "refuse" else 200)
        self.end_headers()
        texts = ["", "水", "很清"]
        pieces = [{"delta": {"content": one}} if body["prompt"] == "chat" else {"text": one} for one in texts]
        chunks = [{"choices": [one]} for one in pieces]
        if body["prompt"] != "cut":
            chunks.append({"choices": [], "usage": {"completion_tokens": 7}})
        assert body["stream"]
        assert body["stream_options"] == {"include_usage": True}
        for one in chunks:
            self.wfile.write(f"data: {json.dumps(one, ensure_ascii=False)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, *_: object) -> None:
        pass


def test_a_stream_is_read_whole_or_is_none():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Streaming)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/v1/completions"
        for kind in ("chat", "text"):
            told = asyncio.run(streamed(url, "key", {"prompt": kind}))
            assert (told.tokens, told.text) == (7, "水很清")
            assert 0 < told.first < 10
        with pytest.raises(RuntimeError, match="ended early"):
            asyncio.run(streamed(url, "", {"prompt": "cut"}))
        with pytest.raises(RuntimeError, match="500"):
            asyncio.run(streamed(url, "", {"prompt": "refuse"}))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
