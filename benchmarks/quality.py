"""`python -m benchmarks.quality [SET...] [--write]`: how good models become within minutes, on well-known sets.

Every set is trained once, on its training rows; settings were chosen on validation rows, and held-out rows only judge. The
sets are read from the folder that NORIA_DATA names.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from noria.core.errors import unknown
from noria.core.figure import Figure
from noria.core.folder import read_manifest
from noria.core.progress import Report

from .line import machine
from .results import QUALITY, keep_rows, kept_rows, write_page
from .start import started

Rows = dict[str, list[dict[str, Any]]]
PAGE = Path(__file__).with_name("RESULTS.md")
app = App(name="benchmarks.quality", help="How good models become within minutes, on well-known sets.")


@dataclass(frozen=True)
class Set:
    """One set: where its rows come from, and how its model is trained."""

    task: str
    rows: Callable[[Path], Rows]
    """Folder of all data -> train, valid and test rows (further test sets by other names)."""
    base: str
    """minilm; e5; e5 trimmed (its vocabulary to the training and validation rows); none."""
    wanted: str
    settings: dict[str, Any] = field(default_factory=dict)


def read(file: Path) -> list[dict[str, Any]]:
    """Return the rows of a JSON Lines or Parquet file."""
    if file.suffix == ".parquet":
        import pyarrow.parquet

        rows: list[dict[str, Any]] = pyarrow.parquet.read_table(file).to_pylist()
        return rows
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line.strip()]


def splits(folder: str, valid: str = "") -> Callable[[Path], Rows]:
    """Return a reader of train, valid and test files; without a valid file some training rows are set aside."""

    def rows(data: Path) -> Rows:
        names = {"train": "train", "test": "test", **({"valid": valid} if valid else {})}
        return {split: read(data / folder / f"{name}.jsonl") for split, name in names.items()}

    return rows


def tweets(data: Path) -> Rows:
    """Return the tweets without their addresses, each text once; a text with two labels is left out.

    The published validation rows are the held-out ones here. A text that training also has is no test.
    """
    import re

    found: Rows = {}
    for split, name in (("train", "train"), ("test", "valid")):
        labels: dict[str, set[str]] = {}
        for row in read(data / "monitor/fin-tweets" / f"{name}.jsonl"):
            text = re.sub(r"https?://\S+", "", row["text"]).strip()
            if text:
                labels.setdefault(text, set()).add(row["label"])
        found[split] = [{"text": text, "label": next(iter(names))} for text, names in labels.items() if len(names) == 1]
    known = {row["text"] for row in found["train"]}
    found["test"] = [row for row in found["test"] if row["text"] not in known]
    return found


def reading(data: Path) -> Rows:
    """Return CMRC 2018's dev part as training rows, its trial part as test rows, and XQuAD, which is only ever a test.

    One trial row has no question.
    """
    trial = [row for row in read(data / "qa/cmrc2018/trial.parquet") if row["question"].strip()]
    return {
        "train": read(data / "qa/cmrc2018/dev.parquet"),
        "test": trial,
        "xquad-zh": read(data / "qa/xquad/zh.jsonl"),
        "xquad-en": read(data / "qa/xquad/en.jsonl"),
    }


def sentences(data: Path) -> Rows:
    """Return Tatoeba's pairs, from Chinese to English; every training row once."""
    folder = data / "translation/tatoeba-zh-en"
    return {
        split: [{"source": row["zh"], "target": row["en"]} for row in read(folder / f"{name}.jsonl")]
        for split, name in (("train", "train"), ("valid", "dev"), ("test", "test"))
    }


# New names are made of tokens that the rows lack: the vocabulary stays whole, and at rest.
NAMES = {"body": {"frozen": 1}, "evaluations": 4}
INTENTS = {"tokens_per_batch": 1024, "learning_rate": 3e-4, "evaluations": 4}
SETS: dict[str, Set] = {
    "banking77": Set(
        "classify",
        splits("intent/banking77"),
        "minilm",
        "accuracy >= 0.93",
        {**INTENTS, "minutes": 6, "regular": {"smoothing": 0.1}},
    ),
    "clinc150": Set(
        "classify",
        splits("intent/clinc150", "val"),
        "minilm",
        "in-scope accuracy >= 0.955",
        {**INTENTS, "minutes": 3.5},
    ),
    "fin-tweets": Set(
        "classify",
        tweets,
        "minilm",
        "macro F1 >= 0.80",
        {"tokens_per_batch": 1024, "learning_rate": 2e-4, "evaluations": 6, "minutes": 3},
    ),
    "wnut17": Set(
        "tag",
        splits("ner/wnut17", "dev"),
        "e5",
        "strict span F1 >= 0.42",
        # at 4e-4 it falls back to naming nothing
        {**NAMES, "tokens_per_batch": 512, "learning_rate": 2e-4, "minutes": 8},
    ),
    "uner-zh": Set(
        "tag",
        splits("ner/uner-zh", "dev"),
        "e5",
        "strict span F1 >= 0.80",
        {**NAMES, "tokens_per_batch": 1024, "learning_rate": 4e-4, "minutes": 6},
    ),
    "cmrc2018": Set(
        "answer",
        reading,
        "e5 trimmed",
        "reported",
        {"tokens_per_batch": 2048, "learning_rate": 2e-4, "evaluations": 1, "steps": 450, "max_length": 384},
    ),
    "tatoeba": Set(
        "translate",
        sentences,
        "none",
        "reported",
        {
            "tokens_per_batch": 2048,
            "rates": {"method": "muon"},
            "learning_rate": 8e-3,
            "evaluations": 2,
            "steps": 800,
            "max_length": 64,
            "regular": {"dropout": 0.1, "smoothing": 0.1},
            "body": {"parameters": 6_000_000, "vocab_size": 8000},
        },
    ),
}


