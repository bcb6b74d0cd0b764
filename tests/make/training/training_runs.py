"""Small real runs of the loop, one for each objective and each method, and a server that starts them as processes.

`python training_runs.py` imports everything once and then forks a process for every line it reads, a JSON object of
arguments to `go`: so that runs can be killed, and killing costs no start-up. It answers with the process's number, and
when the process has ended with its exit status. `python training_runs.py golden` writes the golden losses anew.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

from noria.core import folder
from noria.core.progress import MetricsLog, Report
from noria.make.models import adapt, recurrent
from noria.make.models.adapt_settings import AdapterSettings
from noria.make.models.sizes import causal as causal_config
from noria.make.tokens.batches import Batch, BatchSource, Buckets, Joined, Packed
from noria.make.tokens.shards import Shards
from noria.make.tokens.special import Special
from noria.make.training.loop.loop import Evaluator, train
from noria.make.training.loop.result import Evaluation, TrainResult
from noria.make.training.loop.step import AfterStep
from noria.make.training.objectives import language_modeling as objectives
from noria.make.training.objectives import supervised
from noria.make.training.objectives.corruption import Corrupted, Rule, Windows
from noria.make.training.parallel.single import Objective
from noria.make.training.settings import OptimizerSettings, TrainSettings

GOLDEN = Path(__file__).parents[2] / "golden" / "losses.json"
VOCABULARY = 300
SPECIAL = Special(begin=1, end=2, pad=0, mask=3, sentinels=tuple(range(4, 24)))
STEPS = 12
WIDTHS = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}


@dataclass
class Setup:
    """What one run is made of."""

    module: nn.Module
    batches: BatchSource
    objective: Objective
    judge: Evaluator
    after_step: AfterStep | None = None
    method: str = "adamw"


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


def padded(texts: list[np.ndarray]) -> dict[str, torch.Tensor]:
    ids = torch.zeros(len(texts), max(map(len, texts)), dtype=torch.long)
    for place, text in enumerate(texts):
        ids[place, : len(text)] = torch.from_numpy(text)
    return {"input_ids": ids, "attention_mask": (ids != 0).long()}


def in_buckets(collate: Callable[[np.ndarray], dict[str, torch.Tensor]], texts: list[np.ndarray]) -> Buckets:
    def batch(rows: np.ndarray) -> Batch:
        tensors = collate(rows)
        return Batch(tensors, [int(row) for row in rows], int((tensors["input_ids"] != 0).sum()))

    return Buckets([len(text) for text in texts], batch, tokens_per_batch=256, seed=5)


def judged(batches: BatchSource, objective: Objective, step: int = 0) -> Evaluator:
    def judge(module: nn.Module) -> Evaluation:
        torch.rand(3)  # an evaluator that draws must not change the run
        losses = [objective(module, batch) for batch in batches.at(step)]
        loss = sum(float(one) for one, _ in losses) / sum(weight for _, weight in losses)
        return Evaluation(-loss, {"valid": loss})

    return judge


def causal_run() -> Setup:
    """A tiny Llama on packed documents."""
    torch.manual_seed(1)
    module = transformers.LlamaForCausalLM(causal_config(200_000, VOCABULARY, 32))
    batches = Packed(shards(), context=32, rows=4, seed=3)
    return Setup(module, batches, objectives.causal, judged(batches, objectives.causal, 10_000))


def muon_run() -> Setup:
    """As causal, by Muon."""
    setup = causal_run()
    setup.method = "muon"
    return setup


def lstm_run() -> Setup:
    """A tiny LSTM with dropout on packed documents."""
    torch.manual_seed(10)
    module = recurrent.LstmForCausalLM(recurrent.config(100_000, VOCABULARY, 32, dropout=0.1))
    batches = Packed(shards(), context=32, rows=4, seed=3)
    return Setup(module, batches, objectives.causal, judged(batches, objectives.causal, 10_000))


def classify_run() -> Setup:
    """A tiny BERT with dropout on texts in length buckets, two labels."""
    torch.manual_seed(2)
    module = transformers.BertForSequenceClassification(
        transformers.BertConfig(vocab_size=VOCABULARY, **WIDTHS, **DROPOUT)
    )
    texts = documents()

    def collate(rows: np.ndarray) -> dict[str, torch.Tensor]:
        labels = torch.tensor([int(texts[row][1]) % 2 for row in rows])
        return {**padded([texts[row] for row in rows]), "labels": labels}

    batches = in_buckets(collate, texts)
    return Setup(module, batches, supervised.classes, judged(batches, supervised.classes))


def span_run() -> Setup:
    """A tiny BERT that finds where a text's largest token stands."""
    torch.manual_seed(3)
    module = transformers.BertForQuestionAnswering(transformers.BertConfig(vocab_size=VOCABULARY, **WIDTHS, **DROPOUT))
    texts = documents()

    def collate(rows: np.ndarray) -> dict[str, torch.Tensor]:
        labels = torch.tensor([[int(texts[row].argmax())] * 2 for row in rows])
        return {**padded([texts[row] for row in rows]), "labels": labels}

    batches = in_buckets(collate, texts)
    return Setup(module, batches, supervised.spans, judged(batches, supervised.spans))


