"""Needs not met: counted once a request, whatever the reasons, and only on the word of its own tenant."""

from __future__ import annotations

import pytest
from markets import table_of

from noria.core.errors import InputError, SettingError
from noria.grow.market.needs import needs


def test_a_request_is_unmet_once() -> None:
    at = "2026-05-04T10:00"
    table = table_of(
        {"time": at, "segment": "refund", "outcome": "failed"},  # 0
        {"time": at, "segment": "refund", "user": "u2"},  # 1: handed over, and judged wrong
        {"time": at, "segment": "refund"},  # 2: judged wrong, then right
        {"time": at, "segment": "hours"},  # 3: judged wrong by another tenant
        {"time": at, "segment": "hours", "outcome": "blocked"},  # 4
        {"time": at, "kind": "handover", "subject": "1"},
        {"time": at, "kind": "handover", "subject": "1"},
        {"time": at, "kind": "feedback", "subject": "1", "value": -1.0},
        {"time": at, "kind": "feedback", "subject": "2", "value": -1.0},
        {"time": "2026-05-04T11:00", "kind": "feedback", "subject": "2", "value": 1.0},
        {"time": at, "kind": "feedback", "subject": "3", "value": -1.0, "tenant": "else"},
    )
    refund, hours = needs(table)
    assert (refund.topic, refund.requests, refund.users) == ("refund", 3, 2)
    assert refund.unmet.value == pytest.approx(2 / 3)
    assert refund.reasons == {"not answered": 1, "handed over": 1, "judged wrong": 1}
    assert (hours.unmet.value, hours.demand.value) == (0.5, pytest.approx(0.4))
    assert hours.unmet.n == 2


def test_what_has_no_needs() -> None:
    table = table_of({"time": "2026-05-04T10:00"})
    assert needs(table, "app")[0].topic == "support"
    with pytest.raises(SettingError, match="unknown column of topics"):
        needs(table, "user")
    with pytest.raises(InputError, match="no request yet"):
        needs(table.filter(table.kind == "alert"))
