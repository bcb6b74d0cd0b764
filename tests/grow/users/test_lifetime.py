"""BG/NBD and MBG/NBD: the published parameters, exact gradients, recovery from simulation, honest intervals, and who is chosen."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.optimize import check_grad
from scipy.special import gammaln
from scipy.stats import beta, gamma

from noria.core.errors import InputError, SettingError
from noria.grow.log.log import Log
from noria.grow.log.read import log_of_rows
from noria.grow.settings import UserSettings
from noria.grow.users.expected_acts import Shocks, acts_after, common_shocks, forecast_acts
from noria.grow.users.facts import facts_of
from noria.grow.users.holdout import FITS, deviances, hold_out
from noria.grow.users.lifetime import History, Lifetimes, Likelihood, Rows, fit, repeat_purchases
from noria.grow.users.likelihood import Floats
from noria.grow.users.study import study_users

UNTIL = date(1997, 9, 30)


@pytest.fixture(scope="module")
def golden(shared_data: Path) -> dict[str, object]:
    loaded: dict[str, object] = json.loads(
        (shared_data / "growth" / "cdnow-parameters.json").read_text(encoding="utf-8")
    )
    return loaded


def simulated(
    count: int, parameters: tuple[float, float, float, float], seed: int, weeks: float = 52.0, *, at_start: bool = False
) -> History:
    random = np.random.default_rng(seed)
    r, alpha, a, b = parameters
    rate, leaving = random.gamma(r, 1 / alpha, count), random.beta(a, b, count)
    age = random.uniform(weeks / 2, weeks, count)
    repeats, recency = np.zeros(count), np.zeros(count)
    for user in range(count):
        now = 0.0
        if at_start and random.random() < leaving[user]:
            continue
        while True:  # in BG/NBD the first act may already be the last only after a repeat: a new user is alive
            now += random.exponential(1 / rate[user])
            if now > age[user]:
                break
            repeats[user] += 1
            recency[user] = now
            if random.random() < leaving[user]:
                break
    return History(repeats, recency, age, UNTIL, "simulated")


def test_the_published_parameters(cdnow_tenth: Log, golden: dict[str, dict[str, float]]) -> None:
    model = fit(repeat_purchases(cdnow_tenth, UNTIL))
    assert model.users == 2357
    for name, value in golden["bg_nbd"].items():
        assert getattr(model, name) == pytest.approx(value, abs=0.001)
    assert model.log_likelihood == pytest.approx(-9582.4, abs=0.05)  # Fader, Hardie and Lee (2005), Table 2


def test_the_published_expectation(golden: dict[str, list[dict[str, object]]]) -> None:
    check = golden["checks"][0]
    given = check["given"]
    assert isinstance(given, dict)
    parameters = golden["bg_nbd"]
    assert isinstance(parameters, dict)
    model = Lifetimes(**parameters, log_likelihood=0.0, users=1, covariance=np.eye(4), source="")
    history = History(np.array([given["x"]]), np.array([given["t_x"]]), np.array([given["T"]]), UNTIL, "")
    assert model.expected(history, given["t"])[0] == pytest.approx(check["expected"], abs=0.001)


def test_mbg_has_the_published_parameters(cdnow_tenth: Log) -> None:
    model = fit(repeat_purchases(cdnow_tenth, UNTIL), at_start=True)
    assert model.name == "MBG/NBD"
    # of the same sample; by R's BTYDplus and the Python package lifetimes as well
    assert model.parameters == pytest.approx([0.525, 6.183, 0.891, 1.614], abs=0.001)
    assert model.log_likelihood == pytest.approx(-9582.14, abs=0.05)


def test_mbg_is_the_integral_that_it_stands_for() -> None:
    """The likelihood and the expectation of one user, integrated over rate and leaving probability on a grid."""
    r, alpha, a, b = parameters = np.array([0.6, 5.0, 1.4, 2.4])
    nodes, weights = np.polynomial.legendre.leggauss(400)
    p, rate = (nodes + 1) / 2, 3 * (nodes + 1) / 2
    density = np.outer(
        gamma.pdf(rate, r + 2, scale=1 / alpha) / rate**2 * 3 / 2 * weights, beta.pdf(p, a, b) / 2 * weights
    )  # of rates, as if two acts were seen, so that it is smooth at 0
    density *= np.exp(gammaln(r + 2) - gammaln(r)) / alpha**2
    x, recency, age, weeks = 3.0, 12.0, 20.0, 9.0
    there = np.exp(-age * rate)[:, None] * rate[:, None] ** x * (1 - p) ** (x + 1)
    gone = np.exp(-recency * rate)[:, None] * rate[:, None] ** x * (1 - p) ** x * p
    whole = float((density * (there + gone)).sum())
    history = History(np.array([x]), np.array([recency]), np.array([age]), UNTIL, "")
    assert Likelihood(Rows.of(history), at_start=True)(parameters)[0] == pytest.approx(np.log(whole), abs=1e-6)
    model = Lifetimes(*parameters, 0.0, 1, np.eye(4), "", at_start=True)
    assert model.alive(history)[0] == pytest.approx(float((density * there).sum()) / whole, abs=1e-6)
    more = (1 - np.exp(-np.outer(rate, p) * weeks)) / p
    assert model.expected(history, weeks)[0] == pytest.approx(float((density * there * more).sum()) / whole, rel=1e-6)
    never = History(np.zeros(1), np.zeros(1), np.array([age]), UNTIL, "")
    assert 0 < model.alive(never)[0] < 1  # may have left after the first act
    new = float((density * (1 - p) * more).sum())
    assert model.expected_from_start(np.array([weeks]))[0] == pytest.approx(new, rel=1e-4)


@pytest.mark.parametrize("at_start", [False, True])
def test_the_gradient_is_exact(at_start: bool) -> None:
    history = simulated(300, (0.5, 6.0, 0.9, 2.5), seed=1)
    likelihood = Likelihood(Rows.of(history), at_start=at_start)

    def value(parameters: Floats) -> float:
        return likelihood(parameters)[0]

    def gradient(parameters: Floats) -> Floats:
        return likelihood(parameters)[1]

    at = np.array([0.4, 5.0, 1.1, 2.0])
    assert check_grad(value, gradient, at) < 1e-4 * np.linalg.norm(gradient(at))


@pytest.mark.parametrize("at_start", [False, True])
def test_intervals_hold_the_truth_they_were_simulated_from(at_start: bool) -> None:
    truth = (0.6, 5.0, 0.8, 2.4)
    names = ("r", "alpha", "a", "b")
    inside = 0
    for seed in range(12):
        intervals = fit(simulated(1500, truth, seed, at_start=at_start), at_start=at_start).intervals()
        inside += sum(
            intervals[name][0] <= value <= intervals[name][1] for name, value in zip(names, truth, strict=True)
        )
    assert inside >= 40  # 45.6 of 48 are expected at 95 %


def test_probabilities_and_expectations_behave() -> None:
    model = Lifetimes(0.24, 4.4, 0.79, 2.43, 0.0, 1, np.eye(4), "")
    history = History(np.array([0.0, 3.0, 3.0]), np.array([0.0, 5.0, 30.0]), np.array([38.0] * 3), UNTIL, "")
    alive = model.alive(history)
    assert alive[0] == 1.0  # a user who never came back cannot have left right after a repeat
    assert 0 < alive[1] < alive[2] < 1
    assert (model.expected(history, 10) < model.expected(history, 20)).all()
    assert model.expected(history, 0) == pytest.approx([0, 0, 0])


@pytest.mark.parametrize("name", list(FITS))
def test_simulation_agrees_with_the_formula(name: str) -> None:
    history = simulated(1500, (0.6, 5.0, 0.8, 2.4), seed=5)
    model = FITS[name](history)
    random = np.random.default_rng(3)
    total = np.array([model.acts_by_week(history, 39, model.parameters, random).sum() for _ in range(200)])
    error = total.std() / np.sqrt(total.size)
    assert total.mean() == pytest.approx(float(model.expected(history, 39).sum()), abs=4 * error)


def test_the_hold_out_is_held_to_account(cdnow_tenth: Log) -> None:
    result = hold_out(cdnow_tenth, UNTIL, 39, draws=100, seed=0)
    total, weeks, error = result.figures()
    assert result.outcome.by_week.sum() == result.outcome.by_user.sum() == 1882  # counted from the file
    assert total.low is not None
    assert total.high is not None
    assert total.low <= 1882 <= total.high
    assert weeks.value >= 0.85
    assert error.baseline is not None
    assert error.value < error.baseline
    again = forecast_acts(result.model, result.history, 39, shocks=result.shocks, draws=100, seed=0)
    assert (again.by_week == result.ahead.by_week).all()  # the seed decides
    assert (result.chosen, result.asked) == ("Pareto/NBD", False)
    scores = {rival.name: rival.deviance for rival in result.rivals()}
    assert scores["own rate goes on"] is None  # it expects nothing of some who came
    found = {name: score.value for name, score in scores.items() if score}
    assert min(found, key=found.__getitem__) == "Pareto/NBD"
    assert "Pareto/NBD is chosen" in result.verdict()
    assert "BG/NBD 1.599" in result.verdict()["zh"]
    names = [row[0] for row in result.calibration()]
    assert names == ["0", "1", "2", "3", "4", "5", "6", "7+"]


def test_shocks_widen_the_interval(cdnow_tenth: Log) -> None:
    history = repeat_purchases(cdnow_tenth, UNTIL)
    model = fit(history)
    shocks = common_shocks(model, cdnow_tenth, history)
    assert 0 <= shocks.persistence <= 0.95
    narrow = forecast_acts(model, history, 10, draws=100).total().std()
    assert forecast_acts(model, history, 10, shocks=shocks, draws=100).total().std() > 1.2 * narrow
    still = Shocks(0.0, 0.0, 0.0, 39, 1.0).paths(5, 4, np.random.default_rng(0))
    assert (still == 1).all()


def log_of(rows: list[tuple[str, str]]) -> Log:
    table = pa.table({"user": [user for user, _ in rows], "time": [day for _, day in rows]})
    return log_of_rows(table, source="made", now=datetime(2030, 1, 1, tzinfo=UTC))


def test_histories_are_counted_by_day() -> None:
    log = log_of(
        [("a", "2024-01-01"), ("a", "2024-01-01"), ("a", "2024-01-15"), ("a", "2024-03-01"), ("b", "2024-01-08")]
    )
    history = repeat_purchases(log, date(2024, 1, 29))
    assert history.repeats.tolist() == [1, 0]
    assert history.recency.tolist() == [2, 0]
    assert history.age.tolist() == [4, 3]


@pytest.mark.parametrize("rows", [[("a", "2024-01-01")], [("a", "2024-01-01"), ("b", "2024-01-02")]])
def test_one_user_or_one_day_is_plain_errors(rows: list[tuple[str, str]]) -> None:
    with pytest.raises(InputError, match="no user was active on two days"):
        repeat_purchases(log_of(rows), date(2024, 2, 1))


def test_a_fit_without_a_maximum_is_plain_errors() -> None:
    # Everyone came back once, at the same moment: nothing tells rates from leaving.
    same = History(np.ones(30), np.full(30, 4.0), np.full(30, 8.0), UNTIL, "made")
    with pytest.raises(InputError, match="cannot be told from these data"):
        fit(same)


def test_a_hold_out_beyond_the_log_is_refused(cdnow_tenth: Log) -> None:
    history = repeat_purchases(cdnow_tenth, UNTIL)
    with pytest.raises(InputError, match="does not cover the hold-out"):
        acts_after(cdnow_tenth, history, 60)


def test_deviance_is_least_for_the_true_expectation() -> None:
    came = np.random.default_rng(0).poisson(0.4, 20_000).astype(float)
    scores = {expected: deviances(np.full(came.size, expected), came).mean() for expected in (0.05, 0.3, 0.4, 0.5)}
    assert min(scores, key=lambda each: scores[each]) == 0.4
    errors = {expected: np.abs(expected - came).mean() for expected in scores}
    assert min(errors, key=lambda each: errors[each]) == 0.05  # why the absolute error does not choose


def test_a_model_is_asked_for_by_name(cdnow_tenth: Log) -> None:
    held = hold_out(cdnow_tenth, date(1997, 12, 31), 4, model="MBG/NBD", draws=10)
    assert (held.chosen, held.asked, held.weeks, held.model.name) == ("MBG/NBD", True, 4, "MBG/NBD")
    assert "MBG/NBD was asked for" in held.verdict()
    assert {held.standing(rival) for rival in held.rivals()} >= {"chosen", "worse"}


def test_the_last_day_asks_for_the_weeks_to_come(cdnow_tenth: Log) -> None:
    study = study_users(cdnow_tenth, "month", settings=UserSettings(until=date(1998, 6, 30), lifetime="bg-nbd"))
    assert study.holdout is not None
    assert study.holdout.history.until == date(1997, 9, 30)  # half of the log, to judge the models
    assert study.future is not None
    assert (study.future.weeks, study.future.history.until) == (13, date(1998, 6, 30))
    acts = study.future.figure()
    assert acts.low is not None
    assert acts.high is not None
    assert 0 < acts.low < acts.value < acts.high
    told = facts_of(study)
    assert len(told["future"]["by_week"]) == 13
    assert told["future"]["parameters"]["r"]["value"] > 0
    assert told["lifetime"]["model"] == "BG/NBD"
    assert told["lifetime"]["rivals"][0]["standing"] == "chosen"
    model = told["models"]["Pareto/NBD"]
    assert model["log_likelihood"] == pytest.approx(-9594.98, abs=0.01)
    assert model["parameters"]["s"]["low"] < model["parameters"]["s"]["value"] < model["parameters"]["s"]["high"]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (UserSettings(until=date(1999, 1, 1)), "outside the log: found '--until 1999-01-01'"),
        (UserSettings(until=date(1998, 6, 1), weeks=5), "not so many weeks.*allowed 1-4"),
        (UserSettings(weeks=5), "counts from --until"),
    ],
)
def test_days_and_weeks_that_the_log_has_not(cdnow_tenth: Log, asked: UserSettings, why: str) -> None:
    with pytest.raises(SettingError, match=why):
        study_users(cdnow_tenth, "month", settings=asked)
