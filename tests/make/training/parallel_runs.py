"""Small real runs of the loop in several processes, and a server that forks them: everything is imported once.

For every line, a JSON object of `ranks` and of arguments to `go`, it forks `ranks` processes that find one another as
under the launcher, and answers with the list of their exit codes.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch._dynamo
import torch.distributed.fsdp
import torch.distributed.tensor.parallel
import transformers
from torch import nn

from noria.core.errors import NoriaError
from noria.core.progress import Report
from noria.make.models import adapt
from noria.make.models.adapt_settings import AdapterSettings
from noria.make.tokens.batches import Batch, Packed
from noria.make.training.finetune.heads import HeadTraining, objective_of
from noria.make.training.loop.loop import train
from noria.make.training.objectives import language_modeling as objectives
from noria.make.training.objectives import supervised
from noria.make.training.parallel import group
from noria.make.training.parallel.processes import world_size
from noria.make.training.settings import OptimizerSettings, ParallelSettings, TrainSettings
from tests.make.training.training_runs import (
    VOCABULARY,
    Setup,
    classify_run,
    documents,
    embed_run,
    in_buckets,
    judged,
    padded,
    shards,
    warm,
)

assert group.ProcessGroup  # what a process needs is there before it is forked


def llama_run(rows: int = 4) -> Setup:
    """A tiny Llama of four heads on packed documents; plain (pretrained) attention is what tensor parallel cuts."""
    torch.manual_seed(1)
    config = transformers.LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        intermediate_size=64,
        max_position_embeddings=32,
        tie_word_embeddings=True,
        pad_token_id=0,
    )
    batches = Packed(shards(), context=32, rows=rows, seed=3)
    module = transformers.LlamaForCausalLM(config)
    return Setup(module, batches, objectives.causal, judged(batches, objectives.causal, 1000))


def muon_run() -> Setup:
    """The same Llama, its matrices moved by Muon."""
    setup = llama_run()
    setup.method = "muon"
    return setup


def bert_run() -> Setup:
    """A tiny BERT of four heads that classifies as fine-tuning does: every row weighs the same."""
    torch.manual_seed(2)
    config = transformers.BertConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64
    )
    module, texts = transformers.BertForSequenceClassification(config), documents()

    def collate(rows: np.ndarray) -> dict[str, torch.Tensor]:
        labels = torch.tensor([int(texts[row][1]) % 2 for row in rows])
        return {**padded([texts[row] for row in rows]), "labels": labels}

    batches = in_buckets(collate, texts)
    way = HeadTraining(lambda *_: None, supervised.classes, by_row=True, by_loss=False)
    return Setup(module, batches, objective_of(way, 8.0), judged(batches, supervised.classes))


def lora_run() -> Setup:
    """A tiny BERT of which only low-rank adapters and head learn."""
    setup = classify_run()
    adapt.adapt(setup.module, AdapterSettings(kind="lora", rank=2), seed=6)
    setup.after_step = adapt.after_step(setup.module)
    return setup


KINDS = {
    "llama": llama_run,
    "odd llama": partial(llama_run, 3),
    "muon": muon_run,
    "bert": bert_run,
    "embed": embed_run,
    "lora": lora_run,
}


def go(
    kind: str, work: str, layout: str = "data", steps: int = 4, stop: int | None = None, dropout: float = 0.0
) -> None:
    """Run to the end; the last process is sent SIGTERM when it scores its batch number `stop`."""
    torch.set_num_threads(1)
    setup = KINDS[kind]()
    for part in setup.module.modules():
        if isinstance(part, nn.Dropout):
            part.p = dropout
    taken = 0

    def objective(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, float]:
        nonlocal taken
        taken += 1
        if taken == stop and int(os.environ.get("RANK", "0")) + 1 == world_size():
            os.kill(os.getpid(), signal.SIGTERM)
        return setup.objective(module, batch)

    settings = TrainSettings(
        seed=11,
        steps=steps,
        number_type="fp32",
        evaluations=2,
        checkpoint_seconds=1e-9,
        optimizer=OptimizerSettings(learning_rate=3e-3, method=setup.method),
        parallel=ParallelSettings(layout=layout),
    )
    train(
        setup.module,
        setup.batches,
        objective,
        settings,
        Path(work),
        Report.silent(),
        setup.judge,
        after_step=setup.after_step,
    )


def fork(rank: int, ranks: int, meeting: str, arguments: dict[str, Any]) -> int:
    """Start one process; return its number."""
    number = os.fork()
    if number:
        return number
    status = 1
    if ranks > 1:
        os.environ |= {
            "RANK": str(rank),
            "WORLD_SIZE": str(ranks),
            "LOCAL_WORLD_SIZE": str(ranks),
            "NORIA_RENDEZVOUS": f"file://{meeting}",
            "GLOO_SOCKET_IFNAME": "lo",
        }
    try:
        go(**arguments)
        status = 0
    except NoriaError as error:
        print(error, file=sys.stderr)
        status = error.exit_code
    except Exception as error:
        print(f"rank {rank}: {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    warm()
    for line in sys.stdin:
        wanted = json.loads(line)
        ranks = wanted.pop("ranks", 1)
        with tempfile.TemporaryDirectory() as folder:
            numbers = [fork(rank, ranks, f"{folder}/meeting", wanted) for rank in range(ranks)]
            print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(one, 0)[1]) for one in numbers]), flush=True)