def embed_run() -> Setup:
    """A tiny BERT that puts a text near its own second half."""
    torch.manual_seed(4)
    module = transformers.BertModel(transformers.BertConfig(vocab_size=VOCABULARY, **WIDTHS, **DROPOUT))
    texts = documents()
    objective = partial(supervised.contrast, pooling="mean", temperature=0.05)

    def collate(rows: np.ndarray) -> dict[str, torch.Tensor]:
        chosen = [texts[row] for row in rows]
        same = torch.zeros(len(rows), len(rows), dtype=torch.bool)
        return {**padded([*chosen, *(text[len(text) // 2 :] for text in chosen)]), "same": same}

    batches = in_buckets(collate, texts)
    return Setup(module, batches, objective, judged(batches, objective))


def tiny_t5() -> nn.Module:
    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=VOCABULARY,
            d_model=32,
            d_kv=16,
            d_ff=64,
            num_layers=2,
            num_heads=2,
            dropout_rate=0.1,
            decoder_start_token_id=0,
            pad_token_id=0,
        )
    )


def written_run() -> Setup:
    """A tiny T5 that writes a text backwards."""
    torch.manual_seed(5)
    module, texts = tiny_t5(), documents()

    def collate(rows: np.ndarray) -> dict[str, torch.Tensor]:
        labels = padded([texts[row][::-1].copy() for row in rows])["input_ids"]
        return {**padded([texts[row] for row in rows]), "labels": labels.masked_fill(labels == 0, -100)}

    batches = in_buckets(collate, texts)
    return Setup(module, batches, supervised.written, judged(batches, supervised.written))


def corrupted_run(module: nn.Module, objective: Objective, *, spans: bool, words: np.ndarray | None = None) -> Setup:
    windows = Windows.of(shards(), 30, words)
    rule = Rule(SPECIAL, np.arange(24, VOCABULARY), spans)
    batches = Corrupted(windows, rule, tokens_per_batch=256, seed=5)
    return Setup(module, batches, objective, judged(batches, objective))


def masked_run() -> Setup:
    """A tiny BERT that names hidden tokens."""
    torch.manual_seed(7)
    config = transformers.BertConfig(vocab_size=VOCABULARY, **WIDTHS, **DROPOUT)
    return corrupted_run(transformers.BertForMaskedLM(config), objectives.masked, spans=False)


def words_run() -> Setup:
    """The same with words hidden whole; every other token begins one."""
    torch.manual_seed(8)
    config = transformers.BertConfig(vocab_size=VOCABULARY, **WIDTHS, **DROPOUT)
    words = np.arange(len(shards().ids)) % 2 == 0
    return corrupted_run(transformers.BertForMaskedLM(config), objectives.masked, spans=False, words=words)


def spans_run() -> Setup:
    """A tiny T5 that writes the spans that were cut out."""
    torch.manual_seed(9)
    return corrupted_run(tiny_t5(), objectives.spans, spans=True)


def accumulated_run() -> Setup:
    """As classify, three batches a step."""
    setup = classify_run()
    setup.batches = Joined(setup.batches, 3)
    return setup


def frozen_run() -> Setup:
    """As classify, with embeddings and the lower layer at rest."""
    setup = classify_run()
    adapt.freeze(setup.module, 1)
    return setup


def adapted(make: Callable[[], Setup], kind: str) -> Callable[[], Setup]:
    def run() -> Setup:
        setup = make()
        settings = AdapterSettings(kind=kind, rank=2, initial_rank=4, width=8, tokens=4)
        adapt.adapt(setup.module, settings, seed=6)
        setup.after_step = adapt.after_step(setup.module)
        return setup

    return run


KINDS: dict[str, Callable[[], Setup]] = {
    "causal": causal_run,
    "classify": classify_run,
    "span": span_run,
    "embed": embed_run,
    "written": written_run,
    "masked": masked_run,
    "words": words_run,
    "spans": spans_run,
    "muon": muon_run,
    "lstm": lstm_run,
    "accumulated": accumulated_run,
    "frozen": frozen_run,
    **{kind: adapted(classify_run, kind) for kind in ("lora", "adalora", "bottleneck", "prefix")},
    "causal lora": adapted(causal_run, "lora"),
}


def steps_done(work: Path) -> int:
    """Return how many steps a run has written down."""
    return max((record["step"] for record in MetricsLog(work / "metrics.jsonl").read()), default=0)


def doomed(objective: Objective, work: Path, step: int, seconds: float) -> Objective:
    """Return an objective that, once `step` steps are written down, lets the process be killed after so many seconds.

    The kernel ends it wherever it is then, in a step, an evaluation or the middle of a checkpoint: nothing handles the signal.
    The timer is the process's own, for one that watches from outside comes too late where the machine is busy: the run is at
    its end before the watcher is given a core. Here the run cannot compute for longer than the timer.
    """
    armed = False

    def scored(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, float]:
        nonlocal armed
        if not armed and steps_done(work) >= step:
            armed = True
            signal.setitimer(signal.ITIMER_REAL, seconds)
        return objective(module, batch)

    return scored


def go(
    kind: str,
    work: Path,
    *,
    number_type: str = "fp32",
    steps: int = STEPS,
    threads: int = 1,
    pause: float = 1e-9,
    killed: tuple[int, float] | None = None,
) -> tuple[TrainResult, nn.Module]:
    """Run to the end, going on with what `work` holds; by default a checkpoint after every step.

    `killed`: the step after which the run is killed, and after how many seconds.
    """
    torch.set_num_threads(threads)
    setup = KINDS[kind]()
    if killed is not None:
        setup.objective = doomed(setup.objective, work, *killed)
    settings = TrainSettings(
        seed=11,
        steps=steps,
        number_type=number_type,
        evaluations=4,
        checkpoint_seconds=pause,
        checkpoint_share=1.0,
        optimizer=OptimizerSettings(learning_rate=3e-3, method=setup.method),
    )
    found = train(
        setup.module,
        setup.batches,
        setup.objective,
        settings,
        work,
        Report(stream=sys.stderr),
        setup.judge,
        after_step=setup.after_step,
    )
    return found, setup.module


def losses(kind: str, work: Path, steps: int = 8) -> list[float]:
    """Return the losses of the first steps."""
    go(kind, work, steps=steps, pause=100)
    return [record["loss"] for record in MetricsLog(work / "metrics.jsonl").read() if "loss" in record]


def warm() -> None:
    """Make one short run, so that what a first one imports and measures is there in all that are forked; none waits for the disk."""
    folder.sync = lambda path: None
    with tempfile.TemporaryDirectory() as work:
        go("classify", Path(work), steps=1)
    assert len(list(Path("/proc/self/task").iterdir())) == 1, "what has several threads cannot be forked"


def serve() -> None:
    """Fork a run for every line of arguments."""
    warm()
    gc.collect()
    gc.freeze()  # what was imported is no garbage, and need not be looked through in every process
    for line in sys.stdin:
        arguments: dict[str, Any] = json.loads(line)
        number = os.fork()
        if not number:
            status = 1
            try:
                go(arguments.pop("kind"), Path(arguments.pop("work")), **arguments)
                status = 0
            finally:
                sys.stderr.flush()
                os._exit(status)
        print(number, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), flush=True)


def write_golden() -> None:
    """Write the losses of every kind."""
    found = {}
    for kind in KINDS:
        with tempfile.TemporaryDirectory() as work:
            found[kind] = [round(loss, 7) for loss in losses(kind, Path(work))]
    GOLDEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_golden() if sys.argv[1:] == ["golden"] else serve()
