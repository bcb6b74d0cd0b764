"""Data sets for tests: the work that has a process of its own done in this one, which takes no start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from noria.server.data.child import WORK


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Does the child's work here."""

    def done(do: str, cwd: Path, **asked: Any) -> dict[str, Any]:
        before = Path.cwd()
        os.chdir(cwd)
        try:
            return WORK[do](**asked)
        finally:
            os.chdir(before)

    monkeypatch.setattr("noria.server.data.sets.in_child", done)
