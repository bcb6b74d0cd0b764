"""Small real runs of the loop, started as programs of their own so that they can be killed: `python training_runs.py KIND WORK`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

from noria.build.model.sizes import causal as causal_config
from noria.build.tokens.batches import Batch, BatchSource, Buckets, Packed
from noria.build.tokens.shards import Shards
from noria.build.train import objectives, supervised
from noria.build.train.loop import Evaluation, Evaluator, Objective, TrainResult, train
from noria.build.train.settings import OptimizerSettings, TrainSettings
from noria.core.progress import Report

VOCABULARY = 300
STEPS = 40


def documents() -> list[np.ndarray]:
    """120 documents whose tokens follow one another by a rule, begin and end included."""
    random = np.random.default_rng(7)
    found = []
    for _ in range(120):
        ids = [int(random.integers(3, VOCABULARY))]
        for _ in range(int(random.integers(3, 60))):
            ids.append(3 + (ids[-1] * 7 + int(random.integers(0, 3))) % (VOCABULARY - 3))
        found.append(np.array([1, *ids, 2], dtype=np.int64))
    return found


def shards() -> Shards:
    found = documents()
    ends = np.cumsum([len(ids) for ids in found])
    return Shards(np.concatenate(found), ends, np.array([len(ids) for ids in found]), "documents by a rule")


def causal_run() -> tuple[nn.Module, BatchSource, Objective, Evaluator]:
    """A tiny Llama on packed documents."""
    from transformers import LlamaForCausalLM

    torch.manual_seed(1)
    module = LlamaForCausalLM(causal_config(200_000, VOCABULARY, 32))

    def judge(module: nn.Module) -> Evaluation:
        torch.rand(3)  # an evaluator that draws must not change the run
        with torch.no_grad():
            loss, weight = objectives.causal(module, batches.at(10_000)[0])
        return Evaluation(-float(loss) / weight, {"valid": float(loss) / weight})

    batches = Packed(shards(), context=32, rows=4, seed=3)
    return module, batches, objectives.causal, judge


def classify_run() -> tuple[nn.Module, BatchSource, Objective, Evaluator]:
    """A tiny BERT with dropout on texts in length buckets, two labels."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(2)
    config = BertConfig(vocab_size=VOCABULARY, hidden_size=64, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=128, hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1)  # fmt: skip
    module = BertForSequenceClassification(config)
    texts = documents()

    def collate(rows: np.ndarray) -> Batch:
        longest = max(len(texts[row]) for row in rows)
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        for place, row in enumerate(rows):
            ids[place, : len(texts[row])] = torch.from_numpy(texts[row])
        labels = torch.tensor([int(texts[row][1]) % 2 for row in rows])
        tensors = {"input_ids": ids, "attention_mask": (ids != 0).long(), "labels": labels}
        return Batch(tensors, [int(row) for row in rows], int((ids != 0).sum()))

    batches = Buckets([len(text) for text in texts], collate, tokens_per_batch=256, seed=5)

    def judge(module: nn.Module) -> Evaluation:
        with torch.no_grad():
            loss, weight = supervised.classes(module, batches.at(0)[0])
        return Evaluation(-float(loss) / weight)

    return module, batches, supervised.classes, judge


KINDS = {"causal": causal_run, "classify": classify_run}


def go(
    kind: str, work: Path, *, number_type: str = "fp32", steps: int = STEPS, pause: float = 1e-9
) -> tuple[TrainResult, nn.Module]:
    """Run to the end, going on with what `work` holds; a checkpoint after every step."""
    torch.set_num_threads(1)
    module, batches, objective, judge = KINDS[kind]()
    settings = TrainSettings(seed=11, steps=steps, number_type=number_type, evaluations=4, checkpoint_seconds=pause,
                             optimizer=OptimizerSettings(learning_rate=3e-3))  # fmt: skip
    return train(module, batches, objective, settings, work, Report(stream=sys.stderr), judge), module


if __name__ == "__main__":
    go(sys.argv[1], Path(sys.argv[2]))
