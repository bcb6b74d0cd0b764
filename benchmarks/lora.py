"""Adapters: how long until LoRA is as good as full fine-tuning, less half a point; Noria beside transformers.Trainer with peft.

Everyone fine-tunes multilingual-e5-small to tell good reviews from bad ones, texts cut at 64 tokens, on the same rows, and
is judged on the same held-out rows; the clock stands still while a model is judged. Full fine-tuning (Noria's own) runs its
whole course. The bar is its accuracy at the end less 0.5 point; its time is when it first had the accuracy of its end. The
others run until they reach the bar. Noria's LoRA rests on the documented advice: the lower layers frozen, their states kept.
peft gets the untrimmed model, once with the defaults of Trainer and LoraConfig and once with the best settings known for
processors. A peer that has not reached the bar after a while is stopped, and its name says so: the ratio is then a bound
from below. Every run is a process of its own.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from .line import Line, compare

MAX_LENGTH = 64
EPOCHS = 2.0
FROZEN = 8
LESS = 0.005
LORA = {"learning_rate": 2e-3, "epochs": 4.0}
PEERS: dict[str, dict[str, Any]] = {
    "transformers.Trainer with peft, defaults": {"lora": {}, "trainer": {}},
    "transformers.Trainer with peft, bf16 and best settings": {
        "lora": {"target_modules": "all-linear", "lora_alpha": 16},
        "trainer": {
            "bf16": True, "per_device_train_batch_size": 32, "train_sampling_strategy": "group_by_length",
            "optim": "adamw_torch_fused", "learning_rate": 1e-3, "warmup_steps": 10, "dataloader_pin_memory": False,
        },
    },
}  # fmt: skip


def measure(*, quick: bool) -> list[Line]:
    """Return one line for Noria's own full fine-tuning and one a peer; quick takes 1 repeat on few rows, else 3 on more."""
    repeats, rows, held, patience = (1, 2000, 1000, 60.0) if quick else (3, 6000, 3000, 400.0)
    seconds: dict[str, list[float]] = {name: [] for name in ("noria, full", "noria", *PEERS)}
    short: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as place:
        folder = Path(place)
        prepare(folder, rows, held)
        for number in range(repeats):
            course = _child(folder, "noria, full", number, 0.0, patience)
            end = course[-1][1]
            seconds["noria, full"].append(next(at for at, accuracy in course if accuracy >= end))
            for name in ("noria", *PEERS):
                found = _child(folder, name, number, end - LESS, patience)
                at, accuracy = next((one for one in found if one[1] >= end - LESS), found[-1])
                if accuracy < end - LESS:
                    short.add(name)
                seconds[name].append(at)
                print(f"lora {number + 1}/{repeats}: full {end:.4f} after {seconds['noria, full'][-1]:.1f} s; "
                      f"{name}: {accuracy:.4f} after {at:.1f} s", file=sys.stderr)  # fmt: skip
    mine, ours = "Noria's full fine-tuning, to its own accuracy", seconds.pop("noria")
    told = {mine: seconds.pop("noria, full"), **seconds}
    if "noria" in short:
        short.add(mine)
    return [
        compare("lora", "time to full fine-tuning's accuracy less 0.5 point", ours, values,
                name + (" (stopped short of it)" if name in short else ""), "s", higher_is_better=False)
        for name, values in told.items()
    ]  # fmt: skip


def _child(folder: Path, name: str, seed: int, bar: float, patience: float) -> list[list[float]]:
    command = [sys.executable, "-m", "benchmarks.lora", str(folder), name, str(seed), str(bar), str(patience)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} failed: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def prepare(folder: Path, rows: int, held: int) -> None:
    """Write rows to learn from and rows to judge by, the rebuilt model, and the same trimmed to the reviews."""
    from noria.build.compress.trim import trim
    from noria.build.corpus.bundled import reviews
    from noria.build.model.bundled import e5_small

    labels = {document.text: document.meta["label"] for document in reviews() if document.text.strip()}
    texts = sorted(labels)
    random.Random(0).shuffle(texts)
    for name, some in (("held", texts[:held]), ("train", texts[held : held + rows])):
        lines = [json.dumps({"text": text, "label": labels[text]}, ensure_ascii=False) for text in some]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    e5_small(folder / "e5")
    trim(folder / "e5", texts, folder / "base")


class _Clock:
    """Time spent learning, and what each judgement found: it stands still while the model is judged."""

    def __init__(self, bar: float, patience: float) -> None:
        self.bar, self.patience = bar, patience
        self.found: list[list[float]] = []
        self.judged, self.start = 0.0, time.perf_counter()

    def judge(self, accuracy: Any) -> float:
        """Take down what `accuracy()` gives; return it."""
        began = time.perf_counter()
        value = accuracy()
        self.found.append([began - self.start - self.judged, value])
        self.judged += time.perf_counter() - began
        return value

    @property
    def over(self) -> bool:
        """Return whether the bar is reached, or patience at an end."""
        at, value = self.found[-1]
        return bool(self.bar) and (value >= self.bar or at >= self.patience)


class _Reached(Exception):  # noqa: N818 - the end that was wanted
    """The run may stop."""


