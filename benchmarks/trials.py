"""Experiments beside scipy and statsmodels: random tables of users with outliers, gaps and duplicates, from the file to p and interval.

Each table is one of seven kinds: a rate, a mean, a mean with a covariate from before, a ratio, and a mean winsorised, trimmed or
by ranks; two to four groups, 60 to 2,000 users. Peer: pandas cleans the same file, scipy and statsmodels compare. Counted are
the seconds, and the largest difference of any p value and of any interval's end (over the interval's length), with Holm's
correction, the sample ratio's p, and the difference without the most influential user against trying them all. Tables are small,
and opening DuckDB and telling a file's dialect is most of Noria's seconds; of large ones see `promote`.
Quantiles have a bootstrap, so nobody's numbers equal another's: their intervals are judged by how often they hold the truth.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from noria.grow.promote.estimate import Estimate, compared
from noria.grow.promote.experiment import Experiment
from noria.grow.promote.settings import CompareSettings, UnitSettings
from noria.grow.promote.study import study_experiment

from .line import Line, compare

KINDS = ("rate", "mean", "covariate", "ratio", "winsorised", "trimmed", "rank")
CUT, LEVEL = 0.02, 0.95
PEER = "pandas + scipy + statsmodels"
AGREE, COVER = 1e-6, 0.935
"""Largest difference wanted; and the least part of quantiles' intervals that hold the truth."""
BATCHES = 10


def measure(*, quick: bool) -> list[Line]:
    """Return a line for the seconds, the differences, and the coverage of quantiles."""
    tables = 100 if quick else 1000
    ours, theirs, worst = np.zeros(BATCHES), np.zeros(BATCHES), {"p": 0.0, "interval": 0.0}
    with tempfile.TemporaryDirectory(prefix="noria-bench-") as folder:
        for seed in range(-1, tables):  # one more, that imports what is imported once
            kind, file = KINDS[seed % len(KINDS)], Path(folder) / "users.csv"
            rows(kind, max(seed, 0)).to_csv(file, index=False)
            started = time.perf_counter()
            found = noria(kind, file)
            middle = time.perf_counter()
            users = cleaned(kind, pd.read_csv(file))
            reference = peer(kind, users)
            ended = time.perf_counter()
            if seed < 0:
                continue
            ours[seed % BATCHES] += middle - started
            theirs[seed % BATCHES] += ended - middle
            for name, value in differences(found, users, reference).items():
                worst[name] = max(worst[name], value)
            if seed % 100 == 99:
                print(f"trials {seed + 1}/{tables}: {worst}", file=sys.stderr)
    said = f"{tables:,} tables with outliers, gaps and duplicates"
    what, seconds = f"from file to p and interval, {said}", (ours.tolist(), theirs.tolist())
    lines = [compare("trials", what, *seconds, PEER, "s", higher_is_better=False)]
    for name, value in worst.items():
        what = f"largest difference of any {'p' if name == 'p' else 'end of an interval, over its length'}, {said}"
        wanted = f"wanted: as {PEER}, within"
        lines.append(compare("trials", what, [max(value, 1e-16)], [AGREE], wanted, "", higher_is_better=False))
    return [*lines, *(_covered(quantile, 200 if quick else 2000) for quantile in (0.5, 0.9))]


def rows(kind: str, seed: int) -> pd.DataFrame:
    """Return a table of users as files are: with outliers, missing cells, copied rows, and users in two groups. Simulated."""
    random = np.random.default_rng([seed, KINDS.index(kind)])
    n, groups = int(np.exp(random.uniform(np.log(60), np.log(2000)))), int(random.integers(2, 5))
    group = random.integers(groups, size=n)
    group[: 4 * groups] = np.arange(4 * groups) % groups
    taste = random.normal(size=n)
    if kind == "rate":
        outcome = (random.random(n) < random.uniform(0.05, 0.6) + 0.03 * group).astype(float)
    elif kind == "ratio":
        outcome = random.poisson(3 + group).astype(float)
    else:
        outcome = np.round(np.exp(random.normal(1, random.uniform(0.3, 1.5), n) + 0.1 * group + 0.5 * taste), 2)
    if kind not in ("rate", "ratio"):
        outcome[random.random(n) < random.choice([0.0, 0.3])] = 0.0
        outcome[random.random(n) < 0.01] *= 10 ** random.uniform(1, 3)  # outliers
        outcome = outcome.round(2)
    table = pd.DataFrame({"user": [f"u{place}" for place in range(n)], "variant": [f"g{one}" for one in group]})
    table["outcome"] = outcome
    if kind == "ratio":
        table["weight"] = 3.0 + random.poisson(4, n)
    if kind == "covariate":
        table["before"] = np.round(taste + random.normal(size=n), 3)
        table.loc[random.random(n) < random.choice([0.0, 0.2]), "before"] = np.nan
    again = table[random.random(n) < 0.1]
    other = again.copy()
    if kind != "rate":
        other["outcome"] = random.permutation(other["outcome"].to_numpy())
    crossed = table[random.random(n) < 0.02].assign(variant="g0")
    table = pd.concat([table, again, other, crossed]).sample(frac=1, random_state=seed)
    table.loc[random.random(len(table)) < 0.05, "outcome"] = np.nan
    table.loc[random.random(len(table)) < 0.01, "user"] = ""
    return table.reset_index(drop=True)


