"""What drives a share: panel regression with two-way effects, its time and whether its intervals hold, beside statsmodels.

Both estimate the same coefficients (the tests hold them equal to eight digits). The peer is statsmodels' OLS with dummies and
errors clustered by entity, with its defaults (normal quantiles) and with its best settings (t quantiles). Measured are the
time of one fit on a panel of many entities, and, on simulated panels of eight entities with errors that follow on from each
other, how far the part of 95 % intervals that hold the truth is from 95 %. The data are simulated, from seeds told here.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .line import Line, compare

PEERS = ("statsmodels OLS with dummies, defaults", "statsmodels OLS with dummies, use_t")
TRUTH = 0.05
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Interval = tuple[float, float]


def measure(*, quick: bool) -> list[Line]:
    """Return two lines a peer: seconds of a fit, and the error of coverage; quick takes a smaller panel and fewer of them."""
    repeats, entities, periods, panels = (3, 100, 30, 60) if quick else (7, 200, 50, 300)
    seconds: dict[str, list[float]] = {name: [] for name in ("noria", *PEERS)}
    misses: dict[str, list[float]] = {name: [] for name in ("noria", *PEERS)}
    for repeat in range(repeats):
        large = panel(entities, periods, repeat)
        for name in sorted(seconds, reverse=bool(repeat % 2)):
            start = time.perf_counter()
            fit(name, *large)
            seconds[name].append(time.perf_counter() - start)
        inside = dict.fromkeys(misses, 0)
        for number in range(panels):
            small = panel(8, 16, 10_000 + 1000 * repeat + number)
            for name in misses:
                low, high = fit(name, *small)
                inside[name] += low <= TRUTH <= high
        for name in misses:
            # Half a panel is the least that can be told of a part of so many.
            misses[name].append(max(abs(inside[name] / panels - 0.95), 0.5 / panels))
        print(
            f"drivers {repeat + 1}/{repeats}: {seconds['noria'][-1]:.4f} s, inside {inside} of {panels}",
            file=sys.stderr,
        )
    lines = []
    for peer in PEERS:
        size = f"one fit, {entities} entities x {periods} periods, two-way effects"
        lines.append(compare("drivers", size, seconds["noria"], seconds[peer], peer, "s", higher_is_better=False))
        lines.append(
            compare(
                "drivers",
                f"error of coverage of 95 % intervals, 8 entities, {panels} panels",
                misses["noria"],
                misses[peer],
                peer,
                "part",
                higher_is_better=False,
            )
        )
    return lines


def panel(entities: int, periods: int, seed: int) -> tuple[Floats, Floats, Ints, Ints]:
    """Return outcome, driver, entity and period of a simulated panel: a walking driver, errors that follow on by 0.6."""
    random = np.random.default_rng(seed)
    x = np.cumsum(random.normal(0, 1, (periods, entities)), axis=0)
    error = np.zeros((periods, entities))
    for row in range(1, periods):
        error[row] = 0.6 * error[row - 1] + random.normal(0, 0.1, entities)
    y = TRUTH * x + random.normal(0, 1, entities) + random.normal(0, 1, (periods, 1)) + error
    time_, entity = np.divmod(np.arange(x.size), entities)
    return y.ravel(), x.ravel(), entity.astype(np.int64), time_.astype(np.int64)


def fit(name: str, y: Floats, x: Floats, entity: Ints, period: Ints) -> Interval:
    """Return the 95 % interval of the driver's coefficient."""
    ways: dict[str, Callable[..., Interval]] = {"noria": _noria, PEERS[0]: _normal, PEERS[1]: _student}
    return ways[name](y, x, entity, period)


def _noria(y: Floats, x: Floats, entity: Ints, period: Ints) -> Interval:
    from noria.grow.market.drivers.regression import Absorber, regress

    found = regress(y, x[:, None], Absorber([entity, period]), entity, period)
    return float(found.lows[0]), float(found.highs[0])


def _normal(y: Floats, x: Floats, entity: Ints, period: Ints) -> Interval:
    return _statsmodels(y, x, entity, period, use_t=False)


def _student(y: Floats, x: Floats, entity: Ints, period: Ints) -> Interval:
    return _statsmodels(y, x, entity, period, use_t=True)


def _statsmodels(y: Floats, x: Floats, entity: Ints, period: Ints, *, use_t: bool) -> Interval:
    import statsmodels.api as sm

    dummies = [np.eye(int(codes.max()) + 1)[codes] for codes in (entity, period)]
    design = np.column_stack([x, dummies[0], dummies[1][:, 1:]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # more dummies than clusters
        found = sm.OLS(y, design).fit(cov_type="cluster", cov_kwds={"groups": entity}, use_t=use_t)
        low, high = found.conf_int()[0]
    return float(low), float(high)
