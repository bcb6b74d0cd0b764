"""Charts of uplift: the Qini curve, and the effect by fifths of the score."""

from __future__ import annotations

from noria.grow.promote.uplift import Uplift

from .chart import GREY, PALETTE, Chart, band, frame, line
from .experiment import cited


def qini_chart(found: Uplift) -> Chart:
    """Return what is gained by addressing users in the order of the score, with the straight line of an order at random."""
    scale, unit = _unit(found)
    curve = found.curve
    shares = [f"{share:.0%}" for share in curve.shares]
    options = frame(shares, unit)
    options["xAxis"]["name"] = {"en": "users addressed, the highest score first", "zh": "按得分从高到低触达的用户比例"}
    low, gain, high = (
        [round(scale * float(value), 4) for value in values] for values in (curve.low, curve.gain, curve.high)
    )
    end = gain[-1]
    options["series"] = [
        *band(low, high, PALETTE[0], {"en": f"{curve.level:.0%} interval", "zh": f"{curve.level:.0%} 区间"}),
        line({"en": "by the score", "zh": "按得分"}, gain, PALETTE[0]),
        line(
            {"en": "at random", "zh": "随机"},
            [round(end * float(share), 4) for share in curve.shares],
            GREY,
            dashed=True,
        ),
    ]
    said = {
        "en": "The score orders users better than chance."
        if found.found
        else "The score orders users no better than chance.",
        "zh": "得分的排序优于随机。" if found.found else "得分的排序不优于随机。",
    }
    return Chart(
        {"en": "Qini curve", "zh": "Qini 曲线"},
        {
            "en": f"{said['en']} Outcome gained a treated user, on {curve.users:,} users that the score has not seen.",
            "zh": f"{said['zh']}纵轴为每名实验用户带来的增量，基于得分未见过的 {curve.users:,} 名用户。",
        },
        cited(found.units),
        options,
    )


def fifths_chart(found: Uplift) -> Chart:
    """Return the effect in each fifth of the users, by score, as boxes from one end of the interval to the other."""
    scale, unit = _unit(found)
    options = frame([str(place + 1) for place in range(len(found.groups))], unit)
    options["legend"]["show"] = False
    options["tooltip"] = {"show": False}
    options["xAxis"]["name"] = {"en": "fifth of users by score, the highest first", "zh": "按得分五等分，最高者在前"}
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
        {"en": "Effect by fifths of the score", "zh": "按得分五等分的效应"},
        {
            "en": f"A box is the {found.curve.level:.0%} interval of the effect in a fifth; the line across is the effect on everyone.",
            "zh": f"方框为该五分之一用户效应的 {found.curve.level:.0%} 区间；横线为对所有人的效应。",
        },
        cited(found.units),
        options,
        260,
    )


def _unit(found: Uplift) -> tuple[int, dict[str, str]]:
    if found.binary:
        return 100, {"en": "points", "zh": "百分点"}
    return 1, {"en": "outcome", "zh": "结果"}
