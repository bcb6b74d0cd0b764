"""The search for settings: short trials judged on valid rows, the hopeless ones given up early, the winner's spread reported.

    tried = ranges(["learning_rate=1e-5..1e-3", "adapter.rank=4,8,16"], settings)
    figures = search(task, base, train, None, out, settings, tried, SearchSettings(trials=12), report)

Trials are proposed by optuna's tree-structured Parzen estimator and pruned by the median rule. The study lies in a SQLite file
beside the trials, written trial by trial: a killed search goes on with the trial it was at, from that trial's checkpoint.
Test rows are never looked at. The winner was chosen on the valid rows, so its figure on them flatters; judge it elsewhere.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from noria.core.errors import InputError, NoriaError, UserError
from noria.core.figure import Figure
from noria.core.folder import new_folder, read_manifest, write_bytes
from noria.core.messages import as_is, message
from noria.core.progress import Report
from noria.make.training.finetune.publish import lineage
from noria.make.training.finetune.recipe import finetune
from noria.make.training.finetune.rows import Sets, identity_of, read_sets
from noria.make.training.loop.result import Evaluation
from noria.make.training.settings import FinetuneSettings, RowSettings, SearchSettings
from noria.tasks.task import Task

from .cross_validation import begin, budget, mean_interval, quietly, spread_figure, write_lines
from .ranges import Range, nested, ranges, with_values

if TYPE_CHECKING:
    import optuna

STARTERS = 4
"""Trials that are made before any is given up or any but chance proposes one."""

__all__ = ["ranges", "search"]


class _GivenUp(NoriaError):  # noqa: N818 - a decision, not a fault
    """A trial that fell behind."""


@dataclass(frozen=True)
class _Search:
    """What every trial is given."""

    task: Task
    base: Path | None
    files: dict[str, Path]
    work: Path
    settings: FinetuneSettings
    tried: Sequence[Range]
    report: Report

    def train(
        self, name: str, settings: FinetuneSettings, trial: optuna.Trial | None = None, reported: Iterable[int] = ()
    ) -> float:
        """Return the best score on valid rows of one training; what it wrote is removed."""
        known = set(reported)  # a trial that was killed may come to an evaluation twice

        def watch(number: int, evaluation: Evaluation) -> None:
            if trial is None:
                return
            if number not in known:
                trial.report(evaluation.score, number)
            if number < settings.evaluations and trial.should_prune():
                raise _GivenUp("the trial fell behind")

        folder = self.work / name
        finetune(
            self.task, self.base, self.files["train"], self.files["valid"], folder, settings, self.report, watch=watch
        )
        scores: list[float] = [score for _, score in read_manifest(folder).facts["curves"]["valid"]]
        shutil.rmtree(folder, ignore_errors=True)
        return max(scores)


def search(
    task: Task,
    base: Path | None,
    train_file: Path,
    valid_file: Path | None,
    out: Path,
    settings: FinetuneSettings,
    tried: Sequence[Range],
    looking: SearchSettings,
    report: Report,
    *,
    reading: RowSettings | None = None,
) -> list[Figure]:
    """Return the winner's score over seeds, with the spread; write `best.toml` and every trial to the folder `out`.

    Args:
        task: what the rows are for.
        base: folder of a pretrained model; None for rows of numbers.
        train_file, valid_file: labelled rows; without a valid file a share of the training rows is set aside.
        out: the folder to write; the unfinished search lies beside it, in `.<out>.work`.
        settings: of each trial, but for what is tried.
        tried: from `ranges`.
        looking: trials, pruning and seeds.
        report: where plan, progress and result are reported.
        reading: columns, bad rows, and the share set aside.

    Raises:
        RowError, InputError: the rows cannot be used, or every trial diverged.
        FolderError, SettingError: as `finetune`.
        Interrupted: stopped by a signal; the same call goes on.
    """
    import optuna

    reading = reading or RowSettings()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    files = [file for file in (train_file, valid_file) if file]
    work = out.with_name(f".{out.name}.work")
    told = [one.text() for one in tried]
    begin(work, "; ".join([identity_of(task, base, files, settings, reading, looking), *told]))
    task, sets = read_sets(task, train_file, valid_file, None, reading, seed=settings.seed, report=report)
    rows = {"train": sets.training, "valid": sets.valid}
    where = {name: write_lines(work / "rows" / f"{name}.jsonl", part) for name, part in rows.items()}
    running = _Search(task, base, where, work, settings, tried, quietly(report))
    report.plan(
        message(
            "work.search",
            what=", ".join(told),
            trials=looking.trials,
            budget=budget(settings),
            seeds=looking.seeds,
            rows=len(sets.training),
            valid=len(sets.valid),
        )
    )
    study = _study(work, settings.seed, looking)
    _try_all(study, running, looking, report)
    finished = [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]
    if not finished:
        raise InputError(message("make.every_trial"), found=", ".join(told), hint=message("make.try_lower"))
    best = max(finished, key=lambda trial: (trial.value, -trial.number))
    figures = _under_seeds(running, best.params, looking, report)
    _write(out, study, best, figures, running, looking, sets)
    shutil.rmtree(work, ignore_errors=True)
    report.ledger(
        message("work.best", trials=len(study.trials), values=_values_text(best.params), file=out / "best.toml"),
        best=best.params,
    )
    for figure in figures:
        report.ledger(figure.line(), **figure.as_dict())
    return figures


def _study(work: Path, seed: int, looking: SearchSettings) -> optuna.Study:
    import optuna

    pruner: optuna.pruners.BasePruner = optuna.pruners.NopPruner()
    if looking.prune:
        pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTERS)
    return optuna.create_study(
        storage=f"sqlite:///{(work / 'study.db').resolve()}",
        study_name="search",
        direction="maximize",
        pruner=pruner,
        load_if_exists=True,
    )


def _try_all(study: optuna.Study, running: _Search, looking: SearchSettings, report: Report) -> None:
    """Make the trials that are missing, first of all the one that was cut off."""
    import optuna
    from optuna.trial import TrialState

    with report.bar("search", total=looking.trials, unit="trial") as bar:
        bar.advance(sum(trial.state.is_finished() for trial in study.get_trials(deepcopy=False)))
        while True:
            known = study.get_trials(deepcopy=False)
            cut = next((trial for trial in known if trial.state == TrialState.RUNNING), None)
            if cut is None and len(known) >= looking.trials:
                return
            # A sampler by the trial's number: a search resumed proposes what one never killed would.
            number = len(known) if cut is None else cut.number
            study.sampler = optuna.samplers.TPESampler(seed=running.settings.seed + number, n_startup_trials=STARTERS)
            trial = study.ask() if cut is None else optuna.Trial(study, cut._trial_id)
            values = {one.name: _suggest(trial, one) for one in running.tried}
            place: dict[str, object] = {"number": number + 1, "trials": looking.trials}
            report.note(message("work.trial", **place, text=_values_text(values)), **_underlined(values))
            reported = () if cut is None else tuple(cut.intermediate_values)
            line = _try(study, trial, running, with_values(running.settings, values), reported)
            shutil.rmtree(running.work / f".trial-{number}.work", ignore_errors=True)
            report.note(message("work.trial", **place, text=line))
            bar.advance(1)


def _try(
    study: optuna.Study, trial: optuna.Trial, running: _Search, settings: FinetuneSettings, reported: Iterable[int]
) -> str:
    from optuna.trial import TrialState

    try:
        score = running.train(f"trial-{trial.number}", settings, trial, reported)
    except _GivenUp:
        study.tell(trial, state=TrialState.PRUNED)
        return message("work.given_up")
    except UserError as error:
        if type(error) is not UserError:  # what is wrong with rows, base or settings is wrong in every trial
            raise
        study.tell(trial, state=TrialState.FAIL)
        return message("work.diverged", error=error.as_message())
    study.tell(trial, score)
    return as_is(f"{score:.4f}")


def _suggest(trial: optuna.Trial, one: Range) -> Any:
    if one.choices:
        return trial.suggest_categorical(one.name, list(one.choices))
    if one.whole:
        return trial.suggest_int(one.name, int(one.low), int(one.high), log=one.logarithmic)
    return trial.suggest_float(one.name, one.low, one.high, log=one.logarithmic)


def _under_seeds(running: _Search, best: Mapping[str, Any], looking: SearchSettings, report: Report) -> list[Figure]:
    """Train the winner anew under other seeds; return its mean score on valid rows and the spread."""
    chosen = with_values(running.settings, best)
    scores = []
    with report.bar("the winner under other seeds", total=looking.seeds, unit="training") as bar:
        for number in range(looking.seeds):
            record = running.work / f"seed-{number}.json"
            if not record.exists():
                score = running.train(f"seed-{number}", chosen.replace(seed=chosen.seed + 1 + number))
                write_bytes(record, json.dumps(score).encode())
            scores.append(json.loads(record.read_text()))
            bar.advance(1)
    source = "valid rows, on which it was chosen"
    low, high = mean_interval(scores)
    figures = [
        Figure(
            "best settings, score",
            fmean(scores),
            len(scores),
            low,
            high,
            source=source,
            note=f"mean over {len(scores)} seeds",
        )
    ]
    if len(scores) > 1:
        figures.append(spread_figure("best settings, spread over seeds", stdev(scores), len(scores) - 1, source))
    return figures


def _write(
    out: Path,
    study: optuna.Study,
    best: Any,
    figures: list[Figure],
    running: _Search,
    looking: SearchSettings,
    sets: Sets,
) -> None:
    trials = [
        {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "score": trial.value,
            "settings": nested(trial.params),
            "evaluations": trial.intermediate_values,
        }
        for trial in study.get_trials(deepcopy=False)
    ]
    chosen = with_values(running.settings, best.params)
    dump = {"finetune": running.settings.model_dump(mode="json"), "search": looking.model_dump(mode="json")}
    sources = [*lineage(running.base), *sets.sources]
    with new_folder(out, kind="search", settings=dump, sources=sources) as folder:
        write_lines(folder.path / "trials.jsonl", trials)
        text = "# noria build finetune TASK --settings best.toml ...\n" + toml_section(
            "finetune", chosen.model_dump(mode="json")
        )
        (folder.path / "best.toml").write_text(text, encoding="utf-8")
        folder.facts.update(
            task=running.task.name,
            best=nested(best.params),
            tried=[one.text() for one in running.tried],
            trials=len(trials),
            metrics=[figure.as_dict() for figure in figures],
        )


def toml_section(name: str, values: Mapping[str, Any]) -> str:
    """Return plain settings as a TOML section, nested ones as sections below it; what is None is left out."""
    lines = [f"[{name}]"]
    lines += [
        # A JSON string, number, truth value or list of these is one of TOML, too.
        f"{key} = {json.dumps(value, ensure_ascii=False)}"
        for key, value in values.items()
        if value is not None and not isinstance(value, Mapping)
    ]
    parts = [toml_section(f"{name}.{key}", value) for key, value in values.items() if isinstance(value, Mapping)]
    return "\n".join(lines) + "\n" + "".join(f"\n{part}" for part in parts)


def _values_text(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )


def _underlined(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace(".", "_"): value for name, value in values.items()}
