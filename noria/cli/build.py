"""`noria build`: raw text -> corpus -> tokens -> model -> evaluated -> compressed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from noria.build.compress.settings import CompressSettings
from noria.build.corpus.settings import CleanSettings
from noria.build.train.settings import FinetuneSettings, PretrainSettings
from noria.core.progress import Report

app = App(name="build", help="Raw text -> corpus -> tokens -> model -> evaluated -> compressed.")


@app.command
def clean(
    *sources: Path,
    out: Path,
    licence: str = "",
    settings: Annotated[CleanSettings, Parameter(name="*")] = CleanSettings(),
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Clean files and folders into a corpus: repaired, masked, without duplicates, split so that nothing leaks.

    Reads JSONL, Parquet and plain text, in UTF-8 or an older encoding such as
    GB18030. Writes train.jsonl, valid.jsonl, test.jsonl, and drops.json with
    every reason, its count and samples. A killed run goes on where it stopped.

    Examples::

        noria build clean reviews.jsonl --out corpus
        noria build clean raw/ --out corpus --unit paragraph --licence "CC BY 4.0"
        noria build clean 新闻.txt --out corpus --simplify --languages zh
        noria build clean posts.parquet --out corpus --text-field body

    Parameters
    ----------
    sources
        Files (.jsonl, .jsonl.gz, .parquet, .txt, .md) or folders of them.
    out
        The folder to write; an older corpus there is replaced when the new one is whole.
    licence
        Licence of the sources, kept in the lineage.
    json
        Write progress, plan and ledger as JSON lines, for programs.
    """
    from noria.build.corpus.build import build_corpus

    build_corpus(sources, out, settings, licence=licence, report=Report.for_terminal(as_json=json))
    return 0


@app.command
def pretrain(
    corpus: Path,
    *,
    out: Path,
    settings: Annotated[PretrainSettings, Parameter(name="*")] = PretrainSettings(),
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Train a causal language model on a corpus from nothing, within a time budget.

    Trains a tokenizer too, unless one is given. The number of steps is fixed when it starts; a killed run goes on where
    it was. Test documents are only judged: bits per byte with an interval, beside unigrams and n-grams on the same text.

    Examples::

        noria build pretrain corpus --out model
        noria build pretrain corpus --out model --tokenizer tokenizer --seconds 3600 --parameters 20_000_000
        noria build pretrain runs/demo/corpus --out model --sets news --context 128

    Parameters
    ----------
    corpus
        Folder with train.jsonl, valid.jsonl and test.jsonl of documents {text}, or with folders of such files.
    out
        The model folder to write.
    json
        Write progress, plan and ledger as JSON lines, for programs.
    """
    report = Report.for_terminal(as_json=json)
    from noria.build.train.pretrain import pretrain as run

    run(corpus, out, settings, report)
    report.ledger(f"model written to {out}", out=str(out))
    return 0


@app.command
def finetune(
    task: Literal["classify", "tag"],
    *,
    base: Path,
    train: Path,
    valid: Path,
    out: Path,
    test: Path | None = None,
    settings: Annotated[FinetuneSettings, Parameter(name="*")] = FinetuneSettings(),
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Fine-tune a pretrained encoder on labelled rows, within a time budget.

    The number of steps is fixed when it starts; a killed run goes on where it was. Valid rows choose the weights and
    calibrate the confidences; test rows are only judged, with intervals, beside a baseline learned from the same rows.

    Examples::

        noria build finetune classify --base runs/demo/base --train train.jsonl --valid valid.jsonl --out sentiment
        noria build finetune tag --base runs/demo/base --train t.jsonl --valid v.jsonl --test e.jsonl --out names --minutes 2

    Parameters
    ----------
    task
        classify, rows {text, label}; or tag, rows {text, spans} or {tokens, tags}.
    base
        Folder of a pretrained encoder.
    train
        Rows to learn from (JSONL).
    valid
        Rows that choose the weights and calibrate confidences.
    test
        Held-out rows that are only judged.
    out
        The model folder to write.
    json
        Write progress, plan and ledger as JSON lines, for programs.
    """
    report = Report.for_terminal(as_json=json)
    from noria.build.train.finetune import finetune as run
    from noria.tasks.task import task_for

    run(task_for(task), base, train, valid, out, settings, report, test_file=test)
    report.ledger(f"model written to {out}", out=str(out))
    return 0


@app.command
def evaluate(
    model: Path,
    rows: Path,
    *,
    train: Path | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Judge a fine-tuned model on held-out rows: every figure with its interval, and the baseline beside it.

    Examples::

        noria build evaluate runs/demo/sentiment runs/demo/corpus/reviews/test.jsonl
        noria build evaluate sentiment test.jsonl --train train.jsonl

    Parameters
    ----------
    model
        Folder of a model for classify or tag.
    rows
        Held-out rows (JSONL).
    train
        Rows from which the baseline learns.
    json
        Write plan and figures as JSON lines, for programs.
    """
    report = Report.for_terminal(as_json=json)
    from noria.build.evaluate.judge import judge

    for figure in judge(model, rows, report, training_file=train):
        report.ledger(figure.text(), **figure.as_dict())
    return 0


@app.command
def tokenizer(
    corpus: Path,
    *,
    out: Path,
    vocab_size: int = 16_000,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Train a byte-level BPE tokenizer on a corpus, bounded on Chinese as on English.

    Any text comes back as it was. Tells characters and bytes per token, by
    language, on texts held out of its training.

    Examples::

        noria build tokenizer corpus --out tokenizer
        noria build tokenizer reviews.jsonl --out tokenizer --vocab-size 8192

    Parameters
    ----------
    corpus
        A corpus folder (its train.jsonl files are read), or a file or folder of documents.
    out
        The tokenizer folder to write.
    vocab_size
        Tokens wanted, 512 to 1,000,000; a small corpus gives fewer.
    json
        Write progress, plan and ledger as JSON lines, for programs.
    """
    report = Report.for_terminal(as_json=json)
    from noria.build.tokens.tokenizer import train_tokenizer
    from noria.cli.texts import training_texts

    texts, sources = training_texts(corpus)
    train_tokenizer(texts, vocab_size, out, report, sources=sources)
    report.ledger(f"tokenizer written to {out}", out=str(out))
    return 0


@app.command
def compress(
    model: Path,
    *,
    calibration: Path,
    rows: Path,
    out: Path,
    settings: Annotated[CompressSettings, Parameter(name="*")] = CompressSettings(),
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Quantise a model to 8 bits, and write it only if it earns its certificate.

    Answers are compared with the trained model's on held-out rows; speed is
    measured in turns with it, through the engines that serve both. Refused, it
    ends with exit code 3, and the trained model still serves.

    Examples::

        noria build compress sentiment --calibration train.jsonl \\
            --rows test.jsonl --out sentiment-int8
        noria build compress names --calibration train.jsonl \\
            --rows test.jsonl --out names-int8 --method weights

    Parameters
    ----------
    model
        Folder of a model for classify, tag or embed.
    calibration
        Rows whose texts show the model what is to come (JSONL); never the held-out ones.
    rows
        Held-out rows to certify on.
    out
        The model folder to write.
    json
        Write progress, plan and ledger as JSON lines, for programs.
    """
    report = Report.for_terminal(as_json=json)
    from noria.cli.compressed import compress_model, told
    from noria.cli.texts import held_out_rows, texts_of

    found = compress_model(
        model, list(texts_of(calibration)), held_out_rows(model, rows), out, settings, report, source=rows.name
    )
    report.ledger(f"{model.name}: {told(found)}; written to {out}", **found.as_dict())
    return 0
