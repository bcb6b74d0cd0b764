"""Time to an accuracy: Noria beside transformers.Trainer, with or without adapters, on the same rows.

Everyone fine-tunes multilingual-e5-small to tell good reviews from bad ones, texts cut at 64 tokens, and is judged on the
same held-out rows; the clock stands still while a model is judged. Noria trains on the vocabulary trimmed to the reviews, a
Trainer on the whole model. Every run is a process of its own. One of two sets the bar:
- `raced`: Noria's full fine-tuning runs its whole course, and its accuracy at the end less 0.5 point is the bar. The others run
  until they reach it, or until patience ends: then their name says so, and the ratio is a bound from below.
- `reached`: a Trainer runs its whole course, and its accuracy at the end is the bar. Noria runs as `noria build finetune` does,
  by a budget of a part of the Trainer's time, then of larger parts, until a whole run reaches it. Its time is that of all that
  it does between reading rows and figures: baselines, measuring, training, judging.
"""

from __future__ import annotations

import io
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import trainer as peer
from .isa import here

MAX_LENGTH = 64
EPOCHS = 2.0
LESS = 0.005
FULL: dict[str, Any] = {"noria": {}}
"""The one that sets the bar."""
STOPPED = " (stopped short of it)"


def raced(
    contestants: Mapping[str, dict[str, Any]], *, repeats: int, rows: int, held: int, patience: float, title: str
) -> tuple[dict[str, list[float]], set[str]]:
    """Return the seconds of each contestant in each repeat, under "full" those of who set the bar, and who fell short of it.

    Args:
        contestants: name -> {"noria": changes of FinetuneSettings, "epochs"} or {"trainer": TrainingArguments} with
            "lora": arguments of peft's LoraConfig, where it trains an adapter.
        repeats: how often; each has its own seed.
        rows, held: texts to learn from and to be judged by.
        patience: seconds of learning after which a contestant is stopped.
        title: told with every result.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ("full", *contestants)}
    short: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as place:
        folder = Path(place)
        prepare(folder, rows, held, seed=0)
        for number in range(repeats):
            course = run(folder, FULL, number, 0.0, patience)
            bar = course[-1][1] - LESS
            # Its time is when it first had the accuracy of its end.
            seconds["full"].append(next(at for at, accuracy in course if accuracy >= course[-1][1]))
            for name, contestant in contestants.items():
                found = run(folder, contestant, number, bar, patience)
                at, accuracy = next((one for one in found if one[1] >= bar), found[-1])
                if accuracy < bar:
                    short.add(name)
                seconds[name].append(at)
                print(
                    f"{title} {number + 1}/{repeats}: bar {bar:.4f}, full {seconds['full'][-1]:.1f} s; "
                    f"{name}: {accuracy:.4f} after {at:.1f} s",
                    file=sys.stderr,
                )
    return seconds, short


def reached(
    peers: Mapping[str, dict[str, Any]],
    *,
    repeats: int,
    rows: int,
    held: int,
    epochs: float,
    parts: Sequence[float],
    title: str,
) -> tuple[dict[str, list[tuple[float, float]]], set[str]]:
    """Return for every peer Noria's seconds and its own to its final accuracy, in each repeat, and where Noria never reached it.

    Args:
        peers: name -> TrainingArguments.
        repeats: how often; each has its own seed.
        rows, held: texts to learn from and to be judged by.
        epochs: of the peers.
        parts: of a peer's time, that Noria is given one after the other.
        title: told with every result.
    """
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in peers}
    short: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as place:
        folder = Path(place)
        prepare(folder, rows, held, seed=0)
        for number in range(repeats):
            for name, arguments in peers.items():
                ((took, bar),) = run(folder, {"trainer": arguments, "epochs": epochs}, number, 0.0, math.inf)
                print(f"{title} {number + 1}/{repeats}: {name}: {bar:.4f} after {took:.1f} s", file=sys.stderr)
                for part in parts:
                    ((ours, accuracy),) = run(folder, {"minutes": part * took / 60}, number, bar, math.inf)
                    print(f"  Noria, given {part * took:.1f} s: {accuracy:.4f} in {ours:.1f} s", file=sys.stderr)
                    if accuracy >= bar:
                        break
                else:
                    short.add(name)
                seconds[name].append((ours, took))
    return seconds, short


def run(folder: Path, contestant: dict[str, Any], seed: int, bar: float, patience: float) -> list[list[float]]:
    """Return [seconds of learning, accuracy] of every judgement of one run, in a process of its own."""
    told = [str(folder), json.dumps(contestant), str(seed), str(bar), str(patience)]
    command = [sys.executable, "-m", "benchmarks.race", *told]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{contestant} failed: {done.stderr.strip().splitlines()[-1]}")
    judged: list[list[float]] = json.loads(done.stdout.strip().splitlines()[-1])
    return judged


def prepare(folder: Path, rows: int, held: int, *, seed: int) -> None:
    """Write rows to learn from and rows to judge by, the rebuilt model, and the same trimmed to the reviews."""
    from noria.make.compress.trim import trim
    from noria.make.corpus.bundled import reviews
    from noria.make.models.bundled import e5_small

    labels = {document.text: document.meta["label"] for document in reviews() if document.text.strip()}
    texts = sorted(labels)
    random.Random(seed).shuffle(texts)
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

    def judge(self, accuracy: Callable[[], float]) -> float:
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


def noria(folder: Path, seed: int, clock: _Clock, changes: dict[str, Any], epochs: float = EPOCHS) -> None:
    """Train as `noria build finetune` does, judging eight times an epoch."""
    from noria.core.progress import Report
    from noria.make.training.finetune.examples import Examples
    from noria.make.training.finetune.fit import fitting
    from noria.make.training.finetune.prepare import prepare_model
    from noria.make.training.loop.loop import train
    from noria.make.training.loop.result import Evaluation
    from noria.make.training.settings import FinetuneSettings
    from noria.tasks.task import labels_in, read_rows, task_for

    rows = read_rows(folder / "train.jsonl", task_for("classify"))
    task = task_for("classify", labels_in(rows))
    settings = FinetuneSettings.make(**{"max_length": MAX_LENGTH, "seed": seed, **changes})
    module, tokenizer = prepare_model(task, folder / "base", settings)
    examples = Examples.of(task, tokenizer, rows, MAX_LENGTH)
    held = Examples.of(task, tokenizer, read_rows(folder / "held.jsonl", task), MAX_LENGTH)
    steps = round(epochs * sum(examples.lengths) / settings.tokens_per_batch * 1.05)
    settings = settings.replace(steps=steps, evaluations=round(8 * epochs))

    def judge(module: Any) -> Evaluation:
        value = clock.judge(lambda: _accuracy(module, [one.ids for one in held.features], held.targets))
        if clock.over:
            raise _Reached
        return Evaluation(value)

    with tempfile.TemporaryDirectory(dir=folder) as work, suppress(_Reached):
        clock.start = time.perf_counter()
        source, objective, pace = fitting(task, module, tokenizer, examples, Path(work) / "run", settings)
        train(module, source, objective, pace, Path(work) / "run", Report(), judge)


def finetuned(folder: Path, seed: int, minutes: float) -> list[list[float]]:
    """Fine-tune by a budget; return the one pair of seconds and accuracy, as `run` does."""
    import noria
    from noria.core.errors import SettingError
    from noria.core.progress import Report
    from noria.make.training.settings import FinetuneSettings

    told = io.StringIO()
    with tempfile.TemporaryDirectory(dir=folder) as work:
        try:
            model = noria.finetune(
                "classify",
                train=folder / "train.jsonl",
                base=folder / "base",
                out=Path(work) / "model",
                settings=FinetuneSettings(minutes=minutes, max_length=MAX_LENGTH, seed=seed),
                progress=Report("programs", told),
            )
        except SettingError:  # over before the first step
            return [[60 * minutes, 0.0]]
        judged = noria.evaluate(model.path, folder / "held.jsonl", progress=False).figures[0].value
    events = map(json.loads, told.getvalue().splitlines())
    (parts,) = (one for one in events if one["event"] == "note" and "writing" in one)
    counted = (seconds for name, seconds in parts.items() if name not in _APART and isinstance(seconds, float))
    return [[sum(counted), judged]]


_APART = ("reading", "model", "figures", "writing")
"""Parts of a budget before and after the learning, as a Trainer's clock does not count them either; the baseline's time counts, for
a model may be joined with it."""


def _accuracy(module: Any, ids: list[list[int]], labels: list[int]) -> float:
    import torch

    from noria.machine import computing, measure
    from noria.make.kernels import bert
    from noria.tasks.padding import Padding, padded

    order, right = sorted(range(len(ids)), key=lambda row: len(ids[row])), 0
    with torch.no_grad(), computing(measure().number_type):
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            table, mask = padded([ids[row] for row in rows], Padding())
            tensors = {"input_ids": torch.from_numpy(table), "attention_mask": torch.from_numpy(mask)}
            given = bert.run(module, tensors) if bert.applies(module) else module(**tensors)
            said = given.logits.argmax(-1).tolist()
            right += sum(one == labels[row] for one, row in zip(said, rows, strict=True))
    return right / len(ids)


def trainer(
    folder: Path,
    seed: int,
    clock: _Clock,
    arguments: dict[str, Any],
    lora: dict[str, Any] | None,
    epochs: float = EPOCHS,
) -> None:
    """Train by transformers.Trainer, with an adapter of peft where `lora` has the arguments of its LoraConfig."""
    import transformers

    transformers.set_seed(seed)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "e5")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder / "e5", num_labels=2)
    if lora is not None:
        import peft

        model = peft.get_peft_model(model, peft.LoraConfig(task_type="SEQ_CLS", **lora))

    rows, held = (peer.read(folder / f"{name}.jsonl", tokenizer, MAX_LENGTH) for name in ("train", "held"))

    class Judge(transformers.TrainerCallback):
        """Judges eight times an epoch, and stops at the bar; at the end alone where there is none."""

        every = max(1, len(rows) // 8 // arguments.get("per_device_train_batch_size", 8))

        def on_train_begin(self, *args: object, **kwargs: object) -> None:
            clock.start = time.perf_counter()

        def on_step_end(self, args: object, state: Any, control: Any, **kwargs: object) -> None:
            late = time.perf_counter() - clock.start - clock.judged >= clock.patience
            if clock.bar and (state.global_step % self.every == 0 or late):
                self.judge()
                control.should_training_stop = clock.over

        def on_train_end(self, *args: object, **kwargs: object) -> None:
            if not clock.bar:  # it sets one
                self.judge()

        def judge(self) -> None:
            model.eval()
            clock.judge(lambda: _accuracy(model, [one["input_ids"] for one in held], [one["labels"] for one in held]))
            model.train()

    with tempfile.TemporaryDirectory(dir=folder) as out:
        told = transformers.TrainingArguments(
            out,
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
            save_strategy="no",
            logging_strategy="no",
            remove_unused_columns=False,
            num_train_epochs=epochs,
            seed=seed,
            **here(arguments),
        )
        transformers.Trainer(
            model, told, train_dataset=rows, callbacks=[Judge()], data_collator=peer.padding(tokenizer)
        ).train()


def main(folder: str, contestant: str, seed: str, bar: str, patience: str) -> None:
    """Do one child's part and print [seconds of learning, accuracy] of every judgement."""
    clock, told = _Clock(float(bar), float(patience)), json.loads(contestant)
    epochs = told.get("epochs", EPOCHS)
    if "minutes" in told:
        clock.found = finetuned(Path(folder), int(seed), told["minutes"])
    elif "noria" in told:
        noria(Path(folder), int(seed), clock, told["noria"], epochs)
    else:
        trainer(Path(folder), int(seed), clock, told["trainer"], told.get("lora"), epochs)
    print(json.dumps(clock.found))


if __name__ == "__main__":
    main(*sys.argv[1:])
