"""What people make of a text that they pass on: reposts, cuts, comments, other marks, words and order; in English and Chinese."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

LINK = re.compile(r"https?://\S+")
COMMENTS = {
    "en": ("This is huge. ", "Not surprised at all. ", "Worth a read: ", "So much for the rally. ", "Wow, finally! "),
    "zh": ("太离谱了！", "果然不出所料。", "转给大家看看：", "这次真的不一样，", "求证一下，"),
}
SYNONYMS = {
    "en": {
        "shares": "stock",
        "rises": "climbs",
        "rose": "climbed",
        "falls": "drops",
        "fell": "dropped",
        "cuts": "lowers",
        "raises": "lifts",
        "says": "said",
        "beats": "tops",
        "gains": "advances",
        "profit": "earnings",
        "company": "firm",
        "U.S.": "US",
        "and": "&",
        "after": "following",
        "down": "lower",
        "up": "higher",
        "target": "price goal",
        "buy": "purchase",
        "big": "large",
    },
    "zh": {
        "表示": "称",
        "认为": "觉得",
        "公司": "企业",
        "非常": "十分",
        "但是": "不过",
        "因为": "由于",
        "所以": "因此",
        "可以": "能够",
        "没有": "没",
        "就是": "便是",
        "已经": "早已",
        "开始": "着手",
        "目前": "当前",
        "地方": "去处",
        "不错": "挺好",
        "味道": "口味",
        "使用": "采用",
        "以及": "和",
    },
}

Edit = Callable[[str, random.Random], str]


def _reposted(text: str, draw: random.Random) -> str:
    return f"RT @user{draw.randrange(1000)}: {text}"


def _reposted_weibo(text: str, draw: random.Random) -> str:
    return f"转发微博//@用户{draw.randrange(1000)}:{text}"


def _cut(text: str, draw: random.Random) -> str:
    return text[: max(20, int(len(text) * 0.6))].rstrip() + "…"


def _commented(language: str) -> Edit:
    return lambda text, draw: draw.choice(COMMENTS[language]) + text


def _marked(text: str, draw: random.Random) -> str:
    bare = (
        re.sub(r"[,;:!\"'()-]|(?<!\d)\.(?!\d)", "", LINK.sub("", text))
        .replace("，", " ")
        .replace("。", "！")
        .replace("、", ",")
    )
    return bare.upper()


def _reworded(language: str) -> Edit:
    table = SYNONYMS[language]
    edge = r"\b" if language == "en" else ""
    pattern = re.compile("|".join(rf"{edge}{re.escape(word)}(?!\w)" if edge else re.escape(word) for word in table))
    return lambda text, draw: pattern.sub(lambda found: table[found[0]], text)


def _spaced(text: str, draw: random.Random) -> str:
    """Space out the letters of a word, or put marks between characters, as those do whose words are blocked."""
    if re.search(r"[\u4e00-\u9fff]", text):
        start = draw.randrange(max(1, len(text) - 12))
        return text[:start] + "*".join(text[start : start + 12]) + text[start + 12 :]
    words = text.split()
    at = draw.randrange(len(words))
    return " ".join(
        " ".join(word) if at <= place < at + 3 and "/" not in word else word for place, word in enumerate(words)
    )


def _turned(text: str, draw: random.Random) -> str:
    """Put the second clause before the first."""
    parts = re.split(r"(?<=[,，;；])\s*(?!\d)", text, maxsplit=1)
    return f"{parts[1]} {parts[0]}" if len(parts) == 2 else text


def _traditional(text: str, draw: random.Random) -> str:
    import opencc

    return str(opencc.OpenCC("s2t").convert(text))


EDITS: dict[str, dict[str, Edit]] = {
    "en": {
        "reposted": _reposted,
        "cut": _cut,
        "commented": _commented("en"),
        "marks and case": _marked,
        "reworded": _reworded("en"),
        "spaced out": _spaced,
        "turned round": _turned,
    },
    "zh": {
        "reposted": _reposted_weibo,
        "cut": _cut,
        "commented": _commented("zh"),
        "marks": _marked,
        "reworded": _reworded("zh"),
        "spaced out": _spaced,
        "turned round": _turned,
        "traditional": _traditional,
    },
}
