"""The wheel's lines: a ratio of 1 is the bar itself."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.wheel import BARS, Bars, lines_of, seconds_in
from noria.core.figure import Figure
from noria.core.messages import message, term
from noria.core.progress import Report

gains = st.tuples(st.floats(-0.3, 0.3), st.floats(0.001, 0.1), st.floats(0.001, 0.1)).map(
    lambda one: (one[0], one[0] - one[1], one[0] + one[2])
)


def stage(name: str, figures: list[Figure], seconds: float = 10.0) -> dict:
    return {"name": name, "figures": [figure.as_record() for figure in figures], "seconds": seconds}


def scored(name: str, measure: str, base: float, gain: tuple[float, float, float]) -> dict:
    above = message("figures.above_baseline", measure=term(measure))
    return stage(
        name, [Figure(measure, base + gain[0], 900, 0.1, 0.9, baseline=base), Figure(above, gain[0], 900, *gain[1:])]
    )


def bits(value: float, unigram: float, fifth: float) -> dict:
    names = (("bits per byte", value), ("unigram", unigram), (message("figures.ngram", order=5), fifth))
    return stage("pretrain", [Figure(name, one, 300, one - 0.02, one + 0.02, unit="bits/byte") for name, one in names])


MIXED = [Figure(message("figures.mixed", order=5), 1.9, 300, 1.88, 1.93, unit="bits/byte")]


def reached(lines: list, start: str) -> list[bool]:
    return [line.ratio >= 1 for line in lines if line.measure.startswith(start) and line.peer_name.startswith("wanted")]


@pytest.mark.parametrize("bars", BARS.values(), ids=BARS)
@given(
    sentiment=gains,
    entities=gains,
    value=st.floats(1.5, 3),
    minutes=st.floats(1, 40),
    took=st.floats(1, 200),
    mixed=st.sampled_from([[], MIXED]),
)
def test_a_wanted_ratio_is_one_or_more_where_the_bar_is_reached(
    bars: Bars,
    sentiment: tuple[float, float, float],
    entities: tuple[float, float, float],
    value: float,
    minutes: float,
    took: float,
    mixed: list[Figure],
) -> None:
    told = [
        scored("sentiment", "accuracy", 0.85, sentiment),
        scored("entities", "span F1", 0.8, entities),
        bits(value, 2.7, 2.0),
        stage("compress", [], took),
    ]
    lines = lines_of(told, mixed, minutes, 60.0, bars)
    rival, by = bars.pretrain
    joined = [MIXED[0].value <= 2.0] if mixed and rival == "5-gram" else []
    assert reached(lines, "the demo") == [minutes <= bars.minutes]
    assert reached(lines, "compress") == [took <= 60]
    assert reached(lines, "sentiment") == [0.85 + sentiment[1] >= 0.85 + bars.sentiment]
    assert reached(lines, "entities") == [0.8 + entities[0] >= 0.8 + bars.entities, 0.8 + entities[1] >= 0.8]
    assert reached(lines, "pretrain") == [{"unigram": 2.7, "5-gram": 2.0}[rival] - by >= value, *joined]
    for line in lines:
        assert not math.isfinite(line.low) or line.low <= line.ratio <= line.high
        assert line.json()


def test_what_is_announced_is_read_from_the_plan(tmp_path: Path) -> None:
    from noria.cli.demo.compress import STAGE
    from noria.cli.demo.settings import Context, DemoSettings

    assert seconds_in(STAGE.plan(Context(tmp_path, DemoSettings(), Report.silent()))) > 0
    assert seconds_in("read 35,124 reviews") == 0
