"""Characters of Shakespeare: the loss that small character models are compared by.

The protocol is that of karpathy/nanoGPT's character example: the passages joined in order, the first 90 % of the characters
train, the last 10 % validate; the loss is the mean over consecutive blocks of 256 characters, each read from its own
beginning, in nats a character. Its 6-layer model of 384 wide reports 1.4697, the best of many looks at those last 10 %. Here
settings were chosen on the last tenth of the training part, and the last 10 % are looked at once, after the last step.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from cyclopts import App, Parameter

from noria.core.errors import InputError
from noria.core.figure import Figure
from noria.core.memory import keep_memory
from noria.core.progress import Report
from noria.core.settings import fingerprint
from noria.make.evaluate.intervals import interval
from noria.make.models.sizes import STEP, feed_forward
from noria.make.tokens.batches import Batch
from noria.make.training.loop.loop import train
from noria.make.training.objectives import language_modeling as objectives
from noria.make.training.settings import OptimizerSettings, TrainSettings

CONTEXT = 256
SOURCE = "Shakespeare characters, last 10 %, blocks of 256"


@dataclass(frozen=True)
class Recipe:
    """What is trained, and how."""

    width: int = 256
    layers: int = 6
    rows: int = 24
    rate: float = 4e-3
    decay: float = 0.1
    dropout: float = 0.15
    method: Literal["adamw", "muon"] = "muon"


class Blocks:
    """A `BatchSource` of blocks that begin anywhere in one long text.

    Args:
        ids: the text.
        rows: blocks of a batch.
        seed: seed of where they begin.
    """

    def __init__(self, ids: np.ndarray, rows: int, seed: int) -> None:
        self._ids, self._rows, self._seed = ids, rows, seed
        self.tokens_per_step = float(rows * CONTEXT)
        self.steps_per_epoch = len(ids) / self.tokens_per_step
        self.fingerprint = fingerprint([len(ids), int(ids.astype(np.int64).sum()), rows, seed])

    def at(self, step: int) -> list[Batch]:
        """Return the one batch of a step."""
        starts = np.random.default_rng([self._seed, step]).integers(0, len(self._ids) - CONTEXT - 1, self._rows)
        return [_batch(self._ids, starts)]


def _batch(ids: np.ndarray, starts: np.ndarray) -> Batch:
    rows = torch.from_numpy(np.stack([ids[start : start + CONTEXT + 1] for start in starts]).astype(np.int64))
    documents = torch.zeros(len(rows), CONTEXT, dtype=torch.int64)
    tensors = {"input_ids": rows[:, :-1].contiguous(), "targets": rows[:, 1:].contiguous(), "documents": documents}
    return Batch(tensors, [int(start) for start in starts], len(starts) * CONTEXT)


def characters() -> np.ndarray:
    """Return the joined text as numbers of its characters.

    Raises:
        InputError: NORIA_DATA does not name the folder of data sets.
    """
    file = Path(os.environ.get("NORIA_DATA", "")) / "corpus" / "shakespeare" / "passages.jsonl"
    if not file.is_file():
        raise InputError("no Shakespeare there", found=str(file), hint="let NORIA_DATA name the folder of data sets")
    text = "".join(json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines())
    known = {letter: number for number, letter in enumerate(sorted(set(text)))}
    return np.array([known[letter] for letter in text], dtype=np.uint8)


def shakespeare(minutes: float, work: Path) -> Figure:
    """Train for some minutes on the first 90 %, and return the loss on the last 10 % with a bootstrap interval over blocks.

    Args:
        minutes: time budget of training.
        work: folder of the unfinished run; a killed one goes on there.
    """
    ids = characters()
    cut = int(0.9 * len(ids))
    module = fitted(ids[:cut], int(ids.max()) + 1, Recipe(), minutes * 60, work, Report())
    return judged(module, ids[cut:], SOURCE)


def tried(minutes: float, recipe: Recipe, work: Path) -> Figure:
    """Train for some minutes on the first nine tenths of the training part, and return the loss on its last tenth."""
    ids = characters()
    cut = int(0.9 * len(ids))
    inner = int(0.9 * cut)
    module = fitted(ids[:inner], int(ids.max()) + 1, recipe, minutes * 60, work, Report())
    return judged(module, ids[inner:cut], "Shakespeare characters, last tenth of the training part, blocks of 256")


def fitted(ids: np.ndarray, vocab_size: int, recipe: Recipe, seconds: float, work: Path, report: Report) -> Any:
    """Return a Llama trained on a text of numbered characters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=math.ceil(vocab_size / STEP) * STEP,
        hidden_size=recipe.width,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.width // STEP,
        num_key_value_heads=recipe.width // STEP,
        head_dim=STEP,
        intermediate_size=feed_forward(recipe.width),
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
    )
    keep_memory()
    torch.manual_seed(0)
    module = LlamaForCausalLM(config)
    optimizer = OptimizerSettings(
        method=recipe.method, learning_rate=recipe.rate, weight_decay=recipe.decay, warmup=0.03, beta2=0.98
    )
    settings = TrainSettings(seconds=seconds, optimizer=optimizer, evaluations=1)
    train(
        module,
        Blocks(ids, recipe.rows, seed=0),
        partial(objectives.causal, dropout=recipe.dropout),
        settings,
        work,
        report,
        title="shakespeare",
    )
    return module


def judged(module: Any, ids: np.ndarray, source: str) -> Figure:
    """Return the loss in nats a character, over consecutive blocks."""
    starts = np.arange(0, len(ids) - CONTEXT - 1, CONTEXT)
    losses = []
    with torch.no_grad():
        for part in np.array_split(starts, math.ceil(len(starts) / 32)):
            batch = _batch(ids, part)
            logits = module(input_ids=batch.tensors["input_ids"], use_cache=False).logits
            loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), batch.tensors["targets"], reduction="none")
            losses.append(loss.sum(dim=1).double().numpy())
    counts = np.stack([np.concatenate(losses), np.full(len(starts), CONTEXT)], axis=1)
    found = interval(counts, lambda sums: sums[:, 0] / sums[:, 1])
    return Figure("loss", found.value, len(starts), found.low, found.high, "nats/character", source)


app = App(name="shakespeare", help="Try a recipe on the last tenth of the training part.")


@app.default
def main(minutes: float, recipe: Annotated[Recipe, Parameter(name="*")] = Recipe()) -> None:
    """Train for some minutes and print the loss."""
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        print(recipe, tried(minutes, recipe, Path(folder) / "run").text())


if __name__ == "__main__":
    app()
