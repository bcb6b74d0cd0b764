"""Serving a real decoder on this processor: SmolLM2-135M in 8 and in 4 bits, Noria beside llama.cpp's own server on the same weights.

The 4-bit file is the one that arrives as a package, as a stranger's would; the 8-bit one is written by Noria. Noria answers behind its own HTTP, keys,
bounds, guard and durable events; the peer as it comes (its server inside xllamacpp), with places for as many clients and a context as long as
the model's. Every client chats, again and again, with a question of its own of some 60 tokens and 64 tokens of answer; 1 and 8 clients at
once. Then one client talks for twenty turns of 24 tokens, each server remembering what it read; the last turn's time to the first text counts. At last what the
servers' processes hold of memory (PSS, so that what two of them share counts once) is put beside the file's size. Servers are asked in turns;
every second repeat runs backwards.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from noria.machine import cores

from .line import Line, compare
from .served import served

PEER = "llama.cpp's server"
CLIENTS = (1, 8)
TOKENS, SHORT, TOGETHER, TURNS = 64, 24, 8, 20
CONTEXT = 8_192
BARS = {1: 0.97, 8: 1.2}
"""Clients -> how many times the peer is wanted."""
MEMORY = 1.5
"""Times the file's size that serving may hold."""
WORDS = [
    "water",
    "river",
    "stone",
    "bridge",
    "market",
    "winter",
    "summer",
    "garden",
    "window",
    "letter",
    "morning",
    "evening",
    "doctor",
    "teacher",
    "village",
    "mountain",
    "paper",
    "machine",
    "music",
    "history",
    "science",
    "language",
    "kitchen",
    "island",
    "forest",
    "harbour",
    "engine",
    "station",
    "library",
    "museum",
]


def measure(*, quick: bool) -> list[Line]:
    """Return lines for both files: speed and first text at 1 and 8 clients, a long conversation, memory."""
    repeats, seconds = (2, 3.0) if quick else (4, 12.0)
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as there:
        folder = Path(there)
        for name, (model, file) in prepared(folder).items():
            found: dict[tuple[str, str], list[float]] = {}
            with served(folder / f"lake-{name}", model) as ours, peer_of(file) as theirs:
                places = {
                    "noria": (f"{ours.url}/v1", ours.key, ours.process.pid),
                    PEER: (f"{theirs[0]}/v1", "", theirs[1]),
                }
                for number in range(-1, repeats):
                    for who in sorted(places, reverse=bool(number % 2)):
                        told = _asked(*places[who][:2], number + 1, seconds if number >= 0 else 1.0)
                        for key, value in told.items() if number >= 0 else ():
                            found.setdefault((who, key), []).append(value)
                        print(f"decoders {number + 1}/{repeats}, {name}: {who}: {told}", file=sys.stderr)
                held = {who: memory_of(place[2]) / 2**20 for who, place in places.items()}
            lines += _lines(name, found, held, file.stat().st_size / 2**20)
    return lines


def _lines(name: str, found: dict[tuple[str, str], list[float]], held: dict[str, float], size: float) -> list[Line]:
    title, lines = f"SmolLM2-135M in {name}", []
    for clients in CLIENTS:
        at = f"{clients} client{'s' * (clients > 1)}"
        for key, what, unit in (("speed", "tokens a second", "tokens/s"), ("first", "time to the first text", "ms")):
            ours, theirs = (found[who, f"{key} {clients}"] for who in ("noria", PEER))
            higher, bar = key == "speed", BARS[clients]
            wanted = [one * bar if higher else one / bar for one in theirs]
            told = f"wanted: {bar:g} times {PEER}"
            lines += _pair(f"{title}, {what}, {at}", ours, theirs, wanted, told, unit, higher=higher)
    ours, theirs = (found[who, "last"] for who in ("noria", PEER))
    told = f"wanted: 1 times {PEER}"
    lines += _pair(f"{title}, first text at turn {TURNS}", ours, theirs, theirs, told, "ms", higher=False)
    told = f"wanted: {MEMORY:g} times the file"
    measured = f"{title}, memory to serve"
    return lines + _pair(measured, [held["noria"]], [held[PEER]], [MEMORY * size], told, "MB", higher=False)


def _pair(
    measured: str, ours: list[float], theirs: list[float], wanted: list[float], told: str, unit: str, *, higher: bool
) -> list[Line]:
    return [
        compare("decoders", measured, ours, values, peer, unit, higher_is_better=higher)
        for values, peer in ((theirs, PEER), (wanted, told))
    ]


