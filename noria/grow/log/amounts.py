"""Amounts as files write them: 1,250.00 or 1.250,00, with a currency, below zero with a sign or in brackets, 3万.

    read_amounts(["1,250.00", "¥35", "(20)"])      # [1250.0, 35.0, -20.0]

Whether a comma parts thousands or decimals, one column tells as a whole; where it cannot, thousands are meant.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal

from noria.text.numbers import HAN

DecimalMark = Literal["", ".", ","]
_MINUS = str.maketrans({"−": "-", "–": "-", "—": "-"})
_MONEY = r"(?:[^\W\d_]{2,3}(?:\$|\.(?=\s*\d))?|[A-Za-z]?[$£€¥₩₽₹฿₫₴₦₪₱₺]|[^\W\d_a-zA-Z]|[Rr](?=\s*\d))"
_MANY = {
    "k": 1e3,
    "tsd": 1e3,
    "thousand": 1e3,
    "m": 1e6,
    "mn": 1e6,
    "mm": 1e6,
    "mio": 1e6,
    "mln": 1e6,
    "million": 1e6,
    "b": 1e9,
    "bn": 1e9,
    "mrd": 1e9,
    "mld": 1e9,
    "billion": 1e9,
    **HAN,
}
"""By what a word behind a number multiplies it."""
_PART = r"(?!(?:分|角|毛|仙|錢|cts?|c|p|gr|pf)\b)"
"""Words for a hundredth or a tenth of a currency: a number before them is no amount of it."""
_FORM = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[+-])?\s*(?:{_MONEY}\s*)?(?P<inner>-)?\s*(?P<number>\d[\d.,'’ \u00a0\u202f]*?|[.,]\d+)\s*"
    rf"(?P<many>{'|'.join(sorted(_MANY, key=len, reverse=True))})?\.?\s*(?:{_PART}(?:{_MONEY}|dollars?|euros?|pounds?|yuan|rupees?|人民币|美元))?"
    r"\s*(?P<after>-)?\s*(?P<close>\))?",
    re.IGNORECASE,
)
_COMMA_IS_DECIMAL = re.compile(r"(?:\d{1,3}(?:[. '’\u00a0\u202f]\d{3})+|\d+),\d+|,\d+")
_POINT_IS_DECIMAL = re.compile(r"(?:\d{1,3}(?:[, '’\u00a0\u202f]\d{2,3})+|\d+)\.\d+|\.\d+")
_THOUSANDS = re.compile(r"\d{1,3}([.,]\d{3})+")


_CURRENCIES = {
    "$": "USD",
    "US$": "USD",
    "USD": "USD",
    "美元": "USD",
    "DOLLAR": "USD",
    "DOLLARS": "USD",
    "€": "EUR",
    "EUR": "EUR",
    "EURO": "EUR",
    "EUROS": "EUR",
    "£": "GBP",
    "GBP": "GBP",
    "¥": "CNY",
    "CNY": "CNY",
    "RMB": "CNY",
    "CN¥": "CNY",
    "元": "CNY",
    "人民币": "CNY",
    "块": "CNY",
    "JP¥": "JPY",
    "JPY": "JPY",
    "円": "JPY",
    "₹": "INR",
    "INR": "INR",
    "RS": "INR",
    "₩": "KRW",
    "KRW": "KRW",
    "R$": "BRL",
    "BRL": "BRL",
    "HK$": "HKD",
    "HKD": "HKD",
    "NT$": "TWD",
    "TWD": "TWD",
    "A$": "AUD",
    "AUD": "AUD",
    "CHF": "CHF",
}
_NAMES_OF_MONEY = re.compile("|".join(re.escape(name) for name in sorted(_CURRENCIES, key=len, reverse=True)))


def currencies(texts: Iterable[str]) -> dict[str, str]:
    """Return the currencies that amounts name, each with the first text that names it."""
    found: dict[str, str] = {}
    for text in texts:
        match = _NAMES_OF_MONEY.search(unicodedata.normalize("NFKC", text).upper())
        if match:
            found.setdefault(_CURRENCIES[match[0]], text)
    return found


def read_amounts(texts: Sequence[str], mark: DecimalMark) -> list[float | None]:
    """Return each text's amount, None for what is none; `mark` stands before the decimals, "." where it is not known."""
    return [_amount(text, mark or ".") for text in texts]


def decimal_mark(texts: Iterable[str]) -> DecimalMark:
    """Return what stands before the decimals in a column's amounts: a comma only where some value can mean nothing else and none
    speaks for a point; "" where nothing tells."""
    comma = point = False
    for text in texts:
        match = _match(text)
        number = match["number"].strip() if match else ""
        if number and not _THOUSANDS.fullmatch(number):
            comma = comma or bool(_COMMA_IS_DECIMAL.fullmatch(number))
            point = point or bool(_POINT_IS_DECIMAL.fullmatch(number))
        elif number.count(".") > 1 and "," not in number:
            comma = True
        elif number.count(",") > 1 and "." not in number:
            point = True
    return "." if point else "," if comma else ""


def multiplied(text: str) -> bool:
    """Return whether an amount is told in thousands, millions and the like, as in 3.5k or 3万."""
    match = _match(text)
    return bool(match and match["many"])


def _match(text: str) -> re.Match[str] | None:
    return _FORM.fullmatch(unicodedata.normalize("NFKC", text).translate(_MINUS).strip())


def _amount(text: str, mark: str) -> float | None:
    match = _match(text)
    if match is None or bool(match["open"]) != bool(match["close"]):
        return None
    whole, _, part = match["number"].strip().partition(mark)
    groups = re.split(r"[.,'’ \u00a0\u202f]", whole)
    apart = len(groups) > 1 and (
        not groups[0]
        or len(groups[0]) > 3
        or len(groups[-1]) != 3
        or any(len(group) not in (2, 3) for group in groups[1:])
    )
    if apart or mark in part or not re.fullmatch(r"\d*", part):
        return None
    value = float(f"{''.join(groups) or '0'}.{part or '0'}") * _MANY.get((match["many"] or "").lower(), 1.0)
    below = bool(match["open"]) or "-" in (match["sign"], match["inner"], match["after"])
    return -value if below else value
