"""Packing: documents packed into full rows, beside one document a row with padding, on the same reviews and the same model.

A small causal model learns from Chinese reviews of very different lengths. Counted are tokens of text (no padding) a second.
Noria packs documents and keeps them from seeing each other; the peers put one document in a row, in batches of random
documents, and fill up to the batch's longest: once in Noria's own loop, so that packing alone is measured, and once in a
Hugging Face Trainer with bf16. Every run is a process of its own; runs alternate.
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

CONTEXT, TOKENS = 256, 4096
PEERS = ("the same loop, one document a row, padded", "transformers.Trainer, bf16, one document a row, padded")


def measure(*, quick: bool) -> list[Line]:
    """Return one line a peer; quick takes 3 repeats of 8 seconds each, else 5 of 30."""
    repeats, seconds = (3, 8.0) if quick else (5, 30.0)
    speeds: dict[str, list[float]] = {name: [] for name in ("noria", *PEERS)}
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        child.run("benchmarks.packing", folder, "prepare", str(seconds))
        for number in range(repeats):
            for name in sorted(speeds, reverse=bool(number % 2)):
                speeds[name].append(child.run("benchmarks.packing", folder, name, str(seconds))["speed"])
                print(f"packing {number + 1}/{repeats}: {name}: {speeds[name][-1]:,.0f} tokens/s", file=sys.stderr)
    return [compare("packing", "training speed", speeds["noria"], speeds[name], name, "tokens/s") for name in PEERS]


def prepare(folder: Path) -> None:
    """Write shards of the reviews."""
    from noria.make.corpus.bundled import reviews
    from noria.make.tokens.shards import write_shards
    from noria.make.tokens.tokenizer import load_tokenizer, train_tokenizer

    texts = sorted({document.text for document in reviews() if document.text.strip()})
    tokenizer = train_tokenizer(texts, 6144, folder / "tokenizer")
    write_shards(folder / "shards", {"train": texts}, load_tokenizer(tokenizer), [])


class Padded:
    """A `BatchSource` of random documents, one a row, filled up to the longest of the batch."""

    def __init__(self, shards: Any, rows: int) -> None:
        self._shards, self._rows = shards, rows
        self.fingerprint = f"padded {shards.identity} {rows}"
        self.tokens_per_step = float(np.minimum(shards.lengths, CONTEXT).mean() * rows)
        self.steps_per_epoch = len(shards) / rows

    def at(self, step: int) -> list[Any]:
        """Return the one batch of a step."""
        import torch

        from noria.make.tokens.batches import IGNORED, Batch

        chosen = np.random.default_rng([0, step]).integers(0, len(self._shards), self._rows)
        documents = [self._shards[int(row)][:CONTEXT].astype(np.int64) for row in chosen]
        width = max(map(len, documents)) - 1
        ids, targets = np.zeros((self._rows, width), np.int64), np.full((self._rows, width), IGNORED, np.int64)
        numbers = np.ones((self._rows, width), np.int64)
        for place, one in enumerate(documents):
            size = len(one) - 1
            ids[place, :size], targets[place, :size], numbers[place, :size] = one[:-1], one[1:], 0
        tensors = {"input_ids": ids, "targets": targets, "documents": numbers}
        tokens = sum(len(one) - 1 for one in documents)
        return [Batch({name: torch.from_numpy(one) for name, one in tensors.items()}, chosen.tolist(), tokens)]


def model_of(folder: Path) -> Any:
    """Return the model, its first weights drawn by one seed."""
    import torch
    from transformers import LlamaForCausalLM

    from noria.make.models.sizes import causal
    from noria.make.tokens.tokenizer import load_tokenizer

    torch.manual_seed(0)
    return LlamaForCausalLM(causal(5_000_000, load_tokenizer(folder / "tokenizer").get_vocab_size(), CONTEXT))


def loop_speed(folder: Path, seconds: float, *, packed: bool) -> float:
    """Return tokens of text a second in Noria's loop over about `seconds` of training."""
    from noria.core.progress import Report
    from noria.make.tokens.batches import Packed
    from noria.make.tokens.shards import open_shards
    from noria.make.training.loop.loop import train
    from noria.make.training.objectives.language_modeling import causal
    from noria.make.training.settings import TrainSettings

    shards = open_shards(folder / "shards", "train")
    # As many rows that a step of either learns from about as many tokens of text.
    rows = round(TOKENS / float(np.minimum(shards.lengths, CONTEXT).mean()))
    source = Packed(shards, context=CONTEXT, rows=TOKENS // CONTEXT, seed=0) if packed else Padded(shards, rows)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        result = train(model_of(folder), source, causal, TrainSettings(seconds=seconds), Path(work) / "run", Report())
    return result.tokens_per_second


def trainer_speed(folder: Path, seconds: float) -> float:
    """Return tokens of text a second in a Trainer, padded, in bf16."""
    import torch

    from noria.make.tokens.shards import open_shards

    shards = open_shards(folder / "shards", "train")
    data = [{"input_ids": shards[row][:CONTEXT].astype(np.int64)} for row in range(len(shards))]
    rows = round(TOKENS / float(np.minimum(shards.lengths, CONTEXT).mean()))

    def collate(chosen: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        width = max(len(one["input_ids"]) for one in chosen)
        ids, mask = torch.zeros(len(chosen), width, dtype=torch.long), torch.zeros(len(chosen), width, dtype=torch.long)
        for place, one in enumerate(chosen):
            ids[place, : len(one["input_ids"])] = torch.from_numpy(one["input_ids"])
            mask[place, : len(one["input_ids"])] = 1
        return {"input_ids": ids, "attention_mask": mask, "labels": ids.masked_fill(mask == 0, -100)}

    settings: dict[str, Any] = {"bf16": True, "per_device_train_batch_size": rows, "optim": "adamw_torch_fused"}
    return trainer.speed(folder, model_of(folder), data, collate, seconds, dataloader_pin_memory=False, **settings)


def main(folder: str, name: str, seconds: str) -> None:
    """Do one child's part and print its speed."""
    place, budget = Path(folder), float(seconds)
    found = 0.0
    if name == "prepare":
        prepare(place)
    elif name == PEERS[1]:
        found = trainer_speed(place, budget)
    else:
        found = loop_speed(place, budget, packed=name == "noria")
    print(json.dumps({"speed": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
