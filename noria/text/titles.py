"""What people write above the names of the columns: a report's title, the day it was made."""

from __future__ import annotations

import re
from collections.abc import Sequence

_MOST = 8
"""Rows in which the names of the columns are looked for."""
_LONGEST = 8
"""Characters of a Chinese name such as 下单时间; a sentence that ends with a usual name is longer."""
_WORDS = (
    "text texts content contents label labels id no number date time title subject body message sentence sentence1 sentence2 "
    "review reviews comment comments category class intent sentiment tag tags name question answer context score rating "
    "source target url query document summary utterance spans tokens anchor positive user output input instruction "
    "文本 内容 正文 标题 句子 评论 评价 留言 问题 答案 回答 标签 类别 分类 情感 意图 序号 编号 日期 时间 姓名 用户 评分 来源"
)
_AMOUNTS = (
    "customer client member account timestamp datetime day week month quarter year period amount revenue sales units quantity orders "
    "entity brand company product vendor model region country segment market measure metric share value unit "
    "客户 会员 顾客 月份 年份 季度 年月 金额 销售额 销量 数量 品牌 公司 企业 厂商 产品 名称 地区 省份 城市 市场 指标 份额 单位 数值"
)
_TEXTS, _NAMES = frozenset(_WORDS.split()), frozenset((_WORDS + " " + _AMOUNTS).split())
"""Usual names of columns: by one of them a row is held to be the header."""
_HAN_NAMES = tuple(name for name in _NAMES if not name.isascii())
_OF_WHAT = re.compile(r"\s*[(（\[【].*$")
"""What a name's unit stands in, as in 金额(万元)."""
_PERIOD = re.compile(
    r"(?:19|2[01])\d\d(?:年|年?[-/.]?(?:0?[1-9]|1[0-2])月?|[- ]?Q[1-4]|年?第?[1-4一二三四]季度)?", re.IGNORECASE
)
"""A time as the name of a column: a table may have its times side by side."""


def header_place(rows: Sequence[Sequence[str]]) -> int:
    """Return the place of the row that names the columns: 0, unless rows of at most one filled cell stand above it.

    They are a title only where the first row of several cells has a usual name of a column, and they have none.
    """
    for place, cells in enumerate(rows[:_MOST]):
        bare = [_OF_WHAT.sub("", cell.strip("\ufeff\"' \t\r\n")) for cell in cells]
        names = {re.sub(r"[\s_-]+", "_", cell.casefold()) for cell in bare if cell}
        usual = any(part in _NAMES for name in names for part in (name, name.split("_")[0], name.split("_")[-1]))
        usual = usual or any(len(name) <= _LONGEST and name.endswith(_HAN_NAMES) for name in names)
        usual = usual or (len(names) > 2 and sum(bool(_PERIOD.fullmatch(name)) for name in names) >= len(names) - 1)
        if len(names) > 1:
            return place if usual else 0
        if names & _NAMES or any(
            part in _TEXTS for name in names for part in (name.split("_")[0], name.split("_")[-1])
        ):
            return 0
    return 0
