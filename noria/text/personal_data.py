"""Find and mask personal data: numbers and addresses that lead to a person.

Covers e-mail, Chinese and English phone numbers, Chinese identity cards (checksum of GB 11643-1999) and US social security
numbers, bank cards (Luhn, ISO/IEC 7812-1), public IP addresses, URLs with a password, and QQ and WeChat names where the
text marks them as such. Names of people are not covered: a tagger finds those.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from .script import narrow


@dataclass(frozen=True)
class Find:
    """One piece of personal data: its kind and place, in characters."""

    kind: str
    start: int
    end: int


@dataclass(frozen=True)
class _Rule:
    kind: str
    pattern: re.Pattern[str]
    holds: Callable[[str], bool] = lambda found: True


def find(text: str) -> list[Find]:
    """Return the personal data in a text, in order and without overlap; the stricter kind wins a shared place.

    >>> find("电话：１３８-００１３-８０００")
    [Find(kind='PHONE', start=3, end=16)]
    """
    if not _WORTH_A_LOOK.search(text):
        return []
    plain = narrow(text)
    finds: list[Find] = []
    for rule in _RULES:
        for match in rule.pattern.finditer(plain):
            start, end = match.span("it")
            if (
                match.groupdict().get("version") is None
                and rule.holds(match["it"])
                and all(end <= other.start or other.end <= start for other in finds)
            ):
                finds.append(Find(rule.kind, start, end))
    return sorted(finds, key=lambda found: found.start)


def mask(text: str) -> tuple[str, list[Find]]:
    """Return the text with <KIND> in the place of personal data, and what was found.

    Repeated until nothing is found, so masking a masked text gives it back unchanged. The finds of the first round are
    in characters of `text`; later rounds, which are rare, in those of the text before them.
    """
    all_finds: list[Find] = []
    while finds := find(text):
        all_finds += finds
        text = "".join(_pieces(text, finds))
    return text, all_finds


def _pieces(text: str, finds: list[Find]) -> Iterator[str]:
    last = 0
    for found in finds:
        yield text[last : found.start]
        yield f"<{found.kind}>"
        last = found.end
    yield text[last:]


def is_identity_card(number: str) -> bool:
    """Tell whether 18 characters are a Chinese identity card number: region, birthday and check digit (ISO 7064 MOD 11-2).

    >>> is_identity_card("11010519491231002X"), is_identity_card("110105194912310021")
    (True, False)
    """
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(weight * int(digit) for weight, digit in zip(weights, number[:17], strict=True))
    return "10X98765432"[total % 11] == number[17].upper()


def is_bank_card(number: str) -> bool:
    """Tell whether a number passes the Luhn check and is no mere repetition of one digit; blanks and hyphens may divide it.

    >>> is_bank_card("6222 0212 3456 7894"), is_bank_card("4111111111111111"), is_bank_card("4111111111111112")
    (True, True, False)
    """
    digits = [int(character) for character in number if character.isdecimal()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_public_address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


def _is_phone_abroad(text: str) -> bool:
    return 8 <= sum(character.isdecimal() for character in text) <= 15


def _is_a_persons_address(text: str) -> bool:
    # example.com and its like belong to nobody (RFC 2606): documentation is full of them.
    return not re.search(r"[@.](?:example\.(?:com|org|net)|[a-z]+\.(?:example|test|invalid))$", text.lower())


_WORTH_A_LOOK = re.compile(r"\d{5}|\d[-. )]\d|@|微信|[Ww]e[Cc]hat|[Vv][Xx]|://|::|[0-9a-fA-F]:[0-9a-fA-F]")
_DASH = r"[-\u2010-\u2015\u2212－]"
# Toll-free lines (800 and 400 in China, 800, 888 ... in America) are a company's, not a person's.
_NO_HOTLINE = r"(?!400|8(?:00|33|44|55|66|77|88))"
# What makes a number a quantity: 13500000000元 is no phone.
_NO_QUANTITY = r"(?!\d)(?!\.\d)(?!\s?(?:元|美元|万|亿|吨|公里|千米|米|人次|人民币|港元|%|％))"
_FREE = r"(?<![\d.A-Za-z])(?<![\d]-)"
_MARK = r"(?:电话|手机|热线|传真|致电|来电|联系方式|[Tt][Ee][Ll](?:ephone)?|[Pp]hone|[Ff]ax|[Mm]obile)"
# Four numbers with points are also how versions are written: after such words, before 版, and in a browser's Name/1.2.3.4.
_VERSION = (
    r"(?:(?<![A-Za-z])(?:[Vv](?:er(?:sions?)?\.?)?|[Rr]elease|[Rr]ev(?:ision)?|[Bb]uild|[Ff]irmware|[Dd]river|[Kk]ernel)"
    r"|(?<![A-Za-z])(?:iOS|Android|HarmonyOS|MIUI|Chrome|Firefox|Edge|Safari)|鸿蒙|安卓|微信"
    r"|(?<![A-Za-z])[Uu]pgrad(?:e|ed|ing)(?:\s+(?:from|to))?|版本号?|固件|驱动|内核|补丁|升级[到至]|降级[到至])(?:\s*(?:[:：=#]|是|为|号|从|由|到|至|is|number|no\.))?\s*[Vv]?\s*"
    r"|(?<![A-Za-z/.:])[A-Za-z][A-Za-z+#]*/"
)
_MORE_VERSIONS = r"(?:\d{1,3}(?:\.\d{1,3}){3}\s*(?:[、~-]|和|或|到|至|and|or|to)\s*)*"
_VERSIONED = r"\s*(?:版(?![权])|固件|[Vv]ersion|[Rr]elease|[Bb]uild)"
_GAP = r"(?:号码?|是|为|\s|[:：.]|number|no)*"


def _rule(kind: str, pattern: str, holds: Callable[[str], bool] = lambda found: True) -> _Rule:
    return _Rule(kind, re.compile(pattern), holds)


_RULES = (
    _rule(
        "URL",
        r"(?P<it>[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s/:@<>\"']{1,64}:[^\s/@<>\"']{1,64}@[A-Za-z0-9.\-]+[^\s<>\"'，。）]*)",
    ),
    _rule(
        "EMAIL",
        r"(?P<it>(?<![A-Za-z0-9._%+-])[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}@(?:[A-Za-z0-9-]{1,63}\.){1,4}[A-Za-z]{2,24})(?![A-Za-z])",
        _is_a_persons_address,
    ),
    _rule(
        "ID",
        r"(?<![\dA-Za-z])(?P<it>[1-9]\d{5}(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx])(?![\dA-Za-z])",
        is_identity_card,
    ),
    _rule("SSN", r"(?<![\d-])(?P<it>(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4})(?![\d-])"),
    _rule(
        "CARD",
        rf"{_FREE}(?P<it>(?:62|4\d|5[1-5]|2[2-7]|6[05]|81)\d{{2}}(?:[ -]?\d{{4}}){{3}}(?:[ -]?\d{{1,3}})?|3[47]\d{{2}}[ -]?\d{{6}}[ -]?\d{{5}}){_NO_QUANTITY}",
        is_bank_card,
    ),
    _rule(
        "PHONE",
        rf"{_FREE}(?P<it>(?:\+?86{_DASH}?\s?)?1[3-9]\d(?:\d{{8}}|[- ]\d{{4}}[- ]\d{{4}}|{_DASH}\d{{4}}{_DASH}\d{{4}})){_NO_QUANTITY}",
    ),
    _rule(
        "PHONE",
        rf"{_FREE}(?P<it>(?:\+86[- ]?)?[(（]?0(?:10|2\d|[3-9]\d{{2}})(?:[)）]\s?|\s?{_DASH}\s?|\s)[1-9]\d{{6,7}}(?:{_DASH}\d{{1,5}})?){_NO_QUANTITY}",
    ),
    _rule("PHONE", rf"{_MARK}{_GAP}(?P<it>[1-9]\d{{6,7}}|0\d{{9,11}}){_NO_QUANTITY}"),
    _rule(
        "PHONE",
        rf"{_FREE}(?P<it>(?:\+?1[-. ])?(?:\({_NO_HOTLINE}[2-9]\d{{2}}\)\s?|{_NO_HOTLINE}[2-9]\d{{2}}[-. ])[2-9]\d{{2}}[-. ]\d{{4}}){_NO_QUANTITY}(?!-)",
    ),
    _rule(
        "PHONE",
        rf"(?<![\d.A-Za-z+])(?P<it>\+[1-9]\d{{0,2}}(?:[ -]?\(?\d{{1,5}}\)?){{2,5}}){_NO_QUANTITY}",
        _is_phone_abroad,
    ),
    _rule(
        "IP",
        rf"(?:(?P<version>(?:{_VERSION}){_MORE_VERSIONS})|(?<![A-Za-z0-9_.:-]))(?P<it>\d{{1,3}}(?:\.\d{{1,3}}){{3}})(?![A-Za-z0-9_-])(?!\.\d)(?!{_VERSIONED})",
        _is_public_address,
    ),
    _rule("IP", r"(?<![\w.:])(?P<it>(?:[0-9A-Fa-f]{1,4}:{1,2}){2,7}[0-9A-Fa-f]{1,4})(?![\w:])", _is_public_address),
    _rule(
        "QQ",
        r"(?:(?<![A-Za-z])[Qq][Qq]|扣扣|加[Qq])(?:号码?|群号?|[Nn]umber)?\s*[:：是为]?\s*(?P<it>[1-9]\d{4,10})(?!\d)",
    ),
    _rule(
        "WECHAT",
        r"(?:微信|威信|(?<![A-Za-z])(?:[Ww]e[Cc]hat|[Ww]ei[Xx]in|[Vv][Xx]))(?:号码?|[Ii][Dd]|\s)*(?:[:：]|(?<=号)|(?<=[Ii][Dd]) ?|是|为)\s*(?P<it>[A-Za-z][A-Za-z0-9_-]{5,19})(?![A-Za-z0-9_-])",
    ),
    _rule(
        "WECHAT",
        r"(?:微信|威信|(?<![A-Za-z])(?:[Ww]e[Cc]hat|[Vv][Xx]))\s*(?P<it>(?=[a-z_-]*\d)[A-Za-z][A-Za-z0-9_-]{5,19})(?![A-Za-z0-9_-])",
    ),
)
KINDS = tuple(dict.fromkeys(rule.kind for rule in _RULES))
