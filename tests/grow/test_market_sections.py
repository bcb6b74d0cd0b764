"""The market's sections in the report: whole in both languages, every figure with its proof, every chart drawn of numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest
from markets import a_range, simulated, table_of

from noria.grow.bundled import chatbot_shares
from noria.grow.log.log import Log
from noria.grow.market.bases import bases
from noria.grow.market.drivers.attraction import explain
from noria.grow.market.drivers.eventstudy import MarketEvent, event_study
from noria.grow.market.drivers.panel import panel_of
from noria.grow.market.needs import needs
from noria.grow.market.penetration import penetration
from noria.grow.market.potential import potential
from noria.grow.market.served import served_series
from noria.grow.market.settings import BasisSettings, TargetSettings
from noria.grow.market.share import Shares
from noria.grow.market.study import Drivers, movement, position
from noria.grow.report.charts.chart import localised
from noria.grow.report.page import Section, write_report
from noria.grow.report.sections.drivers import drivers_section
from noria.grow.report.sections.potential import needs_section, position_section, potential_section
from noria.grow.report.sections.shares import movement_section, served_section
from noria.grow.series.series import read_series
from tests.grow.test_report import HAN, NOW, Words


@pytest.fixture(scope="module")
def sections(chatbots: Shares, cdnow_tenth: Log) -> list[Section]:
    moved = movement(read_series(chatbot_shares()), None, None, BasisSettings())
    events = table_of(
        {"time": "2026-05-04T10:00"},
        {"time": "2026-05-12T10:00", "app": "monitor", "outcome": "failed"},
        {"time": "2026-05-12T10:00", "app": ""},
    )
    split = served_series(events, split="segment", period="week")
    own = movement(split, "requests", None, BasisSettings())
    explained = explain(
        panel_of(simulated(6, 20, 1, effects={"price": -0.05, "rating": 0.1}), "share", ["price", "rating"]),
        repeats=199,
    )
    followed = event_study(
        chatbots, [MarketEvent("Google Gemini", "2025-11"), MarketEvent("Claude", "2026-03")], window=2, repeats=199
    )
    sizes = potential(
        [
            a_range("bank", "top-down", "firms", 10, 20),
            a_range("shop", "top-down", "firms", 10, 20),
            a_range("bank", "bottom-up", "firms", 10, 20),
        ],
        draws=2000,
    )
    reach = penetration(
        ["2020", "2021", "2022", "2023", "2024"], [1, 2, 4, 8, 16], (90, 100), source="made", draws=2000
    )
    flat = penetration(["2020", "2021", "2022", "2023", "2024"], [4, 3, 4, 3, 4], (90, 100), source="made", draws=2000)
    return [
        movement_section(moved.market, moved.decomposition, moved.parts),
        movement_section(own.market, own.decomposition, own.parts),
        served_section(bases(served_series(events))),
        drivers_section(Drivers(explained, followed)),
        potential_section(sizes, reach),
        potential_section(None, flat),
        position_section(position(cdnow_tenth, TargetSettings()), cdnow_tenth),
        needs_section(needs(events, "app"), "2026-05-12"),
    ]


@pytest.fixture(scope="module")
def page(sections: list[Section], tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(tmp_path_factory.mktemp("market") / "report.html", sections, now=NOW).read_text(
        encoding="utf-8"
    )


def test_every_word_stands_in_both_languages(page: str) -> None:
    found = Words()
    found.feed(page)
    assert len(found.words["en"]) == len(found.words["zh"]) > 100
    assert [word for word in found.words["en"] if HAN.search(word) and word != "中文"] == []
    assert [word for word in found.words[""] if re.search(r"[a-z]{3,} [a-z]{3,}", word) or HAN.search(word)] == []


def test_every_figure_shows_its_proof(page: str) -> None:
    figures = re.findall(r'<div class="figure">.*?</p></div>', page, flags=re.DOTALL)
    assert len(figures) >= 15
    for figure in figures:
        assert re.search(r"· n=[\d,]+</div>", figure)
        assert "interval" in figure or "exact" in figure or "bounds" in figure
        assert "Source: " in figure
        assert '<div class="meaning"><span' in figure


def test_charts_are_whole_in_both_languages(sections: list[Section]) -> None:
    charts = [chart for section in sections for chart in section.charts]
    assert len(charts) >= 9
    for chart in charts:
        for language in ("en", "zh"):
            options = localised(chart.options, language)
            assert options["series"]
            numbers = [
                x
                for series in options["series"]
                for value in series["data"]
                for x in np.ravel(np.array(value["value"] if isinstance(value, dict) else value, dtype=object)).tolist()
                if x is not None
            ]
            assert np.isfinite(np.array(numbers, dtype=np.float64)).all()


def test_what_the_data_cannot_tell_is_said(page: str) -> None:
    assert "Not identified: the series holds shares and no amounts" in page
    assert "Claude 2026-03 left out: its window reaches beyond the series." in page
    assert "Not identified: growth is above zero in only" in page
