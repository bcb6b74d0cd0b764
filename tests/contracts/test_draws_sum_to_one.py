"""Every draw of every share model sums to one, on any market whatever."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from noria.grow.forecast.joint import rivals, succession
from noria.grow.forecast.levels import effort
from noria.grow.forecast.levels.levels import LEVEL_MODELS
from noria.grow.forecast.scoring.scores import BLEND
from noria.grow.forecast.shares.baseline import MODELS, NAMES
from noria.grow.market.share import shares
from noria.grow.series.calendars import following
from noria.grow.series.series import Floats, Point, Provenance, Series

amounts = arrays(
    np.float64, st.tuples(st.integers(5, 14), st.integers(2, 6)), elements=st.one_of(st.just(0.0), st.floats(1e-3, 1e6))
)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=25, deadline=None)
@given(
    amounts.filter(lambda values: (values.sum(1) > 0).all() and (values.sum(0) > 0).sum() > 1),
    st.integers(1, 12),
    st.integers(0, 9),
)
def test_every_draw_sums_to_one(name: str, values: Floats, horizon: int, seed: int) -> None:
    times = ["2024-01", *following(["2024-01"], len(values) - 1)]
    points = [
        Point(times[row], f"e{column}", "", "revenue", float(values[row, column]), "CNY")
        for row in range(len(values))
        for column in range(values.shape[1])
    ]
    market = shares(Series(tuple(points), Provenance("made", "CC0", date(2026, 1, 1))))
    forecast = MODELS[name](market).ahead(horizon, draws=50, seed=seed)
    assert forecast.draws.shape == (50, horizon, len(market.entities))
    assert np.abs(forecast.draws.sum(-1) - 1).max() < 1e-12
    assert (forecast.draws >= 0).all()


def test_every_model_has_a_name_that_people_read() -> None:
    others = {effort.MODEL, rivals.MODEL, succession.MODEL, BLEND, "cohorts"}
    assert {*MODELS, *LEVEL_MODELS, *others} == set(NAMES)
