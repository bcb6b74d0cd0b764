"""Which column of a table holds what, by the names that people and programs give them in Chinese and English.

    found = column_named("time", ["订单号", "用户ID", "下单时间", "支付金额"])     # "下单时间"

A name is looked at without its case, its unit in brackets and what joins its words. Of several that could be meant the likelier is
taken; where two are equally likely none is, and the person is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from noria.core.errors import InputError
from noria.core.messages import Message, joined, message
from noria.text.headings import bare_name, heading_named

from .stamps import read_stamps

_NAMES: Mapping[str, str] = {
    "user": "user|user id|uid|userid|用户id|用户|用户编号|用户名|用户标识|用户账号|customer id|customer|customerid|cust id|client id|client|"
    "member id|member|account id|account|visitor id|visitor|player id|player|buyer id|buyer|subscriber id|subscriber|device id|openid|open id|"
    "会员id|会员|会员编号|会员号|会员卡号|客户id|客户|客户编号|客户号|客户名称|顾客|顾客id|买家|买家id|买家昵称|买家会员名|玩家|玩家id|账号|账户|"
    "user name|username|customer name|姓名|昵称|手机号|手机|email|e mail|phone",
    "time": "time|timestamp|date time|datetime|ts|event time|event timestamp|created at|created time|create time|日期时间|时间|时间戳|"
    "下单时间|订单时间|支付时间|付款时间|交易时间|创建时间|发生时间|访问时间|登录时间|date|日期|下单日期|订单日期|交易日期|支付日期|"
    "order date|purchase date|transaction date|invoice date|event date|day|日|period|month|月份|年月|月|week|周|quarter|季度|year|年份|年|期间|时期",
    "value": "value|amount|revenue|金额|总金额|订单金额|支付金额|消费金额|实付金额|实付款|交易金额|销售额|成交额|成交金额|付款金额|收入|总额|"
    "total amount|amount paid|order amount|order total|order value|paid|spent|spend|payment|sales|total price|total|数值|值",
    "variant": "variant|group|arm|bucket|treatment|variation|experiment group|组别|分组|实验组|实验分组|组|版本",
    "outcome": "outcome|converted|conversion|result|是否转化|转化|结果|y",
    "entity": "entity|brand|company|vendor|maker|manufacturer|provider|competitor|品牌|公司|企业|厂商|厂家|商家|竞品|实体|主体|"
    "product|product name|model|产品|产品名称|型号|模型|app|应用|name|名称|item|category|品类|类别",
    "segment": "segment|market|region|country|area|channel|市场|地区|区域|国家|省份|城市|渠道|细分|细分市场|分组",
    "measure": "measure|metric|indicator|variable|kpi|指标|指标名称|度量|口径",
    "unit": "unit|units|uom|unit of measure|单位|计量单位",
}
"""What a column holds -> its names, those that are meant most surely first."""
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
    hint = message("grow.name", needed=part)
    if any(read_stamps([one], "dmy")[0] for one in header):
        hint = message("grow.file_begins")
    return InputError(
        message("grow.column_2", place=place, needed=message(f"log.part.{part}")),
        allowed=message("grow.one_named", names=name),
        found=", ".join(name for name in header if name),
        hint=hint,
    )
