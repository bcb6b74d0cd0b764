"""Charts of uplift: the Qini curve, and the effect by fifths of the score."""

from __future__ import annotations

from noria.core.messages import message
from noria.grow.promote.uplift import Uplift

from .chart import GREY, PALETTE, Chart, Text, band, frame, line
from .experiment import cited


def qini_chart(found: Uplift) -> Chart:
    """Return what is gained by addressing users in the order of the score, with the straight line of an order at random."""
    scale, unit = _unit(found)
    curve = found.curve
    shares = [f"{share:.0%}" for share in curve.shares]
    options = frame(shares, unit)
    options["xAxis"]["name"] = message("uplift.users_addressed_highest_score_first")
    low, gain, high = (
        [round(scale * float(value), 4) for value in values] for values in (curve.low, curve.gain, curve.high)
    )
    end = gain[-1]
    options["series"] = [
        *band(low, high, PALETTE[0], message("uplift.interval", level=curve.level)),
        line(message("uplift.score"), gain, PALETTE[0]),
        line(
            message("uplift.at_random"),
            [round(end * float(share), 4) for share in curve.shares],
            GREY,
            dashed=True,
        ),
    ]
    said = (
        message("uplift.score_orders_users_better_than")
        if found.found
        else message("uplift.score_orders_users_no_better")
    )
    return Chart(
        message("uplift.qini_curve.title"),
        message("uplift.qini_curve.meaning", said=said, users=curve.users),
        cited(found.units),
        options,
    )


def fifths_chart(found: Uplift) -> Chart:
    """Return the effect in each fifth of the users, by score, as boxes from one end of the interval to the other."""
    scale, unit = _unit(found)
    options = frame([str(place + 1) for place in range(len(found.groups))], unit)
    options["legend"]["show"] = False
    options["tooltip"] = {"show": False}
    options["xAxis"]["name"] = message("uplift.fifth_users_score_highest_first")
    boxes = []
    for group in found.groups:
        low, value, high = (round(scale * end, 4) for end in (group.low, group.value, group.high))
        boxes.append([low, low, value, high, high] if group.has_interval else [])
    options["series"] = [
        {
            "type": "boxplot",
            "name": unit,
            "data": boxes,
            "boxWidth": [12, 40],
            "itemStyle": {"color": "rgba(79,138,60,0.18)", "borderColor": PALETTE[2], "borderWidth": 2},
            "markLine": {
                "symbol": "none",
                "silent": True,
                "label": {"show": False},
                "lineStyle": {"color": GREY},
                "data": [{"yAxis": round(scale * found.everyone.value, 4)}],
            },
        },
    ]
    return Chart(
        message("uplift.effect_fifths_score.title"),
        message("uplift.effect_fifths_score.meaning", level=found.curve.level),
        cited(found.units),
        options,
        260,
    )


def _unit(found: Uplift) -> tuple[int, Text]:
    if found.binary:
        return 100, message("uplift.points")
    return 1, message("uplift.outcome")
