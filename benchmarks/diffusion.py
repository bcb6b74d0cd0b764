"""Fitting Bass: Noria beside the innovate package and beside scipy's curve_fit, on the same series; time and hold-out error.

1,000 simulated series with a seed: p about 0.01, q about 0.35, noise of 5 % of the peak; 20 periods seen, after which most have
turned, or 10, before which few have; 6 held out. Noria fits all at once and forecasts the median under what the data leave open; the series
are of one kind and learn of each other, and beside that stands Noria without it. innovate
(0.5, its SciPy fitter; its own predictions solve the equation by JAX) takes seconds to minutes a series, so it
gets some of them and its time is told per series. curve_fit of the closed form on what F gains in each period, one series
after another, is what one would write by hand; a fit of it that fails counts as persistence. Real series are
scored alike: published sales of ten years and monthly views of an article (NORIA_DATA).

innovate runs in an environment of its own. Error: mean absolute error of the held-out periods over the mean of those seen.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from .environments import python_of
from .line import Line, compare

SERIES, SEEN, EARLY, HELD = 1_000, 20, 10, 6
INNOVATE = "innovate 0.5, SciPy fitter, defaults"
INNOVATE_BEST = "innovate 0.5, SciPy fitter, start near the truth"
ALONE = "Noria, each series by itself"
CURVE_FIT = "scipy.optimize.curve_fit, closed form, one by one"
TEN_YEARS = [840, 1470, 2110, 4000, 7590, 10950, 10530, 9470, 7790, 5890]
"""Units sold a year (C. Wang, Understanding Bass Diffusion Model with R, 2013)."""


def simulated(size: int, seen: int = SEEN, seed: int = 0) -> np.ndarray[Any, Any]:
    """Return simulated sales, (size, seen + HELD)."""
    from noria.grow.forecast.levels.curves import BASS, Periods

    random = np.random.default_rng(seed)
    shapes = np.column_stack([random.normal(np.log(0.01), 0.8, size), random.normal(np.log(0.35), 0.35, size)])
    ceilings = random.lognormal(8, 1, (size, 1))
    sales = ceilings * Periods(np.arange(1.0, seen + HELD + 1), True).part(BASS, shapes)
    noisy: np.ndarray[Any, Any] = np.maximum(
        sales + random.normal(0, 0.05, sales.shape) * sales.max(1, keepdims=True), 0.0
    )
    return noisy


def noria(seen: np.ndarray[Any, Any], held: int, pooled: bool = True) -> np.ndarray[Any, Any]:
    """Return Noria's forecasts of all series, (series, held)."""
    from noria.grow.forecast.levels.diffusion import fit_many

    return fit_many(seen, "bass").expected(held, pooled=pooled)


def one_by_one(seen: np.ndarray[Any, Any], held: int) -> np.ndarray[Any, Any]:
    """Return curve_fit's forecasts."""
    from scipy.optimize import OptimizeWarning, curve_fit

    def gained(t: Any, p: float, q: float, m: float) -> Any:
        def reached(at: Any) -> Any:
            fading = np.exp(-(p + q) * at)
            return (1 - fading) / (1 + q / p * fading)

        return m * (reached(t) - reached(t - 1))

    found = np.empty((len(seen), held))
    times = np.arange(1.0, seen.shape[1] + 1)
    ahead = times[-1] + np.arange(1.0, held + 1)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", OptimizeWarning)
        for row, sales in enumerate(seen):
            bounds = ([1e-6, 1e-6, sales.sum() * 0.5], [1.0, 3.0, np.inf])
            try:
                best, _ = curve_fit(gained, times, sales, p0=(0.01, 0.3, sales.sum() * 1.5), bounds=bounds)
                found[row] = gained(ahead, *best)
            except RuntimeError:
                found[row] = sales[-1]
    return found


