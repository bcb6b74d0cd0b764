"""Charts of a budget: what each channel would bring at other spends, and the division beside the present one."""

from __future__ import annotations

import numpy as np

from noria.grow.promote.budget import STATUS_ZH, Budget, Channel
from noria.grow.promote.spend import Spend

from .chart import GREY, PALETTE, Chart, band, frame, line


def response_chart(budget: Budget, channel: Channel) -> Chart:
    """Return what a channel brings a period from none of its spend to twice of it, with the band of the draws."""
    responses = budget.responses
    place = responses.channels.index(channel.name)
    multiples = np.linspace(0.0, 2.0, 41)
    curves = responses.curves(multiples, recent=budget.recent)[:, place]
    low, middle, high = np.quantile(curves, [0.05, 0.5, 0.95], axis=0)
    en, zh = responses.spend.unit
    options = frame(
        [f"{multiple * channel.spend:,.3g}" for multiple in multiples],
        {"en": f"{responses.spend.outcome_name} a {en}", "zh": f"每{zh} {responses.spend.outcome_name}"},
    )
    options["xAxis"]["name"] = {"en": f"spend a {en}", "zh": f"每{zh}投入"}
    options["series"] = [
        *band(_rounded(low), _rounded(high), PALETTE[0], {"en": "90% interval", "zh": "90% 区间"}),
        line({"en": "median", "zh": "中位数"}, _rounded(middle), PALETTE[0]),
    ]
    nearest = int(np.argmin(np.abs(multiples - 1)))
    options["series"][-1]["markLine"] = {
        "symbol": "none",
        "silent": True,
        "lineStyle": {"color": GREY},
        "data": [{"xAxis": nearest}],
        "label": {"formatter": {"en": "now", "zh": "当前"}},
    }
    said = {
        "identified": ("The data tell this response.", "数据能够识别该响应。"),
        "flat": ("The data say that it brings next to nothing.", "数据表明它几乎没有作用。"),
        "unidentified": (
            "The data do not tell this response: the band is little more than what was assumed.",
            "数据无法识别该响应：带状区间几乎只是先验假设。",
        ),
    }[channel.status]
    return Chart(
        {"en": f"Response to {channel.name}", "zh": f"对 {channel.name} 的响应"},
        {
            "en": f"{said[0]} The pattern of {en}s stays as it was; only its height changes.",
            "zh": f"{said[1]}各{zh}的投放形态不变，仅改变其高低。",
        },
        cited(responses.spend),
        options,
        260,
    )


def division_chart(budget: Budget) -> Chart:
    """Return each channel's spend at present and, where one is recommended, in the division."""
    spend = budget.responses.spend
    en, zh = spend.unit
    options = frame([channel.name for channel in budget.channels], {"en": f"spend a {en}", "zh": f"每{zh}投入"})
    options["series"] = [_bars({"en": "now", "zh": "当前"}, [channel.spend for channel in budget.channels], GREY)]
    if budget.recommended:
        options["series"].append(
            _bars(
                {"en": "recommended", "zh": "建议"}, [channel.planned or 0.0 for channel in budget.channels], PALETTE[2]
            )
        )
    said = {
        "en": "What is spent at present, and what is recommended."
        if budget.recommended
        else "What is spent at present; nothing else is recommended.",
        "zh": "当前投入与建议投入。" if budget.recommended else "当前投入；不作调整建议。",
    }
    return Chart({"en": "Budget by channel", "zh": "各渠道预算"}, said, cited(spend), options, 280)


def status_text(channel: Channel) -> dict[str, str]:
    """Return a channel's status in both languages."""
    return {"en": channel.status, "zh": STATUS_ZH[channel.status]}


def cited(spend: Spend) -> dict[str, str]:
    """Return where spend and outcome came from, in English and in Chinese."""
    licence = {"en": f" ({spend.licence})", "zh": f"（{spend.licence}）"} if spend.licence else {"en": "", "zh": ""}
    note = (
        {"en": f", {spend.note}", "zh": "，模拟数据" if spend.note == "simulated" else f"，{spend.note}"}
        if spend.note
        else {"en": "", "zh": ""}
    )
    return {
        "en": f"{spend.source}{licence['en']}, as of {spend.as_of}{note['en']}",
        "zh": f"{spend.source}{licence['zh']}，截至 {spend.as_of}{note['zh']}",
    }


def _bars(name: dict[str, str], values: list[float], colour: str) -> dict[str, object]:
    return {
        "type": "bar",
        "name": name,
        "data": [round(value, 2) for value in values],
        "itemStyle": {"color": colour},
        "barMaxWidth": 36,
    }


def _rounded(values: np.ndarray) -> list[float | None]:  # type: ignore[type-arg]
    return [float(f"{value:.5g}") for value in values]
