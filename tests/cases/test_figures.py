"""What is told of a model is true: on which numbers it was judged, on which rows, against what, and under which name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CASES = Path(__file__).parent / "inputs" / "build"
ROOT = Path(__file__).parents[2]
EMULATED = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
"""Makes a processor behave like one without instructions for bf16."""


def number_types(folder: Path, number_type: str, **environment: str) -> dict[str, Any]:
    """Return what `number_types.py` found in a process of its own."""
    folder.mkdir()
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("number_types.py")), str(folder), number_type],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize(("number_type", "machine"), [("auto", EMULATED), ("fp32", {})], ids=["slow bf16", "fp32"])
def test_no_product_is_in_bf16_where_the_plan_says_fp32(number_type: str, machine: dict[str, str], tmp_path: Path):
    """(no file) Judging, calibrating, kept states, Muon, last figures, evaluating and certifying, not only the steps."""
    found = number_types(tmp_path / "run", number_type, **machine)
    assert found["chosen"] == "fp32"
    assert found["seconds"] < 3  # of a promised 0.3; loading and other work on the machine included
    assert len(found["products"]) == 8
    assert machine != EMULATED or found["ways"] == ["int8", "weights"]
    if machine != EMULATED:  # where bf16 is fast a served decoder may choose it by its own timing: no plan speaks of it
        del found["products"]["reference of a certificate"]
    assert set(found["products"].values()) == {0}, found["products"]


@pytest.mark.slow
def test_the_counter_sees_products_in_bf16(tmp_path: Path):
    found = number_types(tmp_path / "run", "bf16")["products"]
    trained = {name: count for name, count in found.items() if name.startswith(("finetune", "pretrain"))}
    assert len(trained) == 6
    assert all(trained.values()), found
