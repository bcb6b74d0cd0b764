"""Tuning a real decoder on this processor: LoRA and DPO of SmolLM2-135M, Noria beside TRL with peft at its best settings.

Rows of 512 random tokens, all of them scored, so that nothing but the passes is compared; pairs of a question of 128 tokens and two answers of
128. Every run is a process of its own, runs alternate; memory is the most that the process ever held. The peer is run in bf16 and in
fp32, with layers computed again and without: of the speeds of each the highest counts, of the peaks the lowest.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from noria.machine import bf16_is_native

from . import child
from .isa import here
from .line import Line, compare

LENGTH, PAIR = 512, 256
ROWS = 64
RANK = 8
PEERS: dict[str, dict[str, Any]] = {
    "bf16": {"dtype": "bfloat16", "checkpointing": False},
    "bf16, layers computed again": {"dtype": "bfloat16", "checkpointing": True},
    "fp32": {"dtype": "float32", "checkpointing": False},
    "fp32, layers computed again": {"dtype": "float32", "checkpointing": True},
}
OURS: dict[str, dict[str, str]] = {
    "bf16": {"checkpointing": "off", "resting": "bf16"},
    "bf16, layers computed again": {"checkpointing": "on", "resting": "bf16"},
    "base in 8 bits, layers computed again": {"checkpointing": "on", "resting": "int8"},
}
"""Noria's settings."""
BARS = {"tokens/s": 2.0, "MB": 0.5, "pairs/s": 1.5}
"""What is wanted: so many times the peer."""


def measure(*, quick: bool) -> list[Line]:
    """Return lines of LoRA's speed and memory and of DPO's speed, each beside the peer and beside what is wanted."""
    native = bf16_is_native()
    # Of the seconds Noria takes a dozen for reading and measuring where a step is slow.
    repeats, seconds = (1, 10.0 if native else 40.0) if quick else (3, 30.0 if native else 60.0)
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        child.run("benchmarks.decoders_tune", folder, "prepare", "", str(seconds))
        # Where bf16 is emulated it takes a hundred times as long; where it is not, fp32 is the slower and the larger.
        peers = [name for name in PEERS if (native and not quick) or name.startswith("bf16" if native else "fp32")]
        own = [f"noria, {name}" for name in OURS]
        runs = [*(("lora", name) for name in (*own, *peers)), ("dpo", own[0]), ("dpo", peers[0])]
        for number in range(repeats):
            for work, name in runs if number % 2 == 0 else reversed(runs):
                told = child.run("benchmarks.decoders_tune", folder, work, name, str(seconds))
                found.setdefault(f"{work} {name}", []).append(told)
                print(f"decoders {number + 1}/{repeats}: {work}, {name}: {told}", file=sys.stderr)
    title = f"LoRA of SmolLM2-135M, rows of {LENGTH} tokens"
    lora = {name: found[f"lora {name}"] for name in (*own, *peers)}
    lines = []
    for key, unit, measured in (("speed", "tokens/s", "speed"), ("megabytes", "MB", "peak memory")):
        ours, theirs = (_best(lora, names, key) for names in (own, peers))
        lines += _lines(f"{title}, {measured} ({ours})", lora[ours], lora[theirs], key, theirs, unit)
    pairs = found[f"dpo {own[0]}"], found[f"dpo {peers[0]}"]
    return [*lines, *_lines(f"DPO of SmolLM2-135M, speed ({own[0]})", *pairs, "speed", peers[0], "pairs/s")]


def _best(found: dict[str, list[dict[str, float]]], names: list[str], key: str) -> str:
    """Return the settings of the highest speed, or of the lowest peak."""
    chosen = max if key == "speed" else min
    return chosen(names, key=lambda name: sum(one[key] for one in found[name]))


def _lines(
    measured: str, noria: list[dict[str, float]], peer: list[dict[str, float]], key: str, name: str, unit: str
) -> list[Line]:
    ours, theirs, bar = [one[key] for one in noria], [one[key] for one in peer], BARS[unit]
    higher = unit != "MB"
    return [
        compare("decoders_tune", measured, ours, values, told, unit, higher_is_better=higher)
        for values, told in (
            (theirs, f"TRL with peft, {name}"),
            ([bar * one for one in theirs], f"wanted: {bar:g} times TRL with peft, {name}"),
        )
    ]


def _random_rows(count: int, length: int) -> list[list[int]]:
    import numpy as np

    return np.random.default_rng(0).integers(100, 49_000, (count, length)).tolist()  # type: ignore[no-any-return]


def noria_lora(folder: Path, name: str, seconds: float) -> float:
    """Return tokens a second of Noria's loop over about `seconds` of training."""
    import numpy as np
    import torch

    from noria.core.progress import Report
    from noria.make.tokens.batches import Batch, Buckets, Parted
    from noria.make.training.finetune.causal import PASS
    from noria.make.training.loop.loop import train
    from noria.make.training.objectives.language_modeling import causal
    from noria.make.training.settings import OptimizerSettings, TrainSettings

    module, _ = _prepared(folder, name, LENGTH)
    rows = torch.tensor(_random_rows(ROWS, LENGTH + 1))

    def collate(numbers: np.ndarray) -> Batch:
        some = rows[numbers]
        tensors = {"input_ids": some[:, :-1], "targets": some[:, 1:], "documents": torch.zeros_like(some[:, 1:])}
        return Batch(tensors, numbers.tolist(), some[:, 1:].numel())

    source = Parted(
        Buckets([LENGTH] * ROWS, collate, tokens_per_batch=2048 if bf16_is_native() else LENGTH, seed=0), PASS
    )
    settings = TrainSettings(seconds=seconds, optimizer=OptimizerSettings(learning_rate=1e-4))
    result = train(module, source, causal, settings, _fresh(folder), Report())
    return result.tokens_per_second


