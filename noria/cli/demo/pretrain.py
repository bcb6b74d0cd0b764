"""Stage 2, pretraining: a tokenizer and a causal model from nothing, as large as the time allows, beside n-gram baselines."""

from __future__ import annotations

from pathlib import Path

import noria
from noria.api.stages import StageResult
from noria.core.figure import Figure
from noria.core.folder import is_up_to_date, source_of
from noria.core.messages import Message, message, term
from noria.make.training.settings import PretrainSettings

from .settings import Context, Stage

VOCABULARY = 6144
"""Tokens of the tokenizer."""
SETS = ("news", "reviews")
"""Sets of the corpus that are learned from; the third, entities, is the newspaper again."""


def settings_for(context: Context) -> PretrainSettings:
    """Return the settings of the stage's run."""
    return PretrainSettings(
        sets=SETS,
        tokenizer=context.root / "tokenizer",
        minutes=context.settings.pretrain_minutes,
        seed=context.settings.seed,
    )


def plan(context: Context) -> Message:
    """Return what the stage is about to do."""
    return message("demo.pretrain.plan", tokens=VOCABULARY, minutes=settings_for(context).minutes)


def run(context: Context) -> StageResult:
    """Write root/tokenizer and root/pretrain, and return bits per byte against the baselines."""
    from noria.make.training.pretrain.recipe import verdict

    settings = settings_for(context)
    _tokenizer(context)
    model = noria.pretrain(
        context.root / "corpus", out=context.root / "pretrain", settings=settings, progress=context.report.step()
    )
    facts, metrics = model.manifest.facts, model.figures
    unigram, ngram = model.baseline
    joined = [Figure(**raw) for raw in facts["mixture"]["figures"]]
    text = next((one["text"] for one in facts["sample"]["texts"] if one["text"]), "")
    line = message(
        "demo.pretrain.line",
        parameters=facts["parameters"] / 1e6,
        tokens=facts["tokens_seen"] / 1e6,
        epochs=facts["epochs"],
        speed=facts["tokens_per_second"],
        bits=metrics[0].value,
        low=metrics[0].low or 0.0,
        high=metrics[0].high or 0.0,
        n=metrics[0].n,
        unigram=unigram.value,
        ngram=term(ngram.name),
        ngram_bits=ngram.value,
        verdict=verdict(metrics[0], ngram),
        both=joined[0].value,
        gain=joined[2].value,
        gain_low=joined[2].low or 0.0,
        gain_high=joined[2].high or 0.0,
        text=text[:24],
    )
    shown = {
        key: facts[key]
        for key in (
            "sample",
            "curves",
            "curve_units",
            "curve_lines",
            "mixture",
            "tokens_per_second",
            "share_of_peak",
            "parameters",
            "epochs",
            "verdict",
            "number_type",
        )
    }
    return StageResult(line, [*metrics, unigram, ngram, *joined], shown)


STAGE = Stage("pretrain", message("demo.pretrain.title"), plan, run)


def _tokenizer(context: Context) -> Path:
    """Train the tokenizer, unless it stands there already, trained on this corpus."""
    from noria.make.tokens.tokenizer import train_tokenizer
    from noria.make.training.pretrain.material import corpus_files, read_texts

    target, corpus = context.root / "tokenizer", context.root / "corpus"
    sources = [source_of(corpus)]
    if is_up_to_date(target, sources, {"vocab_size": VOCABULARY}):
        return target
    texts = read_texts(corpus_files(corpus, SETS)["train"])
    return train_tokenizer(texts, VOCABULARY, target, context.report, sources=sources)
