"""Pretraining speed: Noria beside a plain Hugging Face Trainer, the same Llama of 17 M parameters on the same real text.

Text is the newspaper and the reviews of the demo, tokenised once with one tokenizer of 8,192 tokens. Counted are tokens of
text (no padding) a second over all steps of a run, the first included. Noria trains as `noria build pretrain` does, with
documents kept apart. The peer trains transformers' LlamaForCausalLM: with the Trainer's defaults, a document a row, padded;
and with the best settings known for processors, on rows packed full of joined documents, which see each other. Every run is
a process of its own; runs alternate.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from . import child, trainer
from .line import Line, compare

PARAMETERS, VOCABULARY, CONTEXT, TOKENS = 17_000_000, 8_192, 256, 8_192
PEERS: dict[str, dict[str, Any]] = {
    "transformers.Trainer, defaults": {},
    "transformers.Trainer, bf16, packed and best settings": {
        "bf16": True,
        "per_device_train_batch_size": TOKENS // CONTEXT,
        "optim": "adamw_torch_fused",
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": False,
    },
    "transformers.Trainer, the same and torch_compile": {
        "bf16": True,
        "per_device_train_batch_size": TOKENS // CONTEXT,
        "optim": "adamw_torch_fused",
        "dataloader_num_workers": 0,
        "dataloader_pin_memory": False,
        "torch_compile": True,
    },
}


def measure(*, quick: bool) -> list[Line]:
    """Return one line a peer, and the share of the measured peak; quick takes 3 repeats of 12 seconds each, else 5 of 30."""
    repeats, seconds = (3, 12.0) if quick else (5, 30.0)
    speeds: dict[str, list[float]] = {name: [] for name in ("noria", *PEERS)}
    shares: list[float] = []
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        child.run("benchmarks.pretrain", folder, "prepare", str(seconds))
        for number in range(repeats):
            # Every second repeat runs backwards, so that a machine that slows or quickens favours no one.
            for name in sorted(speeds, reverse=bool(number % 2)):
                found = child.run("benchmarks.pretrain", folder, name, str(seconds))
                speeds[name].append(found["speed"])
                if "share" in found:
                    shares.append(found["share"])
                print(f"pretrain {number + 1}/{repeats}: {name}: {found}", file=sys.stderr)
    lines = [compare("pretrain", "training speed", speeds["noria"], speeds[name], name, "tokens/s") for name in PEERS]
    peak = compare("pretrain", "share of the measured bf16 peak", shares, [1.0] * repeats, "a bare matrix product", "")
    return [*lines, peak]


def prepare(folder: Path) -> None:
    """Write a tokenizer and the text as shards."""
    from noria.make.corpus.bundled import news, reviews
    from noria.make.tokens.shards import write_shards
    from noria.make.tokens.tokenizer import load_tokenizer, train_tokenizer

    texts = [one.text for one in news()] + sorted({one.text for one in reviews() if one.text.strip()})
    tokenizer = train_tokenizer(iter(texts), VOCABULARY, folder / "tokenizer")
    write_shards(folder / "shards", {"train": texts}, load_tokenizer(tokenizer), [])


def _model(folder: Path) -> Any:
    import torch
    from transformers import LlamaForCausalLM

    from noria.make.models.sizes import causal
    from noria.make.tokens.tokenizer import load_tokenizer

    torch.manual_seed(0)
    return LlamaForCausalLM(causal(PARAMETERS, load_tokenizer(folder / "tokenizer").get_vocab_size(), CONTEXT))


def noria_speed(folder: Path, seconds: float) -> dict[str, float]:
    """Return Noria's tokens a second over about `seconds` of training, and the share of the measured peak."""
    from noria.core.memory import keep_memory
    from noria.core.progress import Report
    from noria.make.tokens.batches import Packed
    from noria.make.tokens.shards import open_shards
    from noria.make.training.loop.loop import train
    from noria.make.training.objectives.language_modeling import causal
    from noria.make.training.pretrain.recipe import share_of_peak
    from noria.make.training.settings import TrainSettings

    keep_memory()
    module = _model(folder)
    batches = Packed(open_shards(folder / "shards", "train"), context=CONTEXT, rows=TOKENS // CONTEXT, seed=0)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        result = train(module, batches, causal, TrainSettings(seconds=seconds), Path(work) / "run", Report())
    return {"speed": result.tokens_per_second, "share": share_of_peak(module, CONTEXT, result) or 0.0}


def trainer_speed(folder: Path, seconds: float, settings: dict[str, Any]) -> dict[str, float]:
    """Return a Trainer's tokens a second over about `seconds` of training; `settings` go to its TrainingArguments."""
    import transformers

    from noria.make.tokens.shards import open_shards

    shards = open_shards(folder / "shards", "train")
    if settings:
        ids = shards.ids[: len(shards.ids) // CONTEXT * CONTEXT].astype(np.int64)
        rows = [row.tolist() for row in np.random.default_rng(0).permutation(ids.reshape(-1, CONTEXT))]
    else:
        rows = [shards[row][:CONTEXT].tolist() for row in range(len(shards))]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "tokenizer")
    pad = transformers.DataCollatorForLanguageModeling(tokenizer, mlm=False)
    speed = trainer.speed(
        folder,
        _model(folder),
        [{"input_ids": row} for row in rows],
        pad,
        seconds,
        skipped=2 if settings.get("torch_compile") else 0,
        max_steps=100_000,
        **settings,
    )
    return {"speed": speed}


def main(folder: str, name: str, seconds: str) -> None:
    """Do one child's part and print what it measured."""
    place = Path(folder)
    if name == "prepare":
        prepare(place)
        print("{}")
    elif name == "noria":
        print(json.dumps(noria_speed(place, float(seconds))))
    else:
        print(json.dumps(trainer_speed(place, float(seconds), PEERS[name])))


if __name__ == "__main__":
    main(*sys.argv[1:])
