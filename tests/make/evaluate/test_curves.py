"""The picture of learning curves: well-formed, every point at its place, the kept weights marked."""

from __future__ import annotations

import doctest
import xml.etree.ElementTree as ElementTree

import pytest

from noria.make.evaluate import curves
from noria.make.evaluate.curves import curves_svg, nice_ticks

SVG = "{http://www.w3.org/2000/svg}"


def test_points_stand_where_their_numbers_say() -> None:
    root = ElementTree.fromstring(
        curves_svg({"train": [[10, 1.0], [20, 0.5], [40, 0.0]]}, {"train": "loss <中文> & more"})
    )
    assert "loss <中文> & more" in [text.text for text in root.iter(f"{SVG}text")]
    line = next(root.iter(f"{SVG}polyline")).get("points").split()
    (x1, y1), (x2, y2), (x3, y3) = ([float(number) for number in point.split(",")] for point in line)
    assert (x3 - x2) == pytest.approx(2 * (x2 - x1), abs=0.2)
    assert (y3 - y2) == pytest.approx(y2 - y1, abs=0.2)
    assert y1 < y3, "larger values stand higher"


def test_the_kept_step_is_marked_in_the_judgement_only() -> None:
    picture = curves_svg({"train": [[5, 2.0], [10, 1.0]], "valid": [[5, 0.8], [10, 0.7]]}, best=5)
    root = ElementTree.fromstring(picture)
    assert [text.text for text in root.iter(f"{SVG}text") if "kept" in text.text] == ["kept: 0.8, step 5"]
    assert root.get("width") == "840"


def test_nothing_to_draw_gives_no_picture() -> None:
    assert curves_svg({}) == ""
    assert curves_svg({"train": [], "valid": [[1, float("nan")]]}) == ""


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.13, 0.71), (5.55, 5.73), (-3, 900), (2, 2), (0, 0), (1e-5, 3e-5)])
def test_ticks_are_few_and_enclose(low: float, high: float) -> None:
    ticks = nice_ticks(low, high)
    assert 2 <= len(ticks) <= 7
    assert ticks[0] <= low <= high <= ticks[-1]


def test_examples() -> None:
    assert doctest.testmod(curves).failed == 0


def test_a_baseline_is_a_line_across_inside_the_panel() -> None:
    picture = curves_svg({"valid": [[5, 2.0], [10, 1.8]]}, lines={"valid": {"unigram": 3.1}})
    root = ElementTree.fromstring(picture)
    assert "unigram: 3.1" in [text.text for text in root.iter(f"{SVG}text")]
    (line,) = [one for one in root.iter(f"{SVG}line") if one.get("stroke-dasharray")]
    points = [point.split(",") for point in next(root.iter(f"{SVG}polyline")).get("points").split()]
    assert 0 < float(line.get("y1")) < min(float(y) for _, y in points), "larger values stand higher"
