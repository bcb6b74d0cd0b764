"""The series on which the gate of forecasts is judged: real ones at hand, read where they lie, and simulated ones, named so.

A case is a window of one series: what the gate sees, and what came after. Windows of one series never lie in different
halves: the half is that of the SHA-256 of the series' name. Real series: shared data (NORIA_DATA), the data sets of
statsmodels that its authors put in the public domain (copper and interest_inflation, which say otherwise, are left out),
monthly prices of shares in Matplotlib's sample data (Yahoo Finance, read in place), and weekly purchases of CDNOW.
"""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from noria.grow.market.share import Shares
    from noria.grow.series.series import Floats

SEEN = 36
"""Periods that the gate sees."""
AFTER = 12
"""Periods that came after."""


@dataclass(frozen=True)
class Case:
    """A window of one series."""

    series: str
    place: int
    """Which window of the series."""
    values: Floats
    """(SEEN + AFTER,) amounts, or (..., K) shares."""
    simulated: bool
    market: Shares | None = None
    """The market, where the values are shares."""

    @property
    def half(self) -> str:
        """Return whether thresholds were chosen on the series, or what is told was measured on it."""
        return "chosen on" if hashlib.sha256(self.series.encode()).digest()[0] % 2 else "told"


def level_cases(*, most: int) -> list[Case]:
    """Return windows of amounts, at most `most` a series."""
    found = []
    for name, values, simulated in (*_real(), *_simulated()):
        known = np.asarray(values, dtype=np.float64)
        for place, start in enumerate(_starts(len(known), most)):
            window = known[start : start + SEEN + AFTER]
            if not np.isnan(window).any() and (window >= 0).all() and np.ptp(window[:SEEN]) > 0:
                found.append(Case(name, place, window, simulated))
    return found