def noria(kind: str, file: Path) -> Experiment:
    """Return what Noria says of a file."""
    settings = UnitSettings(control="g0", duplicates="any" if kind == "rate" else "sum")
    return study_experiment(file, settings, comparing(kind))


def comparing(kind: str) -> CompareSettings:
    """Return how a kind of table is compared."""
    if kind in ("winsorised", "trimmed", "rank"):
        return CompareSettings.make(estimate=kind, cut=CUT, several="holm", level=LEVEL)
    return CompareSettings(several="holm", level=LEVEL)


def cleaned(kind: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a user, as a practised hand makes them with pandas."""
    table = table[table.user.notna() & (table.user != "") & table.outcome.notna()]
    table = table[table.groupby("user").variant.transform("nunique") == 1]
    how = {"variant": "first", "outcome": "max" if kind == "rate" else "sum"}
    how |= {name: to for name, to in (("weight", "sum"), ("before", "first")) if name in table}
    users = table.groupby("user", sort=False).agg(how)
    users["outcome"] = users.outcome.round(2)  # sums of the same amounts in another order tie
    return users


def peer(kind: str, users: pd.DataFrame) -> dict[str, Any]:
    """Return p, low and high of each treated group by scipy and statsmodels, Holm's p, and the p of the sample ratio."""
    names = sorted(users.variant.unique())
    outcome = users.outcome
    if kind == "covariate":
        outcome = _adjusted(users)
    elif kind == "winsorised":
        outcome = pd.Series(np.asarray(stats.mstats.winsorize(outcome.to_numpy(), (CUT, CUT))), users.index)
    parts = {name: outcome[users.variant == name].to_numpy() for name in names}
    found = [_compared(kind, parts[name], parts["g0"], users, name) for name in names[1:]]
    p = pd.Series([one[0] for one in found]).sort_values()
    # By hand: statsmodels' multipletests collects garbage at every call, which is half the seconds of a table.
    raised = (p * np.arange(len(p), 0, -1)).cummax().clip(upper=1).sort_index()
    counts = users.variant.value_counts()
    even = stats.binomtest(int(counts.iloc[0]), len(users)) if len(names) == 2 else stats.chisquare(counts)
    return {
        "found": dict(zip(names[1:], found, strict=True)),
        "holm": dict(zip(names[1:], raised, strict=True)),
        "ratio": float(even.pvalue),
    }


def _compared(
    kind: str, one: np.ndarray, other: np.ndarray, users: pd.DataFrame, name: str
) -> tuple[float, float, float]:
    if kind == "rate":
        from statsmodels.stats.proportion import confint_proportions_2indep, proportions_ztest

        won, seen = [int(one.sum()), int(other.sum())], [one.size, other.size]
        low, high = confint_proportions_2indep(won[0], seen[0], won[1], seen[1], method="newcomb", alpha=1 - LEVEL)
        return float(proportions_ztest(won, seen)[1]), float(low), float(high)
    if kind == "rank":
        from statsmodels.stats.nonparametric import rank_compare_2indep

        tested = rank_compare_2indep(one, other)
        low, high = tested.conf_int(alpha=1 - LEVEL)
        p = float(stats.brunnermunzel(one, other).pvalue)
        return p, max(float(low) - 0.5, -0.5), min(float(high) - 0.5, 0.5)
    if kind == "ratio":
        return _ratios(users, name)
    if kind == "trimmed":
        tested = stats.ttest_ind(one, other, equal_var=False, trim=CUT)
        means = [float(stats.trim_mean(part, CUT)) for part in (one, other)]
        gap = means[0] - means[1]
        error = abs(gap / float(tested.statistic))
        low, high = stats.t.interval(LEVEL, float(tested.df), gap, error)
        return float(tested.pvalue), float(low), float(high)
    tested = stats.ttest_ind(one, other, equal_var=False)
    low, high = tested.confidence_interval(LEVEL)
    return float(tested.pvalue), float(low), float(high)


def _ratios(users: pd.DataFrame, name: str) -> tuple[float, float, float]:
    """Return ratios compared: each the mean of a weighted least squares, whose robust error is the delta method's."""
    import statsmodels.api as sm

    fits = []
    for one in (name, "g0"):
        part = users[users.variant == one]
        model = sm.WLS(part.outcome / part.weight, np.ones(len(part)), weights=part.weight)
        fits.append((model.fit(cov_type="HC1"), len(part)))
    gap = float(fits[0][0].params.iloc[0] - fits[1][0].params.iloc[0])
    v = [float(fit.bse.iloc[0]) ** 2 for fit, _ in fits]
    error = sum(v) ** 0.5
    freedom = sum(v) ** 2 / sum(one**2 / (n - 1) for one, (_, n) in zip(v, fits, strict=True))
    low, high = stats.t.interval(LEVEL, freedom, gap, error)
    return float(2 * stats.t.sf(abs(gap) / error, freedom)), float(low), float(high)


def _adjusted(users: pd.DataFrame) -> pd.Series:
    """Return outcomes less what the covariate tells of them, by ordinary least squares within groups."""
    import statsmodels.api as sm

    missing = users.before.isna()
    known = pd.DataFrame({"before": users.before.fillna(users.before.mean())})
    if missing.any():
        known["missing"] = missing.astype(float)
    groups = pd.get_dummies(users.variant, dtype=float)
    fitted = sm.OLS(users.outcome, pd.concat([groups, known], axis=1)).fit()
    return users.outcome - (known - known.mean()) @ fitted.params[known.columns]


def differences(found: Experiment, users: pd.DataFrame, reference: dict[str, Any]) -> dict[str, float]:
    """Return the largest difference of p values, and of intervals' ends over their length, between Noria and the peer."""
    assert found.units.counts == users.variant.value_counts().sort_index().to_dict(), "other users"
    p, ends = [abs(found.balance.p - reference["ratio"])], [0.0]
    if min(found.balance.expected) < 5 and len(found.arms) > 2:
        p = [0.0]  # Noria draws the exact distribution there, which chi-square only nears
    for item in found.comparisons:
        name, length = item.found.variant, item.found.high - item.found.low
        one, low, high = reference["found"][name]
        p += [abs(item.found.p - one), abs(item.p_adjusted - reference["holm"][name])]
        ends += [abs(item.found.low - low) / length, abs(item.found.high - high) / length]
        if item.influence and found.units.weight is None and found.units.before is None:
            ends.append(_without(item.influence[0], found, users) / length)
    return {"p": max(p), "interval": max(ends)}


def _without(told: Any, found: Experiment, users: pd.DataFrame) -> float:
    """Return how far the difference without the most influential user is from the furthest of all that leave one out."""
    outcome = users.outcome.to_numpy()
    if found.estimate.kind == "winsorised":
        outcome = np.asarray(stats.mstats.winsorize(outcome, (CUT, CUT)))
    parts = [outcome[(users.variant == name).to_numpy()] for name in (told.whole.variant, told.whole.control)]
    left = [(part.sum() - part) / (part.size - 1) for part in parts]
    every = np.concatenate([left[0] - parts[1].mean(), parts[0].mean() - left[1]])
    whole = parts[0].mean() - parts[1].mean()
    return float(abs(np.abs(every - whole).max() - abs(told.moved)))


def _covered(quantile: float, simulations: int) -> Line:
    """Return how often the interval of a difference of quantiles holds the truth: lognormal outcomes of 400 users a group."""
    random, held = np.random.default_rng(7), 0
    group = np.repeat([0, 1], 400)
    truth = float((np.exp(0.1) - 1) * np.exp(stats.norm.ppf(quantile)))
    for number in range(simulations):
        outcome = np.exp(random.normal(size=800) + 0.1 * group)
        how = Estimate("quantile", quantile=quantile, draws=2000, seed=number)
        gap = compared(("g0", "g1"), group, outcome, how, level=LEVEL).found[0]
        held += gap.low <= truth <= gap.high
    what = f"intervals (95 %) of a difference of quantiles {quantile:g} that hold it, {simulations:,} simulated"
    return compare("trials", what, [held / simulations], [COVER], "wanted: at least", "of intervals")
