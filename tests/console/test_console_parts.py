"""Parts of pages: figures, spans, triangles and charts say what the data say, and escape what comes from outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from noria.console import charts, records
from noria.console.figures import figure_html, interval_text, whisker
from noria.console.pages.overview import headline
from noria.console.pages.playground import highlighted, scores_html
from noria.console.wheel import mark, wheel
from noria.console.words import Words
from noria.core.figure import Figure
from noria.core.folder import MANIFEST
from tests.console.console_run import make_run

EN, ZH = Words("en"), Words("zh")
FIGURE = Figure("accuracy", 0.8927, 1746, 0.878, 0.907, source="held-out reviews", baseline=0.8575)


@pytest.mark.parametrize("row", [True, False])
def test_a_figure_shows_value_n_interval_source_and_baseline(row: bool) -> None:
    html = figure_html(FIGURE, EN, row=row)
    for part in ("0.893", "n = 1,746", "95% interval 0.878 – 0.907", "held-out reviews", "0.858", "ahead"):
        assert part in html
    assert "区间" in figure_html(FIGURE, ZH, row=row)


def test_a_baseline_that_wins_is_said_to_win() -> None:
    worse = Figure("accuracy", 0.80, 100, 0.72, 0.84, baseline=0.8575)
    assert "the baseline wins" in figure_html(worse, EN)
    assert "within the interval" in figure_html(Figure("accuracy", 0.80, 100, 0.72, 0.88, baseline=0.8575), EN)
    fewer = Figure("bits per byte", 2.1, 100, 2.0, 2.2, baseline=2.6)
    assert "ahead of it" in figure_html(fewer, EN)


def test_a_count_has_no_interval_and_says_so() -> None:
    html = figure_html(Figure("requests", 1930, 1930, unit="requests"), EN)
    assert "exact count" in html
    assert "<svg" not in html


def test_foreign_text_is_escaped() -> None:
    nasty = "<img src=x onerror=alert(1)>"
    html = figure_html(Figure(nasty, 1.5, 3, 1, 2, source=nasty, note=nasty, unit=nasty), EN)
    html += highlighted(nasty, [{"start": 0, "end": 4, "label": nasty}], EN) + scores_html({nasty: 0.5}, EN)
    html += wheel(
        dict.fromkeys(("build", "ship", "grow"), nasty),
        dict.fromkeys(("build", "ship", "grow"), '"' + nasty),
        nasty,
    )
    assert "<img" not in html


def test_an_interval_is_told_with_the_digits_it_needs() -> None:
    assert interval_text(0.878, 0.907) == "0.878 – 0.907"
    assert interval_text(0.78152, 0.78158) == "0.7815 – 0.7816"
    assert interval_text(1.0, 1.0) == "1 – 1"


def test_the_whisker_is_drawn_to_scale() -> None:
    def at(figure: Figure) -> float:
        return float(whisker(figure).rpartition('cx="')[2].partition('"')[0])

    assert at(Figure("x", 1, 9, 0, 10)) < at(Figure("x", 5, 9, 0, 10)) == 100 < at(Figure("x", 9, 9, 0, 10))
    assert whisker(Figure("x", 1, 9)) == ""


def test_spans_are_marked_where_they_stand() -> None:
    text = "李明去了北京。"
    html = highlighted(text, [{"start": 4, "end": 6, "label": "LOC"}, {"start": 0, "end": 2, "label": "PER"}], EN)
    assert html.count("<mark") == 2
    assert html.index("李明") < html.index("去了") < html.index("北京") < html.index("。")


def test_a_run_is_read_in_the_order_it_was_made(tmp_path: Path) -> None:
    make_run(tmp_path)
    stages = records.stages(tmp_path)
    assert set(stages) == {"corpus", "pretrain", "sentiment", "entities", "compress", "ship", "grow"}
    assert [figure.name for figure in headline(stages, ("sentiment", "entities", "pretrain"))] == [
        "accuracy",
        "span F1",
        "bits per byte",
    ]
    assert headline(stages, ("nothing",)) == []


def test_a_stage_that_only_began_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "corpus.stage.json").write_text('{"name": "corpus", "key": "0123"}')
    (tmp_path / "torn.stage.json").write_text('{"name": "to')
    assert records.stages(tmp_path) == {}


def test_a_damaged_model_says_what_is_wrong_and_hides_no_other(tmp_path: Path) -> None:
    make_run(tmp_path)
    before = records.signature(tmp_path)
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / MANIFEST).write_text("{")
    found = {model.name: model for model in records.models(tmp_path)}
    assert found["sentiment"].manifest is not None
    assert "cannot be read" in found["broken"].damage
    assert records.signature(tmp_path) != before


def test_a_band_reaches_from_low_to_high() -> None:
    low, width = charts.band("share", [["2026-01", 10.0, 14.0], ["2026-02", 9.0, 15.0]])
    assert low["data"] == [["2026-01", 10.0], ["2026-02", 9.0]]
    assert width["data"] == [["2026-01", 4.0], ["2026-02", 6.0]]
    assert low["stack"] == width["stack"]
    [bar] = charts.band("share", [["2026-01", 10.0, 14.0]])
    assert bar["data"] == [["2026-01", 10.0], ["2026-01", 14.0]]


def test_learning_curves_have_an_axis_each() -> None:
    options = charts.learning({"train": [[0, 1.0]], "valid": [[0, 0.8]]}, x="step", names=["train", "valid"])
    assert [series["yAxisIndex"] for series in options["series"]] == [0, 1]


def test_the_mark_is_an_svg_of_the_size_asked_for() -> None:
    assert 'width="40"' in mark(40)
