"""A desk killed with -9 between a message, the call that it leads to and the reply: the conversation goes on, the call is one, the reply arrives."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from endpoints import Sent, answered, endpoint

from noria.apps.support.knowledge.building import build
from noria.server.webhook import signed, verified

ACTIONS = """
[order]
title = {en = "Order status"}
words = ["where is my order"]
answer = {en = "Order {order} is {reply.state}."}

[[order.fields]]
name = "order"
kind = "pattern"
pattern = '[A-Z]{2}\\d{8}'
ask = {en = "What is the order number?"}

[order.webhook]
url = "URL/order"
secret_env = "ORDER_SECRET"
allow_private = true
"""
CHANNELS = """
[shop]
kind = "webhook"
secret_env = "SHOP_SECRET"
url = "URL/replies"
allow_private = true
"""


@contextmanager
def desk(embedder: Path, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `noria ship support` until the block ends; give the process and its address."""
    command = [
        sys.executable,
        "-m",
        "noria",
        "ship",
        "support",
        str(embedder),
        "--kb",
        str(folder / "kb"),
        "--port",
        "0",
    ]
    command += ["--actions", str(folder / "actions.toml"), "--channels", str(folder / "channels.toml")]
    command += ["--lake", str(folder / "lake"), "--threads", "1"]
    environ = {**os.environ, "ORDER_SECRET": "one", "SHOP_SECRET": "two"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stderr
        line = next((line for line in process.stderr if "listening on" in line), "")
        found = re.search(r"listening on (http://\S+)", line)
        assert found, "the server did not start"
        threading.Thread(target=process.stderr.read, daemon=True).start()
        try:
            yield process, found[1]
        finally:
            process.kill()


def until(met: Callable[[], bool]) -> None:
    for _ in range(600):
        if met():
            return
        time.sleep(0.05)
    raise AssertionError("it took too long")


def test_killed_in_the_middle_of_an_action_it_goes_on_and_calls_once(embedder: Path, tmp_path: Path) -> None:
    (tmp_path / "lamp.md").write_text("# Lamp\n\nThe lamp is bright.\n", encoding="utf-8")
    build([tmp_path / "lamp.md"], tmp_path / "kb")
    running: list[subprocess.Popen[str]] = []

    def other(sent: Sent) -> tuple[int, dict[str, str], bytes]:
        calls = sum(one.path == "/order" for one in shop.requests)
        if sent.path == "/order" and calls == 1:
            running[-1].kill()  # it is never told what came of its first call
        return answered({"state": "on its way"})

    with endpoint(other) as shop:
        for name, text in (("actions", ACTIONS), ("channels", CHANNELS)):
            (tmp_path / f"{name}.toml").write_text(text.replace("URL", shop.url), encoding="utf-8")

        def say(url: str, text: str, id: str) -> None:
            body = json.dumps({"text": text, "user": "ann"}).encode()
            headers = signed(body, id, "two", int(time.time()))
            answer = httpx.post(f"{url}/v1/apps/support/channels/shop", content=body, headers=headers, timeout=30)
            assert answer.status_code == 200, answer.text

        def told() -> list[str]:
            return [one.json()["text"] for one in shop.requests if one.path == "/replies"]

        with desk(embedder, tmp_path) as (process, url):
            running.append(process)
            say(url, "Where is my order?", "m1")
            until(lambda: told() == ["What is the order number?"])
            say(url, "AB12345678", "m2")
            process.wait(30)
        assert told() == ["What is the order number?"]
        with desk(embedder, tmp_path) as (process, url):
            until(lambda: len(told()) == 2)
            say(url, "AB12345678", "m2")  # sent again: nothing more
            time.sleep(0.3)
    assert told() == ["What is the order number?", "Order AB12345678 is on its way."]
    calls = [one for one in shop.requests if one.path == "/order"]
    assert len(calls) == 2
    assert len({(one.headers["idempotency-key"], one.body) for one in calls}) == 1
    assert {verified(one.headers, one.body, "one", time.time()) for one in calls} == {
        calls[0].headers["idempotency-key"]
    }
