"""Responses to spend: transforms by hand, recovery of simulated markets, and a sampler that agrees with arithmetic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from noria.core.errors import InputError, RowError
from noria.grow.promote.heldout import held_out
from noria.grow.promote.response import adstock, controls_of, natural, respond, saturated
from noria.grow.promote.simulated import advertising
from noria.grow.promote.spend import Spend, read_spend
from noria.grow.promote.tempering import Target, temper


def test_carry_over_and_saturation_by_hand() -> None:
    carried = adstock(np.array([0.0, 100.0, 0.0, 0.0]), [0.5, 0.0])
    assert carried[:, 0].tolist() == [0.0, 50.0, 25.0, 12.5]
    assert carried[:, 1].tolist() == [0.0, 100.0, 0.0, 0.0]
    answer = saturated(np.array([[0.0], [50.0], [150.0]]), np.array([8.0]), np.array([50.0]), np.array([2.0]))
    assert answer[:, 0] == pytest.approx([0.0, 4.0, 8 * 150**2 / (150**2 + 50**2)])


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=40), st.floats(0, 0.95))
def test_carry_over_keeps_a_level_and_never_goes_out_of_range(amounts: list[float], carry: float) -> None:
    carried = adstock(np.array(amounts), [carry])[:, 0]
    assert (carried >= min(amounts) * (1 - 1e-9)).all()
    assert (carried <= max(amounts) * (1 + 1e-9)).all()
    assert adstock(np.full(9, 7.0), [carry])[:, 0] == pytest.approx(np.full(9, 7.0))


def test_the_prior_is_what_the_page_says() -> None:
    drawn = natural(np.random.default_rng(0).standard_normal((200_000, 4)))
    assert (drawn >= 0).all()
    assert np.median(drawn[:, 0]) == pytest.approx(0.5 * 0.6745, abs=0.005)  # median of a half normal
    assert np.quantile(drawn[:, 1], [0.025, 0.5, 0.975]) == pytest.approx([0.068, 0.337, 0.756], abs=0.01)
    assert np.quantile(drawn[:, 2], [0.025, 0.975]) == pytest.approx([0.21, 4.8], abs=0.1)
    assert np.quantile(drawn[:, 3], [0.025, 0.975]) == pytest.approx([0.50, 1.99], abs=0.03)


def test_the_sampler_agrees_with_the_normal_s_closed_form() -> None:
    """One weight a block, standard normal before, and y = x1 w1 + x2 w2 + noise: the posterior and the evidence are known."""
    random = np.random.default_rng(1)
    x = random.normal(size=(50, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])
    y = x @ [0.7, -0.4] + 0.5 * random.normal(size=50)
    target = Target(
        y[:, None], lambda z, channel: x[:, [channel]] * z[:, 0], lambda left: -2 * (left**2).sum(0)
    )  # noise 0.5
    drawn = temper(target, channels=2, dimensions=1, particles=4000, random=random)
    precision = np.eye(2) + 4 * x.T @ x
    mean = np.linalg.solve(precision, 4 * x.T @ y)
    found = drawn.particles[:, :, 0]
    assert found.mean(0) == pytest.approx(mean, abs=0.01)
    assert np.cov(found.T) == pytest.approx(np.linalg.inv(precision), abs=0.002)
    evidence = -2 * y @ y + 2 * mean @ (x.T @ y) - np.linalg.slogdet(precision)[1] / 2
    assert drawn.log_evidence == pytest.approx(evidence, abs=0.15)


def test_ninety_percent_intervals_hold_the_truth_of_simulated_markets() -> None:
    """Simulated: 12 markets of three channels, of which each has its contribution and its answer to more spend."""
    inside = []
    for seed in range(12):
        market = advertising(104, seed=500 + seed)
        curves = respond(market.spend, draws=400, seed=seed).curves([1.0, 1.3])
        for of, truth in (
            (curves[:, :, 0], market.contributions()),
            (curves[:, :, 1] - curves[:, :, 0], market.contributions(1.3) - market.contributions()),
        ):
            low, high = np.quantile(of, [0.05, 0.95], axis=0)
            inside.append((low <= truth) & (truth <= high))
    assert 0.84 <= np.mean(inside) <= 1.0


def test_spend_that_never_changes_is_left_out_by_name() -> None:
    market = advertising(60)
    amounts = np.column_stack([market.spend.amounts[:, :1], np.zeros(60), np.full(60, 5.0)])
    fitted = respond(replace(market.spend, amounts=amounts), draws=200)
    assert fitted.channels == ("search",)
    assert fitted.left_out == {"video": "nothing was spent", "outdoor": "the spend never changes"}


def test_two_runs_agree_and_seeds_give_the_same() -> None:
    market = advertising(80)
    one, other = (respond(market.spend, draws=400, seed=3) for _ in range(2))
    assert one.settled
    assert one.ratio < 1.05
    assert np.array_equal(one.draws, other.draws)


def test_autocorrelation_of_the_noise_is_seen_and_taken_out() -> None:
    market = advertising(156, noise=0.0, seed=4)
    random = np.random.default_rng(5)
    noise = np.zeros(156)
    for row in range(1, 156):
        noise[row] = 0.8 * noise[row - 1] + 25 * random.standard_normal()
    fitted = respond(replace(market.spend, outcome=market.spend.outcome + noise), draws=400)
    assert fitted.autocorrelation > 0.5


def test_controls_take_up_level_trend_season_and_holidays() -> None:
    market = advertising(156)
    beside, notes = controls_of(market.spend)
    assert beside.T @ beside == pytest.approx(np.eye(beside.shape[1]), abs=1e-9)
    at = np.arange(156)
    for column in (np.ones(156), at, np.sin(2 * np.pi * at / (365.25 / 7)), market.spend.known[:, 0]):
        assert column - beside @ (beside.T @ column) == pytest.approx(np.zeros(156), abs=1e-6)
    assert notes == []
    assert "Less than a year and a half" in controls_of(advertising(60).spend)[1][0]["en"]


def test_the_last_periods_are_foretold_better_with_spend() -> None:
    check = held_out(advertising(156, noise=0.02, seed=8).spend, draws=300)
    assert check is not None
    assert check.periods == 19
    assert check.error < check.error_without
    assert check.crps < check.crps_without
    assert 14 <= check.inside <= 19
    assert held_out(advertising(31).spend) is None


HEADER = "time,users,tv,web,price,holiday"


def write(tmp_path: Path, lines: list[str]) -> Path:
    path = tmp_path / "weekly.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return path


def weeks(count: int = 40) -> list[list[str]]:
    from datetime import date, timedelta

    return [
        [
            (date(2025, 1, 6) + timedelta(7 * row)).isoformat(),
            str(100 + row % 7),
            str(row % 5),
            str(row % 3),
            "9.5",
            "na" if row % 13 else "春节",
        ]
        for row in range(count)
    ]


def read(path: Path) -> Spend:
    return read_spend(path, outcome="users", channels=("tv", "web"), controls=("price",), events="holiday")


def test_a_table_of_spend_is_read_in_order_of_time(tmp_path: Path) -> None:
    rows = weeks()
    spend = read(write(tmp_path, [",".join(row) for row in reversed(rows)]))
    assert spend.outcome[:3].tolist() == [100.0, 101.0, 102.0]
    assert spend.controls == ("price", "春节")
    assert spend.known[:, 1].sum() == 4
    assert spend.unit.both() == {"en": "week", "zh": "周"}
    assert spend.as_of == "2025-10-06"


@pytest.mark.parametrize(
    ("row", "column", "value", "error", "message"),
    [
        (3, 2, "", RowError, r"line 5, field 'tv': the cell is missing.*allowed 0 where nothing was spent"),
        (4, 3, "-2", RowError, r"line 6, field 'web': the spend is negative: found -2"),
        (5, 1, "nan", RowError, r"line 7, field 'users': the cell is missing or no finite number"),
        (6, 0, "soon", RowError, r"line 8, field 'time': the time cannot be read"),
        (7, 0, "2025-02-17", InputError, "two lines of one period"),
        (39, 0, "2026-10-06", InputError, "not in even steps"),
    ],
)
def test_a_cell_that_cannot_be_used_is_named(
    row: int, column: int, value: str, error: type[Exception], message: str, tmp_path: Path
) -> None:
    rows = weeks()
    rows[row][column] = value
    with pytest.raises(error, match=message):
        read(write(tmp_path, [",".join(line) for line in rows]))


def test_what_no_response_can_be_fitted_to_is_told(tmp_path: Path) -> None:
    lines = [",".join(row) for row in weeks()]
    with pytest.raises(InputError, match="too few periods to tell a response: found 3"):
        read(write(tmp_path, lines[:3]))
    with pytest.raises(InputError, match="no channel of spend was named"):
        read_spend(write(tmp_path, lines), outcome="users", channels=())
    with pytest.raises(InputError, match=r"no column 'radio'.*--channels"):
        read_spend(write(tmp_path, lines), outcome="users", channels=("radio",))
    spend = read(write(tmp_path, lines))
    with pytest.raises(InputError, match="the outcome never changes"):
        respond(replace(spend, outcome=np.full(40, 5.0)))
    with pytest.raises(InputError, match="no channel's spend ever changes"):
        respond(replace(spend, amounts=np.ones((40, 2))))
    with pytest.raises(InputError, match="too few periods for 2 channels and 33 controls"):
        respond(
            replace(
                spend,
                known=np.random.default_rng(0).normal(size=(40, 31)),
                controls=tuple(f"k{place}" for place in range(31)),
            )
        )
