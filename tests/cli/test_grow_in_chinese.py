"""What `noria grow` prints where the terminal is Chinese: no line of English sentences."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from noria.cli.main import main
from noria.core.errors import InputError
from noria.core.messages import message

ENGLISH = re.compile(r"(?<![\w-])[a-z]{2,} [a-z]{2,}(?![\w-])")
"""Two words of English in a row: no name of a column, a flag or a model."""


@pytest.fixture(autouse=True)
def _chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORIA_LANG", "zh")


def english(said: str) -> list[str]:
    """Return the lines that a reader of Chinese alone cannot read."""
    return [line for line in said.splitlines() if ENGLISH.search(line)]


def test_users_of_a_short_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"u{number % 7},{date(2026, 1, 5) + timedelta(days=number % 40)},{number}" for number in range(60)]
    path = tmp_path / "visits.csv"
    path.write_text("\n".join(["user,time,value", "u1,nonsense,3", *lines]), encoding="utf-8")
    assert main(["grow", "users", str(path)]) == 0
    said = capsys.readouterr().out
    assert english(said) == []
    assert "留存（首次，按周）" in said
    assert "没有生命周期预测：太短" in said


def test_shares_name_source_and_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "market.csv"
    path.write_text(
        "月份,品牌,份额\n2026-01,甲,40%\n2026-01,乙,30%\n2026-02,甲,45%\n2026-02,乙,30%\n", encoding="utf-8"
    )
    assert main(["grow", "share", str(path), "--source", "协会月报"]) == 0
    first, heads, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("份额：协会月报（未说明许可），截至")
    assert heads.split()[:4] == ["时间", "甲", "乙", "其他"]
    assert english("\n".join([first, heads, *rest])) == []


def test_an_error_is_a_message_that_goes_on() -> None:
    error = InputError(message("grow.too_short"), found=message("grow.days", days=3), allowed=message("grow.more_11"))
    assert str(error) == error.as_message() == error.text("en")
    assert error.as_message()["zh"] == error.text("zh")
    assert "'3 天'" in error.text("zh")
    assert not ENGLISH.search(error.text("zh"))


def test_a_corrected_p_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"{user},{'treat' if user % 2 else 'control'},{user % 7},{user % 5}" for user in range(40)]
    path = tmp_path / "trial.csv"
    path.write_text("\n".join(["user,variant,outcome,paid", *rows]), encoding="utf-8")
    assert main(["grow", "promote", "experiment", str(path), "--also", "paid"]) == 0
    said = capsys.readouterr().out
    assert english(said) == []
    assert "（已按全部比较校正）" in said


def test_a_flow_s_curves_and_a_log_in_place_of_a_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "flow.csv"
    rows = [f"{2010 + at},机,{value}" for at, value in enumerate((3, 5, 9, 14, 22, 35, 55, 80))]
    path.write_text("\n".join(["年,产品,销量", *rows]), encoding="utf-8")
    asked = ["grow", "forecast", str(path), "--of", "flow", "--source", "年报", "--draws", "100", "--horizon", "2"]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert english(said) == []
    assert "无法识别" in said
    log = tmp_path / "visits.csv"
    log.write_text("user,time,value\na,2026-01-01T08:00:00Z,1\nb,2026-01-02T09:30:00Z,2\n", encoding="utf-8")
    assert main(["grow", "share", str(log)]) == 2
    assert "noria grow users" in capsys.readouterr().err


def test_a_log_of_months_says_by_which_period_to_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "months.csv"
    path.write_text("user,time\na,2024年3月\nb,2024年4月\na,2024年4月\n", encoding="utf-8")
    assert main(["grow", "users", str(path), "--period", "month"]) == 0
    assert "请用 --period month" in capsys.readouterr().out
