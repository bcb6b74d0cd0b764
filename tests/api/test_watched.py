"""Work that may take long says how far it is to whoever listens: every such function of growth."""

from __future__ import annotations

import inspect
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import noria
from noria.core.progress import Report, listening
from noria.grow.forecast.levels.levels import Levels, backtest_levels, level_models
from noria.grow.promote.learners import qini
from noria.grow.promote.response import respond
from noria.grow.promote.simulated import advertising

LONG = {
    "users": noria.users,
    "share": noria.share,
    "forecast": noria.forecast,
    "report": noria.report,
    "experiment": noria.promote.experiment,
    "uplift": noria.promote.uplift,
    "budget": noria.promote.budget,
    "plan": noria.promote.plan,
}


def heard(work: Callable[[], Any]) -> dict[str, list[tuple[float, float | None]]]:
    """Return the stages of some work: how far each had come when it was last told of, and of how much."""
    stream = io.StringIO()
    with listening(Report("programs", stream)):
        work()
    stages: dict[str, list[tuple[float, float | None]]] = {}
    for line in stream.getvalue().splitlines():
        told = json.loads(line)
        stages.setdefault(told["title"], []).append((told["done"], told["total"]))
    return stages


@pytest.mark.parametrize("name", LONG)
def test_long_work_takes_a_listener(name: str) -> None:
    parameter = inspect.signature(LONG[name]).parameters["progress"]
    assert parameter.default is True
    assert "progress:" in (LONG[name].__doc__ or "")


def test_users_are_told_stage_by_stage(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("user,time\na,2026-01-01\nb,2026-01-09\na,2026-02-01\n")
    stream = io.StringIO()
    noria.users(log, progress=Report("programs", stream))
    titles = [json.loads(line)["title"] for line in stream.getvalue().splitlines()]
    assert {"reading the log", "growth accounting", "retention", "habits and needs"} <= set(titles)
    noria.users(log, progress=False)


def test_a_budget_tells_how_much_of_the_evidence_is_in() -> None:
    stages = heard(lambda: respond(advertising(40, seed=1).spend, draws=40, seed=0))
    for run in (1, 2):
        ((done, total),) = stages[f"what channels bring, run {run} of 2"]
        assert (done, total) == (pytest.approx(1.0), 1.0)


def test_a_back_test_counts_its_origins() -> None:
    values = np.array([3.0, 4.0, 5.0, 5.5, 6.0, 7.0, 8.0, 8.5])
    history = Levels(tuple(f"2025-{month:02d}" for month in range(1, 9)), values, "level", "a", "users")
    models = {name: model for name, model in level_models("").items() if name in ("persistence", "drift")}
    stages = heard(lambda: backtest_levels(history, horizon=2, models=models, draws=100))
    ((done, total),) = stages["back-test"]
    assert done == total
    assert total is not None
    assert total > 1


def test_a_bootstrap_counts_its_draws() -> None:
    random = np.random.default_rng(0)
    outcome, treated = random.random(400), random.random(400) < 0.5
    ((done, total),) = heard(lambda: qini(random.random(400), outcome, treated, draws=50))["bootstrap"]
    assert done == total