def _starts(size: int, most: int) -> list[int]:
    """Return where windows begin: as many as do not overlap, the last one at the end."""
    length = SEEN + AFTER
    count = min(most, size // length)
    return (
        []
        if not count
        else [round(place) for place in np.linspace((size - length) * (count == 1), size - length, count)]
    )


def _real() -> Iterator[tuple[str, Any, bool]]:
    yield from ((f"{name} (statsmodels)", values, False) for name, values in _statsmodels())
    yield from ((f"{name} (Matplotlib)", values, False) for name, values in _stocks())
    yield "purchases a week (CDNOW)", _purchases(), False
    folder = Path(os.environ.get("NORIA_DATA", ""))
    if not (folder / "market").is_dir():
        return
    yield (
        "views of ChatGPT's article",
        [float(row["views"]) for row in _rows(folder / "market/wikipedia-chatgpt.csv")],
        False,
    )
    weekly = _rows(folder / "market/robyn-weekly.csv")
    for name in ("revenue", "competitor_sales_B", "newsletter"):
        yield f"Robyn, {name}", [float(row[name]) for row in weekly], True  # simulated by its authors
    for ticker in ("AAPL", "AMZN", "CRM", "FB", "GOOG", "IBM"):
        yield from ((f"tweets on {ticker} {name}", values, False) for name, values in _tweets(folder, ticker))


def _statsmodels() -> Iterator[tuple[str, Any]]:
    def table(name: str, file: str | None = None) -> list[dict[str, str]]:
        return _rows(_package("statsmodels") / "datasets" / name / (file or f"{name}.csv"))

    macro = table("macrodata")
    for column in ("realgdp", "realcons", "realinv", "realgovt", "realdpi", "cpi", "m1", "tbilrate", "unemp", "pop"):
        yield f"macrodata {column}", [float(row[column]) for row in macro]
    yield "sunspots", [float(row["SUNACTIVITY"]) for row in table("sunspots")]
    yield "Nile", [float(row["volume"]) for row in table("nile")]
    yield "electrical equipment", [float(list(row.values())[1]) for row in table("elec_equip")]
    months = [name for name in table("elnino")[0] if name != "YEAR"]
    yield "El Niño", [float(row[month]) for row in table("elnino") for month in months]
    weeks = [(row["date"][:6], float(row["co2"])) for row in table("co2") if row["co2"]]
    yield "CO2 a month", _mean_by(weeks)
    danish = table("danish_data", "data.csv")
    for column in ("ibo", "ide"):
        yield f"Danish {column}", [float(row[column]) for row in danish]
    for column in ("lrm", "lry"):
        yield f"Danish {column}, exponential", np.exp([float(row[column]) for row in danish])


def _stocks() -> Iterator[tuple[str, Any]]:
    rows = _rows(_package("matplotlib") / "mpl-data/sample_data/Stocks.csv", skip=1)
    for name in list(rows[0])[1:]:
        known = {row["Date"][:7]: float(row[name]) for row in rows if row[name]}
        yield f"{name} a month", list(known.values())


def _purchases() -> Any:
    path = _package("lifetimes") / "datasets/CDNOW_master.txt"
    days = [datetime.strptime(line.split()[1], "%Y%m%d") for line in path.read_text().splitlines()[1:] if line.split()]
    return np.bincount([(day - datetime(1997, 1, 1)).days // 7 for day in days])[:78]


def _tweets(folder: Path, ticker: str) -> Iterator[tuple[str, Any]]:
    (file,) = (folder / "monitor/nab-tweets").glob(f"*{ticker}*.csv")
    rows = _rows(file)
    for name, form in (("a day", "%Y-%m-%d"), ("in six hours", "%Y-%m-%d {}")):
        sums: dict[str, float] = {}
        for row in rows:
            time = datetime.fromisoformat(row["timestamp"])
            key = time.strftime(form).format(time.hour // 6)
            sums[key] = sums.get(key, 0.0) + float(row["value"])
        yield name, list(sums.values())[1:-1]  # the first and the last are cut off


def _package(name: str) -> Path:
    """Return where a package lies; it is read as data, and not imported."""
    found = find_spec(name)
    assert found is not None
    assert found.submodule_search_locations
    return Path(found.submodule_search_locations[0])


def _mean_by(pairs: Iterable[tuple[str, float]]) -> list[float]:
    found: dict[str, list[float]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return [float(np.mean(each)) for each in found.values()]


def _rows(path: Path, skip: int = 0) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        for _ in range(skip):
            next(stream)
        return list(csv.DictReader(stream))


def _simulated() -> Iterator[tuple[str, Any, bool]]:
    """Yield walks, walks with a pace, saturation, heavy tails, waves of noise, changes of regime and ramps that end."""
    periods = SEEN + AFTER
    for seed in range(16):
        random = np.random.default_rng(seed)
        normal = random.normal(0, 1, periods)
        spread = float(random.choice([0.02, 0.05, 0.1]))
        time = np.arange(periods)
        yield f"simulated walk {seed}", 100 * np.exp(np.cumsum(spread * normal)), True
        yield (
            f"simulated pace {seed}",
            100 * np.exp(np.cumsum(random.uniform(-0.6, 0.6) * spread + spread * normal)),
            True,
        )
        middle, rate = random.uniform(10, 50), random.uniform(0.1, 0.4)
        yield (
            f"simulated saturation {seed}",
            1000 / (1 + np.exp(-rate * (time - middle))) * np.exp(spread * normal / 2),
            True,
        )
        yield f"simulated heavy tails {seed}", 100 * np.exp(np.cumsum(spread * random.standard_t(3, periods))), True
        waves = spread * np.exp(np.cumsum(random.normal(0, 0.25, periods)))
        yield f"simulated waves of noise {seed}", 100 * np.exp(np.cumsum(waves * normal)), True
        turn = int(random.integers(12, periods - 6))
        paces = np.where(time < turn, 1.0, -1.0) * random.uniform(0.5, 1.5) * spread
        yield f"simulated turn {seed}", 100 * np.exp(np.cumsum(paces + spread * normal)), True
        ramp = np.where(time < random.integers(6, 14), random.uniform(0.5, 1.2), 0.0)
        yield (
            f"simulated ramp {seed}",
            100 * np.exp(np.cumsum(ramp * random.exponential(1, periods) + spread * normal)),
            True,
        )
