"""Serving a classifier: Noria beside LitServe and a plain FastAPI handler, the same model, loaded from another process.

The model is multilingual-e5-small, trimmed to the reviews it is asked about, with a head that was fitted to reviews. Noria
serves what `compress` makes of it here, certificate included. The peers run its export to ONNX in float32, in ONNX Runtime,
one of them in OpenVINO; one more LitServe runs ONNX Runtime's dynamic 8-bit integers, and its name tells on how many of the
texts that certified Noria's engine it answers as the model does: only where that is as many as the certificate asks for is it a
peer that must be beaten. Each request is one review. Noria does all it does for customers: keys, bounds, guard, and
an event for every request, durable before the answer's last byte; the peers do none of it.

Three loads at 1, 16 and 64 connections: as fast as answers come (requests a second); at two thirds of what the slower of the
two manages so (p50 and p99, from the time a request was due); and Noria at twice that rate, its p99 beside the peer's. At
one connection the median is also told beside the bare engine's in this process: what HTTP, checks, event and the way to the
model's process cost. Servers are loaded in turns; every second repeat runs backwards.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from noria.machine import cores, isa
from noria.make.compress.certify import BOUNDS

from .line import Line, compare
from .load import Load, load
from .peers import INTEGERS, NAMES
from .reviewed import FITTED, HELD, agreeing, bases, prepare, reviews
from .served import served

CLIENTS = (1, 16, 64)
WANTED = {"AMX": (2.0, 4.0, 5.0), "AVX2": (1.3, 2.0, 2.0)}
"""How many times the requests a second of the better LitServe are wanted, at each number of clients."""
SHARE = 2 / 3
"""Of what the slower of two manages, at which latencies are compared: a queue forms, and does not grow."""
TEXTS = 500
REST = 1.5
"""Seconds between two servers' turns: ONNX Runtime's threads go on spinning for about a second after the last answer, on the cores
of whoever is asked next."""


@dataclass(frozen=True)
class Place:
    """Where a server takes requests."""

    url: str
    headers: dict[str, str]


def measure(*, quick: bool) -> list[Line]:
    """Return a line for each peer, load and number of connections; quick takes 3 repeats of 0.8 seconds each, else 5 of
    4, and latencies beside one peer."""
    rows = reviews()
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as there, ExitStack() as stack:
        model = Path(there) / "served" / "model"
        prepare(model, bases(Path(there), [row["text"] for row in rows])["e5-small, trimmed"], rows)
        agreed = agreeing(model, [row["text"] for row in rows[FITTED : FITTED + HELD]])
        asked = [row["text"] for row in rows[FITTED + HELD :]][:TEXTS]
        bodies = [json.dumps({"input": text}, ensure_ascii=False) for text in asked]
        chosen = model.with_name("noria")
        lake = served(Path(there) / "lake", chosen, flags=("--max-in-flight", "4096", "--queue", "4096"))
        server = stack.enter_context(lake)
        places = {"noria": Place(f"{server.url}/v1/classify", {"authorization": f"Bearer {server.key}"})}
        for name in (*NAMES, INTEGERS):
            places[name] = stack.enter_context(_peer(name, model))
        return _lines(places, bodies, asked, chosen, agreed, quick=quick)


def _lines(
    places: dict[str, Place],
    bodies: list[str],
    rows: list[str],
    model: Path,
    agreed: float,
    *,
    quick: bool,
) -> list[Line]:
    repeats, seconds = (3, 0.8) if quick else (5, 4.0)
    beside = (NAMES[1],) if quick else NAMES
    for place in places.values():
        load(Load(place.url, bodies, 4, 1.0, headers=place.headers))
    found: dict[tuple[str, int, str], list[float]] = {}
    bare: list[float] = []
    for number in range(repeats):
        bare.append(bare_engine(model, rows))
        for clients in CLIENTS:
            # Every second repeat runs backwards, so that a machine that slows or quickens favours no one.
            order = sorted(places, reverse=bool(number % 2))
            fast = {}
            for name in order:
                place = places[name]
                time.sleep(REST)
                told = load(Load(place.url, bodies, clients, seconds, headers=place.headers, seed=number))
                fast[name] = told["rate"]
                for key in ("rate", "p50"):
                    found.setdefault((name, clients, key), []).append(told[key])
                print(f"serve {number + 1}/{repeats}, {clients} clients: {name}: {told}", file=sys.stderr)
            for peer in beside:
                rate = SHARE * min(fast["noria"], fast[peer])
                both = [(peer, peer, 1), ("noria", peer, 1), ("noria", f"{peer}, twice", 2)]
                for name, key, times in both if number % 2 else both[::-1]:
                    place = places[name]
                    time.sleep(REST)
                    given = Load(place.url, bodies, clients, seconds, times * rate, place.headers, number)
                    told = load(given)
                    for part in ("p50", "p99"):
                        found.setdefault((f"{name} beside {key}", clients, part), []).append(told[part])
    return [*_compared(found, agreed), *_wanted(found, agreed), *_overheads(found, bare)]


def _compared(found: dict[tuple[str, int, str], list[float]], agreed: float) -> list[Line]:
    lines = []
    for peer in NAMES:
        for clients in CLIENTS:
            at = f"{clients} client{'s' * (clients > 1)}"
            lines.append(
                compare(
                    "serve",
                    _rate(clients),
                    found["noria", clients, "rate"],
                    found[peer, clients, "rate"],
                    peer,
                    "requests/s",
                )
            )
            if (f"{peer} beside {peer}", clients, "p99") not in found:
                continue
            theirs = found[f"{peer} beside {peer}", clients, "p99"]
            for part in ("p50", "p99"):
                lines.append(
                    compare(
                        "serve",
                        f"{part} at an equal rate, {at}",
                        found[f"noria beside {peer}", clients, part],
                        found[f"{peer} beside {peer}", clients, part],
                        peer,
                        "ms",
                        higher_is_better=False,
                    )
                )
            lines.append(
                compare(
                    "serve",
                    f"p99 at twice the peer's rate, {at}",
                    found[f"noria beside {peer}, twice", clients, "p99"],
                    theirs,
                    peer,
                    "ms",
                    higher_is_better=False,
                )
            )
    told = f"{INTEGERS}, alike on {agreed:.2f} of {HELD}"
    for clients in CLIENTS:
        measured, theirs = _rate(clients), found[INTEGERS, clients, "rate"]
        lines.append(compare("serve", measured, found["noria", clients, "rate"], theirs, told, "requests/s"))
    return lines


def _rate(clients: int) -> str:
    return f"requests a second, {clients} client{'s' * (clients > 1)}"


def _wanted(found: dict[tuple[str, int, str], list[float]], agreed: float) -> list[Line]:
    lines, peers = [], [name for name in NAMES if name.startswith("LitServe")]
    if agreed >= BOUNDS["classify"]:
        peers.append(INTEGERS)
    for clients, times in zip(CLIENTS, WANTED["AMX" if isa() == "AMX" else "AVX2"], strict=True):
        best = max((found[peer, clients, "rate"] for peer in peers), key=statistics.geometric_mean)
        measured, told = _rate(clients), [times * rate for rate in best]
        peer = f"wanted: {times:g} times as many as the better LitServe"
        lines.append(compare("serve", measured, found["noria", clients, "rate"], told, peer, "requests/s"))
    return lines


def _overheads(found: dict[tuple[str, int, str], list[float]], bare: list[float]) -> list[Line]:
    with_http = found["noria", 1, "p50"]
    over = statistics.median(one - other for one, other in zip(with_http, bare, strict=True))
    return [
        compare(
            "serve",
            f"median of one client (overhead {over:.2f} ms)",
            with_http,
            bare,
            "the bare engine",
            "ms",
            higher_is_better=False,
        )
    ]


def bare_engine(model: Path, rows: list[str], asked: int = 200) -> float:
    """Return the median milliseconds that the engine takes for one text in a process of its own."""
    code = (
        "import json, statistics, sys, time; from noria.infer.choose import open_engine; from noria.infer.engine import answer\n"
        "rows = json.load(sys.stdin); engine = open_engine(sys.argv[1]); found = []\n"
        "for row in rows[:20]: answer(engine, [row])\n"
        "for row in rows:\n"
        "    start = time.perf_counter(); answer(engine, [row]); found.append(1e3 * (time.perf_counter() - start))\n"
        "print(statistics.median(found))"
    )
    texts = [rows[place % len(rows)] for place in range(asked)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(cores()), "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(model)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return float(done.stdout)


@contextmanager
def _peer(name: str, folder: Path) -> Iterator[Place]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.peers", name, str(folder), str(port)]
    with (
        tempfile.TemporaryFile("w+") as words,
        subprocess.Popen(command, stdout=words, stderr=words, start_new_session=True) as process,
    ):
        try:
            _wait(port, process, words)
            yield Place(f"http://127.0.0.1:{port}/predict", {})
        finally:
            # LitServe has processes of its own: all of the session end.
            os.killpg(process.pid, 9)
            process.wait()


def _wait(port: int, process: subprocess.Popen[bytes], words: object) -> None:
    import httpx

    end = time.monotonic() + 300
    while time.monotonic() < end and process.poll() is None:
        try:
            asked = httpx.post(f"http://127.0.0.1:{port}/predict", json={"input": "很好"}, timeout=30)
        except httpx.HTTPError:
            time.sleep(0.1)
            continue
        if asked.status_code == 200:
            return
        time.sleep(0.1)
    words.seek(0)  # type: ignore[attr-defined]
    raise RuntimeError(f"a peer did not start: {words.read()[-800:]}")  # type: ignore[attr-defined]
