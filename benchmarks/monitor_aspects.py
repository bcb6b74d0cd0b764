"""Which of 18 aspects a restaurant review speaks of, and what it says of each, learned from 100 reviews (ASAP's samples).

Beside lists of words, written here as a team would write them: a review speaks of an aspect where it holds one of its words, and says
of it what most training reviews say of it, or what more good or bad words within the same clause say, whichever is better on the training
reviews. Noria has the same lists and learns from the same 100, with the vectors of their clauses; what is fixed of that was chosen on folds of the
100 and on the 100 of the dev file, and the 100 of the test file judge.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from noria.apps.monitor.aspects import Aspect, Aspects

from .f1 import compared, counted, f1
from .line import Line
from .monitor_trained import bundled, read

KINDS = ("negative", "neutral", "positive")
WORDS: dict[str, str] = {
    "location_traffic": "交通 地铁 公交 车站 火车站 路口 开车 打车",
    "location_distance_from_business_district": "商圈 市中心 购物中心 商场 广场 步行街 商业街 繁华 地段",
    "location_easy_to_find": "好找 难找 找到 找不到 找了 位置 显眼 醒目 门口 隐蔽",
    "service_wait_time": "排队 等位 等了 排了 取号 叫号 等座 拿号 翻台",
    "service_waiters_attitude": "服务 服务员 态度 热情 老板 店员 阿姨 小哥 周到",
    "service_parking_convenience": "停车 车位 停车场 泊车",
    "service_serving_speed": "上菜 出餐 上得 上的快 速度 催 等菜",
    "price_level": "价格 价位 人均 贵 便宜 消费 实惠 价钱",
    "price_cost_effective": "性价比 划算 物有所值 超值 不值 值得",
    "price_discount": "团购 优惠 打折 折扣 活动 券 套餐 免费 送的",
    "environment_decoration": "装修 环境 装饰 风格 布置 格调 情调 氛围",
    "environment_noise": "吵 安静 嘈杂 热闹 音乐 幽静 喧哗 闹",
    "environment_space": "空间 宽敞 拥挤 座位 位子 店面 地方不大 地方很大 包间 小店",
    "environment_cleaness": "干净 卫生 整洁 脏 清洁 清爽",
    "dish_portion": "分量 份量 量大 量足 量少 很大 吃饱 吃撑 量也 一大",
    "dish_taste": "味道 好吃 口味 难吃 口感 鲜 入味 香 嫩 美味",
    "dish_look": "卖相 摆盘 颜色 精致 外观 颜值 好看 造型 色泽",
    "dish_recommendation": "推荐 招牌 特色 必点 必吃 值得一试 首推",
}
GOOD = "不错 好吃 喜欢 热情 干净 便宜 实惠 方便 赞 棒 很好 满意 舒服 美味 新鲜 精致 宽敞 周到 优惠 值得 好找 安静 快"
BAD = "不好 难吃 一般 失望 差 贵 慢 脏 吵 冷淡 少 小 难找 不方便 不新鲜 咸 腻 拥挤 坑 不值 等了 不会再 硬 没有"
Row = dict[str, Any]
Found = list[dict[str, str]]
"""Of each review its aspects with what it says of them."""


def measure(*, quick: bool) -> list[Line]:
    """Return micro F1 of the aspects that are spoken of, and of aspect and label together; none without the folder of data sets.

    It takes half a minute, and quick leaves nothing out.
    """
    if "NORIA_DATA" not in os.environ:
        return []
    from noria.apps.support.knowledge.encoding import passage_embedder

    data = Path(os.environ["NORIA_DATA"]) / "monitor" / "asap-sample"
    train, test = read(data / "train.jsonl"), read(data / "test.jsonl")
    with passage_embedder(bundled("e5")) as embedder:
        assert embedder is not None
        return lines(test, learned(train, test, embedder.probe), by_words(train, test))


def learned(train: Sequence[Row], test: Sequence[Row], embed: Callable[[Sequence[str]], np.ndarray]) -> Found:
    """Return what the monitor finds by the words and by what the training rows taught."""
    given = {name: Aspect(words=tuple(words.split())) for name, words in WORDS.items()}
    aspects = Aspects.of(given, [(row["text"], row["aspects"]) for row in train])
    aspects.learn(embed(aspects.lessons).tolist())
    assert aspects.labelled is not None
    print(f"monitor, aspects: {aspects.labelled.found}, joined {aspects.labelled.joined}", file=sys.stderr)
    parts = [aspects.read(row["text"]) for row in test]
    vectors = embed([one for some in parts for one in some]).tolist()
    found, at = [], 0
    for row, some in zip(test, parts, strict=True):
        own = aspects.found(row["text"], vectors[at : at + len(some)])
        found.append({name: str(one.get("label", "")) for name, one in own.items()})
        at += len(some)
    return found


def by_words(train: Sequence[Row], test: Sequence[Row]) -> Found:
    """Return the aspects whose words a review holds, with a label by the better of two ways on the training rows."""
    usual = {name: Counter(row["aspects"].get(name, "") for row in train) for name in WORDS}
    most = {name: max(KINDS, key=lambda kind: counts[kind]) for name, counts in usual.items()}

    def found(rows: Sequence[Row], label: Callable[[str, str], str]) -> Found:
        return [
            {
                name: label(name, row["text"])
                for name, words in WORDS.items()
                if any(word in row["text"] for word in words.split())
            }
            for row in rows
        ]

    def by_clause(name: str, text: str) -> str:
        clauses = [
            part
            for part in re.split(r"[，。！？!?；;,\n～~]", text)
            if any(word in part for word in WORDS[name].split())
        ]
        good, bad = (sum(word in part for part in clauses for word in some.split()) for some in (GOOD, BAD))
        return "positive" if good > bad else "negative" if bad > good else most[name]

    ways = [lambda name, text: most[name], by_clause]
    best = max(ways, key=lambda way: float(f1(counts(train, found(train, way), together=True).sum(axis=0), "micro")))
    return found(test, best)


def lines(test: Sequence[Row], ours: Found, theirs: Found) -> list[Line]:
    """Return the lines of both measures; what is wanted is more than the words find."""
    made: list[Line] = []
    for together, what in ((False, "aspects spoken of"), (True, "aspects with what is said of each")):
        made += compared(
            f"{what}, zh, from words and 100 reviews, micro F1",
            counts(test, ours, together=together),
            {"words of each aspect": counts(test, theirs, together=together)},
            more=("words of each aspect", 0.0),
            mean="micro",
        )
    return made


def counts(rows: Sequence[Row], found: Found, *, together: bool) -> np.ndarray:
    """Return the counts of each review, of aspects alone or with their labels, [reviews, labels, 3]."""

    def labels(one: Mapping[str, str]) -> set[str]:
        return {f"{name}:{label}" if together else name for name, label in one.items()}

    names = [f"{name}:{kind}" for name in WORDS for kind in KINDS] if together else list(WORDS)
    return counted(
        list(range(len(rows))), [labels(row["aspects"]) for row in rows], [labels(one) for one in found], names
    )


if __name__ == "__main__":
    for line in measure(quick=False):
        print(line.json())
