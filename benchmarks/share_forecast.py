"""Share forecasts on real series: Noria's blend beside persistence, drift and statsforecast, back-tested from rolling origins.

Noria is the blend of its five models by weights learned on earlier origins only; which of the five is best is
not looked up afterwards. statsforecast (AutoETS and AutoARIMA, as documented, seasons of 12 where the months are there) forecasts each
log-ratio against the leader by itself, from the same windows, from an environment of its own; its normal densities
in log-ratios are scored as Noria's are, and its draws are turned into shares, so they sum to one as well. Levels (page views)
are scored in the same way in their logarithm.

Log score: nats a forecast, and as ratio the density that Noria gave to what came over the peer's. Energy score: points of
share. Coverage of 90 % intervals: the ratio is how far the peer missed 90 % over how far Noria did, one point
added to both. Intervals (95 %) are over origins, which overlap (Newey and West). Series (NORIA_DATA; each says what was left
out): chatbots (bundled; and as published, where the start of tracking is not marked), browsers (columns that do not overlap, monthly from
2008), generations of Windows (every second month, of which none was filled in), views of ChatGPT's article. Reports of users
are no back-test: of nine weekly figures of ChatGPT six were published only after the last but two, so no origin knew enough.
"""

from __future__ import annotations

import csv
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .environments import python_of
from .line import Line, machine

if TYPE_CHECKING:
    from noria.grow.forecast.levels.levels import Levels
    from noria.grow.forecast.scoring.standings import Backtest
    from noria.grow.market.share import Shares
    from noria.grow.series.series import Floats

HORIZON = 3
PEERS = {
    "AutoETS": "statsforecast 2.1 AutoETS, each log-ratio by itself",
    "AutoARIMA": "statsforecast 2.1 AutoARIMA, each log-ratio by itself",
}
BARS = {"persistence": "persistence (a random walk)", "drift": "drift"}
BROWSERS = ("AOL", "Chrome", "Internet Explorer", "Moz-All", "Opera", "Safari")
"""Mozilla, Netscape and Firefox are inside Moz-All."""


def measure(*, quick: bool) -> list[Line]:
    """Return three lines a series and peer; quick starts late, so that few origins are scored."""
    lines: list[Line] = []
    for name, market in markets().items():
        lines += _lines(name, _tested(name, market, quick), "points of share")
    for name, history in levels().items():
        lines += _lines(name, _tested_levels(name, history, quick), history.unit)
    return lines


def markets() -> dict[str, Shares]:
    """Return the real markets that are at hand."""
    from noria.grow.bundled import chatbot_shares
    from noria.grow.market.share import shares
    from noria.grow.series.series import read_series

    found = {"chatbots": shares(read_series(chatbot_shares()))}
    folder = Path(os.environ.get("NORIA_DATA", "")) / "market"
    if not folder.is_dir():
        print("share_forecast: NORIA_DATA names no folder: only the bundled series", file=sys.stderr)
        return found
    table = [(row["month"], row["brand"], row["share_percent"]) for row in _rows(folder / "chatbot-share.csv")]
    found["chatbots, as published"] = _market(table, "StatCounter")
    wide = [row for row in _rows(folder / "browser-share.csv") if row["Date"] >= "2008-01"]
    # An empty cell among columns that are told otherwise is a browser not listed any more; Chrome's zeros are before its launch.
    found["browsers"] = _market(
        [(row["Date"], name, row[name] or "0") for row in wide for name in BROWSERS], "W3Schools, browsers"
    )
    long = _rows(folder / "generations-windows.csv")
    filled = {row["month"] for row in long if row["interpolated"] == "1"}
    first = sorted({row["month"] for row in long})[0]
    kept = [row for row in long if _months(row["month"], first) % 2 == 0]
    assert not filled & {row["month"] for row in kept}, "a month that was filled in would be scored"
    names = sorted({row["generation"] for row in kept})
    cells = {(row["month"], row["generation"]): row["share_percent"] for row in kept}
    months = sorted({row["month"] for row in kept})
    found["generations of Windows"] = _market(
        [(month, name, cells.get((month, name), "0")) for month in months for name in names], "W3Schools, platforms"
    )
    return found


def levels() -> dict[str, Levels]:
    """Return the real levels that are at hand."""
    from noria.grow.forecast.levels.levels import Levels

    file = Path(os.environ.get("NORIA_DATA", "")) / "market" / "wikipedia-chatgpt.csv"
    if not file.is_file():
        return {}
    rows = list(_rows(file))[1:]  # the first month may not be a full one
    values = np.array([float(row["views"]) for row in rows])
    return {"views of ChatGPT's article": Levels(tuple(row["month"] for row in rows), values, "flow", "views", "views")}


