"""Streams of a causal model: Noria beside llama.cpp's own server, the same weights, asked from another process.

The model is a Llama of 17 M parameters with a tokenizer of 8,192 tokens trained on the newspaper and the reviews; its
weights are random, for speed does not depend on them. All hold them in 8 bits, in the same kind of file, and have eight
places for completions: Noria behind its own HTTP, keys, bounds, guard and durable events, with the engine that wins its
bake-off on such machines (OpenVINO GenAI), and with llama.cpp; the peer as it comes (its server inside xllamacpp, over
HTTP). Another is Noria with the torch engine, which serves every architecture. Every client asks for 96
tokens after a prompt of some 60, again and again; 1 and 8 clients at once. Told are the time to the first piece of text and
tokens a second over all clients. Servers are asked in turns; every second repeat runs backwards.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from noria.machine import cores

from .line import Line, compare
from .served import served

PEER = "llama.cpp's server"
TORCH = "Noria, torch engine"
SAME = "Noria, llama.cpp engine"
CLIENTS = (1, 8)
TOKENS, PROMPT, TOGETHER = 96, 60, 8
CONTEXT = 256
ROUND = 150
"""Prompts of a round, more than are asked in it."""


def measure(*, quick: bool, texts: list[str] | None = None, parameters: int = 17_000_000) -> list[Line]:
    """Return lines for 1 and 8 clients; quick takes 3 repeats of 2 seconds each, else 5 of 8.

    Args:
        quick: fewer and shorter repeats.
        texts: what the tokenizer learns from and prompts are taken from; the newspaper and reviews where left out.
        parameters: of the model.
    """
    repeats, seconds = (3, 2.0) if quick else (5, 8.0)
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as there, ExitStack() as stack:
        folder = Path(there)
        prompts = prepare(folder, texts, parameters)
        places: dict[str, tuple[str, str]] = {}
        for name, model in (("noria", folder / "genai"), (SAME, folder / "llamacpp"), (TORCH, folder / "plain")):
            server = stack.enter_context(served(folder / f"lake-{model.name}", model))
            places[name] = (f"{server.url}/v1/completions", server.key)
        places[PEER] = (stack.enter_context(_peer(folder / "peer.gguf")), "")
        found: dict[tuple[str, int, str], list[float]] = {}
        for number in range(-1, repeats):
            for clients in CLIENTS:
                # Prompts of its own for every round: all servers remember what they read.
                begin = (2 * number + 2 + (clients > 1)) * ROUND
                asked = [prompts[(begin + place) % len(prompts)] for place in range(ROUND)]
                for name in sorted(places, reverse=bool(number % 2)):
                    told = _asked(*places[name], asked, clients, seconds if number >= 0 else 1.0)
                    if number < 0:
                        continue  # what is made on first use is not timed
                    for key, value in told.items():
                        found.setdefault((name, clients, key), []).append(value)
                    print(f"stream {number + 1}/{repeats}, {clients} clients: {name}: {told}", file=sys.stderr)
    return [line for clients in CLIENTS for line in _lines(found, clients)]


def _lines(found: dict[tuple[str, int, str], list[float]], clients: int) -> list[Line]:
    at = f"{clients} client{'s' * (clients > 1)}"
    return [
        compare(
            "stream",
            f"{measure}, {at}",
            found["noria", clients, key],
            found[peer, clients, key],
            peer,
            unit,
            higher_is_better=key == "speed",
        )
        for peer in (PEER, SAME, TORCH)
        for measure, key, unit in (("time to the first text", "first", "ms"), ("tokens a second", "speed", "tokens/s"))
    ]


def prepare(folder: Path, texts: list[str] | None, parameters: int) -> list[str]:
    """Write the model with and without its faster engine, and the peer's file; return prompts."""
    import torch
    from transformers import LlamaForCausalLM

    from noria.core.folder import new_folder, write_json
    from noria.infer.engine import ENGINES, Kind
    from noria.make.compress.gguf import write_gguf
    from noria.make.corpus.bundled import news, reviews
    from noria.make.models.sizes import causal
    from noria.make.tokens.tokenizer import copy_tokenizer, load_tokenizer, train_tokenizer

    if texts is None:
        texts = [one.text for one in news()] + sorted({one.text for one in reviews() if one.text.strip()})
    train_tokenizer(iter(texts), 8_192, folder / "tokenizer")
    tokenizer = load_tokenizer(folder / "tokenizer")
    torch.manual_seed(0)
    with new_folder(folder / "plain", kind="model") as made:
        config = causal(parameters, tokenizer.get_vocab_size(), CONTEXT)
        config.eos_token_id = None  # no text ends before its time
        module = LlamaForCausalLM(config)
        module.save_pretrained(made.path)
        copy_tokenizer(folder / "tokenizer", made.path)
        made.facts.update(task="complete", labels=[], max_length=CONTEXT)
    kinds: tuple[Kind, ...] = ("llamacpp", "genai")
    for kind in kinds:
        with new_folder(folder / kind, kind="model") as made:
            shutil.copytree(folder / "plain", made.path, dirs_exist_ok=True)
            write_gguf(folder / "plain", made.path / ENGINES[kind], "8 bits")
            write_json(
                made.path / "certificate.json", {"passed": True, "note": "random weights, for measuring speed only"}
            )
            made.facts.update(task="complete", labels=[], max_length=CONTEXT)
    write_gguf(folder / "plain", folder / "peer.gguf", "8 bits")
    long = [ids for text in texts if len(ids := tokenizer.encode(text).ids) >= PROMPT]
    return list(dict.fromkeys(tokenizer.decode(ids[:PROMPT]) for ids in long)) or texts[:8]


