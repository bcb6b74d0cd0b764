"""Logs and series that several tests of grow read."""

from __future__ import annotations

import pytest

from noria.grow.bundled import cdnow, cdnow_sample, chatbot_shares
from noria.grow.log.log import Log
from noria.grow.market.share import Shares, shares
from noria.grow.series.series import read_series


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