def innovate(seen: np.ndarray[Any, Any], held: int, best: bool) -> tuple[np.ndarray[Any, Any], list[float]]:
    """Return innovate's forecasts and its seconds, series by series, from a process of its own environment."""
    python = python_of("innovate", "innovate[jax]==0.5.0")
    task = json.dumps({"seen": seen.tolist(), "held": held, "best": best})
    script = Path(__file__).with_name("diffusion_peer.py")
    run = subprocess.run(
        [python, "-P", "-W", "ignore", str(script)], input=task, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise RuntimeError(f"innovate failed: {(run.stderr.strip().splitlines() or ['no words'])[-1]}")
    told = json.loads(run.stdout.strip().splitlines()[-1])
    return np.array(told["forecasts"]), told["seconds"]


def errors(forecast: np.ndarray[Any, Any], table: np.ndarray[Any, Any], held: int) -> np.ndarray[Any, Any]:
    """Return each series' error, (series,)."""
    scale = table[:, :-held].mean(1)
    found: np.ndarray[Any, Any] = np.maximum(np.abs(forecast - table[:, -held:]).mean(1) / scale, 1e-9)
    return found


def measure(*, quick: bool) -> list[Line]:
    """Return time and hold-out error against each peer; quick gives innovate one series, else six."""
    lines = []
    for seen in (SEEN, EARLY):
        lines += _against_curve_fit(seen, 2 if quick else 5)
    lines += real_lines(quick=quick)
    table, some = simulated(SERIES), 1 if quick else 6
    what = f"simulated, {SEEN} periods seen, {HELD} held out"
    mine = errors(noria(table[:, :-HELD], HELD), table, HELD)[:some].tolist()
    ours = lines[0].noria
    for name, best in ((INNOVATE, False), (INNOVATE_BEST, True)):
        if quick and best:
            continue
        print(f"diffusion: {name}, {some} series", file=sys.stderr)
        peer, seconds = innovate(table[:some, :-HELD], HELD, best)
        lines += [
            compare(
                "diffusion",
                f"fit and forecast, a series ({what})",
                [ours] * some,
                seconds,
                name,
                "s",
                higher_is_better=False,
            ),
            compare(
                "diffusion",
                f"hold-out error, {some} series ({what})",
                mine,
                errors(peer, table[:some], HELD).tolist(),
                name,
                "of the mean seen",
                higher_is_better=False,
            ),
        ]
    return lines


def _against_curve_fit(periods: int, repeats: int) -> list[Line]:
    table = simulated(SERIES, periods)
    seen = table[:, :-HELD]
    noria(seen, HELD)  # the first call loads what all calls share
    ours, theirs = [], []
    for number in range(repeats):
        start = time.perf_counter()
        forecast = noria(seen, HELD)
        ours.append((time.perf_counter() - start) / SERIES)
        start = time.perf_counter()
        by_hand = one_by_one(seen, HELD)
        theirs.append((time.perf_counter() - start) / SERIES)
        print(
            f"diffusion {number + 1}/{repeats}: {periods} periods, Noria {ours[-1] * SERIES:.2f} s, curve_fit {theirs[-1] * SERIES:.2f} s",
            file=sys.stderr,
        )
    what = f"simulated, {periods} periods seen, {HELD} held out"
    # Blocks of series, so that the interval is over means: the error of one series may be nearly nothing.
    blocks = np.array_split(np.arange(SERIES), 20)
    mine = errors(forecast, table, HELD)
    peers = {
        CURVE_FIT: by_hand,
        ALONE: noria(seen, HELD, pooled=False),
        "persistence": np.repeat(seen[:, -1:], HELD, 1),
    }
    return [
        compare(
            "diffusion",
            f"fit and forecast, a series of {SERIES:,} ({what})",
            ours,
            theirs,
            CURVE_FIT,
            "s",
            higher_is_better=False,
        ),
        *(
            compare(
                "diffusion",
                f"hold-out error, {SERIES:,} series ({what})",
                [mine[each].mean() for each in blocks],
                [errors(peer, table, HELD)[each].mean() for each in blocks],
                name,
                "of the mean seen",
                higher_is_better=False,
            )
            for name, peer in peers.items()
        ),
    ]


def real_lines(*, quick: bool) -> list[Line]:
    """Return the hold-out error on real series, the last quarter of each held out."""
    found: dict[str, list[float]] = {name: [] for name in ("noria", CURVE_FIT, INNOVATE, "persistence")}
    names = []
    for name, values in real().items():
        table = np.array([values])
        held = max(2, table.shape[1] // 4)
        names.append(f"{name}, {held} of {table.shape[1]}")
        seen = table[:, :-held]
        forecasts = {
            "noria": noria(seen, held),
            CURVE_FIT: one_by_one(seen, held),
            "persistence": np.repeat(seen[:, -1:], held, 1),
        }
        if not quick:
            forecasts[INNOVATE] = innovate(seen, held, best=False)[0]
        for peer, forecast in forecasts.items():
            found[peer].append(float(errors(forecast, table, held)[0]))
    what = f"hold-out error, real series ({'; '.join(names)})"
    return [
        compare("diffusion", what, found["noria"], values, name, "of the mean seen", higher_is_better=False)
        for name, values in found.items()
        if name != "noria" and values
    ]


def real() -> dict[str, list[float]]:
    """Return real series of sales and of attention."""
    series: dict[str, list[float]] = {"sales of ten years": [float(value) for value in TEN_YEARS]}
    file = Path(os.environ.get("NORIA_DATA", "")) / "market" / "wikipedia-chatgpt.csv"
    if file.is_file():
        with file.open(encoding="utf-8", newline="") as stream:
            # The first month may not be a full one.
            series["views of ChatGPT's article"] = [float(row["views"]) for row in csv.DictReader(stream)][1:]
    return series