def _market(table: Sequence[tuple[str, str, str]], source: str) -> Shares:
    from noria.grow.market.share import shares
    from noria.grow.series.series import Point, Provenance, Series

    points = sorted(
        (Point(time, name, "", "share", float(value), "percent") for time, name, value in table),
        key=lambda point: point.time,
    )
    return shares(Series(tuple(points), Provenance(source, "see the folder's note", date(2026, 1, 1))))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _months(time: str, first: str) -> int:
    (year, month), (start, begin) = (map(int, each.split("-")) for each in (time, first))
    return (year - start) * 12 + month - begin


@dataclass
class Peer:
    """statsforecast's forecasts of one series from every origin: what a model of shares must be to be back-tested."""

    answers: dict[int, tuple[Floats, Floats]]
    """Periods seen -> mean and standard deviation of each log-ratio, (horizon, P) each."""

    def __call__(self, market: Shares) -> PeerShares:
        """Return the forecast from the end of a window."""
        from noria.grow.forecast.shares.attraction import log_ratios

        _, present = log_ratios(market, market.values)
        return PeerShares(market, present, *self.answers[len(market.times)])

    def ahead(self, history: Levels, horizon: int, draws: int, seed: int) -> Any:
        """Return the outlook of a level whose logarithm was forecast."""
        from noria.grow.forecast.levels.outlook import Outlook

        mean, deviation = (each[:horizon, 0] for each in self.answers[len(history.times)])
        random = np.random.default_rng(seed)
        logs = mean + deviation * random.standard_normal((draws, horizon))
        tile: Callable[[Any], Any] = lambda values: np.tile(values, (draws, 1))  # noqa: E731
        return Outlook(np.exp(logs), tile(np.exp(mean)), tile(deviation), np.ones(draws))


@dataclass
class PeerShares:
    """statsforecast's forecast from one origin."""

    market: Shares
    present: tuple[int, ...]
    mean: Floats
    deviation: Floats
    random: Any = field(default=None)

    def ahead(self, horizon: int, *, draws: int = 1000, seed: int = 0) -> Any:
        """Return draws of shares."""
        from noria.grow.forecast.shares.attraction import ShareForecast, shares_of
        from noria.grow.series.calendars import following

        random = np.random.default_rng(seed)
        ratios = self.mean[:horizon] + self.deviation[:horizon] * random.standard_normal(
            (draws, horizon, self.mean.shape[1])
        )
        full = np.zeros((draws, horizon, len(self.market.entities)))
        full[:, :, list(self.present)] = shares_of(ratios)
        return ShareForecast(tuple(following(self.market.times, horizon)), self.market.entities, full, "statsforecast")

    def log_density(self, ratios: Floats, horizon: int) -> float:
        """Return the log density of log-ratios, taken for independent."""
        away = (ratios - self.mean[horizon - 1]) / self.deviation[horizon - 1]
        return float(np.sum(-0.5 * away**2 - np.log(self.deviation[horizon - 1]) - 0.5 * np.log(2 * np.pi)))


def _tested(name: str, market: Shares, quick: bool) -> Backtest:
    from noria.grow.forecast.shares.attraction import MINIMUM, log_ratios
    from noria.grow.forecast.shares.backtest import backtest
    from noria.grow.forecast.shares.baseline import MODELS

    start = _start(len(market.times), MINIMUM + 1, quick)
    windows = {}
    for seen in range(start, len(market.times)):
        window = type(market)(
            market.times[:seen],
            market.entities,
            market.values[:seen],
            market.base,
            market.provenance,
            market.resolution,
            market.flags,
            tuple(item for item in market.breaks if item[0] < seen),
        )
        windows[seen] = log_ratios(window, window.values)[0]
    peers = _asked(name, windows)
    ours = backtest(market, horizon=HORIZON, first=start)
    theirs = backtest(market, horizon=HORIZON, first=start, models={"persistence": MODELS["persistence"], **peers})
    return _joined(ours, theirs)


def _tested_levels(name: str, history: Levels, quick: bool) -> Backtest:
    from noria.grow.forecast.levels.levels import LEVEL_MODELS, backtest_levels

    start = _start(len(history.times), 8, quick)
    peers = _asked(name, {seen: np.log(history.values[:seen, None]) for seen in range(start, len(history.times))})
    ours = backtest_levels(history, horizon=HORIZON, first=start)
    theirs = backtest_levels(
        history,
        horizon=HORIZON,
        first=start,
        models={"persistence": LEVEL_MODELS["persistence"], **{key: peer.ahead for key, peer in peers.items()}},
    )
    return _joined(ours, theirs)


