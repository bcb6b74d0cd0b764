"""What a folder of answers says: counts by names, what is left out and why, differences, and the series for shares and forecasts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from assistants import assistants, fixed_part

import noria
from noria.cli.main import main
from noria.core.errors import InputError, SettingError
from noria.grow.answers.asking import ask_all
from noria.grow.answers.endpoint import Assistant
from noria.grow.answers.panel import Panel
from noria.grow.answers.settings import AskSettings, CountSettings
from noria.grow.answers.study import AnswerStudy, study_answers
from noria.grow.answers.tables import Question
from noria.grow.market.share import shares
from noria.grow.report.page import write_report
from noria.grow.report.sections.answers import answers_section
from noria.grow.series.series import read_series
from noria.text.mentions import Brand

BRANDS = [
    Brand("智谱", ("智谱", "GLM")),
    Brand("DeepSeek", ("DeepSeek",)),
    Brand("Apple", ("Apple", "苹果"), ("苹果",)),
]
QUESTIONS = [
    Question(str(n), f"{'哪个模型好' if n % 2 else 'Which model'} {n}?", "zh" if n % 2 else "en") for n in range(12)
]
BRANDED = Question("b", "Is GLM good?", "en")


def script(question: str, before: int, body: dict[str, Any]) -> Any:
    """Assistant one names GLM in every answer, first in those to Chinese questions; two in a quarter; the second wave of two in most."""
    kind = body["model"]
    if question.endswith("3?") and before == 0:
        return "抱歉，我无法回答。"
    if question.endswith("5?") and before == 1:
        return ""
    names = kind == "one" or fixed_part(kind, question) < (0.25 if kind == "two" else 0.9)
    if not names:
        return "DeepSeek 不错。还有苹果。" if question.startswith("哪") else "An apple, or DeepSeek."
    return "智谱很好。DeepSeek很差。" if question.startswith("哪") else "DeepSeek is fine. <b>GLM</b> is good."


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("panel") / "a"
    questions = [*QUESTIONS, BRANDED]
    with assistants(script) as one, assistants(script) as two, assistants(script) as later:
        for day, second in ((30, Assistant("b", two.url, "two")), (31, Assistant("b", later.url, "three"))):
            whom = [Assistant("a", one.url, "one"), second]
            now = datetime(2026, 10, day, 9, tzinfo=UTC)
            ask_all(Panel(folder), questions, BRANDS, whom, AskSettings(draws=3), now=lambda now=now: now)
    return folder


@pytest.fixture(scope="module")
def study(folder: Path) -> AnswerStudy:
    return study_answers(Panel(folder))


def row(study: AnswerStudy, time: str, assistant: str, brand: str) -> dict[str, Any]:
    (found,) = (
        one for one in study.rows() if (one["time"], one["assistant"], one["brand"]) == (time, assistant, brand)
    )
    return found


def test_counts_are_those_of_the_script(study: AnswerStudy) -> None:
    glm = row(study, "2026-10-30", "a", "智谱")
    assert (glm["named"], glm["questions"]) == (1.0, 12)
    assert glm["first"] == pytest.approx(0.5)
    assert glm["share"] == pytest.approx(0.5)
    assert row(study, "2026-10-30", "a", "DeepSeek")["named"] == 1.0
    assert row(study, "2026-10-30", "a", "Apple")["named"] == 0.0
    assert {one["answers"] for one in study.rows() if one["assistant"] == "a"} == {34, 36}
    for one in study.rows():
        for name in ("named", "first", "share"):
            assert one[f"{name}_low"] <= one[name] <= one[f"{name}_high"]


def test_refusals_and_empty_answers_are_counted_apart(study: AnswerStudy) -> None:
    counts = {"asked": 39, "answered": 37, "refused": 1, "empty": 1, "failed": 0, "cut": 0}
    assert study.cells[0].tally == counts


def test_a_question_that_names_a_brand_is_left_out_unless_asked_for(folder: Path, study: AnswerStudy) -> None:
    assert study.branded == ("Is GLM good?",)
    assert all("b" not in cell.questions for cell in study.cells)
    counted = study_answers(Panel(folder), CountSettings(branded=True))
    assert row(counted, "2026-10-30", "a", "智谱")["questions"] == 13
    assert [note.code for note in (study.notes[0], counted.notes[0])] == ["answers.branded", "answers.branded_counted"]


def test_words_of_other_meaning_are_told(study: AnswerStudy) -> None:
    told = {note.code: note for note in study.notes}
    assert told["answers.ambiguous"].values["only"] == told["answers.ambiguous"].values["every"] > 0
    assert told["answers.small"].values["alias"] == "Apple"
    assert told["answers.alike"]["zh"].endswith("再多次也没有新信息")


def test_differences_between_assistants_and_between_dates(study: AnswerStudy) -> None:
    gap = {(one.brand, one.of): one.figure for one in study.between_waves}
    rise = gap["智谱", "b"]
    assert rise.low is not None
    assert (
        0
        < rise.low
        < rise.value
        == pytest.approx(
            row(study, "2026-10-31", "b", "智谱")["named"] - row(study, "2026-10-30", "b", "智谱")["named"]
        )
    )
    still = gap["智谱", "a"]
    assert still.value == 0
    assert still.low is not None
    assert still.low < 0 < (still.high or 0)
    assert {(one.before, one.after, one.of) for one in study.between_assistants} == {("a", "b", "2026-10-31")}
    assert len(study.by_language()) == 2 * 2 * 3


def test_other_brands_count_the_same_raw_answers_anew(folder: Path) -> None:
    anew = study_answers(Panel(folder), brands=[Brand("fine", ("fine", "很差"))])
    assert row(anew, "2026-10-30", "a", "fine")["named"] == 1.0


def test_who_is_well_spoken_of_is_judged_by_the_sentences_that_name_a_brand(folder: Path) -> None:
    seen: list[str] = []

    def judge(texts: Any) -> list[str]:
        seen.extend(texts)
        return ["positive" if "good" in text or "很好" in text else "negative" for text in texts]

    study = study_answers(Panel(folder), sentiment=judge)
    assert row(study, "2026-10-30", "a", "智谱")["well"] == 1.0
    assert row(study, "2026-10-30", "a", "DeepSeek")["well"] == 0.0
    assert row(study, "2026-10-30", "a", "Apple")["well"] is None
    assert "智谱很好。" in seen
    assert "well" not in study_answers(Panel(folder)).rows()[0]


def test_the_series_goes_into_shares_and_their_sums_are_the_study_s(
    folder: Path, study: AnswerStudy, tmp_path: Path
) -> None:
    series = study.write_series(tmp_path / "series.csv")
    text = series.read_text(encoding="utf-8")
    assert text.startswith("# source: answers of a (one, http://127.0.0.1:")
    assert "# as_of: 2026-10-31\n" in text
    market = shares(read_series(series), "answers naming it", "b")
    assert market.times[-1] == "2026-10-31"
    for brand, share in zip(market.entities[:-1], market.values[-1], strict=False):
        assert share == pytest.approx(row(study, "2026-10-31", "b", brand)["share"], abs=1e-4)


def test_a_folder_where_nothing_was_asked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nothing was asked yet"):
        noria.answers.show(tmp_path)


def test_the_commands_from_tables_to_a_series_in_both_languages(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("q.csv").write_text("question\n哪个模型好 1?\nWhich model 2?\n", encoding="utf-8")
    Path("b.csv").write_text("brand,aliases\n智谱,GLM\nDeepSeek,\n", encoding="utf-8")
    with assistants(script, models=("one",)) as server:
        command = [
            "grow",
            "answers",
            "ask",
            "q.csv",
            "--brands",
            "b.csv",
            "--assistant",
            f"bot={server.url}",
            "--out",
            "a",
        ]
        assert main([*command, "--draws", "2", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["answered"], facts["left"]) == (4, 0)
    assert main(["grow", "answers", "show", "a", "--out", "s.csv"]) == 0
    said = capsys.readouterr().out
    assert "bot (one), wave" in said
    assert "100.0% [22.4, 100.0]" in said
    monkeypatch.setenv("NORIA_LANG", "zh")
    assert main(["grow", "answers", "show", "a"]) == 0
    said = capsys.readouterr().out
    assert "首个提及" in said
    assert "bot：2 个问题太少" in said
    assert main(["grow", "answers", "show", "a", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rates"][0]["named"] == 1.0


def test_a_sentiment_server_is_asked_and_must_know_a_label_that_means_well(folder: Path) -> None:
    from assistants import classifiers

    with classifiers(lambda text: "positive" if "good" in text else "negative") as url:
        found = noria.answers.show(folder, sentiment=url)
        assert found.rows[0]["well"] == pytest.approx(0.5, abs=0.05)
        with pytest.raises(
            SettingError, match="none of the labels that mean well: found 'negative, positive'; allowed great"
        ):
            noria.answers.show(folder, sentiment=url, good=("great",))


def test_the_report_has_a_section_with_charts_and_tables_in_both_languages(study: AnswerStudy, tmp_path: Path) -> None:
    section = answers_section(study)
    boxes, *lines = section.charts
    assert [one["name"] for one in boxes.options["series"]] == ["a", "b"]
    place = [brand.name for brand in BRANDS].index("智谱")
    low, _, middle, _, high = boxes.options["series"][1]["data"][place]
    known = row(study, "2026-10-31", "b", "智谱")
    assert (low, middle, high) == pytest.approx(
        tuple(100 * known[name] for name in ("named_low", "named", "named_high")), abs=0.01
    )
    assert [len(one.options["xAxis"]["data"]) for one in lines] == [2, 2]
    assert len(section.figures) == 6
    rates, between, changes = section.tables
    assert (len(rates.rows), len(between.rows), len(changes.rows)) == (6, 3, 6)
    page = write_report(tmp_path / "page.html", [section]).read_text(encoding="utf-8")
    assert "回答份额" in page
    assert "Share of answer" in page
