"""Assistants for tests: a real HTTP server that speaks OpenAI's protocol, answers from a script and counts what it was asked."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Script = Callable[[str, int, Mapping[str, Any]], Any]
"""Question, how often it was asked before, and the body -> a text, a choice as the protocol has it, or (status, body, headers)."""


@dataclass
class Assistants:
    """A running server."""

    url: str
    script: Script
    key: str = ""
    models: tuple[str, ...] = ("bot",)
    calls: Counter[str] = field(default_factory=Counter)
    """Question -> how often it was asked."""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    at_once: int = 0
    most_at_once: int = 0


@contextmanager
def assistants(script: Script, *, key: str = "", models: tuple[str, ...] = ("bot",)) -> Iterator[Assistants]:
    """Give a server on a free port of this machine; every call is answered by the script."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            self.reply(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in running.models]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            if running.key and self.headers.get("authorization") != f"Bearer {running.key}":
                given = self.headers.get("authorization")
                self.reply(401, {"error": {"message": f"wrong key {given}", "type": "invalid_request_error"}})
                return
            question = body["messages"][-1]["content"]
            with running.lock:
                before = running.calls[question]
                running.calls[question] += 1
                running.bodies.append(body)
                running.at_once += 1
                running.most_at_once = max(running.most_at_once, running.at_once)
            told = running.script(question, before, body)
            with running.lock:
                running.at_once -= 1
            if isinstance(told, tuple):
                self.reply(*told)
                return
            choice = told if isinstance(told, dict) else {"message": {"role": "assistant", "content": told}}
            choice = {"index": 0, "finish_reason": "stop", **choice}
            usage = {"prompt_tokens": len(question), "completion_tokens": 9, "total_tokens": len(question) + 9}
            self.reply(200, {"object": "chat.completion", "model": body["model"], "choices": [choice], "usage": usage})

        def reply(self, status: int, value: Any, headers: Mapping[str, str] | None = None) -> None:
            image = json.dumps(value).encode()
            self.send_response(status)
            for name, text in (headers or {}).items():
                self.send_header(name, text)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(image)))
            self.end_headers()
            self.wfile.write(image)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    running = Assistants(f"http://127.0.0.1:{server.server_address[1]}/v1", script, key, models)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def fixed_part(*parts: object) -> float:
    """Return a number from 0 to 1 that these parts always give: what a scripted assistant draws its answers by."""
    return int(hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:12], 16) / 16**12


@contextmanager
def classifiers(label: Callable[[str], str]) -> Iterator[str]:
    """Give the address of a server that classifies texts, as Noria's own does: positive or negative."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_POST(self) -> None:
            texts = json.loads(self.rfile.read(int(self.headers["content-length"])))["input"]
            data = [{"label": label(text), "scores": {"negative": 0.5, "positive": 0.5}} for text in texts]
            image = json.dumps({"data": data}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(image)))
            self.end_headers()
            self.wfile.write(image)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
