"""k-fold cross-validation: every row is judged once by a model that has not seen it, and the spread is reported.

    figures = crossvalidate(task, base, rows_file, out, FinetuneSettings(minutes=1), CrossSettings(folds=5), report)

Each fold is an ordinary fine-tuning on the other folds, of which a share is set aside to choose the weights by. What is
finished stays: a killed run trains only what is missing.
"""

from __future__ import annotations

import io
import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from noria.core.figure import Figure
from noria.core.folder import new_file, new_folder, read_manifest, sha256_file, write_json
from noria.core.messages import Message, message
from noria.core.progress import Report
from noria.make.training.finetune.leaks import find_leaks
from noria.make.training.finetune.publish import lineage
from noria.make.training.finetune.recipe import finetune
from noria.make.training.finetune.rows import folds_of, identity_of, report_labels, set_aside
from noria.make.training.settings import CrossSettings, FinetuneSettings, RowSettings
from noria.tasks.task import Row, Task, read_rows

LEVEL = 0.95


def crossvalidate(
    task: Task,
    base: Path | None,
    file: Path,
    out: Path,
    settings: FinetuneSettings,
    cross: CrossSettings,
    report: Report,
    *,
    reading: RowSettings | None = None,
) -> list[Figure]:
    """Return the mean of every measure over folds and seeds, and its spread over both; write them to the folder `out`.

    Args:
        task: what the rows are for.
        base: folder of a pretrained model; None for rows of numbers.
        file: labelled rows.
        out: the folder to write; the unfinished run lies beside it, in `.<out>.work`.
        settings: of each training.
        cross: folds and seeds.
        report: where plan, progress and result are reported.
        reading: columns, bad rows, and the share of the other folds that chooses the weights.

    Raises:
        RowError, InputError: the rows cannot be used, or are too few.
        FolderError, SettingError: as `finetune`.
        Interrupted: stopped by a signal; the same call goes on.
    """
    reading = reading or RowSettings()
    rows = read_rows(file, task, skip_bad=reading.skip_bad_rows, report=report, columns=reading.columns)
    task = task.fitted(rows)
    report_labels(task, rows, report)
    find_leaks(task, rows, {}).report_to(report)
    work = out.with_name(f".{out.name}.work")
    begin(work, identity_of(task, base, [file], settings, reading, cross))
    runs = [(seed, fold) for seed in range(cross.seeds) for fold in range(cross.folds)]
    report.plan(
        message(
            "work.cross",
            name=file.name,
            rows=len(rows),
            folds=cross.folds,
            seeds=cross.seeds,
            trainings=len(runs),
            budget=budget(settings),
        )
    )
    found = []
    with report.bar("cross-validate", total=len(runs), unit="training") as bar:
        for seed, fold in runs:
            found.append(_train(task, base, rows, seed, fold, work, settings, cross, reading, quietly(report)))
            bar.advance(1, **{found[-1][0].name.replace(" ", "_"): found[-1][0].value})
    figures = summary(found, cross, source=file.name, rows=len(rows))
    dump = {"finetune": settings.model_dump(mode="json"), "cross": cross.model_dump(mode="json")}
    with new_folder(out, kind="crossvalidation", settings=dump, sources=lineage(base)) as folder:
        folder.facts.update(
            task=task.name, rows=len(rows), file=sha256_file(file), metrics=[figure.as_dict() for figure in figures]
        )
        lines = [
            {"seed": seed, "fold": fold, "figures": [figure.as_dict() for figure in figures_of_fold]}
            for (seed, fold), figures_of_fold in zip(runs, found, strict=True)
        ]
        write_lines(folder.path / "folds.jsonl", lines)
    shutil.rmtree(work, ignore_errors=True)
    return figures


