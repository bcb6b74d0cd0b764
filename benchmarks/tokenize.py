"""Encoding a corpus: Noria's shards beside the tokenizers library's own batch encoding, same tokenizer, same text.

Noria writes memory-mapped shards from a stream of texts. The peer is the library's encode_batch on all cores: with
defaults, the whole corpus at once; with its best settings, encode_batch_fast by 1,000 texts, each batch turned into an
array and written, which is what a shard writer without overlap does. Counted are MB of UTF-8 a second, and memory above
what the process held before. Memory is flat where twice the text takes no more of it: that is a line of its own, beside
the peer's. Every run is a process of its own; runs alternate.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from .child import run
from .line import Line, compare
from .resampled import LABEL
from .tokenizer import prepare, texts_of

VOCABULARY = 16_000
PEERS = ("tokenizers.encode_batch, defaults", "tokenizers.encode_batch_fast by 1,000, best settings")


def measure(*, quick: bool) -> list[Line]:
    """Return three lines a peer: speed, memory, growth of memory; quick encodes 12 and 24 MB, else 50 and 100."""
    repeats, megabytes = (3, 24) if quick else (5, 100)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ("noria", *PEERS)}
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        run("benchmarks.tokenize", folder, "prepare", str(megabytes))
        for number in range(repeats):
            for name in sorted(found, reverse=bool(number % 2)):
                half, whole = (run("benchmarks.tokenize", folder, name, part) for part in ("0.5", "1"))
                whole["growth"] = whole["held"] / half["held"]
                found[name].append(whole)
                print(f"tokenize {number + 1}/{repeats}: {name}: {whole}", file=sys.stderr)
    lines = []
    for peer in PEERS:
        for key, measure_, unit, higher in (
            ("speed", f"encoding speed, {megabytes} MB, {LABEL}", "MB/s", True),
            ("held", f"memory taken, {megabytes} MB", "MB", False),
            ("growth", "memory for twice the text", "times", False),
        ):
            ours, theirs = ([one[key] for one in found[name]] for name in ("noria", peer))
            lines.append(compare("tokenize", measure_, ours, theirs, peer, unit, higher_is_better=higher))
    return lines


def prepared(folder: Path, megabytes: int) -> None:
    """Write the corpus, and a tokenizer learnt from some of it."""
    from noria.make.tokens.tokenizer import train_tokenizer

    prepare(folder, megabytes)
    train_tokenizer(islice(texts_of(folder), 5_000), VOCABULARY, folder / "tokenizer")


def encode(folder: Path, name: str, part: float) -> dict[str, float]:
    """Encode the first part of the corpus; return MB a second and the memory it took."""
    from noria.make.tokens.shards import write_shards
    from noria.make.tokens.tokenizer import load_tokenizer

    count = sum(1 for _ in texts_of(folder))
    tokenizer = load_tokenizer(folder / "tokenizer")
    size = sum(len(text.encode()) for text in islice(texts_of(folder), int(count * part)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    texts, start = islice(texts_of(folder), int(count * part)), time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as work:
        if name == "noria":
            write_shards(Path(work) / "shards", {"train": texts}, tokenizer, [])
        elif name == PEERS[0]:
            tokenizer.encode_batch(list(texts), add_special_tokens=False)
        else:
            _written(Path(work) / "ids", texts, tokenizer)
    seconds = time.perf_counter() - start
    held = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {"speed": size / 1e6 / seconds, "held": max(held, 1.0)}


def _written(file: Path, texts: Iterator[str], tokenizer: object) -> None:
    import numpy as np

    with file.open("wb") as stream:
        while batch := list(islice(texts, 1_000)):
            for encoding in tokenizer.encode_batch_fast(batch, add_special_tokens=False):  # type: ignore[attr-defined]
                stream.write(np.array(encoding.ids, dtype=np.uint16).tobytes())


def main(folder: str, name: str, amount: str) -> None:
    """Do one child's part and print what it found."""
    if name == "prepare":
        prepared(Path(folder), int(amount))
        print("{}")
    else:
        print(json.dumps(encode(Path(folder), name, float(amount))))


if __name__ == "__main__":
    main(*sys.argv[1:])
