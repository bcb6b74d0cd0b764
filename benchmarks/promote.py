"""Promotion: an experiment, whom to address, and responses to spend, beside what a practised hand writes with the usual libraries.

experiment: one Parquet file of users with group, outcome and a covariate from before; counted is the time from the file to
sample-ratio check, groups and the difference with the covariate taken out. Peer: pandas and statsmodels (chisquare, ols
with the covariate). Both must find the same difference.
uplift: who is moved by a simulated mailing, a Qini curve with 500 bootstrap draws; Noria's halves judge one another, a peer keeps
half of the users back. Peers: two scikit-learn models a group, logistic with defaults and gradient boosting, and the bootstrap in numpy. Counted are
seconds, and the true mean effect on the tenth of fresh users that the score puts first.
budget: 120 simulated weeks of three channels whose truth is known. Peer: scipy's least_squares on the same curve, 100 residual
bootstrap refits. Counted are seconds, and the interval score (Gneiting and Raftery 2007, eq. 43) of 90 % intervals of
what each channel brings.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from .child import run
from .line import Line, compare

LOGISTIC, BOOSTED = "scikit-learn two logistic models, defaults", "scikit-learn two boosted models, early stopping"
STATSMODELS = "pandas + statsmodels"
BOOTSTRAP = "scipy least_squares, 100 residual bootstrap refits"
PEERS = {"experiment": (STATSMODELS,), "uplift": (LOGISTIC, BOOSTED), "budget": (BOOTSTRAP,)}
MEASURES = {
    "experiment": (("seconds", "from file to difference, {size:,} users", "s", False),),
    "uplift": (
        ("seconds", "score, Qini and interval, {size:,} users", "s", False),
        ("gain", "true effect on the first tenth, {size:,} users", "rate", True),
    ),
    "budget": (
        ("seconds", "responses of three channels, {size} weeks", "s", False),
        ("score", "interval score of contributions, {size} weeks", "of mean outcome", False),
    ),
}
SIZES = {"experiment": (500_000, 4_000_000), "uplift": (20_000, 200_000), "budget": (120, 120)}
"""Users or weeks: quick, else."""


def measure(*, quick: bool) -> list[Line]:
    """Return a line for each case, peer and measure."""
    repeats = 3 if quick else 7
    lines = []
    for case, peers in PEERS.items():
        size = SIZES[case][0 if quick else 1]
        found: dict[str, list[dict[str, float]]] = {name: [] for name in ("noria", *peers)}
        with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
            if case == "experiment":
                run("benchmarks.promote", "write", "noria", str(size), folder)
            for number in range(repeats):
                for name in sorted(found, reverse=bool(number % 2)):
                    found[name].append(run("benchmarks.promote", case, name, str(size), folder, str(number)))
                    print(f"promote {case} {number + 1}/{repeats}: {name}: {found[name][-1]}", file=sys.stderr)
        if case == "experiment":
            values = [one["value"] for rows in found.values() for one in rows]
            assert max(values) - min(values) < 1e-9, "the peers found another difference"
        for peer in peers:
            for key, what, unit, higher in MEASURES[case]:
                ours, theirs = ([one[key] for one in found[name]] for name in ("noria", peer))
                lines.append(
                    compare("promote", what.format(size=size), ours, theirs, peer, unit, higher_is_better=higher)
                )
    return lines


def write(size: int, folder: Path) -> dict[str, float]:
    """Write the users of an experiment."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(0)
    before, group = random.normal(10, 3, size), random.integers(2, size=size)
    outcome = 0.6 * before + random.normal(0, 3, size) + 0.05 * group
    names = np.array(["control", "new"])[group]
    table = {"user": [f"u{number}" for number in range(size)], "variant": names, "outcome": outcome, "before": before}
    pq.write_table(pa.table(table), folder / "users.parquet")
    return {}


def experiment(name: str, folder: Path) -> dict[str, float]:
    """Return the difference with the covariate taken out, and the seconds it took."""
    file = folder / "users.parquet"
    if name == "noria":
        from noria.grow.promote.study import study_experiment

        started = time.perf_counter()
        value = study_experiment(file).comparisons[0].found.value
    else:
        import pandas as pd
        import statsmodels.formula.api as smf
        from scipy.stats import chisquare

        started = time.perf_counter()
        users = pd.read_parquet(file)
        assert not users.user.duplicated().any()
        chisquare(users.variant.value_counts())
        users.groupby("variant").outcome.agg(["size", "mean", "var"])
        fitted = smf.ols("outcome ~ C(variant) + before", users).fit()
        fitted.conf_int()
        value = float(fitted.params["C(variant)[T.new]"])
    return {"seconds": time.perf_counter() - started, "value": value}