def summary(found: Sequence[Sequence[Figure]], cross: CrossSettings, *, source: str, rows: int) -> list[Figure]:
    """Return mean and spreads of every measure of all trainings, `found` being ordered by seed and then by fold.

    The mean's interval is Student's t over the trainings with the variance of Nadeau and Bengio (2003, equation 9): folds
    share training rows, so the plain variance is too small by the share of judged to learned rows. The intervals of
    the spreads (standard deviations) are those of a normal sample, by chi squared. The spread over seeds is that of the
    means of whole rounds.
    """
    figures = []
    for place, first in enumerate(found[0]):
        values = [training[place].value for training in found]
        rounds = [values[start : start + cross.folds] for start in range(0, len(values), cross.folds)]
        low, high = mean_interval(values, 1 / (cross.folds - 1))
        known = [baseline for one in found if (baseline := one[place].baseline) is not None]
        figures.append(
            Figure(
                first.name,
                fmean(values),
                rows,
                low,
                high,
                source=source,
                level=LEVEL,
                baseline=fmean(known) if len(known) == len(found) else None,
                note=f"mean over {cross.folds} folds and {cross.seeds} seeds"
                if cross.seeds > 1
                else f"mean over {cross.folds} folds",
            )
        )
        if place:
            continue
        # Within each round, so that what the seeds change is not counted as the folds' doing.
        freedom = sum(len(one) - 1 for one in rounds)
        spread = math.sqrt(sum((value - fmean(one)) ** 2 for one in rounds for value in one) / freedom)
        figures.append(spread_figure(f"{first.name}, spread over folds", spread, freedom, source))
        if cross.seeds > 1:
            means = [fmean(one) for one in rounds]
            figures.append(spread_figure(f"{first.name}, spread over seeds", stdev(means), len(means) - 1, source))
    return figures


def mean_interval(values: Sequence[float], overlap: float = 0.0) -> tuple[float | None, float | None]:
    """Return the ends of Student's interval of a mean; `overlap` is judged rows over learned ones, where folds share rows."""
    if len(values) < 2:
        return None, None
    from scipy.stats import t

    half = t.ppf((1 + LEVEL) / 2, len(values) - 1) * stdev(values) * math.sqrt(1 / len(values) + overlap)
    return fmean(values) - float(half), fmean(values) + float(half)


def spread_figure(name: str, spread: float, freedom: int, source: str) -> Figure:
    """Return a standard deviation with the interval of a normal sample's."""
    from scipy.stats import chi2

    low, high = (spread * math.sqrt(freedom / chi2.ppf(share, freedom)) for share in ((1 + LEVEL) / 2, (1 - LEVEL) / 2))
    return Figure(
        name, spread, freedom + 1, float(low), float(high), source=source, level=LEVEL, note="standard deviation"
    )


def begin(work: Path, identity: str) -> None:
    """Keep what a killed run of the same inputs left in `work`, and clear away what another left."""
    known = work / "identity.json"
    try:
        same = json.loads(known.read_text(encoding="utf-8")) == identity
    except (OSError, ValueError):
        same = False
    if not same:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        write_json(known, identity)


def quietly(report: Report) -> Report:
    """Return where the trainings inside a longer piece of work speak: to programs as ever, to people not at all."""
    return report if report.mode == "programs" else Report(stream=io.StringIO())


def budget(settings: FinetuneSettings) -> Message:
    """Return the length of one training in words."""
    if settings.steps:
        return message("work.plan.steps", steps=settings.steps)
    return message("work.minutes", minutes=settings.minutes)


def write_lines(path: Path, rows: Sequence[Any]) -> Path:
    """Write JSON lines, whole or not at all."""
    with new_file(path) as part:
        part.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def _train(
    task: Task,
    base: Path | None,
    rows: Sequence[Row],
    seed: int,
    fold: int,
    work: Path,
    settings: FinetuneSettings,
    cross: CrossSettings,
    reading: RowSettings,
    report: Report,
) -> list[Figure]:
    """Return the figures of one fold, from a training or from what a killed run has finished."""
    record = work / f"seed-{seed}-fold-{fold}.json"
    if record.exists():
        return [Figure(**figure) for figure in json.loads(record.read_text(encoding="utf-8"))]
    sides = folds_of(task, rows, cross.folds, seed=settings.seed + seed)
    others = [row for row, side in zip(rows, sides, strict=True) if side != fold]
    training, valid = set_aside(task, others, reading.valid_share, seed=settings.seed + seed)
    parts = {
        "train": training,
        "valid": valid,
        "test": [row for row, side in zip(rows, sides, strict=True) if side == fold],
    }
    files = {
        name: write_lines(work / f"seed-{seed}-fold-{fold}" / f"{name}.jsonl", part) for name, part in parts.items()
    }
    model = finetune(
        task,
        base,
        files["train"],
        files["valid"],
        files["train"].with_name("model"),
        settings.replace(seed=settings.seed + seed),
        report,
        test_file=files["test"],
    )
    figures = [Figure(**figure) for figure in read_manifest(model).facts["metrics"]]
    figures = [replace(figure, source=f"seed {seed}, fold {fold}") for figure in figures]
    write_json(record, [figure.as_dict() for figure in figures])
    shutil.rmtree(model.parent, ignore_errors=True)
    return figures
