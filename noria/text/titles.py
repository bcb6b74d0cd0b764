"""What people write above the names of the columns: a report's title, the day it was made."""

from __future__ import annotations

import re
from collections.abc import Sequence

_MOST = 8
"""Rows in which the names of the columns are looked for."""
_WORDS = (
    "text texts content contents label labels id no number date time title subject body message sentence sentence1 sentence2 "
    "review reviews comment comments category class intent sentiment tag tags name question answer context score rating "
    "source target url query document summary utterance spans tokens anchor positive user output input instruction "
    "文本 内容 正文 标题 句子 评论 评价 留言 问题 答案 回答 标签 类别 分类 情感 意图 序号 编号 日期 时间 姓名 用户 评分 来源"
)
_NAMES = frozenset(_WORDS.split())
"""Usual names of columns: by one of them a row is held to be the header."""


def header_place(rows: Sequence[Sequence[str]]) -> int:
    """Return the place of the row that names the columns: 0, unless rows of at most one filled cell stand above it.

    They are a title only where the first row of several cells has a usual name of a column, and they have none.
    """
    for place, cells in enumerate(rows[:_MOST]):
        bare = [cell.strip("\ufeff\"' \t\r\n") for cell in cells]
        names = {re.sub(r"[\s_-]+", "_", cell.casefold()) for cell in bare if cell}
        usual = any(part in _NAMES for name in names for part in (name, name.split("_")[0], name.split("_")[-1]))
        if len(names) > 1:
            return place if usual else 0
        if usual:
            return 0
    return 0
