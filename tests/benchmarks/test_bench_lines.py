"""The benchmarks' arithmetic and pages; the measuring itself is `make bench`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.line import compare
from benchmarks.results import page, write_results

FIELDS = {"name", "measure", "noria", "peer", "peer_name", "unit", "ratio", "n", "low", "high", "machine"}


def test_a_ratio_is_the_mean_of_paired_ratios_with_its_interval():
    line = compare("finetune", "speed", [200.0, 220.0, 180.0], [100.0, 100.0, 100.0], "peer, defaults", "tokens/s")
    assert line.ratio == pytest.approx((2.0 * 2.2 * 1.8) ** (1 / 3))
    assert 1 < line.low < line.ratio < line.high
    assert line.low * line.high == pytest.approx(line.ratio**2)


def test_where_less_is_better_the_ratio_turns():
    line = compare("serve", "latency", [1.0, 1.0], [3.0, 3.0], "peer", "ms", higher_is_better=False)
    assert line.ratio == pytest.approx(3.0)


def test_a_line_is_one_json_object_without_a_host_name():
    import platform

    line = compare("finetune", "speed", [2.0], [1.0], "peer", "tokens/s")
    value = json.loads(line.json())
    assert value.keys() == FIELDS
    assert (value["ratio"], value["n"], value["high"]) == (2.0, 1, None)
    if len(platform.node()) > 3:
        assert platform.node() not in value["machine"]
    assert "cores" in value["machine"]


def test_the_page_holds_every_line(tmp_path: Path):
    lines = [compare("finetune", "speed", [2.0, 2.1], [1.0, 1.0], peer, "tokens/s") for peer in ("one", "two")]
    write_results(tmp_path / "RESULTS.md", lines)
    text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert text == page(lines)
    assert text.count("## finetune") == 1
    assert "| one |" in text
    assert "| two |" in text
    assert "2.05" in text


def test_an_unknown_benchmark_is_one_line_and_exit_code_2():
    run = subprocess.run([sys.executable, "-m", "benchmarks", "finetun"], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.startswith("benchmarks: unknown benchmark")
    assert "did you mean finetune?" in run.stderr
    assert run.stderr.count("\n") == 1