def uplift(name: str, size: int, seed: int) -> dict[str, float]:
    """Return the seconds a score with a proved Qini curve took, and what the score is worth on fresh users."""
    from noria.grow.promote.simulated import campaign

    units, fresh = campaign(size, seed=seed), campaign(100_000, seed=10_000 + seed)
    if name == "noria":
        from noria.grow.promote.uplift import uplift as learn

        started = time.perf_counter()
        found = learn(units, seed=seed)
        seconds = time.perf_counter() - started
        assert fresh.before is not None
        score = found.scorer({**fresh.features, "before": fresh.before})
    else:
        matrix, fresh_matrix = _matrix(units), _matrix(fresh)
        started = time.perf_counter()
        models = _two_models(name, matrix, units, np.random.default_rng(seed))
        seconds = time.perf_counter() - started
        score = models(fresh_matrix)
    first = np.argsort(-score)[: score.size // 10]
    mover = np.clip((np.asarray(fresh.features["visits"], dtype=float) - 8.0) / 32**0.5, -1.5, 1.5)
    return {"seconds": seconds, "gain": float((0.03 + 0.06 * mover)[first].mean())}


def _matrix(units: Any) -> np.ndarray:
    from sklearn.preprocessing import OneHotEncoder

    city = OneHotEncoder(sparse_output=False).fit_transform(np.asarray(units.features["city"])[:, None])
    return np.column_stack([units.features["visits"], units.before, city])


def _two_models(name: str, matrix: np.ndarray, units: Any, random: np.random.Generator) -> Any:
    """Return a score learnt on half of the users; its Qini curve is bootstrapped on the others."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    half = random.permutation(len(matrix))
    teach, judge = half[: len(half) // 2], half[len(half) // 2 :]
    made = []
    for side in (1, 0):
        rows = teach[units.group[teach] == side]
        model = (
            make_pipeline(StandardScaler(), LogisticRegression())
            if name == LOGISTIC
            else HistGradientBoostingClassifier(learning_rate=0.05, early_stopping=True)
        )
        made.append(model.fit(matrix[rows], units.outcome[rows]))

    def score(users: np.ndarray) -> np.ndarray:
        return np.asarray(made[0].predict_proba(users)[:, 1] - made[1].predict_proba(users)[:, 1])

    order = judge[np.argsort(-score(matrix[judge]))]
    treated, outcome = units.group[order] == 1, units.outcome[order]
    areas = []
    for _ in range(500):
        rows = np.sort(random.integers(order.size, size=order.size))
        users, others = np.cumsum(treated[rows]), np.cumsum(~treated[rows])
        won, lost = np.cumsum(outcome[rows] * treated[rows]), np.cumsum(outcome[rows] * ~treated[rows])
        gain = (won - lost * users / np.maximum(others, 1)) / users[-1]
        areas.append(np.trapezoid(gain, dx=1 / gain.size) - gain[-1] / 2)
    np.quantile(areas, [0.025, 0.975])
    return score


def budget(name: str, size: int, seed: int, refits: int = 100) -> dict[str, float]:
    """Return the seconds that the responses of a market took, and the score of their intervals."""
    from noria.grow.promote.simulated import advertising

    market = advertising(size, seed=seed)
    if name == "noria":
        from noria.grow.promote.response import respond

        started = time.perf_counter()
        drawn = respond(market.spend, seed=seed).curves([1.0])[:, :, 0]
        seconds = time.perf_counter() - started
    else:
        started = time.perf_counter()
        drawn = _refitted(market.spend, np.random.default_rng(seed), refits)
        seconds = time.perf_counter() - started
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    truth = market.contributions()
    score = (high - low) + 20 * (np.maximum(low - truth, 0) + np.maximum(truth - high, 0))
    return {"seconds": seconds, "score": float(score.mean() / market.spend.outcome.mean())}


def _refitted(spend: Any, random: np.random.Generator, refits: int) -> np.ndarray:
    """Return what each channel brings, in the fit and in refits to the fit with its residuals drawn anew, (refits + 1, 3)."""
    from scipy.optimize import least_squares
    from scipy.signal import lfilter

    amounts = spend.amounts / np.array([column[column > 0].mean() for column in spend.amounts.T])
    size, mean = spend.outcome.size, spend.outcome.mean()
    at = np.arange(size) / size
    year = 2 * np.pi * np.arange(size) / (365.25 / 7)
    beside = np.column_stack(
        [np.ones(size), at, np.sin(year), np.cos(year), np.sin(2 * year), np.cos(2 * year), spend.known]
    )

    def parts(p: np.ndarray) -> np.ndarray:
        found = []
        for column, (strength, carry, half, slope) in zip(amounts.T, p[beside.shape[1] :].reshape(3, 4), strict=True):
            carried = lfilter([1 - carry], [1, -carry], column)
            found.append(strength * carried**slope / (carried**slope + half**slope + 1e-12))
        return np.column_stack(found)

    def fitted(outcome: np.ndarray, start: np.ndarray) -> np.ndarray:
        low = np.concatenate([np.full(beside.shape[1], -np.inf), np.tile([0.0, 0.0, 0.05, 0.5], 3)])
        high = np.concatenate([np.full(beside.shape[1], np.inf), np.tile([3.0, 0.95, 10.0, 3.0], 3)])
        weights: np.ndarray = least_squares(
            lambda p: beside @ p[: beside.shape[1]] + parts(p).sum(1) - outcome, start, bounds=(low, high)
        ).x
        return weights

    start = np.concatenate([[0.7], np.zeros(beside.shape[1] - 1), np.tile([0.2, 0.3, 1.0, 1.0], 3)])
    best = fitted(spend.outcome / mean, start)
    line = beside @ best[: beside.shape[1]] + parts(best).sum(1)
    left = spend.outcome / mean - line
    found = [parts(best).mean(0)]
    found += [parts(fitted(line + random.choice(left, size), best)).mean(0) for _ in range(refits)]
    effects: np.ndarray = np.stack(found) * mean
    return effects


def main(case: str, name: str, size: str, folder: str, seed: str = "0") -> None:
    """Run one case once; print its numbers."""
    if case == "write":
        told = write(int(size), Path(folder))
    elif case == "experiment":
        told = experiment(name, Path(folder))
    else:
        told = {"uplift": uplift, "budget": budget}[case](name, int(size), int(seed))
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
