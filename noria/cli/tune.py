"""`noria build finetune`, `advise`, `align`, `crossvalidate` and `search`: from rows to a model, and to settings that suit them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

import noria
from noria.make.recommend.settings import RecommendTraining
from noria.make.training.align.settings import AlignSettings
from noria.make.training.settings import CrossSettings, FinetuneSettings, ReadSettings, RowSettings, SearchSettings

from . import dry
from .files import SettingsFile, settings_given, with_columns
from .manners import Commands, DryRun, report

OPTIONS = "Fields of the task, such as --options.optional true for questions that may have no answer."
app = Commands(name="finetune")


@app.default
def finetune(
    task: str,
    *,
    train: Path,
    out: Path,
    base: Path | None = None,
    valid: Path | None = None,
    test: Path | None = None,
    many: Annotated[bool, Parameter(negative="")] = False,
    options: Annotated[dict[str, str] | None, Parameter(help=OPTIONS)] = None,
    text_column: str | None = None,
    label_column: str | None = None,
    file: SettingsFile = None,
    reading: Annotated[RowSettings, Parameter(name="*")] = RowSettings(),
    settings: Annotated[FinetuneSettings, Parameter(name="*")] = FinetuneSettings(),
    dry_run: DryRun = False,
) -> object:
    """Fine-tune a pretrained model on labelled rows, within a time budget.

    The number of steps is fixed when it starts; a killed run resumes where it
    was. Valid rows choose the weights and calibrate the confidences; without a
    valid file a share of the training rows is set aside. Test rows are only
    judged, with intervals, beside a baseline learned from the same rows.

    Examples::

        noria build finetune classify --base base --train 客服.csv --out intents
        noria build finetune classify --base base --train 客服.csv --out intents --dry-run
        noria build finetune classify --base base --train r.csv --out topics \\
            --many --text-column body --minutes 2
        noria build finetune tag --base base --train t.jsonl --valid v.jsonl \\
            --test e.jsonl --out names --adapter.kind lora --adapter.rank 8

    Parameters
    ----------
    task
        classify, numeric, tag, answer, translate, summarise, chat, embed, or
        one of an installed package.
    train
        Rows to learn from: JSON Lines, CSV, Excel, Parquet and the like.
    out
        The model folder to write.
    base
        Folder of a pretrained model; numeric needs none, and translate and
        summarise without one make a model from nothing.
    valid
        Rows that choose the weights and calibrate confidences.
    test
        Held-out rows that are only judged.
    many
        A text may have several labels, or none.
    text_column
        Column that holds the text; the same as --columns.text.
    label_column
        Column that holds the label; the same as --columns.label.
    file
        A TOML file whose section [finetune] holds settings; flags stand above it.
    """
    if dry_run:
        plan = dry.Plan({"train": train, "valid": valid, "test": test}, {"base": base}, out)
        return _shown(plan, task, options, many, with_columns(reading, text_column, label_column), settings, file)
    return noria.finetune(
        task,
        train=train,
        out=out,
        base=base,
        valid=valid,
        test=test,
        many=many,
        options=options,
        settings=settings_given(file, with_columns(reading, text_column, label_column), settings),
        progress=report(),
    )


@app.command
def recommend(
    items: Path,
    *behaviour: Path,
    out: Path,
    test: Path | None = None,
    beside: Path | None = None,
    file: SettingsFile = None,
    settings: Annotated[RecommendTraining, Parameter(name="*")] = RecommendTraining(),
    dry_run: DryRun = False,
) -> object:
    """Train a recommender on items and on what people did with them, judged beside popularity, ItemKNN and EASE.

    Judged on what came last, all items ranked, warm and cold ones apart, with
    intervals over users; what is written is then learned from all of it. New
    items are ranked by their text, known ones by behaviour. Rows that cannot be
    used are set aside by rules, each counted.

    Examples::

        noria build finetune recommend items.csv clicks.csv --out shop
        noria build finetune recommend 商品.xlsx 行为.csv --model runs/demo/embed-served --out shop
        noria build finetune recommend items.csv ratings.csv --positive 0 --split random --out films
        noria build finetune recommend items.csv clicks.csv runs/lake --beside shop --out shop-new

    Parameters
    ----------
    items
        The catalogue: id, title, text, tags, category, price, in JSON Lines, CSV, Excel and the like.
    behaviour
        Files of user, item, time and, where there are any, kind and value; or a server's lake.
    out
        The folder to write.
    test
        Behaviour that came after the other, which is only judged on; without it a part is held out.
    beside
        Folder of an older recommender, judged on the same users by what they did since it was trained.
    file
        A TOML file whose section [recommend] holds settings; flags stand above it.
    """
    if dry_run:
        rows = {"items": items, **{f"behaviour {place}": one for place, one in enumerate(behaviour, 1)}, "test": test}
        minutes = dry.minutes_of(settings, file, "recommend")
        return dry.show(dry.Plan(rows, {"model": settings.model, "beside": beside}, out, minutes))
    return noria.recommender(
        items,
        *behaviour,
        out=out,
        test=test,
        beside=beside,
        settings=settings_given(file, settings),
        progress=report(),
    )


def align(
    base: Path,
    *,
    train: Path,
    out: Path,
    valid: Path | None = None,
    keep: Path | None = None,
    file: SettingsFile = None,
    reading: Annotated[ReadSettings, Parameter(name="*")] = ReadSettings(),
    settings: Annotated[AlignSettings, Parameter(name="*")] = AlignSettings(),
    dry_run: DryRun = False,
) -> object:
    """Align a tuned decoder with what people prefer, within a time budget.

    Pairs of answers (DPO), thumbs alone (KTO), also as they lie in a server's
    lake, or a reward that you name (GRPO). An adapter learns; without it the
    model is the reference. Held-out rows choose the weights, and compare the
    model with the one that it began as: wins row by row, reward, divergence,
    what was forgotten, each with an interval.

    Examples::

        noria build align assistant --train pairs.jsonl --out aligned
        noria build align assistant --train runs/lake --out aligned --keep talks.jsonl
        noria build align assistant --train questions.jsonl --out aligned \\
            --reward schema:order.json --minutes 10

    Parameters
    ----------
    base
        Folder of the tuned model.
    train
        Pairs {prompt, chosen, rejected}, thumbs {messages, label}, questions
        {messages}; or a server's lake.
    out
        The model folder to write.
    valid
        Held-out rows of the same kind; without them a share is set aside.
    keep
        Conversations that must not be forgotten: judged before and after.
    file
        A TOML file whose section [align] holds settings; flags stand above it.
    """
    if dry_run:
        minutes = dry.minutes_of(settings, file, "align")
        return dry.show(dry.Plan({"train": train, "valid": valid, "keep": keep}, {"base": base}, out, minutes))
    return noria.align(
        base,
        train=train,
        out=out,
        valid=valid,
        keep=keep,
        settings=settings_given(file, reading, settings),
        progress=report(),
    )


def crossvalidate(
    task: str,
    *,
    train: Path,
    out: Path,
    base: Path | None = None,
    many: Annotated[bool, Parameter(negative="")] = False,
    options: Annotated[dict[str, str] | None, Parameter(help=OPTIONS)] = None,
    text_column: str | None = None,
    label_column: str | None = None,
    file: SettingsFile = None,
    cross: Annotated[CrossSettings, Parameter(name="*")] = CrossSettings(),
    reading: Annotated[RowSettings, Parameter(name="*")] = RowSettings(),
    settings: Annotated[FinetuneSettings, Parameter(name="*")] = FinetuneSettings(),
    dry_run: DryRun = False,
) -> object:
    """Train on all rows but one fold, judge on that fold, for every fold: how good, and how sure that is.

    Tells the mean of each measure and its spread over folds and over seeds,
    each with an interval. Near duplicates lie in one fold. A killed run goes on
    where it was; --minutes is the budget of one of the trainings.

    Examples::

        noria build crossvalidate classify --base base --train 客服.csv \\
            --out folds --folds 5 --minutes 1
        noria build crossvalidate tag --base base --train t.jsonl --out folds \\
            --folds 3 --seeds 2 --minutes 2

    Parameters
    ----------
    task
        As of `noria build finetune`.
    train
        Labelled rows: JSON Lines, CSV, Excel, Parquet and the like.
    out
        The folder to write: figures of every fold, and over all.
    base
        Folder of a pretrained model; numeric needs none, and translate and
        summarise without one make a model from nothing.
    many
        A text may have several labels, or none.
    text_column
        Column that holds the text; the same as --columns.text.
    label_column
        Column that holds the label; the same as --columns.label.
    file
        A TOML file whose section [finetune] holds settings; flags stand above it.
    """
    if dry_run:
        plan = dry.Plan({"train": train}, {"base": base}, out, times=cross.folds * cross.seeds)
        return _shown(plan, task, options, many, with_columns(reading, text_column, label_column), settings, file)
    return noria.crossvalidate(
        task,
        train=train,
        out=out,
        base=base,
        many=many,
        options=options,
        settings=settings_given(file, with_columns(reading, text_column, label_column), settings, cross),
        progress=report(),
    )


def search(
    task: str,
    *,
    train: Path,
    out: Path,
    try_: Annotated[tuple[str, ...], Parameter(name="--try", negative="")],
    base: Path | None = None,
    valid: Path | None = None,
    many: Annotated[bool, Parameter(negative="")] = False,
    options: Annotated[dict[str, str] | None, Parameter(help=OPTIONS)] = None,
    text_column: str | None = None,
    label_column: str | None = None,
    file: SettingsFile = None,
    looking: Annotated[SearchSettings, Parameter(name="*")] = SearchSettings(),
    reading: Annotated[RowSettings, Parameter(name="*")] = RowSettings(),
    settings: Annotated[FinetuneSettings, Parameter(name="*")] = FinetuneSettings(),
    dry_run: DryRun = False,
) -> object:
    """Search the settings of fine-tuning that suit the rows best, within a number of short trials.

    Every trial is judged on valid rows; no test row is ever looked at. Trials
    that fall behind are given up early. The winner is trained again under
    several seeds and its spread is reported. A killed search resumes where it was.

    Examples::

        noria build search classify --base base --train 客服.csv --out found \\
            --try learning_rate=1e-5..1e-3 --try tokens_per_batch=1024,2048,4096
        noria build search tag --base base --train t.jsonl --out found \\
            --adapter.kind lora --try adapter.rank=4,8,16 --trials 20 --minutes 1
        noria build finetune classify --base base --train 客服.csv --out best \\
            --settings found/best.toml

    Parameters
    ----------
    task
        As of `noria build finetune`.
    train
        Rows to learn from: JSON Lines, CSV, Excel, Parquet and the like.
    out
        The folder to write: best.toml, and every trial.
    try_
        A setting and what to try: LOW..HIGH, or CHOICE,CHOICE; may be repeated.
    base
        Folder of a pretrained model; numeric needs none, and translate and
        summarise without one make a model from nothing.
    valid
        Rows that judge the trials; without them a share of the training rows is set aside.
    many
        A text may have several labels, or none.
    text_column
        Column that holds the text; the same as --columns.text.
    label_column
        Column that holds the label; the same as --columns.label.
    file
        A TOML file whose section [finetune] holds settings; flags stand above it.
    """
    if dry_run:
        plan = dry.Plan({"train": train, "valid": valid}, {"base": base}, out, times=looking.trials + looking.seeds)
        return _shown(plan, task, options, many, with_columns(reading, text_column, label_column), settings, file)
    return noria.search(
        task,
        train=train,
        out=out,
        ranges=try_,
        base=base,
        valid=valid,
        many=many,
        options=options,
        settings=settings_given(file, with_columns(reading, text_column, label_column), settings, looking),
        progress=report(),
    )


def _shown(
    plan: dry.Plan,
    task: str,
    options: dict[str, str] | None,
    many: bool,
    reading: RowSettings,
    settings: FinetuneSettings,
    file: Path | None,
) -> int:
    """Print what training on labelled rows would read, write and take; return the exit code."""
    count = dry.labelled_rows(task, options, many=many, skip_bad=reading.skip_bad_rows, columns=reading.columns)
    return dry.show(replace(plan, minutes=dry.minutes_of(settings, file, "finetune")), count)
