"""Serving a real decoder on this processor: SmolLM2-135M in 8 and in 4 bits, Noria beside llama.cpp's own server on the same weights.

One 4-bit file is the one that arrives as a package, as a stranger's would, one the same in K-quants; the 8-bit one is written by Noria, which serves
it with the engine that wins its bake-off on such machines. Noria answers behind its own HTTP, keys,
bounds, guard and durable events; the peer as it comes (its server inside xllamacpp), with places for as many clients and a context as long as
the model's. Every client chats, again and again, with a question of its own of some 60 tokens and 64 tokens of answer; 1 and 8 clients at
once. Then one client talks for twenty turns of 12 tokens, each server remembering what it read; the last turn's time to the first text counts. At last what the
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
from pathlib import Path
from typing import Any

from .asking import Streamed, streamed
from .k_quants import in_k_quants
from .line import Line, compare
from .llamacpp_server import PEER, llamacpp_server
from .served import served

CLIENTS = (1, 8)
TOKENS, SHORT, TURNS = 64, 12, 20
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
    repeats, seconds = (2, 2.0) if quick else (4, 12.0)
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as there:
        folder = Path(there)
        for name, (model, file) in prepared(folder).items():
            found: dict[tuple[str, str], list[float]] = {}
            with served(folder / f"lake-{name}", model) as ours, llamacpp_server(file, CONTEXT) as theirs:
                places = {
                    "noria": (f"{ours.url}/v1", ours.key, ours.process.pid),
                    PEER: (theirs[0], "", theirs[1]),
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
        compare("decoders_serve", measured, ours, values, peer, unit, higher_is_better=higher)
        for values, peer in ((theirs, PEER), (wanted, told))
    ]


def prepared(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Return what Noria serves and what the peer does, by the kind of number."""
    from noria.core.folder import new_folder, read_manifest, write_json
    from noria.infer.engine import ENGINES
    from noria.make.compress.gguf import write_gguf
    from noria.make.compress.quantize import copy_files
    from noria.make.models.bundled import SMOLLM2_FILE, smollm2

    base = smollm2(folder / "base")
    with new_folder(folder / "smollm2", kind="model") as made:
        copy_files(base, made.path)
        write_gguf(base, made.path / ENGINES["genai"], "8 bits")
        write_json(made.path / "certificate.json", {"passed": True, "note": "for measuring speed only"})
        made.facts.update({**read_manifest(base).facts, "task": "chat", "max_length": CONTEXT})
    package = next(Path(one) for one in sys.path if (Path(one) / SMOLLM2_FILE).is_file()) / SMOLLM2_FILE
    four = folder / package.name.lower()
    shutil.copyfile(package, four)
    again = folder / "smollm2-q4_k.gguf"
    in_k_quants(four, again)
    eight = folder / "smollm2"
    return {"8 bits": (eight, eight / ENGINES["genai"]), "Q4_1": (four, four), "Q4_K and Q5_0": (again, again)}


def _asked(url: str, key: str, turn: int, seconds: float) -> dict[str, float]:
    """Return what clients saw, from a process of their own: "speed N" and "first N" for N clients, "last" of a conversation."""
    told = json.dumps({"url": url, "key": key, "turn": turn, "seconds": seconds})
    command = [sys.executable, "-m", "benchmarks.decoders_serve"]
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
                told = await _chatted(url, key, [{"role": "user", "content": _question(chance, 50)}])
                firsts.append(told.first)
                written[0] += told.tokens

        await asyncio.gather(*(client(firsts, written, begun) for _ in range(clients)))
        told[f"speed {clients}"] = written[0] / (time.perf_counter() - begun)
        told[f"first {clients}"] = 1e3 * statistics.median(firsts)
    messages: list[dict[str, str]] = []
    first = 0.0
    for _ in range(TURNS if turn else 1):  # the round before the first is not timed
        messages.append({"role": "user", "content": _question(chance, 30)})
        answer = await _chatted(url, key, messages, SHORT)
        messages.append({"role": "assistant", "content": answer.text})
        first = answer.first
    return {**told, "last": 1e3 * first}


async def _chatted(url: str, key: str, messages: list[dict[str, str]], tokens: int = TOKENS) -> Streamed:
    body = {"messages": messages, "max_tokens": tokens, "temperature": 0}
    return await streamed(f"{url}/chat/completions", key, body)


def _question(chance: Any, count: int) -> str:
    return "Write about " + " ".join(chance.choice(WORDS) for _ in range(count)) + "."


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
    print(json.dumps(asyncio.run(ask(**json.load(sys.stdin)))))
