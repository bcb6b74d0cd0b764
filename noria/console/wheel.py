"""The water wheel, drawn: the mark of Noria, and the big wheel of the overview with its three wings."""

from __future__ import annotations

import math
from html import escape

BUILD, SHIP, GROW = "#b4692b", "#12748c", "#4f8a3c"
INK, FOAM, WOOD = "#15343c", "#d9ecee", "#8a5a2f"


def mark(size: int) -> str:
    """Return the small wheel as an SVG of `size` pixels."""
    spokes = "".join(
        f'<line x1="32" y1="30" x2="{32 + 19 * math.cos(a):.2f}" y2="{30 + 19 * math.sin(a):.2f}"/>' for a in _angles(8)
    )
    buckets = "".join(
        f'<rect x="29.2" y="5.5" width="5.6" height="6.4" rx="1.4" transform="rotate({i * 45} 32 30)" fill="{WOOD}" stroke="none"/>'
        for i in range(8)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="mark" width="{size}" height="{size}" viewBox="0 0 64 64" aria-hidden="true" fill="none">'
        f'<g stroke="{INK}" stroke-width="2.4" stroke-linecap="round"><circle cx="32" cy="30" r="19"/>{spokes}{buckets}</g>'
        f'<circle cx="32" cy="30" r="4" fill="{INK}"/>'
        f'<path d="M2 52c5-5 10-5 15 0s10 5 15 0 10-5 15 0 10 5 15 0v10H2z" fill="{SHIP}" opacity=".9"/></svg>'
    )


def wheel(names: dict[str, str], targets: dict[str, str], title: str) -> str:
    """Return the big wheel as an SVG.

    Args:
        names: wing (build, ship, grow) -> its name in the language of the page.
        targets: wing -> where a click leads.
        title: what the picture shows, for those who do not see it.
    """
    centre, rim = 200.0, 148.0
    parts = [
        f'<svg class="wheel" viewBox="0 0 400 420" role="img" aria-label="{escape(title, quote=True)}">',
        f"<title>{escape(title)}</title>",
        f'<path class="wave" d="{_wave(352, 7, 0)}" fill="{FOAM}"/>',
        '<g class="wheel-turning">',
        f'<g stroke="{WOOD}" stroke-linecap="round" fill="none"><circle cx="200" cy="200" r="{rim}" stroke-width="5"/>'
        f'<circle cx="200" cy="200" r="{rim - 26}" stroke-width="3"/>',
    ]
    for angle in _angles(16):
        inner, outer = 44, rim - 2
        x, y = math.cos(angle), math.sin(angle)
        parts.append(
            f'<line x1="{centre + inner * x:.1f}" y1="{centre + inner * y:.1f}" x2="{centre + outer * x:.1f}" '
            f'y2="{centre + outer * y:.1f}" stroke-width="2.2" opacity=".75"/>'
        )
    parts.append("</g>")
    for i in range(16):
        parts.append(
            f'<g transform="rotate({i * 22.5} 200 200)"><path d="M191 {200 - rim - 4:.0f}h18l-3 17h-12z" fill="{WOOD}"/>'
            f'<path d="M192.6 {200 - rim + 3:.0f}h14.8l-1.6 9h-11.6z" fill="#7fc4cf"/></g>'
        )
    parts.append("</g>")
    parts.append(f'<path class="wave" d="{_wave(366, 9, 40)}" fill="{SHIP}" opacity=".25"/>')
    parts.append(f'<path class="wave" d="{_wave(392, 8, 90)}" fill="{SHIP}" opacity=".5"/>')
    # Three arcs around the wheel, clockwise: what is built is shipped, what is shipped grows, and round again.
    for wing, start, colour in (("build", 158, BUILD), ("ship", 278, SHIP), ("grow", 38, GROW)):
        parts.append(_arc(wing, start, 104, colour, names[wing], targets[wing]))
    parts.append(
        f'<circle cx="200" cy="200" r="46" fill="#fffdf8" stroke="{WOOD}" stroke-width="3"/>'
        f'<text x="200" y="206" text-anchor="middle" font-size="20" font-weight="650" fill="{INK}">Noria</text></svg>'
    )
    return "".join(parts)


def _arc(wing: str, start: float, sweep: float, colour: str, name: str, target: str) -> str:
    radius = 178.0
    first, last = math.radians(start), math.radians(start + sweep)
    x1, y1 = 200 + radius * math.cos(first), 200 + radius * math.sin(first)
    x2, y2 = 200 + radius * math.cos(last), 200 + radius * math.sin(last)
    tip = math.degrees(last) + 90
    # Along the lower half letters would stand on their heads: there the text runs the other way.
    below = 0 < (start + sweep / 2) % 360 < 180
    a, b, turn, shift = ((x2, y2), (x1, y1), 0, 5.5) if below else ((x1, y1), (x2, y2), 1, 5.5)
    return (
        f'<a class="wing" href="{escape(target, quote=True)}">'
        f'<path d="M{x1:.1f} {y1:.1f}A{radius} {radius} 0 0 1 {x2:.1f} {y2:.1f}" stroke="{colour}" stroke-width="26" '
        f'fill="none" stroke-linecap="butt"/>'
        f'<path d="M-1 -13L13 0L-1 13z" fill="{colour}" transform="translate({x2:.1f} {y2:.1f}) rotate({tip:.1f})"/>'
        f'<path id="arc-{wing}" d="M{a[0]:.1f} {a[1]:.1f}A{radius} {radius} 0 0 {turn} {b[0]:.1f} {b[1]:.1f}" fill="none"/>'
        f'<text font-size="15.5" font-weight="650" fill="#fff" letter-spacing="1.5" dy="{shift}">'
        f'<textPath href="#arc-{wing}" startOffset="50%" text-anchor="middle">{escape(name)}</textPath></text></a>'
    )


def _wave(y: float, height: float, shift: float) -> str:
    crest = "".join(f"q20 {-height if i % 2 else height} 40 0" for i in range(18))
    return f"M{-120 - shift} {y}{crest}V420H-120z"


def _angles(count: int) -> list[float]:
    return [2 * math.pi * i / count for i in range(count)]
