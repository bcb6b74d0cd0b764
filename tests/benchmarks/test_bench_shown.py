"""The demo's tables on the pages that people read first."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.results import keep, named
from benchmarks.shown import CLOSE, OPEN, PAGES, ROWS, SETS, fill
from benchmarks.wheel import BARS, lines_of
from tests.benchmarks.test_bench_wheel import MIXED, bits, scored, stage

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    for name in PAGES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_the_tables_are_those_of_the_kept_lines(pages: Path) -> None:
    shutil.copytree(ROOT / "benchmarks/results", pages / "benchmarks/results")
    fill(pages)
    for name in PAGES:
        assert (pages / name).read_text() == (ROOT / name).read_text(), "run: python -m benchmarks wheel --write"


def test_every_measure_is_shown_for_each_instruction_set_and_only_once(pages: Path) -> None:
    told = [
        scored("sentiment", "accuracy", 0.854, (0.017, 0.008, 0.025)),
        scored("entities", "span F1", 0.834, (0.04, 0.03, 0.05)),
        bits(2.21, 2.7, 2.03),
        stage("compress", [], 50.0),
    ]
    (pages / "benchmarks").mkdir()
    for isa, kept in SETS.items():
        lines = lines_of(told, MIXED, 14.2, 60.0, BARS[isa])
        keep(pages / "benchmarks/results", named("wheel", kept), lines, quick=False)
    for _ in range(2):
        fill(pages)
    for name, language in PAGES.items():
        block = (pages / name).read_text(encoding="utf-8").split(OPEN)[1].split(CLOSE)[0]
        assert "| AVX2 | AMX |" in block
        for measure, words in ROWS.items():
            assert f"| {words[language]} |" in block, measure
        assert block.count("0.871") == block.count("0.854") == 2
        assert ("+0.008 .. +0.025" in block) == ("README" not in name)
        assert (pages / name).read_text(encoding="utf-8").count(OPEN) == 1
        assert "README" not in name or (pages / name).stat().st_size <= 6 * 1024
