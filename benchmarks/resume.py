"""Checkpoints: what they cost of a run, and how soon a killed run takes its next step; beside transformers.Trainer.

Both fine-tune multilingual-e5-small, trimmed to the reviews, on the same texts, and write all state as they go: weights,
optimiser, random numbers, place in the data. Noria writes as it does by default; the Trainer as often, by seconds, with the
settings its documentation advises for speed on processors, keeping the last checkpoint only. A run's cost is all time spent
on writing, as a share of the run. The run ends as if killed; a new process goes on from the last checkpoint, and the time
is taken from the call that resumes, the model built, to the end of its first step, less a step's usual time.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from . import child
from . import trainer as peer
from .finetune import MAX_LENGTH, PEERS, prepare
from .isa import here
from .line import Line, compare

BEST = "transformers.Trainer, bf16 and best settings"
AFTER = 10
"""Steps after resuming, by which a step's usual time is known."""


class Killed(Exception):  # noqa: N818 - where a kill would end the run
    """Ends a run without a last word."""


def measure(*, quick: bool) -> list[Line]:
    """Return the cost of checkpoints and the time to resume; quick takes 2 repeats of 34 seconds, else 3 of 65."""
    repeats, seconds = (2, 34.0) if quick else (3, 65.0)
    found: dict[str, list[dict[str, float]]] = {"noria": [], "peer": []}
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        prepare(Path(folder))
        for number in range(repeats):
            for name in sorted(found, reverse=bool(number % 2)):
                parts = [child.run("benchmarks.resume", folder, name, what, str(seconds)) for what in ("run", "resume")]
                run = parts[0] | parts[1]
                found[name].append(run)
                told = ", ".join(f"{key} {value:.3g}" for key, value in run.items())
                print(f"resume {number + 1}/{repeats}: {name}: {told}", file=sys.stderr)
    measures = (
        ("share", "checkpoints, share of the run", "%"),
        ("checkpoint", "one checkpoint", "s"),
        ("resume", "from resuming to the next step", "s"),
    )
    return [
        compare(
            "resume",
            words,
            [one[key] for one in found["noria"]],
            [one[key] for one in found["peer"]],
            BEST,
            unit,
            higher_is_better=False,
        )
        for key, words, unit in measures
    ]


class Watch:
    """Sees every step end and every checkpoint written, and says when the run has lasted long enough."""

    def __init__(self, what: str, seconds: float) -> None:
        self.what, self.seconds = what, seconds
        self.begun = time.perf_counter()
        self.ends: list[float] = []
        self.saves: list[float] = []

    def step(self) -> bool:
        """Take the end of a step; return whether it was the last."""
        self.ends.append(time.perf_counter())
        if self.what == "resume":
            return len(self.ends) > AFTER
        return bool(self.saves) and self.ends[-1] - self.begun > self.seconds

    def timed(self, save: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Write a checkpoint under the clock."""
        start = time.perf_counter()
        try:
            return save(*arguments, **named)
        finally:
            self.saves.append(time.perf_counter() - start)

    def told(self) -> dict[str, float]:
        """Return what was measured."""
        if self.what == "resume":
            usual = median(after - before for before, after in zip(self.ends, self.ends[1:], strict=False))
            return {"resume": self.ends[0] - self.begun - usual}
        share = sum(self.saves) / (self.ends[-1] - self.begun)
        return {"share": 100 * share, "checkpoint": median(self.saves)}


def noria(folder: Path, what: str, seconds: float) -> dict[str, float]:
    """Train with Noria's loop, or go on."""
    from noria.core.progress import Report
    from noria.make.tokens.batches import Buckets
    from noria.make.training.finetune import examples
    from noria.make.training.finetune.prepare import prepare_model
    from noria.make.training.loop import checkpoint, loop
    from noria.make.training.objectives import supervised
    from noria.make.training.settings import FinetuneSettings, TrainSettings
    from noria.tasks.padding import padding_of
    from noria.tasks.task import labels_in, read_rows, task_for

    rows = read_rows(folder / "train.jsonl", task_for("classify"))
    task = task_for("classify", labels_in(rows))
    module, tokenizer = prepare_model(task, folder / "base", FinetuneSettings(max_length=MAX_LENGTH))
    known = examples.Examples.of(task, tokenizer, rows, MAX_LENGTH)
    collate = partial(examples.texts, known, padding_of(module.config))
    batches = Buckets(known.lengths, collate, tokens_per_batch=2048, seed=0)
    watch, work = Watch(what, seconds), folder / "noria"
    vars(loop)["save_checkpoint"] = partial(watch.timed, checkpoint.save_checkpoint)
    tried = what == "resume"

    def after_step(step: int, steps: int) -> None:
        nonlocal tried
        if not tried:  # the step by which the plan measured memory
            tried, watch.begun = True, time.perf_counter()
        elif watch.step():
            raise Killed

    watch.begun = time.perf_counter()
    try:
        loop.train(
            module, batches, supervised.classes, TrainSettings(steps=1_000_000), work, Report(), after_step=after_step
        )
    except Killed:
        return watch.told()
    raise RuntimeError("the run ended by itself")


def trainer(folder: Path, what: str, seconds: float) -> dict[str, float]:
    """Train with transformers.Trainer, or go on."""
    import transformers

    from noria.make.training.settings import TrainSettings

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "base")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder / "base", num_labels=2)
    data = peer.read(folder / "train.jsonl", tokenizer, MAX_LENGTH)
    pause = TrainSettings().checkpoint_seconds
    watch: Watch

    class Clock(transformers.TrainerCallback):
        """Asks for a checkpoint whenever the pause is over, and stops the run."""

        last = 0.0

        def on_step_begin(self, args: object, state: object, control: Any, **named: object) -> None:
            if not self.last:
                self.last = time.perf_counter()
                if what == "run":
                    watch.begun = self.last

        def on_step_end(self, args: object, state: object, control: Any, **named: object) -> None:
            if watch.step():
                raise Killed
            if time.perf_counter() - self.last >= pause:
                control.should_save, self.last = True, time.perf_counter()

    class Timed(transformers.Trainer):
        """A Trainer whose checkpoints are timed."""

        def _save_checkpoint(self, *arguments: Any, **named: Any) -> None:
            watch.timed(super()._save_checkpoint, *arguments, **named)

    settings = transformers.TrainingArguments(
        str(folder / "trainer"),
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
        save_total_limit=1,
        logging_strategy="no",
        remove_unused_columns=False,
        max_steps=1_000_000,
        **here(PEERS[BEST]),
    )

    made = Timed(model, settings, data_collator=peer.padding(tokenizer), train_dataset=data, callbacks=[Clock()])
    watch = Watch(what, seconds)
    try:
        made.train(resume_from_checkpoint=what == "resume")
    except Killed:
        return watch.told()
    raise RuntimeError("the run ended by itself")


if __name__ == "__main__":
    place, name, what, seconds = sys.argv[1:]
    print(json.dumps({"noria": noria, "peer": trainer}[name](Path(place), what, float(seconds))))
