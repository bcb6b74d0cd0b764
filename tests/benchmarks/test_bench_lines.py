"""The benchmarks' arithmetic and pages; the measuring itself is `make bench`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.line import compare, single
from benchmarks.results import keep, kept_rows, write_page

FIELDS = {"name", "measure", "noria", "peer", "peer_name", "unit", "ratio", "n", "low", "high", "machine"}


def test_a_ratio_is_the_mean_of_paired_ratios_with_its_interval():
    line = compare("finetune", "speed", [200.0, 220.0, 180.0], [100.0, 100.0, 100.0], "peer, defaults", "tokens/s")
    assert line.ratio == pytest.approx((2.0 * 2.2 * 1.8) ** (1 / 3))
    assert 1 < line.low < line.ratio < line.high
    assert line.low * line.high == pytest.approx(line.ratio**2)


def test_where_less_is_better_the_ratio_turns():
    line = compare("serve", "latency", [1.0, 1.0], [3.0, 3.0], "peer", "ms", higher_is_better=False)
    assert line.ratio == pytest.approx(3.0)


def test_a_number_without_an_interval_stands_beside_another_in_the_same_form():
    for higher, ratio in ((True, 2.0), (False, 0.5)):
        told = json.loads(single("serve", "latency", 4.0, 2.0, "wanted", "ms", 7, higher_is_better=higher).json())
        assert told.keys() == FIELDS
        assert (told["noria"], told["peer"], told["ratio"], told["n"], told["low"], told["high"]) == (
            4.0,
            2.0,
            ratio,
            7,
            None,
            None,
        )


def test_a_line_is_one_json_object_without_a_host_name():
    import platform

    line = compare("finetune", "speed", [2.0], [1.0], "peer", "tokens/s")
    value = json.loads(line.json())
    assert value.keys() == FIELDS
    assert (value["ratio"], value["n"], value["high"]) == (2.0, 1, None)
    if len(platform.node()) > 3:
        assert platform.node() not in value["machine"]
    assert "cores" in value["machine"]


def test_the_page_holds_every_line_that_was_kept_and_the_last_run_counts(tmp_path: Path):
    for value in (7.0, 2.0):
        lines = [compare("finetune", "speed", [value, 2.1], [1.0, 1.0], peer, "tokens/s") for peer in ("one", "two")]
        keep(tmp_path / "results", "finetune", lines, quick=True)
    keep(tmp_path / "results", "lora", [compare("lora", "time", [1.0], [3.0], "three", "s")], quick=False)
    write_page(tmp_path / "RESULTS.md")
    text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert text.count("## finetune") == text.count("## lora") == 1
    assert all(f"| {peer} |" in text for peer in ("one", "two", "three"))
    assert "2.05" in text
    assert "7.00" not in text
    assert "| one run | 1 |" in text
    assert len(kept_rows(tmp_path / "results", "finetune")) == 2


def test_an_unknown_benchmark_is_one_line_and_exit_code_2():
    run = subprocess.run([sys.executable, "-m", "benchmarks", "finetun"], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.startswith("benchmarks: unknown benchmark")
    assert "did you mean finetune?" in run.stderr
    assert run.stderr.count("\n") == 1
