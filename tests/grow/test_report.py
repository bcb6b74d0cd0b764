"""The report: one file that stands alone, in two languages, every figure with its proof."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from noria.core.figure import Figure
from noria.core.messages import as_is, message, term
from noria.grow.analysis import study_market
from noria.grow.bundled import chatbot_shares
from noria.grow.changes.finding import of_use
from noria.grow.changes.use import use_of_log
from noria.grow.forecast.study import study_users_ahead
from noria.grow.log.log import Log
from noria.grow.report.charts.chart import Chart, bar_chart, localised
from noria.grow.report.page import Section, Shown, Table, echarts_module, write_report
from noria.grow.report.sections.forecast import forecast_section
from noria.grow.report.sections.market import market_section
from noria.grow.report.sections.usage import usage_section
from noria.grow.report.sections.users import lifetime_section, users_section
from noria.grow.series.series import read_series
from noria.grow.usage import Usage
from noria.grow.users.activity import growth, stickiness
from noria.grow.users.holdout import hold_out
from noria.grow.users.retention import retention

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HAN = re.compile(r"[\u4e00-\u9fff]")


@pytest.fixture(scope="module")
def sections(cdnow_tenth: Log) -> list[Section]:
    market = study_market(read_series(chatbot_shares()))
    served = Usage(
        9,
        2,
        {"request": 8, "feedback": 1},
        (Figure("support", 0.75, 8, 0.4, 0.95, source="server events"),),
        (),
        {"ok": 8},
        (Figure(message("usage.latency.median", app=term("support")), 12.0, 8, 9.0, 15.0, unit="ms"),),
        {"tokens": 80},
        "2026-05-01T00:00:00",
        "2026-05-02T00:00:00",
        (Figure("sentiment", 0.5, 4, 0.15, 0.85, source="server events"),),
    )
    return [
        users_section(
            cdnow_tenth,
            [growth(cdnow_tenth, "week"), growth(cdnow_tenth, "month")],
            retention(cdnow_tenth, "month"),
            stickiness(cdnow_tenth),
        ),
        lifetime_section(hold_out(cdnow_tenth, date(1997, 9, 30), 39, draws=50), cdnow_tenth),
        market_section(market.market, market.forecast, market.backtest),
        forecast_section(study_users_ahead(cdnow_tenth, "month", draws=200)),
        usage_section(served, growth(cdnow_tenth, "month")),
    ]


@pytest.fixture(scope="module")
def page(sections: list[Section], cdnow_tenth: Log, tmp_path_factory: pytest.TempPathFactory) -> Path:
    findings = of_use(use_of_log(cdnow_tenth), cdnow_tenth.text())
    return write_report(tmp_path_factory.mktemp("report") / "report.html", sections, findings=findings, now=NOW)


class Words(HTMLParser):
    """The visible words of a page by language; "" for words that stand in both."""

    def __init__(self) -> None:
        super().__init__()
        self.stack: list[tuple[str, str]] = []
        self.words: dict[str, list[str]] = {"en": [], "zh": [], "": []}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.stack.append((tag, dict(attrs).get("lang") or "" if tag == "span" else ""))

    def handle_endtag(self, tag: str) -> None:
        self.stack.pop()

    def handle_data(self, data: str) -> None:
        tags = [tag for tag, _ in self.stack]
        if data.strip() and not {"script", "style", "title"} & set(tags):
            self.words["".join(language for _, language in self.stack)].append(data.strip())


def test_the_page_needs_nothing_from_elsewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    outside = re.sub(r"<script type=\"module\">.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"<link|<img|<iframe|src=|@import|url\(", outside)


def test_every_word_stands_in_both_languages(page: Path) -> None:
    found = Words()
    found.feed(page.read_text(encoding="utf-8"))
    assert len(found.words["en"]) == len(found.words["zh"]) > 100
    english = [word for word in found.words["en"] if HAN.search(word) and word != "中文"]
    assert english == []
    # What stands in both is numbers, names and codes: nothing that a reader of one language would miss.
    sentences = [word for word in found.words[""] if re.search(r"[a-z]{3,} [a-z]{3,}", word) or HAN.search(word)]
    assert sentences == []


def test_every_figure_shows_its_proof(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    figures = re.findall(r'<div class="figure">.*?</p></div>', text, flags=re.DOTALL)
    assert len(figures) >= 15
    for figure in figures:
        assert re.search(r"· n=[\d,]+</div>", figure)
        assert "interval" in figure or "exact" in figure or "bounds" in figure
        assert "Source: " in figure
        assert "as of " in figure
        assert '<div class="meaning"><span' in figure


def test_charts_are_whole_in_both_languages(sections: list[Section]) -> None:
    charts = [chart for section in sections for chart in section.charts]
    assert len(charts) >= 13
    for chart in charts:
        for language in ("en", "zh"):
            options = localised(chart.options, language)
            assert options["series"]
            assert all(
                np.isfinite([x for x in np.ravel(series["data"]).tolist() if x is not None]).all()
                for series in options["series"]
            )
            assert '"en":' not in json.dumps(options, allow_nan=False)


def test_texts_cannot_break_out_of_the_page(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script>"
    both = as_is(evil)
    chart: Chart = bar_chart([evil], [1], both, both, evil, both)
    section = Section(
        "x",
        both,
        both,
        [Shown(Figure(evil, 1.0, 1, source=evil), both, both)],
        [chart],
        [Table(both, [both], [[evil]])],
    )
    text = write_report(tmp_path / "r.html", [section], title=both, now=NOW).read_text(encoding="utf-8")
    assert "<script>alert" not in text


def test_the_chart_library_is_one_module_that_imports_nothing() -> None:
    module = echarts_module()
    assert re.search(r"window\.echarts=[\w$]+;$", module)
    assert not re.search(r"(^|;)import[{\s\"]", module)
    assert "</script" not in module


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    executable = shutil.which("chromium")
    if not executable:
        pytest.skip("no browser: chromium is missing (apt-get install chromium)")
    from playwright.sync_api import sync_playwright

    flags = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--no-first-run",
        "--disable-sync",
        "--disable-component-update",
    ]
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=executable, args=flags)
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [1440, 390])
def test_the_page_in_a_browser(page: Path, sections: list[Section], browser: object, width: int) -> None:
    view = browser.new_page(viewport={"width": width, "height": 900})  # type: ignore[attr-defined]
    faults: list[str] = []
    view.on("pageerror", lambda error: faults.append(str(error)))
    view.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    view.goto(f"{page.as_uri()}#en")
    view.wait_for_selector("html[data-ready=yes]")
    charts = sum(len(section.charts) for section in sections)
    assert view.locator(".chart svg").count() == view.locator(".chart").count() == charts
    assert view.locator("h2").first.inner_text() == "Users"
    view.locator("button.language").click()
    assert view.locator("h2").first.inner_text() == "用户"
    assert "留存" in view.locator(".chart").first.inner_text()
    assert view.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    assert view.title() == "Noria 报告"
    assert faults == []
    view.close()


ROWS = """() => [...document.querySelectorAll('.cards, .tiles, .findings')].map(grid => {
  const rows = {};
  for (const one of grid.children) {
    const box = one.getBoundingClientRect();
    rows[Math.round(box.top)] = Math.max(rows[Math.round(box.top)] || 0, box.right);
  }
  return Math.max(...Object.values(rows).map(end => Math.abs(Math.round(grid.getBoundingClientRect().right - end))));
})"""


def test_what_must_be_read_is_five_screens_and_cards_fill_their_row(
    sections: list[Section], cdnow_tenth: Log, browser: object, tmp_path: Path
) -> None:
    """Of four times as many sections as here, too: a whole run's report has twenty."""
    many = [
        replace(section, key=f"{section.key}{turn}", charts=[replace(chart) for chart in section.charts])
        for turn in range(4)
        for section in sections
    ][:-1]
    findings = of_use(use_of_log(cdnow_tenth), cdnow_tenth.text()) * 3
    path = write_report(tmp_path / "report.html", many, findings=findings[:3], now=NOW)
    view = browser.new_page(viewport={"width": 1440, "height": 900})  # type: ignore[attr-defined]
    for language in ("en", "zh"):
        view.goto(f"{path.as_uri()}#{language}")
        view.reload()
        view.wait_for_selector("html[data-ready=yes]")
        top = view.evaluate("document.getElementById('appendix').getBoundingClientRect().top + scrollY")
        assert top <= 5 * 900
        assert set(view.evaluate(ROWS)) == {0}  # every row of every grid ends where the grid does
    places = view.evaluate(
        "[...document.querySelectorAll('nav a, .more a, .back')].map(one => one.getAttribute('href').slice(1))"
    )
    assert len(places) == len(many) * 3 + 1
    assert view.evaluate("places => places.every(one => document.getElementById(one))", places)
    view.close()
