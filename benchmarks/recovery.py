"""Simulated recovery: do 90 % intervals cover 87 to 93 of a hundred truths? Every figure here is of simulated data.

Each model meets data that were made by its own equations, with a seed: Bass (p, q, ceiling, and what comes), even and
proportional noise; shares by persistence, drift, attraction, structural log-ratios and rivalry (what comes after three
periods); Lotka-Volterra (effects, and what comes); Norton-Bass; cohorts. The value is the part of truths inside, its interval
Wilson's, beside the 0.9 that was promised. Truths of one simulation hang together (three parameters, several shares), so the interval counts simulations.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .line import Line, machine

PROMISED = 0.9
_BARS = ("part of truths inside 90 % intervals, simulated, Norton-Bass: parameters",)
"""Measures that an issue set a bar for."""


def measure(*, quick: bool) -> list[Line]:
    """Return a line for each kind of truth; quick simulates a tenth."""
    size = 100 if quick else 1_000
    lines = []
    for name, simulate in SIMULATIONS.items():
        found: dict[str, list[Any]] = {}
        for seed in range(size):
            for what, inside in simulate(seed).items():
                found.setdefault(what, []).append(np.mean(inside))
        print(
            f"recovery: {name}: " + ", ".join(f"{what} {np.mean(each):.3f}" for what, each in found.items()),
            file=sys.stderr,
        )
        lines += [_line(f"simulated, {name}: {what}", float(np.mean(each)), size) for what, each in found.items()]
    return lines + [replace(line, peer_name="wanted: 0.90") for line in lines if line.measure in _BARS]


def _line(measure_: str, part: float, n: int) -> Line:
    from noria.core.figure import proportion

    interval = proportion(measure_, round(part * n), n)
    assert interval.low is not None
    assert interval.high is not None
    return Line(
        "recovery",
        f"part of truths inside 90 % intervals, {measure_}",
        part,
        PROMISED,
        "what the interval promises",
        "",
        part / PROMISED,
        n,
        interval.low / PROMISED,
        interval.high / PROMISED if interval.high else math.nan,
        machine(),
    )


def _bass(proportional: bool) -> Callable[[int], dict[str, Any]]:
    def simulate(seed: int) -> dict[str, Any]:
        from noria.grow.forecast.levels.adoption import fit_one
        from noria.grow.forecast.levels.curves import BASS, Periods
        from noria.grow.forecast.levels.problem import Noise

        random = np.random.default_rng(seed)
        truth = np.array([random.lognormal(np.log(0.02), 0.4), random.lognormal(np.log(0.4), 0.25), 1000.0])
        sales = 1000 * Periods(np.arange(1.0, 18.0), True).part(BASS, np.log(truth[None, :2]))[0]
        if proportional:
            sales = sales * np.exp(random.normal(0, 0.1, 17))
        else:
            sales = np.maximum(sales + random.normal(0, 0.03 * sales.max(), 17), 0.0)
        one = fit_one(sales[:14], noises=(Noise(proportional),))
        ends = np.array(list(one.intervals.values()))
        low, high = one.ahead(3, draws=800, seed=seed).interval(PROMISED)
        inside = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
        return {
            "p": inside[0],
            "q": inside[1],
            "ceiling": inside[2],
            "what comes": (low <= sales[14:]) & (sales[14:] <= high),
        }

    return simulate


def _shares(model: str) -> Callable[[int], dict[str, Any]]:
    def simulate(seed: int) -> dict[str, Any]:
        from datetime import date

        from noria.grow.forecast.shares.attraction import shares_of
        from noria.grow.forecast.shares.baseline import MODELS
        from noria.grow.market.labels import OTHER
        from noria.grow.market.share import Shares
        from noria.grow.series.calendars import following
        from noria.grow.series.series import Provenance

        random = np.random.default_rng(seed)
        root = np.linalg.cholesky(np.full((3, 3), 0.3) + 0.7 * np.eye(3)) * 0.06
        fresh = [random.standard_normal((43, 3)) @ root.T for _ in range(3)]
        level = np.array([-0.3, -0.9, -1.5]) + np.cumsum(fresh[0], 0)
        if model == "drift":
            level = level + np.outer(np.arange(43), random.normal(0, 0.03, 3))
        if model in ("attraction", "structural"):
            level = level + 0.5 * fresh[1]
        if model == "rivalry":
            effects = random.normal(0, 0.06, (4, 3))
            state = level[0]
            rows = [state]
            for step in range(1, 43):
                state = state + shares_of(state) @ effects + fresh[0][step]
                rows.append(state)
            level = np.array(rows)
        values = shares_of(level)
        times = ("2020-01", *following(["2020-01"], 42))
        market = Shares(
            times[:40],
            ("a", "b", "c", OTHER),
            values[:40],
            "share",
            Provenance("simulated", "CC0", date(2026, 1, 1)),
            1e-6,
        )
        low, high = MODELS[model](market).ahead(3, draws=800, seed=seed).interval(PROMISED)
        return {"shares three periods ahead": (low[-1] <= values[42]) & (values[42] <= high[-1])}

    return simulate


def _rivals(seed: int) -> dict[str, Any]:
    from scipy.integrate import solve_ivp

    from noria.grow.forecast.joint.competition import fit_rivals

    growth = np.array([0.5, 0.4, 0.3])
    effects = np.array([[-0.005, -0.002, 0.0], [-0.003, -0.004, 0.0], [0.0, -0.001, -0.006]])
    random = np.random.default_rng(seed)
    logs = np.log([5.0, 3.0, 8.0])
    rows = [logs]
    for _ in range(32):
        run = solve_ivp(lambda _, state: growth + effects @ np.exp(state), (0, 1), logs, rtol=1e-6)
        logs = run.y[:, -1] + 0.05 * random.standard_normal(3)
        rows.append(logs)
    rivals = np.exp(rows)
    fitted = fit_rivals(rivals[:30])
    truth = np.column_stack([growth, effects])
    low, high = np.quantile(fitted.ahead(3, draws=500, seed=seed), [0.05, 0.95], axis=0)
    return {
        "effects": (fitted.low <= truth) & (truth <= fitted.high),
        "what comes": (low <= rivals[30:]) & (rivals[30:] <= high),
    }


def _generations(memory: float) -> Callable[[int], dict[str, Any]]:
    return lambda seed: _replaced(seed, memory)


def _replaced(seed: int, memory: float) -> dict[str, Any]:
    from noria.grow.forecast.joint.generations import fit_generations, in_use

    launches, rates = np.array([0.0, 20.0, 40.0]), np.tile([[0.01, 0.25]], (3, 1))
    truth = in_use(rates, np.array([100.0, 50.0, 80.0]), launches, np.arange(1.0, 51.0))
    noise = np.random.default_rng(seed).normal(0, 1.5, truth.shape)
    for row in range(1, len(noise)):
        noise[row] = memory * noise[row - 1] + math.sqrt(1 - memory**2) * noise[row]
    seen = np.maximum(truth + noise, 0.0)
    figures = fit_generations(seen, launches.tolist()).figures(PROMISED)
    values = [0.01, 0.25, 100.0, 50.0, 80.0]
    return {
        "parameters": [
            f.low is None or f.low <= value <= (f.high or math.inf) for f, value in zip(figures, values, strict=True)
        ]
    }


def _cohorts(seed: int) -> dict[str, Any]:
    from noria.grow.forecast.levels.cohorts import active_of, cohort_model
    from noria.grow.forecast.levels.levels import Levels
    from noria.grow.series.calendars import following

    random = np.random.default_rng(seed)
    triangle = np.full((18, 18), np.nan)
    sizes = np.rint(500 * np.exp(np.cumsum(random.normal(0, 0.1, 18)))).astype(int)
    for cohort in range(18):
        ages = np.arange(18 - cohort)
        triangle[cohort, : len(ages)] = random.binomial(
            sizes[cohort], np.where(ages == 0, 1.0, 0.4 * np.maximum(ages, 1) ** -0.5)
        )
    active = active_of(triangle)
    history = Levels(("2020-01", *following(["2020-01"], 14)), active[:15], "level")
    low, high = cohort_model(triangle)(history, 3, 800, seed).interval(PROMISED)
    return {"what comes": (low <= active[15:]) & (active[15:] <= high)}


SIMULATIONS: dict[str, Callable[[int], dict[str, Any]]] = {
    "Bass, even noise": _bass(False),
    "Bass, proportional noise": _bass(True),
    **{f"shares, {model}": _shares(model) for model in ("persistence", "drift", "attraction", "structural", "rivalry")},
    "Lotka-Volterra": _rivals,
    "Norton-Bass": _generations(0.0),
    "Norton-Bass, noise that lasts": _generations(0.7),
    "cohorts": _cohorts,
}
