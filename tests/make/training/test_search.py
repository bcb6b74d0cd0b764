"""The search for settings and cross-validation on a small real model: figures, resumption, bad ranges."""

from __future__ import annotations

import io
import json
import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
from tiny_models import make_encoder

from noria.core.errors import SettingError
from noria.core.figure import Figure
from noria.core.folder import read_manifest
from noria.core.progress import Report
from noria.make.training.search.cross_validation import crossvalidate, mean_interval, spread_figure, summary
from noria.make.training.search.ranges import Range, nested, ranges, with_values
from noria.make.training.search.search import search, toml_section
from noria.make.training.settings import CrossSettings, FinetuneSettings, SearchSettings
from noria.tasks.task import task_for

SHORT = FinetuneSettings(
    steps=6, tokens_per_batch=256, max_length=32, learning_rate=1e-3, evaluations=2, number_type="fp32"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny base, and a table of rows in two languages."""
    folder = tmp_path_factory.mktemp("search")
    lines = ["内容,标签"]
    for number in range(24):
        lines += [f"第{number}间 房间很好 great,好评", f"第{number}次 物流太差 awful,差评"]
    (folder / "rows.csv").write_text("\n".join(lines), encoding="utf-8")
    return make_encoder(folder / "base", "embed", [], 2, compiled=False), folder / "rows.csv"


class Cut(Report):
    """A report that is interrupted at one of its lines, as Ctrl-C would."""

    def __init__(self, at: str) -> None:
        super().__init__(stream=io.StringIO())
        self.at = at

    def note(self, line: str, **facts: object) -> None:
        super().note(line, **facts)
        if self.at in line:
            raise KeyboardInterrupt


def test_a_search_that_was_cut_off_ends_as_one_that_was_not(made: tuple[Path, Path], tmp_path: Path):
    base, rows = made
    tried = ranges(["learning_rate=1e-5..1e-2", "regular.dropout=0,0.1"], SHORT)
    looking = SearchSettings(trials=3, seeds=2)

    def run(name: str, report: Report) -> list[Figure]:
        return search(task_for("classify"), base, rows, None, tmp_path / name, SHORT, tried, looking, report)

    figures = run("whole", Report(stream=io.StringIO()))
    # Its values are drawn, it has not ended: the same trial is gone on with, and drawn as if nothing had happened.
    with pytest.raises(KeyboardInterrupt):
        run("cut", Cut("trial 3 of 3: learning_rate"))
    assert not (tmp_path / "cut").exists()
    assert run("cut", Report(stream=io.StringIO())) == figures
    whole, cut = ((tmp_path / name / "trials.jsonl").read_text() for name in ("whole", "cut"))
    assert whole == cut
    assert {json.loads(line)["state"] for line in whole.splitlines()} <= {"complete", "pruned"}
    assert [figure.n for figure in figures] == [2, 2]
    assert all(figure.low <= figure.value <= figure.high for figure in figures)
    best = tomllib.loads((tmp_path / "whole" / "best.toml").read_text())["finetune"]
    facts = read_manifest(tmp_path / "whole").facts
    assert FinetuneSettings.make(**best) == with_values(
        SHORT, {"learning_rate": facts["best"]["learning_rate"], "regular.dropout": facts["best"]["regular"]["dropout"]}
    )
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_cross_validation_judges_every_row_and_goes_on(made: tuple[Path, Path], tmp_path: Path):
    base, rows = made
    arguments = (task_for("classify"), base, rows, tmp_path / "out", SHORT, CrossSettings(folds=2, seeds=2))
    figures = crossvalidate(*arguments, Report(stream=io.StringIO()))
    named = {figure.name: figure for figure in figures}
    assert named["accuracy"].n == 48
    assert {"accuracy, spread over folds", "accuracy, spread over seeds"} <= set(named)
    lines = [json.loads(line) for line in (tmp_path / "out" / "folds.jsonl").read_text().splitlines()]
    assert [(line["seed"], line["fold"]) for line in lines] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    judged = [line["figures"][0] for line in lines]
    assert sum(one["n"] for one in judged) == 2 * 48
    assert math.isclose(named["accuracy"].value, np.mean([one["value"] for one in judged]))


def test_means_and_spreads_by_hand():
    trainings = [[Figure("accuracy", value, 10)] for value in (0.8, 0.9, 0.7, 0.8)]
    mean, folds, seeds = summary(trainings, CrossSettings(folds=2, seeds=2), source="x", rows=20)
    assert math.isclose(mean.value, 0.8)
    # Student's t with 3 degrees of freedom: 3.182; variance 0.02 / 3 times 1/4 + 1 for the shared rows of two folds.
    assert math.isclose(mean.high - mean.value, 3.18245 * math.sqrt(0.02 / 3 * 1.25), rel_tol=1e-5)
    assert math.isclose(folds.value, math.sqrt(0.01 / 2))
    assert math.isclose(seeds.value, math.sqrt(0.005))
    assert mean_interval([0.5]) == (None, None)
    random = np.random.default_rng(0)
    samples = random.normal(0, 1, (400, 5)).std(axis=1, ddof=1)
    held = [(one := spread_figure("s", float(value), 4, "")).low <= 1 <= one.high for value in samples]
    assert 0.92 < np.mean(held) < 0.98


def test_ranges_are_read_from_flags_and_from_tables_alike():
    said = ranges(["learning-rate=1e-5..1e-3", "adapter.rank=4,8,16", "tokens_per_batch=512..1024"], SHORT)
    assert said == ranges(
        {"learning_rate": "1e-5..1e-3", "adapter": {"rank": [4, 8, 16]}, "tokens_per_batch": "512..1024"}, SHORT
    )
    assert [one.logarithmic for one in said] == [True, False, False]
    assert said[1] == Range("adapter.rank", choices=(4, 8, 16))
    assert said[2].whole
    assert nested({"a.b": 1, "a.c": 2, "d": 3}) == {"a": {"b": 1, "c": 2}, "d": 3}


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (["learning_rat=1..2"], "did you mean learning_rate?"),
        (["adapter.rnk=1,2"], "did you mean adapter.rank?"),
        (["learning_rate"], "NAME=LOW..HIGH or NAME=CHOICE,CHOICE"),
        (["learning_rate=1e-3..1e-5"], "the range of learning_rate is empty"),
        (["learning_rate=0..1e-3"], "learning_rate is not allowed: found '0'"),
        (["adapter.kind=lora..prefix"], "adapter.kind is no number"),
        (["adapter.kind=lora,lara"], "adapter.kind is not allowed: found 'lara'"),
        (["adapter.rank=8"], "one value to try"),
        (["seed=1,2,3"], "--seeds tells the spread over seeds"),
        (["adapter=1,2"], "adapter is a group of settings"),
        (["learning_rate=1e-5..1e-3", "learning_rate=1e-4,1e-3"], "said twice"),
        ([], "nothing to try"),
    ],
)
def test_bad_ranges_are_told_before_any_trial(said: list[str], says: str):
    with pytest.raises(SettingError) as caught:
        ranges(said, SHORT)
    assert says in str(caught.value)


def test_settings_come_back_from_toml():
    settings = SHORT.replace(adapter={"kind": "lora", "rank": 4})
    document = tomllib.loads(toml_section("finetune", settings.model_dump(mode="json")))
    assert FinetuneSettings.make(**document["finetune"]) == settings
