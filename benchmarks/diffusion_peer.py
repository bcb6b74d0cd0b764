"""innovate's part of `diffusion`, run by an environment of its own: series in as JSON, forecasts and seconds out.

Knows nothing of Noria. innovate fits cumulative adoption, so sales are summed up, and a forecast is what its curve gains.
"""

import json
import sys
import time

import numpy as np
from innovate.diffuse.bass import BassModel
from innovate.fitters.scipy_fitter import ScipyFitter


def main() -> None:
    """Fit and forecast each series."""
    task = json.load(sys.stdin)
    held = task["held"]
    forecasts, seconds = [], []
    for sales in task["seen"]:
        reached = np.cumsum(sales)
        times = np.arange(1.0, len(sales) + 1)
        ahead = np.arange(1.0, len(sales) + held + 1)
        start = time.perf_counter()
        model = BassModel()
        options = {"p0": [0.01, 0.35, reached[-1] * 1.5]} if task["best"] else {}
        try:
            ScipyFitter().fit(model, times, reached, **options)
            curve = np.asarray(model.predict(ahead), dtype=float)
            forecast = np.diff(curve)[-held:]
        except RuntimeError:
            forecast = np.full(held, sales[-1])
        seconds.append(time.perf_counter() - start)
        forecasts.append([float(value) for value in forecast])
    print(json.dumps({"forecasts": forecasts, "seconds": seconds}))


if __name__ == "__main__":
    main()
