"""The server as a process of its own: killed under load, told to stop, started on a port in use."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import until

from noria.lake.outbox import Outbox, everything, reconcile


@dataclass
class Started:
    process: subprocess.Popen[str]
    url: str
    key: str
    lines: list[str]

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"authorization": f"Bearer {self.key}"}, timeout=30)


@contextmanager
def start(lake: Path, *models: Path, key: str = "", flags: tuple[str, ...] = ()) -> Iterator[Started]:
    """Run `noria ship serve` until the block ends."""
    command = [sys.executable, "-m", "noria", "ship", "serve", *map(str, models), "--lake", str(lake), "--port", "0"]
    with subprocess.Popen([*command, "--threads", "1", *flags], stderr=subprocess.PIPE, text=True) as process:
        lines: list[str] = []
        assert process.stderr
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"listening on (http://\S+)", line):
                break
        else:
            pytest.fail("".join(lines))
        url = found[1]
        if not key:
            key = re.search(r"shown this once: (\S+)", process.stderr.readline())[1]
        reader = threading.Thread(target=lambda: lines.extend(process.stderr), daemon=True)
        reader.start()
        try:
            yield Started(process, url, key, lines)
        finally:
            process.kill()
            process.wait()
            reader.join()


def test_killed_under_load_it_loses_and_doubles_nothing(classifier, tmp_path):
    acknowledged: list[str] = []
    key = ""
    for seconds in (0.4, 0.7):
        with start(tmp_path, classifier, key=key) as server:
            key = server.key
            done = threading.Event()

            def load(server: Started = server, done: threading.Event = done) -> None:
                with server.client() as client:
                    while not done.is_set():
                        try:
                            reply = client.post("/v1/classify", json={"input": ["很好", "bad"]})
                        except httpx.HTTPError:
                            return
                        if reply.status_code == 200:
                            acknowledged.append(reply.headers["x-request-id"])

            threads = [threading.Thread(target=load) for _ in range(8)]
            for thread in threads:
                thread.start()
            before = len(acknowledged)
            while len(acknowledged) < before + 12:  # however slow the machine is
                time.sleep(0.01)
            time.sleep(seconds)
            os.kill(server.process.pid, signal.SIGKILL)
            done.set()
            for thread in threads:
                thread.join()
            assert server.process.wait() == -signal.SIGKILL
    assert len(acknowledged) > 20
    before = reconcile(tmp_path)
    assert before.exact
    with Outbox(tmp_path) as outbox:
        outbox.seal(before=everything())
    import pyarrow.parquet as pq

    ids = [one for path in tmp_path.glob("events/*/*.parquet") for one in pq.ParquetFile(path).read()["id"].to_pylist()]
    assert set(acknowledged) <= set(ids)
    assert len(ids) == len(set(ids)) == before.acknowledged
    after = reconcile(tmp_path)
    assert (after.acknowledged, after.waiting, after.sealed) == (before.acknowledged, 0, before.acknowledged)


def status_of(server: Started, method: str, path: str, **more: Any) -> int:
    """Return the status of an answer; 503 where the server is gone already, for a stream may be short."""
    with server.client() as client:
        try:
            return client.request(method, path, **more).status_code
        except httpx.TransportError:
            assert server.process.wait(20) == 0
            return 503


def test_told_to_stop_it_finishes_streams_flushes_and_ends_with_0(writer, tmp_path):
    with start(tmp_path, writer, flags=("--grace", "20")) as server, server.client() as client:
        asked = {"prompt": "大", "max_tokens": 240, "temperature": 1.9, "stream": True}
        with client.stream("POST", "/v1/completions", json=asked) as reply:
            lines = reply.iter_lines()
            next(lines)
            server.process.send_signal(signal.SIGTERM)
            until(lambda: status_of(server, "GET", "/ready") == 503)
            state = status_of(server, "POST", "/v1/completions", json=asked)
            rest = [line for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        assert state == 503
        assert server.process.wait(20) == 0
        number = reply.headers["x-request-id"]
    books = reconcile(tmp_path)
    assert (books.acknowledged, books.exact) == (1, True)
    assert any(number in line and '"status": 200' in line for line in server.lines)
    assert not any("Traceback" in line for line in server.lines)


def test_a_port_in_use_and_a_missing_model_are_one_line_and_2(classifier, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(classifier, broken)
    xml = broken / "engine" / "model.xml"
    xml.write_bytes(xml.read_bytes().replace(b"<net", b"<not", 1))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, words in (
            ([str(classifier), "--port", port], f"the port is in use: found '127.0.0.1:{port}'"),
            ([str(tmp_path / "none"), "--port", "0"], "no such folder"),
            ([str(broken), "--port", "0"], "the model broken does not load"),
            ([str(classifier), "--port", "70000"], "--port is not allowed"),
            ([str(classifier), "--apps", "suport"], "did you mean support?"),
        ):
            done = subprocess.run(
                [sys.executable, "-m", "noria", "ship", "serve", "--lake", str(tmp_path / "lake"), *arguments],
                capture_output=True,
                text=True,
                timeout=60,
            )
            told = [line for line in done.stderr.splitlines() if not line.startswith(("{", "WARNING", "E0000"))]
            assert (done.returncode, len(told)) == (2, 1), done.stderr
            assert words in told[0]


def test_keys_are_made_listed_and_revoked_from_the_command_line(tmp_path):
    def noria(*arguments: str) -> str:
        command = [sys.executable, "-m", "noria", "ship", "key", *arguments, "--lake", str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    key = noria("make", "shop").strip()
    number = key.split("_")[1]
    assert "works" in noria("list")
    assert key not in noria("list")
    assert "revoked" in noria("revoke", number)
    assert "works" not in noria("list")


def test_told_to_stop_without_grace_it_tells_every_stream(writer, tmp_path):
    """Twelve streams in all states of being made: each ends with [DONE], whole or with an error that says why."""
    with start(tmp_path, writer, flags=("--grace", "0")) as server:
        ends: list[str] = []

        def stream() -> None:
            asked = {"prompt": "大", "max_tokens": 240, "stream": True}
            with server.client() as client, ExitStack() as stack:
                try:
                    reply = stack.enter_context(client.stream("POST", "/v1/completions", json=asked))
                except httpx.TransportError:  # it came when nobody listened any more
                    ends.append('"stopping": the server is stopping')
                    return
                if reply.status_code == 503:
                    ends.append(reply.read().decode())
                    return
                begun.set()
                ends.append([line for line in reply.iter_lines() if line][-2:])

        begun = threading.Event()
        threads = [threading.Thread(target=stream) for _ in range(12)]
        for thread in threads:
            thread.start()
        assert begun.wait(60)
        server.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert server.process.wait(20) == 0
    assert len(ends) == 12
    told = [end for end in ends if isinstance(end, str) or "is stopping" in end[0]]
    # Who came after the signal was turned away at the door, and is no event.
    late = [end for end in ends if isinstance(end, str) and '"stopping"' in end]
    for end in ends:
        if isinstance(end, list):
            assert end[1] == "data: [DONE]"
            assert "is stopping" in end[0] or '"finish_reason":"length"' in end[0]
        else:
            assert "is stopping" in end
    assert told, "none of 12 streams of 240 tokens can be whole at once"
    books = reconcile(tmp_path)
    assert (books.acknowledged, books.exact) == (12 - len(late), True)


def test_keys_are_scoped_limited_and_rotated_from_the_command_line(tmp_path):
    def noria(*arguments: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "noria", "ship", "key", *arguments, "--lake", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    key = noria(
        "make", "bot", "--scopes", "chat", "apps/support", "--requests-minute", "60", "--tokens-day", "1000"
    ).strip()
    number = key.split("_")[1]
    assert "chat apps/support 60 requests/min 1,000 tokens/day" in noria("list")
    new = noria("rotate", number, "--overlap-hours", "0").strip()
    listed = noria("list").splitlines()
    assert sorted(line.split()[2] for line in listed) == ["expired", "works"]
    assert new.startswith("noria_")
    assert "unknown scope" in noria("make", "x", "--scopes", "chats", code=2)
    assert "cannot be rotated" in noria("rotate", number, code=2)