def _start(size: int, least: int, quick: bool) -> int:
    return max(least, size // 2, size - 8 if quick else 0)


def _joined(ours: Backtest, theirs: Backtest) -> Backtest:
    from noria.grow.forecast.scoring.standings import Backtest

    extra = tuple(trial for trial in theirs.trials if trial.model in PEERS)
    return Backtest(
        (*ours.trials, *extra), ours.standings, ours.horizon, ours.weights, {**ours.silent, **theirs.silent}
    )


def _asked(name: str, windows: dict[int, Floats]) -> dict[str, Peer]:
    """Return each peer's forecasts from every window of log-ratios; a gap inside a window is filled in by a line for it."""
    python = python_of("statsforecast", "statsforecast>=2.1,<2.2")
    tasks = [
        {"seen": seen, "columns": [_filled(column).tolist() for column in ratios.T]} for seen, ratios in windows.items()
    ]
    print(f"share_forecast: {name}: statsforecast from {len(tasks)} origins", file=sys.stderr)
    script = Path(__file__).with_name("share_forecast_peer.py")
    run = subprocess.run(
        [python, "-P", "-W", "ignore", str(script)],
        input=json.dumps({"tasks": tasks, "horizon": HORIZON, "models": list(PEERS)}),
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise RuntimeError(f"statsforecast failed: {(run.stderr.strip().splitlines() or ['no words'])[-1]}")
    told = json.loads(run.stdout.strip().splitlines()[-1])
    return {
        model: Peer(
            {
                int(seen): (np.array(mean).T, np.maximum(np.array(deviation).T, 1e-6))
                for seen, (mean, deviation) in answers.items()
            }
        )
        for model, answers in told.items()
    }


def _filled(column: Floats) -> Floats:
    known = np.flatnonzero(~np.isnan(column))
    filled = np.interp(np.arange(len(column)), known, column[known])
    return np.asarray(filled[known[0] :])


def _lines(name: str, test: Backtest, unit: str) -> list[Line]:
    from noria.grow.forecast.scoring.scores import BLEND

    for model in (*test.weights, BLEND, *PEERS):
        mine = [trial for trial in test.trials if trial.model == model]
        if mine:
            print(
                f"  {name}, {model}: log score {np.mean([t.log_score for t in mine]):.3f}, energy {np.mean([t.energy for t in mine]):.3f}, "
                f"90 % holds {np.mean([t.covered[-1] for t in mine]):.3f}, n {len(mine)}",
                file=sys.stderr,
            )
    ours = {(trial.origin, trial.horizon): trial for trial in test.trials if trial.model == BLEND}
    lines = []
    for model, told in {**BARS, **PEERS}.items():
        pairs = [(ours[trial.origin, trial.horizon], trial) for trial in test.trials if trial.model == model]
        if not pairs:
            print(f"  {name}: {model} took no part: {test.silent.get(model, 'no forecast')}", file=sys.stderr)
            continue
        origins = list(dict.fromkeys(trial.origin for trial, _ in pairs))

        def by_origin(of: Callable[[Any, Any], float], pairs: Any = pairs, origins: Any = origins) -> Floats:
            return np.array([np.mean([of(*pair) for pair in pairs if pair[0].origin == origin]) for origin in origins])

        def line(
            what: str, mine: float, theirs: float, of: str, logs: Floats, told: str = told, origins: Any = origins
        ) -> Line:
            middle, half = mean_interval(logs, HORIZON - 1)
            return Line(
                "share_forecast",
                f"{what}, {name}",
                mine,
                theirs,
                f"{told}; the ratio is Noria's blend over it",
                of,
                math.exp(middle),
                len(origins),
                math.exp(middle - half) if math.isfinite(half) else math.nan,
                math.exp(middle + half) if math.isfinite(half) and middle + half < 700 else math.nan,
                machine(),
            )

        held = [float(np.mean([pair[side].covered[-1] for pair in pairs])) for side in (0, 1)]
        lines += [
            line(
                "log score",
                float(np.mean([a.log_score for a, _ in pairs])),
                float(np.mean([b.log_score for _, b in pairs])),
                "nats",
                by_origin(lambda a, b: a.log_score - b.log_score),
            ),
            line(
                "energy score",
                float(np.mean([a.energy for a, _ in pairs])),
                float(np.mean([b.energy for _, b in pairs])),
                unit,
                by_origin(lambda a, b: math.log(b.energy / a.energy)),
            ),
            Line(
                "share_forecast",
                f"coverage of 90 % intervals, {name}",
                held[0],
                held[1],
                f"{told}; the ratio is how far off 90 %",
                "",
                (abs(held[1] - 0.9) + 0.01) / (abs(held[0] - 0.9) + 0.01),
                len(origins),
                math.nan,
                math.nan,
                machine(),
            ),
        ]
    return lines


def mean_interval(values: Floats, lags: int, level: float = 0.95) -> tuple[float, float]:
    """Return a mean and half its interval; forecasts that overlap share errors (Newey and West 1987)."""
    from scipy.stats import t

    size = values.size
    if size < 2:
        return float(values.mean()), float("inf")
    off = values - values.mean()
    variance = plain = float(off @ off) / (size - 1)
    for lag in range(1, min(lags, size - 1) + 1):
        variance += 2 * (1 - lag / (lags + 1)) * float(off[lag:] @ off[:-lag]) / (size - 1)
    return float(values.mean()), float(t.ppf((1 + level) / 2, size - 1)) * float(np.sqrt(max(variance, plain) / size))
