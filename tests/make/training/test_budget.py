"""Budgets: a run ends in its time whatever else the machine does, and a plan that was revised is followed bit for bit."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny_models import TEXTS, make_encoder
from torch import nn

from noria.core.errors import SettingError
from noria.core.folder import read_manifest
from noria.core.progress import MetricsLog, Report
from noria.machine import Machine
from noria.make.tokens.batches import Batch
from noria.make.training.finetune.recipe import finetune
from noria.make.training.loop.budget import (
    ENDING,
    OVER,
    START,
    Budget,
    Timed,
    fit_plan,
    measure_judging,
    measure_speed,
)
from noria.make.training.loop.loop import train
from noria.make.training.loop.plan import Plan, Revision, read_plan
from noria.make.training.loop.result import Evaluation, TrainResult
from noria.make.training.pretrain.recipe import pretrain
from noria.make.training.settings import (
    FinetuneSettings,
    ModelSettings,
    OptimizerSettings,
    PretrainSettings,
    TrainSettings,
)
from noria.tasks.task import task_for
from tests.make.training.training_runs import KINDS, Setup, classify_run


@pytest.fixture(scope="module", autouse=True)
def nothing_old_is_collected() -> Iterator[None]:
    """Every run looks through all objects there are; those that other tests left behind would be most of its time."""
    gc.freeze()
    yield
    gc.unfreeze()


TOKEN, ROW = 2e-3, 0.02
"""Seconds of a token trained and of a row judged, while nothing else runs."""
MACHINE = Machine("fp32", 1, 1e9, 1e9)


@dataclass
class World:
    """A machine whose clock moves by what is computed, and by how busy it is then."""

    busy: Callable[[float], float] = lambda now: 1.0
    """Seconds since the beginning -> how many times as long everything takes."""
    now: float = 0.0
    judged: list[int] = field(default_factory=list)
    rows: int = 4000

    def clock(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds * self.busy(self.now)

    def of(self, rows: int) -> World:
        return _Fewer(self, rows)  # type: ignore[return-value]

    def __call__(self, module: nn.Module) -> Evaluation:
        return self.of(self.rows)(module)


@dataclass
class _Fewer:
    world: World
    rows: int

    def __call__(self, module: nn.Module) -> Evaluation:
        self.world.judged.append(self.rows)
        self.world.work(ROW * self.rows)
        return Evaluation(-float(sum(p.detach().abs().sum() for p in module.parameters())))


class _Batches:
    """Steps of 150 to 350 tokens; nothing in them."""

    fingerprint, tokens_per_step, steps_per_epoch = "none", 250.0, 0.0

    def at(self, step: int) -> list[Batch]:
        return [Batch({"input_ids": torch.ones(8, 2, dtype=torch.long)}, [step], 150 + 37 * step % 200)]


def small() -> Setup:
    """One weight, whose steps take no time of ours."""
    torch.manual_seed(0)
    module = nn.Linear(1, 1)
    return Setup(
        module, _Batches(), lambda module, batch: ((module.weight**2).sum(), 1.0), lambda module: Evaluation(0.0)
    )


def run(
    world: World,
    work: Path,
    seconds: float,
    *,
    setup: Setup | None = None,
    broken: Callable[[int], bool] = lambda step: False,
    steps: int | None = None,
) -> tuple[TrainResult, Budget]:
    """Train beside the world; after the last step figures are made of 500 rows. A step that is `broken` raises."""
    setup, often = setup or small(), setup is not None
    budget = Budget(None if steps else seconds, world.clock, before=4.0)
    budget.final_rows, budget.again, budget.final_seconds = 500, 1, 1.0

    def objective(module: nn.Module, batch: Batch) -> tuple[torch.Tensor, float]:
        if broken(max((one["step"] for one in MetricsLog(work / "metrics.jsonl").read()), default=0)):
            raise KeyboardInterrupt
        world.work(TOKEN * batch.tokens)
        return setup.objective(module, batch)

    settings = TrainSettings(
        seed=11,
        steps=steps,
        seconds=seconds,
        number_type="fp32",
        evaluations=3,
        checkpoint_seconds=1e-9 if often else 1000.0,
        checkpoint_share=1.0,
        optimizer=OptimizerSettings(learning_rate=3e-3),
    )
    result = train(
        setup.module,
        setup.batches,
        objective,
        settings,
        work,
        Report.silent(),
        world,
        after_step=setup.after_step,
        budget=budget,
    )
    world.work(1.0 + ROW * (500 * result.plan.final_share + (result.plan.judged_rows or 0)))
    return result, budget


BUSY: dict[str, Callable[[float], float]] = {
    "quiet": lambda now: 1.0,
    "busy throughout": lambda now: 2.5,
    "busy until midway": lambda now: 2.0 if now < 45 else 1.0,
    "busy from a third on": lambda now: 1.0 if now < 30 else 2.0,
    "a little slower than measured": lambda now: 1.0 if now < 8 else 1.25,
    "slower and slower": lambda now: 1.0 + now / 45,
    "in turns": lambda now: 2.5 if int(now / 9) % 2 else 1.0,
}


@pytest.mark.parametrize("name", BUSY)
def test_a_run_ends_in_its_time_whatever_else_the_machine_does(name: str, tmp_path: Path) -> None:
    world = World(BUSY[name])
    result, _ = run(world, tmp_path, 90.0)
    assert 0.7 * 90 < world.now < OVER * 90 + START
    assert result.curves["valid"][-1][0] == result.steps
    assert bool(result.plan.revisions) == (name not in ("quiet", "busy throughout"))


@pytest.mark.parametrize("seconds", [3.0, 15.0, 30.0])
def test_a_small_budget_is_kept_too(seconds: float, tmp_path: Path) -> None:
    world = World(lambda now: 1.0 if now < 0.3 * seconds else 2.0)
    run(world, tmp_path, seconds)
    assert world.now < OVER * seconds + START


def test_a_plan_made_in_a_busy_moment_is_mended(tmp_path: Path) -> None:
    quiet, _ = run(World(), tmp_path / "quiet", 90.0)
    plan = tmp_path / "busy" / "plan.json"
    world = World(lambda now: 1.0 if plan.exists() else 6.0)
    result, _ = run(world, tmp_path / "busy", 90.0)
    assert result.plan.first_steps < quiet.steps / 3
    assert result.steps > 0.6 * quiet.steps  # of what measuring in that moment has left of the time
    assert world.now < OVER * 90 + START


@pytest.mark.parametrize("slower", [1, 4, 12])
def test_measuring_takes_little_on_slow_machines_too(slower: int, tmp_path: Path) -> None:
    """A twentieth of the budget; where a single step takes longer than that, half a step and a few rows judged."""
    _, budget = run(World(lambda now: slower), tmp_path, 60.0)
    step, judged = slower * TOKEN * 250, slower * ROW * 8
    assert budget.parts["measuring"] < max(0.1 * 60, step / 2 + 2 * judged) * 1.1


@given(st.floats(1, 600), st.floats(0, 60), st.floats(10, 1e5), st.floats(0, 1), st.integers(0, 3000))
def test_a_plan_that_is_made_fits_its_budget(
    seconds: float, spent: float, speed: float, row_seconds: float, rows: int
) -> None:
    budget = Budget(seconds, lambda: spent, before=5.0)
    budget.began, budget.final_rows, budget.again, budget.final_seconds = 0.0, 500.0, 1, 1.0
    try:
        plan = fit_plan(Plan("", 1, MACHINE, 0.0), budget, Timed(speed, row_seconds, rows), 4, 250.0)
    except SettingError:
        return
    judging = min(4, plan.steps) * plan.evaluation_seconds
    end = spent + plan.steps * 250 / speed + judging + plan.after_seconds
    assert end < OVER * seconds + START - 5.0 - ENDING + 1e-6
    assert end < plan.seconds + 1e-6
    assert plan.steps > 0


def test_calibration_fixes_the_steps_and_changes_nothing_else(tmp_path: Path) -> None:
    result, _ = run(World(), tmp_path / "seconds", 20.0, setup=classify_run())
    assert not result.plan.revisions
    run(World(), tmp_path / "steps", 20.0, steps=result.steps, setup=classify_run())
    told = [
        [one["loss"] for one in MetricsLog(tmp_path / name / "metrics.jsonl").read() if "loss" in one]
        for name in ("seconds", "steps")
    ]
    assert told[0] == told[1]


def ended(work: Path) -> tuple[dict[str, torch.Tensor], str]:
    return load_file(work / "checkpoint.safetensors"), (work / "metrics.jsonl").read_text()


@pytest.mark.parametrize("kind", ["classify", "adalora"])
def test_a_revised_plan_is_followed_bit_for_bit_wherever_the_run_is_killed(kind: str, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    result, _ = run(World(lambda now: 3.0 if int(now / 5) % 2 else 1.0), whole, 30.0, setup=KINDS[kind]())
    revisions = result.plan.revisions
    assert len(revisions) >= 2
    for place, step in enumerate(
        {1, revisions[0].step, revisions[-1].step - 1, min(revisions[-1].step + 1, result.steps - 1)}
    ):
        work = tmp_path / str(place)
        work.mkdir()
        shutil.copy(whole / "plan.json", work)
        # A clock that stands still revises nothing: what is written is what is done.
        frozen = World(lambda now: 0.0)
        with pytest.raises(KeyboardInterrupt):
            run(frozen, work, 30.0, setup=KINDS[kind](), broken=lambda done, step=step: done >= step)
        again, _ = run(frozen, work, 30.0, setup=KINDS[kind]())
        assert again.plan == result.plan
        assert set(frozen.judged) == {result.plan.judged_rows}
        (ours, records), (theirs, wanted) = ended(work), ended(whole)
        assert records == wanted
        assert all(torch.equal(tensor, ours[name]) for name, tensor in theirs.items())


def test_a_revision_is_written_before_it_is_used(tmp_path: Path) -> None:
    world, seen = World(BUSY["busy until midway"]), []

    def broken(done: int) -> bool:
        plan = read_plan(tmp_path)
        seen.append((done, plan.revisions if plan else ()))
        return False

    result, _ = run(world, tmp_path, 90.0, broken=broken)
    for one in result.plan.revisions:
        assert all(one in revisions for done, revisions in seen if done > one.step)


revised_plans = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 60)), min_size=0, max_size=4).map(
    lambda parts: _plan_of(parts)
)


def _plan_of(parts: list[tuple[int, int]]) -> Plan:
    """A plan of 20 steps, revised so many steps later to so many more."""
    plan = Plan("", 20, MACHINE, 100.0)
    for after, more in parts:
        step = (plan.revisions[-1].step if plan.revisions else 0) + after
        if step < plan.steps:
            plan = replace(plan, steps=step + more, revisions=(*plan.revisions, Revision(step, plan.steps, 1.0)))
    return plan


@given(revised_plans, st.integers(1, 7))
def test_progress_rises_evenly_and_what_lies_before_a_revision_stays(plan: Plan, count: int) -> None:
    shares = [plan.progress(step) for step in range(plan.steps + 1)]
    assert shares[0] == 0
    assert shares[-1] == 1
    assert all(one < two for one, two in pairwise(shares))
    evaluations = plan.evaluation_steps(count)
    assert evaluations == sorted(evaluations)
    assert evaluations[-1] == plan.steps
    if plan.revisions:
        last = plan.revisions[-1]
        older = replace(plan, steps=last.before, revisions=plan.revisions[:-1])
        assert [older.progress(step) for step in range(last.step + 1)] == pytest.approx(shares[: last.step + 1])
        assert [one for one in older.evaluation_steps(count) if one < last.step] == [
            one for one in evaluations if one < last.step
        ]


def test_judging_takes_its_share_and_the_figures_are_foreseen(tmp_path: Path) -> None:
    world = World(rows=100_000)
    result, _ = run(world, tmp_path, 90.0)
    assert 0.05 * 90 < sum(world.judged[-3:]) * ROW < 0.2 * 90
    assert len(set(world.judged[-3:])) == 1
    assert result.plan.judged_rows == world.judged[-1]
    assert result.plan.after_seconds >= ROW * (500 + world.judged[-1])


def test_more_test_rows_than_fit_are_judged_in_part() -> None:
    budget = Budget(60.0, lambda: 0.0)
    budget.final_rows = 1_000_000
    plan = fit_plan(Plan("", 1, MACHINE, 0.0), budget, Timed(1000.0, 0.01, 50), 3, 100.0)
    assert 0 < plan.final_share * 1_000_000 * 0.01 <= 0.4 * 60 + 1
    assert plan.steps * 0.1 + plan.after_seconds < 60


def test_a_budget_that_is_over_before_the_first_step_is_one_line() -> None:
    budget = Budget(3.0, lambda: 100.0)
    budget.began = 0.0
    with pytest.raises(SettingError, match=r"a budget of 3\.0 s is over before.*give 2\.\d minutes") as caught:
        fit_plan(Plan("", 1, MACHINE, 0.0), budget, Timed(1000.0, 0.01, 50), 3, 100.0)
    assert "\n" not in str(caught.value)


def test_what_has_no_time_left_is_not_measured_first(tmp_path: Path) -> None:
    world, setup = World(), small()
    budget = Budget(15.0, world.clock)
    world.now = 40.0
    with pytest.raises(
        SettingError, match=r"a budget of 15 s is over before the first step: 40 s went .* give 2\.0 minutes"
    ):
        train(
            setup.module,
            setup.batches,
            setup.objective,
            TrainSettings(seconds=15.0),
            tmp_path,
            Report.silent(),
            budget=budget,
        )
    assert world.now == 40.0


def test_one_slow_moment_does_not_shorten_the_run() -> None:
    world, taken = World(), []

    def take(number: int) -> int:
        world.now += 0.05 if len(taken) == 1 else 0.002  # the second step of all is slow, once
        taken.append(number)
        return 10

    assert measure_speed(take, 0.3, world.clock) == pytest.approx(10 / 0.002)


def test_judging_is_measured_on_as_many_rows_as_it_needs() -> None:
    world, asked = World(), []

    def judge(rows: int) -> None:
        asked.append(rows)
        world.now += 0.001 + 0.0001 * rows

    assert measure_judging(judge, 100_000, 0.05, world.clock) == pytest.approx(0.0001, rel=0.1)
    assert max(asked) < 5000


def test_the_shares_are_told_by_part() -> None:
    world = World()
    budget = Budget(60.0, world.clock)
    for name, seconds in (("reading", 3.0), ("training", 40.0), ("reading", 1.0)):
        with budget.part(name):
            world.now += seconds
    assert budget.text() == "44 s of 60 s: reading 4.0 s, training 40 s"
    assert json.loads(json.dumps(budget.facts())) == {"reading": 4.0, "training": 40.0}


REFUSED = re.compile(r"a budget of 0\.6 s is over before the first step: .*: give .* minutes or more.*")
"""Where others use the machine a second may be over before the first step."""


def forty(folder: Path, labels: str) -> Path:
    """40 rows of labels that are one letter each."""
    rows = [{"text": f"{TEXTS[n % len(TEXTS)]} {n}", "label": labels[n % len(labels)]} for n in range(40)]
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return file


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="threads are not bound to cores here")
@pytest.mark.parametrize("on", ["all cores", "one core"])
def test_forty_rows_and_no_time_are_a_plan_that_fits_or_one_line(on: str, tmp_path: Path) -> None:
    base, rows = make_encoder(tmp_path / "base", "embed", [], 2, compiled=False), forty(tmp_path, "ab")
    before, threads, refused = os.sched_getaffinity(0), torch.get_num_threads(), ""
    try:
        if on == "one core":
            os.sched_setaffinity(0, {min(before)})
            torch.set_num_threads(2)
        settings = FinetuneSettings(minutes=0.01, max_length=32, number_type="fp32")
        began = time.monotonic()
        model = finetune(task_for("classify"), base, rows, None, tmp_path / "model", settings, Report.silent())
        facts = read_manifest(model).facts
        assert facts["steps"] >= 1 or not facts["recipe"]["learning"]
        assert time.monotonic() - began < OVER * 0.6 + START
        assert on == "all cores" or torch.get_num_threads() == 1
    except SettingError as error:
        refused = str(error)
    finally:
        os.sched_setaffinity(0, before)
        torch.set_num_threads(threads)
    assert not refused or REFUSED.fullmatch(refused)


def test_forty_documents_and_no_time_are_a_plan_that_fits_or_one_line(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    for split, count in (("train", 30), ("valid", 5), ("test", 5)):
        lines = [json.dumps({"id": str(n), "text": f"{split} {TEXTS[n % len(TEXTS)]} {n}"}) for n in range(count)]
        (tmp_path / "corpus" / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = PretrainSettings(
        minutes=0.01,
        vocab_size=512,
        model=ModelSettings(parameters=160_000),
        context=32,
        tokens_per_step=128,
        number_type="fp32",
    )
    began, refused = time.monotonic(), ""
    try:
        model = pretrain(tmp_path / "corpus", tmp_path / "model", settings, Report.silent())
        assert read_manifest(model).facts["steps"] >= 1
        assert time.monotonic() - began < OVER * 0.6 + START
    except SettingError as error:
        refused = str(error)
    assert not refused or REFUSED.fullmatch(refused)
