"""Logs and series that several tests of grow read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from noria.grow.bundled import cdnow, cdnow_sample, chatbot_shares
from noria.grow.log import Log
from noria.grow.market.share import Shares, shares
from noria.grow.series import read_series


@pytest.fixture(scope="session")
def cdnow_log() -> Log:
    """All CDNOW purchases."""
    return cdnow()


@pytest.fixture(scope="session")
def cdnow_tenth() -> Log:
    """The published tenth of them."""
    return cdnow_sample()


@pytest.fixture(scope="session")
def chatbots() -> Shares:
    """The bundled chatbot shares."""
    return shares(read_series(chatbot_shares()))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of shared data sets."""
    folder = os.environ.get("NORIA_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("NORIA_DATA names no folder of shared data sets")
    return Path(folder)