def prepared(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Return what Noria serves and what the peer does, in 8 and in 4 bits."""
    from noria.core.folder import new_folder, read_manifest, write_json
    from noria.infer.engine import ENGINES
    from noria.make.compress.gguf import write_gguf
    from noria.make.compress.quantize import copy_files
    from noria.make.models.bundled import SMOLLM2_FILE, smollm2

    base = smollm2(folder / "base")
    with new_folder(folder / "smollm2", kind="model") as made:
        copy_files(base, made.path)
        write_gguf(base, made.path / ENGINES["llamacpp"], "8 bits")
        write_json(made.path / "certificate.json", {"passed": True, "note": "for measuring speed only"})
        made.facts.update({**read_manifest(base).facts, "task": "chat", "max_length": CONTEXT})
    package = next(Path(one) for one in sys.path if (Path(one) / SMOLLM2_FILE).is_file()) / SMOLLM2_FILE
    four = folder / package.name.lower()
    shutil.copyfile(package, four)
    return {"8 bits": (folder / "smollm2", folder / "smollm2" / ENGINES["llamacpp"]), "4 bits": (four, four)}


def _asked(url: str, key: str, turn: int, seconds: float) -> dict[str, float]:
    """Return what clients saw, from a process of their own: "speed N" and "first N" for N clients, "last" of a conversation."""
    told = json.dumps({"url": url, "key": key, "turn": turn, "seconds": seconds})
    command = [sys.executable, "-m", "benchmarks.decoders_serve", "ask"]
    done = subprocess.run(command, input=told, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the clients failed: {(done.stderr.strip() or 'no words').splitlines()[-1]}")
    return dict(json.loads(done.stdout))


async def ask(url: str, key: str, turn: int, seconds: float) -> dict[str, float]:
    """Chat with one and with eight clients for some seconds each, then once for twenty turns."""
    import random
    import statistics
    import time

    chance, told = random.Random(turn), dict[str, float]()
    for clients in CLIENTS:
        begun, firsts, written = time.perf_counter(), list[float](), [0]

        async def client(firsts: list[float], written: list[int], begun: float) -> None:
            while time.perf_counter() - begun < seconds:
                first, count, _ = await chatted(url, key, [{"role": "user", "content": _question(chance, 50)}])
                firsts.append(first)
                written[0] += count

        await asyncio.gather(*(client(firsts, written, begun) for _ in range(clients)))
        told[f"speed {clients}"] = written[0] / (time.perf_counter() - begun)
        told[f"first {clients}"] = 1e3 * statistics.median(firsts)
    messages: list[dict[str, str]] = []
    first = 0.0
    for _ in range(TURNS if turn else 1):  # the round before the first is not timed
        messages.append({"role": "user", "content": _question(chance, 30)})
        first, _, text = await chatted(url, key, messages, SHORT)
        messages.append({"role": "assistant", "content": text})
    return {**told, "last": 1e3 * first}


def _question(chance: Any, count: int) -> str:
    return "Write about " + " ".join(chance.choice(WORDS) for _ in range(count)) + "."


async def chatted(url: str, key: str, messages: list[dict[str, str]], tokens: int = TOKENS) -> tuple[float, int, str]:
    """Return the seconds to the first text, the tokens and the text of one answer."""
    import time

    place = urlsplit(url)
    body: dict[str, Any] = {"messages": messages, "max_tokens": tokens, "stream": True, "temperature": 0}
    body["stream_options"] = {"include_usage": True}
    content = json.dumps(body).encode()
    head = (
        f"POST {place.path}/chat/completions HTTP/1.1\r\nhost: {place.netloc}\r\nauthorization: Bearer {key or 'none'}\r\n"
        f"connection: close\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(place.hostname, place.port, limit=1 << 20)
    start, first, used, said = time.perf_counter(), 0.0, 0, ""
    writer.write(head.encode() + content)
    status = await reader.readline()
    if b" 200 " not in status:
        raise RuntimeError(f"{status.decode().strip()}: {(await reader.read(2_000)).decode(errors='replace')}")
    while line := await reader.readline():
        if not line.startswith(b"data: {"):
            continue
        told = json.loads(line[6:])
        piece = "".join((choice.get("delta") or {}).get("content") or "" for choice in told.get("choices", ()))
        if piece and not first:
            first = time.perf_counter() - start
        said += piece
        used = (told.get("usage") or {}).get("completion_tokens", used)
    writer.close()
    if not used:
        raise RuntimeError("a stream ended early")
    return first or time.perf_counter() - start, used, said


@contextmanager
def peer_of(file: Path) -> Iterator[tuple[str, int]]:
    """Run llama.cpp's server on a file in a process of its own; yield its address and the process's id."""
    command = [sys.executable, "-m", "benchmarks.decoders_serve", "peer", str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip(), process.pid
        finally:
            process.kill()


def peer(file: str) -> None:
    """Run llama.cpp's server on a file, as it comes, until it is ended."""
    import xllamacpp

    given = xllamacpp.CommonParams()
    given.model.path, given.verbosity = file, -1
    # Its places share one context, each as long as the model's: so its own command does by itself.
    given.n_parallel, given.n_ctx, given.kv_unified = TOGETHER, CONTEXT, True
    given.cpuparams.n_threads = given.cpuparams_batch.n_threads = cores()
    server = xllamacpp.Server(given)
    print(server.listening_address, flush=True)
    sys.stdin.read()


def memory_of(process: int) -> int:
    """Return the bytes that a process and its children hold, what they share counted once."""
    total = 0
    for one in (process, *_children(process)):
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def _children(process: int) -> list[int]:
    file = Path(f"/proc/{process}/task/{process}/children")
    own = [int(one) for one in file.read_text().split()] if file.exists() else []
    return [*own, *(one for child in own for one in _children(child))]


if __name__ == "__main__":
    if sys.argv[1] == "peer":
        peer(sys.argv[2])
    else:
        print(json.dumps(asyncio.run(ask(**json.load(sys.stdin)))))
