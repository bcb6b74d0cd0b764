"""What a run of fine-tuning would take and reach here, asked before it is begun: nothing is trained, and nothing is written.

    advice = advise(task_for("classify"), base, train, FinetuneSettings(minutes=5), report)
    advice.recipe, advice.minutes, advice.memory_bytes, advice.to_beat

It begins as the run itself does: rows are read and encoded, the light baseline is fitted, a pass and a step are timed on a real batch,
and the recipe is chosen by them. The score is no forecast: it is what the baseline reaches on the valid rows, which a model is worth
having for where it is beaten; a run says what it reached itself.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

from noria.core.errors import SettingError
from noria.core.messages import message
from noria.core.progress import Report
from noria.infer.device import place_of
from noria.make.evaluate.card import figures_of
from noria.make.training.advice import Advice
from noria.make.training.loop.budget import Budget
from noria.make.training.loop.memory import MARGIN, forget_peak, free, peak, state_bytes, taken
from noria.make.training.settings import FinetuneSettings, RowSettings
from noria.tasks.task import Task

from .assess import hold
from .begin import Beginning, applies
from .choice import choose
from .ready import Ready, read_again, ready


def advise(
    task: Task,
    base: Path | None,
    train_file: Path,
    settings: FinetuneSettings,
    report: Report,
    *,
    valid_file: Path | None = None,
    reading: RowSettings | None = None,
) -> Advice:
    """Return what fine-tuning `base` on labelled rows would take; all is measured in about the time of a run's beginning.

    Args:
        task, base, train_file, valid_file, settings, reading: as of `recipe.finetune`.
        report: where rows, labels, leaks and the advice are told.

    Raises:
        RowError, InputError, FolderError: as the run would.
        SettingError: as the run would; or a base would have to be made first, by training.
    """
    if base is None and task.head == "seq2seq":
        raise SettingError(message("make.advice_from_nothing"), hint=message("commands.noria_build"))
    settings = settings.replace(body={**settings.body.model_dump(), "pairs": 0})
    # Of a run of so many steps too: measuring has its share of a budget.
    budget = Budget(60 * settings.minutes)
    with tempfile.TemporaryDirectory(prefix="noria-advise-") as place:
        work = Path(place) / ".advice.work"
        files = (train_file, valid_file, None)
        begins = ready(task, base, files, work, settings, reading or RowSettings(), report, budget)
        rows, light = begins.valid.rows, work.with_name("companion")
        wanted = settings.companion
        held = hold(begins.task, begins.training, rows, budget, Report.silent(), light, wanted=wanted)
        budget.again = read_again(begins.task, tested=False)
        advice = _advice(begins, work, budget)
    for name, answers in list(held.others.items())[:1]:
        for figure in figures_of(begins.task, rows, answers, source=train_file.name)[:1]:
            advice = replace(advice, to_beat=replace(figure, note=name))
    for line in advice.lines(train_file.name):
        report.plan(line)
    if advice.to_beat is not None:
        report.ledger(advice.to_beat.line(), **advice.to_beat.as_record())
    return advice


def _advice(begins: Ready, work: Path, budget: Budget) -> Advice:
    """Return what is measured of a run that is ready."""
    settings, training, module = begins.settings, begins.training, begins.module
    reader = applies(module, begins.task, settings)
    beginning = Beginning(begins.task, module, reader, training, begins.valid, work, settings, budget)
    place = place_of(module)
    forget_peak(place)
    with budget.part("measuring"):
        costs = beginning.measure_costs()
    # Weights, activations and gradients were held; the optimiser's two means come to twice the gradients.
    memory = int(MARGIN * (max(taken(place), peak(place)) + 2 * state_bytes(module) / 3))
    recipe = None
    if reader is not None:
        available, by_token = partial(beginning.available, costs), begins.task.head == "token"
        recipe = choose(costs, available, wanted=settings.recipe, by_token=by_token)
    epoch, minutes = costs.epoch(costs.depth, costs.depth), settings.minutes
    # Judging and figures are reckoned with where a recipe is chosen; else a third of the budget is left to them.
    left = beginning.available(costs, costs.depth) if reader is not None else 40 * settings.minutes
    full = left / epoch
    if settings.steps is not None:
        full = settings.steps / beginning.steps_an_epoch()
        minutes = full * epoch / 60
    told = None if recipe is None else recipe.text(costs.depth, full, settings.minutes)
    return Advice(
        rows=len(training.rows),
        valid_rows=len(begins.valid.rows),
        minutes=minutes,
        epochs=full if recipe is None else recipe.epochs,
        epoch_minutes=epoch / 60,
        memory_bytes=memory,
        free_bytes=free(place),
        recipe=told,
    )
