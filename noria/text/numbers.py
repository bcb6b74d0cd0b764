"""Numbers as people write them in tables: thousands marks, decimal commas, percent signs, full width, 万 and 亿.

    style = style_of(["1.234,5", "12,25"])        # Style(decimal=",")
    number_of("1.234,5", style)                   # Number(1234.5)
    number_of("12.3%", style_of(["12.3%"]))       # Number(12.3, "%")
    number_of("n/a", style)                       # None: missing

One comma with three digits behind it, such as 1,234, is a thousand or a part of one: what the rest of the column shows decides, and
so for a point where cells are divided by semicolons.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

MISSING = frozenset(
    (
        "",
        "-",
        "--",
        "---",
        "–",
        "—",
        ".",
        "..",
        "...",
        ":",
        "/",
        "na",
        "n/a",
        "n.a.",
        "#n/a",
        "nan",
        "null",
        "none",
        "nil",
        "missing",
        "unknown",
        "not available",
        "缺失",
        "缺",
        "无",
        "暂无",
        "未知",
        "未公布",
        "未披露",
        "空",
    )
)
"""What stands in a cell for which there is no value, in lower case."""
_SIGNS = "%‰‱"
HAN = {
    **{"百": 1e2, "千": 1e3, "万": 1e4, "萬": 1e4, "十万": 1e5, "十萬": 1e5, "百万": 1e6, "百萬": 1e6},
    **{"千万": 1e7, "千萬": 1e7, "亿": 1e8, "億": 1e8, "万亿": 1e12, "萬億": 1e12},
}
"""By what a Chinese word behind a number multiplies it."""
_GROUPED = {mark: re.compile(rf"[1-9]\d{{0,2}}(?:{re.escape(mark)}\d{{3}})+") for mark in ",. '"}
_PLAIN = re.compile(r"\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Style:
    """How the numbers of a column are written."""

    decimal: str = "."
    """What stands before the parts of one."""
    open: bool = False
    """Nothing tells whether one mark with three digits behind it means thousands or parts."""


@dataclass(frozen=True)
class Number:
    """A number, and the sign it carried."""

    value: float
    sign: str = ""
    """%, ‰, ‱ or nothing."""


def style_of(cells: Iterable[str], *, commas_divide: bool = True) -> Style:
    """Return how the numbers of a column are written, by those that can be read in one way alone.

    Args:
        cells: of the column.
        commas_divide: whether the table's cells are divided by commas, where a comma within one hardly is a decimal; else a column
            that holds nothing but numbers such as 1,234 or 1.234 is `open`.

    Raises:
        ValueError: some numbers have a decimal comma and others a decimal point; says which.
    """
    evidence: dict[str, str] = {}
    doubtful = False
    for cell in cells:
        body = _body(cell)[0]
        comma, point = body.rfind(","), body.rfind(".")
        if comma >= 0 and point >= 0:
            evidence.setdefault("," if comma > point else ".", cell)
        elif comma >= 0 and not _GROUPED[","].fullmatch(body):
            evidence.setdefault(",", cell)
        elif body.count(",") > 1 or (point >= 0 and not _GROUPED["."].fullmatch(body)):
            evidence.setdefault(".", cell)
        elif body.count(".") > 1:
            evidence.setdefault(",", cell)
        elif comma >= 0 or point >= 0:
            doubtful = True
    if len(evidence) > 1:
        raise ValueError(f"{evidence[',']!r} has a decimal comma, {evidence['.']!r} a decimal point")
    if evidence:
        return Style(next(iter(evidence)))
    return Style(".", open=doubtful and not commas_divide)


def number_of(cell: str, style: Style) -> Number | None:
    """Return the number in a cell; None where the cell says that there is none.

    Raises:
        ValueError: it is no number; says why where more can be said than that.
    """
    body, sign, times = _body(cell)
    if body.casefold() in MISSING:
        return None
    negative = body.startswith(("-", "−", "("))
    body = body.strip("+-−()")
    thousands = "," if style.decimal == "." else "."
    if style.open and any(_GROUPED[mark].fullmatch(body) for mark in ",."):
        raise ValueError("a thousand, or a part of one?")
    whole, decimal, parts = body.partition(style.decimal)
    for mark in (thousands, " ", "'"):
        if mark in whole and _GROUPED[mark].fullmatch(whole):
            whole = whole.replace(mark, "")
    told = whole + ("." + parts if decimal else "")
    if not _PLAIN.fullmatch(told.casefold()):
        raise ValueError("not a number")
    value = float(told) * times
    return Number(-value if negative else value, sign)


def _body(cell: str) -> tuple[str, str, float]:
    """Return the digits of a cell with their marks, its sign of a share, and by what it is multiplied."""
    text = unicodedata.normalize("NFKC", cell.replace("’", "'").replace("‱", "\ue000"))
    text = "".join(mark for mark in text if unicodedata.category(mark) not in ("Sc", "Cf")).replace("\ue000", "‱")
    text = " ".join(text.split())
    sign = text[-1:] if text[-1:] in _SIGNS else ""
    text = text.removesuffix(sign).rstrip() if sign else text
    for name in sorted(HAN, key=len, reverse=True):
        if text.endswith(name) and text != name and text[: -len(name)].strip()[-1:].isdigit():
            return text.removesuffix(name).strip(), sign, HAN[name]
    return text, sign, 1.0
