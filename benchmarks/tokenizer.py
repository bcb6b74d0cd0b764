"""Training a tokenizer: Noria beside the tokenizers library, on the same Chinese, to the same vocabulary.

Both read the same JSONL line by line and learn byte-level BPE of 30,000 tokens (the library's default). The peer is the
library's trainer after its ByteLevel pre-tokenizer, with defaults, and with its best settings for Chinese (a cut of runs
of Han at 4, pairs seen once left out). Counted are seconds from the first text to the trained tokenizer, the most memory
the process held, and bytes per token of real texts kept out of the corpus. Every run is a process of its own.

The text: see `resampled`. 200 MB, quick 20 MB; the peer with defaults takes minutes and 12 GB on 200 MB, so there each
runs once, and the interval is unknown.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .child import run
from .line import Line, compare
from .resampled import LABEL, chinese, sources

VOCABULARY = 30_000
PEERS = ("tokenizers, defaults", "tokenizers, best settings")


def measure(*, quick: bool) -> list[Line]:
    """Return three lines a peer: seconds, memory, bytes per token; quick learns from 20 MB three times, else 200 MB once."""
    repeats, megabytes = (3, 20) if quick else (1, 200)
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ("noria", *PEERS)}
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        run("benchmarks.tokenizer", folder, "prepare", str(megabytes))
        for number in range(repeats):
            for name in sorted(found, reverse=bool(number % 2)):
                found[name].append(run("benchmarks.tokenizer", folder, name))
                print(f"tokenizer {number + 1}/{repeats}: {name}: {found[name][-1]}", file=sys.stderr)
    what = f"{megabytes} MB, {LABEL}"
    lines = []
    for peer in PEERS:
        for key, measure_, unit, higher in (
            ("seconds", f"training time, {what}", "s", False),
            ("megabytes", f"peak memory, {what}", "MB", False),
            ("density", "bytes per token on real texts held out", "bytes/token", True),
        ):
            ours, theirs = ([one[key] for one in found[name]] for name in ("noria", peer))
            lines.append(compare("tokenizer", measure_, ours, theirs, peer, unit, higher_is_better=higher))
    return lines


def prepare(folder: Path, megabytes: int) -> None:
    """Write the corpus and the texts held out."""
    texts, held_out = sources()
    with (folder / "corpus.jsonl").open("w", encoding="utf-8") as stream:
        for text in chinese(texts, megabytes * 1_000_000):
            stream.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
    (folder / "held_out.json").write_text(json.dumps(held_out, ensure_ascii=False), encoding="utf-8")


def texts_of(folder: Path) -> Iterator[str]:
    """Yield the corpus."""
    with (folder / "corpus.jsonl").open(encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)["text"]


def trained(folder: Path, name: str) -> dict[str, float]:
    """Train one tokenizer; return its seconds and its density on the texts held out."""
    import time

    start = time.perf_counter()
    if name == "noria":
        from noria.make.tokens.tokenizer import load_tokenizer, train_tokenizer

        tokenizer = load_tokenizer(train_tokenizer(texts_of(folder), VOCABULARY, folder / "tokenizer"))
    else:
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

        tokenizer, best = Tokenizer(models.BPE()), "best" in name
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        if best:
            cut = pre_tokenizers.Split(Regex(r"\p{Han}{1,4}"), "isolated")
            tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, tokenizer.pre_tokenizer])
        least = 2 if best else 0  # its own default
        tokenizer.train_from_iterator(
            texts_of(folder), trainers.BpeTrainer(vocab_size=VOCABULARY, show_progress=False, min_frequency=least)
        )
    seconds = time.perf_counter() - start
    held_out = json.loads((folder / "held_out.json").read_text(encoding="utf-8"))
    tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch(held_out, add_special_tokens=False))
    return {"seconds": seconds, "density": sum(len(text.encode()) for text in held_out) / tokens}


def main(folder: str, name: str, megabytes: str = "") -> None:
    """Do one child's part and print what it found."""
    if name == "prepare":
        prepare(Path(folder), int(megabytes))
        print("{}")
    else:
        print(json.dumps(trained(Path(folder), name)))


if __name__ == "__main__":
    main(*sys.argv[1:])
