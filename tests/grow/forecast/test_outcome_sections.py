"""Any forecast as a section of the report and of the console: rivals, generations and flows with effort, in both languages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import noria
from noria.console.pages.market import EXAMPLE, asked_ahead
from noria.core.errors import NoriaError, SettingError
from noria.grow.forecast.ahead import Outcome
from noria.grow.report.charts.chart import in_both
from noria.grow.report.page import Section, write_report
from noria.grow.report.sections.joint import outcome_section
from noria.grow.series.calendars import following

HEAD = "# source: simulated, seed 0\n# licence: none\n# as_of: 2026-01-31\ntime,entity,segment,measure,value,unit\n"
MONTHS = ("2022-01", *following(["2022-01"], 13))


def written(path: Path, table: dict[tuple[str, str], np.ndarray]) -> Path:
    lines = [
        f"{time},{name},all,{measure},{value:.4f},users\n"
        for (name, measure), values in table.items()
        for time, value in zip((*MONTHS, *following(MONTHS, 9)), values, strict=False)
    ]
    path.write_text(HEAD + "".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three series: two rivals, two generations, and a flow with a price that is planned."""
    folder, random, n = tmp_path_factory.mktemp("series"), np.random.default_rng(0), np.arange(len(MONTHS))
    new = np.exp(0.05 * n + random.normal(0, 0.03, len(n)).cumsum()) * 100
    written(
        folder / "makers.csv",
        {("new", "users"): new, ("old", "users"): np.maximum(20, 700 - new) + random.normal(0, 3, len(n))},
    )
    late = np.maximum(0, 2.5 * (n - 6)) + np.where(n > 6, random.uniform(0, 1, len(n)), 0)
    early = 100 * np.exp(-0.004 * n**2) + random.uniform(0, 1, len(n))
    written(folder / "systems.csv", {("early", "users"): early, ("late", "users"): late})
    bell = 500 * np.exp(-((n - 9) ** 2) / 30) + random.uniform(5, 15, len(n))
    price = 100 * np.exp(-0.02 * np.arange(len(n) + 4) + random.normal(0, 0.02, len(n) + 4))
    written(folder / "sales.csv", {("phones", "sales"): bell, ("phones", "price"): price})
    return folder


@pytest.fixture(scope="module")
def outcomes(folder: Path) -> dict[str, Outcome]:
    facts = {"draws": 200, "horizon": 3}
    # Only rivals are back-tested: what a back-test shows is the same for all, and takes most of the time.
    silent = {**facts, "holdout": 12}
    launch = ("early=2018-01",)
    return {
        "rivals": noria.forecast(folder / "makers.csv", of="rivals", holdout=2, **facts).study,
        "generations": noria.forecast(folder / "systems.csv", of="generations", launch=launch, **silent).study,
        "flow": noria.forecast(folder / "sales.csv", of="flow", measure="sales", effort=("price",), **silent).study,
    }


@pytest.mark.parametrize("of", ["rivals", "generations"])
def test_series_that_act_on_one_another(outcomes: dict[str, Outcome], of: str) -> None:
    found = outcomes[of]
    section = outcome_section(found)
    assert section.notes[0] == found.verdict()
    assert len(section.charts) == len(section.tables) - 1 == (2 if found.backtest else 1)
    chart = in_both(section.charts[0].options)
    lines = [one for one in chart["series"] if "areaStyle" not in one and one.get("name")]
    assert len(lines) == 4  # of each its past and its median
    assert all(len(one["data"]) == len(MONTHS) + 3 for one in lines if one["lineStyle"]["type"] == "dashed")
    figures, ahead = section.tables[:2]
    assert len(figures.rows) == len(found.figures)
    for row in ahead.rows:
        (told,) = (one for one in found.rows() if one["entity"] == row[0] and one["time"] == found.study.times[-1])
        assert float(str(row[2]).replace(",", "")) == pytest.approx(told["median"], rel=1e-3)
        assert told["low"] <= told["median"] <= told["high"]
    assert [one.figure.value for one in section.figures] == sorted(
        (one.figure.value for one in section.figures), reverse=True
    )


def test_what_acts_on_what_reads_in_both_languages(outcomes: dict[str, Outcome]) -> None:
    rivals, generations = outcomes["rivals"], outcomes["generations"]
    assert [figure.name["zh"] for figure in rivals.figures][
        1
    ] == f"{rivals.study.history.names[1]} 对 {rivals.study.history.names[0]}"  # type: ignore[union-attr]
    assert {figure.name["zh"] for figure in generations.figures} >= {"p", "q", "市场规模，late"}
    assert generations.launched()["zh"].startswith("上市：early 2018-01、late 2022-0")


def test_a_flow_with_effort_has_its_effect_and_its_plan(outcomes: dict[str, Outcome]) -> None:
    section = outcome_section(outcomes["flow"], "phones")
    assert section.key == "phones"
    assert any("generalised Bass" in str(row[0]) and "price" in str(row[2]) for row in section.tables[0].rows)
    assert section.notes[-1]["zh"] == "预测采用序列中已给出的 price。"


def test_the_page_and_the_console_draw_the_same_sections(
    folder: Path, outcomes: dict[str, Outcome], tmp_path: Path
) -> None:
    page = write_report(tmp_path / "p.html", [outcome_section(one, of) for of, one in outcomes.items()])
    text = page.read_text(encoding="utf-8")
    for title in ("竞争者：谁从谁那里夺取", "代际：谁取代谁", "未来走势：phones"):
        assert title in text
    file = folder / "forecast.toml"
    common = "draws = 200\nhorizon = 3\nholdout = 2\n"
    file.write_text(
        f'[a]\nseries = "makers.csv"\nof = "rivals"\n{common}[b]\nseries = "none.csv"\nof = "flow"\n'
        f'[c]\nof = "flow"\n[d]\nseries = "makers.csv"\nof = "sales"\n',
        encoding="utf-8",
    )
    first, *rest = asked_ahead(file)
    assert isinstance(first, Section)
    assert (first.key, first.title) == ("ahead-0", outcome_section(outcomes["rivals"]).title)
    errors = [one for one in rest if not isinstance(one, Section)]
    assert [name for name, _ in errors] == ["b", "c", "d"]
    assert all(isinstance(error, NoriaError) for _, error in errors)
    assert errors[1][1].text("zh").startswith("c 不是指明序列的表")
    file.write_text("[a\n", encoding="utf-8")
    ((_, error),) = asked_ahead(file)  # type: ignore[misc]
    assert "not TOML" in str(error)


def test_the_example_that_the_console_shows_is_a_file_it_reads(tmp_path: Path) -> None:
    file = tmp_path / "forecast.toml"
    file.write_text(EXAMPLE, encoding="utf-8")
    found = asked_ahead(file)
    assert [name for name, _ in found] == ["makers", "systems", "phones"]  # type: ignore[misc]
    assert all("no such series" in str(error) for _, error in found)  # type: ignore[misc]


def test_a_report_is_asked_for_one_more_forecast_or_told_that_its_settings_mean_nothing(tmp_path: Path) -> None:
    with pytest.raises(
        SettingError, match=r"curve, take: settings of a further forecast.*allowed --ahead.of level, --ahead.of flow"
    ):
        noria.report(ahead={"take": ("A",), "curve": "bass"}, out=tmp_path / "p.html")
    with pytest.raises(SettingError, match="of is not allowed"):
        noria.report(ahead={"of": "sales"}, out=tmp_path / "p.html")
