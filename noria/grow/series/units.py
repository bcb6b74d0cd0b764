"""Units of a share, in the ways people write them: percent, per mille, fractions; everything else is an amount.

scale_of("％")       # 100.0
scale_of("pct.")     # 100.0
scale_of("占比")     # 1.0, or 100.0 where values above one say so
scale_of("users")    # None: an amount
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from noria.core.errors import InputError
from noria.core.messages import message
from noria.grow.log.names import plain

Floats = npt.NDArray[np.float64]

_PERCENT = (
    "percent",
    "percents",
    "percentage",
    "percentages",
    "pct",
    "pcts",
    "per cent",
    "percentage points",
    "percentage point",
    "percent points",
    "pct points",
    "pct point",
    "perc",
    "prc",
    "per hundred",
    "parts per hundred",
    "prozent",
    "pourcent",
    "pour cent",
    "por ciento",
    "porcentaje",
    "percentuale",
    "procent",
    "パーセント",
    "퍼센트",
    "百分比",
    "百分数",
    "百分率",
    "百分点",
    "百分之",
)
_MILLE = (
    "per mille",
    "permille",
    "per mil",
    "promille",
    "per thousand",
    "parts per thousand",
    "千分比",
    "千分率",
    "千分之",
    "千分点",
)
_BASIS = ("basis points", "basis point", "bps", "bp", "bips", "permyriad", "万分比", "万分之", "基点")
_MILLION = ("ppm", "per million", "parts per million", "百万分比", "百万分之")
_FRACTION = (
    "fraction",
    "fractions",
    "ratio",
    "ratios",
    "proportion",
    "proportions",
    "part of one",
    "decimal",
    "小数",
    "分数",
)
_SHARE = (
    "share",
    "shares",
    "market share",
    "market shares",
    "份额",
    "市场份额",
    "占比",
    "占有率",
    "市场占有率",
    "市占率",
    "比例",
    "比率",
    "比重",
)
ONE: dict[str, float] = {
    **dict.fromkeys(_PERCENT, 100.0),
    **dict.fromkeys(_MILLE, 1000.0),
    **dict.fromkeys(_BASIS, 10_000.0),
    **dict.fromkeys(_MILLION, 1e6),
    **dict.fromkeys(_FRACTION, 1.0),
    **dict.fromkeys(_SHARE, 1.0),
}
"""Unit -> what one whole is in it."""
_NAMED = re.compile(
    r"\b(?:percent|percentage|percentages|pct|per cent|per mille|permille|basis points|bps)\b|百万分比|百分比|百分率|百分数|千分比|万分比"
)
"""Names of parts that decide wherever they stand, as in "share in percent" and "用户百分比"."""
_SIGNS = {"%": 100.0, "‰": 1000.0, "‱": 10_000.0}
_CALLED = ("share of", "market share", "份额", "占比", "占有率", "市占率")


def scale_of(unit: str) -> float | None:
    """Return what one whole is in a unit of shares, such as 100.0; None for an amount.

    A sign anywhere decides, as in "% of users" and "占比（%）"; so does a unit's name beside what it is of.
    """
    told = plain(unit).replace("per-", "per ").strip(" .()[]")
    for sign, one in _SIGNS.items():
        if sign in told:
            return one
    if told in ONE:
        return ONE[told]
    head = told.split(" of ")[0].split("(")[0].strip(" .")
    if head in ONE:
        return ONE[head]
    named = _NAMED.search(told)
    return ONE[named[0]] if named else None


def read_scale(unit: str, values: Floats, totals: Floats) -> tuple[float | None, str]:
    """Return what one whole is in these values, and a word on it: "percent" where a unit that is silent on it must be percent.

    Args:
        unit: as the series has it.
        values: (times, entities) in that unit.
        totals: (times,), sums of those that are known.

    Raises:
        InputError: values in percent that sum to one throughout: fractions under the wrong unit.
    """
    one = scale_of(unit)
    largest = float(np.nanmax(values)) if not np.isnan(values).all() else 0.0
    if one == 1.0 and largest > 1 + 1e-9 and largest <= 100 + 1e-9 and not _fraction(unit):
        return 100.0, "percent"
    known = totals[totals > 0]
    if one is not None and one > 1 and known.size > 1 and values.shape[1] > 1 and (np.abs(known - 1) < 0.02).all():
        raise InputError(
            message("grow.values_sum", unit=unit, one=one),
            found=message("grow.last_time", known=float(known[-1])),
            allowed=message("grow.forty_unit", one=one),
        )
    return one, ""


def called_share(measure: str) -> bool:
    """Return whether a measure's name says that it is a share."""
    told = plain(measure)
    return any(name in told for name in _CALLED)


def _fraction(unit: str) -> bool:
    return plain(unit).strip(" .()[]").split(" of ")[0] in _FRACTION
