"""Every small input that once gave a wrong result is held by a test that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
INPUTS = sorted((HERE / "inputs").rglob("*.*"))
TESTS = "\n".join(
    path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py") if path.name != Path(__file__).name
)


@pytest.mark.parametrize("file", INPUTS, ids=lambda path: path.name)
def test_an_input_is_named_by_a_test(file: Path) -> None:
    assert f'"{file.name}"' in TESTS
