"""A Hugging Face Trainer that stops when its time is over, and how many tokens of text it learned from a second."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .isa import here

BEST = {
    "bf16": True,
    "per_device_train_batch_size": 32,
    "train_sampling_strategy": "group_by_length",
    "optim": "adamw_torch_fused",
    "dataloader_num_workers": 0,
    "dataloader_pin_memory": False,
}
"""The settings that its documentation advises for speed on processors."""


def read(file: Path, tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
    """Return the reviews of a file as a Trainer takes them, with the length that it groups by."""
    from noria.tasks.task import read_rows, task_for

    rows = read_rows(file, task_for("classify"))
    encoded = tokenizer([row["text"] for row in rows], truncation=True, max_length=max_length)["input_ids"]
    return [
        {
            "input_ids": ids,
            "attention_mask": [1] * len(ids),
            "labels": int(row["label"] == "positive"),
            "length": len(ids),
        }
        for ids, row in zip(encoded, rows, strict=True)
    ]


def padding(tokenizer: Any) -> Callable[[list[dict[str, Any]]], Any]:
    """Return a collator of such rows: a model has no argument called length."""
    import transformers

    pad = transformers.DataCollatorWithPadding(tokenizer)
    return lambda rows: pad([{key: value for key, value in row.items() if key != "length"} for row in rows])


def speed(
    folder: Path,
    model: Any,
    data: Sequence[dict[str, Any]],
    collate: Callable[[list[dict[str, Any]]], Any],
    seconds: float,
    *,
    skipped: int = 0,
    use_cpu: bool = True,
    **settings: Any,
) -> float:
    """Return tokens of text a second over about `seconds` of training, the first step included.

    Args:
        folder: where its files may lie.
        model: what it trains, in place.
        data: rows with `input_ids`.
        collate: rows -> batch.
        seconds: when it stops.
        skipped: first steps that are not counted: what is compiled before they are over is forgotten by a long run.
        use_cpu: computes on the processor, whatever else there is.
        settings: go to its TrainingArguments.
    """
    import transformers

    class Clock(transformers.TrainerCallback):
        """Stops when the time is over."""

        start, end = 0.0, 0.0

        def on_train_begin(self, *args: object, **kwargs: object) -> None:
            self.start = time.perf_counter()

        def on_step_end(self, args: object, state: Any, control: Any, **kwargs: object) -> None:
            if skipped and state.global_step == skipped:
                self.start = time.perf_counter()
            self.end = time.perf_counter()
            control.should_training_stop = self.end - self.start >= seconds

    clock, steps = Clock(), []

    def counted(rows: list[dict[str, Any]]) -> Any:
        steps.append(sum(len(row["input_ids"]) for row in rows))
        return collate(rows)

    with tempfile.TemporaryDirectory(dir=folder) as out:
        arguments = transformers.TrainingArguments(
            out,
            use_cpu=use_cpu,
            report_to=[],
            disable_tqdm=True,
            save_strategy="no",
            logging_strategy="no",
            remove_unused_columns=False,
            **here(settings),
        )
        trainer = transformers.Trainer(model, arguments, data_collator=counted, train_dataset=data, callbacks=[clock])
        trainer.train()
        done = trainer.state.global_step
    # A batch fetched ahead of the stop was not trained on.
    return sum(steps[skipped:done]) / (clock.end - clock.start)