def noria_dpo(folder: Path, name: str, seconds: float) -> float:
    """Return pairs a second."""
    from noria.core.progress import Report
    from noria.make.tokens.batches import IGNORED, Buckets
    from noria.make.training.align.objectives import Answers, preference
    from noria.make.training.align.settings import AlignSettings
    from noria.make.training.loop.loop import train
    from noria.make.training.settings import OptimizerSettings, TrainSettings
    from noria.tasks.encode import Features

    module, _ = _prepared(folder, name, PAIR)
    half = PAIR // 2
    ids = _random_rows(3 * ROWS, half)
    told = [
        [
            Features(
                [*ids[3 * row], *ids[3 * row + place]], [], {"target_ids": [*[IGNORED] * half, *ids[3 * row + place]]}
            )
            for place in (1, 2)
        ]
        for row in range(ROWS)
    ]
    answers = Answers([{"chosen": "", "rejected": ""}] * ROWS, told, 0)
    source = Buckets(answers.lengths, answers.collate, tokens_per_batch=1024 if bf16_is_native() else 2 * PAIR, seed=0)
    settings = TrainSettings(seconds=seconds, optimizer=OptimizerSettings(learning_rate=1e-5), stop_diverging=False)
    result = train(module, source, preference("dpo", AlignSettings()), settings, _fresh(folder), Report())
    return result.tokens_per_second / (2 * PAIR)


def _fresh(folder: Path) -> Path:
    """Return where a run of its own lies: one that is found again would be resumed, and nothing measured."""
    return Path(tempfile.mkdtemp(dir=folder)) / "run"


def _prepared(folder: Path, name: str, length: int) -> Any:
    from noria.make.tokens.tokenizer import load_tokenizer
    from noria.make.training.finetune.prepare import prepare_model
    from noria.make.training.settings import FinetuneSettings
    from noria.tasks.task import task_for

    settings = FinetuneSettings.make(
        max_length=length, adapter={"kind": "lora", "rank": RANK, "alpha": 2.0 * RANK, **OURS[name]}
    )
    base = folder / "base"
    return prepare_model(task_for("chat").based_on(base, load_tokenizer(base)), base, settings)


class _Clock:
    """Counts a Trainer's steps after the first, and stops it when the time is over."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.steps, self.start, self.end = seconds, 0, 0.0, 0.0

    def callback(self) -> Any:
        import transformers

        clock = self

        class Stopping(transformers.TrainerCallback):
            def on_step_end(self, args: object, state: Any, control: Any, **more: object) -> None:
                now = time.perf_counter()
                if state.global_step == 1:
                    clock.start = now
                else:
                    clock.steps, clock.end = clock.steps + 1, now
                control.should_training_stop = clock.steps >= 2 and now - clock.start > clock.seconds

        return Stopping()

    @property
    def speed(self) -> float:
        """Return steps a second."""
        return self.steps / (self.end - self.start)


def peer_speed(folder: Path, work: str, name: str, seconds: float) -> float:
    """Return tokens or pairs a second of TRL's trainer with peft's LoRA."""
    import torch
    import transformers
    from datasets import Dataset
    from peft import LoraConfig

    trl = cast(Any, import_module("trl"))

    peer, clock = PEERS[name], _Clock(seconds)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "base", dtype=getattr(torch, peer["dtype"]))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "base")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    settings: dict[str, Any] = here(
        {
            "bf16": peer["dtype"] == "bfloat16",
            "gradient_checkpointing": peer["checkpointing"],
            "per_device_train_batch_size": 1,
            "optim": "adamw_torch_fused",
            "dataloader_pin_memory": False,
        }
    )
    common = {"report_to": [], "disable_tqdm": True, "save_strategy": "no", "logging_strategy": "no", "use_cpu": True}
    lora = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear", task_type="CAUSAL_LM")
    arguments = {**common, **settings, "max_steps": 10_000}
    with tempfile.TemporaryDirectory(dir=folder) as out:
        if work == "lora":
            data = Dataset.from_list([{"input_ids": row} for row in _random_rows(ROWS, LENGTH)])
            trainer: Any = trl.SFTTrainer(
                model,
                trl.SFTConfig(out, max_length=LENGTH, **arguments),
                train_dataset=data,
                processing_class=tokenizer,
                peft_config=lora,
                callbacks=[clock.callback()],
            )
        else:
            ids = _random_rows(3 * ROWS, PAIR // 2)
            texts = [tokenizer.decode(one) for one in ids]
            pairs = [
                {"prompt": texts[3 * row], "chosen": texts[3 * row + 1], "rejected": texts[3 * row + 2]}
                for row in range(ROWS)
            ]
            trainer = trl.DPOTrainer(
                model,
                args=trl.DPOConfig(out, max_length=PAIR, **arguments),
                train_dataset=Dataset.from_list(pairs),
                processing_class=tokenizer,
                peft_config=lora,
                callbacks=[clock.callback()],
            )
        trainer.train()
    return clock.speed * (LENGTH if work == "lora" else 1)


def main(folder: str, work: str, name: str, seconds: str) -> None:
    """Do one child's part and print its speed."""
    place, budget = Path(folder), float(seconds)
    if work == "prepare":
        import noria

        noria.base("smollm2", out=place / "base", progress=False)
        found = 0.0
    elif name.startswith("noria, "):
        settings = name.removeprefix("noria, ")
        found = noria_lora(place, settings, budget) if work == "lora" else noria_dpo(place, settings, budget)
    else:
        found = peer_speed(place, work, name, budget)
    print(json.dumps({"speed": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
