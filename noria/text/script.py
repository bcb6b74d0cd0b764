"""Which script a text is written in, and how long it is in units that are fair to Chinese and English."""

from __future__ import annotations

import re

_HAN = "\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HAN_CHARACTER = re.compile(f"[{_HAN}]")
_UNIT = re.compile(f"[{_HAN}]|[^\\W_{_HAN}]+(?:['’-][^\\W_{_HAN}]+)*")


def han_share(text: str) -> float:
    """Return the share of the text's characters, white space aside, that are Chinese characters."""
    visible = len("".join(text.split()))
    return len(_HAN_CHARACTER.findall(text)) / visible if visible else 0.0


def length(text: str) -> int:
    """Return the length of a text: its Chinese characters plus its words of other scripts.

    >>> length("我爱北京"), length("I don't like it"), length("买了2台iPhone，不错")
    (4, 4, 7)
    """
    return len(_UNIT.findall(text))
