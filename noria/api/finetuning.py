"""From labelled rows or behaviour to a model, and to settings that suit them: advise, finetune, recommender, align, crossvalidate, search."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from noria.core.errors import SettingError
from noria.core.folder import read_manifest
from noria.core.messages import message
from noria.core.progress import Report
from noria.make.recommend.settings import RecommendTraining
from noria.make.training.advice import Advice
from noria.make.training.align.settings import AlignSettings
from noria.make.training.settings import CrossSettings, FinetuneSettings, ReadSettings, RowSettings, SearchSettings

from .make import report_written
from .options import Progress, from_settings, report_of
from .results import Folds, Found, Model, figures_in, model_of


@from_settings("finetune", "text_column", "label_column", "try")
def finetune(
    task: str,
    *,
    train: Path,
    out: Path,
    base: Path | None = None,
    valid: Path | None = None,
    test: Path | None = None,
    many: bool = False,
    options: Mapping[str, Any] | None = None,
    reading: RowSettings,
    training: FinetuneSettings,
    progress: Progress = True,
) -> Model:
    """Fine-tune a pretrained model on labelled rows, within a time budget.

    The number of steps is fixed when it starts; a killed run resumes where it was. Valid rows choose the weights and
    calibrate the confidences; test rows are only judged, beside a baseline learned from the same rows.

        noria.finetune("classify", base="base", train="客服.csv", out="intents", minutes=5)
        noria.finetune("tag", base="base", train="t.jsonl", out="names", adapter={"kind": "lora", "rank": 8})

    Args:
        task: classify, numeric, tag, answer, translate, summarise, chat, embed, or one of an installed package.
        train: rows to learn from, in any format that is read.
        out: the model folder to write; the unfinished run lies beside it, in `.<out>.work`.
        base: folder of a pretrained model, or a GGUF; numeric needs none, and translate and summarise without one make a
            model from nothing.
        valid: rows that choose the weights; without them a share of the training rows is set aside.
        test: held-out rows that are only judged.
        many: a text may have several labels, or none.
        options: fields of the task, such as {"optional": True} for questions that may have no answer.
        progress: bars on a terminal, lines where output is piped; False is silent.

    Raises:
        RowError, InputError: a file of rows cannot be used.
        FolderError: `base` is no usable model.
        SettingError: a setting is unknown or not allowed, or the task cannot be fine-tuned this way.
        Interrupted: stopped by a signal; the same call goes on.
    """
    from noria.make.training.finetune.recipe import finetune as run

    report = report_of(progress)
    base = _base(base, report)
    run(_task(task, base, options, many), base, train, valid, out, training, report, test_file=test, reading=reading)
    report_written(out, report)
    return model_of(out)


@from_settings("finetune", "text_column", "label_column", "try", "test")
def advise(
    task: str,
    *,
    train: Path,
    base: Path | None = None,
    valid: Path | None = None,
    many: bool = False,
    options: Mapping[str, Any] | None = None,
    reading: RowSettings,
    training: FinetuneSettings,
    progress: Progress = True,
) -> Advice:
    """Return what a fine-tuning would take here, in minutes and memory, and the score that it has to beat; nothing is trained or written.

        noria.advise("classify", base="base", train="客服.csv", minutes=5).memory_bytes

    Args:
        task, train, base, valid, many, options: as of `finetune`.
        progress: lines of the advice; False is silent.

    Raises:
        RowError, InputError, FolderError, SettingError: as of `finetune`.
    """
    from noria.make.training.finetune.advise import advise as run

    report = report_of(progress)
    base = _base(base, report)
    return run(_task(task, base, options, many), base, train, training, report, valid_file=valid, reading=reading)


@from_settings("recommend")
def recommender(
    items: Path,
    *behaviour: Path,
    out: Path,
    test: Path | None = None,
    beside: Path | None = None,
    training: RecommendTraining,
    progress: Progress = True,
) -> Model:
    """Train a recommender on items and on what people did with them, judged on what they did last.

    Popularity, neighbours of items and a linear item model run beside it on the same users, all items ranked. What is written is then
    learned from all of the behaviour.

        noria.recommender("items.csv", "clicks.csv", out="shop")
        noria.recommender("items.csv", "clicks.csv", "runs/lake", out="shop", model="embed-served")

    Args:
        items: the catalogue, in any format that is read.
        behaviour: files of user, item, time and, where there are any, kind and value; or a server's lake. Without any, items are
            ranked by their text alone.
        out: the folder to write.
        test: behaviour that came after the other, which is only judged on; without it a part is held out.
        beside: folder of an older recommender, judged on the same users by what they did since it was trained.
        progress: bars on a terminal, lines where output is piped; False is silent.

    Raises:
        RowError, InputError: a file cannot be used.
        FolderError: the encoder is no usable model, or the older recommender is none.
        SettingError: a setting is unknown or not allowed.
    """
    from noria.make.recommend.recipe import recommend as run

    report = report_of(progress)
    run(items, behaviour, out, training, report, test=test, beside=beside)
    report_written(out, report)
    return model_of(out)


@from_settings("align")
def align(
    base: Path,
    *,
    train: Path,
    out: Path,
    valid: Path | None = None,
    keep: Path | None = None,
    reading: ReadSettings,
    aligning: AlignSettings,
    progress: Progress = True,
) -> Model:
    """Align a tuned decoder with what people prefer: pairs of answers, thumbs, or a reward.

    An adapter learns; without it the model is the reference. Held-out rows choose the weights, and compare the model with the one
    that it began as: wins row by row, reward, divergence, what was forgotten, each with an interval.

        noria.align("assistant", train="pairs.jsonl", out="aligned", minutes=5)
        noria.align("assistant", train="runs/lake", out="aligned")
        noria.align("assistant", train="questions.jsonl", out="aligned", reward="rewards.py:short")

    Args:
        base: folder of the tuned model.
        train: pairs {prompt, chosen, rejected}, thumbs {messages, label}, questions {messages}; or a server's lake.
        out: the model folder to write; the unfinished run lies beside it, in `.<out>.work`.
        valid: held-out rows; without them a share of the rows is set aside.
        keep: conversations that must not be forgotten: judged before and after.
        progress: bars on a terminal, lines where output is piped; False is silent.

    Raises:
        RowError, InputError: a file of rows, or the reward, cannot be used.
        FolderError: `base` is no usable model.
        SettingError: a setting is unknown or not allowed, or the method does not fit the rows.
        Interrupted: stopped by a signal; the same call goes on.
    """
    from noria.make.training.align.recipe import align as run

    report = report_of(progress)
    folder = _base(base, report)
    assert folder is not None
    run(folder, train, out, aligning, report, valid_file=valid, keep_file=keep, reading=reading)
    report_written(out, report)
    return model_of(out)


@from_settings("finetune", "text_column", "label_column", "try", "valid", "test")
def crossvalidate(
    task: str,
    *,
    train: Path,
    out: Path,
    base: Path | None = None,
    many: bool = False,
    options: Mapping[str, Any] | None = None,
    cross: CrossSettings,
    reading: RowSettings,
    training: FinetuneSettings,
    progress: Progress = True,
) -> Folds:
    """Train on all rows but one fold, judge on that fold, for every fold: how good, and how sure that is.

    Near duplicates lie in one fold. `minutes` is the budget of one of the trainings; a killed run resumes where it was.

        noria.crossvalidate("classify", base="base", train="客服.csv", out="folds", folds=5, minutes=1)

    Args:
        task, base, many, options: as of `finetune`.
        train: labelled rows.
        out: the folder to write: figures of every fold, and over all.
        progress: bars on a terminal, lines where output is piped; False is silent.

    Raises:
        RowError, InputError, FolderError, SettingError, Interrupted: as of `finetune`.
    """
    from noria.make.training.search.cross_validation import crossvalidate as run

    report = report_of(progress)
    base = _base(base, report)
    figures = run(_task(task, base, options, many), base, train, out, training, cross, report, reading=reading)
    for figure in figures:
        report.closing(figure.line(), **figure.as_dict())
    return Folds(out, tuple(figures))


@from_settings("finetune", "text_column", "label_column", "try", "test")
def search(
    task: str,
    *,
    train: Path,
    out: Path,
    ranges: Any,
    base: Path | None = None,
    valid: Path | None = None,
    many: bool = False,
    options: Mapping[str, Any] | None = None,
    looking: SearchSettings,
    reading: RowSettings,
    training: FinetuneSettings,
    progress: Progress = True,
) -> Found:
    """Search the settings of fine-tuning that suit the rows best, within a number of short trials.

    Every trial is judged on valid rows; no test row is ever looked at. The winner is trained again under several seeds. A
    killed search resumes where it was.

        found = noria.search("classify", base="base", train="r.csv", out="found", ranges={"learning_rate": "1e-5..1e-3"})
        noria.finetune("classify", base="base", train="r.csv", out="best", settings=found.best)

    Args:
        task, base, many, options: as of `finetune`.
        train: rows to learn from.
        out: the folder to write: best.toml, and every trial.
        ranges: setting -> what to try, LOW..HIGH or a list of choices; or texts "name=LOW..HIGH", "name=ONE,OTHER".
        valid: rows that judge the trials; without them a share of the training rows is set aside.
        progress: bars on a terminal, lines where output is piped; False is silent.

    Raises:
        RowError, InputError, FolderError, SettingError, Interrupted: as of `finetune`; or a range cannot be read.
    """
    from noria.make.training.search.search import ranges as read_ranges
    from noria.make.training.search.search import search as run

    report = report_of(progress)
    base = _base(base, report)
    chosen = _task(task, base, options, many)
    tried = read_ranges(ranges, training)
    run(chosen, base, train, valid, out, training, tried, looking, report, reading=reading)
    return Found(out, out / "best.toml", figures_in(read_manifest(out).facts, "metrics"))


def _base(base: Path | None, report: Report) -> Path | None:
    """Return the folder to tune of what was brought: of a GGUF, its weights unpacked."""
    from noria.infer.brought import base_folder

    return None if base is None else base_folder(base, note=report.note)


def _task(name: str, base: Path | None, options: Mapping[str, Any] | None, many: bool) -> Any:
    from noria.tasks.options import task_with
    from noria.tasks.task import task_for

    if base is None and task_for(name).head not in ("vector", "seq2seq"):
        raise SettingError(
            message("commands.base_missing"),
            allowed=message("commands.folder_pretrained"),
            hint=message("commands.noria_build"),
        )
    return task_with(name, options, many=many)
