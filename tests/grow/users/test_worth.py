"""How long users stay and what they are worth: published parameters, exact gradients, curves by hand, recovery from simulation."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.optimize import check_grad
from scipy.special import hyp2f1

from noria.core.errors import InputError, SettingError
from noria.grow.log.lake import connect
from noria.grow.log.log import Log
from noria.grow.log.read import log_of_rows
from noria.grow.users import pareto, spend
from noria.grow.users.holdout import hold_out
from noria.grow.users.lifetime import History, Rows, repeat_purchases
from noria.grow.users.survival import survival

UNTIL = date(1997, 9, 30)
START = date(2024, 1, 1)
CONNECTION = connect(threads=1)


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> dict[str, dict[str, float]]:
    loaded: dict[str, dict[str, float]] = json.loads(
        (shared_data / "growth" / "cdnow-parameters.json").read_text(encoding="utf-8")
    )
    return loaded


def log_of(acts: list[tuple[str, int]], values: list[float] | None = None) -> Log:
    table = pa.table(
        {
            "user": [user for user, _ in acts],
            "time": [START + timedelta(days=day) for _, day in acts],
            "value": pa.array(values or [None] * len(acts), pa.float64()),
        }
    )
    return log_of_rows(table, source="made", unit="USD", now=datetime(2030, 1, 1, tzinfo=UTC), connection=CONNECTION)


def simulated(count: int, truth: tuple[float, float, float, float], seed: int, weeks: float = 60.0) -> History:
    """Return simulated users of a Pareto/NBD world."""
    random = np.random.default_rng(seed)
    r, alpha, s, beta = truth
    rate, leaving = random.gamma(r, 1 / alpha, count), random.gamma(s, 1 / beta, count)
    age = random.uniform(weeks / 2, weeks, count)
    lived = np.minimum(random.exponential(1 / np.maximum(leaving, 1e-12)), age)
    repeats = random.poisson(rate * lived).astype(float)
    recency = np.array([lived[user] * random.random(int(n)).max() if n else 0.0 for user, n in enumerate(repeats)])
    return History(repeats, recency, age, UNTIL, "simulated")


def test_pareto_has_the_published_parameters(cdnow_tenth: Log, golden: dict[str, dict[str, float]]) -> None:
    model = pareto.fit_pareto(repeat_purchases(cdnow_tenth, UNTIL))
    for name, value in golden["pareto_nbd"].items():
        assert getattr(model, name) == pytest.approx(value, abs=0.002), name
    assert model.log_likelihood == pytest.approx(-9595.0, abs=0.05)  # Fader, Hardie and Lee (2005), table 2


def test_pareto_quadrature_agrees_with_the_hypergeometric_form() -> None:
    r, alpha, s, beta = 0.55, 10.6, 0.61, 11.7
    x, recency, age = np.array([0.0, 2.0, 7.0, 26.0, 150.0]), np.array([0.0, 20.0, 30.0, 38.0, 38.5]), np.full(5, 38.86)

    def part(at: np.ndarray) -> np.ndarray:  # Fader and Hardie's A0, for alpha < beta
        ratio = hyp2f1(r + s + x, r + x, r + s + x + 1, (beta - alpha) / (beta + at))
        return np.asarray(ratio / (beta + at) ** (r + s + x) * s / (r + s + x))

    _, left, _ = pareto._terms(np.array([r, alpha, s, beta]), x, recency, age)
    assert left == pytest.approx(np.log(part(recency) - part(age)), rel=1e-9)


def test_the_gradients_are_exact() -> None:
    rows = Rows.of(simulated(300, (0.6, 8.0, 0.7, 9.0), seed=1))
    at = np.array([0.4, 5.0, 1.1, 7.0])
    assert check_grad(
        lambda p: pareto.log_likelihood(p, rows)[0], lambda p: pareto.log_likelihood(p, rows)[1], at
    ) < 1e-5 * np.linalg.norm(pareto.log_likelihood(at, rows)[1])
    random = np.random.default_rng(2)
    x, mean, there = random.integers(1, 9, 200).astype(float), random.gamma(3, 10, 200), np.array([5.0, 4.0, 12.0])
    assert check_grad(
        lambda p: spend.log_likelihood(p, x, mean)[0], lambda p: spend.log_likelihood(p, x, mean)[1], there
    ) < 1e-5 * np.linalg.norm(spend.log_likelihood(there, x, mean)[1])


def test_pareto_finds_what_it_was_simulated_from() -> None:
    truth = (0.6, 6.0, 0.8, 10.0)
    inside = 0
    for seed in range(8):
        ends = pareto.fit_pareto(simulated(1500, truth, seed)).intervals()
        inside += sum(ends[name][0] <= value <= ends[name][1] for name, value in zip(pareto.NAMES, truth, strict=True))
    assert inside >= 27  # 30.4 of 32 are expected at 95 %


def test_pareto_probabilities_and_expectations_behave() -> None:
    model = pareto.Pareto(0.55, 10.6, 0.61, 11.7, 0.0, 1, np.eye(4), "")
    history = History(np.array([0.0, 3.0, 3.0, 2.0]), np.array([0.0, 5.0, 30.0, 38.0]), np.full(4, 38.0), UNTIL, "")
    alive = model.alive(history)
    assert 0 < alive[1] < alive[2] < alive[3] == 1  # an act on the last day leaves no time to have left in
    assert (model.expected(history, 10) < model.expected(history, 20)).all()
    assert model.expected(history, 0) == pytest.approx(np.zeros(4))
    start = model.expected_from_start(np.array([0.0, 10.0, 1e-3]))
    assert start[0] == 0
    assert start[2] == pytest.approx(1e-3 * 0.55 / 10.6, rel=1e-3)  # at first at the mean rate
    even = pareto.Pareto(0.55, 10.6, 1.0, 11.7, 0.0, 1, np.eye(4), "")
    near = pareto.Pareto(0.55, 10.6, 1.00001, 11.7, 0.0, 1, np.eye(4), "")
    assert even.expected(history, 10) == pytest.approx(near.expected(history, 10), rel=1e-4)


def test_gamma_gamma_has_the_published_parameters(cdnow_tenth: Log, golden: dict[str, dict[str, float]]) -> None:
    amounts = spend.repeat_amounts(cdnow_tenth, UNTIL)
    model = spend.fit_spend(amounts)
    assert model.users == 946
    for name in spend.NAMES:
        assert getattr(model, name) == pytest.approx(golden["gamma_gamma"][name], rel=0.005), name
    expected = model.expected(amounts)
    own, everyone = amounts.mean, model.p * model.v / (model.q - 1)
    assert (np.minimum(own, everyone) - 1e-9 <= expected).all()
    assert (expected <= np.maximum(own, everyone) + 1e-9).all()  # between the user's own mean and that of all


def test_gamma_gamma_finds_what_it_was_simulated_from() -> None:
    truth, inside = (6.0, 4.0, 15.0), 0
    for seed in range(8):
        random = np.random.default_rng(seed)
        x = random.integers(1, 8, 1200).astype(float)
        nu = random.gamma(truth[1], 1 / truth[2], 1200)
        mean = random.gamma(truth[0] * x, 1 / (nu * x))
        ends = spend.fit_spend(spend.Amounts(x, mean, np.arange(1200, dtype=np.int32), "simulated", "")).intervals()
        inside += sum(ends[name][0] <= value <= ends[name][1] for name, value in zip(spend.NAMES, truth, strict=True))
    assert inside >= 20  # 22.8 of 24 are expected at 95 %


def test_amounts_are_held_to_account(cdnow_tenth: Log) -> None:
    found = spend.hold_out_spend(cdnow_tenth, UNTIL)
    assert found.error.baseline is not None
    assert found.error.value < min(found.error.baseline, found.error_of_one)
    assert found.dependence.n == 946
    with pytest.raises(InputError, match="no user paid"):
        spend.hold_out_spend(log_of([("a", 0), ("a", 9)]), START + timedelta(days=20))


def test_amounts_that_never_vary_are_plain_errors() -> None:
    acts = [(f"u{n}", day) for n in range(20) for day in (0, 5, 9)]
    with pytest.raises(InputError, match="paid the same cannot be told apart"):
        spend.fit_spend(spend.repeat_amounts(log_of(acts, [5.0] * len(acts)), START + timedelta(days=10)))


def test_models_against_one_another(cdnow_tenth: Log) -> None:
    rivals = {rival.name: rival for rival in hold_out(cdnow_tenth, UNTIL, 39, draws=20).rivals()}
    assert list(rivals) == ["Pareto/NBD", "BG/NBD", "MBG/NBD", "own rate goes on", "mean of the last weeks"]
    assert (rivals["Pareto/NBD"].behind.value, rivals["Pareto/NBD"].behind.high) == (0, 0)
    for name in ("own rate goes on", "mean of the last weeks"):
        low = rivals[name].behind.low
        assert low is not None
        assert low > 0, name  # both models beat both baselines, user by user
    assert rivals["Pareto/NBD"].total == pytest.approx(rivals["BG/NBD"].total, rel=0.02)


def test_survival_by_hand() -> None:
    # Watched until day 100 - 10 = 90. a lapses at 0, b at 20, c goes on to the end, d lapses at 5 and its coming back is too late,
    # e came on day 95: too late to be watched.
    acts = [("a", 0), ("b", 0), ("b", 8), ("b", 12), ("b", 20), ("d", 0), ("d", 5), ("d", 60), ("e", 95), ("e", 100)]
    acts += [("c", day) for day in range(10, 101, 10)]
    found = survival(log_of(acts), lapse_days=10)
    assert found.days.tolist() == [0, 5, 20]
    assert found.at_risk.tolist() == [4, 3, 2]
    assert found.lapsed.tolist() == [1, 1, 1]
    assert found.share.tolist() == pytest.approx([0.75, 0.5, 0.25])
    assert (found.users, found.later, found.longest) == (4, 1, 80)
    half = found.at(19)
    assert half.value == pytest.approx(0.5)
    # Greenwood: sums 1/12 + 1/6 = 1/4, log S = -log 2, so that the ends are 0.5 ** exp(-+ 1.96 * 0.5 / log 2)
    assert (half.low, half.high) == (
        pytest.approx(0.5 ** np.exp(1.96 * 0.5 / np.log(2)), abs=1e-4),
        pytest.approx(0.5 ** np.exp(-1.96 * 0.5 / np.log(2)), abs=1e-4),
    )
    median = found.median()
    assert median is not None
    assert (median.value, median.low, median.high, median.note) == (5, 0, 80, "upper end not reached")
    with pytest.raises(SettingError, match="no user was watched so long"):
        found.at(81)


def test_a_log_in_which_no_one_can_lapse_is_told() -> None:
    with pytest.raises(InputError, match="no user was seen to lapse"):
        survival(log_of([("a", 0), ("a", 20)]), lapse_days=90)


def test_survival_intervals_cover_what_they_were_simulated_from() -> None:
    covered = 0
    for seed in range(10):
        random = np.random.default_rng(seed)
        start, stay = random.integers(0, 60, 60), random.geometric(1 / 30, 60) - 1
        acts = [
            (f"u{user}", int(day))
            for user in range(60)
            for day in range(start[user], min(start[user] + stay[user], 120) + 1)
        ]
        figure = survival(log_of(acts), lapse_days=5).at(20)
        assert figure.low is not None
        assert figure.high is not None
        covered += figure.low <= (1 - 1 / 30) ** 21 <= figure.high
    assert covered >= 8  # 9.5 of 10 are expected
