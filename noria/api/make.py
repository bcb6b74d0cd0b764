"""From raw text to a certified model: clean, tokenizer, pretrain, base, finetune, crossvalidate, search, evaluate, compress."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from noria.core.caveats import caveats
from noria.core.errors import InputError, SettingError
from noria.core.folder import Source, new_folder, read_manifest, sha256_file, source_of
from noria.core.messages import message, term
from noria.core.progress import Report
from noria.make.compress.settings import CompressSettings
from noria.make.corpus.settings import CleanSettings
from noria.make.training.settings import PretrainSettings, ReadSettings

from .options import Progress, from_settings, report_of
from .results import Compressed, Corpus, Judged, Model, Rows, Tokenizer, compressed_of, figures_in, model_of


@from_settings("clean")
def clean(*sources: Path, out: Path, cleaning: CleanSettings, licence: str = "", progress: Progress = True) -> Corpus:
    """Clean files and folders into a corpus: repaired, masked, without duplicates, split so that nothing leaks.

    The same call again returns at once while sources and settings are unchanged; a killed one resumes where it stopped.

        noria.clean("reviews.jsonl", out="corpus", languages=("zh",))

    Args:
        sources: files in any format that is read, or folders of them.
        out: the folder to write; an older corpus there is replaced when the new one is whole.
        licence: licence of the sources, kept in the lineage.
        progress: bars on a terminal, lines where output is piped; False is silent.

    Raises:
        InputError: a source cannot be used, or nothing at all is kept.
        RowError: a bad row, unless `skip_bad_rows`.
        SettingError: a setting is unknown or not allowed.
    """
    from noria.make.corpus.build import build_corpus

    if not sources:
        raise InputError(message("commands.nothing_clean"), allowed=message("commands.files_folders"))
    build_corpus(sources, out, cleaning, licence=licence, report=report_of(progress))
    facts = read_manifest(out).facts
    return Corpus(out, facts["rows"], facts["kept"], dict(facts["splits"]), dict(facts["drops"]), dict(facts["masked"]))


@from_settings("collect")
def collect(lake: Path, *, task: str, out: Path, model: str | None = None, progress: Progress = True) -> Rows:
    """Make training rows of what users said of answers: of those who consented, masked, each with where it came from.

        rows = noria.collect("runs/lake", task="classify", out="rows")
        noria.finetune("classify", base="base", train=rows.path / "rows.jsonl", out="better")

    Args:
        lake: a server's lake; the server may be running.
        task: classify, numeric, tag, answer, translate, summarise, chat or complete.
        out: the folder to write: rows.jsonl, provenance.jsonl and drops.json.
        model: take only what this model answered; needed where several of the task did.
        progress: lines of plan and result; False is silent.

    Raises:
        InputError: no lake, unknown task, several models and none named, or not one row.
    """
    from noria.make.corpus.collect import collect as run

    run(lake, task, out, model=model, report=report_of(progress))
    facts = read_manifest(out).facts
    return Rows(out, facts["rows"], task, dict(facts["dropped"]))


@from_settings("tokenizer")
def tokenizer(
    corpus: Path,
    *,
    out: Path,
    vocab_size: int = 16_000,
    kind: Literal["bpe", "unigram"] = "bpe",
    progress: Progress = True,
) -> Tokenizer:
    """Train a tokenizer on a corpus, bounded in time and memory on Chinese as on English.

    Any text comes back as it was, in composed form (Unicode NFC).

        noria.tokenizer("corpus", out="tokenizer", vocab_size=8192)

    Args:
        corpus: a corpus folder (its train.jsonl files are read), or a file or folder of documents.
        out: the tokenizer folder to write.
        vocab_size: tokens wanted, 512 to 1,000,000; a small corpus gives fewer.
        kind: bpe, byte-level byte-pair encoding; or unigram, pieces with probabilities.
        progress: bars on a terminal, lines where output is piped; False is silent.

    Raises:
        InputError: the corpus cannot be read, or holds no text.
        SettingError: the size is not allowed.
    """
    from noria.make.corpus.texts import training_texts
    from noria.make.models.bundled import bundled_tokenizers
    from noria.make.tokens.tokenizer import train_tokenizer

    report = report_of(progress)
    texts, sources = training_texts(corpus, report)
    train_tokenizer(texts, vocab_size, out, report, sources=sources, kind=kind, beside=bundled_tokenizers())
    report.closing(message("work.tokenizer_written", out=out), out=str(out))
    facts = read_manifest(out).facts
    return Tokenizer(out, facts["vocab_size"], figures_in(facts, "figures"))


@from_settings("pretrain")
def pretrain(
    corpus: Path,
    *,
    out: Path,
    keep: Path | None = None,
    training: PretrainSettings,
    progress: Progress = True,
) -> Model:
    """Train a language model on a corpus, from nothing or from a base, within a time budget.

    The number of steps is fixed when it starts; a killed run resumes where it was. Test documents are only judged, beside
    a baseline on the same text; figures are bits per byte or nats per token, as their unit says.

        noria.pretrain("corpus", out="model", minutes=10, model={"parameters": 20_000_000})
        noria.pretrain("corpus", out="mine", minutes=60, model={"base": "Qwen2.5-0.5B"}, keep="general.txt")

    Args:
        corpus: folder with train.jsonl, valid.jsonl and test.jsonl of documents {text}, or with folders of such files.
        out: the model folder to write; the unfinished run lies beside it, in `.<out>.work`.
        keep: of a base that goes on, text that must not be forgotten: judged before and after, never learned from.
        progress: bars on a terminal, lines where output is piped; False is silent.

    Raises:
        InputError: the corpus holds no split, a line is no document, or there is too little text.
        FolderError: the tokenizer or the base cannot be used.
        SettingError: a setting is unknown or not allowed, or settings contradict each other.
        Interrupted: stopped by a signal; the same call goes on.
    """
    from noria.infer.brought import base_folder
    from noria.make.training.pretrain.recipe import pretrain as run

    report = report_of(progress)
    if training.model.base is not None:
        base = base_folder(training.model.base, note=report.note)
        training = training.replace(model=training.model.replace(base=base))
    run(corpus, out, training, report, keep=keep)
    report_written(out, report)
    return model_of(out)


@from_settings("base")
def base(name: str, *, out: Path, trim_to: tuple[Path, ...] = (), progress: Progress = True) -> Model:
    """Write a pretrained model that arrived with Noria's packages, whole or cut down to your texts.

        noria.base("e5-small", out="base", trim_to=["客服.csv"])

    Args:
        name: e5-small, an encoder which knows a hundred languages; minilm, English, half as deep; or smollm2, a decoder that chats.
        out: the model folder to write.
        trim_to: files of rows or documents whose words stay in the vocabulary; without any it stays whole.
        progress: bars on a terminal, lines where output is piped; False is silent.

    Raises:
        SettingError: no such name.
        PackageError: the package that holds it is missing, or is not the one known here.
        InputError: there is no text to trim to.
    """
    from noria.make.compress.trim import bundled

    report = report_of(progress)
    bundled(name, out, report, trim_to=trim_to)
    report.closing(message("work.model_written", out=out), out=str(out))
    return model_of(out)


@from_settings("evaluate")
def evaluate(
    model: Path,
    rows: Path,
    *,
    train: Path | None = None,
    out: Path | None = None,
    beside: Path | None = None,
    device: str = "auto",
    reading: ReadSettings,
    progress: Progress = True,
) -> Judged:
    """Judge a fine-tuned model on held-out rows: every figure with its interval, and the baseline beside it.

        noria.evaluate("intents", "test.csv", train="train.csv").figures[0].text()

    Args:
        model: folder of a fine-tuned model; columns that were named in training are remembered there.
        rows: held-out rows.
        train: rows from which the baseline learns; without them there is none beside the figures.
        out: a folder to write the figures to as well.
        beside: another model for the same task, judged on the same rows; the last figure is their difference, pair by pair.
        device: where it is computed: cpu, cuda, cuda:N, xpu or mps; auto takes an accelerator where torch finds one.
        progress: lines of plan and figures; False is silent.

    Raises:
        FolderError: the folder is no usable model.
        SettingError: its task has no rows to be judged by, or there is no such device.
        RowError, InputError: a file of rows cannot be used.
    """
    from noria.infer.brought import model_folder
    from noria.make.evaluate.judge import judge

    report = report_of(progress)
    model = model_folder(model, weights=True, note=report.note)
    other = None if beside is None else model_folder(beside, weights=True, note=report.note)
    figures = judge(
        model,
        rows,
        report,
        training_file=train,
        columns=reading.columns,
        skip_bad=reading.skip_bad_rows,
        device=device,
        beside=other,
    )
    for figure in figures:
        report.closing(figure.line(), **figure.as_record())
    if out is not None:
        sources = [source_of(model), Source(rows.name, sha256_file(rows))]
        with new_folder(out, kind="evaluation", sources=sources) as folder:
            folder.facts["metrics"] = [figure.as_dict() for figure in figures]
    return Judged(model, rows, tuple(figures), out)


@from_settings("compress", "text_column", "label_column")
def compress(
    model: Path,
    *,
    rows: Path,
    out: Path,
    calibration: Path | None = None,
    most: int | None = None,
    source: str | None = None,
    or_trained: bool = False,
    reading: ReadSettings,
    compression: CompressSettings,
    progress: Progress = True,
) -> Compressed:
    """Quantise a model to 8 bits, and write it only if it earns its certificate: same answers, faster, smaller.

    Answers are compared with the trained model's on held-out rows; speed is measured in turns with it, through the
    engines that serve both.

        noria.compress("sentiment", calibration="train.jsonl", rows="test.jsonl", out="sentiment-int8")

    Args:
        model: folder of a model for classify, tag or embed, or of a decoder that completes texts or chats.
        rows: held-out rows to certify on, of the form that it was trained on.
        out: the model folder to write.
        calibration: rows as those it was trained on, or documents, whose texts show the model what is to come; never the
            held-out ones. A decoder needs none.
        most: rows to certify on, taken evenly over the file, for a model that is slow to judge; all of them by default.
        source: what the figures call the rows; the file's name by default.
        or_trained: where it is refused, write the trained model as it is, with the certificate that says so.
        progress: bars on a terminal, lines where output is piped; False is silent.

    Raises:
        Refused: it did not earn its certificate; nothing is written.
        FolderError, InputError, RowError, SettingError: the model, the files or the settings cannot be used.
    """
    from noria.infer.brought import model_folder
    from noria.make.compress.recipe import certificate_text, compress_model
    from noria.make.compress.rows import calibration_texts, held_out_rows, report_calibrated, spread
    from noria.make.evaluate.beside import beside_trained
    from noria.tasks.remembered import report_made_from

    if most is not None and most < 1:
        raise SettingError("most is out of range", found=most, allowed="1 or more")
    report = report_of(progress)
    model = model_folder(model, weights=True, note=report.note)
    shown = calibration_texts(model, calibration, reading, report) if calibration else []
    held_out = spread(held_out_rows(model, rows, reading, report), most)
    report_made_from(read_manifest(model), rows, report)
    report_calibrated(shown, held_out, report)
    found = compress_model(
        model,
        shown,
        held_out,
        out,
        compression,
        report,
        judge=beside_trained,
        source=source or rows.name,
        or_trained=or_trained,
    )
    written = message("work.certified", name=model.name, certificate=certificate_text(found), out=out)
    report.closing(written, **found.as_dict())
    made = compressed_of(out, certified=found.passed, reasons=found.reasons, figures=found.figures)
    for words in made.caveats:
        report.closing(message("work.but", words=words))
    return made


def report_written(out: Path, report: Report) -> None:
    """Tell that a model was trained and written, and in the same breath what must be known of it."""
    facts = read_manifest(out).facts
    known = caveats(facts)
    verdict = facts.get("verdict")
    told = message("work.model_written", out=out)
    if verdict not in (None, "no baseline", "not judged"):
        told = message("work.verdict", written=told, verdict=term(verdict))
    report.closing(message("work.however", written=told) if known else told, out=str(out), caveats=known)
    for words in known:
        report.closing(message("work.point", words=words))
