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
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .asking import streamed
from .line import Line, compare
from .llamacpp_server import PEER, TOGETHER, llamacpp_server
from .served import served

TORCH = "Noria, torch engine"
SAME = "Noria, llama.cpp engine"
CLIENTS = (1, 8)
TOKENS, PROMPT = 96, 60
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
        peer, _ = stack.enter_context(llamacpp_server(folder / "peer.gguf", TOGETHER * CONTEXT))
        places[PEER] = (f"{peer}/completions", "")
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
    command = [sys.executable, "-m", "benchmarks.stream"]
    done = subprocess.run(command, input=told, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the streams failed: {(done.stderr.strip() or 'no words').splitlines()[-1]}")
    return dict(json.loads(done.stdout))


async def ask(url: str, key: str, prompts: list[str], clients: int, seconds: float) -> dict[str, float]:
    """Stream completions, each client one after the other, until the time is over; those that were begun are finished."""
    begun = time.perf_counter()
    firsts: list[float] = []
    tokens = 0
    body: dict[str, Any] = {"max_tokens": TOKENS, "temperature": 1.0, "top_p": 0.95}
    if not key:  # llama.cpp's kind of vocabulary takes some token for the end, and it cuts by itself
        body |= {"ignore_eos": True, "min_p": 0.0, "top_k": 0}

    async def client(number: int) -> None:
        nonlocal tokens
        turn = number
        while time.perf_counter() - begun < seconds:
            told = await streamed(url, key, {**body, "prompt": prompts[turn % len(prompts)]})
            firsts.append(told.first)
            tokens += told.tokens
            turn += clients

    await asyncio.gather(*(client(number) for number in range(clients)))
    return {"first": 1e3 * statistics.median(firsts), "speed": tokens / (time.perf_counter() - begun), "n": len(firsts)}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(ask(**json.load(sys.stdin)))))
