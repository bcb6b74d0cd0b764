"""Off-policy estimates: by hand, against a known truth, and from files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import noria
from noria.cli.main import main
from noria.core.errors import InputError
from noria.grow.promote.offpolicy import Logged, judge, read_logged
from noria.grow.promote.settings import PolicySettings

ARMS = 5


def world(users: int, seed: int, *, hopes: str = "") -> tuple[Logged, float]:
    """Rows of users with tastes of their own, what was drawn of five items, and what another policy is worth in truth."""
    random = np.random.default_rng(seed)
    taste = random.beta(1, 4, size=(users, ARMS))
    each = random.integers(1, 6, users)
    user = np.repeat(np.arange(users), each)
    logging = random.dirichlet(np.full(ARMS, 3.0), users) * 0.8 + 0.2 / ARMS
    other = random.dirichlet(np.full(ARMS, 1.0), users)
    item = np.array([random.choice(ARMS, p=logging[one]) for one in user])
    reward = (random.random(len(user)) < taste[user, item]).astype(float)
    truth = float((other * taste).sum(1) @ each / each.sum())
    model = taste if hopes == "right" else np.full_like(taste, 0.3)
    hope = {"expected": model[user, item], "expected_target": (other * model).sum(1)[user]} if hopes else {}
    return Logged(user, reward, logging[user, item], other[user, item], **hope), truth


def test_by_hand() -> None:
    logged = Logged(np.array([0, 0, 1]), np.array([1.0, 0, 1]), np.array([0.5, 0.5, 0.25]), np.array([0.5, 1.0, 0.5]))
    found = judge(logged)
    assert found.logged.value == pytest.approx(2 / 3)
    assert found.ips.value == pytest.approx((1 + 0 + 2) / 3)
    assert found.snips.value == pytest.approx(3 / 5)
    assert found.dr is None
    assert found.effective == pytest.approx(25 / 9)
    assert (found.rows, found.users, found.most_weight) == (3, 2, 2.0)


def test_the_policy_that_was_live_is_worth_what_was_logged() -> None:
    logged, _ = world(50, 1, hopes="wrong")
    same = Logged(logged.user, logged.reward, logged.propensity, logged.propensity, logged.expected, logged.expected)
    found = judge(same)
    for one in (found.ips, found.snips, found.dr):
        assert one is not None
        assert (one.value, one.low, one.high) == pytest.approx(
            (found.logged.value, found.logged.low, found.logged.high)
        )
    assert found.lift.value == pytest.approx(0)


@pytest.mark.parametrize("hopes", ["wrong", "right"])
def test_the_truth_is_found_on_average_and_a_right_model_narrows_the_interval(hopes: str) -> None:
    errors, widths = [], []
    for seed in range(40):
        logged, truth = world(120, seed, hopes=hopes)
        found = judge(logged)
        assert found.dr is not None
        errors.append([found.ips.value - truth, found.dr.value - truth, found.snips.value - truth])
        widths.append([found.ips.high - found.ips.low, found.dr.high - found.dr.low])  # type: ignore[operator]
    mean, spread = np.mean(errors, axis=0), np.std(errors, axis=0) / 40**0.5
    assert (np.abs(mean) < 4 * spread + 0.002).all()
    assert (np.median(widths, axis=0)[1] < np.median(widths, axis=0)[0]) or hopes == "wrong"


def test_rows_of_one_user_are_no_evidence_of_many() -> None:
    logged, _ = world(60, 3)
    twice = Logged(
        *(np.concatenate([one, one]) for one in (logged.user, logged.reward, logged.propensity, logged.target))
    )
    once, again = judge(logged), judge(twice)
    assert again.ips.low == pytest.approx(once.ips.low)
    assert again.snips.high == pytest.approx(once.snips.high)


def test_what_was_never_drawn_is_said_and_what_weighs_too_much_may_be_cut() -> None:
    logged, _ = world(200, 5)
    never = Logged(logged.user, logged.reward, logged.propensity, logged.target * 0.2)
    assert any(note.code == "policy.no_support" for note in judge(never).notes)
    cut = judge(logged, PolicySettings(most_weight=1.5))
    assert cut.most_weight == 1.5
    assert [note.code for note in cut.notes] == ["policy.cut"]
    assert "200" in cut.text()["zh"]
    with pytest.raises(InputError, match="too few users"):
        judge(Logged(np.zeros(3, np.int64), np.ones(3), np.ones(3), np.ones(3)))


def test_a_file_is_judged_by_command_and_from_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logged, _ = world(80, 7, hopes="wrong")
    file = tmp_path / "decisions.csv"
    names = ("reward", "propensity", "target", "expected", "expected_target")
    assert logged.expected is not None
    lines = [",".join(("user", *names))]
    for row in range(len(logged)):
        lines.append(
            ",".join([f"客户{logged.user[row]}", *(repr(float(getattr(logged, name)[row])) for name in names)])
        )
    file.write_text("\n".join(lines), encoding="utf-8")
    found, same = read_logged(file), judge(logged)
    assert judge(found).dr.value == pytest.approx(same.dr.value)  # type: ignore[union-attr]
    told = noria.promote.policy(file)
    assert len(told.figures) == 5
    assert main(["grow", "promote", "policy", str(file), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["users"] == 80
    assert printed["verdict"].keys() == {"en", "zh"}
    assert main(["grow", "promote", "policy", str(file)]) == 0
    assert "doubly robust" in capsys.readouterr().out


@pytest.mark.parametrize("bad", ["0", "1.5", "-1", "much", ""])
def test_a_number_that_is_none_is_named_with_its_line(
    bad: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "decisions.csv"
    file.write_text(f"user,reward,propensity,target\na,1,0.5,0.5\nb,0,{bad},0.5\n", encoding="utf-8")
    assert main(["grow", "promote", "policy", str(file)]) == 2
    told = capsys.readouterr().err
    assert "line 3" in told
    assert "propensity" in told
