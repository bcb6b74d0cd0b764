"""What was set aside of a file's rows: by reason, how often, where the first one stands, what stands there, and what helps."""

from __future__ import annotations

from dataclasses import dataclass

from noria.core.errors import shorten

_CHINESE = {
    "the header again": "重复的表头",
    "the user is empty": "用户为空",
    "the user stands for nobody": "用户名是占位词",
    "the time is empty": "时间为空",
    "the time is missing": "时间缺失",
    "the time cannot be read": "时间无法读懂",
    "the time is before 1970": "时间早于 1970 年",
    "the time lies in the future": "时间在未来",
    "the id came before": "编号此前已出现",
    "the value cannot be read": "金额无法读懂",
    "the value is negative, as of a refund": "金额为负，如退款",
    "the units cannot be read": "用量无法读懂",
    "the units are negative": "用量为负",
    "more cells than columns": "单元格多于列数",
    "not a line of a table": "不是表格的一行",
    "bytes that are not of the file's encoding": "字节不属于文件的编码",
    "the group is empty": "分组为空",
    "the group is a word for none": "分组是占位词",
    "the outcome is missing or no finite number": "结果缺失或不是有限的数",
    "the weight is missing, negative or no finite number": "权重缺失、为负或不是有限的数",
}
"""Reasons in Chinese; what follows one in brackets is the same in both languages."""


@dataclass(frozen=True)
class Problem:
    """Rows, or amounts in them, that were set aside, and why."""

    what: str
    rows: int
    example: str
    """Where the first one stands."""
    found: str = ""
    """What stands there."""
    hint: str = ""
    """What can be done about it."""
    kept: bool = False
    """The rows count all the same; what they say of an amount, or of units, does not."""

    def text(self) -> str:
        """Return the problem on one line."""
        return self.texts()["en"]

    def texts(self) -> dict[str, str]:
        """Return the problem on one line, in English and in Chinese."""
        rows = f"{self.rows:,} {'row' if self.rows == 1 else 'rows'}"
        stands = shorten(self.found) if self.found else ""
        aside = f"of {rows} the amount is set aside, the act is kept" if self.kept else f"{rows} set aside"
        more = "; ".join(part for part in (stands, self.hint) if part)
        reason, bracket, rest = self.what.partition(" (")
        reason = _CHINESE.get(reason, reason)
        place = self.example.replace("line ", "第 ") + " 行" if self.example.startswith("line ") else self.example
        return {
            "en": f"{aside}: {self.what} (first at {self.example}{f': {more}' if more else ''})",
            "zh": f"{self.rows:,} 行{'的数额不计，行为照计' if self.kept else '被剔除'}：{reason}{bracket}{rest}"
            f"（首见于{place}{f'：{stands}' if stands else ''}）",
        }
