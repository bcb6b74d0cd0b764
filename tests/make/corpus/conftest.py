"""The shared corpora, where there are any."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_corpus() -> Path:
    root = os.environ.get("NORIA_DATA")
    if not root or not (Path(root) / "corpus").is_dir():
        pytest.skip("NORIA_DATA names no folder of shared data sets")
    return Path(root) / "corpus"
