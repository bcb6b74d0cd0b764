"""The page of promotion: what it says of sizes, of a plan of one's own, and of the simulated one."""

from __future__ import annotations

from pathlib import Path

import pytest

from noria.console.pages.promote import example, plan_html, planned, served, size_text
from noria.console.sections import figure_of
from noria.console.words import Words
from noria.core.errors import InputError, SettingError
from noria.grow.report.sections.promotion import promotion_sections

EN, ZH = Words("en"), Words("zh")


def test_a_size_is_told_in_both_languages() -> None:
    assert "14,751 users in the control group" in size_text(10, 10, None, EN)
    assert "60 days" in size_text(10, 10, 500, EN)
    assert "14,751 人" in size_text(10, 10, 500, ZH)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ((None, 10, None), "both rates are the same"),
        ((10, 0, 1), "both rates are the same"),
        ((90, 50, 1), "the other rate is out of range"),
        ((10, 10, -5), "users_a_day is not allowed"),
    ],
)
def test_numbers_that_are_no_experiment_are_told(numbers: tuple[float | None, ...], message: str) -> None:
    assert message in size_text(*numbers, EN)  # type: ignore[arg-type]


def test_the_example_says_that_it_is_simulated() -> None:
    study = example()
    assert study.plan.simulated
    assert all(shown.figure.note == "simulated" for section in promotion_sections(study) for shown in section.figures)
    html = plan_html(study, ZH)
    assert "目标人群" in html
    assert html.count("<h3>") == html.count("<ul")


def test_a_figure_keeps_its_proof_and_gets_its_language() -> None:
    shown = promotion_sections(example())[1].figures[0]
    figure = figure_of(shown, ZH)
    assert (figure.n, figure.low, figure.unit) == (shown.figure.n, shown.figure.low, "个百分点")
    assert "之差" in figure.name


def test_a_plan_of_one_s_own_is_read_from_its_file(tmp_path: Path) -> None:
    lines = [f"u{row},{'a' if row % 2 else 'b'},{int(row % 10 < 2 + 3 * (row % 2))}" for row in range(2000)]
    (tmp_path / "users.csv").write_text("\n".join(["user,variant,bought", *lines]) + "\n", encoding="utf-8")
    file = tmp_path / "promotion.toml"
    file.write_text(
        '[files]\nexperiment = "users.csv"\n[units]\noutcome = "bought"\ncontrol = "b"\n[plan]\nreach = 5000\n',
        encoding="utf-8",
    )
    study = planned(file, 1.0)
    assert not study.plan.simulated
    assert "everyone alike, with a" in study.plan.text("en")
    file.write_text('[file]\nexperiment = "users.csv"\n', encoding="utf-8")
    with pytest.raises(SettingError, match=r"unknown section.*files"):
        planned(file, 2.0)
    file.write_text('[files]\nexperiment = "none.csv"\n', encoding="utf-8")
    with pytest.raises(InputError, match="no such table"):
        planned(file, 3.0)


def test_a_server_that_showed_nothing_has_nothing_to_compare(tmp_path: Path) -> None:
    (tmp_path / "outbox").mkdir()
    assert served(tmp_path) is None
