"""statsforecast's part of `share_forecast`, run by an environment of its own: columns in as JSON, means and deviations out.

Knows nothing of Noria. A model's 90 % interval tells its standard deviation, for it takes its errors for normal. A column too short or
too still for a model is forecast by statsforecast's own naive model.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from statsforecast.models import AutoARIMA, AutoETS, Naive

LEVEL, HALF = 90, 1.6448536


def forecast(name: str, column: np.ndarray, horizon: int) -> tuple[list[float], list[float]]:
    """Return means and standard deviations."""
    season = 12 if len(column) >= 36 else 1
    makers: dict[str, Callable[..., Any]] = {"AutoETS": AutoETS, "AutoARIMA": AutoARIMA}
    tried: tuple[Callable[[], Any], ...] = (lambda: makers[name](season_length=season), Naive)
    for maker in tried:
        try:
            found = maker().forecast(y=column, h=horizon, level=[LEVEL])
        except Exception:  # what a peer cannot do is no error of the benchmark: its own naive model speaks instead
            continue
        high, mean = found[f"hi-{LEVEL}"], found["mean"]
        deviation = (np.asarray(high) - np.asarray(mean)) / HALF
        if np.isfinite(deviation).all() and np.isfinite(mean).all():
            return np.asarray(mean).tolist(), deviation.tolist()
    spread = float(np.std(np.diff(column))) or 1e-3
    return [float(column[-1])] * horizon, [spread * (step + 1) ** 0.5 for step in range(horizon)]


def main() -> None:
    """Forecast every column of every window by every model."""
    task = json.load(sys.stdin)
    told: dict[str, dict[str, Any]] = {}
    for name in task["models"]:
        told[name] = {}
        for window in task["tasks"]:
            pairs = [forecast(name, np.array(column, dtype=float), task["horizon"]) for column in window["columns"]]
            told[name][window["seen"]] = ([mean for mean, _ in pairs], [deviation for _, deviation in pairs])
    print(json.dumps(told))


if __name__ == "__main__":
    main()
