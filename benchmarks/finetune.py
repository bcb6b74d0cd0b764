"""Fine-tuning speed: Noria beside a plain Hugging Face Trainer, on the same reviews and the same base model.

Both fine-tune multilingual-e5-small to tell good reviews from bad ones, texts cut at 128 tokens. Counted are tokens of
text (no padding) a second over all steps of a run, the first included. Noria trains as `noria build finetune` does,
after trimming the vocabulary to the corpus; the peer gets the untrimmed model, once with the Trainer's defaults and once
with the settings its documentation advises for speed on processors. Every run is a process of its own; runs alternate.
Then a Trainer runs its course, and Noria until it is as accurate, as `race.py` tells.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from noria.machine import bf16_is_native, isa

from . import child, race, trainer
from .line import Line, compare

MAX_LENGTH = 128
DEFAULTS, PLAIN_BF16 = "transformers.Trainer, defaults", "transformers.Trainer, bf16"
BEST = "transformers.Trainer, bf16 and best settings"
PEERS: dict[str, dict[str, Any]] = {
    DEFAULTS: {},
    **({PLAIN_BF16: {"bf16": True}} if bf16_is_native() else {}),
    BEST: trainer.BEST,
}


WANTED = {"AMX": (8.0, 4.0), "AVX2": (5.0, 2.5)}
"""How many times as fast Noria is wanted to be: beside the Trainer's defaults, and beside its best settings."""


def measure(*, quick: bool) -> list[Line]:
    """Return the lines of speed, and of time to a Trainer's accuracy; quick takes 4 repeats of some seconds (2 without AMX), and one short course."""
    # A step takes about a second with AMX and two without; measuring one is part of the time.
    repeats, seconds = ((4, 4.0) if isa() == "AMX" else (2, 20.0)) if quick else (5, 30.0)
    names = [name for name in PEERS if not quick or name != PLAIN_BF16]
    speeds: dict[str, list[float]] = {name: [] for name in ("noria", *names)}
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        child.run("benchmarks.finetune", folder, "prepare", str(seconds))
        for number in range(repeats):
            # Every second repeat runs backwards, so that a machine that slows or quickens favours no one.
            for name in sorted(speeds, reverse=bool(number % 2)):
                speeds[name].append(child.run("benchmarks.finetune", folder, name, str(seconds))["speed"])
                print(f"finetune {number + 1}/{repeats}: {name}: {speeds[name][-1]:,.0f} tokens/s", file=sys.stderr)
    lines = [compare("finetune", "training speed", speeds["noria"], speeds[name], name, "tokens/s") for name in names]
    wanted = dict(zip((DEFAULTS, BEST), WANTED["AMX" if isa() == "AMX" else "AVX2"], strict=True))
    times, short = race.reached(
        {name: PEERS[name] for name in wanted},
        repeats=1 if quick else 3,
        rows=250 if quick else 1500,
        held=250 if quick else 1000,
        epochs=1.0 if quick else race.EPOCHS,
        parts=(0.12, 0.4) if quick else (0.06, 0.12, 0.2, 0.25, 0.4, 0.8),
        title="finetune",
    )
    for name, times_as_fast in wanted.items():
        ours, theirs = zip(*times[name], strict=True)
        what = "time to its final accuracy" + (", which Noria fell short of" if name in short else "")
        for peer, value in ((name, 1.0), (f"wanted: {times_as_fast:g} times as fast as {name}", times_as_fast)):
            told = [one / value for one in theirs]
            lines.append(compare("finetune", what, ours, told, peer, "s", higher_is_better=False))
    return lines


def prepare(folder: Path) -> None:
    """Write the reviews, the rebuilt model, and the same trimmed to the reviews."""
    from noria.make.compress.trim import trim
    from noria.make.corpus.bundled import reviews
    from noria.make.models.bundled import e5_small

    rows = {document.text: document.meta["label"] for document in reviews() if document.text.strip()}
    texts = sorted(rows)
    with (folder / "train.jsonl").open("w", encoding="utf-8") as stream:
        for text in texts:
            stream.write(json.dumps({"text": text, "label": rows[text]}, ensure_ascii=False) + "\n")
    e5_small(folder / "e5")
    trim(folder / "e5", texts, folder / "base")


def noria_speed(folder: Path, seconds: float) -> float:
    """Return Noria's tokens a second over about `seconds` of training."""
    from noria.core.progress import Report
    from noria.make.training.finetune.examples import Examples
    from noria.make.training.finetune.fit import fit
    from noria.make.training.finetune.prepare import prepare_model
    from noria.make.training.settings import FinetuneSettings
    from noria.tasks.task import labels_in, read_rows, task_for

    rows = read_rows(folder / "train.jsonl", task_for("classify"))
    task = task_for("classify", labels_in(rows))
    settings = FinetuneSettings(max_length=MAX_LENGTH, minutes=seconds / 60)
    module, tokenizer = prepare_model(task, folder / "base", settings)
    examples = Examples.of(task, tokenizer, rows, settings.length)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        result = fit(task, module, tokenizer, examples, None, Path(work) / "run", settings, Report())
    return result.tokens_per_second


def trainer_speed(folder: Path, seconds: float, settings: dict[str, Any]) -> float:
    """Return a Trainer's tokens a second over about `seconds` of training; `settings` go to its TrainingArguments."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "e5")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder / "e5", num_labels=2)
    data = trainer.read(folder / "train.jsonl", tokenizer, MAX_LENGTH)
    return trainer.speed(folder, model, data, trainer.padding(tokenizer), seconds, **settings)


def main(folder: str, name: str, seconds: str) -> None:
    """Do one child's part and print its speed."""
    place = Path(folder)
    found = 0.0
    if name == "prepare":
        prepare(place)
    elif name == "noria":
        found = noria_speed(place, float(seconds))
    else:
        found = trainer_speed(place, float(seconds), PEERS[name])
    print(json.dumps({"speed": found}))


if __name__ == "__main__":
    main(*sys.argv[1:])
