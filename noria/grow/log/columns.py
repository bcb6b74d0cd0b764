"""Which column of a table holds what, by the names that people and programs give them in Chinese and English.

    found = column_named("time", ["订单号", "用户ID", "下单时间", "支付金额"])     # "下单时间"

A name is looked at without its case, its unit in brackets and what joins its words. Of several that could be meant the likelier is
taken; where two are equally likely none is, and the person is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from noria.core.errors import InputError, did_you_mean
from noria.core.messages import Message, joined, message
from noria.text.columns import COLUMNS, as_it_should_be
from noria.text.headings import bare_name, heading_named
from noria.text.times import read_times

_NAMES = COLUMNS["log"]
_ENDINGS: Mapping[str, str] = {
    "user": "user|customer|client|member|visitor|player|buyer|subscriber|用户|用户id|会员|客户|顾客|买家|玩家|会员id|客户id",
    "time": "time|date|timestamp|datetime|at|时间|日期",
    "value": "amount|revenue|金额|销售额|成交额|实付款",
}
"""What a column holds -> the last word of names of which there may be any number: a name is taken by it where it is the only one."""
_DAYS = ("date", "day", "日期", "order date", "purchase date", "transaction date", "交易日期", "下单日期", "订单日期")
"""Names of a column of days that stands beside one of clocks."""


def column_named(part: str, header: Iterable[str], taken: Iterable[str] = ()) -> str:
    """Return the column that holds a part of a row, by its name; "" where none is meant, or several equally.

    Args:
        part: user, time, value, variant, outcome, entity, segment, measure or unit.
        header: all names of the table.
        taken: those that hold something else.
    """
    endings = _ENDINGS.get(part)
    return heading_named(_NAMES[part], header, taken, endings.split("|") if endings else ())


def named_columns(header: Sequence[str], asked: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return the column of each part, and those among them that were not asked for by name but found by it.

    Args:
        header: the names of the table's columns.
        asked: part -> the column that the person names; its own name where nothing was said.
    """
    columns = dict(asked)
    found: dict[str, str] = {}
    for part, name in asked.items():
        if name in header or name != part or part not in _NAMES:
            continue
        taken = [column for column in columns.values() if column in header]
        if guess := column_named(part, header, taken):
            columns[part] = found[part] = guess
    return columns, found


def columns_note(found: Mapping[str, str]) -> list[Message]:
    """Return what is to be said of columns that were found by their names."""
    listed = [message("log.note.column", part=message(f"log.part.{part}"), column=name) for part, name in found.items()]
    return [message("log.note.columns", columns=joined("join.list", listed))] if listed else []


def day_beside(time: str, header: Iterable[str]) -> str:
    """Return the column of days that a column of clocks, called `time`, may stand beside; "" for none."""
    free = {bare_name(name): name for name in header if name != time}
    return next((free[name] for name in _DAYS if name in free), "")


def no_column(part: str, name: str, header: Sequence[str], place: str) -> InputError:
    """Return the error that a table has no column for a part of its rows."""
    hint = did_you_mean(name, [one for one in header if one]) or message("grow.name", needed=part)
    if any(read_times(header, "dmy")):
        hint = message("grow.file_begins")
    if part in ("user", "time", "value"):
        hint = joined("join.clauses", [hint, as_it_should_be(["user", "time", "value"])])
    return InputError(
        message("grow.column_2", place=place, needed=message(f"log.part.{part}")),
        allowed=message("grow.one_named", names=name),
        found=", ".join(name for name in header if name),
        hint=hint,
    )