def _asked(url: str, key: str, prompts: list[str], clients: int, seconds: float) -> dict[str, float]:
    """Return "first" (median milliseconds) and "speed" (tokens a second), from a process of its own."""
    told = json.dumps({"url": url, "key": key, "prompts": prompts, "clients": clients, "seconds": seconds})
    command = [sys.executable, "-m", "benchmarks.stream", "ask"]
    done = subprocess.run(command, input=told, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the streams failed: {(done.stderr.strip() or 'no words').splitlines()[-1]}")
    return dict(json.loads(done.stdout))


async def ask(url: str, key: str, prompts: list[str], clients: int, seconds: float) -> dict[str, float]:
    """Stream completions, each client one after the other, until the time is over; those that were begun are finished."""
    place, begun = urlsplit(url), time.perf_counter()
    firsts: list[float] = []
    tokens = 0

    async def client(number: int) -> None:
        nonlocal tokens
        turn = number
        while time.perf_counter() - begun < seconds:
            first, count = await _stream(
                place.hostname or "", place.port or 0, place.path, key, prompts[turn % len(prompts)]
            )
            firsts.append(first)
            tokens += count
            turn += clients

    await asyncio.gather(*(client(number) for number in range(clients)))
    return {"first": 1e3 * statistics.median(firsts), "speed": tokens / (time.perf_counter() - begun), "n": len(firsts)}


async def _stream(host: str, port: int, path: str, key: str, prompt: str) -> tuple[float, int]:
    """Return the seconds to the first text and the tokens of one completion."""
    # llama.cpp's kind of vocabulary takes some token for the end; both servers leave unknown fields to the other.
    body: dict[str, Any] = {
        "prompt": prompt,
        "max_tokens": TOKENS,
        "stream": True,
        "temperature": 1.0,
        "top_p": 0.95,
        "stream_options": {"include_usage": True},
    }
    if not key:
        body |= {"ignore_eos": True, "min_p": 0.0, "top_k": 0}
    content = json.dumps(body, ensure_ascii=False).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer {key or 'none'}\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(host, port)
    start, first, used = time.perf_counter(), 0.0, 0
    writer.write(head.encode() + content)
    status = await reader.readline()
    if b" 200 " not in status:
        raise RuntimeError(f"{status.decode().strip()}: {(await reader.read(2_000)).decode(errors='replace')}")
    while line := await reader.readline():
        if not line.startswith(b"data: {"):
            continue
        told = json.loads(line[6:])
        if not first and any(choice.get("text") for choice in told.get("choices", ())):
            first = time.perf_counter() - start
        if told.get("usage"):
            used = told["usage"]["completion_tokens"]
    writer.close()
    if not used:
        raise RuntimeError("a stream ended early")
    return first or time.perf_counter() - start, used


@contextmanager
def _peer(file: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.stream", "peer", str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield process.stdout.readline().strip() + "/v1/completions"
        finally:
            process.kill()


def peer(file: str) -> None:
    """Run llama.cpp's server on a file, as it comes, until it is ended."""
    import xllamacpp

    given = xllamacpp.CommonParams()
    given.model.path, given.verbosity = file, -1
    given.n_parallel, given.n_ctx = TOGETHER, TOGETHER * CONTEXT
    given.cpuparams.n_threads = given.cpuparams_batch.n_threads = cores()
    server = xllamacpp.Server(given)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    if sys.argv[1] == "peer":
        peer(sys.argv[2])
    else:
        print(json.dumps(asyncio.run(ask(**json.load(sys.stdin)))))