@app.default
def run(*names: str, write: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Train and judge the sets named, or all.

    Parameters
    ----------
    names
        banking77, clinc150, fin-tweets, wnut17, uner-zh, cmrc2018, tatoeba, shakespeare.
    write
        Keep the figures below benchmarks/results, and write benchmarks/RESULTS.md anew.
    """
    known = (*SETS, "shakespeare")
    for name in names:
        if name not in known:
            raise unknown("set", name, known)
    data = Path(os.environ["NORIA_DATA"])
    for name in names or known:
        with tempfile.TemporaryDirectory(prefix="noria-quality-") as folder:
            rows = character_model(Path(folder)) if name == "shakespeare" else measured(name, data, Path(folder))
        for row in rows:
            print(json.dumps(row, ensure_ascii=False), flush=True)
        if write:
            others = [row for row in kept_rows(PAGE.parent / "results", QUALITY) if row["of"] != name]
            keep_rows(
                PAGE.parent / "results", QUALITY, sorted([*others, *rows], key=lambda row: known.index(row["of"]))
            )
            write_page(PAGE)


def measured(name: str, data: Path, folder: Path) -> list[dict[str, Any]]:
    """Return the table rows of one set, its model trained in `folder`."""
    from noria.make.training.finetune.recipe import finetune
    from noria.make.training.settings import FinetuneSettings
    from noria.tasks.task import task_for

    chosen = SETS[name]
    files = {split: written(folder / name / f"{split}.jsonl", rows) for split, rows in chosen.rows(data).items()}
    start = time.perf_counter()
    base = base_of(chosen.base, folder, [file for split, file in files.items() if split in ("train", "valid")])
    model = finetune(
        task_for(chosen.task),
        base,
        files["train"],
        files.get("valid"),
        folder / "model",
        FinetuneSettings.make(**chosen.settings),
        Report.for_terminal(),
        test_file=files["test"],
    )
    minutes = (time.perf_counter() - start) / 60
    facts = read_manifest(model).facts
    figures = [Figure(**raw) for raw in facts["metrics"]]
    made = f"{chosen.base}, {facts['parameters'] / 1e6:.1f} M parameters, {facts['epochs']:.1f} epochs"
    rows = [
        line(name, name, one, wanted(chosen, one.name, figures), minutes, made)
        for one in figures
        if one.low is not None
    ]
    for split in files.keys() - {"train", "valid", "test"}:
        rows += [
            line(name, split, one, "reported", minutes, f"{made}; not trained on this set")
            for one in judged(model, files[split])
        ]
    return rows


def wanted(chosen: Set, measure: str, figures: list[Figure]) -> str:
    """Return what is wanted of a measure: the one that the set's target names, the first where it names none."""
    named = chosen.wanted.split(" >=")[0]
    first = measure == figures[0].name and not any(named.endswith(one.name) for one in figures)
    return chosen.wanted if named.endswith(measure) or first else ""


def judged(model: Path, file: Path) -> list[Figure]:
    """Return the figures of a model on a further held-out set."""
    from noria.make.evaluate.judge import judge

    return judge(model, file, Report())


def base_of(kind: str, folder: Path, files: Iterable[Path]) -> Path | None:
    """Return the base model's folder, or None; a trimmed one is cut to the tokens of the files' texts."""
    from noria.make.compress.trim import trim
    from noria.make.models.bundled import e5_small, minilm

    if kind == "none":
        return None
    if kind == "minilm":
        return minilm(folder / "minilm")
    if kind == "e5":
        return e5_small(folder / "base")
    texts = [text for file in files for row in read(file) for text in strings(row)]
    return trim(e5_small(folder / "e5"), texts, folder / "base")


def strings(value: Any) -> Iterable[str]:
    """Yield every text within a row."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from strings(one)


def character_model(folder: Path) -> list[dict[str, Any]]:
    """Return the row of Shakespeare by characters."""
    from .shakespeare import shakespeare

    start = time.perf_counter()
    figure = shakespeare(12.0, folder)
    minutes = (time.perf_counter() - start) / 60
    return [
        line("shakespeare", "shakespeare", figure, "<= 1.47 nats/character", minutes, figure.note or "from nothing")
    ]


def written(file: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSON Lines."""
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


def line(of: str, name: str, figure: Figure, wanted: str, minutes: float, model: str) -> dict[str, Any]:
    """Return one row of the table."""
    return {
        "of": of,
        "set": name,
        "measure": figure.name,
        "value": figure.value,
        "low": figure.low,
        "high": figure.high,
        "n": figure.n,
        "baseline": "" if figure.baseline is None else f"{figure.baseline:.4g}",
        "wanted": wanted,
        "minutes": minutes,
        "model": model,
        "machine": machine(),
    }


if __name__ == "__main__":
    started(app)