def noria(folder: Path, seed: int, clock: _Clock, *, lora: bool) -> None:
    """Train as `noria build finetune` does, all of it or a LoRA on the upper layers."""
    from functools import partial

    from noria.build.model.adapt_settings import AdapterSettings
    from noria.build.tokens.batches import Buckets
    from noria.build.train import lower
    from noria.build.train.examples import Examples
    from noria.build.train.fit import optimizer_of, pad_of
    from noria.build.train.heads import objective_of, way_of
    from noria.build.train.loop import Evaluation, train
    from noria.build.train.prepare import prepared
    from noria.build.train.settings import BodySettings, FinetuneSettings, TrainSettings
    from noria.core.progress import Report
    from noria.tasks.task import labels_in, read_rows, task_for

    rows = read_rows(folder / "train.jsonl", task_for("classify"))
    task, epochs = task_for("classify", labels_in(rows)), LORA["epochs"] if lora else EPOCHS
    settings = FinetuneSettings(
        max_length=MAX_LENGTH, seed=seed, learning_rate=LORA["learning_rate"] if lora else None,
        adapter=AdapterSettings(kind="lora" if lora else "none"), body=BodySettings(frozen=FROZEN if lora else 0),
    )  # fmt: skip
    module, tokenizer = prepared(task, folder / "base", settings)
    examples = Examples.of(task, tokenizer, rows, MAX_LENGTH)
    held = Examples.of(task, tokenizer, read_rows(folder / "held.jsonl", task), MAX_LENGTH)
    settings = settings.but(steps=round(epochs * sum(examples.lengths) / settings.tokens_per_batch * 1.05))

    def judge(module: Any) -> Evaluation:
        value = clock.judge(lambda: _accuracy(module, [one.ids for one in held.features], held.targets))
        if clock.over:
            raise _Reached
        return Evaluation(value)

    with tempfile.TemporaryDirectory(dir=folder) as work:
        clock.start = time.perf_counter()
        way = way_of(task, examples)
        collate, pad = partial(way.collate, examples, pad_of(module)), pad_of(module)
        collate = lower.cheaper(collate, task, module, examples, settings, Path(work), Report(), pad=pad)
        batches = Buckets(examples.lengths, collate, tokens_per_batch=settings.tokens_per_batch, seed=seed)
        pace = TrainSettings(
            seed=seed, steps=settings.steps, optimizer=optimizer_of(task, settings), evaluations=round(8 * epochs)
        )
        objective = objective_of(way, len(rows) / batches.steps_per_epoch)
        with suppress(_Reached):
            train(module, batches, objective, pace, Path(work) / "run", Report(), judge)


def _accuracy(module: Any, ids: list[list[int]], labels: list[int]) -> float:
    import torch

    from noria.build.evaluate.predict import padded
    from noria.build.train import bert

    order, right = sorted(range(len(ids)), key=lambda row: len(ids[row])), 0
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            table, mask = padded([ids[row] for row in rows], 0)
            tensors = {"input_ids": torch.from_numpy(table), "attention_mask": torch.from_numpy(mask)}
            said = bert.run(module, tensors).logits.argmax(-1).tolist()
            right += sum(one == labels[row] for one, row in zip(said, rows, strict=True))
    return right / len(ids)


def peft_run(folder: Path, seed: int, clock: _Clock, settings: dict[str, Any]) -> None:
    """Train a LoRA by transformers.Trainer and peft; `settings` go to LoraConfig and TrainingArguments."""
    import peft
    import transformers

    from noria.tasks.task import read_rows, task_for

    transformers.set_seed(seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "e5")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder / "e5", num_labels=2)
    model = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", **settings["lora"]))

    def encoded(name: str) -> list[dict[str, Any]]:
        rows = read_rows(folder / f"{name}.jsonl", task_for("classify"))
        ids = tokenizer([row["text"] for row in rows], truncation=True, max_length=MAX_LENGTH)["input_ids"]
        return [
            {
                "input_ids": one,
                "attention_mask": [1] * len(one),
                "labels": int(row["label"] == "positive"),
                "length": len(one),
            }
            for one, row in zip(ids, rows, strict=True)
        ]

    held = encoded("held")

    class Judge(transformers.TrainerCallback):
        """Judges after every so many rows, and stops at the bar."""

        every = max(1, 1000 // settings["trainer"].get("per_device_train_batch_size", 8))

        def on_train_begin(self, *args: object, **kwargs: object) -> None:
            clock.start = time.perf_counter()

        def on_step_end(self, args: object, state: Any, control: Any, **kwargs: object) -> None:
            late = time.perf_counter() - clock.start - clock.judged >= clock.patience
            if state.global_step % self.every == 0 or late:
                model.eval()
                clock.judge(
                    lambda: _accuracy(model, [one["input_ids"] for one in held], [one["labels"] for one in held])
                )
                model.train()
                control.should_training_stop = clock.over

    pad = transformers.DataCollatorWithPadding(tokenizer)
    with tempfile.TemporaryDirectory(dir=folder) as out:
        arguments = transformers.TrainingArguments(
            out, use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no", logging_strategy="no",
            remove_unused_columns=False, num_train_epochs=LORA["epochs"], seed=seed, **settings["trainer"],
        )  # fmt: skip
        trainer = transformers.Trainer(
            model, arguments, train_dataset=encoded("train"), callbacks=[Judge()],
            data_collator=lambda rows: pad([{key: row[key] for key in row if key != "length"} for row in rows]),
        )  # fmt: skip
        trainer.train()


def main(folder: str, name: str, seed: str, bar: str, patience: str) -> None:
    """Do one child's part and print [seconds of learning, accuracy] of every judgement."""
    clock = _Clock(float(bar), float(patience))
    if name.startswith("noria"):
        noria(Path(folder), int(seed), clock, lora=name == "noria")
    else:
        peft_run(Path(folder), int(seed), clock, PEERS[name])
    print(json.dumps(clock.found))


if __name__ == "__main__":
    main(*sys.argv[1:])
