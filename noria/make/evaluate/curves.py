"""Learning curves as a picture: the loss of training and the judgement of held-out rows over the steps, in SVG.

curves_svg({"train": [[10, 0.7], [20, 0.4]], "valid": [[20, 0.88]]}, {"train": "loss", "valid": "accuracy"}, best=20)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 420, 240
"""Of one panel, in pixels."""
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 30, 34
COLOURS = ("#1f6f8b", "#b5523b", "#6b7a2f", "#7a4f8b")
Points = Sequence[Sequence[float]]


def curves_svg(
    curves: Mapping[str, Points],
    names: Mapping[str, str] | None = None,
    *,
    best: int = 0,
    lines: Mapping[str, Mapping[str, float]] | None = None,
) -> str:
    """Return one SVG picture with a panel a curve, side by side over the same steps.

    Args:
        curves: name -> [[step, value]...]; those without a finite value are left out.
        names: name -> what stands above its panel; the name itself where none is given.
        best: the step whose weights were kept, marked in every panel but that of training; 0 marks none.
        lines: name -> what is drawn across its panel for comparison: the name and the value of each, as of baselines.

    Returns:
        the picture's text; empty where there is nothing to draw.
    """
    drawn = {name: _finite(points) for name, points in curves.items()}
    drawn = {name: points for name, points in drawn.items() if points}
    if not drawn:
        return ""
    last = max(points[-1][0] for points in drawn.values())
    if not last:  # a run without steps is a point
        return ""
    panels = [
        _panel(
            place,
            (names or {}).get(name, name),
            points,
            last,
            best if name != "train" else 0,
            (lines or {}).get(name, {}),
        )
        for place, (name, points) in enumerate(drawn.items())
    ]
    width = WIDTH * len(panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="#333333" role="img">\n<title>Learning curves</title>\n'
        f'<rect width="{width}" height="{HEIGHT}" fill="#ffffff"/>\n' + "\n".join(panels) + "\n</svg>\n"
    )


def _finite(points: Points) -> list[tuple[float, float]]:
    return [(step, value) for step, value in points if math.isfinite(value)]


def _panel(
    place: int, name: str, points: list[tuple[float, float]], last: float, best: int, lines: Mapping[str, float]
) -> str:
    colour = COLOURS[place % len(COLOURS)]
    values = [*(value for _, value in points), *lines.values()]
    low, high = min(values), max(values)
    ticks = nice_ticks(low, high)
    low, high = min(low, ticks[0]), max(high, ticks[-1])
    inner, depth = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def across(step: float) -> float:
        return LEFT + inner * step / last

    def down(value: float) -> float:
        return TOP + depth * (high - value) / (high - low)

    parts = [
        f'<g transform="translate({place * WIDTH} 0)">',
        f'<text x="{LEFT}" y="18" font-weight="bold">{escape(name)}</text>',
    ]
    for tick in ticks:
        y = down(tick)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e3e3e3"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in nice_ticks(0, last):
        if 0 <= tick <= last:
            parts.append(
                f'<text x="{across(tick):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>'
            )
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end" fill="#777777">steps</text>')
    for other, value in lines.items():
        y = down(value)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#777777" stroke-dasharray="5 4"/>'
        )
        parts.append(
            f'<text x="{WIDTH - RIGHT}" y="{y - 4:.1f}" text-anchor="end" fill="#555555">{escape(other)}: {value:.4g}</text>'
        )
    line = " ".join(f"{across(step):.1f},{down(value):.1f}" for step, value in points)
    parts.append(
        f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.6" stroke-linejoin="round"/>'
    )
    if len(points) <= 20:
        parts += [f'<circle cx="{across(s):.1f}" cy="{down(v):.1f}" r="2.5" fill="{colour}"/>' for s, v in points]
    for step, value in points:
        if best and step == best:
            parts.append(f'<circle cx="{across(step):.1f}" cy="{down(value):.1f}" r="6" fill="none" stroke="#333333"/>')
            parts.append(f'<text x="{WIDTH - RIGHT}" y="18" text-anchor="end">kept: {value:.4g}, step {step:g}</text>')
    return "\n".join([*parts, "</g>"])


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers from at or below `low` to at or above `high`, `most` or fewer.

    >>> nice_ticks(0.13, 0.71)
    [0.0, 0.2, 0.4, 0.6, 0.8]
    """
    if high <= low:
        room = abs(low) * 0.1 or 1.0
        low, high = low - room, high + room
    rough = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    for step in (power * factor for factor in (1, 2, 5, 10, 20, 50)):
        first, end = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        if end - first < most:
            break
    # Counted, not added up: 0.1 + 0.2 is no round number.
    return [float(f"{number * step:.10g}") for number in range(first, end + 1)]
