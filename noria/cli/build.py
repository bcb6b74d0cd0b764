"""`noria build`: raw text -> corpus -> tokens -> model -> evaluated -> compressed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

import noria
from noria.make.compress.settings import CompressSettings
from noria.make.corpus.settings import CleanSettings
from noria.make.training.settings import PretrainSettings, ReadSettings

from . import dry, tune
from .advise import advise
from .files import SettingsFile, settings_given, with_columns
from .manners import Commands, DryRun, report

app = Commands(name="build", help="Raw text -> corpus -> tokens -> model -> evaluated -> compressed.")


@app.command
def clean(
    *sources: Path,
    out: Path,
    licence: str = "",
    file: SettingsFile = None,
    settings: Annotated[CleanSettings, Parameter(name="*")] = CleanSettings(),
) -> object:
    """Clean files and folders into a corpus: repaired, masked, without duplicates, split so that nothing leaks.

    Reads JSON Lines, tables, Parquet, text, Markdown, HTML, Word and PDF, packed
    or not, in UTF-8 or an older encoding such as GB18030; what in a folder is not
    read is named. Writes train.jsonl, valid.jsonl, test.jsonl, and drops.json with
    every reason, its count and samples. A killed run resumes where it stopped.

    Examples::

        noria build clean reviews.jsonl --out corpus
        noria build clean raw/ --out corpus --unit paragraph --licence "CC BY 4.0"
        noria build clean 新闻.txt --out corpus --simplify --languages zh
        noria build clean posts.parquet --out corpus --text-field body

    Parameters
    ----------
    sources
        Files, or folders of them.
    out
        The folder to write; an older corpus there is replaced when the new one is whole.
    licence
        Licence of the sources, kept in the lineage.
    file
        A TOML file whose section [clean] holds settings; flags stand above it.
    """
    return noria.clean(*sources, out=out, licence=licence, settings=settings_given(file, settings), progress=report())


@app.command
def collect(
    lake: Path,
    *,
    task: str,
    out: Path,
    model: Annotated[str | None, Parameter(name="--model-name")] = None,
) -> object:
    """Make training rows of what users said of answers: of those who consented, masked, each with where it came from.

    Right: the answer is the truth. Wrong, with a better answer told: that is.
    Writes rows.jsonl, provenance.jsonl (a line a row) and drops.json, with every
    reason why a judged answer gave no row, counted.

    Examples::

        noria build collect runs/lake --task classify --out rows
        noria build collect runs/lake --task chat --model-name desk --out rows
        noria build finetune classify --base base --train rows/rows.jsonl --out model

    Parameters
    ----------
    lake
        A server's lake; the server may be running.
    task
        classify, numeric, tag, answer, translate, summarise, chat or complete.
    out
        The folder to write.
    model
        Name of the model, as it is served: take only what it answered; needed where several of the task did.
    """
    return noria.collect(lake, task=task, out=out, model=model, progress=report())


@app.command
def pretrain(
    corpus: Path,
    *,
    out: Path,
    keep: Path | None = None,
    file: SettingsFile = None,
    settings: Annotated[PretrainSettings, Parameter(name="*")] = PretrainSettings(),
    dry_run: DryRun = False,
) -> object:
    """Train a language model on a corpus, from nothing or from a base, within a time budget.

    The objective says what it learns: causal, the next token (Llama, or an
    LSTM); masked or words, masked tokens or whole masked words (BERT); spans,
    what was cut out of a text (T5). Trains a tokenizer too, unless one is given
    or the base brings its own. The number of steps is fixed when it starts; a
    killed run resumes where it was. Test documents are only judged, every
    figure with an interval, beside a baseline on the same text.

    Examples::

        noria build pretrain corpus --out model
        noria build pretrain corpus --out model --tokenizer tokenizer --minutes 60 --parameters 20_000_000
        noria build pretrain runs/demo/corpus --out model --sets news --context 128
        noria build pretrain corpus --out encoder --objective words
        noria build pretrain corpus --out e5-ours --objective masked --base base
        noria build pretrain corpus --out mine --base Qwen2.5-0.5B --keep general.txt --minutes 60
        noria build pretrain corpus --out small --model.architecture lstm

    Parameters
    ----------
    corpus
        Folder with train.jsonl, valid.jsonl and test.jsonl of documents {text}, or with folders of such files.
    out
        The model folder to write.
    keep
        Of a base that goes on, text that must not be forgotten: judged before and after, never learned from.
    file
        A TOML file whose section [pretrain] holds settings; flags stand above it.
    """
    if dry_run:
        whole = {"corpus": corpus, "tokenizer": settings.tokenizer, "keep": keep}
        return dry.show(dry.Plan({}, whole, out, dry.minutes_of(settings, file, "pretrain")))
    return noria.pretrain(corpus, out=out, keep=keep, settings=settings_given(file, settings), progress=report())


@app.command
def base(
    name: str,
    /,
    *,
    out: Path,
    trim_to: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
) -> object:
    """Write a pretrained model that arrived with Noria's packages, whole or cut down to your texts.

    e5-small knows a hundred languages, Chinese and English among them; most of
    it is vocabulary, so that --trim-to makes it several times smaller, with the
    same tokens for your texts. minilm knows English, and is half as deep. Both
    are encoders. smollm2 is a decoder that chats, in English, of 135 M parameters.

    Examples::

        noria build base e5-small --trim-to 客服.csv --out base
        noria build base minilm --out base-en
        noria build base smollm2 --out base-chat

    Parameters
    ----------
    name
        e5-small, minilm or smollm2.
    out
        The model folder to write.
    trim_to
        Rows or documents whose words stay in the vocabulary; may be repeated.
    """
    return noria.base(name, out=out, trim_to=trim_to, progress=report())


app.command(tune.app)
for command in (advise, tune.align, tune.crossvalidate, tune.search):
    app.command(command)


@app.command
def evaluate(
    model: Path,
    rows: Path,
    *,
    train: Path | None = None,
    out: Path | None = None,
    beside: Path | None = None,
    device: str = "auto",
    text_column: str | None = None,
    label_column: str | None = None,
    reading: Annotated[ReadSettings, Parameter(name="*")] = ReadSettings(),
) -> object:
    """Judge a fine-tuned model on held-out rows: every figure with its interval, and the baseline beside it.

    Columns that were named in training are remembered in the model's folder.

    Examples::

        noria build evaluate runs/demo/sentiment runs/demo/corpus/reviews/test.jsonl
        noria build evaluate sentiment test.csv --train train.csv --out judged
        noria build evaluate intents 工单.csv --text-column 工单描述
        noria build evaluate intents-new test.csv --beside intents

    Parameters
    ----------
    model
        Folder of a fine-tuned model.
    rows
        Held-out rows: JSON Lines, CSV, Excel, Parquet and the like.
    train
        Rows from which the baseline learns.
    out
        A folder to write the figures to as well.
    beside
        Another model for the same task, judged on the same rows, text by text.
    device
        Where it is computed: cpu, cuda, cuda:N, xpu or mps; auto takes an accelerator where torch finds one.
    text_column
        Column that holds the text; the same as --columns.text.
    label_column
        Column that holds the label; the same as --columns.label.
    """
    reading = with_columns(reading, text_column, label_column)
    return noria.evaluate(
        model, rows, train=train, out=out, beside=beside, device=device, settings=reading, progress=report()
    )


@app.command
def tokenizer(
    corpus: Path,
    *,
    out: Path,
    vocab_size: int = 16_000,
    kind: Literal["bpe", "unigram"] = "bpe",
) -> object:
    """Train a tokenizer on a corpus, bounded in time and memory on Chinese as on English.

    Any text comes back as it was, in composed form (Unicode NFC). Tells
    characters and bytes per token and unknown tokens, by language, on texts
    held out of its training, beside those of the encoders that arrive as
    ordinary packages.

    Examples::

        noria build tokenizer corpus --out tokenizer
        noria build tokenizer reviews.jsonl --out tokenizer --vocab-size 8192
        noria build tokenizer corpus --out tokenizer --kind unigram

    Parameters
    ----------
    corpus
        A corpus folder (its train.jsonl files are read), or a file or folder of documents.
    out
        The tokenizer folder to write.
    vocab_size
        Tokens wanted, 512 to 1,000,000; a small corpus gives fewer.
    kind
        bpe, byte-level byte-pair encoding; or unigram, pieces with probabilities.
    """
    return noria.tokenizer(corpus, out=out, vocab_size=vocab_size, kind=kind, progress=report())


@app.command
def compress(
    model: Path,
    *,
    calibration: Path | None = None,
    rows: Path,
    out: Path,
    text_column: str | None = None,
    label_column: str | None = None,
    file: SettingsFile = None,
    reading: Annotated[ReadSettings, Parameter(name="*")] = ReadSettings(),
    settings: Annotated[CompressSettings, Parameter(name="*")] = CompressSettings(),
    dry_run: DryRun = False,
) -> object:
    """Quantise a model to 8 bits, and write it only if it earns its certificate.

    Answers are compared with the trained model's on held-out rows; speed is
    measured in turns with it, through the engines that serve both. Refused, it
    ends with exit code 3, and the trained model still serves.

    Examples::

        noria build compress sentiment --calibration train.jsonl \\
            --rows test.jsonl --out sentiment-int8
        noria build compress names --calibration train.jsonl \\
            --rows test.jsonl --out names-int8 --method weights
        noria build compress my-model --rows test.jsonl --out my-model-fast

    Parameters
    ----------
    model
        Folder of a model for classify, tag or embed, or of a decoder that completes texts or chats.
    calibration
        Rows as those it was trained on, or documents, whose texts show the model what is to come; never the held-out ones. A
        decoder needs none.
    rows
        Held-out rows to certify on, of the form that it was trained on; columns named in training are remembered.
    out
        The model folder to write.
    text_column
        Column that holds the text; the same as --columns.text.
    label_column
        Column that holds the label; the same as --columns.label.
    file
        A TOML file whose section [compress] holds settings; flags stand above it.
    """
    if dry_run:
        return dry.show(dry.Plan({"rows": rows}, {"model": model, "calibration": calibration}, out))
    settings_told = settings_given(file, with_columns(reading, text_column, label_column), settings)
    return noria.compress(model, rows=rows, out=out, calibration=calibration, settings=settings_told, progress=report())
